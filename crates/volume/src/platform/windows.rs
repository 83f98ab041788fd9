//! Windows: share modes as locks, errors that pass by themselves, paths without their long prefix.
//!
//! Files inherit their access list from the root (`windows_access.rs`); NTFS makes folder entries durable by its journal.

use std::ffi::{CStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf, Prefix};
use std::time::Duration;

use blockio::{LockMode, Patience};
use cap_fs_ext::DirExt;
use cap_std::fs::{Dir, DirBuilder, Metadata, OpenOptions, OpenOptionsExt};

/// FILE_SHARE_READ ([MS-SMB2] 2.2.13 has the same numbers).
const FILE_SHARE_READ: u32 = 0x1;
/// FILE_SHARE_WRITE.
const FILE_SHARE_WRITE: u32 = 0x2;
/// FILE_SHARE_DELETE.
const FILE_SHARE_DELETE: u32 = 0x4;
/// ERROR_ACCESS_DENIED: also what a file that is about to vanish answers.
const ERROR_ACCESS_DENIED: i32 = 5;
/// ERROR_SHARING_VIOLATION.
const ERROR_SHARING_VIOLATION: i32 = 32;
/// ERROR_LOCK_VIOLATION.
const ERROR_LOCK_VIOLATION: i32 = 33;
/// ERROR_DIR_NOT_EMPTY: what a folder answers while files in it are about to vanish.
const ERROR_DIR_NOT_EMPTY: i32 = 145;
/// ERROR_DELETE_PENDING.
const ERROR_DELETE_PENDING: i32 = 303;

/// A text for the system, with the zero that ends it.
pub(super) fn wide_text(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// A text of the system: the units up to the first zero, or all of them.
pub(super) fn text_of_units(units: &[u16]) -> String {
    let length = units.iter().position(|unit| *unit == 0);
    let units = units.get(..length.unwrap_or(units.len()));
    String::from_utf16_lossy(units.unwrap_or_default())
}

/// Builds folders; their access list comes from the root.
pub(crate) fn private_folder() -> DirBuilder {
    DirBuilder::new()
}

/// Nothing: the access list comes from the folder.
pub(crate) fn private_file(_options: &mut OpenOptions) {}

/// Refuses a file of the caller's that others can open. Whoever asks, the system and administrators are
/// none.
pub(crate) fn check_private(file: &std::fs::File) -> io::Result<()> {
    let others = super::windows_access::others_of(file)?;
    if others.is_empty() {
        return Ok(());
    }
    let what = format!(
        "others than its owner can open it ({}); `icacls FILE /inheritance:r /grant:r \
         \"%USERNAME%:F\"` keeps them out",
        others.join(", ")
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
}

/// Nothing: a file of the store has the list that its folder gave it, and whom that lets in is told with
/// every command.
pub(crate) fn check_kept(_file: &std::fs::File) -> io::Result<()> {
    Ok(())
}

/// Prepares the lock of an open: the share mode is the lock.
pub(crate) fn share(options: &mut OpenOptions, mode: LockMode) {
    options.share_mode(match mode {
        LockMode::None => FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
        LockMode::Shared => FILE_SHARE_READ,
        LockMode::Exclusive => 0,
    });
}

/// Nothing: named pipes have a name space of their own and cannot stand in the place of a file.
pub(crate) fn never_wait(_options: &mut OpenOptions) {}

/// Nothing: the journal of NTFS makes entries durable.
pub(crate) fn sync_folder(_folder: &Dir) -> io::Result<()> {
    Ok(())
}

/// Bytes that a file takes on the host. Images never carry the sparse attribute here, so that is
/// their length.
pub(crate) fn allocated_bytes(metadata: &Metadata) -> u64 {
    metadata.len()
}

/// What a file in a folder below `folder` takes on the host and how long it is; `None` where no such
/// file is there. Links are not followed.
pub(crate) fn sizes_below(folder: &Dir, name: &str, file: &str) -> io::Result<Option<(u64, u64)>> {
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
        _ => Err(error),
    };
    let folder = match folder.open_dir_nofollow(name) {
        Ok(folder) => folder,
        Err(error) => return missing(error),
    };
    match folder.symlink_metadata(file) {
        Ok(found) if found.is_file() => Ok(Some((allocated_bytes(&found), found.len()))),
        Ok(_) => Ok(None),
        Err(error) => missing(error),
    }
}

/// Whether an error may pass by itself within moments: a scanner or another process looks at the
/// file, or it is about to vanish.
pub(crate) fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            ERROR_ACCESS_DENIED
                | ERROR_SHARING_VIOLATION
                | ERROR_LOCK_VIOLATION
                | ERROR_DIR_NOT_EMPTY
                | ERROR_DELETE_PENDING
        )
    )
}

/// Whether opening failed since somebody holds the file.
pub(crate) fn is_sharing_violation(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION)
    )
}

/// How long an image that somebody holds is tried: scanners and indexers let go of it in moments.
pub(crate) fn lock_pauses() -> impl Iterator<Item = Duration> {
    Patience::Moments.pauses()
}

/// A canonical path as other programs take it: `C:\x` instead of `\\?\C:\x`, `\\server\share` instead of
/// `\\?\UNC\server\share`. Whatever else is kept as it is.
pub fn plain_path(path: PathBuf) -> PathBuf {
    let mut components = path.components();
    let Some(Component::Prefix(prefix)) = components.next() else {
        return path;
    };
    let mut plain = match prefix.kind() {
        Prefix::VerbatimDisk(letter) => PathBuf::from(format!("{}:\\", char::from(letter))),
        Prefix::VerbatimUNC(server, share) => {
            let mut plain = OsString::from(r"\\");
            plain.push(server);
            plain.push(r"\");
            plain.push(share);
            plain.push(r"\");
            PathBuf::from(plain)
        }
        _ => return path,
    };
    plain.extend(components.filter(|component| !matches!(component, Component::RootDir)));
    plain
}

/// The server that a path leads to; `None` for one of this host.
pub(crate) fn server_of(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    let Some(Component::Prefix(prefix)) = path.components().next() else {
        return None;
    };
    match prefix.kind() {
        Prefix::UNC(server, _) | Prefix::VerbatimUNC(server, _) => {
            Some(server.to_string_lossy().into_owned())
        }
        _ => None,
    }
}

/// The file of a database as SQLite takes it at any length: with the prefix under which Windows has no
/// limit.
pub(crate) fn database_path(plain: PathBuf) -> PathBuf {
    match plain.components().next() {
        Some(Component::Prefix(prefix)) if matches!(prefix.kind(), Prefix::Disk(_)) => {
            let mut long = OsString::from(r"\\?\");
            long.push(plain);
            PathBuf::from(long)
        }
        _ => plain,
    }
}

/// What SQLite calls its way of opening files by paths of any length.
pub(crate) const DATABASE_SYSTEM: Option<&CStr> = Some(c"win32-longpath");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_prefixes_go_and_come_and_servers_are_told() {
        let plain = |path: &str| plain_path(PathBuf::from(path)).into_os_string();
        assert_eq!(plain(r"\\?\C:\a\b"), r"C:\a\b");
        assert_eq!(plain(r"\\?\UNC\nas\data\a"), r"\\nas\data\a");
        assert_eq!(plain(r"C:\a"), r"C:\a");
        let long = database_path(PathBuf::from(r"C:\a\state.db"));
        assert_eq!(long.as_os_str(), r"\\?\C:\a\state.db");
        let server = |path: &str| server_of(Path::new(path));
        assert_eq!(server(r"\\nas\data\store").as_deref(), Some("nas"));
        assert_eq!(server(r"\\?\UNC\nas\data\store").as_deref(), Some("nas"));
        assert_eq!(server(r"//nas/data").as_deref(), Some("nas"));
        assert_eq!(server(r"C:\store"), None);
        assert_eq!(server("store"), None);
    }
}

//! Windows: share modes as locks, errors that pass by themselves, paths without their long prefix.
//!
//! Files inherit their access list from the root; NTFS makes folder entries durable by its journal.

use std::io;
use std::path::{Component, Path, PathBuf, Prefix};

use blockio::LockMode;
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

/// Builds folders; their access list comes from the root.
pub(crate) fn private_folder() -> DirBuilder {
    DirBuilder::new()
}

/// Makes the folder `path` with all above it.
pub(crate) fn create_root(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Nothing: the folder keeps the access list that its user's profile gave it.
pub(crate) fn make_private(_folder: &Dir) -> io::Result<()> {
    Ok(())
}

/// Nothing: the access list comes from the folder.
pub(crate) fn private_file(_options: &mut OpenOptions) {}

/// Nothing: who may read a file is a matter of its access list, which its folder gave it.
pub(crate) fn check_private(_file: &std::fs::File) -> io::Result<()> {
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

/// Nothing: the journal of NTFS makes entries durable.
/// Named pipes have a name space of their own and cannot stand in the place of a file.
pub(crate) fn never_wait(_options: &mut OpenOptions) {}

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
    error.raw_os_error() == Some(ERROR_SHARING_VIOLATION)
}

/// A canonical path as other programs take it: `C:\x` instead of `\\?\C:\x`.
pub(crate) fn plain_path(path: PathBuf) -> PathBuf {
    let mut components = path.components();
    let Some(Component::Prefix(prefix)) = components.next() else {
        return path;
    };
    let Prefix::VerbatimDisk(letter) = prefix.kind() else {
        return path;
    };
    let mut plain = PathBuf::from(format!("{}:\\", char::from(letter)));
    plain.extend(components.filter(|component| !matches!(component, Component::RootDir)));
    plain
}

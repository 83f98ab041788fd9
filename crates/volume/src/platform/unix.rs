//! Unix: modes that no umask widens, folders made durable, allocation read from the inode.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blockio::LockMode;
use cap_std::fs::{
    Dir, DirBuilder, DirBuilderExt, Metadata, MetadataExt, OpenOptions, OpenOptionsExt,
    Permissions, PermissionsExt,
};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, SFlag, fstatat};
use secrecy::zeroize::Zeroizing;

use crate::store::reserve::HostSpace;

/// Bytes in the unit of `st_blocks`.
const STAT_BLOCK: u64 = 512;

/// Builds folders that only their owner may enter.
pub(crate) fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Makes the folder `path` with all above it; those made are for their owner alone.
pub(crate) fn create_root(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Takes a folder that becomes a store away from everybody but its owner.
pub(crate) fn make_private(folder: &Dir, _path: &Path) -> io::Result<()> {
    folder.set_permissions(".", Permissions::from_mode(0o700))
}

/// Lets a file that is created be read by its owner alone.
pub(crate) fn private_file(options: &mut OpenOptions) {
    options.mode(0o600);
}

/// Refuses a file that others than its owner can read, or that is another user's.
pub(crate) fn check_private(file: &File) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let found = file.metadata()?;
    let denied = |what: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    let user = rustix::process::geteuid();
    if found.mode() & 0o077 != 0 {
        return denied("others than its owner can read it; `chmod 600` keeps them out");
    }
    // Root may read what any user keeps; nobody believes another user's file.
    if !user.is_root() && found.uid() != user.as_raw() && found.uid() != 0 {
        return denied("it belongs to another user");
    }
    Ok(())
}

/// Refuses a file of the store that others than its owner can read.
pub(crate) fn check_kept(file: &File) -> io::Result<()> {
    check_private(file)
}

/// Whom the folder of a store is open to besides its owner: nobody is told of here, modes are set when
/// it is made.
pub(crate) fn open_to(_path: &Path) -> io::Result<Vec<String>> {
    Ok(Vec::new())
}

/// Who may do what with a file is told in SDDL by Windows.
///
/// # Errors
/// `Unsupported`.
pub fn file_rules(_path: &Path) -> io::Result<String> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// As above.
///
/// # Errors
/// `Unsupported`.
pub fn set_file_rules(_path: &Path, _rules: &str) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Nothing: keys are kept as they are, in a file for their owner alone.
pub(crate) fn protect(_bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
    Ok(None)
}

/// What Windows protected opens there alone.
pub(crate) fn unprotect(_bytes: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Prepares the lock of an open: advisory locks are taken on the open file instead.
pub(crate) fn share(_options: &mut OpenOptions, _mode: LockMode) {}

/// Lets an open return at once where somebody put a pipe in the place of a file; on files it changes
/// nothing.
pub(crate) fn never_wait(options: &mut OpenOptions) {
    options.custom_flags(OFlag::O_NONBLOCK.bits());
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_folder(folder: &Dir) -> io::Result<()> {
    // The handle of a `Dir` names the folder only; syncing needs one that is open for reading.
    folder.open(".")?.sync_all()
}

/// Bytes that a file takes on the host.
pub(crate) fn allocated_bytes(metadata: &Metadata) -> u64 {
    metadata.blocks().saturating_mul(STAT_BLOCK)
}

/// What a file in a folder below `folder` takes on the host and how long it is; `None` where no such
/// file is there. Nothing is opened, which counts where thousands are looked at. Whoever puts a link in
/// the place of the folder at the same moment can have a size of his told, and nothing else.
pub(crate) fn sizes_below(folder: &Dir, name: &str, file: &str) -> io::Result<Option<(u64, u64)>> {
    let look = |path: &Path| match fstatat(folder, path, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(error) => Err(io::Error::from(error)),
    };
    let is = |found: &FileStat, kind: SFlag| {
        SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == kind
    };
    // Looked at by itself: below a link, the file would be somebody else's.
    if !look(Path::new(name))?.is_some_and(|found| is(&found, SFlag::S_IFDIR)) {
        return Ok(None);
    }
    let found = look(&Path::new(name).join(file))?;
    let found = found.filter(|found| is(found, SFlag::S_IFREG));
    Ok(found.map(|found| {
        let blocks = u64::try_from(found.st_blocks).unwrap_or(0);
        let length = u64::try_from(found.st_size).unwrap_or(0);
        (blocks.saturating_mul(STAT_BLOCK), length)
    }))
}

/// What the host of a folder has left for whoever asks.
pub(crate) fn space(folder: &Path) -> io::Result<HostSpace> {
    let found = rustix::fs::statvfs(folder)?;
    // Of what is free, ext4 keeps a part for itself, which root does not get either.
    Ok(HostSpace {
        left: found.f_bavail.saturating_mul(found.f_frsize),
        block: found.f_frsize,
    })
}

/// Whether an error may pass by itself within moments: never here.
pub(crate) fn is_transient(_error: &io::Error) -> bool {
    false
}

/// Whether opening failed since somebody holds the file: never here, locks are taken after.
pub(crate) fn is_sharing_violation(_error: &io::Error) -> bool {
    false
}

/// How long an image that somebody holds is tried: looking at a volume holds it for moments.
pub(crate) fn lock_pauses() -> impl Iterator<Item = Duration> {
    std::iter::repeat_n(Duration::from_millis(20), 4)
}

/// A canonical path as other programs take it: it is that already.
pub fn plain_path(path: PathBuf) -> PathBuf {
    path
}

/// No path says that it leads to a server.
pub(crate) fn server_of(_path: &Path) -> Option<String> {
    None
}

/// The file of a database as SQLite takes it.
pub(crate) fn database_path(plain: PathBuf) -> PathBuf {
    plain
}

/// What SQLite calls its way of opening files: whatever it does by itself.
pub(crate) const DATABASE_SYSTEM: Option<&CStr> = None;

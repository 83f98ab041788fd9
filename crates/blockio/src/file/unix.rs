//! What Linux is asked for: positional I/O, locks, holes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
#[cfg(target_os = "linux")]
use nix::fcntl::copy_file_range;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use nix::unistd::{Whence, lseek};

use super::{FileAccess, LockMode, Patience};
use crate::storage::{ExtentKind, ZeroMode};
use crate::units::ByteRange;

mod byte_lock;

/// Most bytes that the kernel is asked to copy at once.
#[cfg(target_os = "linux")]
const COPY_STEP: usize = 16 << 20;

/// Opens an existing file. `O_NONBLOCK` keeps a pipe from holding us up; it means nothing to a file.
pub(super) fn open(
    path: &Path,
    access: FileAccess,
    _lock: LockMode,
    _patience: Patience,
) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(access == FileAccess::ReadWrite)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
}

/// Makes a new file that only its owner may use.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Refuses what has no positions.
pub(super) fn check_kind(file: &File) -> io::Result<()> {
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "neither a file nor a block device",
    ))
}

/// Locks the file until it is closed.
pub(super) fn lock(file: &File, mode: LockMode) -> io::Result<()> {
    let locked = match mode {
        LockMode::None => return Ok(()),
        LockMode::Shared => file.try_lock_shared(),
        LockMode::Exclusive => file.try_lock(),
    };
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use()),
        Err(TryLockError::Error(error)) if locks_are_missing(&error) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    match byte_lock::lock(file, mode) {
        Err(error) if locks_are_missing(&error) => Ok(()),
        result => result,
    }
}

/// Gives up what [`lock`] took.
pub(super) fn unlock(file: &File, mode: LockMode) {
    if mode == LockMode::None {
        return;
    }
    // Where it fails, the locks go when the last handle does.
    let _ = byte_lock::unlock(file);
    let _ = file.unlock();
}

fn in_use() -> io::Error {
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        "another program holds a lock on the file",
    )
}

/// Whether the error says that this file system has no locks at all.
fn locks_are_missing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL)
    )
}

/// Fills `buf`, or fails with `UnexpectedEof` at the end of the file.
pub(super) fn read_exact_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buf, offset)
}

/// Writes all of `buf`.
pub(super) fn write_all_at(file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(buf, offset)
}

/// The length of a file or block device.
pub(super) fn len(mut file: &File) -> io::Result<u64> {
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    file.seek(SeekFrom::End(0))
}

fn bounds(range: ByteRange) -> io::Result<(i64, i64)> {
    let convert = |value| i64::try_from(value).map_err(|_| io::Error::from(Errno::EFBIG));
    Ok((convert(range.start().get())?, convert(range.len().get())?))
}

/// Makes a non-empty range read zero; `false` where the file system cannot, so that zeros must be
/// written.
pub(super) fn zero(file: &File, range: ByteRange, mode: ZeroMode) -> io::Result<bool> {
    let how = match mode {
        ZeroMode::Punch => FallocateFlags::FALLOC_FL_PUNCH_HOLE,
        ZeroMode::KeepAllocated => FallocateFlags::FALLOC_FL_ZERO_RANGE,
    };
    let (start, len) = bounds(range)?;
    loop {
        return match fallocate(file, how | FallocateFlags::FALLOC_FL_KEEP_SIZE, start, len) {
            Ok(()) => Ok(true),
            Err(Errno::EINTR) => continue,
            // EINVAL: a block device that was asked for a part of its block.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::ENODEV | Errno::EINVAL) => Ok(false),
            Err(errno) => Err(errno.into()),
        };
    }
}

/// Copies a range of the file to another place in it, as far as the kernel does that: how many bytes
/// it copied, from the start.
#[cfg(target_os = "linux")]
pub(super) fn copy(file: &File, range: ByteRange, to: u64) -> io::Result<u64> {
    let (mut from, _) = bounds(range)?;
    let mut to = i64::try_from(to).map_err(|_| io::Error::from(Errno::EFBIG))?;
    let mut copied = 0;
    while copied < range.len().get() {
        let left = usize::try_from(range.len().get() - copied).unwrap_or(usize::MAX);
        match copy_file_range(
            file,
            Some(&mut from),
            file,
            Some(&mut to),
            left.min(COPY_STEP),
        ) {
            Ok(0) => break,
            Ok(count) => copied += u64::try_from(count).unwrap_or(0),
            Err(Errno::EINTR) => {}
            Err(
                Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL | Errno::EXDEV | Errno::EPERM,
            ) => {
                break;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(copied)
}

/// As above: other systems copy nothing by themselves.
#[cfg(not(target_os = "linux"))]
pub(super) fn copy(_file: &File, _range: ByteRange, _to: u64) -> io::Result<u64> {
    Ok(0)
}

/// What stands at the start of a non-empty range within the file, and where that ends (maybe past
/// the range).
pub(super) fn extent(file: &File, range: ByteRange) -> io::Result<(ExtentKind, u64)> {
    let (start, _) = bounds(range)?;
    let whole = range.end().get();
    // The position of the open file moves; nobody uses it, all I/O says where.
    let next_data = match lseek(file, start, Whence::SeekData) {
        Ok(offset) => offset,
        // No data from here to the end of the file.
        Err(Errno::ENXIO) => return Ok((ExtentKind::Hole, whole)),
        Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ESPIPE) => {
            return Ok((ExtentKind::Data, whole));
        }
        Err(errno) => return Err(errno.into()),
    };
    if next_data > start {
        return Ok((ExtentKind::Hole, u64::try_from(next_data).unwrap_or(whole)));
    }
    let next_hole = lseek(file, start, Whence::SeekHole)?;
    Ok((ExtentKind::Data, u64::try_from(next_hole).unwrap_or(whole)))
}

/// Puts the finished file `from` in the place of `to` (same folder) and makes that durable.
pub(super) fn replace(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // A rename is durable only when its folder is.
    match File::open(folder)?.sync_all() {
        // Some file systems keep folders where there is nothing to sync.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;

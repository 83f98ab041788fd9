//! An open host file as a storage.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{FileAccess, LockMode, Patience, platform};
use crate::error::{IoError, IoErrorKind, Operation, Result};
use crate::range::{buffer_len, check_status, checked, out_of_range, reachable, read_only};
use crate::storage::{Extent, ExtentKind, Storage, ZeroMode, copy_by_hand};
use crate::units::{ByteCount, ByteOffset, ByteRange};

/// Zeros are written in pieces of at most this many bytes where the host has no better way.
const ZEROS: usize = 1024 * 1024;

/// A host file, open and locked until it is dropped.
///
/// # Locks
/// - Linux: `flock` (shared to read, exclusive to write) keeps cvol from cvol, and the byte locks
///   of QEMU (open file description locks) keep cvol from QEMU and QEMU from cvol just as two
///   QEMUs are kept apart. Both are advisory. A file system without locks is used without.
/// - Windows: the share mode of the open, enforced by the system: a reader lets others read, a
///   writer lets nobody in. In either case nobody can rename, replace or delete the file while it
///   is open, so an image in use cannot vanish; close before renaming. Byte locks are not used
///   there, since they would make the reads of others fail.
///
/// # Failed syncs
/// Where a sync fails, the host may have dropped what was to be written and marked it as clean, so
/// that the next sync would succeed without it. So after one failure every sync fails.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    access: FileAccess,
    lock: LockMode,
    /// Whether a sync failed.
    is_poisoned: AtomicBool,
}

/// Locks belong to the open file, of which a process that is just being started by another thread has
/// a handle too until its program begins: closing ours alone would leave them for that long.
impl Drop for FileStorage {
    fn drop(&mut self) {
        platform::unlock(&self.file, self.lock);
    }
}

fn open_error(error: io::Error) -> IoError {
    IoError::host(Operation::Open, ByteOffset(0), ByteCount(0), error)
}

impl FileStorage {
    /// Opens an existing file or block device, with a shared lock for `ReadOnly` and an exclusive
    /// one for `ReadWrite`.
    ///
    /// # Errors
    /// `InUse` where somebody else holds the file, `Unsupported` for a directory, pipe or socket,
    /// `Host` where the system refuses.
    pub fn open(path: &Path, access: FileAccess) -> Result<Self> {
        Self::open_with_lock(path, access, access.lock_mode())
    }

    /// Opens an existing file with a lock of the caller's choice; [`LockMode::None`] is for source
    /// files that others may go on using.
    ///
    /// # Errors
    /// As for [`FileStorage::open`].
    pub fn open_with_lock(path: &Path, access: FileAccess, lock: LockMode) -> Result<Self> {
        let file = platform::open(path, access, lock, Patience::Moments).map_err(open_error)?;
        Self::from_file_with_lock(file, access, lock)
    }

    /// As [`FileStorage::open`], for whoever only looks: where somebody holds the file that is said at
    /// once.
    ///
    /// # Errors
    /// As for [`FileStorage::open`].
    pub fn open_at_once(path: &Path, access: FileAccess) -> Result<Self> {
        let lock = access.lock_mode();
        let file = platform::open(path, access, lock, Patience::None).map_err(open_error)?;
        Self::from_file_with_lock(file, access, lock)
    }

    /// Makes a new, empty file with an exclusive lock. On Unix only its owner may read and write it.
    ///
    /// # Errors
    /// `Host` where something of that name exists (also a dangling symbolic link) or the system
    /// refuses.
    pub fn create_new(path: &Path) -> Result<Self> {
        let file = platform::create_new(path).map_err(open_error)?;
        Self::from_file(file, FileAccess::ReadWrite)
    }

    /// Takes over a file that the caller opened for `access` (beneath a directory handle, say) and
    /// locks it as [`FileStorage::open`] would.
    ///
    /// On Windows the share mode is chosen where a file is opened, so the caller chooses it there:
    /// 0 to write, `FILE_SHARE_READ` to read.
    ///
    /// # Errors
    /// As for [`FileStorage::open`].
    pub fn from_file(file: File, access: FileAccess) -> Result<Self> {
        Self::from_file_with_lock(file, access, access.lock_mode())
    }

    /// As [`FileStorage::from_file`], with a lock of the caller's choice.
    ///
    /// # Errors
    /// As for [`FileStorage::open`].
    pub fn from_file_with_lock(file: File, access: FileAccess, lock: LockMode) -> Result<Self> {
        platform::check_kind(&file).map_err(open_error)?;
        let storage = Self {
            file,
            access,
            lock,
            is_poisoned: AtomicBool::new(false),
        };
        platform::lock(&storage.file, lock).map_err(open_error)?;
        Ok(storage)
    }

    /// The open file, for what this type does not offer (fast copying, say). Its lock is tied to
    /// the storage.
    pub fn as_file(&self) -> &File {
        &self.file
    }

    fn check_writable(
        &self,
        operation: Operation,
        offset: ByteOffset,
        len: ByteCount,
    ) -> Result<()> {
        match self.access {
            FileAccess::ReadOnly => Err(read_only(operation, offset, len)),
            FileAccess::ReadWrite => Ok(()),
        }
    }

    /// The outcome of a sync, once a sync has failed a failure.
    fn settle(&self, synced: io::Result<()>) -> Result<()> {
        let (offset, len) = (ByteOffset(0), ByteCount(0));
        synced.map_err(|error| {
            self.is_poisoned.store(true, Ordering::SeqCst);
            IoError::host(Operation::Flush, offset, len, error)
        })?;
        // Asked after the sync: one that ran at the same time in another thread may have taken the
        // failure that was ours to hear of.
        if self.is_poisoned.load(Ordering::SeqCst) {
            let kind = IoErrorKind::Poisoned;
            return Err(IoError::new(kind, Operation::Flush, offset, len));
        }
        Ok(())
    }

    fn write_zeros(&self, range: ByteRange) -> io::Result<()> {
        let piece = usize::try_from(range.len().get()).map_or(ZEROS, |len| len.min(ZEROS));
        let zeros = vec![0; piece];
        let mut position = range.start().get();
        while position < range.end().get() {
            let left = range.end().get() - position;
            let count = usize::try_from(left).map_or(piece, |left| left.min(piece));
            platform::write_all_at(&self.file, &zeros[..count], position)?;
            position += buffer_len(&zeros[..count]).get();
        }
        Ok(())
    }
}

impl Storage for FileStorage {
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        let len = buffer_len(buf);
        reachable(Operation::Read, offset, len)
            .map_err(|_| out_of_range(Operation::Read, offset, len))?;
        platform::read_exact_at(&self.file, buf, offset.get())
            .map_err(|error| IoError::host(Operation::Read, offset, len, error))
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        self.check_writable(Operation::Write, offset, buffer_len(buf))?;
        reachable(Operation::Write, offset, buffer_len(buf))?;
        platform::write_all_at(&self.file, buf, offset.get())
            .map_err(|error| IoError::host(Operation::Write, offset, buffer_len(buf), error))
    }

    fn sync(&self) -> Result<()> {
        if self.access == FileAccess::ReadOnly {
            return Ok(());
        }
        // Not the timestamps, but all that reading the data back needs, the length included:
        // fdatasync on Unix, FlushFileBuffers on Windows.
        self.settle(self.file.sync_data())
    }

    fn len(&self) -> Result<ByteCount> {
        platform::len(&self.file)
            .map(ByteCount)
            .map_err(|error| IoError::host(Operation::Status, ByteOffset(0), ByteCount(0), error))
    }

    fn set_len(&self, len: ByteCount) -> Result<()> {
        let end = ByteOffset(len.get());
        self.check_writable(Operation::Resize, end, ByteCount(0))?;
        reachable(Operation::Resize, end, ByteCount(0))?;
        self.file
            .set_len(len.get())
            .map_err(|error| IoError::host(Operation::Resize, end, ByteCount(0), error))
    }

    fn zero(&self, range: ByteRange, mode: ZeroMode) -> Result<()> {
        let (start, len) = (range.start(), range.len());
        self.check_writable(Operation::Zero, start, len)?;
        checked(Operation::Zero, start, len, self.len()?)?;
        if range.is_empty() {
            return Ok(());
        }
        platform::zero(&self.file, range, mode)
            .and_then(|done| {
                if done {
                    Ok(())
                } else {
                    self.write_zeros(range)
                }
            })
            .map_err(|error| IoError::host(Operation::Zero, start, len, error))
    }

    fn extent_at(&self, range: ByteRange) -> Result<Extent> {
        check_status(range, self.len()?)?;
        let (kind, end) = platform::extent(&self.file, range)
            .map_err(|error| IoError::host(Operation::Status, range.start(), range.len(), error))?;
        let run =
            ByteRange::between(range.start(), ByteOffset(end)).and_then(|run| run.intersect(range));
        Ok(match run {
            Some(run) => Extent { range: run, kind },
            // The file changed meanwhile; `Data` is always true.
            None => Extent {
                range,
                kind: ExtentKind::Data,
            },
        })
    }

    fn is_read_only(&self) -> bool {
        self.access == FileAccess::ReadOnly
    }

    fn copy_within(&self, range: ByteRange, to: ByteOffset) -> Result<()> {
        self.check_writable(Operation::Write, to, range.len())?;
        checked(Operation::Read, range.start(), range.len(), self.len()?)?;
        reachable(Operation::Write, to, range.len())?;
        let copied = platform::copy(&self.file, range, to.get())
            .map_err(|error| IoError::host(Operation::Write, to, range.len(), error))?;
        // What the host did not copy, if that is anything, is read and written.
        let rest = |start: ByteOffset| start.checked_add(ByteCount(copied));
        let left = rest(range.start()).and_then(|start| ByteRange::between(start, range.end()));
        match (left, rest(to)) {
            (Some(left), Some(to)) if !left.is_empty() => copy_by_hand(self, left, to),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failed_sync_no_sync_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let storage = FileStorage::create_new(&folder.path().join("a")).unwrap();
        storage.sync().unwrap();
        let failed = storage.settle(Err(io::ErrorKind::Other.into()));
        assert_eq!(failed.unwrap_err().kind(), IoErrorKind::Host);
        for _ in 0..2 {
            let again = storage.sync().unwrap_err();
            assert_eq!(again.kind(), IoErrorKind::Poisoned);
        }
    }
}

//! Checking the file systems on a disk at rest, wherever on it they lie.
//!
//! Invariant: the disk is only read.

use std::ops::ControlFlow;
use std::sync::Arc;

use blockio::{ByteOffset, ByteRange, Disk, Window};
use mkfs::{FileSystem, MkfsErrorKind, VolumeReport};

use crate::browse::{BrowseError, Result};

/// Is told bytes done and to do of the file system at hand; `Break` stops the check.
pub type CheckProgress<'a> = &'a dyn Fn(u64, u64) -> ControlFlow<()>;

/// What a check of one file system found.
#[derive(Clone, Debug)]
pub struct CheckedFileSystem {
    /// The partition that it fills; the whole disk where there is no partition table.
    pub range: ByteRange,
    /// The findings.
    pub report: VolumeReport,
}

/// Checks every NTFS and FAT32 file system on `disk`: those in its partitions (GPT, or primary by
/// MBR), or the one that fills the disk where there is no partition table.
///
/// # Errors
/// `Unsupported` where there is no file system that can be checked; `Damaged` where the partition
/// table cannot be used, or a file system is too damaged to be walked; `Interrupted`; `Io`.
pub fn check(disk: &Arc<dyn Disk>, progress: CheckProgress<'_>) -> Result<Vec<CheckedFileSystem>> {
    let whole = ByteRange::new(ByteOffset(0), disk.size());
    let ranges: Vec<ByteRange> = match mkfs::gpt::partitions(&**disk) {
        Ok(partitions) => partitions.iter().map(|entry| entry.range).collect(),
        Err(error) if error.kind() == MkfsErrorKind::NotFound => {
            // The boot sector of a file system may look like a master boot record.
            match file_system(&**disk)? {
                FileSystem::Unknown => mkfs::gpt::mbr_partitions(&**disk)?,
                _ => whole.into_iter().collect(),
            }
        }
        Err(error) => return Err(error.into()),
    };
    let mut found = FileSystem::Unknown;
    let mut checked = Vec::new();
    for range in ranges {
        let window: Window = Window::new(Arc::clone(disk), range)?;
        let kind = file_system(&window)?;
        let report = match kind {
            FileSystem::Ntfs => mkfs::ntfs::fsck::check(&window, progress)?,
            FileSystem::Fat32 => mkfs::fat32::fsck::check(&window, progress)?,
            other => {
                if found == FileSystem::Unknown {
                    found = other;
                }
                continue;
            }
        };
        checked.push(CheckedFileSystem { range, report });
    }
    if checked.is_empty() {
        return Err(BrowseError::NoFileSystem { found });
    }
    Ok(checked)
}

/// The file system on a partition; where its first sector tells of none, a copy may.
fn file_system(disk: &dyn Disk) -> Result<FileSystem> {
    let kind = mkfs::identify(disk)?;
    Ok(match kind {
        FileSystem::Unknown if mkfs::ntfs::fsck::has_boot_copy(disk) => FileSystem::Ntfs,
        FileSystem::Unknown if mkfs::fat32::fsck::has_boot_copy(disk) => FileSystem::Fat32,
        kind => kind,
    })
}

//! A storage as a raw disk: byte N of the disk is byte N of the storage.
//!
//! Invariant: the size is taken once at the start; no operation of the disk changes the length of
//! the storage.

use crate::disk::{BlockKind, BlockStatus, Disk};
use crate::error::{IoError, IoErrorKind, Operation, Result};
use crate::range::{buffer_len, check_status, checked};
use crate::storage::{ExtentKind, Storage, ZeroMode};
use crate::units::{ByteCount, ByteOffset, ByteRange, SectorSize};

/// A raw disk in a storage (a file, most often); holes of the storage are holes of the disk.
pub struct FileDisk {
    storage: Box<dyn Storage>,
    size: ByteCount,
    sector: SectorSize,
}

impl FileDisk {
    /// The storage as a disk of the length that it has now.
    ///
    /// # Errors
    /// `Unsupported` where the length is not a whole number of sectors, `Host` where the host
    /// cannot tell it.
    pub fn new(storage: Box<dyn Storage>, sector: SectorSize) -> Result<Self> {
        let size = storage.len()?;
        if !size.get().is_multiple_of(sector.bytes()) {
            return Err(IoError::new(
                IoErrorKind::Unsupported,
                Operation::Open,
                ByteOffset(0),
                size,
            )
            .with_source(format!(
                "the length is not a whole number of {} byte sectors",
                sector.bytes()
            )));
        }
        Ok(Self {
            storage,
            size,
            sector,
        })
    }

    /// Ends the disk and hands back its storage. Nothing is flushed.
    pub fn into_storage(self) -> Box<dyn Storage> {
        self.storage
    }
}

impl std::fmt::Debug for FileDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileDisk")
            .field("size", &self.size)
            .field("sector", &self.sector)
            .finish_non_exhaustive()
    }
}

impl Disk for FileDisk {
    fn size(&self) -> ByteCount {
        self.size
    }

    fn logical_sector_size(&self) -> SectorSize {
        self.sector
    }

    fn physical_sector_size(&self) -> SectorSize {
        self.sector
    }

    fn is_read_only(&self) -> bool {
        self.storage.is_read_only()
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        checked(Operation::Read, offset, buffer_len(buf), self.size)?;
        self.storage.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        checked(Operation::Write, offset, buffer_len(buf), self.size)?;
        self.storage.write_at(buf, offset)
    }

    fn flush(&self) -> Result<()> {
        self.storage.sync()
    }

    fn discard(&self, range: ByteRange) -> Result<()> {
        checked(Operation::Discard, range.start(), range.len(), self.size)?;
        self.storage.zero(range, ZeroMode::Punch)
    }

    fn write_zeroes(&self, range: ByteRange) -> Result<()> {
        checked(Operation::Zero, range.start(), range.len(), self.size)?;
        self.storage.zero(range, ZeroMode::KeepAllocated)
    }

    fn block_status(&self, range: ByteRange) -> Result<BlockStatus> {
        check_status(range, self.size)?;
        let extent = self.storage.extent_at(range)?;
        Ok(BlockStatus {
            range: extent.range,
            kind: match extent.kind {
                ExtentKind::Data => BlockKind::Data,
                ExtentKind::Hole => BlockKind::Hole,
            },
        })
    }
}

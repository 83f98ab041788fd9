//! A disk that refuses every change, whatever stands below it.

use crate::disk::{BlockStatus, Disk};
use crate::error::{Operation, Result};
use crate::range::{buffer_len, read_only};
use crate::units::{ByteCount, ByteOffset, ByteRange, SectorSize};

/// A disk that can only be read.
#[derive(Clone, Debug)]
pub struct ReadOnly<D: Disk> {
    disk: D,
}

impl<D: Disk> ReadOnly<D> {
    /// The disk, for reading only.
    pub fn new(disk: D) -> Self {
        Self { disk }
    }

    /// Ends the wrapper and hands back the disk.
    pub fn into_inner(self) -> D {
        self.disk
    }
}

impl<D: Disk> Disk for ReadOnly<D> {
    fn size(&self) -> ByteCount {
        self.disk.size()
    }

    fn logical_sector_size(&self) -> SectorSize {
        self.disk.logical_sector_size()
    }

    fn physical_sector_size(&self) -> SectorSize {
        self.disk.physical_sector_size()
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        self.disk.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        Err(read_only(Operation::Write, offset, buffer_len(buf)))
    }

    /// Does nothing: there is never anything to make durable.
    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn discard(&self, range: ByteRange) -> Result<()> {
        Err(read_only(Operation::Discard, range.start(), range.len()))
    }

    fn write_zeroes(&self, range: ByteRange) -> Result<()> {
        Err(read_only(Operation::Zero, range.start(), range.len()))
    }

    fn block_status(&self, range: ByteRange) -> Result<BlockStatus> {
        self.disk.block_status(range)
    }
}

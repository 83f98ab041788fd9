//! A window onto a part of a disk: a partition as a disk of its own.
//!
//! Invariant: no operation reaches a byte outside the window.

use std::sync::Arc;

use crate::disk::{BlockStatus, Disk};
use crate::error::{IoError, IoErrorKind, Operation, Result};
use crate::range::{buffer_len, check_status, checked};
use crate::units::{ByteCount, ByteOffset, ByteRange, SectorSize};

/// A part of a disk as a disk; offset 0 of the window is the first byte of the part.
pub struct Window<D: Disk + ?Sized = dyn Disk> {
    range: ByteRange,
    disk: Arc<D>,
}

impl<D: Disk + ?Sized> Window<D> {
    /// The bytes `range` of `disk` as a disk.
    ///
    /// # Errors
    /// `OutOfRange` where the range runs past the disk, `Unsupported` where its start or length
    /// is not a whole number of logical sectors.
    pub fn new(disk: Arc<D>, range: ByteRange) -> Result<Self> {
        let (start, len) = (range.start(), range.len());
        checked(Operation::Open, start, len, disk.size())?;
        let sector = disk.logical_sector_size().bytes();
        if !start.get().is_multiple_of(sector) || !len.get().is_multiple_of(sector) {
            return Err(
                IoError::new(IoErrorKind::Unsupported, Operation::Open, start, len).with_source(
                    format!("the window is not aligned to the {sector} byte sectors of the disk"),
                ),
            );
        }
        Ok(Self { range, disk })
    }

    /// Where the window lies on the disk below.
    pub fn range(&self) -> ByteRange {
        self.range
    }

    /// `len` bytes at `offset` of the window as a range of the disk below.
    fn below(&self, operation: Operation, offset: ByteOffset, len: ByteCount) -> Result<ByteRange> {
        let inner = checked(operation, offset, len, self.range.len())?;
        self.range
            .start()
            .checked_add(ByteCount(inner.start().get()))
            .and_then(|start| ByteRange::new(start, len))
            .ok_or_else(|| IoError::new(IoErrorKind::OutOfRange, operation, offset, len))
    }
}

impl<D: Disk + ?Sized> std::fmt::Debug for Window<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window")
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

impl<D: Disk + ?Sized> Disk for Window<D> {
    fn size(&self) -> ByteCount {
        self.range.len()
    }

    fn logical_sector_size(&self) -> SectorSize {
        self.disk.logical_sector_size()
    }

    fn physical_sector_size(&self) -> SectorSize {
        self.disk.physical_sector_size()
    }

    fn is_read_only(&self) -> bool {
        self.disk.is_read_only()
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        let below = self.below(Operation::Read, offset, buffer_len(buf))?;
        self.disk.read_at(buf, below.start())
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        let below = self.below(Operation::Write, offset, buffer_len(buf))?;
        self.disk.write_at(buf, below.start())
    }

    fn flush(&self) -> Result<()> {
        self.disk.flush()
    }

    fn discard(&self, range: ByteRange) -> Result<()> {
        let below = self.below(Operation::Discard, range.start(), range.len())?;
        self.disk.discard(below)
    }

    fn write_zeroes(&self, range: ByteRange) -> Result<()> {
        let below = self.below(Operation::Zero, range.start(), range.len())?;
        self.disk.write_zeroes(below)
    }

    fn block_status(&self, range: ByteRange) -> Result<BlockStatus> {
        check_status(range, self.range.len())?;
        let below = self.below(Operation::Status, range.start(), range.len())?;
        let status = self.disk.block_status(below)?;
        let run = ByteRange::new(range.start(), status.range.len());
        Ok(BlockStatus {
            range: run.unwrap_or(range),
            kind: status.kind,
        })
    }
}

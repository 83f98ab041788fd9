//! A chain that is open for reading, as one disk: the child is its first layer.

use blockio::{
    BlockStatus, ByteCount, ByteOffset, ByteRange, Disk, IoError, IoErrorKind, Operation,
    SectorSize,
};

use super::{Chain, Layer};
use crate::bounds::{buffer_len, checked_range, checked_status};
use crate::compact::{CompactReport, CompactRequest};
use crate::error::ImageError;
use crate::image::ImageDisk;
use crate::info::ImageInfo;

/// A differencing image that is open for reading.
pub(crate) struct ChainDisk {
    chain: Chain,
    size: ByteCount,
    info: ImageInfo,
}

impl ChainDisk {
    /// The disk of `child`, whose parents are `parents`.
    pub(crate) fn new(child: Box<dyn Layer>, parents: Vec<Box<dyn Layer>>) -> Self {
        let (size, info) = (child.size(), child.info());
        let layers = std::iter::once(child).chain(parents);
        Self {
            chain: Chain::new(layers.collect()),
            size,
            info,
        }
    }

    /// Its layers.
    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    fn refuse(operation: Operation, range: ByteRange) -> Result<(), IoError> {
        let kind = IoErrorKind::ReadOnly;
        Err(IoError::new(kind, operation, range.start(), range.len()))
    }
}

impl Disk for ChainDisk {
    fn size(&self) -> ByteCount {
        self.size
    }

    fn logical_sector_size(&self) -> SectorSize {
        self.info.logical_sector
    }

    fn physical_sector_size(&self) -> SectorSize {
        self.info.physical_sector
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<(), IoError> {
        checked_range(Operation::Read, offset, buffer_len(buf), self.size)?;
        self.chain.read(buf, offset.get())
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<(), IoError> {
        let range = checked_range(Operation::Write, offset, buffer_len(buf), self.size)?;
        Self::refuse(Operation::Write, range)
    }

    fn flush(&self) -> Result<(), IoError> {
        Ok(())
    }

    fn discard(&self, range: ByteRange) -> Result<(), IoError> {
        Self::refuse(Operation::Discard, range)
    }

    fn write_zeroes(&self, range: ByteRange) -> Result<(), IoError> {
        Self::refuse(Operation::Zero, range)
    }

    fn block_status(&self, range: ByteRange) -> Result<BlockStatus, IoError> {
        checked_status(range, self.size)?;
        let (start, length) = (range.start().get(), range.len().get());
        let (kind, length) = self.chain.status(start, length)?;
        let range = checked_range(Operation::Status, range.start(), length, self.size)?;
        Ok(BlockStatus { range, kind })
    }
}

impl ImageDisk for ChainDisk {
    fn close(self: Box<Self>) -> Result<(), ImageError> {
        Ok(())
    }

    fn info(&self) -> ImageInfo {
        self.info.clone()
    }

    fn compact(&mut self, _: &CompactRequest<'_>) -> Result<CompactReport, ImageError> {
        Err(ImageError::ReadOnly)
    }

    fn resize(&mut self, _: ByteCount) -> Result<(), ImageError> {
        Err(ImageError::ReadOnly)
    }

    fn allow_size(&self, _: ByteCount) -> Result<(), ImageError> {
        Err(ImageError::ReadOnly)
    }
}

//! A disk whose byte N is byte N of its file: raw images and fixed VHDs.
//!
//! The file of a raw image need not be whole sectors long; what it lacks reads zero, and the first
//! write that touches it makes the file whole.

use std::sync::atomic::{AtomicU64, Ordering};

use blockio::{
    BlockKind, BlockStatus, ByteCount, ByteOffset, ByteRange, Disk, ExtentKind, IoError,
    IoErrorKind, Operation, SectorSize, Storage, ZeroMode,
};

use crate::bounds::{buffer_len, checked_range, checked_status, to_index};
use crate::compact::{
    CompactReport, CompactRequest, Holes, MAKES_HOLES, look_for_zeros, stored_in,
};
use crate::error::ImageError;
use crate::image::{Access, ImageDisk, ImageFormat};
use crate::info::ImageInfo;
use crate::resize::refuse_data_beyond;

/// A flat image.
pub(crate) struct FlatDisk {
    storage: Box<dyn Storage>,
    read_only: bool,
    info: ImageInfo,
    /// Bytes of the disk that the file holds; less than its size only in a raw image whose length
    /// is not a whole number of sectors. Grows once, to the size.
    stored: AtomicU64,
}

impl FlatDisk {
    /// The first `info.virtual_size` bytes of `storage`, of which `stored` are in the file.
    ///
    /// # Errors
    /// `ReadOnly` where a read-only storage is to be written.
    pub(crate) fn new(
        storage: Box<dyn Storage>,
        access: Access,
        info: ImageInfo,
        stored: u64,
    ) -> Result<Self, ImageError> {
        if access == Access::ReadWrite && storage.is_read_only() {
            return Err(ImageError::ReadOnly);
        }
        Ok(Self {
            storage,
            read_only: access == Access::ReadOnly,
            stored: AtomicU64::new(stored.min(info.virtual_size.get())),
            info,
        })
    }

    fn check_write(
        &self,
        operation: Operation,
        offset: ByteOffset,
        len: u64,
    ) -> Result<ByteRange, IoError> {
        let range = checked_range(operation, offset, len, self.info.virtual_size)?;
        if self.read_only {
            return Err(IoError::new(
                IoErrorKind::ReadOnly,
                operation,
                offset,
                ByteCount(len),
            ));
        }
        if range.end().get() > self.stored.load(Ordering::Acquire) {
            // Two threads may both come here; growing to the same length twice does no harm.
            self.storage.set_len(self.info.virtual_size)?;
            self.stored
                .store(self.info.virtual_size.get(), Ordering::Release);
        }
        Ok(range)
    }
}

impl Disk for FlatDisk {
    fn size(&self) -> ByteCount {
        self.info.virtual_size
    }

    fn logical_sector_size(&self) -> SectorSize {
        self.info.logical_sector
    }

    fn physical_sector_size(&self) -> SectorSize {
        self.info.physical_sector
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<(), IoError> {
        let size = self.info.virtual_size;
        let range = checked_range(Operation::Read, offset, buffer_len(buf), size)?;
        let stored = self.stored.load(Ordering::Acquire);
        if range.end().get() <= stored {
            return self.storage.read_at(buf, offset);
        }
        let held = to_index(stored.saturating_sub(offset.get()))
            .unwrap_or(buf.len())
            .min(buf.len());
        let (head, tail) = buf.split_at_mut(held);
        tail.fill(0);
        if head.is_empty() {
            return Ok(());
        }
        self.storage.read_at(head, offset)
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<(), IoError> {
        self.check_write(Operation::Write, offset, buffer_len(buf))?;
        self.storage.write_at(buf, offset)
    }

    fn flush(&self) -> Result<(), IoError> {
        if self.read_only {
            return Ok(());
        }
        self.storage.sync()
    }

    fn discard(&self, range: ByteRange) -> Result<(), IoError> {
        let range = self.check_write(Operation::Discard, range.start(), range.len().get())?;
        self.storage.zero(range, ZeroMode::Punch)
    }

    fn write_zeroes(&self, range: ByteRange) -> Result<(), IoError> {
        let range = self.check_write(Operation::Zero, range.start(), range.len().get())?;
        self.storage.zero(range, ZeroMode::KeepAllocated)
    }

    fn block_status(&self, range: ByteRange) -> Result<BlockStatus, IoError> {
        checked_status(range, self.info.virtual_size)?;
        let stored = ByteOffset(self.stored.load(Ordering::Acquire));
        if range.start() >= stored {
            return Ok(BlockStatus {
                range,
                kind: BlockKind::Hole,
            });
        }
        let held = ByteRange::between(range.start(), range.end().min(stored)).unwrap_or(range);
        let extent = self.storage.extent_at(held)?;
        Ok(BlockStatus {
            range: extent.range,
            kind: match extent.kind {
                ExtentKind::Data => BlockKind::Data,
                ExtentKind::Hole => BlockKind::Hole,
            },
        })
    }
}

impl ImageDisk for FlatDisk {
    fn close(self: Box<Self>) -> Result<(), ImageError> {
        Ok(self.flush()?)
    }

    fn info(&self) -> ImageInfo {
        self.info.clone()
    }

    fn resize(&mut self, size: ByteCount) -> Result<(), ImageError> {
        let old = self.info.virtual_size;
        if self.read_only {
            return Err(ImageError::ReadOnly);
        }
        if size < old {
            refuse_data_beyond(self, size.get())?;
        }
        match self.info.format {
            ImageFormat::Vhd => crate::vhd::resize_fixed(&*self.storage, size)?,
            _ => {
                crate::resize::refuse_part_of_sector(size, crate::resize::SECTOR)?;
                self.storage.set_len(size)?;
                self.storage.sync()?;
            }
        }
        self.info.virtual_size = size;
        self.info.allocated = size;
        self.info.file_length = self.storage.len()?;
        self.stored.store(size.get(), Ordering::Release);
        Ok(())
    }

    fn allow_size(&self, size: ByteCount) -> Result<(), ImageError> {
        match self.info.format {
            ImageFormat::Vhd => crate::vhd::refuse_size(size),
            _ => crate::resize::refuse_part_of_sector(size, crate::resize::SECTOR),
        }
    }

    /// The file keeps its length; what is not needed becomes holes, where the host has them.
    fn compact(&mut self, request: &CompactRequest<'_>) -> Result<CompactReport, ImageError> {
        if self.info.format != ImageFormat::Raw {
            return Err(ImageError::unsupported(
                "compacting a fixed image, which keeps its space by definition; convert it to a \
                 dynamic one",
            ));
        }
        if self.read_only {
            return Err(ImageError::ReadOnly);
        }
        let length = self.storage.len()?;
        let stored = stored_in(&*self.storage, 0, length.get())?;
        let mut report = CompactReport {
            length_before: length,
            length_after: length,
            stored_before: ByteCount(stored),
            stored_after: ByteCount(stored),
            ..CompactReport::default()
        };
        if !MAKES_HOLES {
            return Ok(report);
        }
        let mut given_back = 0;
        let mut buffer = Vec::new();
        let mut at = 0;
        while at < length.get() {
            request.tell(at, length.get())?;
            let end = (at + COMPACT_STEP).min(length.get());
            let mut holes = Holes::default();
            for (from, to, is_used) in request.parts(at, end) {
                match is_used {
                    true => {
                        let found = Some(&mut holes);
                        look_for_zeros(&*self.storage, from, to, found, &mut buffer)?;
                    }
                    false => holes.add(from, to),
                }
            }
            for hole in holes.worth_it() {
                let kept = stored_in(&*self.storage, hole.start().get(), hole.end().get())?;
                given_back += kept;
                if kept > 0 && !request.dry_run {
                    // In place, in no order with anything: these bytes are zero or nobody's.
                    self.storage.zero(hole, ZeroMode::Punch)?;
                }
            }
            at = end;
        }
        if !request.dry_run {
            // What reads zero from here on stays so.
            self.storage.sync()?;
        }
        report.stored_after = ByteCount(match request.dry_run {
            true => stored.saturating_sub(given_back),
            false => stored_in(&*self.storage, 0, length.get())?,
        });
        Ok(report)
    }
}

/// Bytes of a raw image that a compaction looks at before it makes holes.
const COMPACT_STEP: u64 = 64 * blockio::MIB;

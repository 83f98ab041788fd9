//! Storage and disk in memory: for tests, for models, and for volumes that live in no file.

use std::sync::{PoisonError, RwLock};

use crate::disk::{BlockKind, BlockStatus, Disk};
use crate::error::{IoError, IoErrorKind, Operation, Result};
use crate::storage::{Extent, ExtentKind, Storage, ZeroMode};
use crate::units::{ByteCount, ByteOffset, ByteRange, SectorSize};

/// Growable bytes in memory. A sync costs nothing and a crash loses everything.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    bytes: RwLock<Vec<u8>>,
}

/// A disk of fixed size in memory.
#[derive(Debug)]
pub struct MemoryDisk {
    storage: MemoryStorage,
    size: ByteCount,
    sector: SectorSize,
}

fn out_of_range(operation: Operation, offset: ByteOffset, length: u64) -> IoError {
    IoError::new(
        IoErrorKind::OutOfRange,
        operation,
        offset,
        ByteCount(length),
    )
}

/// Index bounds of `length` bytes at `offset` within `total`, or `OutOfRange`.
fn bounds(
    operation: Operation,
    offset: ByteOffset,
    length: usize,
    total: usize,
) -> Result<std::ops::Range<usize>> {
    let error = || out_of_range(operation, offset, u64::try_from(length).unwrap_or(u64::MAX));
    let start = usize::try_from(offset.get()).map_err(|_| error())?;
    let end = start
        .checked_add(length)
        .filter(|end| *end <= total)
        .ok_or_else(error)?;
    Ok(start..end)
}

impl MemoryStorage {
    /// A storage that holds `bytes`.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self {
            bytes: RwLock::new(bytes),
        }
    }

    /// A copy of all bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn grow(
        bytes: &mut Vec<u8>,
        operation: Operation,
        offset: ByteOffset,
        end: usize,
    ) -> Result<()> {
        if end > bytes.len() {
            let more = end - bytes.len();
            bytes.try_reserve(more).map_err(|_| {
                IoError::new(
                    IoErrorKind::NoSpace,
                    operation,
                    offset,
                    ByteCount(u64::try_from(more).unwrap_or(u64::MAX)),
                )
            })?;
            bytes.resize(end, 0);
        }
        Ok(())
    }
}

impl Storage for MemoryStorage {
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        let bytes = self.bytes.read().unwrap_or_else(PoisonError::into_inner);
        let range = bounds(Operation::Read, offset, buf.len(), bytes.len())?;
        buf.copy_from_slice(&bytes[range]);
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        let range = bounds(Operation::Write, offset, buf.len(), usize::MAX)?;
        if buf.is_empty() {
            // As for a file: nothing written, nothing grown.
            return Ok(());
        }
        let mut bytes = self.bytes.write().unwrap_or_else(PoisonError::into_inner);
        Self::grow(&mut bytes, Operation::Write, offset, range.end)?;
        bytes[range].copy_from_slice(buf);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> Result<ByteCount> {
        let len = self
            .bytes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        Ok(ByteCount(u64::try_from(len).unwrap_or(u64::MAX)))
    }

    fn set_len(&self, len: ByteCount) -> Result<()> {
        let end = bounds(Operation::Resize, ByteOffset(len.get()), 0, usize::MAX)?.end;
        let mut bytes = self.bytes.write().unwrap_or_else(PoisonError::into_inner);
        bytes.truncate(end);
        Self::grow(&mut bytes, Operation::Resize, ByteOffset(len.get()), end)
    }

    fn zero(&self, range: ByteRange, _mode: ZeroMode) -> Result<()> {
        let length = usize::try_from(range.len().get())
            .map_err(|_| out_of_range(Operation::Zero, range.start(), range.len().get()))?;
        let mut bytes = self.bytes.write().unwrap_or_else(PoisonError::into_inner);
        let range = bounds(Operation::Zero, range.start(), length, bytes.len())?;
        bytes[range].fill(0);
        Ok(())
    }

    fn extent_at(&self, range: ByteRange) -> Result<Extent> {
        if range.is_empty() || range.end().get() > self.len()?.get() {
            return Err(out_of_range(
                Operation::Status,
                range.start(),
                range.len().get(),
            ));
        }
        Ok(Extent {
            range,
            kind: ExtentKind::Data,
        })
    }

    fn is_read_only(&self) -> bool {
        false
    }
}

impl MemoryDisk {
    /// A disk of zeros; `None` where `size` is not a whole number of sectors or does not fit.
    pub fn new(size: ByteCount, sector: SectorSize) -> Option<Self> {
        if !size.get().is_multiple_of(sector.bytes()) {
            return None;
        }
        let storage = MemoryStorage::default();
        storage.set_len(size).ok()?;
        Some(Self {
            storage,
            size,
            sector,
        })
    }

    /// A copy of all bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.storage.to_bytes()
    }
}

impl Disk for MemoryDisk {
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
        false
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        self.storage.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        let size = usize::try_from(self.size.get()).unwrap_or(usize::MAX);
        bounds(Operation::Write, offset, buf.len(), size)?;
        self.storage.write_at(buf, offset)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn discard(&self, range: ByteRange) -> Result<()> {
        self.storage.zero(range, ZeroMode::Punch)
    }

    fn write_zeroes(&self, range: ByteRange) -> Result<()> {
        self.storage.zero(range, ZeroMode::KeepAllocated)
    }

    fn block_status(&self, range: ByteRange) -> Result<BlockStatus> {
        let extent = self.storage.extent_at(range)?;
        Ok(BlockStatus {
            range: extent.range,
            kind: BlockKind::Data,
        })
    }
}

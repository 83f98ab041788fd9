//! A storage as a disk, and two storages whose operations are remembered in one order.

use std::sync::{Arc, Mutex};

use blockio::{
    BlockKind, BlockStatus, ByteCount, ByteOffset, ByteRange, Disk, Extent, IoError, SectorSize,
    SimStorage, Storage, ZeroMode,
};

/// A raw disk on a storage.
pub(crate) struct StorageDisk<S>(pub(crate) S);

impl<S: Storage> Disk for StorageDisk<S> {
    fn size(&self) -> ByteCount {
        self.0.len().unwrap()
    }

    fn logical_sector_size(&self) -> SectorSize {
        SectorSize::B512
    }

    fn physical_sector_size(&self) -> SectorSize {
        SectorSize::B512
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<(), IoError> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<(), IoError> {
        self.0.write_at(buf, offset)
    }

    fn flush(&self) -> Result<(), IoError> {
        self.0.sync()
    }

    fn discard(&self, range: ByteRange) -> Result<(), IoError> {
        self.0.zero(range, ZeroMode::Punch)
    }

    fn write_zeroes(&self, range: ByteRange) -> Result<(), IoError> {
        self.0.zero(range, ZeroMode::KeepAllocated)
    }

    fn block_status(&self, range: ByteRange) -> Result<BlockStatus, IoError> {
        Ok(BlockStatus {
            range,
            kind: BlockKind::Data,
        })
    }
}

/// A simulated storage that notes, after each operation, how far it and its partner have come.
pub(crate) struct Recorded {
    pub(crate) own: SimStorage,
    pub(crate) order: Arc<Mutex<Vec<(usize, usize)>>>,
    pub(crate) is_first: bool,
}

impl Recorded {
    fn note<T>(&self, result: T) -> T {
        let mut order = self.order.lock().unwrap();
        let (first, second) = order.last().copied().unwrap_or_default();
        let position = self.own.position().0;
        order.push(if self.is_first {
            (position, second)
        } else {
            (first, position)
        });
        result
    }
}

impl Storage for Recorded {
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<(), IoError> {
        self.own.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<(), IoError> {
        self.note(self.own.write_at(buf, offset))
    }

    fn sync(&self) -> Result<(), IoError> {
        self.note(self.own.sync())
    }

    fn len(&self) -> Result<ByteCount, IoError> {
        self.own.len()
    }

    fn set_len(&self, len: ByteCount) -> Result<(), IoError> {
        self.note(self.own.set_len(len))
    }

    fn zero(&self, range: ByteRange, mode: ZeroMode) -> Result<(), IoError> {
        self.note(self.own.zero(range, mode))
    }

    fn extent_at(&self, range: ByteRange) -> Result<Extent, IoError> {
        self.own.extent_at(range)
    }

    fn is_read_only(&self) -> bool {
        false
    }
}

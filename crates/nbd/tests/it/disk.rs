//! A disk of the tests: in memory, with holes of 4 KiB, and with a say in what a read or flush does.

use std::sync::{Mutex, PoisonError};

use blockio::{
    BlockKind, BlockStatus, ByteCount, ByteOffset, ByteRange, Disk, IoError, IoErrorKind,
    Operation, Result, SectorSize,
};

const PAGE: usize = 4096;

/// Asked before each read (with its offset) or flush; an error is passed on.
type Hook = Box<dyn Fn(u64) -> std::result::Result<(), IoErrorKind> + Send + Sync>;

pub(crate) struct TestDisk {
    content: Mutex<Content>,
    on_read: Hook,
    on_flush: Hook,
}

struct Content {
    bytes: Vec<u8>,
    is_present: Vec<bool>,
}

fn at(offset: ByteOffset) -> usize {
    usize::try_from(offset.get()).unwrap()
}

impl TestDisk {
    /// A disk of so many bytes, a multiple of 4096, that holds nothing.
    pub(crate) fn new(length: u64) -> Self {
        let length = usize::try_from(length).unwrap();
        let content = Content {
            bytes: vec![0; length],
            is_present: vec![false; length / PAGE],
        };
        Self {
            content: Mutex::new(content),
            on_read: Box::new(|_| Ok(())),
            on_flush: Box::new(|_| Ok(())),
        }
    }

    pub(crate) fn on_read(
        mut self,
        hook: impl Fn(u64) -> std::result::Result<(), IoErrorKind> + Send + Sync + 'static,
    ) -> Self {
        self.on_read = Box::new(hook);
        self
    }

    pub(crate) fn on_flush(
        mut self,
        hook: impl Fn(u64) -> std::result::Result<(), IoErrorKind> + Send + Sync + 'static,
    ) -> Self {
        self.on_flush = Box::new(hook);
        self
    }

    fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.content().bytes.clone()
    }
}

fn failed(kind: IoErrorKind, operation: Operation) -> IoError {
    IoError::new(kind, operation, ByteOffset(0), ByteCount(0))
}

impl Disk for TestDisk {
    fn size(&self) -> ByteCount {
        ByteCount(u64::try_from(self.content().bytes.len()).unwrap())
    }

    fn logical_sector_size(&self) -> SectorSize {
        SectorSize::B512
    }

    fn physical_sector_size(&self) -> SectorSize {
        SectorSize::B4096
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        (self.on_read)(offset.get()).map_err(|kind| failed(kind, Operation::Read))?;
        buf.copy_from_slice(&self.content().bytes[at(offset)..at(offset) + buf.len()]);
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        let mut content = self.content();
        let end = at(offset) + buf.len();
        content.bytes[at(offset)..end].copy_from_slice(buf);
        if !buf.is_empty() {
            content.is_present[at(offset) / PAGE..end.div_ceil(PAGE)].fill(true);
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        (self.on_flush)(0).map_err(|kind| failed(kind, Operation::Flush))
    }

    fn discard(&self, range: ByteRange) -> Result<()> {
        let mut content = self.content();
        let (start, end) = (at(range.start()), at(range.end()));
        content.bytes[start..end].fill(0);
        let (first, last) = (start.div_ceil(PAGE), end / PAGE);
        if first < last {
            content.is_present[first..last].fill(false);
        }
        Ok(())
    }

    fn write_zeroes(&self, range: ByteRange) -> Result<()> {
        self.discard(range)
    }

    fn block_status(&self, range: ByteRange) -> Result<BlockStatus> {
        let content = self.content();
        let first = at(range.start()) / PAGE;
        let is_present = content.is_present[first];
        let run = content.is_present[first..].iter();
        let run = run.take_while(|&&other| other == is_present).count();
        let end = u64::try_from((first + run) * PAGE).unwrap();
        let end = ByteOffset(end.min(range.end().get()));
        Ok(BlockStatus {
            range: ByteRange::between(range.start(), end).unwrap(),
            kind: if is_present {
                BlockKind::Data
            } else {
                BlockKind::Hole
            },
        })
    }
}

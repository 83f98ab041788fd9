//! A disk that counts what is asked of it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{BlockStatus, Disk};
use crate::error::Result;
use crate::range::buffer_len;
use crate::units::{ByteCount, ByteOffset, ByteRange, SectorSize};

/// How often and over how many bytes an operation succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoCount {
    /// Operations.
    pub operations: u64,
    /// Bytes that they covered.
    pub bytes: ByteCount,
}

/// What was asked of a disk so far; an operation that failed counts in `errors` alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Reads.
    pub reads: IoCount,
    /// Writes.
    pub writes: IoCount,
    /// Zeroings.
    pub zeroes: IoCount,
    /// Discards.
    pub discards: IoCount,
    /// Flushes.
    pub flushes: u64,
    /// Operations of any kind that failed.
    pub errors: u64,
}

#[derive(Debug, Default)]
struct Counter {
    operations: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    fn add(&self, bytes: ByteCount) {
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes.get(), Ordering::Relaxed);
    }

    fn get(&self) -> IoCount {
        IoCount {
            operations: self.operations.load(Ordering::Relaxed),
            bytes: ByteCount(self.bytes.load(Ordering::Relaxed)),
        }
    }
}

/// A disk that counts operations and bytes. Share it as `Arc<Counted<_>>` to read the counts while
/// others use it.
#[derive(Debug)]
pub struct Counted<D: Disk> {
    disk: D,
    reads: Counter,
    writes: Counter,
    zeroes: Counter,
    discards: Counter,
    flushes: AtomicU64,
    errors: AtomicU64,
}

impl<D: Disk> Counted<D> {
    /// The disk, with all counts at zero.
    pub fn new(disk: D) -> Self {
        Self {
            disk,
            reads: Counter::default(),
            writes: Counter::default(),
            zeroes: Counter::default(),
            discards: Counter::default(),
            flushes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        }
    }

    /// The counts so far.
    pub fn counts(&self) -> DiskCounts {
        DiskCounts {
            reads: self.reads.get(),
            writes: self.writes.get(),
            zeroes: self.zeroes.get(),
            discards: self.discards.get(),
            flushes: self.flushes.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
        }
    }

    /// Ends the wrapper and hands back the disk.
    pub fn into_inner(self) -> D {
        self.disk
    }

    fn count(&self, result: Result<()>, counter: &Counter, bytes: ByteCount) -> Result<()> {
        match &result {
            Ok(()) => counter.add(bytes),
            Err(_) => {
                self.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
        result
    }
}

impl<D: Disk> Disk for Counted<D> {
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
        self.disk.is_read_only()
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        let bytes = buffer_len(buf);
        self.count(self.disk.read_at(buf, offset), &self.reads, bytes)
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        let bytes = buffer_len(buf);
        self.count(self.disk.write_at(buf, offset), &self.writes, bytes)
    }

    fn flush(&self) -> Result<()> {
        let result = self.disk.flush();
        let counter = if result.is_ok() {
            &self.flushes
        } else {
            &self.errors
        };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }

    fn discard(&self, range: ByteRange) -> Result<()> {
        self.count(self.disk.discard(range), &self.discards, range.len())
    }

    fn write_zeroes(&self, range: ByteRange) -> Result<()> {
        self.count(self.disk.write_zeroes(range), &self.zeroes, range.len())
    }

    fn block_status(&self, range: ByteRange) -> Result<BlockStatus> {
        self.disk.block_status(range).inspect_err(|_| {
            self.errors.fetch_add(1, Ordering::Relaxed);
        })
    }
}

//! A disk as `std::io::Read`, `Write` and `Seek`, for libraries that want a stream.
//!
//! Invariant: writes go to the disk before they return; the cache holds only bytes that the disk
//! holds, as long as nobody else writes to the disk meanwhile.

use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::disk::Disk;
use crate::error::{IoError, IoErrorKind};
use crate::units::ByteOffset;

/// Bytes in a page of the cache.
const PAGE: usize = 16 * 1024;
/// Pages in the cache; page N of the disk has its place in slot N modulo this.
const SLOTS: usize = 32;

/// A page of the disk that was read.
struct Page {
    number: u64,
    bytes: Vec<u8>,
}

/// A position on a disk. Reading at the end of the disk yields 0 bytes, as for a file; writing
/// there fails with `StorageFull`.
///
/// Small reads are served from a cache of half a MiB.
pub struct DiskCursor<D: Disk> {
    disk: D,
    position: u64,
    cache: Option<Vec<Option<Page>>>,
}

fn to_std(error: IoError) -> io::Error {
    let kind = match error.kind() {
        IoErrorKind::NoSpace => io::ErrorKind::StorageFull,
        IoErrorKind::OutOfRange => io::ErrorKind::UnexpectedEof,
        IoErrorKind::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
        IoErrorKind::InUse => io::ErrorKind::ResourceBusy,
        IoErrorKind::Damaged => io::ErrorKind::InvalidData,
        IoErrorKind::Unsupported => io::ErrorKind::Unsupported,
        IoErrorKind::Host | IoErrorKind::Poisoned => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl<D: Disk> DiskCursor<D> {
    /// A cursor at offset 0 that caches reads; for disks that nobody else writes meanwhile.
    pub fn new(disk: D) -> Self {
        Self {
            disk,
            position: 0,
            cache: Some(std::iter::repeat_with(|| None).take(SLOTS).collect()),
        }
    }

    /// A cursor at offset 0 that asks the disk for each read.
    pub fn uncached(disk: D) -> Self {
        Self {
            disk,
            position: 0,
            cache: None,
        }
    }

    /// The disk below.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// Ends the cursor and hands back its disk.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// How many of `wanted` bytes lie between the position and the end of the disk.
    fn available(&self, wanted: usize) -> usize {
        let left = self.disk.size().get().saturating_sub(self.position);
        usize::try_from(left).map_or(wanted, |left| left.min(wanted))
    }

    /// The bytes of the page at the position, from the position on; empty where nothing is cached.
    fn page_from_position(&mut self) -> io::Result<&[u8]> {
        let Some(cache) = &mut self.cache else {
            return Ok(&[]);
        };
        let page_size = to_u64(PAGE);
        let number = self.position / page_size;
        let start = number * page_size;
        let slot = usize::try_from(number % to_u64(SLOTS)).unwrap_or(0);
        let slot = &mut cache[slot];
        if slot.as_ref().is_none_or(|page| page.number != number) {
            let mut bytes = slot.take().map(|page| page.bytes).unwrap_or_default();
            let left = self.disk.size().get() - start;
            bytes.resize(usize::try_from(left).map_or(PAGE, |left| left.min(PAGE)), 0);
            self.disk
                .read_at(&mut bytes, ByteOffset(start))
                .map_err(to_std)?;
            *slot = Some(Page { number, bytes });
        }
        let within = usize::try_from(self.position - start).unwrap_or(PAGE);
        Ok(slot
            .as_ref()
            .and_then(|page| page.bytes.get(within..))
            .unwrap_or_default())
    }

    /// Forgets cached pages that share bytes with `count` bytes at the position.
    fn forget(&mut self, count: usize) {
        let first = self.position / to_u64(PAGE);
        let last = self.position.saturating_add(to_u64(count)) / to_u64(PAGE);
        for slot in self.cache.iter_mut().flatten() {
            let touched = slot
                .as_ref()
                .is_some_and(|page| (first..=last).contains(&page.number));
            if touched {
                *slot = None;
            }
        }
    }
}

impl<D: Disk> Read for DiskCursor<D> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut count = self.available(buf.len());
        if count == 0 {
            return Ok(0);
        }
        if self.cache.is_none() || count >= PAGE {
            self.disk
                .read_at(&mut buf[..count], ByteOffset(self.position))
                .map_err(to_std)?;
        } else {
            let page = self.page_from_position()?;
            count = count.min(page.len());
            buf[..count].copy_from_slice(&page[..count]);
        }
        self.position += to_u64(count);
        Ok(count)
    }
}

impl<D: Disk> Write for DiskCursor<D> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = self.available(buf.len());
        if count == 0 {
            return if buf.is_empty() {
                Ok(0)
            } else {
                Err(io::Error::new(
                    io::ErrorKind::StorageFull,
                    "the end of the disk is reached",
                ))
            };
        }
        // Also after a failed write: part of it may stand on the disk.
        self.forget(count);
        self.disk
            .write_at(&buf[..count], ByteOffset(self.position))
            .map_err(to_std)?;
        self.position += to_u64(count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.disk.flush().map_err(to_std)
    }
}

impl<D: Disk> Seek for DiskCursor<D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(delta) => self.disk.size().get().checked_add_signed(delta),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
        };
        self.position = position.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "seek to before the start of the disk",
            )
        })?;
        Ok(self.position)
    }
}

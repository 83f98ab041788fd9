//! A disk that lets through only so many bytes and operations a second.
//!
//! Each operation books its time on a common schedule and then sleeps until its booking begins, so
//! callers are served in the order in which they came and nobody starves. An idle disk saves up a
//! tenth of a second at most.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::disk::{BlockStatus, Disk};
use crate::error::Result;
use crate::range::buffer_len;
use crate::units::{ByteCount, ByteOffset, ByteRange, SectorSize};

/// What an idle disk may save up.
const BURST: Duration = Duration::from_millis(100);
/// The longest booking of one operation.
const LONGEST: Duration = Duration::from_secs(3600);

/// The limits of a throttled disk; `None` is without limit, a limit of zero counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes read and written in a second.
    pub bytes_per_second: Option<u64>,
    /// Operations in a second.
    pub operations_per_second: Option<u64>,
}

/// A disk slowed down to its limits. Flushes and zeroing count as operations without bytes; asking
/// for block status is free.
#[derive(Debug)]
pub struct Throttled<D: Disk> {
    disk: D,
    limits: Limits,
    /// When the next booking may begin.
    next: Mutex<Instant>,
}

/// How long `amount` takes at `rate` a second.
fn time_for(amount: u64, rate: Option<u64>) -> Duration {
    let Some(rate) = rate else {
        return Duration::ZERO;
    };
    let nanoseconds = u128::from(amount) * 1_000_000_000 / u128::from(rate.max(1));
    u64::try_from(nanoseconds).map_or(LONGEST, |nanoseconds| {
        Duration::from_nanos(nanoseconds).min(LONGEST)
    })
}

impl<D: Disk> Throttled<D> {
    /// The disk, slowed down to `limits`.
    pub fn new(disk: D, limits: Limits) -> Self {
        Self {
            disk,
            limits,
            next: Mutex::new(Instant::now()),
        }
    }

    /// Ends the wrapper and hands back the disk.
    pub fn into_inner(self) -> D {
        self.disk
    }

    fn wait(&self, bytes: ByteCount) {
        let cost = time_for(bytes.get(), self.limits.bytes_per_second)
            .max(time_for(1, self.limits.operations_per_second));
        if cost.is_zero() {
            return;
        }
        let now = Instant::now();
        let begin = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let earliest = now.checked_sub(BURST).unwrap_or(now);
            let begin = (*next).max(earliest);
            *next = begin.checked_add(cost).unwrap_or(begin);
            begin
        };
        std::thread::sleep(begin.saturating_duration_since(now));
    }
}

impl<D: Disk> Disk for Throttled<D> {
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
        self.wait(buffer_len(buf));
        self.disk.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        self.wait(buffer_len(buf));
        self.disk.write_at(buf, offset)
    }

    fn flush(&self) -> Result<()> {
        self.wait(ByteCount(0));
        self.disk.flush()
    }

    fn discard(&self, range: ByteRange) -> Result<()> {
        self.wait(ByteCount(0));
        self.disk.discard(range)
    }

    fn write_zeroes(&self, range: ByteRange) -> Result<()> {
        self.wait(ByteCount(0));
        self.disk.write_zeroes(range)
    }

    fn block_status(&self, range: ByteRange) -> Result<BlockStatus> {
        self.disk.block_status(range)
    }
}

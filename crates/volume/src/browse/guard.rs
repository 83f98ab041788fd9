//! The guard around the crate that reads FAT: a budget of reads, and panics caught.
//!
//! The crate `fatfs` checks much, but is not written for hostile volumes: it follows chains that may be
//! rings (which never ends). A budget ends the rings; [`run`] turns a panic into an error, without a
//! word on standard error.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

use blockio::{Disk, DiskCursor};

use super::error::{BrowseError, Result};

/// Reads and seeks that one step may take on a small disk: far more than any honest one does.
const BUDGET: u64 = 1_000_000;
/// On larger ones: so many for each 512 bytes, enough to read every cluster and its chain once.
const BUDGET_PER_SECTOR: u64 = 8;

/// A disk as a stream that ends in an error where a step reads without end. Nothing can be written.
pub(super) struct Metered {
    cursor: DiskCursor<Arc<dyn Disk>>,
    left: u64,
}

impl Metered {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        let sectors = disk.size().get() / 512;
        let budget = BUDGET.saturating_add(sectors.saturating_mul(BUDGET_PER_SECTOR));
        Self {
            cursor: DiskCursor::new(disk),
            left: budget,
        }
    }

    fn spend(&mut self) -> io::Result<()> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "a structure leads in a ring")
        })?;
        Ok(())
    }
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.spend()?;
        self.cursor.read(buffer)
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.spend()?;
        self.cursor.seek(to)
    }
}

impl Write for Metered {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a step; a panic in it is a damaged volume. The state that the step worked on is read-only,
/// so what a panic leaves behind is no worse than what the next read finds.
pub(super) fn run<T>(path: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
    quiet_panics_once();
    let outer = IS_GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(step));
    IS_GUARDED.set(outer);
    result.unwrap_or_else(|_| {
        Err(BrowseError::damaged(
            path,
            "its structures contradict each other",
        ))
    })
}

/// Runs what is not the file system's (a caller's sink, say) with panics loud again.
pub(super) fn outside<T>(step: impl FnOnce() -> T) -> T {
    let guarded = IS_GUARDED.replace(false);
    let result = step();
    IS_GUARDED.set(guarded);
    result
}

/// Panics of guarded steps are not printed; all others go where they went before.
fn quiet_panics_once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_GUARDED.get() {
                before(info);
            }
        }));
    });
}

//! The simulated storage: works as a file does, remembers what was done, fails when told to.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::change::{Change, Write};
use super::fault::{Fault, SimCounts};
use super::history::History;
use super::recipe::HistoryPosition;
use crate::error::{IoError, IoErrorKind, Operation, Result};
use crate::range::{buffer_len, check_status, checked, reachable};
use crate::sparse::{PAGE_BYTES, PageMap, SparseMemoryStorage};
use crate::storage::{Extent, Storage, ZeroMode};
use crate::units::{ByteCount, ByteOffset, ByteRange};

/// A storage in memory with a past. Clones are handles to the same storage, so that a test keeps
/// one while an image format owns another.
#[derive(Clone, Default)]
pub struct SimStorage {
    state: Arc<Mutex<State>>,
}

struct State {
    history: History,
    /// What a program that runs sees: all changes, durable or not.
    now: PageMap,
    faults: Vec<Fault>,
    counts: SimCounts,
    capacity: Option<ByteCount>,
}

impl Default for State {
    fn default() -> Self {
        Self::new(PageMap::default())
    }
}

impl State {
    fn new(start: PageMap) -> Self {
        Self {
            now: start.clone(),
            history: History {
                start,
                changes: Vec::new(),
            },
            faults: Vec::new(),
            counts: SimCounts::default(),
            capacity: None,
        }
    }

    /// Counts an operation. Where a fault strikes: how many bytes are done first, and the error.
    fn begin(
        &mut self,
        operation: Operation,
        offset: ByteOffset,
        len: ByteCount,
    ) -> Option<(u64, IoError)> {
        self.counts.add(operation);
        let mut struck = None;
        // Every fault counts every operation, also one that another fault ends.
        self.faults.retain_mut(|fault| {
            let Some(done) = fault.strike(operation) else {
                return true;
            };
            if struck.is_none() {
                struck = Some((done, fault.error(operation, offset, len)));
            }
            fault.is_sticky()
        });
        struck
    }

    fn make(&mut self, change: Change) {
        change.apply(None, &mut self.now);
        self.history.changes.push(Arc::new(change));
    }

    /// How many bytes of a write at `offset` fit below the capacity.
    fn fitting(&self, range: ByteRange) -> u64 {
        let Some(capacity) = self.capacity else {
            return range.len().get();
        };
        let mut room = capacity.get().saturating_sub(self.now.allocated()) / PAGE_BYTES;
        let first = range.start().get() / PAGE_BYTES;
        let past = range.end().get().div_ceil(PAGE_BYTES);
        for page in first..past {
            if !self.now.is_mapped(page) {
                if room == 0 {
                    return (page * PAGE_BYTES).saturating_sub(range.start().get());
                }
                room -= 1;
            }
        }
        range.len().get()
    }

    fn write(&mut self, buf: &[u8], offset: ByteOffset, bytes: u64) {
        let count = usize::try_from(bytes).map_or(buf.len(), |bytes| bytes.min(buf.len()));
        if count > 0 {
            self.make(Change::Write(Write::new(offset.get(), &buf[..count])));
        }
    }

    fn zero(&mut self, range: ByteRange, bytes: u64) {
        let (start, end) = (range.start().get(), range.end().get());
        let end = start.saturating_add(bytes).min(end);
        if start < end {
            self.make(Change::Zero { start, end });
        }
    }
}

impl SimStorage {
    /// An empty storage.
    pub fn new() -> Self {
        Self::default()
    }

    /// A storage that holds the bytes of an image, all durable.
    pub fn from_image(image: &SparseMemoryStorage) -> Self {
        let pages = image.pages().clone();
        Self::from_pages(pages)
    }

    pub(super) fn from_pages(pages: PageMap) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(pages))),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything done so far. Later changes do not touch it.
    pub fn history(&self) -> History {
        self.state().history.clone()
    }

    /// How many changes were made so far.
    pub fn position(&self) -> HistoryPosition {
        self.state().history.position()
    }

    /// Notes in the history that something happened outside of it ("create returned") and returns
    /// the position. From there on all that was promised must hold in every crash state; unlike
    /// after [`SimStorage::position`], every one of them is tried even where no change follows.
    pub fn mark(&self, label: &str) -> HistoryPosition {
        let mut state = self.state();
        state.make(Change::Mark(label.to_owned()));
        state.history.position()
    }

    /// The bytes as a running program sees them.
    pub fn image(&self) -> SparseMemoryStorage {
        SparseMemoryStorage::from_pages(self.state().now.clone())
    }

    /// Adds a fault; it counts operations from now on.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Limits the written pages to so many bytes: a write that needs more is done as far as there
    /// is room and then fails with `NoSpace`. Zeroing gives pages back; holes need none.
    pub fn set_capacity(&self, capacity: Option<ByteCount>) {
        self.state().capacity = capacity;
    }

    /// How many operations were asked for so far.
    pub fn counts(&self) -> SimCounts {
        self.state().counts
    }
}

impl fmt::Debug for SimStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimStorage")
            .field("len", &state.now.len())
            .field("changes", &state.history.position().0)
            .field("faults", &state.faults)
            .finish()
    }
}

impl Storage for SimStorage {
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        let mut state = self.state();
        let len = buffer_len(buf);
        let struck = state.begin(Operation::Read, offset, len);
        checked(Operation::Read, offset, len, state.now.count())?;
        let Some((done, error)) = struck else {
            state.now.read(offset.get(), buf);
            return Ok(());
        };
        let done = usize::try_from(done).map_or(buf.len(), |done| done.min(buf.len()));
        state.now.read(offset.get(), &mut buf[..done]);
        Err(error)
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        let mut state = self.state();
        let len = buffer_len(buf);
        let struck = state.begin(Operation::Write, offset, len);
        let range = reachable(Operation::Write, offset, len)?;
        let room = state.fitting(range);
        if let Some((done, error)) = struck {
            state.write(buf, offset, done.min(room));
            return Err(error);
        }
        state.write(buf, offset, room);
        if room < len.get() {
            return Err(IoError::new(
                IoErrorKind::NoSpace,
                Operation::Write,
                offset,
                len,
            ));
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.state();
        match state.begin(Operation::Flush, ByteOffset(0), ByteCount(0)) {
            Some((_, error)) => {
                state.make(Change::FailedSync);
                Err(error)
            }
            None => {
                state.make(Change::Sync);
                Ok(())
            }
        }
    }

    fn len(&self) -> Result<ByteCount> {
        Ok(self.state().now.count())
    }

    fn set_len(&self, len: ByteCount) -> Result<()> {
        let mut state = self.state();
        let end = ByteOffset(len.get());
        if let Some((_, error)) = state.begin(Operation::Resize, end, ByteCount(0)) {
            return Err(error);
        }
        reachable(Operation::Resize, end, ByteCount(0))?;
        state.make(Change::SetLen(len.get()));
        Ok(())
    }

    fn zero(&self, range: ByteRange, _mode: ZeroMode) -> Result<()> {
        let mut state = self.state();
        let struck = state.begin(Operation::Zero, range.start(), range.len());
        checked(
            Operation::Zero,
            range.start(),
            range.len(),
            state.now.count(),
        )?;
        match struck {
            Some((done, error)) => {
                state.zero(range, done);
                Err(error)
            }
            None => {
                state.zero(range, range.len().get());
                Ok(())
            }
        }
    }

    fn extent_at(&self, range: ByteRange) -> Result<Extent> {
        let state = self.state();
        check_status(range, state.now.count())?;
        Ok(state.now.extent(range))
    }

    fn is_read_only(&self) -> bool {
        false
    }
}

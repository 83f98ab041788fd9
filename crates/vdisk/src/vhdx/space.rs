//! Which mebibytes of the file are in use, and what the free ones hold.
//!
//! ```text
//!   Zero  --claim-->  Used  --the commit that drops the last reference is durable-->  Dirty
//!   Dirty --claim-->        --and then a hole was punched and a later sync is done-->  Zero
//! ```
//!
//! *Zero* is known, never assumed: space past the end of the file at the write gate (which the gate
//! cut off and synced), and space whose hole was punched before a sync that has completed. All
//! other free space is *Dirty* and may hold what was deleted; its user fills it and has it synced
//! before anything durable points to it. No input or output happens under the lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

use blockio::{ByteCount, ByteOffset, ByteRange, MIB};

use super::format::{index, wide};

/// Bits for the mebibytes of the file.
#[derive(Clone, Debug, Default)]
struct Bits(Vec<u64>);

/// A run of mebibytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    /// First mebibyte.
    pub(super) start: u64,
    /// Number of mebibytes.
    pub(super) length: u64,
}

/// Space that was claimed for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) run: Run,
    /// Whether all of it is known to read zero, also after a crash.
    pub(super) zero: bool,
}

/// The map of an open image.
pub(super) struct Space {
    map: Mutex<SpaceMap>,
}

/// The map itself, before it is shared between threads.
#[derive(Clone, Debug, Default)]
pub(super) struct SpaceMap {
    used: Bits,
    zero: Bits,
    /// One more than the last mebibyte that is tracked; all after it is fresh.
    end: u64,
    /// Free mebibytes before `end`.
    free: u64,
    /// Where the next search begins.
    cursor: u64,
    /// Runs of this length or longer are known not to be free before `end`.
    no_fit: Option<u64>,
    /// Punched, but not yet synced.
    punched: Vec<Run>,
}

impl Run {
    /// The mebibytes that the bytes of `range` touch.
    pub(super) fn covering(range: ByteRange) -> Self {
        let start = range.start().get() / MIB;
        let end = range.end().get().div_ceil(MIB);
        Self {
            start,
            length: end.saturating_sub(start),
        }
    }

    /// One more than the last mebibyte.
    pub(super) const fn end(self) -> u64 {
        self.start.saturating_add(self.length)
    }

    /// Byte offset in the file.
    pub(super) const fn offset(self) -> u64 {
        self.start.saturating_mul(MIB)
    }

    /// The run in bytes of the file.
    pub(super) fn bytes(self) -> Option<ByteRange> {
        let length = self.length.saturating_mul(MIB);
        ByteRange::new(ByteOffset(self.offset()), ByteCount(length))
    }
}

/// The bits of `run` that fall into each word: word number and mask.
fn masks(run: Run) -> impl Iterator<Item = (usize, u64)> {
    let (mut at, end) = (run.start, run.end());
    std::iter::from_fn(move || {
        (at < end).then(|| {
            let bit = at % 64;
            let count = (end - at).min(64 - bit);
            let mask = (u64::MAX >> (64 - count)) << bit;
            let word = index(at / 64);
            at += count;
            (word, mask)
        })
    })
}

impl Bits {
    fn any(&self, run: Run) -> bool {
        masks(run).any(|(word, mask)| self.0.get(word).is_some_and(|bits| bits & mask != 0))
    }

    fn all(&self, run: Run) -> bool {
        masks(run).all(|(word, mask)| self.0.get(word).is_some_and(|bits| bits & mask == mask))
    }

    fn set(&mut self, run: Run) {
        let words = index(run.end().div_ceil(64));
        if self.0.len() < words {
            self.0.resize(words, 0);
        }
        masks(run).for_each(|(word, mask)| self.0[word] |= mask);
    }

    fn clear(&mut self, run: Run) {
        for (word, mask) in masks(run) {
            if let Some(bits) = self.0.get_mut(word) {
                *bits &= !mask;
            }
        }
    }

    /// The first bit from `from` on that has the value `value`; words that are missing are zero.
    fn next(&self, from: u64, value: bool, end: u64) -> u64 {
        let mut at = from;
        while at < end {
            let stored = self.0.get(index(at / 64)).copied().unwrap_or(0);
            let wanted = if value { stored } else { !stored };
            let rest = wanted >> (at % 64);
            if rest != 0 {
                return (at + u64::from(rest.trailing_zeros())).min(end);
            }
            at = (at / 64 + 1) * 64;
        }
        end
    }
}

impl SpaceMap {
    /// Marks space as used; `false` where some of it is used already.
    pub(super) fn mark_used(&mut self, run: Run) -> bool {
        if self.used.any(run) {
            return false;
        }
        if run.end() > self.end {
            self.free = self.free.saturating_add(run.end() - self.end);
            self.end = run.end();
        }
        self.free = self.free.saturating_sub(run.length);
        self.used.set(run);
        true
    }

    /// Whether some of the space is used.
    pub(super) fn touches(&self, run: Run) -> bool {
        self.used.any(run)
    }

    /// Marks space as used, whether or not some of it is.
    pub(super) fn cover(&mut self, run: Run) {
        for start in run.start..run.end() {
            self.mark_used(Run { start, length: 1 });
        }
    }

    /// Lets the map reach to `end`; what is added is free and dirty.
    pub(super) fn extend_to(&mut self, end: u64) {
        if end > self.end {
            self.free = self.free.saturating_add(end - self.end);
            self.end = end;
            self.no_fit = None;
        }
    }

    /// The runs that are not used, up to the end of the last used one or `extend_to`.
    pub(super) fn free_runs(&self) -> impl Iterator<Item = Run> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = self.used.next(at, false, self.end);
            at = self.used.next(start, true, self.end);
            (start < self.end).then(|| Run {
                start,
                length: at - start,
            })
        })
    }

    fn find(&self, length: u64, from: u64, to: u64) -> Option<Run> {
        let mut at = from;
        while at < to {
            let start = self.used.next(at, false, self.end);
            let end = self.used.next(start, true, self.end);
            if end.saturating_sub(start) >= length {
                return Some(Run { start, length });
            }
            at = end.max(at + 1);
        }
        None
    }

    /// The first free run of `length` mebibytes that begins at `from` or later and ends at `limit`
    /// or before.
    pub(super) fn first_fit(&self, length: u64, from: u64, limit: u64) -> Option<Run> {
        self.find(length, from, limit)
            .filter(|run| run.end() <= limit)
    }

    /// Bytes of the file up to the end of the last mebibyte in use.
    pub(super) fn used_end_bytes(&self) -> u64 {
        let last = self.used.0.iter().rposition(|word| *word != 0);
        last.map_or(0, |word| {
            let bits = 64 - u64::from(self.used.0[word].leading_zeros());
            (wide(word) * 64 + bits).saturating_mul(MIB)
        })
    }

    fn claim(&mut self, length: u64) -> Claim {
        let may_fit = self.free >= length && self.no_fit.is_none_or(|limit| length < limit);
        if may_fit {
            let found = self
                .find(length, self.cursor, self.end)
                .or_else(|| self.find(length, 0, self.cursor));
            if let Some(run) = found {
                let zero = self.zero.all(run);
                self.zero.clear(run);
                self.used.set(run);
                self.free = self.free.saturating_sub(length);
                self.cursor = run.end();
                return Claim { run, zero };
            }
            self.no_fit = Some(length);
        }
        let run = Run {
            start: self.end,
            length,
        };
        self.mark_used(run);
        Claim { run, zero: true }
    }

    /// Makes space free again, of unknown content.
    pub(super) fn release(&mut self, run: Run) {
        self.used.clear(run);
        self.zero.clear(run);
        self.free = self.free.saturating_add(run.length);
        self.no_fit = None;
    }
}

impl Space {
    pub(super) fn new(map: SpaceMap) -> Self {
        Self {
            map: Mutex::new(map),
        }
    }

    fn map(&self) -> MutexGuard<'_, SpaceMap> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `length` mebibytes in one piece.
    pub(super) fn claim(&self, length: u64) -> Claim {
        self.map().claim(length)
    }

    /// Gives space back that nothing durable points to; it counts as dirty.
    pub(super) fn release(&self, run: Run) {
        self.map().release(run);
    }

    /// Notes that a hole was punched over space that nothing durable points to any more. Nobody
    /// gets it before [`Space::punches_are_durable`].
    pub(super) fn note_punched(&self, run: Run) {
        self.map().punched.push(run);
    }

    /// Takes what was punched so far, for [`Space::punches_are_durable`] after a sync.
    pub(super) fn take_punched(&self) -> Vec<Run> {
        std::mem::take(&mut self.map().punched)
    }

    /// A sync that began after these punches has completed: the space is free and zero.
    pub(super) fn punches_are_durable(&self, punched: &[Run]) {
        let mut map = self.map();
        for run in punched {
            map.release(*run);
            map.zero.set(*run);
        }
    }

    /// Bytes of the file that hold everything in use, now and when the open transaction commits.
    pub(super) fn end_bytes(&self) -> u64 {
        self.map().end.saturating_mul(MIB)
    }

    /// Adds free space of unknown content up to `end` mebibytes.
    pub(super) fn extend_dirty(&self, end: u64) {
        self.map().extend_to(end);
    }

    /// Bytes of the file up to the end of the last mebibyte in use.
    pub(super) fn used_end_bytes(&self) -> u64 {
        self.map().used_end_bytes()
    }

    /// The map as it is now.
    pub(super) fn copy(&self) -> SpaceMap {
        self.map().clone()
    }

    /// Takes a run that is free; whether all of it is known to read zero.
    pub(super) fn take(&self, run: Run) -> bool {
        let mut map = self.map();
        let zero = map.zero.all(run);
        map.zero.clear(run);
        map.mark_used(run);
        zero
    }
}

#[cfg(test)]
mod tests;

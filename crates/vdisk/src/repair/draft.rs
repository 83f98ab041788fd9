//! A file as it would be after a repair, without changing it.
//!
//! Invariant: the file below is read and never written; what was written is kept in memory, in
//! pages, of which there are at most [`MAX_PAGES`].

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use blockio::{
    ByteCount, ByteOffset, ByteRange, Extent, ExtentKind, IoError, IoErrorKind, Operation, Result,
    Storage, ZeroMode,
};

use super::backup::{Patch, RepairBackup, SECTOR};
use crate::bounds::{buffer_len, to_index};

/// Bytes of a page.
const PAGE: u64 = 4096;
/// [`PAGE`] as the size of an array.
const PAGE_SIZE: usize = 4096;
/// Most pages that a repair changes: 256 MiB of tables.
const MAX_PAGES: usize = 64 * 1024;

type Page = Box<[u8; PAGE_SIZE]>;

/// A storage whose writes stay in memory.
pub(crate) struct Draft<S> {
    below: S,
    below_length: u64,
    state: Mutex<State>,
}

struct State {
    pages: BTreeMap<u64, Page>,
    length: u64,
}

impl<S: Storage> Draft<S> {
    /// A draft that is equal to `below` so far.
    ///
    /// # Errors
    /// Where the host cannot tell the length.
    pub(crate) fn new(below: S) -> Result<Self> {
        let length = below.len()?.get();
        Ok(Self {
            below,
            below_length: length,
            state: Mutex::new(State {
                pages: BTreeMap::new(),
                length,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from the file below; what lies behind its end reads zero.
    fn read_below(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let stored = self.below_length.saturating_sub(offset);
        let stored = to_index(stored).unwrap_or(usize::MAX).min(buf.len());
        let (in_file, behind) = buf.split_at_mut(stored);
        behind.fill(0);
        if in_file.is_empty() {
            return Ok(());
        }
        self.below.read_at(in_file, ByteOffset(offset))
    }

    fn page(&self, number: u64) -> Result<Page> {
        let mut page = Box::new([0; PAGE_SIZE]);
        self.read_below(&mut page[..], number.saturating_mul(PAGE))?;
        Ok(page)
    }

    /// Changes the bytes of `[start, end)`; `change` gets each piece with its place in the range.
    fn edit(
        &self,
        operation: Operation,
        start: u64,
        end: u64,
        mut change: impl FnMut(&mut [u8], usize),
    ) -> Result<()> {
        let mut state = self.state();
        let mut at = start;
        while at < end {
            let number = at / PAGE;
            let stop = end.min((number + 1).saturating_mul(PAGE));
            if !state.pages.contains_key(&number) {
                if state.pages.len() >= MAX_PAGES {
                    let kind = IoErrorKind::Unsupported;
                    let length = ByteCount(end - start);
                    return Err(IoError::new(kind, operation, ByteOffset(start), length));
                }
                let page = self.page(number)?;
                state.pages.insert(number, page);
            }
            if let Some(page) = state.pages.get_mut(&number) {
                let within = |offset: u64| to_index(offset - number * PAGE).unwrap_or(PAGE_SIZE);
                let place = to_index(at - start).unwrap_or(usize::MAX);
                change(&mut page[within(at)..within(stop)], place);
            }
            at = stop;
        }
        state.length = state.length.max(end);
        Ok(())
    }

    /// What has to be done to the file to make it equal to the draft. The sectors of `guards` are
    /// in it in any case, so that a later change of the file shows.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(crate) fn into_backup(self, guards: &[ByteRange]) -> Result<RepairBackup> {
        for range in guards {
            let end = range.end().get().min(self.state().length);
            self.edit(
                Operation::Read,
                range.start().get().min(end),
                end,
                |_, _| {},
            )?;
        }
        let guarded = |start: u64| {
            let end = start + buffer_len(&[0; SECTOR]);
            guards
                .iter()
                .any(|range| range.start().get() < end && start < range.end().get())
        };
        let state = self.state();
        let mut patches: Vec<Patch> = Vec::new();
        for (number, page) in &state.pages {
            let before = self.page(*number)?;
            let sectors = before.chunks_exact(SECTOR).zip(page.chunks_exact(SECTOR));
            for (index, (before, after)) in (0_u64..).zip(sectors) {
                let offset = number * PAGE + index * buffer_len(before);
                let is_needed = before != after || guarded(offset);
                if !is_needed || offset >= state.length {
                    continue;
                }
                match patches.last_mut() {
                    Some(last) if last.end() == offset => last.extend(before, after),
                    _ => patches.push(Patch::new(offset, before, after)),
                }
            }
        }
        Ok(RepairBackup {
            length_before: self.below_length,
            length_after: state.length,
            patches,
        })
    }
}

impl<S: Storage> Storage for Draft<S> {
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        let state = self.state();
        let start = offset.get();
        let length = buffer_len(buf);
        let end = start.checked_add(length);
        let Some(end) = end.filter(|end| *end <= state.length) else {
            let kind = IoErrorKind::OutOfRange;
            return Err(IoError::new(
                kind,
                Operation::Read,
                offset,
                ByteCount(length),
            ));
        };
        let index = |value: u64| to_index(value).unwrap_or(usize::MAX);
        let mut at = start;
        // What was written hides what is below, also where that cannot be read.
        for (number, page) in state.pages.range(start / PAGE..end.div_ceil(PAGE)) {
            let page_start = number * PAGE;
            let (from, to) = (start.max(page_start), end.min(page_start + PAGE));
            self.read_below(&mut buf[index(at - start)..index(from - start)], at)?;
            buf[index(from - start)..index(to - start)]
                .copy_from_slice(&page[index(from - page_start)..index(to - page_start)]);
            at = to;
        }
        self.read_below(&mut buf[index(at - start)..], at)?;
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        let start = offset.get();
        let length = buffer_len(buf);
        let end = start.checked_add(length).ok_or_else(|| {
            let kind = IoErrorKind::OutOfRange;
            IoError::new(kind, Operation::Write, offset, ByteCount(length))
        })?;
        self.edit(Operation::Write, start, end, |piece, place| {
            piece.copy_from_slice(&buf[place..place + piece.len()]);
        })
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> Result<ByteCount> {
        Ok(ByteCount(self.state().length))
    }

    /// Grows the file; a repair cuts nothing off.
    fn set_len(&self, len: ByteCount) -> Result<()> {
        let mut state = self.state();
        if len.get() < state.length {
            let kind = IoErrorKind::Unsupported;
            let end = ByteOffset(len.get());
            return Err(IoError::new(kind, Operation::Resize, end, ByteCount(0)));
        }
        state.length = len.get();
        Ok(())
    }

    fn zero(&self, range: ByteRange, _mode: ZeroMode) -> Result<()> {
        let (start, end) = (range.start().get(), range.end().get());
        self.edit(Operation::Zero, start, end, |piece, _| piece.fill(0))
    }

    fn extent_at(&self, range: ByteRange) -> Result<Extent> {
        let state = self.state();
        if range.is_empty() || range.end().get() > state.length {
            let kind = IoErrorKind::OutOfRange;
            let (start, length) = (range.start(), range.len());
            return Err(IoError::new(kind, Operation::Status, start, length));
        }
        let (start, end) = (range.start().get(), range.end().get());
        let pages = start / PAGE..end.div_ceil(PAGE);
        let stored = ByteRange::between(ByteOffset(0), ByteOffset(self.below_length));
        match stored.and_then(|stored| stored.intersect(range)) {
            _ if state.pages.range(pages).next().is_some() => {}
            Some(in_file) if in_file.start() == range.start() => {
                return self.below.extent_at(in_file);
            }
            Some(_) => {}
            None => {
                return Ok(Extent {
                    range,
                    kind: ExtentKind::Hole,
                });
            }
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

#[cfg(test)]
mod tests {
    use blockio::MemoryStorage;

    use super::*;

    #[test]
    fn a_draft_changes_nothing_below_and_its_difference_is_all_there_is() {
        let bytes: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let below = MemoryStorage::from_bytes(bytes.clone());
        let draft = Draft::new(&below).unwrap();
        draft.write_at(&[9; 700], ByteOffset(4000)).unwrap();
        draft.write_at(&[8; 100], ByteOffset(12_000)).unwrap();
        let mut seen = vec![0; 12_100];
        draft.read_at(&mut seen, ByteOffset(0)).unwrap();
        let mut expected = bytes.clone();
        expected[4000..4700].fill(9);
        expected.resize(12_000, 0);
        expected.resize(12_100, 8);
        assert_eq!(seen, expected);
        let guard = ByteRange::new(ByteOffset(0), ByteCount(512)).unwrap();
        let backup = draft.into_backup(&[guard]).unwrap();
        assert_eq!(backup.length_before, 10_000);
        assert_eq!(backup.length_after, 12_100);
        let places: Vec<_> = backup
            .patches
            .iter()
            .map(|patch| (patch.offset, patch.end()))
            .collect();
        assert_eq!(places, [(0, 512), (3584, 5120), (11_776, 12_288)]);
        let mut stored = vec![0; 10_000];
        below.read_at(&mut stored, ByteOffset(0)).unwrap();
        assert_eq!(stored, bytes);
    }
}

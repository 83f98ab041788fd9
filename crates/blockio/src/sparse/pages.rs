//! Sparse bytes as shared pages: what a file of many TiB with little in it looks like in memory.
//!
//! Two levels, pages in chunks, both shared until written: a copy costs one pointer for each MiB in
//! which anything is mapped, and two copies share all pages that neither changed since.
//!
//! Invariant: bytes of a mapped page at or past the length are zero, so that growing shows zeros.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::storage::{Extent, ExtentKind};
use crate::units::{ByteCount, ByteOffset, ByteRange};

/// Bytes in a page.
pub(crate) const PAGE: usize = 4096;
/// The same, where offsets are computed.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// Pages in a chunk.
const CHUNK: usize = 256;
const CHUNK_PAGES: u64 = 256;

/// The bytes of a page.
pub(crate) type Page = [u8; PAGE];

/// A place in memory for a small number that is known to fit.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[derive(Clone)]
struct Chunk {
    pages: [Option<Arc<Page>>; CHUNK],
}

/// Bytes from 0 to a length; pages that are not mapped read zero.
#[derive(Clone, Default)]
pub(crate) struct PageMap {
    chunks: BTreeMap<u64, Arc<Chunk>>,
    len: u64,
    mapped: u64,
}

/// The part of one page that a range of bytes covers.
struct Part {
    page: u64,
    within: usize,
    len: usize,
}

/// Cuts `[start, end)` at page borders.
fn parts(start: u64, end: u64) -> impl Iterator<Item = Part> {
    let mut position = start;
    std::iter::from_fn(move || {
        if position >= end {
            return None;
        }
        let within = position % PAGE_BYTES;
        let len = (PAGE_BYTES - within).min(end - position);
        let part = Part {
            page: position / PAGE_BYTES,
            within: index(within),
            len: index(len),
        };
        position += len;
        Some(part)
    })
}

impl PageMap {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes in mapped pages.
    pub(crate) fn allocated(&self) -> u64 {
        self.mapped * PAGE_BYTES
    }

    pub(crate) fn is_mapped(&self, page: u64) -> bool {
        self.page(page).is_some()
    }

    fn page(&self, page: u64) -> Option<&Arc<Page>> {
        let chunk = self.chunks.get(&(page / CHUNK_PAGES))?;
        chunk.pages[index(page % CHUNK_PAGES)].as_ref()
    }

    fn slot(&mut self, page: u64) -> &mut Option<Arc<Page>> {
        let chunk = self.chunks.entry(page / CHUNK_PAGES).or_insert_with(|| {
            Arc::new(Chunk {
                pages: [const { None }; CHUNK],
            })
        });
        &mut Arc::make_mut(chunk).pages[index(page % CHUNK_PAGES)]
    }

    /// Fills `buf` from `offset`; what lies past the length reads zero.
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) {
        let mut rest = buf;
        let end = offset + u64::try_from(rest.len()).unwrap_or(u64::MAX);
        for part in parts(offset, end) {
            let (now, later) = rest.split_at_mut(part.len);
            match self.page(part.page) {
                Some(page) => now.copy_from_slice(&page[part.within..part.within + part.len]),
                None => now.fill(0),
            }
            rest = later;
        }
    }

    /// Writes `bytes` at `offset`, growing to their end.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut rest = bytes;
        for part in parts(offset, end) {
            let (now, later) = rest.split_at(part.len);
            let mut fresh = false;
            let page = self.slot(part.page).get_or_insert_with(|| {
                fresh = true;
                Arc::new([0; PAGE])
            });
            Arc::make_mut(page)[part.within..part.within + part.len].copy_from_slice(now);
            self.mapped += u64::from(fresh);
            rest = later;
        }
        if !bytes.is_empty() {
            self.len = self.len.max(end);
        }
    }

    /// Puts a whole page in place without copying it, growing to its end.
    pub(crate) fn put_page(&mut self, number: u64, page: Arc<Page>) {
        let fresh = self.slot(number).replace(page).is_none();
        self.mapped += u64::from(fresh);
        self.len = self.len.max((number + 1) * PAGE_BYTES);
    }

    /// Makes `[start, end)` read zero; the length stays, whole pages are given back.
    pub(crate) fn zero(&mut self, start: u64, end: u64) {
        let end = end.min(self.len);
        if start >= end {
            return;
        }
        self.zero_mapped(start, end);
    }

    /// As `zero`, whatever the length is.
    fn zero_mapped(&mut self, start: u64, end: u64) {
        let first_whole = start.div_ceil(PAGE_BYTES);
        // The last page counts as whole where the file ends in it: nothing is behind.
        let past_whole = if end >= self.len {
            end.div_ceil(PAGE_BYTES)
        } else {
            end / PAGE_BYTES
        };
        if first_whole >= past_whole {
            self.clear(start, end);
            return;
        }
        self.clear(start, first_whole * PAGE_BYTES);
        self.unmap(first_whole, past_whole);
        self.clear(past_whole * PAGE_BYTES, end);
    }

    /// Overwrites mapped bytes of a few pages with zeros.
    fn clear(&mut self, start: u64, end: u64) {
        for part in parts(start, end) {
            if self.is_mapped(part.page)
                && let Some(page) = self.slot(part.page)
            {
                Arc::make_mut(page)[part.within..part.within + part.len].fill(0);
            }
        }
    }

    /// Gives back the pages `[first, past)`, looking only at chunks that exist.
    fn unmap(&mut self, first: u64, past: u64) {
        let chunks: Vec<u64> = self
            .chunks
            .range(first / CHUNK_PAGES..past.div_ceil(CHUNK_PAGES))
            .map(|(number, _)| *number)
            .collect();
        for number in chunks {
            let base = number * CHUNK_PAGES;
            let from = index(first.saturating_sub(base).min(CHUNK_PAGES));
            let to = index((past - base).min(CHUNK_PAGES));
            let Some(chunk) = self.chunks.get_mut(&number) else {
                continue;
            };
            let chunk = Arc::make_mut(chunk);
            for slot in &mut chunk.pages[from..to] {
                self.mapped -= u64::from(slot.take().is_some());
            }
            if chunk.pages.iter().all(Option::is_none) {
                self.chunks.remove(&number);
            }
        }
    }

    /// Cuts or grows to `len`.
    pub(crate) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.zero_mapped(len, self.len);
        }
        self.len = len;
    }

    /// The first run of mapped or unmapped pages of a non-empty range.
    pub(crate) fn extent(&self, range: ByteRange) -> Extent {
        let first = range.start().get() / PAGE_BYTES;
        let past = range.end().get().div_ceil(PAGE_BYTES);
        let mapped = self.is_mapped(first);
        let end = if mapped {
            (first..past).find(|page| !self.is_mapped(*page))
        } else {
            self.next_mapped(first, past)
        };
        let end = end.map_or(range.end().get(), |page| page * PAGE_BYTES);
        let end = ByteOffset(end.min(range.end().get()));
        Extent {
            range: ByteRange::between(range.start(), end).unwrap_or(range),
            kind: if mapped {
                ExtentKind::Data
            } else {
                ExtentKind::Hole
            },
        }
    }

    /// The first mapped page of `[first, past)`.
    fn next_mapped(&self, first: u64, past: u64) -> Option<u64> {
        self.chunks
            .range(first / CHUNK_PAGES..past.div_ceil(CHUNK_PAGES))
            .flat_map(|(number, chunk)| {
                let base = number * CHUNK_PAGES;
                (base..)
                    .zip(&chunk.pages)
                    .filter(|(_, page)| page.is_some())
                    .map(|(page, _)| page)
            })
            .find(|page| *page >= first)
            .filter(|page| *page < past)
    }

    /// Whether both hold the same bytes, mapped or not.
    pub(crate) fn same_bytes(&self, other: &Self) -> bool {
        let zero: Page = [0; PAGE];
        let covered = |one: &Self, two: &Self| {
            one.chunks.iter().all(|(number, chunk)| {
                if two
                    .chunks
                    .get(number)
                    .is_some_and(|twin| Arc::ptr_eq(chunk, twin))
                {
                    return true;
                }
                (number * CHUNK_PAGES..)
                    .zip(&chunk.pages)
                    .all(|(number, page)| {
                        let Some(page) = page else { return true };
                        two.page(number).map_or(**page == zero, |twin| {
                            Arc::ptr_eq(page, twin) || page == twin
                        })
                    })
            })
        };
        self.len == other.len && covered(self, other) && covered(other, self)
    }

    /// The length as a count.
    pub(crate) fn count(&self) -> ByteCount {
        ByteCount(self.len)
    }
}

#[cfg(test)]
mod tests;

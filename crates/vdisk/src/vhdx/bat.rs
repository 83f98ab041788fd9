//! The block allocation table: pages of atomics that hold the entries as they stand on disk.
//!
//! Invariant: an entry in memory is what a reader of the disk sees after the next commit. A page
//! for the log is a copy of the atomics, there is no second representation. Pages are loaded when
//! they are first needed; a page that is known to hold zeros takes no memory, so that the table of
//! an empty 64 TiB disk costs a pointer a page.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use blockio::{ByteCount, ByteOffset, ByteRange, ExtentKind, MIB, Storage};

use super::format::{ENTRIES_PER_PAGE, HEADER_SECTION, PAGE, PAGE_SIZE, index};
use super::geometry::{EntryIndex, Geometry, page_offset};
use crate::error::ImageError;

/// [MS-VHDX] 2.5.1.1 and 2.5.1.2: the state of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockState {
    /// 0: nothing of the block is in this file.
    NotPresent,
    /// 1: the content is not defined; zeros are given.
    Undefined,
    /// 2: the block is zeros.
    Zero,
    /// 3: the block was unmapped; zeros are given.
    Unmapped,
    /// 6: all of the block is at the entry's offset.
    FullyPresent,
    /// 7: what the sector bitmap says is at the entry's offset, the rest is the parent's.
    PartiallyPresent,
}

/// A decoded entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatEntry {
    pub(super) state: BlockState,
    /// Byte offset of the block in the file; without meaning where the block has no place.
    pub(super) offset: u64,
}

/// Bits 3 to 19 of an entry, which are zero.
const RESERVED_BITS: u64 = 0x000F_FFF8;

impl BatEntry {
    /// The entry of a block of zeros.
    pub(super) const ZERO: Self = Self {
        state: BlockState::Zero,
        offset: 0,
    };

    /// The entry of a block that is at `offset`, a multiple of 1 MiB.
    pub(super) const fn present(offset: u64) -> Self {
        Self {
            state: BlockState::FullyPresent,
            offset,
        }
    }

    /// Reads the 8 bytes of an entry; `None` where a reserved bit is set or the state is unknown.
    pub(super) fn decode(raw: u64) -> Option<Self> {
        let state = match raw & 7 {
            0 => BlockState::NotPresent,
            1 => BlockState::Undefined,
            2 => BlockState::Zero,
            3 => BlockState::Unmapped,
            6 => BlockState::FullyPresent,
            7 => BlockState::PartiallyPresent,
            _ => return None,
        };
        (raw & RESERVED_BITS == 0).then_some(Self {
            state,
            // 44 bits of mebibytes at bit 20: the offset in bytes is the entry without the rest.
            offset: raw & !(MIB - 1),
        })
    }

    /// The 8 bytes of an entry with its reserved bits cleared.
    pub(super) const fn without_reserved_bits(raw: u64) -> u64 {
        raw & !RESERVED_BITS
    }

    /// The 8 bytes of the entry.
    pub(super) const fn encode(self) -> u64 {
        let state = match self.state {
            BlockState::NotPresent => 0,
            BlockState::Undefined => 1,
            BlockState::Zero => 2,
            BlockState::Unmapped => 3,
            BlockState::FullyPresent => 6,
            BlockState::PartiallyPresent => 7,
        };
        self.offset | state
    }

    /// Where the block is, if it has a place in the file.
    pub(super) const fn place(self) -> Option<u64> {
        match self.state {
            BlockState::FullyPresent | BlockState::PartiallyPresent => Some(self.offset),
            _ => None,
        }
    }
}

type Page = Box<[AtomicU64]>;

/// The table of an open image.
pub(super) struct Bat {
    region: ByteRange,
    pages: Vec<OnceLock<Page>>,
    /// A bit for each page that holds zeros on disk and was not changed.
    zero_pages: Vec<AtomicU64>,
}

impl Bat {
    /// The table in `region`; no page is read yet.
    ///
    /// # Errors
    /// `Damaged` where the region is too short for the disk.
    pub(super) fn new(region: ByteRange, geometry: &Geometry) -> Result<Self, ImageError> {
        let needed = geometry.entries().saturating_mul(8);
        if needed > region.len().get() {
            let message = format!(
                "block allocation table of {} is too short: the disk needs {needed}",
                region.len()
            );
            return Err(ImageError::damaged_at(
                "MS-VHDX 2.5",
                region.start(),
                message,
            ));
        }
        // At most 2 bytes of memory for 512 bytes of the region, which lies within the file.
        let pages = index(geometry.table_pages());
        let mut bat = Self {
            region,
            pages: Vec::new(),
            zero_pages: Vec::new(),
        };
        bat.pages.resize_with(pages, OnceLock::new);
        bat.zero_pages
            .resize_with(pages.div_ceil(64), AtomicU64::default);
        Ok(bat)
    }

    /// The entry as it stands, undecoded.
    pub(super) fn load(&self, storage: &dyn Storage, entry: EntryIndex) -> blockio::Result<u64> {
        let slot = index(entry.slot());
        let number = index(entry.page());
        let Some(loaded) = self.pages.get(number) else {
            // Behind the entries that the disk needs.
            return Ok(0);
        };
        if let Some(page) = loaded.get() {
            return Ok(page[slot].load(Ordering::Acquire));
        }
        if self.is_known_zero(number) {
            return Ok(0);
        }
        let bytes = self.read_page(storage, entry.page())?;
        if bytes.iter().all(|byte| *byte == 0) {
            self.mark_zero(entry.page());
            return Ok(0);
        }
        // Another thread may have been quicker, and may have changed its copy since: the first
        // copy counts.
        let page = loaded.get_or_init(|| decode_page(&bytes));
        Ok(page[slot].load(Ordering::Acquire))
    }

    /// Whether a page holds zeros alone and was not changed, so that no entry in it has a place.
    pub(super) fn is_zero_page(&self, storage: &dyn Storage, page: u64) -> blockio::Result<bool> {
        let number = index(page);
        if self.pages[number].get().is_none() && !self.is_known_zero(number) {
            self.load(storage, EntryIndex(page.saturating_mul(ENTRIES_PER_PAGE)))?;
        }
        Ok(self.pages[number].get().is_none() && self.is_known_zero(number))
    }

    /// Replaces an entry. The caller holds the lock of the block and of the open transaction, and
    /// has marked the page as changed in it.
    pub(super) fn store(
        &self,
        storage: &dyn Storage,
        entry: EntryIndex,
        value: BatEntry,
    ) -> blockio::Result<()> {
        self.load(storage, entry)?;
        let page = self.pages[index(entry.page())].get_or_init(|| decode_page(&[0; PAGE_SIZE]));
        page[index(entry.slot())].store(value.encode(), Ordering::Release);
        Ok(())
    }

    /// A copy of a page as it shall stand on disk.
    pub(super) fn snapshot(&self, page: u64) -> Box<[u8; PAGE_SIZE]> {
        let mut bytes = Box::new([0; PAGE_SIZE]);
        if let Some(entries) = self.pages.get(index(page)).and_then(OnceLock::get) {
            for (slot, entry) in bytes.chunks_exact_mut(8).zip(entries) {
                slot.copy_from_slice(&entry.load(Ordering::Acquire).to_le_bytes());
            }
        }
        bytes
    }

    /// Byte offset of a page in the file.
    pub(super) fn file_offset(&self, page: u64) -> u64 {
        self.region.start().get().saturating_add(page_offset(page))
    }

    /// Where an entry stands in the file.
    pub(super) fn entry_offset(&self, entry: EntryIndex) -> ByteOffset {
        ByteOffset(
            self.file_offset(0)
                .saturating_add(entry.0.saturating_mul(8)),
        )
    }

    fn read_page(&self, storage: &dyn Storage, page: u64) -> blockio::Result<[u8; PAGE_SIZE]> {
        // The region is a multiple of 1 MiB, so that its last page is whole.
        let mut bytes = [0; PAGE_SIZE];
        storage.read_at(&mut bytes, ByteOffset(self.file_offset(page)))?;
        Ok(bytes)
    }

    fn is_known_zero(&self, page: usize) -> bool {
        self.zero_pages[page / 64].load(Ordering::Acquire) & (1 << (page % 64)) != 0
    }

    fn mark_zero(&self, page: u64) {
        let page = index(page);
        self.zero_pages[page / 64].fetch_or(1 << (page % 64), Ordering::Release);
    }

    /// Visits all entries that are not zero, in order, as they stand in the file, and remembers
    /// which pages hold none. Holes of the host are skipped, so that an empty table costs nothing.
    ///
    /// # Errors
    /// What `visit` returns, or the failure to read.
    pub(super) fn scan(
        &self,
        storage: &dyn Storage,
        geometry: &Geometry,
        mut visit: impl FnMut(EntryIndex, u64) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let pages = geometry.table_pages();
        let mut page = 0;
        while page < pages {
            let holes = self.hole_pages(storage, page, pages)?;
            if holes > 0 {
                (page..page + holes).for_each(|page| self.mark_zero(page));
                page += holes;
                continue;
            }
            let bytes = self.read_page(storage, page)?;
            if bytes.iter().all(|byte| *byte == 0) {
                self.mark_zero(page);
            }
            let first = page * ENTRIES_PER_PAGE;
            for (raw, number) in bytes.chunks_exact(8).zip(first..geometry.entries()) {
                let raw = raw.first_chunk().map_or(0, |raw| u64::from_le_bytes(*raw));
                if raw != 0 {
                    visit(EntryIndex(number), raw)?;
                }
            }
            page += 1;
        }
        Ok(())
    }

    /// Pages from `page` on that are a hole of the host, and so hold zeros.
    fn hole_pages(&self, storage: &dyn Storage, page: u64, pages: u64) -> Result<u64, ImageError> {
        let start = ByteOffset(self.file_offset(page));
        let rest = ByteRange::new(start, ByteCount(page_offset(pages - page)));
        let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
            return Ok(0);
        };
        let extent = storage.extent_at(rest)?;
        match extent.kind {
            ExtentKind::Hole => Ok(extent.range.len().get() / PAGE),
            ExtentKind::Data => Ok(0),
        }
    }
}

fn decode_page(bytes: &[u8; PAGE_SIZE]) -> Page {
    bytes
        .chunks_exact(8)
        .map(|raw| AtomicU64::new(raw.first_chunk().map_or(0, |raw| u64::from_le_bytes(*raw))))
        .collect()
}

/// Whether `length` bytes at a block's `place` lie in the file behind its header section.
pub(super) fn lies_in_file(place: u64, length: u64, file_length: u64) -> bool {
    place >= HEADER_SECTION
        && place
            .checked_add(length)
            .is_some_and(|end| end <= file_length)
}

#[cfg(test)]
mod tests;

//! The block allocation table: read once, checked whole, kept as atomics.
//!
//! Invariant of a [`Bat`] that was loaded: every entry that has a place lies within the data area
//! of the file, touches none of the format's own structures and shares no byte with another.
//! An entry changes once, from none to a place; reading it takes no lock.
//!
//! VHD "Block Allocation Table and Data Blocks".

use std::sync::atomic::{AtomicU32, Ordering};

use blockio::{ByteOffset, Storage};

use super::footer::Found;
use super::format::{SECTOR, UNALLOCATED};
use super::sparse::{Layout, reserved_ranges};
use crate::bounds::to_index;
use crate::error::ImageError;

/// The rule that errors name.
pub(crate) const RULE: &str = "VHD block allocation table";

/// Bytes of the table that are read at once.
const PIECE: usize = 256 * 1024;

/// The table in memory, in the encoding of the file: a sector number, or [`UNALLOCATED`].
#[derive(Debug)]
pub(crate) struct Bat {
    entries: Box<[AtomicU32]>,
}

/// A breach of the invariant.
pub(crate) struct Violation {
    /// Where the entry stands.
    pub(crate) at: ByteOffset,
    pub(crate) message: String,
}

impl Violation {
    pub(crate) fn into_error(self) -> ImageError {
        ImageError::damaged_at(RULE, self.at, self.message)
    }
}

impl Bat {
    /// A table of `count` blocks without a place.
    pub(crate) fn empty(count: u64) -> Option<Self> {
        let mut entries = Vec::new();
        entries.try_reserve_exact(to_index(count)?).ok()?;
        entries.extend((0..count).map(|_| AtomicU32::new(UNALLOCATED)));
        Some(Self {
            entries: entries.into_boxed_slice(),
        })
    }

    /// Reads the table; nothing of it is checked yet. The layout bounds it by the file's length.
    ///
    /// # Errors
    /// `TooLarge` where memory does not hold it, `Io`.
    pub(crate) fn load(storage: &dyn Storage, layout: &Layout) -> Result<Self, ImageError> {
        let bat = Self::empty(layout.block_count)
            .ok_or_else(|| ImageError::unsupported("block allocation table beyond memory"))?;
        let mut piece = vec![0; PIECE];
        let mut at = layout.table_offset;
        for entries in bat.entries.chunks(PIECE / 4) {
            let bytes = &mut piece[..entries.len() * 4];
            storage.read_at(bytes, ByteOffset(at))?;
            for (entry, bytes) in entries.iter().zip(bytes.chunks_exact(4)) {
                let value = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                entry.store(value, Ordering::Relaxed);
            }
            at += u64::try_from(bytes.len()).unwrap_or(0);
        }
        Ok(bat)
    }

    /// The entry of a block, if it has a place.
    pub(crate) fn get(&self, block: u64) -> Option<u32> {
        // Acquire: whoever sees the place also sees the block's space made ready.
        let entry = self.entries.get(to_index(block)?)?.load(Ordering::Acquire);
        (entry != UNALLOCATED).then_some(entry)
    }

    /// Gives a block its place.
    pub(crate) fn set(&self, block: u64, entry: u32) {
        if let Some(slot) = to_index(block).and_then(|index| self.entries.get(index)) {
            slot.store(entry, Ordering::Release);
        }
    }

    /// How many blocks there are.
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.entries.len()).unwrap_or(u64::MAX)
    }

    /// All blocks that have a place, with their entry.
    pub(crate) fn allocated(&self) -> impl Iterator<Item = (u64, u32)> {
        (0_u64..).zip(&*self.entries).filter_map(|(block, entry)| {
            let entry = entry.load(Ordering::Acquire);
            (entry != UNALLOCATED).then_some((block, entry))
        })
    }

    /// First byte after the last block in the file; `floor` where there is none behind it.
    pub(crate) fn used_end(&self, layout: &Layout, floor: u64) -> u64 {
        let last = self.allocated().map(|(_, entry)| entry).max();
        last.map_or(floor, |entry| {
            floor.max(layout.data_offset(entry) + layout.block_size)
        })
    }

    /// Calls `report` for each breach of the invariant until it returns `false`.
    pub(crate) fn violations(
        &self,
        layout: &Layout,
        found: &Found,
        mut report: impl FnMut(Violation) -> bool,
    ) {
        let at = |block: u64| ByteOffset(layout.table_offset + block * 4);
        let reserved = reserved_ranges(found, layout);
        let mut places = Vec::new();
        for (block, entry) in self.allocated() {
            let start = u64::from(entry) * SECTOR;
            let end = layout.data_offset(entry) + layout.block_size;
            let message = if end > found.data_limit {
                format!("block {block} at {start:#x} runs past the data area of the file")
            } else if reserved
                .iter()
                .any(|(a, b)| start < b.get() && a.get() < end)
            {
                format!("block {block} at {start:#x} overlaps the structures of the format")
            } else {
                places.push((entry, block));
                continue;
            };
            let at = at(block);
            if !report(Violation { at, message }) {
                return;
            }
        }
        places.sort_unstable();
        for pair in places.windows(2) {
            let [(first, a), (second, b)] = [pair[0], pair[1]];
            if u64::from(second) * SECTOR < layout.data_offset(first) + layout.block_size {
                let message = format!("blocks {a} and {b} share space in the file");
                let at = at(b);
                if !report(Violation { at, message }) {
                    return;
                }
            }
        }
    }
}

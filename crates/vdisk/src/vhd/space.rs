//! Where blocks go in the file of a dynamic disk, and the order in which that becomes durable.
//!
//! VHD has no log. What keeps the file whole through a crash is this order:
//!
//! 1. **Growing.** The footer is written at its new place, far enough ahead for many blocks, and
//!    made durable while the old footer still stands. Only then may a block be laid over the old
//!    one. So the file always ends in a footer, or (where only its length grew) in zeros, and then
//!    the copy at 0 counts; never in a guest's data that could pass for a footer.
//! 2. **Allocating.** Bytes that a crashed session, another program or an old footer left where
//!    the block goes are zeroed; the block's bitmap is written full (in a child: clear). The block is *unpublished*:
//!    in memory it has a place, in the file it has none.
//! 3. **Flushing.** Data, bitmaps and zeros are made durable; then the table entries of the blocks
//!    that were unpublished when the flush began are written, 512 bytes at a time, which a disk
//!    writes whole, and in a child the bitmaps; then these are made durable.
//! 4. **Closing.** A footer is written behind the last block and made durable before the file is
//!    cut there.
//!
//! After a crash anywhere, each block has its new place with at least what was flushed, or none.
//! What was taken and not published is free again: it lies behind the last published block.

use std::collections::BTreeSet;

use blockio::{ByteCount, ByteOffset, IoError, IoErrorKind, MIB, Operation, Storage, ZeroMode};

use super::bat::Bat;
use super::footer::{Found, Place};
use super::format::{FOOTER_LEN, SECTOR, UNALLOCATED};
use super::sparse::Layout;
use crate::bounds::{checked_range, to_index};

/// The file grows by an eighth of its length, within these bounds.
const MIN_GROWTH: u64 = 8 * MIB;
const MAX_GROWTH: u64 = 256 * MIB;
/// Table entries in a sector.
const ENTRIES: u64 = SECTOR / 4;

/// The room for blocks.
pub(crate) struct Space {
    /// First byte after the structures that stand before the blocks.
    floor: u64,
    /// Where the bitmap of the next block goes.
    next: u64,
    /// First byte that may not hold a block: where the footer stands (or the end, without one).
    limit: u64,
    /// Length of the file.
    file_length: u64,
    /// Below this, bytes from `next` on may be anything; above, they are zero.
    dirty_end: u64,
    /// Blocks of the disk that have no place.
    absent: u64,
    /// Blocks that have a place in memory and none in the file.
    unpublished: BTreeSet<u64>,
    footer: [u8; 512],
    /// Whether the copy of the footer at 0 is good, so that a crash while growing does no harm.
    start_is_good: bool,
    /// Whether this session moved the footer.
    moved: bool,
    /// Whether a failure left the file in an unknown state.
    lost: bool,
}

impl Space {
    /// The room in a file whose table was found sound.
    /// Blocks go behind the names of a parent, which end at `names_end`.
    pub(crate) fn new(
        layout: &Layout,
        bat: &Bat,
        found: &Found,
        start_is_good: bool,
        names_end: u64,
    ) -> Self {
        let header_end = found.footer.header_offset.get() + super::format::HEADER_LEN;
        let floor = layout.table_end().max(header_end).max(names_end);
        let used = bat.used_end(layout, floor);
        let allocated = u64::try_from(bat.allocated().count()).unwrap_or(u64::MAX);
        Self {
            floor,
            next: layout.place_at_or_after(used),
            // Without a good footer at the end, the first block first brings one.
            limit: match found.place {
                Place::End | Place::OldEnd => found.data_limit,
                Place::Start => 0,
            },
            file_length: found.file_length,
            dirty_end: found.data_limit,
            absent: bat.len().saturating_sub(allocated),
            unpublished: BTreeSet::new(),
            footer: found.footer.bytes,
            start_is_good,
            moved: false,
            lost: false,
        }
    }

    /// Whether a failure left the file in a state that nothing may be built on.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// First byte after the structures that stand before the blocks.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// A compaction left nothing at `next` or behind it; `freed` blocks lost their place. Closing
    /// cuts the file there.
    pub(crate) fn compacted(&mut self, next: u64, freed: u64) {
        self.dirty_end = self.dirty_end.max(self.file_length);
        self.moved |= next < self.next;
        self.next = next;
        self.absent = self.absent.saturating_add(freed);
    }

    /// Where the footer at the end stands; none where only the copy at 0 is good.
    pub(crate) fn end_footer(&self) -> Option<u64> {
        (self.limit > 0).then_some(self.limit)
    }

    /// Takes `length` bytes behind all blocks for a structure, in front of the footer.
    ///
    /// # Errors
    /// `NoSpace`, `Host`.
    pub(crate) fn take_behind(
        &mut self,
        storage: &dyn Storage,
        layout: &Layout,
        length: u64,
    ) -> Result<u64, IoError> {
        let at = self.next.next_multiple_of(SECTOR);
        // Ends: each turn moves the footer away by one block at least.
        while at + length > self.limit {
            self.grow(storage, layout)?;
        }
        self.next = layout.place_at_or_after(at + length);
        Ok(at)
    }

    /// The disk has another size: what its footer is now, where blocks may begin, and how many have
    /// no place.
    pub(crate) fn resized(&mut self, footer: [u8; 512], floor: u64, absent: u64) {
        self.footer = footer;
        self.floor = floor;
        self.absent = absent;
        if self.limit > 0 {
            // A footer of 511 bytes became a whole one.
            self.file_length = self.limit + FOOTER_LEN;
        }
        self.start_is_good = true;
    }

    /// Length of the file.
    pub(crate) fn file_length(&self) -> u64 {
        self.file_length
    }

    /// Makes room for a block and returns its table entry. The block's data reads zero.
    ///
    /// # Errors
    /// `NoSpace`, `Host`. The block has no place then and nothing that was written is touched.
    pub(crate) fn allocate(
        &mut self,
        storage: &dyn Storage,
        layout: &Layout,
        block: u64,
        is_differencing: bool,
    ) -> Result<u32, IoError> {
        let end = self.next + layout.bitmap_size + layout.block_size;
        let Some(entry) = u32::try_from(self.next / SECTOR)
            .ok()
            .filter(|entry| *entry != UNALLOCATED)
        else {
            return Err(self.error(IoErrorKind::NoSpace, end));
        };
        if end > self.limit {
            self.grow(storage, layout)?;
        }
        if self.next < self.dirty_end {
            let len = self.dirty_end.min(end) - self.next;
            let limit = ByteCount(u64::MAX);
            let dirty = checked_range(Operation::Zero, ByteOffset(self.next), len, limit)?;
            storage.zero(dirty, ZeroMode::Punch)?;
        }
        // All sectors are in a dynamic disk's block; none yet in that of a child.
        let filling = if is_differencing { 0 } else { 0xff };
        let bitmap = vec![filling; to_index(layout.bitmap_size).unwrap_or(0)];
        storage.write_at(&bitmap, ByteOffset(self.next))?;
        self.next = layout.place_at_or_after(end);
        self.absent = self.absent.saturating_sub(1);
        self.unpublished.insert(block);
        Ok(entry)
    }

    /// Moves the footer away so that at least one more block fits in front of it.
    fn grow(&mut self, storage: &dyn Storage, layout: &Layout) -> Result<(), IoError> {
        if !self.start_is_good {
            // From here to the end of this function the copy at 0 may be the only footer.
            storage.write_at(&self.footer, ByteOffset(0))?;
            self.sync(storage)?;
            self.start_is_good = true;
        }
        let wanted = (self.file_length / 8).clamp(MIN_GROWTH, MAX_GROWTH);
        let blocks = (wanted / layout.stride()).min(self.absent).max(1);
        let old_length = self.file_length;
        let room_end = self.next + blocks * layout.stride();
        // Behind all there is, also behind what a crash left there: nothing good is overwritten.
        let footer_at = layout.place_at_or_after(room_end.max(old_length));
        if let Err(error) = storage.write_at(&self.footer, ByteOffset(footer_at)) {
            // Nothing stands behind the old footer yet; without it cut off, the end would be torn.
            self.lost = storage.set_len(ByteCount(old_length)).is_err();
            return Err(error);
        }
        // The new footer is durable before any block is laid over the old one.
        self.sync(storage)?;
        self.moved = true;
        self.limit = footer_at;
        self.file_length = footer_at + FOOTER_LEN;
        // The old footer, and nothing else of the room that was won, holds other than zeros.
        self.dirty_end = old_length;
        Ok(())
    }

    fn sync(&mut self, storage: &dyn Storage) -> Result<(), IoError> {
        storage.sync().inspect_err(|_| self.lost = true)
    }

    fn error(&self, kind: IoErrorKind, end: u64) -> IoError {
        IoError::new(
            kind,
            Operation::Write,
            ByteOffset(self.next),
            ByteCount(end - self.next),
        )
    }

    /// The blocks that the flush beginning now publishes.
    pub(crate) fn take_unpublished(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.unpublished)
    }

    /// The sectors of the table that hold the entries of `batch`, joined where they are neighbours.
    /// Blocks that got their place after the batch was taken still have none in these bytes, since
    /// their data may not be durable.
    pub(crate) fn table_sectors(
        &self,
        layout: &Layout,
        bat: &Bat,
        batch: &BTreeSet<u64>,
    ) -> Vec<(ByteOffset, Vec<u8>)> {
        let sectors: BTreeSet<u64> = batch.iter().map(|block| block / ENTRIES).collect();
        let mut writes: Vec<(ByteOffset, Vec<u8>)> = Vec::new();
        let mut following = None;
        for sector in sectors {
            let first = sector * ENTRIES;
            let entries = first..(first + ENTRIES).min(bat.len());
            let bytes = entries.flat_map(|block| {
                let entry = bat
                    .get(block)
                    .filter(|_| !self.unpublished.contains(&block));
                entry.unwrap_or(UNALLOCATED).to_be_bytes()
            });
            match writes.last_mut().filter(|_| following == Some(sector)) {
                Some((_, run)) => run.extend(bytes),
                None => {
                    let at = ByteOffset(layout.table_offset + first * 4);
                    writes.push((at, bytes.collect()));
                }
            }
            following = Some(sector + 1);
        }
        writes
    }

    /// Makes the copy of the footer at 0 that of the end, where a resize was cut short between the
    /// two. A disk that is sound is not touched.
    ///
    /// # Errors
    /// `NoSpace`, `Host`.
    pub(crate) fn mend_start(&mut self, storage: &dyn Storage) -> Result<(), IoError> {
        if self.start_is_good || self.limit == 0 {
            return Ok(());
        }
        storage.write_at(&self.footer, ByteOffset(0))?;
        self.sync(storage)?;
        self.start_is_good = true;
        Ok(())
    }

    /// Cuts off the room that no block took. Everything must be published.
    ///
    /// # Errors
    /// `NoSpace`, `Host`.
    pub(crate) fn trim(&mut self, storage: &dyn Storage) -> Result<(), IoError> {
        if !self.moved || self.next >= self.limit {
            return Ok(());
        }
        storage.write_at(&self.footer, ByteOffset(self.next))?;
        // The footer at its last place is durable before the one at the end is cut off.
        self.sync(storage)?;
        storage.set_len(ByteCount(self.next + FOOTER_LEN))?;
        self.limit = self.next;
        self.file_length = self.next + FOOTER_LEN;
        // The caller is told that all is done: the new length is, too.
        self.sync(storage)
    }
}

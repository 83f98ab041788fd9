//! Compaction of a dynamic or differencing VHD: blocks that hold nothing lose their place, those at
//! the end of the file move into the room before them, and the footer comes behind the last one.
//!
//! VHD has no log and no way to mark room in the middle as free, so the order of writes does the work:
//!
//! 1. The entries of blocks that hold nothing are written; *sync*. Until then their room is theirs.
//! 2. Blocks are copied into room that nothing points to; *sync*; then their entries are written, a
//!    sector at a time; *sync*. A crash shows each at its old place or at its new one, whole at both,
//!    since no move goes to room that an earlier move left.
//! 3. The footer is written behind the last block, over room that nothing points to any more;
//!    *sync*; then the file is cut there ([`super::space`], closing). Until then the old footer ends
//!    the file.
//!
//! In a child a block without a place is the parent's: so it loses its place only where none of its
//! sectors is the child's, or where it and the parent read zero.

use std::collections::BTreeSet;

use blockio::{ByteCount, Disk, ZeroMode};

use super::dynamic::DynamicDisk;
use super::format::{FOOTER_LEN, SECTOR, UNALLOCATED};
use super::sparse::Layout;
use crate::bounds::to_index;
use crate::chain::Held;
use crate::compact::{
    CompactReport, CompactRequest, Holes, MAKES_HOLES, STEP, Target, copy_in_file, look_for_zeros,
    stored_in,
};
use crate::convert::is_zero;
use crate::error::ImageError;

/// A block that keeps a place: its number, and where its bitmap stands.
type Placed = (u64, u64);

/// What the first look at the blocks found.
#[derive(Default)]
struct Survey {
    /// Blocks that keep their place.
    kept: BTreeSet<u64>,
    /// Bytes that the host keeps for what is given up.
    given_back: u64,
    /// Of the blocks that keep their place, those that hold zeros for which the parent has something.
    kept_for_parent: u64,
}

/// What of a block would be missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holding {
    /// Nothing: without its place it reads the same.
    Nothing,
    /// Zeros, in the place of which a child's parent would show.
    Zeros,
    /// Bytes.
    Something,
}

impl DynamicDisk {
    /// See [`crate::ImageDisk::compact`].
    pub(super) fn compact_blocks(
        &mut self,
        request: &CompactRequest<'_>,
    ) -> Result<CompactReport, ImageError> {
        if self.is_read_only() {
            return Err(ImageError::ReadOnly);
        }
        self.flush()?;
        let length = self.storage.len()?.get();
        let mut placed: Vec<Placed> = self
            .bat
            .allocated()
            .map(|(block, entry)| (block, u64::from(entry) * SECTOR))
            .collect();
        let mut report = CompactReport {
            length_before: ByteCount(length),
            stored_before: ByteCount(stored_in(&*self.storage, 0, length)?),
            blocks_before: count(placed.len()),
            ..CompactReport::default()
        };
        let Survey {
            kept,
            mut given_back,
            kept_for_parent,
        } = self.survey(request, &placed)?;
        report.blocks_after = count(kept.len());
        report.blocks_kept = kept_for_parent;
        placed.retain(|(block, _)| !kept.contains(block));
        let freed: BTreeSet<u64> = placed.iter().map(|(block, _)| *block).collect();
        if !request.dry_run {
            self.forget_places(&freed)?;
        }
        let left: Vec<Placed> = self
            .bat
            .allocated()
            .map(|(block, entry)| (block, u64::from(entry) * SECTOR))
            .filter(|(block, _)| !freed.contains(block))
            .collect();
        let moves = plan(&self.layout, self.floor(), left.clone());
        report.blocks_moved = count(moves.len());
        let end = self.end_after(&left, &moves);
        report.length_after = ByteCount((end + FOOTER_LEN).min(length));
        if request.dry_run {
            // What lies behind the last block and was not a block's goes as well.
            let last = self.end_after(&left, &[]).max(self.blocks_end());
            given_back += stored_in(&*self.storage, last.min(length), length)?;
            let stored = report.stored_before.get().saturating_sub(given_back);
            report.stored_after = ByteCount(stored);
            return Ok(report);
        }
        let moved = self.carry_out(request, &moves);
        let end = self.blocks_end();
        self.space().compacted(end, count(freed.len()));
        moved?;
        // The holes in blocks that stay: what reads zero from here on stays so.
        self.flush()?;
        report.length_after = ByteCount((end + FOOTER_LEN).min(length));
        report.stored_after = ByteCount(stored_in(&*self.storage, 0, end.min(length))?);
        Ok(report)
    }

    fn survey(
        &self,
        request: &CompactRequest<'_>,
        placed: &[Placed],
    ) -> Result<Survey, ImageError> {
        let mut survey = Survey::default();
        let block_size = self.layout.block_size;
        let total = count(placed.len()).saturating_mul(block_size);
        let mut buffer = Vec::new();
        for (number, (block, place)) in (0_u64..).zip(placed) {
            request.tell(number.saturating_mul(block_size), total)?;
            let mut holes = Holes::default();
            match self.holding(request, *block, &mut holes, &mut buffer)? {
                Holding::Nothing => {
                    let end = place + self.layout.bitmap_size + block_size;
                    survey.given_back += stored_in(&*self.storage, *place, end)?;
                    continue;
                }
                Holding::Zeros => survey.kept_for_parent += 1,
                Holding::Something => {}
            }
            survey.kept.insert(*block);
            for hole in holes.worth_it() {
                let stored = stored_in(&*self.storage, hole.start().get(), hole.end().get())?;
                survey.given_back += stored;
                if stored > 0 && !request.dry_run {
                    // In place, in no order with anything: these bytes are zero or nobody's.
                    self.storage.zero(hole, ZeroMode::Punch)?;
                }
            }
        }
        Ok(survey)
    }

    fn holding(
        &self,
        request: &CompactRequest<'_>,
        block: u64,
        holes: &mut Holes,
        buffer: &mut Vec<u8>,
    ) -> Result<Holding, ImageError> {
        let start = block * self.layout.block_size;
        let end = (start + self.layout.block_size).min(self.size().get());
        let (mut nothing, mut untouched) = (true, self.is_differencing);
        for (from, to, is_used) in request.parts(start, end.max(start)) {
            let mut at = from;
            while at < to {
                let (held, length) = self.held(at, to - at)?;
                untouched &= held == Held::Parent;
                match held {
                    Held::File(_) if is_used && !nothing && !request.scan_zeros => {}
                    Held::File(place) if is_used => {
                        let end = place + length;
                        let collect = request.makes_holes_of_zeros().then_some(&mut *holes);
                        nothing &= look_for_zeros(&*self.storage, place, end, collect, buffer)?;
                    }
                    Held::File(place) if MAKES_HOLES => holes.add(place, place + length),
                    _ => {}
                }
                if !nothing && !MAKES_HOLES {
                    return Ok(Holding::Something);
                }
                at += length.max(1);
            }
        }
        Ok(match nothing {
            _ if untouched => Holding::Nothing,
            false => Holding::Something,
            true if self.parent_reads_zero(start, end, buffer)? => Holding::Nothing,
            true => Holding::Zeros,
        })
    }

    /// Whether the parent, where there is one, shows nothing in a stretch of the disk.
    fn parent_reads_zero(
        &self,
        start: u64,
        end: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<bool, ImageError> {
        let Some(child) = &self.child else {
            return Ok(!self.is_differencing);
        };
        let mut at = start;
        while at < end {
            let (kind, run) = child.parents.status(at, end - at)?;
            let stop = at.saturating_add(run.max(1)).min(end);
            while !kind.reads_zero() && at < stop {
                let step = (stop - at).min(STEP);
                buffer.resize(to_index(step).unwrap_or(0), 0);
                child.parents.read(buffer, at)?;
                if !is_zero(buffer) {
                    return Ok(false);
                }
                at += step;
            }
            at = stop;
        }
        Ok(true)
    }

    pub(super) fn forget_places(&mut self, freed: &BTreeSet<u64>) -> Result<(), ImageError> {
        for block in freed {
            self.bat.set(*block, UNALLOCATED);
            self.bitmaps.forget(*block);
        }
        self.write_entries(freed)
    }

    /// Writes the entries of blocks as they stand in memory, and makes them durable.
    pub(super) fn write_entries(&mut self, blocks: &BTreeSet<u64>) -> Result<(), ImageError> {
        if blocks.is_empty() {
            return Ok(());
        }
        let written = self.try_write_entries(blocks);
        // What the file says is not known then, and memory is ahead of it.
        self.poison_if(written.is_err());
        Ok(written?)
    }

    fn try_write_entries(&self, blocks: &BTreeSet<u64>) -> blockio::Result<()> {
        for (at, bytes) in self.space().table_sectors(&self.layout, &self.bat, blocks) {
            self.storage.write_at(&bytes, at)?;
        }
        // Before the room that the blocks left is used: by a block, or by the footer.
        self.storage.sync()
    }

    fn carry_out(
        &mut self,
        request: &CompactRequest<'_>,
        moves: &[(u64, u64, u64)],
    ) -> Result<(), ImageError> {
        let length = self.layout.bitmap_size + self.layout.block_size;
        let total = count(moves.len()).saturating_mul(length);
        let mut copied = BTreeSet::new();
        let mut outcome = Ok(());
        for (number, (block, from, to)) in (0_u64..).zip(moves) {
            outcome = request.tell(number.saturating_mul(length), total);
            if outcome.is_err() {
                break;
            }
            let target = match MAKES_HOLES {
                true => Target::Anything,
                false => Target::Written,
            };
            outcome = copy_in_file(&*self.storage, *from, *to, length, target);
            if outcome.is_err() {
                break;
            }
            copied.insert((*block, *to));
        }
        if !copied.is_empty() {
            // The copies, before the entries that lead to them.
            let synced = self.storage.sync();
            self.poison_if(synced.is_err());
            synced?;
            for (block, to) in &copied {
                let entry = u32::try_from(to / SECTOR).unwrap_or(UNALLOCATED);
                self.bat.set(*block, entry);
            }
            self.write_entries(&copied.iter().map(|(block, _)| *block).collect())?;
        }
        outcome
    }

    /// First byte that no structure or block occupies, up to which the file is needed.
    fn blocks_end(&self) -> u64 {
        let floor = self.floor();
        self.layout
            .place_at_or_after(self.bat.used_end(&self.layout, floor))
    }

    fn end_after(&self, left: &[Placed], moves: &[(u64, u64, u64)]) -> u64 {
        let moved: BTreeSet<u64> = moves.iter().map(|(block, _, _)| *block).collect();
        let stay = left.iter().filter(|(block, _)| !moved.contains(block));
        let places = stay
            .map(|(_, place)| *place)
            .chain(moves.iter().map(|(_, _, to)| *to));
        let size = self.layout.bitmap_size + self.layout.block_size;
        let end = places.map(|place| place + size).max().unwrap_or(0);
        self.layout.place_at_or_after(end.max(self.floor()))
    }

    /// First byte after the structures that stand before the blocks.
    fn floor(&self) -> u64 {
        self.space().floor()
    }
}

/// Moves of blocks from the end into room before them: block, from, to. Nothing goes to room that an
/// earlier move left, since sources descend and each target lies before its source.
fn plan(layout: &Layout, floor: u64, mut left: Vec<Placed>) -> Vec<(u64, u64, u64)> {
    let size = layout.bitmap_size + layout.block_size;
    left.sort_unstable_by_key(|(_, place)| *place);
    // Room between the blocks, ascending; as many pieces of it as blocks fit.
    let mut room = Vec::new();
    let mut at = floor;
    for (_, place) in &left {
        loop {
            let aligned = layout.place_at_or_after(at);
            // Blocks that are not aligned leave room that only an unaligned one fits.
            let packed = at.next_multiple_of(SECTOR);
            let target = [aligned, packed].into_iter().find(|t| t + size <= *place);
            let Some(target) = target else {
                break;
            };
            room.push(target);
            at = target + size;
        }
        at = at.max(place + size);
    }
    let sources = left.iter().rev();
    let pairs = sources.zip(room).take_while(|((_, from), to)| to < from);
    pairs
        .map(|((block, from), to)| (*block, *from, to))
        .collect()
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

//! Compaction of a VHDX: blocks that hold nothing give up their space, those at the end of the file
//! move into free space before them, and the file is cut.
//!
//! The order of writes is that of a discard and of an allocation in space that held other data:
//! entries of given-up blocks go through the log and are durable before their space is used; a
//! block that moves is copied, synced, and its entry goes through the log before the space it left
//! is free. So a crash shows each block at its old place or at its new one, whole at both. The file
//! is cut at close, when no log counts.
//!
//! In a child a block that gives up its space becomes *zero*, never *not present*: the parent must
//! not show in the place of zeros. So it may only where all of it that is used reads zero, the
//! parent's part with it.

use blockio::{ByteCount, Storage, ZeroMode};

use super::bat::{BatEntry, BlockState};
use super::commit::Publication;
use super::format::index;
use super::geometry::{BlockIndex, EntryIndex, EntryRole, Segment};
use super::image::{VhdxImage, lock};
use super::space::{Run, SpaceMap};
use crate::chain::Held;
use crate::compact::{
    CompactReport, CompactRequest, Holes, MAKES_HOLES, STEP, Target, copy_in_file, look_for_zeros,
    stored_in,
};
use crate::convert::is_zero;
use crate::error::ImageError;

/// Mebibytes that may have moved before a commit frees what they left.
const MAX_MOVED: u64 = 4096;

/// Something with a place in the file that may be moved.
#[derive(Clone, Copy, Debug)]
struct Item {
    run: Run,
    entry: EntryIndex,
    state: BlockState,
}

/// What the first look at the blocks found.
#[derive(Default)]
struct Survey {
    items: Vec<Item>,
    freed: Vec<Run>,
    /// Chunks with a block that is partially present.
    partial_chunks: Vec<u64>,
    /// Bytes that the host keeps for what is given up.
    given_back: u64,
    blocks: u64,
}

impl VhdxImage {
    /// See [`crate::ImageDisk::compact`]. Nobody else uses the image meanwhile.
    pub(super) fn compact_blocks(
        &mut self,
        request: &CompactRequest<'_>,
    ) -> Result<CompactReport, ImageError> {
        self.punches_released = false;
        let report = self.give_up_and_move(request);
        self.punches_released = true;
        // Also after a stop on request: what was given up so far counts.
        if !request.dry_run && matches!(report, Ok(_) | Err(ImageError::Cancelled)) {
            self.punch_what_is_left();
        }
        let mut report = report?;
        if !request.dry_run {
            let end = report.length_after.get().min(self.file_length());
            report.stored_after = ByteCount(stored_in(&self.storage, 0, end)?);
        }
        Ok(report)
    }

    /// Free space between the blocks goes back to the host, and is used again after the next sync.
    fn punch_what_is_left(&self) {
        let end = self.space.used_end_bytes() / blockio::MIB;
        let mut between: Vec<Run> = self.space.copy().free_runs().collect();
        between.retain(|run| run.end() <= end);
        for run in &between {
            self.space.take(*run);
        }
        self.free_released(between);
    }

    fn give_up_and_move(
        &mut self,
        request: &CompactRequest<'_>,
    ) -> Result<CompactReport, ImageError> {
        if !self.writable {
            return Err(ImageError::ReadOnly);
        }
        if self.metadata.leave_blocks_allocated {
            return Err(ImageError::unsupported(
                "compacting a fixed image, which keeps its space by definition; convert it to a \
                 dynamic one",
            ));
        }
        let length_before = self.file_length();
        let mut report = CompactReport {
            length_before: ByteCount(length_before),
            stored_before: ByteCount(stored_in(&self.storage, 0, length_before)?),
            blocks_before: self.present_blocks(),
            ..CompactReport::default()
        };
        if !request.dry_run {
            self.begin_session()?;
        }
        let survey = self.survey(request, report.blocks_before)?;
        report.blocks_after = survey.blocks;
        let mut map = self.space.copy();
        if request.dry_run {
            survey.freed.iter().for_each(|run| map.release(*run));
        } else {
            // The entries of what was given up: all of it is free then.
            self.flush_session()?;
            map = self.space.copy();
        }
        let moves = plan(&mut map, survey.items);
        report.blocks_moved = u64::try_from(moves.len()).unwrap_or(u64::MAX);
        report.length_after = ByteCount(map.used_end_bytes());
        if request.dry_run {
            let stored = report.stored_before.get().saturating_sub(survey.given_back);
            let tail = stored_in(&self.storage, self.space.used_end_bytes(), length_before)?;
            report.stored_after = ByteCount(stored.saturating_sub(tail));
            return Ok(report);
        }
        let moved = self.carry_out(request, &moves);
        // Also after a stop on request: what was moved so far counts.
        self.flush_session()?;
        moved?;
        report.length_after = ByteCount(self.space.used_end_bytes());
        Ok(report)
    }

    fn present_blocks(&self) -> u64 {
        self.allocated_blocks
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    /// A sync by itself, after which holes that were punched are free space.
    pub(super) fn sync_session(&self) -> Result<(), ImageError> {
        let mut session = lock(&self.session);
        match session.log.as_mut() {
            Some(log) => self.sync(log).inspect_err(|_| self.poison()),
            None => Err(ImageError::Poisoned),
        }
    }

    /// Looks at each block; gives up the space of those that hold nothing, and of parts of others.
    fn survey(&self, request: &CompactRequest<'_>, present: u64) -> Result<Survey, ImageError> {
        let mut survey = Survey::default();
        let mut bitmaps = Vec::new();
        let total = present.saturating_mul(self.geometry.block_size);
        let mut buffer = Vec::new();
        for number in 0..self.geometry.entries() {
            let entry = EntryIndex(number);
            if self.bat.is_zero_page(&self.storage, entry.page())? {
                continue;
            }
            match self.geometry.role(entry) {
                Some(EntryRole::Payload(block)) => {
                    let found = self.entry(block)?;
                    if found.place().is_some() {
                        self.survey_block(request, block, found, &mut survey, &mut buffer)?;
                        let done = survey.blocks + as_count(survey.freed.len());
                        request.tell(done.saturating_mul(self.geometry.block_size), total)?;
                    }
                }
                Some(EntryRole::Bitmap(chunk)) if self.metadata.parent.is_some() => {
                    let first = BlockIndex(chunk.saturating_mul(self.geometry.chunk_ratio));
                    if let Some(place) = self.bitmap_place(first)? {
                        bitmaps.push((chunk, entry, place));
                    }
                }
                _ => {}
            }
        }
        self.survey_bitmaps(request, &bitmaps, &mut survey)?;
        Ok(survey)
    }

    fn survey_block(
        &self,
        request: &CompactRequest<'_>,
        block: BlockIndex,
        found: BatEntry,
        survey: &mut Survey,
        buffer: &mut Vec<u8>,
    ) -> Result<(), ImageError> {
        let run = Run {
            start: found.offset / blockio::MIB,
            length: self.block_mebibytes(),
        };
        let mut holes = Holes::default();
        if self.holds_nothing(request, block, &mut holes, buffer)? {
            let length = self.geometry.block_bytes(block);
            survey.given_back += stored_in(
                &self.storage,
                found.offset,
                found.offset.saturating_add(length),
            )?;
            survey.freed.push(run);
            if !request.dry_run {
                self.publish(block, BatEntry::ZERO, Publication::Left(run))?;
                if self.commit_is_due() {
                    self.flush_session()?;
                }
            }
            return Ok(());
        }
        for hole in holes.worth_it() {
            let stored = stored_in(&self.storage, hole.start().get(), hole.end().get())?;
            survey.given_back += stored;
            if stored > 0 && !request.dry_run {
                // In place, in no order with anything: these bytes are zero or nobody's.
                self.storage.zero(hole, ZeroMode::Punch)?;
            }
        }
        survey.blocks += 1;
        if found.state == BlockState::PartiallyPresent {
            let chunk = block.0 / self.geometry.chunk_ratio;
            if survey.partial_chunks.last() != Some(&chunk) {
                survey.partial_chunks.push(chunk);
            }
        }
        survey.items.push(Item {
            run,
            entry: self.geometry.entry_of(block),
            state: found.state,
        });
        Ok(())
    }

    /// Bitmaps of chunks without a block that needs one give up their space as well.
    fn survey_bitmaps(
        &self,
        request: &CompactRequest<'_>,
        bitmaps: &[(u64, EntryIndex, u64)],
        survey: &mut Survey,
    ) -> Result<(), ImageError> {
        let is_needed = |chunk: &u64| survey.partial_chunks.binary_search(chunk).is_ok();
        let unneeded = bitmaps.iter().any(|(chunk, _, _)| !is_needed(chunk));
        if unneeded && !request.dry_run {
            // Before the bitmaps go, and not in one commit with them, which may take several
            // entries of the log: a block that counts on its bitmap must never lack it.
            self.flush_session()?;
        }
        let mut freed = Vec::new();
        for (chunk, entry, place) in bitmaps {
            let run = Run {
                start: place / blockio::MIB,
                length: 1,
            };
            if is_needed(chunk) {
                survey.items.push(Item {
                    run,
                    entry: *entry,
                    state: BlockState::FullyPresent,
                });
                continue;
            }
            freed.push(run);
            survey.given_back += stored_in(&self.storage, *place, place + blockio::MIB)?;
            if !request.dry_run {
                let none = BatEntry {
                    state: BlockState::NotPresent,
                    offset: 0,
                };
                self.replace_entry(*entry, none, run)?;
            }
        }
        survey.freed.extend(freed);
        Ok(())
    }

    /// Whether all of a block that is used reads zero. What need not be stored goes to `holes`, in
    /// file offsets; they are of use only where the answer is no.
    fn holds_nothing(
        &self,
        request: &CompactRequest<'_>,
        block: BlockIndex,
        holes: &mut Holes,
        buffer: &mut Vec<u8>,
    ) -> Result<bool, ImageError> {
        let start = block.0.saturating_mul(self.geometry.block_size);
        let end = start.saturating_add(self.geometry.block_bytes(block));
        let mut nothing = true;
        for (from, to, is_used) in request.parts(start, end) {
            let mut segment = Segment {
                block,
                within: from - start,
                length: to - from,
            };
            while segment.length > 0 {
                let (held, length) = self.held_in(segment)?;
                match held {
                    Held::File(place) if is_used && (nothing || request.scan_zeros) => {
                        let end = place.saturating_add(length);
                        let collect = request.makes_holes_of_zeros().then_some(&mut *holes);
                        nothing &= look_for_zeros(&self.storage, place, end, collect, buffer)?;
                    }
                    Held::File(_) if is_used => {}
                    Held::File(place) if MAKES_HOLES => {
                        holes.add(place, place.saturating_add(length));
                    }
                    Held::Parent if is_used && nothing => {
                        nothing = self.parent_reads_zero(segment, length, buffer)?;
                    }
                    _ => {}
                }
                if !nothing && !MAKES_HOLES {
                    return Ok(false);
                }
                segment = segment.after(length);
            }
        }
        Ok(nothing)
    }

    fn parent_reads_zero(
        &self,
        segment: Segment,
        length: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<bool, ImageError> {
        let Some(parents) = &self.parents else {
            return Ok(true);
        };
        let (mut at, end) = (
            self.disk_offset(segment),
            self.disk_offset(segment) + length,
        );
        while at < end {
            let (kind, run) = parents.status(at, end - at)?;
            let stop = at.saturating_add(run.max(1)).min(end);
            while !kind.reads_zero() && at < stop {
                let step = (stop - at).min(STEP);
                buffer.resize(index(step), 0);
                parents.read(buffer, at)?;
                if !is_zero(buffer) {
                    return Ok(false);
                }
                at += step;
            }
            at = stop;
        }
        Ok(true)
    }

    fn carry_out(
        &self,
        request: &CompactRequest<'_>,
        moves: &[(Item, Run)],
    ) -> Result<(), ImageError> {
        let total: u64 = moves.iter().map(|(item, _)| item.run.length).sum();
        let (mut done, mut waiting) = (0, 0);
        for (item, target) in moves {
            request.tell(done * blockio::MIB, total * blockio::MIB)?;
            self.move_item(*item, *target)?;
            done += item.run.length;
            waiting += item.run.length;
            if waiting >= MAX_MOVED {
                self.flush_session()?;
                waiting = 0;
            }
        }
        request.tell(done * blockio::MIB, total * blockio::MIB)
    }

    /// Copies, then puts the new entry in force; the commit syncs the copy before its log entry.
    fn move_item(&self, item: Item, target: Run) -> Result<(), ImageError> {
        let zero = self.space.take(target);
        let length = item.run.length.saturating_mul(blockio::MIB);
        let copied = self.copy_run(item.run, target, length, zero);
        if let Err(error) = copied {
            // Nothing points to the target, which holds a part of the copy.
            self.space.release(target);
            return Err(error);
        }
        let entry = BatEntry {
            state: item.state,
            offset: target.offset(),
        };
        self.replace_entry(item.entry, entry, item.run)
    }

    fn copy_run(&self, from: Run, to: Run, length: u64, zero: bool) -> Result<(), ImageError> {
        let target = match (zero, MAKES_HOLES) {
            (true, _) => Target::Zeros,
            (false, true) => Target::Anything,
            (false, false) => Target::Written,
        };
        copy_in_file(&self.storage, from.offset(), to.offset(), length, target)
    }
}

/// Moves from the end of the file into free space before it, and `map` as it is afterwards.
///
/// The target of a move lies before its source, and the sources descend: so no move goes to space
/// that an earlier one left, and all targets are free when the first one begins.
fn plan(map: &mut SpaceMap, mut items: Vec<Item>) -> Vec<(Item, Run)> {
    items.sort_unstable_by_key(|item| std::cmp::Reverse(item.run.start));
    let mut moves = Vec::new();
    // Where free space of a length may begin at the earliest: it only fills up.
    let mut from = std::collections::BTreeMap::new();
    let mut left = Vec::new();
    for item in items {
        let length = item.run.length;
        let start = from.entry(length).or_insert(0_u64);
        let Some(target) = map.first_fit(length, *start, item.run.start) else {
            *start = u64::MAX;
            continue;
        };
        *start = target.start;
        map.mark_used(target);
        left.push(item.run);
        moves.push((item, target));
    }
    left.into_iter().for_each(|run| map.release(run));
    moves
}

fn as_count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

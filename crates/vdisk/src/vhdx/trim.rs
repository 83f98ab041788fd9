//! Discard and write-zeroes: whole blocks give up their space, parts are zeroed in place.
//!
//! Both leave zeros, never stale bytes. The entry of a block that gave up its space is *zero* with
//! an offset of zero (Hyper-V refuses other offsets). A fixed image keeps its blocks. In a child the
//! *zero* of a whole block hides the parent; of a part, sectors of zeros do.

use std::sync::PoisonError;

use blockio::{ByteCount, ByteOffset, ByteRange, MIB, Operation, Storage, ZeroMode};

use super::bat::{BatEntry, BlockState};
use super::commit::Publication;
use super::format::{ENTRIES_PER_PAGE, index};
use super::geometry::{BlockIndex, Geometry, Segment};
use super::image::VhdxImage;
use super::space::Run;
use crate::chain::Held;

/// Zeros that hide a parent are written in pieces of at most this many bytes.
const PIECE: u64 = MIB;

impl VhdxImage {
    pub(super) fn discard_range(&self, range: ByteRange) -> blockio::Result<()> {
        let mode = match self.metadata.leave_blocks_allocated {
            true => ZeroMode::KeepAllocated,
            false => ZeroMode::Punch,
        };
        self.clear_range(range, Operation::Discard, mode)
    }

    pub(super) fn zero_range(&self, range: ByteRange) -> blockio::Result<()> {
        self.clear_range(range, Operation::Zero, ZeroMode::KeepAllocated)
    }

    fn clear_range(
        &self,
        range: ByteRange,
        operation: Operation,
        mode: ZeroMode,
    ) -> blockio::Result<()> {
        self.pass_gate(operation, range)?;
        let (mut at, end) = (range.start().get(), range.end().get());
        while at < end {
            let segment = self.geometry.first_segment(at, end - at);
            let skipped = self.zero_already(at, end)?;
            if skipped > 0 {
                at = at.saturating_add(skipped);
                continue;
            }
            match self.parents {
                None => self.clear_segment(segment, mode)?,
                Some(_) => self.clear_in_child(segment, mode)?,
            }
            if self.commit_is_due() {
                self.flush_session()
                    .map_err(|error| error.into_io(operation, range.start(), range.len()))?;
            }
            at = at.saturating_add(segment.length);
        }
        Ok(())
    }

    /// Bytes from `at` on that read zero already, by what is known without looking at each block.
    fn zero_already(&self, at: u64, end: u64) -> blockio::Result<u64> {
        // A run of blocks that never came into being; in a child, what the parents say counts.
        let absent = self.absent_bytes(at)?.min(end - at);
        match &self.parents {
            Some(parents) if absent > 0 => match parents.status(at, absent)? {
                (kind, length) if kind.reads_zero() => Ok(length),
                _ => Ok(0),
            },
            _ => Ok(absent),
        }
    }

    /// Blocks from `block` on whose entries are in a page that is known to hold zeros.
    pub(super) fn absent_blocks(&self, block: BlockIndex) -> blockio::Result<u64> {
        let entry = self.geometry.entry_of(block);
        if !self.bat.is_zero_page(&self.storage, entry.page())? {
            return Ok(0);
        }
        // The rest of the page holds at least so many payload entries, bitmap entries taken off.
        let rest = ENTRIES_PER_PAGE - entry.slot();
        let bitmaps = rest.div_ceil(self.geometry.chunk_ratio.saturating_add(1));
        Ok(rest.saturating_sub(bitmaps))
    }

    /// Makes a part of a child's block zero. Nothing of the parent may be seen there again.
    fn clear_in_child(&self, segment: Segment, mode: ZeroMode) -> blockio::Result<()> {
        let whole =
            segment.within == 0 && segment.length == self.geometry.block_bytes(segment.block);
        if whole {
            return self.clear_segment(segment, mode);
        }
        let lock = self.block_lock(segment.block);
        let mut rest = segment;
        while rest.length > 0 {
            // Zeros in place where the child holds the sectors, nothing where they are zero, and
            // sectors of zeros where the parent would show.
            let (held, length) = {
                let _block = lock.read().unwrap_or_else(PoisonError::into_inner);
                let (held, length) = self.held_in(rest)?;
                if let Held::File(place) = held
                    && let Some(bytes) = ByteRange::new(ByteOffset(place), ByteCount(length))
                {
                    self.storage.zero(bytes, mode)?;
                }
                (held, length)
            };
            if held == Held::Parent {
                let run = Segment { length, ..rest };
                self.hide_parent(run)?;
            }
            rest = rest.after(length);
        }
        Ok(())
    }

    /// Writes zeros over a run that the parent holds, unless it is zero there, too.
    fn hide_parent(&self, run: Segment) -> blockio::Result<()> {
        let at = self.disk_offset(run);
        if let Some(parents) = &self.parents
            && parents.reads_zero(at, run.length)?
        {
            return Ok(());
        }
        let zeros = vec![0; index(run.length.min(PIECE))];
        let mut rest = run;
        while rest.length > 0 {
            let length = rest.length.min(PIECE);
            let piece = Segment { length, ..rest };
            self.write_segment(&zeros[..index(length)], piece)?;
            rest = rest.after(length);
        }
        Ok(())
    }

    fn clear_segment(&self, segment: Segment, mode: ZeroMode) -> blockio::Result<()> {
        let whole =
            segment.within == 0 && segment.length == self.geometry.block_bytes(segment.block);
        let lock = self.block_lock(segment.block);
        if whole && !self.metadata.leave_blocks_allocated {
            let _block = lock.write().unwrap_or_else(PoisonError::into_inner);
            return self.clear_block(segment.block);
        }
        let _block = lock.read().unwrap_or_else(PoisonError::into_inner);
        let place = self.entry(segment.block)?.place();
        match place.and_then(|place| Geometry::in_file(place, segment)) {
            Some(bytes) => self.storage.zero(bytes, mode),
            None => Ok(()),
        }
    }

    /// Takes a block's space away. The caller holds its lock exclusively.
    fn clear_block(&self, block: BlockIndex) -> blockio::Result<()> {
        let entry = self.entry(block)?;
        let how = match (entry.state, entry.place()) {
            (BlockState::Zero, _) => return Ok(()),
            (BlockState::NotPresent, _) if self.parents.is_none() => return Ok(()),
            // The space is free only when the commit of this entry is durable: until then a crash
            // brings the old entry back, and the block with it.
            (_, Some(place)) => Publication::Left(Run {
                start: place / MIB,
                length: self.block_mebibytes(),
            }),
            (_, None) => Publication::Unmoved,
        };
        self.publish(block, BatEntry::ZERO, how)
    }
}

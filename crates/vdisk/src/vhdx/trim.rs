//! Discard and write-zeroes: whole blocks give up their space, parts are zeroed in place.
//!
//! Both leave zeros, never stale bytes. The entry of a block that gave up its space is *zero* with
//! an offset of zero (Hyper-V refuses other offsets). A fixed image keeps its blocks.

use std::sync::PoisonError;

use blockio::{ByteRange, Operation, Storage, ZeroMode};

use super::bat::{BatEntry, BlockState};
use super::commit::Publication;
use super::format::ENTRIES_PER_PAGE;
use super::geometry::{BlockIndex, Geometry, Segment};
use super::image::VhdxImage;
use super::space::Run;

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
            let absent = self.absent_blocks(segment.block)?;
            if absent > 0 {
                // A run of blocks that never came into being reads zero already.
                at = (segment.block.0.saturating_add(absent))
                    .saturating_mul(self.geometry.block_size);
                continue;
            }
            self.clear_segment(segment, mode)?;
            if self.commit_is_due() {
                self.flush_session()
                    .map_err(|error| error.into_io(operation, range.start(), range.len()))?;
            }
            at = at.saturating_add(segment.length);
        }
        Ok(())
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
            (BlockState::NotPresent | BlockState::Zero, _) => return Ok(()),
            // The space is free only when the commit of this entry is durable: until then a crash
            // brings the old entry back, and the block with it.
            (_, Some(place)) => Publication::Left(Run {
                start: place / blockio::MIB,
                length: self.block_mebibytes(),
            }),
            (_, None) => Publication::Unplaced,
        };
        self.publish(block, BatEntry::ZERO, how)
    }
}

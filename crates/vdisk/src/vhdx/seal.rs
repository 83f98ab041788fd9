//! Taking in: a child whose blocks come to hold all of what its disk reads.

use std::sync::PoisonError;

use blockio::{ByteCount, ByteOffset, ByteRange, Storage, ZeroMode};

use super::bat::{BatEntry, BlockState};
use super::commit::Publication;
use super::geometry::{BlockIndex, Segment};
use super::image::VhdxImage;
use crate::chain::Held;
use crate::error::ImageError;
use crate::merge::Taker;

impl Taker for VhdxImage {
    fn seal(&self) -> Result<(), ImageError> {
        self.begin_session()?;
        let mut block = 0;
        while block < self.geometry.blocks() {
            let absent = self.absent_blocks(BlockIndex(block))?;
            if absent > 0 {
                block = block.saturating_add(absent);
                continue;
            }
            self.seal_block(BlockIndex(block))?;
            block += 1;
        }
        // Before the bitmaps go: a block that is partially present needs its bits.
        self.flush_session()?;
        for chunk in 0..self.geometry.chunks() {
            let first = chunk.saturating_mul(self.geometry.chunk_ratio);
            self.drop_bitmap(BlockIndex(first))?;
        }
        self.flush_session()
    }

    fn close(self: Box<Self>) -> Result<(), ImageError> {
        self.end_session()
    }
}

impl VhdxImage {
    /// Makes a block that is partially present whole. The zeros are data that no entry has shown
    /// yet, so that the commit makes them durable before the entry.
    fn seal_block(&self, block: BlockIndex) -> blockio::Result<()> {
        let lock = self.block_lock(block);
        let _block = lock.write().unwrap_or_else(PoisonError::into_inner);
        let entry = self.entry(block)?;
        if entry.state != BlockState::PartiallyPresent {
            return Ok(());
        }
        let mut rest = Segment {
            block,
            within: 0,
            length: self.geometry.block_bytes(block),
        };
        while rest.length > 0 {
            let (held, length) = self.held_in(rest)?;
            let place = ByteOffset(entry.offset.saturating_add(rest.within));
            if held == Held::Parent
                && let Some(range) = ByteRange::new(place, ByteCount(length))
            {
                self.storage.zero(range, ZeroMode::KeepAllocated)?;
            }
            rest = rest.after(length);
        }
        self.publish(block, BatEntry::present(entry.offset), Publication::Filled)
    }
}

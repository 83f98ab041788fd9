//! Block status: which ranges of the disk read as zeros without being read.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use blockio::{
    BlockKind, BlockStatus, ByteCount, ByteOffset, ByteRange, Extent, ExtentKind, Storage,
};

use super::geometry::Segment;
use super::image::{VhdxImage, lock};
use crate::chain::{Held, Layer};

/// Most steps that one answer joins; a caller asks again for what follows.
const MAX_STEPS: usize = 4096;

impl VhdxImage {
    pub(super) fn status_of(&self, range: ByteRange) -> blockio::Result<BlockStatus> {
        let (start, end) = (range.start().get(), range.end().get());
        let (kind, length) = self.first_run(start, end - start)?;
        let mut at = start + length;
        for _ in 0..MAX_STEPS {
            if at >= end {
                break;
            }
            let (next, length) = self.first_run(at, end - at)?;
            if next != kind {
                break;
            }
            at += length;
        }
        let range = ByteRange::new(ByteOffset(start), ByteCount(at - start)).unwrap_or(range);
        Ok(BlockStatus { range, kind })
    }

    /// The kind of the bytes at `start` and how many of the next `length` are of it, at least.
    fn first_run(&self, start: u64, length: u64) -> blockio::Result<(BlockKind, u64)> {
        let absent = self.absent_bytes(start)?.min(length);
        match &self.parents {
            None if absent > 0 => Ok((BlockKind::Hole, absent)),
            Some(parents) if absent > 0 => parents.status(start, absent),
            _ => self.run_in_block(self.geometry.first_segment(start, length)),
        }
    }

    fn run_in_block(&self, segment: Segment) -> blockio::Result<(BlockKind, u64)> {
        let _block = self.writable.then(|| {
            self.block_lock(segment.block)
                .read()
                .unwrap_or_else(PoisonError::into_inner)
        });
        let (held, length) = self.held_in(segment)?;
        let place = match (held, &self.parents) {
            (Held::File(place), _) => place,
            (Held::Parent, Some(parents)) => {
                let start = segment.block.0.saturating_mul(self.geometry.block_size);
                return parents.status(start.saturating_add(segment.within), length);
            }
            (Held::Parent | Held::Zero, _) => return Ok((BlockKind::Hole, length)),
        };
        let Some(bytes) = ByteRange::new(ByteOffset(place), ByteCount(length)) else {
            return Ok((BlockKind::Data, length));
        };
        // Parts of a present block that the host keeps no space for read zero as well.
        let extent = self.file_extent(bytes)?;
        let kind = match extent.kind {
            ExtentKind::Data => BlockKind::Data,
            ExtentKind::Hole => BlockKind::Hole,
        };
        Ok((kind, extent.range.len().get().clamp(1, length)))
    }

    /// The extent at the start of `bytes`, maybe longer than it, of a file that nobody changes. Data
    /// are remembered: blocks that follow each other in the file cost one question to the host.
    pub(super) fn stable_extent(&self, bytes: ByteRange) -> blockio::Result<Extent> {
        let known = lock(&self.known_data).and_then(|known| known.intersect(bytes));
        if let Some(range) = known.filter(|range| range.start() == bytes.start()) {
            let kind = ExtentKind::Data;
            return Ok(Extent { range, kind });
        }
        let end = bytes
            .end()
            .get()
            .max(self.file_length.load(Ordering::Acquire));
        let wide = ByteRange::between(bytes.start(), ByteOffset(end)).unwrap_or(bytes);
        let extent = self.storage.extent_at(wide)?;
        if extent.kind == ExtentKind::Data {
            *lock(&self.known_data) = Some(extent.range);
        }
        Ok(extent)
    }
}

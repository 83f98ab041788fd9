//! Writing parts of blocks in a child: sectors come into the child's file one by one, their bits say
//! which have, and the parent shows through the others.
//!
//! Invariant: a bit is set, in memory and on disk, only after the whole sector was written. A write
//! of a part of a sector brings the rest of it from the parent first.

use super::bat::{BatEntry, BlockState};
use super::commit::{NewSectors, Publication};
use super::format::wide;
use super::geometry::Segment;
use super::image::VhdxImage;
use crate::sectors::write_whole_sectors;

impl VhdxImage {
    /// Writes a segment of a block that is partially present at `place`, or not at all. The caller
    /// holds the block's lock exclusively.
    pub(super) fn write_part(
        &self,
        buf: &[u8],
        segment: Segment,
        place: Option<u64>,
    ) -> blockio::Result<()> {
        let Some(place) = place else {
            let claim = self.space.claim(self.block_mebibytes());
            let how = Publication::Placed { on_zero: false };
            return self
                .reach(claim)
                .and_then(|_| self.write_sectors(buf, segment, claim.run.offset(), how))
                // Only this request fails: nothing points to the space.
                .inspect_err(|_| self.space.release(claim.run));
        };
        self.write_sectors(buf, segment, place, Publication::Unmoved)
    }

    /// Data, then bits and entry: nobody sees the bits before the data are there, and nothing
    /// durable shows them before a commit that synced the data.
    fn write_sectors(
        &self,
        buf: &[u8],
        segment: Segment,
        place: u64,
        how: Publication,
    ) -> blockio::Result<()> {
        let block = segment.block;
        let is_new = matches!(how, Publication::Placed { .. });
        if segment.within == 0 && segment.length == self.geometry.block_bytes(block) {
            self.write_payload(buf, place, segment)?;
            return self.publish_whole(segment, place, how);
        }
        let sector = self.metadata.logical_sector.bytes();
        let end = segment.within.saturating_add(segment.length);
        let (from, to) = (segment.within / sector, end.div_ceil(sector));
        self.ensure_bitmap(block)?;
        let whole = |start, length| Segment {
            block,
            within: start,
            length,
        };
        write_whole_sectors(
            buf,
            segment.within,
            sector,
            &|buf, at| self.read_locked(buf, whole(at, wide(buf.len()))),
            &|buf, at| self.write_payload(buf, place, whole(at, wide(buf.len()))),
        )?;
        let entry = BatEntry {
            state: BlockState::PartiallyPresent,
            offset: place,
        };
        let new = NewSectors {
            from,
            to,
            first: is_new,
        };
        self.publish_sectors(block, entry, new, how)
    }

    /// All of the block came into the file: no bit counts any more.
    fn publish_whole(&self, segment: Segment, place: u64, how: Publication) -> blockio::Result<()> {
        let how = match how {
            // The data took the place of what the parent showed: durable before the entry.
            Publication::Unmoved => Publication::Filled,
            how => how,
        };
        self.publish(segment.block, BatEntry::present(place), how)
    }
}

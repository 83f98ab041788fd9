//! Reading and writing what a guest sees.
//!
//! A block that is present costs a shared lock, a load of its entry and the transfer itself. A
//! block that is not present is allocated under its lock, held exclusively. What only a child does,
//! writing parts of blocks, stands in `part`.

use std::sync::PoisonError;

use blockio::{
    ByteCount, ByteOffset, ByteRange, IoError, IoErrorKind, Operation, Storage, ZeroMode,
};

use super::bat::{BatEntry, BlockState};
use super::commit::Publication;
use super::format::index;
use super::geometry::Segment;
use super::image::VhdxImage;
use super::space::Claim;
use crate::chain::Held;

impl VhdxImage {
    pub(super) fn read_range(&self, buf: &mut [u8], range: ByteRange) -> blockio::Result<()> {
        let mut rest = buf;
        for segment in self.geometry.segments(range) {
            let (part, after) = rest.split_at_mut(index(segment.length));
            self.read_segment(part, segment)?;
            rest = after;
        }
        Ok(())
    }

    fn read_segment(&self, buf: &mut [u8], segment: Segment) -> blockio::Result<()> {
        // Shared until the transfer is done: a discard must not give the space to another block
        // while it is being read. Nobody changes an image that was opened for reading.
        let _block = self.writable.then(|| {
            self.block_lock(segment.block)
                .read()
                .unwrap_or_else(PoisonError::into_inner)
        });
        self.read_locked(buf, segment)
    }

    /// Reads a segment whose block the caller holds the lock of.
    pub(super) fn read_locked(&self, buf: &mut [u8], segment: Segment) -> blockio::Result<()> {
        let (mut segment, mut rest) = (segment, buf);
        while segment.length > 0 {
            let (held, length) = self.held_in(segment)?;
            let (part, after) = rest.split_at_mut(index(length).min(rest.len()));
            match (held, &self.parents) {
                (Held::File(place), _) => self.storage.read_at(part, ByteOffset(place))?,
                (Held::Parent, Some(parents)) => parents.read(part, self.disk_offset(segment))?,
                (Held::Parent | Held::Zero, _) => part.fill(0),
            }
            segment = segment.after(length);
            rest = after;
        }
        Ok(())
    }

    /// Offset of a segment on the disk.
    pub(super) fn disk_offset(&self, segment: Segment) -> u64 {
        let start = segment.block.0.saturating_mul(self.geometry.block_size);
        start.saturating_add(segment.within)
    }

    pub(super) fn write_range(&self, buf: &[u8], range: ByteRange) -> blockio::Result<()> {
        self.pass_gate(Operation::Write, range)?;
        let mut rest = buf;
        for segment in self.geometry.segments(range) {
            let (part, after) = rest.split_at(index(segment.length));
            self.write_segment(part, segment)?;
            rest = after;
        }
        Ok(())
    }

    pub(super) fn write_segment(&self, buf: &[u8], segment: Segment) -> blockio::Result<()> {
        let lock = self.block_lock(segment.block);
        {
            let _block = lock.read().unwrap_or_else(PoisonError::into_inner);
            if let (Held::File(place), length) = self.held_in(segment)?
                && length == segment.length
            {
                return self.storage.write_at(buf, ByteOffset(place));
            }
        }
        let _block = lock.write().unwrap_or_else(PoisonError::into_inner);
        let entry = self.entry(segment.block)?;
        match entry.state {
            BlockState::FullyPresent => self.write_payload(buf, entry.offset, segment),
            BlockState::PartiallyPresent => self.write_part(buf, segment, Some(entry.offset)),
            BlockState::NotPresent if self.parents.is_some() => self.write_part(buf, segment, None),
            _ => self.write_new_block(buf, segment),
        }
    }

    pub(super) fn write_payload(
        &self,
        buf: &[u8],
        place: u64,
        segment: Segment,
    ) -> blockio::Result<()> {
        self.storage
            .write_at(buf, ByteOffset(place.saturating_add(segment.within)))
    }

    /// Space, then data, then the entry: nobody sees the entry before the data are there, and
    /// nothing durable shows it before a commit.
    fn write_new_block(&self, buf: &[u8], segment: Segment) -> blockio::Result<()> {
        let claim = self.space.claim(self.block_mebibytes());
        let place = claim.run.offset();
        self.prepare(claim)
            .and_then(|()| self.write_payload(buf, place, segment))
            .and_then(|()| {
                let how = Publication::Placed {
                    on_zero: claim.zero,
                };
                self.publish(segment.block, BatEntry::present(place), how)
            })
            // Only this request fails: nothing points to the space, but part of the data may be in
            // it, so it goes back as dirty.
            .inspect_err(|_| self.space.release(claim.run))
    }

    /// Makes claimed space part of the file, and zero if it is not known to be.
    pub(super) fn prepare(&self, claim: Claim) -> blockio::Result<()> {
        let bytes = self.reach(claim)?;
        if !claim.zero {
            self.storage.zero(bytes, ZeroMode::KeepAllocated)?;
        }
        Ok(())
    }

    /// Makes claimed space part of the file.
    pub(super) fn reach(&self, claim: Claim) -> blockio::Result<ByteRange> {
        let bytes = claim.run.bytes().ok_or_else(|| {
            let length = ByteCount(self.geometry.block_size);
            let offset = ByteOffset(claim.run.offset());
            IoError::new(IoErrorKind::NoSpace, Operation::Write, offset, length)
        })?;
        self.grow_to(bytes.end().get())?;
        Ok(bytes)
    }
}

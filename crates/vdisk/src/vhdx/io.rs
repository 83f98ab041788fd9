//! Reading and writing what a guest sees.
//!
//! A block that is present costs a shared lock, a load of its entry and the transfer itself. A
//! block that is not present is allocated under its lock, held exclusively.

use std::sync::PoisonError;

use blockio::{
    ByteCount, ByteOffset, ByteRange, IoError, IoErrorKind, Operation, Storage, ZeroMode,
};

use super::bat::BatEntry;
use super::commit::Publication;
use super::format::index;
use super::geometry::Segment;
use super::image::VhdxImage;
use super::space::Claim;

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
        match self.entry(segment.block)?.place() {
            Some(place) => self
                .storage
                .read_at(buf, ByteOffset(place.saturating_add(segment.within))),
            None => {
                buf.fill(0);
                Ok(())
            }
        }
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

    fn write_segment(&self, buf: &[u8], segment: Segment) -> blockio::Result<()> {
        let lock = self.block_lock(segment.block);
        {
            let _block = lock.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = self.entry(segment.block)?.place() {
                return self.write_payload(buf, place, segment);
            }
        }
        let _block = lock.write().unwrap_or_else(PoisonError::into_inner);
        match self.entry(segment.block)?.place() {
            Some(place) => self.write_payload(buf, place, segment),
            None => self.write_new_block(buf, segment),
        }
    }

    fn write_payload(&self, buf: &[u8], place: u64, segment: Segment) -> blockio::Result<()> {
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
    fn prepare(&self, claim: Claim) -> blockio::Result<()> {
        let bytes = claim.run.bytes().ok_or_else(|| {
            let length = ByteCount(self.geometry.block_size);
            let offset = ByteOffset(claim.run.offset());
            IoError::new(IoErrorKind::NoSpace, Operation::Write, offset, length)
        })?;
        self.grow_to(bytes.end().get())?;
        if !claim.zero {
            self.storage.zero(bytes, ZeroMode::KeepAllocated)?;
        }
        Ok(())
    }
}

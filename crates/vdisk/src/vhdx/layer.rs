//! A VHDX as a part of a chain, open for reading.

use std::sync::atomic::Ordering;

use blockio::{ByteCount, ByteOffset, ByteRange, Extent, Storage};
use uuid::Uuid;

use super::geometry::BlockIndex;
use super::image::{VhdxImage, lock};
use crate::chain::{Held, Layer};
use crate::info::ImageInfo;

impl VhdxImage {
    pub(super) fn file_length(&self) -> u64 {
        self.file_length.load(Ordering::Acquire)
    }

    /// Bytes from `start` on whose blocks stand in a page of the table that holds zeros.
    pub(super) fn absent_bytes(&self, start: u64) -> blockio::Result<u64> {
        let block = start / self.geometry.block_size;
        let absent = self.absent_blocks(BlockIndex(block))?;
        if absent == 0 {
            return Ok(0);
        }
        let end = block
            .saturating_add(absent)
            .saturating_mul(self.geometry.block_size);
        Ok(end.saturating_sub(start))
    }
}

impl Layer for VhdxImage {
    fn size(&self) -> ByteCount {
        ByteCount(self.geometry.disk_size)
    }

    fn held_at(&self, start: u64, length: u64) -> blockio::Result<(Held, u64)> {
        self.held_in(self.geometry.first_segment(start, length))
    }

    fn absent_at(&self, start: u64) -> blockio::Result<u64> {
        self.absent_bytes(start)
    }

    fn read_file(&self, buf: &mut [u8], at: ByteOffset) -> blockio::Result<()> {
        self.storage.read_at(buf, at)
    }

    fn file_extent(&self, range: ByteRange) -> blockio::Result<Extent> {
        match self.writable || self.dirty_log {
            true => self.storage.extent_at(range),
            false => self.stable_extent(range),
        }
    }

    fn info(&self) -> ImageInfo {
        self.describe()
    }

    fn linkage(&self) -> Uuid {
        lock(&self.session).header.header.data_write_guid
    }
}

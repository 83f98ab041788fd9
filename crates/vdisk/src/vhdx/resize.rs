//! Another size for the disk of a VHDX.
//!
//! The size stands in one place, in the metadata, and changes by one entry of the log. Before that,
//! what a larger disk needs is made: a table that is long enough, elsewhere in the file where its
//! region is too short; zeros in its new entries, and behind the old end in the last block; blocks,
//! where the image is fixed. What a smaller disk has no use for is gone before. So a crash leaves
//! the old size or the new one, and at most space that nothing uses.

use blockio::{ByteCount, ByteOffset, ByteRange, MIB, Storage, ZeroMode};

use super::bat::{Bat, BatEntry, BlockState};
use super::commit::{LoggedPage, Publication};
use super::format::{
    BAT_REGION, ENTRIES_PER_PAGE, MAX_DISK_SIZE, PAGE, PAGE_SIZE, REGION_TABLE_OFFSETS, index,
};
use super::geometry::{BlockIndex, Geometry, page_offset};
use super::image::VhdxImage;
use super::metadata::size_place;
use super::region::moved_bat;
use super::space::{Claim, Run};
use crate::convert::is_zero;
use crate::error::ImageError;
use crate::resize::refuse_data_beyond;

impl VhdxImage {
    /// See [`crate::ImageDisk::resize`]. Nobody else uses the image meanwhile.
    pub(super) fn resize_disk(&mut self, size: u64) -> Result<(), ImageError> {
        let old = self.geometry;
        let new = self.checked_size(size)?;
        if new.disk_size == old.disk_size {
            return Ok(());
        }
        if !self.writable {
            return Err(ImageError::ReadOnly);
        }
        if new.disk_size < old.disk_size {
            refuse_data_beyond(self, size)?;
        }
        self.begin_session()?;
        match new.disk_size < old.disk_size {
            true => self.shrink(old, new),
            false => self.grow(old, new),
        }
    }

    /// The geometry for a size, if the disk can have it.
    pub(super) fn checked_size(&self, size: u64) -> Result<Geometry, ImageError> {
        let sector = self.metadata.logical_sector.bytes();
        if size == 0 || !size.is_multiple_of(sector) {
            return Err(ImageError::invalid_option(
                "size",
                format!("{size} bytes is not a whole number of {sector} byte sectors above zero"),
            ));
        }
        if size > MAX_DISK_SIZE {
            return Err(ImageError::TooLarge {
                size: ByteCount(size),
                limit: ByteCount(MAX_DISK_SIZE),
            });
        }
        let parent = self.parents.as_ref().map_or(0, |parents| parents.size());
        if size < parent {
            return Err(ImageError::invalid_option(
                "size",
                format!("the parent of the image has {parent} bytes, and a child is not smaller"),
            ));
        }
        Ok(self.geometry.with_size(size))
    }

    /// Entries of blocks behind the new end go first, what they need after them, the size last.
    fn shrink(&mut self, old: Geometry, new: Geometry) -> Result<(), ImageError> {
        let none = BatEntry {
            state: BlockState::NotPresent,
            offset: 0,
        };
        let run = |place: u64, length| Run {
            start: place / MIB,
            length,
        };
        for number in new.blocks()..old.blocks() {
            let block = BlockIndex(number);
            if self.bat.load(&self.storage, old.entry_of(block))? == 0 {
                continue;
            }
            let how = match self.entry(block)?.place() {
                Some(place) => Publication::Left(run(place, self.block_mebibytes())),
                None => Publication::Unmoved,
            };
            // Where a block is not present it reads zero: no parent reaches so far.
            self.publish(block, none, how)?;
            if self.commit_is_due() {
                self.flush_session()?;
            }
        }
        self.flush_session()?;
        for chunk in new.chunks()..old.chunks() {
            let block = BlockIndex(chunk.saturating_mul(old.chunk_ratio));
            let entry = old.bitmap_entry_of(block);
            let place = match self.metadata.parent {
                Some(_) => self.bitmap_place(block)?,
                None => None,
            };
            if let Some(place) = place {
                self.replace_entry(entry, none, run(place, 1))?;
            }
        }
        self.flush_session()?;
        self.commit_pages(&self.size_pages(new.disk_size)?)?;
        self.adopt(new, self.regions.bat)
    }

    fn grow(&mut self, old: Geometry, new: Geometry) -> Result<(), ImageError> {
        // All pages stand in their places, and nothing waits.
        self.flush_session()?;
        self.zero_behind_the_end(old)?;
        let fits = new.entries().saturating_mul(8) <= self.regions.bat.len().get();
        let (region, mut pages) = match fits {
            true => (self.regions.bat, Vec::new()),
            false => self.move_table(old, new)?,
        };
        if fits {
            self.clear_new_entries(old, new)?;
        }
        let blocks = match self.metadata.leave_blocks_allocated {
            true => Some(self.claim_blocks(old, new)?),
            false => None,
        };
        // Zeros behind the old end, the longer table, the new blocks: before what leads to them.
        self.flush_session()?;
        pages.extend(self.size_pages(new.disk_size)?);
        self.commit_pages(&pages)?;
        let left = self.regions.bat;
        self.adopt(new, region)?;
        if !fits {
            self.free_released(vec![Run::covering(left)]);
        }
        if let Some(claim) = blocks {
            self.publish_blocks(old, claim)?;
        }
        Ok(())
    }

    /// The rest of the last block behind the disk's end, which was never seen, becomes zero.
    fn zero_behind_the_end(&self, old: Geometry) -> Result<(), ImageError> {
        let Some(last) = old.blocks().checked_sub(1).map(BlockIndex) else {
            return Ok(());
        };
        let length = old.block_bytes(last);
        let Some(place) = self.entry(last)?.place() else {
            return Ok(());
        };
        let rest = ByteRange::between(
            ByteOffset(place.saturating_add(length)),
            ByteOffset(place.saturating_add(old.block_size)),
        );
        match rest.filter(|rest| !rest.is_empty()) {
            None => Ok(()),
            Some(rest) => {
                // A last block by somebody else may end with its disk.
                self.grow_to(rest.end().get())?;
                Ok(self.storage.zero(rest, ZeroMode::KeepAllocated)?)
            }
        }
    }

    /// Makes the entries zero that the table had no use for until now. They mean nothing yet, so
    /// that they may change before the size does.
    fn clear_new_entries(&self, old: Geometry, new: Geometry) -> Result<(), ImageError> {
        let mut pages = Vec::new();
        for page in old.entries() / ENTRIES_PER_PAGE..new.table_pages() {
            let offset = self.bat.file_offset(page);
            let mut bytes = Box::new([0; PAGE_SIZE]);
            self.storage.read_at(&mut bytes[..], ByteOffset(offset))?;
            let first = page * ENTRIES_PER_PAGE;
            let kept = index(old.entries().saturating_sub(first).min(ENTRIES_PER_PAGE) * 8);
            if !is_zero(&bytes[kept..]) {
                bytes[kept..].fill(0);
                pages.push((offset, bytes));
            }
            if pages.len() >= 32 {
                self.commit_pages(&std::mem::take(&mut pages))?;
            }
        }
        match pages.is_empty() {
            true => Ok(()),
            false => self.commit_pages(&pages),
        }
    }

    /// Writes the table to a region that is long enough; that region, and the pages that make it
    /// the one that counts.
    fn move_table(
        &self,
        old: Geometry,
        new: Geometry,
    ) -> Result<(ByteRange, Vec<LoggedPage>), ImageError> {
        let needed = new.padded_entries().saturating_mul(8);
        let claim = self.space.claim(needed.div_ceil(MIB));
        let written = self.write_table(claim, old);
        let region = match written {
            Ok(region) => region,
            Err(error) => {
                // Nothing points there.
                self.space.release(claim.run);
                return Err(error);
            }
        };
        let table = moved_bat(&self.storage, region)?;
        let mut pages = Vec::new();
        for start in REGION_TABLE_OFFSETS {
            for (number, bytes) in (0..).zip(table.chunks_exact(PAGE_SIZE)) {
                let offset = start + number * PAGE;
                let mut now = [0; PAGE_SIZE];
                self.storage.read_at(&mut now, ByteOffset(offset))?;
                if now[..] != *bytes {
                    let mut page = Box::new([0; PAGE_SIZE]);
                    page.copy_from_slice(bytes);
                    pages.push((offset, page));
                }
            }
        }
        Ok((region, pages))
    }

    /// The old entries in claimed space, zeros behind them; durable with the next sync.
    fn write_table(&self, claim: Claim, old: Geometry) -> Result<ByteRange, ImageError> {
        self.prepare(claim)?;
        let region = claim.run.bytes().ok_or_else(|| {
            ImageError::invalid_option("size", "the table does not fit in the file")
        })?;
        for page in 0..old.table_pages() {
            if self.bat.is_zero_page(&self.storage, page)? {
                continue;
            }
            let mut bytes = self.bat.snapshot(page);
            let first = page * ENTRIES_PER_PAGE;
            let kept = index(old.entries().saturating_sub(first).min(ENTRIES_PER_PAGE) * 8);
            bytes[kept..].fill(0);
            let at = region.start().get().saturating_add(page_offset(page));
            self.storage.write_at(&bytes[..], ByteOffset(at))?;
        }
        // Before the entry of the log that leads here.
        self.sync_session()?;
        Ok(region)
    }

    /// Space for the blocks that a fixed image gets, in one piece and allocated by the host.
    fn claim_blocks(&self, old: Geometry, new: Geometry) -> Result<Claim, ImageError> {
        let blocks = new.blocks().saturating_sub(old.blocks());
        let claim = self
            .space
            .claim(blocks.saturating_mul(self.block_mebibytes()));
        let made = self.reach(claim).and_then(|bytes| match bytes.is_empty() {
            true => Ok(()),
            false => self.storage.zero(bytes, ZeroMode::KeepAllocated),
        });
        match made {
            Ok(()) => Ok(claim),
            Err(error) => {
                self.space.release(claim.run);
                Err(error.into())
            }
        }
    }

    fn publish_blocks(&self, old: Geometry, claim: Claim) -> Result<(), ImageError> {
        let blocks = claim.run.length / self.block_mebibytes();
        for number in 0..blocks {
            let block = BlockIndex(old.blocks().saturating_add(number));
            let offset = claim
                .run
                .offset()
                .saturating_add(number.saturating_mul(self.geometry.block_size));
            // Zeros that were synced before the size: nothing else can be seen there.
            let how = Publication::Placed { on_zero: true };
            self.publish(block, BatEntry::present(offset), how)?;
        }
        self.flush_session()
    }

    /// The pages of the metadata that say the size.
    fn size_pages(&self, size: u64) -> Result<Vec<LoggedPage>, ImageError> {
        let place = size_place(&self.storage, self.regions.metadata)?.get();
        let first = place / PAGE * PAGE;
        let last = (place + 7) / PAGE * PAGE;
        let mut bytes = vec![0; index(last + PAGE - first)];
        self.storage.read_at(&mut bytes, ByteOffset(first))?;
        let at = index(place - first);
        bytes[at..at + 8].copy_from_slice(&size.to_le_bytes());
        let pages = (0..).zip(bytes.chunks_exact(PAGE_SIZE));
        Ok(pages
            .map(|(number, bytes)| {
                let mut page = Box::new([0; PAGE_SIZE]);
                page.copy_from_slice(bytes);
                (first + number * PAGE, page)
            })
            .collect())
    }

    /// The file says the new size: this image goes by it from here on.
    fn adopt(&mut self, new: Geometry, region: ByteRange) -> Result<(), ImageError> {
        self.bat = Bat::new(region, &new)?;
        self.geometry = new;
        self.metadata.disk_size = new.disk_size;
        self.regions.bat = region;
        for (id, range) in &mut self.regions.all {
            if *id == BAT_REGION {
                *range = region;
            }
        }
        Ok(())
    }
}

//! Another size for the disk of a VHD, by an order of writes that leaves the old size or the new one.
//!
//! A dynamic disk grows in steps that are each without effect, or whole in one sector:
//!
//! 1. Blocks that stand where the longer table goes are copied behind the others; *sync*; their
//!    entries are written; *sync*. (In a child whose names stand there, the table is copied behind
//!    the blocks instead.)
//! 2. The new entries are written, in room that nothing points to any more; *sync*.
//! 3. The sector of the header with the length and place of the table is written; *sync*. A table
//!    may be longer than the disk needs.
//! 4. The footer at the end is written, with the new size, which makes it the disk's; *sync*; then
//!    the copy at 0.
//!
//! It shrinks by steps 4 alone, after the blocks behind the new end lost their places. In a fixed
//! disk the new footer is durable at its place before the old one is overwritten, or cut off.

use std::collections::BTreeSet;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, Storage, ZeroMode};
use zerocopy::{FromBytes, IntoBytes};

use super::bat::Bat;
use super::dynamic::DynamicDisk;
use super::footer::{self, Found};
use super::format::{FOOTER_LEN, HEADER_LEN, MAX_DISK, RawHeader, SECTOR, UNALLOCATED, checksum};
use super::sparse::Layout;
use crate::bounds::to_index;
use crate::compact::{Target, copy_in_file};
use crate::error::ImageError;
use crate::info::ImageKind;
use crate::resize::{refuse_data_beyond, refuse_part_of_sector};

/// Bytes of the table that are written at once.
const PIECE: u64 = 1 << 20;

pub(crate) fn refuse_size(size: ByteCount) -> Result<(), ImageError> {
    refuse_part_of_sector(size, SECTOR)?;
    match size.get() > MAX_DISK {
        true => Err(ImageError::TooLarge {
            size,
            limit: ByteCount(MAX_DISK),
        }),
        false => Ok(()),
    }
}

impl DynamicDisk {
    /// Refuses a size that the disk cannot have.
    pub(super) fn checked_size(&self, size: ByteCount) -> Result<(), ImageError> {
        refuse_size(size)?;
        let parent = self.child.as_ref().map_or(0, |child| child.parents.size());
        match size.get() < parent {
            true => Err(ImageError::invalid_option(
                "size",
                format!("the parent of the image has {parent} bytes, and a child is not smaller"),
            )),
            false => Ok(()),
        }
    }

    /// See [`crate::ImageDisk::resize`]. Nobody else uses the disk meanwhile.
    pub(super) fn resize_disk(&mut self, size: ByteCount) -> Result<(), ImageError> {
        self.checked_size(size)?;
        if self.is_read_only() {
            return Err(ImageError::ReadOnly);
        }
        if size < self.size {
            refuse_data_beyond(self, size.get())?;
        }
        // Everything is published, and the file tells all that memory does.
        self.flush()?;
        let found = footer::find(&*self.storage)?;
        let entries = size.get().div_ceil(self.layout.block_size);
        let result = match size < self.size {
            true => self.drop_blocks_behind(entries),
            false => self.make_room_for(entries, &found),
        };
        let layout = result.and_then(|layout| {
            self.write_footers(&found, size)?;
            Ok(layout)
        });
        // Memory may be ahead of the file, or behind it, where a step failed.
        self.poison_if(layout.is_err());
        self.adopt(layout?, size)
    }

    /// Blocks behind the new end lose their places; they read zero.
    fn drop_blocks_behind(&mut self, entries: u64) -> Result<Layout, ImageError> {
        let places = self.bat.allocated().map(|(block, _)| block);
        let gone: BTreeSet<u64> = places.filter(|block| *block >= entries).collect();
        self.forget_places(&gone)?;
        Ok(Layout {
            block_count: entries,
            ..self.layout
        })
    }

    fn make_room_for(&mut self, entries: u64, found: &Found) -> Result<Layout, ImageError> {
        self.zero_behind_the_end()?;
        let mut layout = Layout {
            block_count: entries,
            ..self.layout
        };
        if entries <= self.layout.table_entries {
            // Entries that the disk had no use for may hold anything.
            self.write_unallocated(&layout, self.layout.block_count, entries)?;
            self.storage.sync()?;
            return Ok(layout);
        }
        layout.table_entries = entries;
        let header = found.footer.header_offset.get();
        let table = (layout.table_offset, layout.table_end());
        let names_end = match found.footer.kind {
            ImageKind::Differencing => self.space().floor(),
            ImageKind::Fixed | ImageKind::Dynamic => 0,
        };
        let is_in_the_way = |at: u64, end: u64| at < table.1 && end > table.0;
        let blocked = is_in_the_way(header, header + HEADER_LEN)
            || (names_end > self.layout.table_end() && names_end > table.0);
        if blocked {
            let length = layout.table_end() - layout.table_offset;
            let at = {
                let old = self.layout;
                self.space().take_behind(&*self.storage, &old, length)?
            };
            self.copy_table(at)?;
            layout.table_offset = at;
        } else {
            self.move_blocks_out_of(table.0, table.1)?;
        }
        self.write_unallocated(&layout, self.layout.block_count, entries)?;
        // The entries, before the header says that they count.
        self.storage.sync()?;
        self.write_header(header, &layout)?;
        Ok(layout)
    }

    /// The rest of the last block behind the disk's end, which was never seen, becomes zero.
    fn zero_behind_the_end(&self) -> Result<(), ImageError> {
        let within = self.size.get() % self.layout.block_size;
        let Some(data) = self.data_offset(self.size.get() / self.layout.block_size) else {
            return Ok(());
        };
        let rest = ByteRange::between(
            ByteOffset(data + within),
            ByteOffset(data + self.layout.block_size),
        );
        match rest.filter(|rest| within > 0 && !rest.is_empty()) {
            Some(rest) => Ok(self.storage.zero(rest, ZeroMode::KeepAllocated)?),
            None => Ok(()),
        }
    }

    /// Blocks that stand between two places of the file go behind all others.
    fn move_blocks_out_of(&mut self, start: u64, end: u64) -> Result<(), ImageError> {
        let length = self.layout.bitmap_size + self.layout.block_size;
        let blocks: Vec<(u64, u64)> = self
            .bat
            .allocated()
            .map(|(block, entry)| (block, u64::from(entry) * SECTOR))
            .filter(|(_, place)| *place < end && place + length > start)
            .collect();
        if blocks.is_empty() {
            return Ok(());
        }
        let layout = self.layout;
        let mut moved = Vec::new();
        for (block, from) in blocks {
            let entry = {
                let mut space = self.space();
                // As a child's, so that nothing but the copy says which sectors are there.
                let entry = space.allocate(&*self.storage, &layout, block, true);
                // It has a place already, which counts until the copy is durable.
                let _ = space.take_unpublished();
                entry?
            };
            let to = u64::from(entry) * SECTOR;
            copy_in_file(&*self.storage, from, to, length, Target::Written)?;
            moved.push((block, entry));
        }
        // The copies, before the entries that lead to them.
        self.storage.sync()?;
        for (block, entry) in &moved {
            self.bat.set(*block, *entry);
        }
        self.write_entries(&moved.iter().map(|(block, _)| *block).collect())
    }

    fn copy_table(&self, to: u64) -> Result<(), ImageError> {
        let bytes: Vec<u8> = (0..self.layout.block_count)
            .flat_map(|block| self.bat.get(block).unwrap_or(UNALLOCATED).to_be_bytes())
            .collect();
        Ok(self.storage.write_at(&bytes, ByteOffset(to))?)
    }

    fn write_unallocated(&self, layout: &Layout, from: u64, to: u64) -> Result<(), ImageError> {
        let end = layout.table_offset + (to * 4).next_multiple_of(SECTOR);
        let end = end.min(layout.table_end());
        let mut at = layout.table_offset + from * 4;
        while at < end {
            let length = PIECE.min(end - at);
            let bytes = vec![0xff; to_index(length).unwrap_or(0)];
            self.storage.write_at(&bytes, ByteOffset(at))?;
            at += length;
        }
        Ok(())
    }

    /// Place and length of the table, and the checksum, stand in the first sector of the header: it
    /// is written whole or not at all.
    fn write_header(&self, at: u64, layout: &Layout) -> Result<(), ImageError> {
        let mut bytes = [0; 1024];
        self.storage.read_at(&mut bytes, ByteOffset(at))?;
        let too_large = |_| ImageError::TooLarge {
            size: ByteCount(layout.table_entries.saturating_mul(layout.block_size)),
            limit: ByteCount(MAX_DISK),
        };
        let entries = u32::try_from(layout.table_entries).map_err(too_large)?;
        if let Ok(raw) = RawHeader::mut_from_bytes(&mut bytes) {
            raw.table_offset = layout.table_offset.into();
            raw.max_table_entries = entries.into();
            raw.checksum = 0.into();
            raw.checksum = checksum(raw.as_bytes(), [0; 4]).into();
        }
        self.storage.write_at(&bytes[..512], ByteOffset(at))?;
        // Before the footer: a disk must not be larger than its table.
        Ok(self.storage.sync()?)
    }

    fn write_footers(&self, found: &Found, size: ByteCount) -> Result<(), ImageError> {
        let bytes = found.footer.resized(size);
        let end = self.space().end_footer();
        if let Some(end) = end {
            self.storage.write_at(&bytes, ByteOffset(end))?;
            // One of the two is whole at any time.
            self.storage.sync()?;
        }
        self.storage.write_at(&bytes, ByteOffset(0))?;
        Ok(self.storage.sync()?)
    }

    /// The file says the new size: this disk goes by it from here on.
    fn adopt(&mut self, layout: Layout, size: ByteCount) -> Result<(), ImageError> {
        let found = footer::find(&*self.storage)?;
        let bat = Bat::load(&*self.storage, &layout)?;
        let allocated = u64::try_from(bat.allocated().count()).unwrap_or(u64::MAX);
        let header_end = found.footer.header_offset.get() + HEADER_LEN;
        let mut floor = layout.table_end().max(header_end);
        if self.is_differencing {
            floor = floor.max(self.space().floor());
        }
        self.space().resized(
            found.footer.bytes,
            floor,
            bat.len().saturating_sub(allocated),
        );
        self.layout = layout;
        self.bat = bat;
        self.size = size;
        self.info.virtual_size = size;
        Ok(())
    }
}

/// Another size for a fixed disk: see [`crate::ImageDisk::resize`].
pub(crate) fn resize_fixed(storage: &dyn Storage, size: ByteCount) -> Result<(), ImageError> {
    refuse_size(size)?;
    let found = footer::find(storage)?;
    let (old_end, new_end) = (found.data_limit, size.get());
    if old_end == new_end {
        return Ok(());
    }
    let bytes = found.footer.resized(size);
    if new_end > old_end {
        storage.set_len(ByteCount(new_end + FOOTER_LEN))?;
        let added = ByteRange::between(ByteOffset(found.file_length), ByteOffset(new_end));
        let made = match added.filter(|added| !added.is_empty()) {
            // A host that is full says so now.
            Some(added) => storage.zero(added, ZeroMode::KeepAllocated),
            None => Ok(()),
        };
        if let Err(error) = made.and_then(|()| storage.write_at(&bytes, ByteOffset(new_end))) {
            storage.set_len(ByteCount(found.file_length))?;
            return Err(error.into());
        }
        // The new footer, before the old one goes: the file must not be without.
        storage.sync()?;
        let end = found.file_length.min(new_end);
        if let Some(old) = ByteRange::between(ByteOffset(old_end), ByteOffset(end)) {
            storage.zero(old, ZeroMode::KeepAllocated)?;
        }
        return Ok(storage.sync()?);
    }
    storage.write_at(&bytes, ByteOffset(new_end))?;
    // The same, before the file is cut behind it.
    storage.sync()?;
    storage.set_len(ByteCount(new_end + FOOTER_LEN))?;
    Ok(storage.sync()?)
}

/// See [`crate::undo_growth`].
pub(crate) fn undo_growth_of_fixed(
    storage: &dyn Storage,
    from: ByteCount,
) -> Result<(), ImageError> {
    if footer::find(storage).is_ok() {
        return Ok(());
    }
    let end = from.get().saturating_add(FOOTER_LEN);
    if storage.len()?.get() <= end {
        return Ok(());
    }
    let bytes = footer::read(storage, from.get(), FOOTER_LEN)?;
    if bytes.starts_with(&super::format::FOOTER_COOKIE) {
        storage.set_len(ByteCount(end))?;
        storage.sync()?;
    }
    Ok(())
}

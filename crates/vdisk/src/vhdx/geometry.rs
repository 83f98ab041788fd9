//! Where a block's entry stands in the block allocation table, and how many bytes a block has.
//!
//! After every chunk of payload entries stands one entry for the chunk's sector bitmap block, also
//! in images without a parent, where it is not used. The chunk ratio is 2^23 logical sectors over
//! the block size ([MS-VHDX] 2.5).

use blockio::{ByteCount, ByteOffset, ByteRange};

use super::format::{ENTRIES_PER_PAGE, PAGE, SECTORS_PER_BITMAP};
use super::metadata::Metadata;

/// The number of a payload block: the disk's bytes from `index * block_size` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BlockIndex(pub(super) u64);

/// The number of an entry of the block allocation table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntryIndex(pub(super) u64);

/// What an entry of the table stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryRole {
    /// A block of the disk.
    Payload(BlockIndex),
    /// The sector bitmap of the chunk with this number.
    Bitmap(u64),
}

/// The part of a request that lies in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) block: BlockIndex,
    /// Bytes from the start of the block.
    pub(super) within: u64,
    /// Bytes of the segment.
    pub(super) length: u64,
}

impl Segment {
    /// What is left of the segment behind its first `length` bytes.
    pub(super) fn after(self, length: u64) -> Self {
        let length = length.min(self.length);
        Self {
            block: self.block,
            within: self.within.saturating_add(length),
            length: self.length - length,
        }
    }
}

/// The numbers that follow from block size, sector size and disk size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) block_size: u64,
    pub(super) disk_size: u64,
    /// Payload blocks between two bitmap entries.
    pub(super) chunk_ratio: u64,
    differencing: bool,
}

impl Geometry {
    pub(super) fn new(metadata: &Metadata) -> Self {
        let chunk = SECTORS_PER_BITMAP.saturating_mul(metadata.logical_sector.bytes());
        Self {
            block_size: metadata.block_size,
            disk_size: metadata.disk_size,
            chunk_ratio: (chunk / metadata.block_size).max(1),
            differencing: metadata.parent.is_some(),
        }
    }

    /// The same for a disk of another size.
    pub(super) fn with_size(self, disk_size: u64) -> Self {
        Self { disk_size, ..self }
    }

    /// Number of payload blocks.
    pub(super) fn blocks(&self) -> u64 {
        self.disk_size.div_ceil(self.block_size)
    }

    /// Number of chunks, the last of which may be incomplete.
    pub(super) fn chunks(&self) -> u64 {
        self.blocks().div_ceil(self.chunk_ratio)
    }

    /// Entries the table must have. An image with a parent has the bitmap entry of its last chunk
    /// too, after padding; one without need not ([MS-VHDX] 2.5).
    pub(super) fn entries(&self) -> u64 {
        if self.differencing {
            return self.padded_entries();
        }
        let blocks = self.blocks();
        blocks.saturating_add(blocks.saturating_sub(1) / self.chunk_ratio)
    }

    /// Entries of a table of whole chunks, which is how Windows makes it.
    pub(super) fn padded_entries(&self) -> u64 {
        self.chunks()
            .saturating_mul(self.chunk_ratio.saturating_add(1))
    }

    /// Pages of the table that hold the entries it must have.
    pub(super) fn table_pages(&self) -> u64 {
        self.entries().div_ceil(ENTRIES_PER_PAGE)
    }

    /// Where the entry of a block stands.
    pub(super) fn entry_of(&self, block: BlockIndex) -> EntryIndex {
        EntryIndex(block.0.saturating_add(block.0 / self.chunk_ratio))
    }

    /// Where the bitmap entry of a block's chunk stands.
    pub(super) fn bitmap_entry_of(&self, block: BlockIndex) -> EntryIndex {
        let chunk = block.0 / self.chunk_ratio;
        let width = self.chunk_ratio.saturating_add(1);
        EntryIndex(chunk.saturating_mul(width).saturating_add(self.chunk_ratio))
    }

    /// What an entry stands for; `None` for padding.
    pub(super) fn role(&self, entry: EntryIndex) -> Option<EntryRole> {
        let width = self.chunk_ratio.saturating_add(1);
        let (chunk, place) = (entry.0 / width, entry.0 % width);
        if place == self.chunk_ratio {
            return (chunk < self.chunks()).then_some(EntryRole::Bitmap(chunk));
        }
        let block = chunk.saturating_mul(self.chunk_ratio).saturating_add(place);
        (block < self.blocks()).then_some(EntryRole::Payload(BlockIndex(block)))
    }

    /// The bytes of the disk that a block holds; the last block may be cut short.
    pub(super) fn block_bytes(&self, block: BlockIndex) -> u64 {
        let start = block.0.saturating_mul(self.block_size);
        self.disk_size.saturating_sub(start).min(self.block_size)
    }

    /// The first segment of a range of the disk.
    pub(super) fn first_segment(&self, start: u64, length: u64) -> Segment {
        let within = start % self.block_size;
        Segment {
            block: BlockIndex(start / self.block_size),
            within,
            length: length.min(self.block_size - within),
        }
    }

    /// The segments of a range of the disk, in order.
    pub(super) fn segments(&self, range: ByteRange) -> impl Iterator<Item = Segment> + use<> {
        let geometry = *self;
        let (mut at, end) = (range.start().get(), range.end().get());
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let segment = geometry.first_segment(at, end - at);
                at += segment.length;
                segment
            })
        })
    }

    /// Bytes of the file that a segment of a block at `place` takes.
    pub(super) fn in_file(place: u64, segment: Segment) -> Option<ByteRange> {
        let start = place.checked_add(segment.within)?;
        ByteRange::new(ByteOffset(start), ByteCount(segment.length))
    }
}

impl EntryIndex {
    /// The page of the table that holds the entry.
    pub(super) fn page(self) -> u64 {
        self.0 / ENTRIES_PER_PAGE
    }

    /// The place of the entry in its page.
    pub(super) fn slot(self) -> u64 {
        self.0 % ENTRIES_PER_PAGE
    }
}

/// Byte offset of a page from the start of the table.
pub(super) fn page_offset(page: u64) -> u64 {
    page.saturating_mul(PAGE)
}

#[cfg(test)]
mod tests;

//! Sector bitmap blocks, which differencing images have: one for each chunk of payload blocks. And
//! what follows from them: who holds a part of a block.
//!
//! Bit `n` of byte `m` stands for sector `8m + n` of the chunk, least significant bit first
//! ([MS-VHDX] 2.4). Images without a parent have the entries and no bitmaps. Bits count in blocks
//! that are partially present alone.

use blockio::{ByteCount, ByteOffset, MIB, Operation, Storage};

use super::bat::{BatEntry, BlockState, lies_in_file};
use super::format::{PAGE, PAGE_SIZE};
use super::geometry::{BlockIndex, Segment};
use super::image::VhdxImage;
use crate::bitmap_pages::{Words, from_low_first, run};
use crate::chain::Held;
use crate::error::ImageError;

/// Bits in a page of a bitmap.
pub(super) const BITS_PER_PAGE: u64 = PAGE * 8;
/// Pages of a bitmap block, which is 1 MiB.
const PAGES_PER_BITMAP: u64 = MIB / PAGE;
/// Pages that an image open for writing keeps: 64 MiB.
pub(super) const WRITER_PAGES: usize = 16 * 1024;
/// Pages that an image open for reading keeps: what a chain resolved it remembers by itself.
pub(super) const READER_PAGES: usize = 64;

/// A page of the bitmap of some chunk, by its number among the pages of all chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BitmapPage(pub(super) u64);

/// Bits of one page: sectors of a chunk that stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageBits {
    pub(super) page: BitmapPage,
    /// First bit within the page.
    pub(super) from: u64,
    /// First bit after the last one.
    pub(super) to: u64,
}

/// Whether the entry of a bitmap block leads to a bitmap.
pub(super) fn is_present(entry: BatEntry) -> bool {
    entry.state == BlockState::FullyPresent
}

impl BitmapPage {
    fn chunk(self) -> u64 {
        self.0 / PAGES_PER_BITMAP
    }

    /// Byte offset of the page in its bitmap block.
    fn within(self) -> u64 {
        self.0 % PAGES_PER_BITMAP * PAGE
    }
}

impl VhdxImage {
    /// The sectors of a block from `from` to `to`, as bits of pages.
    pub(super) fn page_bits(
        &self,
        block: BlockIndex,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = PageBits> + use<> {
        let ratio = self.geometry.chunk_ratio;
        let per_block = self.geometry.block_size / self.metadata.logical_sector.bytes();
        let base = (block.0 % ratio).saturating_mul(per_block);
        let first_page = (block.0 / ratio).saturating_mul(PAGES_PER_BITMAP);
        let (mut at, end) = (base.saturating_add(from), base.saturating_add(to));
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let page = at / BITS_PER_PAGE;
                let stop = end.min((page + 1) * BITS_PER_PAGE);
                let bits = PageBits {
                    page: BitmapPage(first_page.saturating_add(page)),
                    from: at - page * BITS_PER_PAGE,
                    to: stop - page * BITS_PER_PAGE,
                };
                at = stop;
                bits
            })
        })
    }

    /// Where the bitmap block of a block's chunk is; `None` where the chunk has none.
    pub(super) fn bitmap_place(&self, block: BlockIndex) -> blockio::Result<Option<u64>> {
        let index = self.geometry.bitmap_entry_of(block);
        let raw = self.bat.load(&self.storage, index)?;
        let file_length = self.file_length();
        match BatEntry::decode(raw) {
            Some(entry) if is_present(entry) && lies_in_file(entry.offset, MIB, file_length) => {
                Ok(Some(entry.offset))
            }
            Some(entry) if entry.state == BlockState::NotPresent => Ok(None),
            _ => {
                let message = format!("entry {raw:#x} leads to no sector bitmap in the file");
                Err(ImageError::damaged("MS-VHDX 2.5.1.2", message).into_io(
                    Operation::Read,
                    ByteOffset(block.0.saturating_mul(self.geometry.block_size)),
                    ByteCount(self.geometry.block_bytes(block)),
                ))
            }
        }
    }

    /// Byte offset of a page in the file.
    pub(super) fn bitmap_page_offset(&self, page: BitmapPage) -> blockio::Result<Option<u64>> {
        let first = BlockIndex(page.chunk().saturating_mul(self.geometry.chunk_ratio));
        let place = self.bitmap_place(first)?;
        Ok(place.map(|place| place.saturating_add(page.within())))
    }

    /// Reads a page, which somebody needs because a block is partially present.
    pub(super) fn load_bitmap(&self, page: BitmapPage) -> blockio::Result<Words> {
        let first = page.chunk().saturating_mul(self.geometry.chunk_ratio);
        let offset = self.bitmap_page_offset(page)?.ok_or_else(|| {
            let message = "a block is partially present in a chunk without a sector bitmap";
            ImageError::damaged("MS-VHDX 2.5.1.1", message).into_io(
                Operation::Read,
                ByteOffset(first.saturating_mul(self.geometry.block_size)),
                ByteCount(self.geometry.block_size),
            )
        })?;
        let mut bytes = [0; PAGE_SIZE];
        self.storage.read_at(&mut bytes, ByteOffset(offset))?;
        Ok(from_low_first(&bytes))
    }

    /// Whether sector `from` of a partially present block is in this file, and how many sectors
    /// follow it, up to `to`, of which that is so too.
    fn bit_run(&self, block: BlockIndex, from: u64, to: u64) -> blockio::Result<(bool, u64)> {
        let (mut value, mut length) = (None, 0);
        for bits in self.page_bits(block, from, to) {
            let load = || self.load_bitmap(bits.page);
            let look = |words: &_| run(words, bits.from, bits.to);
            let (bit, end) = self.bitmaps.look(bits.page.0, load, look)?;
            if *value.get_or_insert(bit) != bit {
                break;
            }
            length += end - bits.from;
            if end < bits.to {
                break;
            }
        }
        Ok((value.unwrap_or(false), length))
    }

    /// Who holds the start of a segment, and how many of its bytes are held alike. The caller
    /// holds the lock of the block, where the image is open for writing.
    pub(super) fn held_in(&self, segment: Segment) -> blockio::Result<(Held, u64)> {
        let entry = self.entry(segment.block)?;
        let held = match entry.state {
            BlockState::FullyPresent => Held::File(entry.offset.saturating_add(segment.within)),
            BlockState::NotPresent if self.metadata.parent.is_some() => Held::Parent,
            BlockState::PartiallyPresent => return self.held_in_part(segment, entry.offset),
            _ => Held::Zero,
        };
        Ok((held, segment.length))
    }

    fn held_in_part(&self, segment: Segment, place: u64) -> blockio::Result<(Held, u64)> {
        let sector = self.metadata.logical_sector.bytes();
        let end = segment.within.saturating_add(segment.length);
        let (from, to) = (segment.within / sector, end.div_ceil(sector));
        let (here, sectors) = self.bit_run(segment.block, from, to)?;
        let run_end = from.saturating_add(sectors).saturating_mul(sector).min(end);
        let held = match here {
            true => Held::File(place.saturating_add(segment.within)),
            false => Held::Parent,
        };
        Ok((held, run_end.saturating_sub(segment.within)))
    }
}

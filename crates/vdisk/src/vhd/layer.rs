//! A VHD as a part of a chain, open for reading; and who holds a part of a block.
//!
//! In front of a block's data stands its sector bitmap. In a differencing disk a set bit means that
//! the sector is in this file; all others are the parent's. The most significant bit of a byte is
//! the first sector (VHD "Block Allocation Table and Data Blocks").

use blockio::{ByteCount, ByteOffset, ByteRange, Extent, SectorSize, Storage};
use uuid::Uuid;

use super::dynamic::DynamicDisk;
use super::footer::{self, Found};
use super::format::SECTOR;
use super::locator;
use super::open;
use super::sparse;
use crate::bitmap_pages::{Words, from_high_first, run};
use crate::bounds::to_index;
use crate::chain::{Held, Layer, LinkFacts};
use crate::error::ImageError;
use crate::image::ImageDisk;
use crate::info::{ImageInfo, ImageKind};
use crate::merge::Taker;

/// Bitmaps of blocks that a disk open for writing keeps: 64 MiB where blocks are of 2 MiB.
pub(super) const WRITER_BITMAPS: usize = 128 * 1024;
/// Bitmaps of blocks that a disk open for reading keeps.
pub(super) const READER_BITMAPS: usize = 512;
/// Most blocks that are passed over in one step.
const MAX_STEPS: u64 = 1 << 20;

/// What a VHD says of itself and its parent.
pub(crate) fn link_facts(storage: &dyn Storage) -> Result<LinkFacts, ImageError> {
    let found = footer::find(storage)?;
    let parent = match found.footer.kind {
        ImageKind::Differencing => {
            let header = sparse::read_header(storage, &found)?;
            Some(locator::parent_info(storage, &header, found.file_length)?)
        }
        ImageKind::Fixed | ImageKind::Dynamic => None,
    };
    Ok(LinkFacts {
        size: found.footer.size,
        logical_sector: SectorSize::B512,
        physical_sector: SectorSize::B512,
        linkage: found.footer.unique_id,
        parent,
    })
}

/// Opens a VHD for reading as a part of a chain.
pub(crate) fn open_layer(storage: Box<dyn Storage>) -> Result<Box<dyn Layer>, ImageError> {
    let found = footer::find(&*storage)?;
    if found.footer.kind == ImageKind::Fixed {
        super::fixed::check_length(&found)?;
        return Ok(Box::new(FixedLayer { storage, found }));
    }
    let access = crate::image::Access::ReadOnly;
    Ok(Box::new(DynamicDisk::open_found(storage, access, &found)?))
}

/// A fixed VHD below a differencing one.
pub(super) struct FixedLayer {
    pub(super) storage: Box<dyn Storage>,
    pub(super) found: Found,
}

impl Layer for FixedLayer {
    fn size(&self) -> ByteCount {
        self.found.footer.size
    }

    fn held_at(&self, start: u64, length: u64) -> blockio::Result<(Held, u64)> {
        Ok((Held::File(start), length))
    }

    fn absent_at(&self, _start: u64) -> blockio::Result<u64> {
        Ok(0)
    }

    fn read_file(&self, buf: &mut [u8], at: ByteOffset) -> blockio::Result<()> {
        self.storage.read_at(buf, at)
    }

    fn file_extent(&self, range: ByteRange) -> blockio::Result<Extent> {
        self.storage.extent_at(range)
    }

    fn info(&self) -> ImageInfo {
        open::describe(&self.found, None, None)
    }

    fn linkage(&self) -> Uuid {
        self.found.footer.unique_id
    }
}

impl DynamicDisk {
    /// Reads the bitmap of the block whose data begins at `data`.
    pub(super) fn load_bitmap(&self, data: u64) -> blockio::Result<Words> {
        let length = to_index(self.layout.bitmap_size).unwrap_or(0);
        let mut bytes = vec![0; length];
        let at = data.saturating_sub(self.layout.bitmap_size);
        self.storage.read_at(&mut bytes, ByteOffset(at))?;
        Ok(from_high_first(&bytes))
    }

    /// Whether sector `from` of a block with data at `data` is in this file, and where the run of
    /// which that is so ends, at `to` at the latest.
    pub(super) fn bit_run(
        &self,
        block: u64,
        data: u64,
        from: u64,
        to: u64,
    ) -> blockio::Result<(bool, u64)> {
        let load = || self.load_bitmap(data);
        self.bitmaps.look(block, load, |words| run(words, from, to))
    }

    /// Who holds the byte at `start`, and how many of the next `length` bytes are held alike.
    pub(super) fn held(&self, start: u64, length: u64) -> blockio::Result<(Held, u64)> {
        let block_size = self.layout.block_size;
        let (block, within) = (start / block_size, start % block_size);
        let length = length.min(block_size - within);
        let Some(data) = self.data_offset(block) else {
            let held = match self.is_differencing {
                true => Held::Parent,
                false => Held::Zero,
            };
            return Ok((held, length));
        };
        if !self.is_differencing {
            return Ok((Held::File(data + within), length));
        }
        let end = within + length;
        let (from, to) = (within / SECTOR, end.div_ceil(SECTOR));
        let (here, sectors_end) = self.bit_run(block, data, from, to)?;
        let held = match here {
            true => Held::File(data + within),
            false => Held::Parent,
        };
        Ok((held, (sectors_end * SECTOR).min(end) - within))
    }

    /// Bytes from `start` on whose blocks have no place.
    pub(super) fn absent_bytes(&self, start: u64) -> u64 {
        let block_size = self.layout.block_size;
        let first = start / block_size;
        let last = first.saturating_add(MAX_STEPS).min(self.bat.len());
        let end = (first..last)
            .find(|block| self.bat.get(*block).is_some())
            .unwrap_or(last);
        (end * block_size).saturating_sub(start)
    }
}

impl Layer for DynamicDisk {
    fn size(&self) -> ByteCount {
        blockio::Disk::size(self)
    }

    fn held_at(&self, start: u64, length: u64) -> blockio::Result<(Held, u64)> {
        self.held(start, length)
    }

    fn absent_at(&self, start: u64) -> blockio::Result<u64> {
        Ok(self.absent_bytes(start))
    }

    fn read_file(&self, buf: &mut [u8], at: ByteOffset) -> blockio::Result<()> {
        self.storage.read_at(buf, at)
    }

    fn file_extent(&self, range: ByteRange) -> blockio::Result<Extent> {
        self.storage.extent_at(range)
    }

    fn info(&self) -> ImageInfo {
        ImageDisk::info(self)
    }

    fn linkage(&self) -> Uuid {
        self.unique_id
    }
}

impl Taker for DynamicDisk {
    fn seal(&self) -> Result<(), ImageError> {
        if let Some(child) = &self.child {
            self.seal_blocks(child)?;
        }
        Ok(blockio::Disk::flush(self)?)
    }

    fn close(self: Box<Self>) -> Result<(), ImageError> {
        ImageDisk::close(self)
    }
}

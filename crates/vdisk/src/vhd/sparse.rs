//! The header of dynamic and differencing disks, and the layout that follows from it: how large
//! blocks are, where their table stands and where a block's data lies.
//!
//! Invariant of [`Layout`]: the table lies within the file and has an entry for every block of the
//! disk, so that memory for it is bounded by the length of the file.

use blockio::{ByteCount, ByteOffset, Storage};
use uuid::Uuid;
use zerocopy::{FromBytes, IntoBytes};

use super::footer::Found;
use super::format::{
    HEADER_COOKIE, HEADER_LEN, NO_OFFSET, RawHeader, RawLocator, SECTOR, VERSION, checksum,
};
use crate::error::ImageError;
use crate::info::ImageKind;

/// The rule that errors name.
pub(crate) const RULE: &str = "VHD dynamic disk header";

/// Smallest block that is read. Windows makes 512 KiB and 2 MiB; smaller ones than this only serve
/// to make the table large.
const MIN_BLOCK: u64 = 64 * 1024;
/// Largest block that is read.
const MAX_BLOCK: u64 = 256 * 1024 * 1024;
/// Windows aligns the data of a block (behind its bitmap) to this many bytes.
pub(crate) const DATA_ALIGNMENT: u64 = 4096;

/// Where things are in a dynamic or differencing disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Bytes of data in a block, a power of two.
    pub(crate) block_size: u64,
    /// Bytes of the sector bitmap in front of a block's data, whole sectors.
    pub(crate) bitmap_size: u64,
    /// Where the table of blocks stands, a whole number of sectors.
    pub(crate) table_offset: u64,
    /// Entries of the table in the file.
    pub(crate) table_entries: u64,
    /// Entries that are kept in memory: those of the disk, by its larger size.
    pub(crate) block_count: u64,
}

/// The header and what it means.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) layout: Layout,
    pub(crate) parent_id: Uuid,
    pub(crate) parent_name: [u8; 512],
    pub(crate) locators: [RawLocator; 8],
}

impl Header {
    /// Whether a disk of `kind` is read without a parent although its header names one: what is in none
    /// of its blocks then reads as zeros.
    pub(crate) fn has_stray_parent(&self, kind: ImageKind) -> bool {
        kind != ImageKind::Differencing && !self.parent_id.is_nil()
    }
}

impl Layout {
    /// The layout of blocks of `block_size` for a disk of `size`, its table at `table_offset`.
    pub(crate) fn new(size: u64, block_size: u64, table_offset: u64) -> Self {
        let blocks = size.div_ceil(block_size);
        Self {
            block_size,
            bitmap_size: bitmap_size(block_size),
            table_offset,
            table_entries: blocks,
            block_count: blocks,
        }
    }

    /// First byte after the table, which fills its last sector.
    pub(crate) fn table_end(&self) -> u64 {
        self.table_offset + (self.table_entries * 4).next_multiple_of(SECTOR)
    }

    /// Bytes from one block to the next where blocks stand one after another, data aligned.
    pub(crate) fn stride(&self) -> u64 {
        (self.bitmap_size + self.block_size).next_multiple_of(DATA_ALIGNMENT)
    }

    /// The first place at or after `offset` for the bitmap of a block whose data is then aligned.
    /// The footer of an image without spare room stands at such a place as well.
    pub(crate) fn place_at_or_after(&self, offset: u64) -> u64 {
        (offset + self.bitmap_size).next_multiple_of(DATA_ALIGNMENT) - self.bitmap_size
    }

    /// Where the data of the block with this table entry begins.
    pub(crate) fn data_offset(&self, entry: u32) -> u64 {
        u64::from(entry) * SECTOR + self.bitmap_size
    }
}

/// Bytes of the sector bitmap of a block: a bit a sector, padded to whole sectors.
fn bitmap_size(block_size: u64) -> u64 {
    (block_size / SECTOR / 8).max(1).next_multiple_of(SECTOR)
}

/// Reads the header that the footer leads to.
///
/// # Errors
/// `Damaged`, `Unsupported`, `Io`.
pub(crate) fn read_header(storage: &dyn Storage, found: &Found) -> Result<Header, ImageError> {
    let at = found.footer.header_offset;
    let damaged = |message: String| ImageError::damaged_at(RULE, at, message);
    if at
        .get()
        .checked_add(HEADER_LEN)
        .is_none_or(|end| end > found.file_length)
    {
        return Err(damaged(format!(
            "header does not fit in the file of {} bytes",
            found.file_length
        )));
    }
    let mut bytes = [0; 1024];
    storage.read_at(&mut bytes, at)?;
    let Ok(raw) = RawHeader::read_from_bytes(&bytes) else {
        return Err(damaged("header is too short".to_owned()));
    };
    if raw.cookie != HEADER_COOKIE {
        return Err(damaged("cookie is not `cxsparse`".to_owned()));
    }
    let computed = checksum(&bytes, raw.checksum.to_bytes());
    if computed != raw.checksum.get() {
        return Err(damaged(format!(
            "header checksum is {:#010x}, computed {computed:#010x}",
            raw.checksum.get()
        )));
    }
    if raw.header_version.get() >> 16 != VERSION >> 16 {
        return Err(ImageError::unsupported(format!(
            "VHD dynamic disk header version {:#010x}",
            raw.header_version.get()
        )));
    }
    let layout = layout_of(&raw, found).map_err(damaged)?;
    if !(MIN_BLOCK..=MAX_BLOCK).contains(&layout.block_size) {
        return Err(ImageError::unsupported(format!(
            "VHD with blocks of {} bytes",
            layout.block_size
        )));
    }
    Ok(Header {
        layout,
        parent_id: Uuid::from_bytes(raw.parent_unique_id),
        parent_name: raw.parent_unicode_name,
        locators: raw.parent_locators,
    })
}

fn layout_of(raw: &RawHeader, found: &Found) -> Result<Layout, String> {
    let block_size = u64::from(raw.block_size.get());
    if block_size < SECTOR || !block_size.is_power_of_two() {
        return Err(format!(
            "block size of {block_size} bytes is not a power of two of at least a sector"
        ));
    }
    let largest = found.footer.current_size.get().max(found.footer.size.get());
    let table_offset = raw.table_offset.get();
    let table_entries = u64::from(raw.max_table_entries.get());
    let needed = found.footer.size.get().div_ceil(block_size);
    if table_entries < needed {
        return Err(format!(
            "table of {table_entries} entries is too small for a disk of {needed} blocks"
        ));
    }
    let end = table_offset.checked_add(table_entries * 4);
    if !table_offset.is_multiple_of(SECTOR)
        || table_offset < SECTOR
        || end.is_none_or(|end| end > found.data_limit)
    {
        return Err(format!(
            "table of {table_entries} entries at {table_offset:#x} does not fit in the file of {} \
             bytes or does not begin on a sector",
            found.file_length
        ));
    }
    let header = found.footer.header_offset.get();
    if table_offset < header + HEADER_LEN && end.is_none_or(|end| end > header) {
        return Err(format!("table at {table_offset:#x} overlaps the header"));
    }
    Ok(Layout {
        block_size,
        bitmap_size: bitmap_size(block_size),
        table_offset,
        table_entries,
        block_count: largest.div_ceil(block_size).min(table_entries),
    })
}

/// What the header of a child says of its parent.
pub(crate) struct ParentFields {
    pub(crate) unique_id: Uuid,
    pub(crate) name: [u8; 512],
    pub(crate) locators: [RawLocator; 8],
}

/// A locator that is not used.
pub(crate) const NO_LOCATOR: RawLocator = RawLocator {
    platform_code: [0; 4],
    platform_data_space: zerocopy::big_endian::U32::ZERO,
    platform_data_length: zerocopy::big_endian::U32::ZERO,
    reserved: zerocopy::big_endian::U32::ZERO,
    platform_data_offset: zerocopy::big_endian::U64::ZERO,
};

/// The bytes of the header of a new disk.
pub(crate) fn new_header(
    layout: &Layout,
    parent: Option<ParentFields>,
) -> Result<[u8; 1024], ImageError> {
    let parent = parent.unwrap_or(ParentFields {
        unique_id: Uuid::nil(),
        name: [0; 512],
        locators: [NO_LOCATOR; 8],
    });
    let too_large = |_| ImageError::TooLarge {
        size: ByteCount(layout.block_count.saturating_mul(layout.block_size)),
        limit: ByteCount(super::format::MAX_DISK),
    };
    let mut raw = RawHeader {
        cookie: HEADER_COOKIE,
        data_offset: NO_OFFSET.into(),
        table_offset: layout.table_offset.into(),
        header_version: VERSION.into(),
        max_table_entries: u32::try_from(layout.table_entries)
            .map_err(too_large)?
            .into(),
        block_size: u32::try_from(layout.block_size).map_err(too_large)?.into(),
        checksum: 0.into(),
        parent_unique_id: parent.unique_id.into_bytes(),
        // As Windows leaves it.
        parent_time_stamp: 0.into(),
        reserved1: 0.into(),
        parent_unicode_name: parent.name,
        parent_locators: parent.locators,
        reserved2: [0; 256],
    };
    raw.checksum = checksum(raw.as_bytes(), [0; 4]).into();
    let mut bytes = [0; 1024];
    bytes.copy_from_slice(raw.as_bytes());
    Ok(bytes)
}

/// Where a part of the header's own structures stands, for checks of overlap.
pub(crate) fn reserved_ranges(found: &Found, layout: &Layout) -> [(ByteOffset, ByteOffset); 3] {
    let header = found.footer.header_offset.get();
    [
        (ByteOffset(0), ByteOffset(super::format::FOOTER_LEN)),
        (ByteOffset(header), ByteOffset(header + HEADER_LEN)),
        (
            ByteOffset(layout.table_offset),
            ByteOffset(layout.table_offset + layout.table_entries * 4),
        ),
    ]
}

//! Creating an image: everything is written, then published by the headers.
//!
//! No log is needed: without a header the file is not an image, and the headers are written when
//! all else is durable. The layout is that of Windows: header section, log at 1 MiB, metadata at
//! 2 MiB, block allocation table at 3 MiB, blocks after it.

use blockio::{ByteCount, ByteOffset, ByteRange, MIB, Storage};
use zerocopy::little_endian::U16;
use zerocopy::{FromZeros, IntoBytes};

use super::bat::BatEntry;
use super::format::{
    FILE_SIGNATURE, FileTypeIdentifier, MAX_BLOCK_SIZE, MAX_DISK_SIZE, MIN_BLOCK_SIZE,
    REGION_TABLE_OFFSETS,
};
use super::geometry::{EntryIndex, EntryRole, Geometry};
use super::header::{Header, Slot};
use super::metadata::{self, Metadata};
use super::open::{open_child, open_with};
use super::region::encode_table;
use super::relink::parent_of;
use crate::chain::Chain;
use crate::child::NewChild;
use crate::error::ImageError;
use crate::gate::DenyAll;
use crate::ids::IdSource;
use crate::image::{Access, CreateOptions, ImageDisk, Provisioning};

/// Byte offset of the log.
const LOG_OFFSET: u64 = MIB;
/// Bytes of the log.
const LOG_LENGTH: u64 = MIB;
/// Byte offset of the metadata region.
const METADATA_OFFSET: u64 = 2 * MIB;
/// Byte offset of the block allocation table.
const BAT_OFFSET: u64 = 3 * MIB;
/// Block size of a dynamic disk, as Windows chooses it.
const DYNAMIC_BLOCK_SIZE: u64 = 32 * MIB;
/// Block size of a fixed disk, as Windows chooses it.
const FIXED_BLOCK_SIZE: u64 = 2 * MIB;
/// Block size of a differencing disk, as Windows chooses it.
const CHILD_BLOCK_SIZE: u64 = 2 * MIB;
/// Entries of the table that are written at once.
const ENTRIES_AT_ONCE: u64 = 65536;

/// Creates an image in `storage`, whose bytes are lost, and opens it for writing.
pub(crate) fn create(
    storage: Box<dyn Storage>,
    options: &CreateOptions,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    let metadata = checked_metadata(options)?;
    write_image(&*storage, &metadata, options.ids)?;
    open_with(storage, Access::ReadWrite, options.ids, &DenyAll)
}

/// Creates a child of `parents` in the empty `storage` and opens it for writing.
pub(crate) fn create_child(
    storage: Box<dyn Storage>,
    child: &NewChild<'_>,
    parents: Chain,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    let options = CreateOptions {
        size: child.size,
        provisioning: Provisioning::Dynamic,
        block_size: child
            .options
            .block_size
            .or(Some(ByteCount(CHILD_BLOCK_SIZE))),
        logical_sector: child.logical_sector,
        physical_sector: child.physical_sector,
        ids: child.options.ids,
        unix_time: child.options.unix_time,
    };
    let mut metadata = checked_metadata(&options)?;
    metadata.parent = Some(parent_of(child.linkage, &child.options.names));
    write_image(&*storage, &metadata, options.ids)?;
    let image = open_child(storage, options.ids, parents)?;
    Ok(Box::new(image))
}

/// Writes an image that holds nothing, and publishes it.
fn write_image(
    storage: &dyn Storage,
    metadata: &Metadata,
    ids: IdSource,
) -> Result<(), ImageError> {
    let geometry = Geometry::new(metadata);
    let bat_length = geometry
        .padded_entries()
        .saturating_mul(8)
        .next_multiple_of(MIB);
    let bat = range(BAT_OFFSET, bat_length)?;
    let blocks_at = bat.end().get();
    let payload = match metadata.leave_blocks_allocated {
        false => 0,
        true => geometry.blocks().saturating_mul(geometry.block_size),
    };

    // Everything that is not written below reads zero.
    storage.set_len(ByteCount(0))?;
    storage.set_len(ByteCount(blocks_at.saturating_add(payload)))?;
    write_identifier(storage)?;
    let table = encode_table(bat, range(METADATA_OFFSET, MIB)?)?;
    for offset in REGION_TABLE_OFFSETS {
        storage.write_at(&table, ByteOffset(offset))?;
    }
    storage.write_at(&metadata::encode(metadata)?, ByteOffset(METADATA_OFFSET))?;
    if metadata.leave_blocks_allocated {
        write_full_table(storage, &geometry, blocks_at)?;
    }
    // Before the headers: they make an image of the file, so all that they lead to must be there.
    storage.sync()?;
    write_headers(storage, ids)?;
    // Before the caller is told that there is an image.
    Ok(storage.sync()?)
}

fn range(offset: u64, length: u64) -> Result<ByteRange, ImageError> {
    ByteRange::new(ByteOffset(offset), ByteCount(length))
        .ok_or_else(|| ImageError::invalid_option("size", "the file would be too long"))
}

fn checked_metadata(options: &CreateOptions) -> Result<Metadata, ImageError> {
    let size = options.size.get();
    if size > MAX_DISK_SIZE {
        return Err(ImageError::TooLarge {
            size: options.size,
            limit: ByteCount(MAX_DISK_SIZE),
        });
    }
    let sector = options.logical_sector.bytes();
    if size == 0 || !size.is_multiple_of(sector) {
        let reason = format!("{size} bytes is not a whole number of sectors of {sector}");
        return Err(ImageError::invalid_option("size", reason));
    }
    let block_size = match (options.block_size, options.provisioning) {
        (Some(size), _) => size.get(),
        (None, Provisioning::Dynamic) => DYNAMIC_BLOCK_SIZE,
        (None, Provisioning::Fixed) => FIXED_BLOCK_SIZE,
    };
    if !(MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&block_size) || !block_size.is_power_of_two() {
        let reason = format!("{block_size} bytes is not a power of two from 1 MiB to 256 MiB");
        return Err(ImageError::invalid_option("block size", reason));
    }
    Ok(Metadata {
        block_size,
        leave_blocks_allocated: options.provisioning == Provisioning::Fixed,
        disk_size: size,
        disk_id: options.ids.guid("vhdx disk"),
        logical_sector: options.logical_sector,
        physical_sector: options.physical_sector,
        parent: None,
        has_stray_locator: false,
    })
}

fn write_identifier(storage: &dyn Storage) -> Result<(), ImageError> {
    let mut identifier = FileTypeIdentifier::new_zeroed();
    identifier.signature = FILE_SIGNATURE;
    let creator = concat!("cvol ", env!("CARGO_PKG_VERSION"));
    for (slot, unit) in identifier.creator.iter_mut().zip(creator.encode_utf16()) {
        *slot = U16::new(unit);
    }
    Ok(storage.write_at(identifier.as_bytes(), ByteOffset(0))?)
}

fn write_headers(storage: &dyn Storage, ids: IdSource) -> Result<(), ImageError> {
    let mut header = Header {
        sequence_number: 0,
        file_write_guid: ids.guid("vhdx file write"),
        data_write_guid: ids.guid("vhdx data write"),
        log_guid: None,
        log_offset: LOG_OFFSET,
        log_length: LOG_LENGTH,
    };
    for slot in [Slot::First, Slot::Second] {
        storage.write_at(&header.encode()?, slot.offset())?;
        header.sequence_number += 1;
    }
    Ok(())
}

/// The table of a fixed disk: every block has its place, one after another.
fn write_full_table(
    storage: &dyn Storage,
    geometry: &Geometry,
    blocks_at: u64,
) -> Result<(), ImageError> {
    let entries = geometry.padded_entries();
    let mut first = 0;
    while first < entries {
        let last = first.saturating_add(ENTRIES_AT_ONCE).min(entries);
        let bytes: Vec<u8> = (first..last)
            .flat_map(|entry| {
                match geometry.role(EntryIndex(entry)) {
                    Some(EntryRole::Payload(block)) => {
                        let place = block.0.saturating_mul(geometry.block_size);
                        BatEntry::present(blocks_at.saturating_add(place)).encode()
                    }
                    _ => 0,
                }
                .to_le_bytes()
            })
            .collect();
        storage.write_at(&bytes, ByteOffset(BAT_OFFSET.saturating_add(first * 8)))?;
        first = last;
    }
    Ok(())
}

//! Creating VHDs, laid out as Windows lays them out.
//!
//! ```text
//!  fixed      data ............................................ | footer
//!  dynamic    footer copy | header | table | pad | (bitmap, data)... | footer
//!             0             512      1536
//!  child      footer copy | header | pad | W2ku | table | pad | W2ru | pad | (bitmap, data)... | footer
//!             0             512            4096
//! ```
//! The names of the parent (absolute, relative) stand where Windows puts them, with as much room.
//! The data of every block is aligned to 4 KiB, so the bitmap in front of it (and the footer,
//! where the next bitmap would be) stands 512 bytes before such a boundary.

use blockio::{ByteCount, ByteOffset, Storage, ZeroMode};

use super::footer::NewFooter;
use super::format::{FOOTER_LEN, HEADER_LEN, MAX_DISK, SECTOR, UNALLOCATED};
use super::names::{NamePlace, NewNames};
use super::open::{open, open_child};
use super::sparse::{Layout, ParentFields, new_header};
use crate::bounds::checked_range;
use crate::chain::Chain;
use crate::child::NewChild;
use crate::error::ImageError;
use crate::gate::DenyAll;
use crate::image::{Access, CreateOptions, ImageDisk, Provisioning};
use crate::info::ImageKind;

/// Blocks of 2 MiB, what Windows and everybody else make.
const DEFAULT_BLOCK: u64 = 2 * 1024 * 1024;
/// The other size that Windows offers.
const SMALL_BLOCK: u64 = 512 * 1024;

/// Creates a VHD in the empty `storage` and opens it for reading and writing.
///
/// # Errors
/// `InvalidOption`, `TooLarge`, `NoSpace`, `Io`.
pub(crate) fn create(
    storage: Box<dyn Storage>,
    options: &CreateOptions,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    check_options(options)?;
    if storage.len()?.get() != 0 {
        return Err(ImageError::invalid_option("storage", "it is not empty"));
    }
    let footer = |kind| {
        NewFooter {
            size: options.size,
            kind,
            unique_id: options.ids.guid("vhd unique id"),
            unix_time: options.unix_time,
        }
        .to_bytes()
    };
    match options.provisioning {
        Provisioning::Fixed => {
            write_fixed(&*storage, options.size, &footer(ImageKind::Fixed))?;
        }
        Provisioning::Dynamic => {
            let block_size = options.block_size.map_or(DEFAULT_BLOCK, ByteCount::get);
            let layout = Layout::new(options.size.get(), block_size, FOOTER_LEN + HEADER_LEN);
            let header = new_header(&layout, None)?;
            let footer = footer(ImageKind::Dynamic);
            write_blockless(&*storage, &layout, &header, &footer, &[])?;
        }
    }
    open(storage, Access::ReadWrite, &DenyAll)
}

/// Creates a child of `parents` in the empty `storage` and opens it for reading and writing.
///
/// # Errors
/// `InvalidOption`, `TooLarge`, `NoSpace`, `Io`.
pub(crate) fn create_child(
    storage: Box<dyn Storage>,
    child: &NewChild<'_>,
    parents: Chain,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    let options = child.options;
    let block_size = options.block_size.map_or(DEFAULT_BLOCK, ByteCount::get);
    check_options(&CreateOptions {
        size: child.size,
        provisioning: Provisioning::Dynamic,
        block_size: Some(ByteCount(block_size)),
        logical_sector: child.logical_sector,
        physical_sector: child.physical_sector,
        ids: options.ids,
        unix_time: options.unix_time,
    })?;
    let footer = NewFooter {
        size: child.size,
        kind: ImageKind::Differencing,
        unique_id: options.ids.guid("vhd unique id"),
        unix_time: options.unix_time,
    }
    .to_bytes();
    let names = NewNames::lay_out(&options.names, child.size.get(), block_size)?;
    let header = ParentFields {
        unique_id: child.linkage,
        name: names.names.header_name(),
        locators: names.names.locators(),
    };
    let header = new_header(&names.layout, Some(header))?;
    write_blockless(
        &*storage,
        &names.layout,
        &header,
        &footer,
        names.names.places(),
    )?;
    open_child(storage, parents)
}

fn check_options(options: &CreateOptions) -> Result<(), ImageError> {
    let size = options.size.get();
    options.check_sectors_of_512("a VHD has sectors of 512 bytes")?;
    let too_large = |limit| ImageError::TooLarge {
        size: options.size,
        limit: ByteCount(limit),
    };
    if size > MAX_DISK {
        return Err(too_large(MAX_DISK));
    }
    let block_size = options.block_size.map(ByteCount::get);
    if options.provisioning == Provisioning::Fixed {
        return match block_size {
            None => Ok(()),
            Some(_) => Err(ImageError::invalid_option(
                "block size",
                "a fixed VHD has no blocks",
            )),
        };
    }
    let block_size = block_size.unwrap_or(DEFAULT_BLOCK);
    if ![SMALL_BLOCK, DEFAULT_BLOCK].contains(&block_size) {
        return Err(ImageError::invalid_option(
            "block size",
            "blocks of a VHD are 512 KiB or 2 MiB",
        ));
    }
    // A full disk must still be addressable: table entries are 32-bit sector numbers.
    let layout = Layout::new(size, block_size, FOOTER_LEN + HEADER_LEN);
    let addressable = u64::from(UNALLOCATED) * SECTOR - layout.table_end() - layout.stride();
    let limit = addressable / layout.stride() * block_size;
    if size > limit {
        return Err(too_large(limit));
    }
    Ok(())
}

fn write_fixed(
    storage: &dyn Storage,
    size: ByteCount,
    footer: &[u8; 512],
) -> Result<(), ImageError> {
    storage.set_len(size)?;
    let data = checked_range(blockio::Operation::Zero, ByteOffset(0), size.get(), size)?;
    // Every byte gets its place now, so that no later write can fail for want of space.
    storage.zero(data, ZeroMode::KeepAllocated)?;
    storage.write_at(footer, ByteOffset(size.get()))?;
    // A new image counts once it is whole: everything is durable before anybody hears of it.
    storage.sync()?;
    Ok(())
}

/// Writes a disk without a block; `names` of a parent go where they say.
fn write_blockless(
    storage: &dyn Storage,
    layout: &Layout,
    header: &[u8; 1024],
    footer: &[u8; 512],
    names: &[NamePlace],
) -> Result<(), ImageError> {
    storage.write_at(footer, ByteOffset(0))?;
    storage.write_at(header, ByteOffset(FOOTER_LEN))?;
    let table = [0xff; 64 * 1024];
    let mut at = layout.table_offset;
    while at < layout.table_end() {
        let left = usize::try_from(layout.table_end() - at).unwrap_or(usize::MAX);
        let piece = &table[..left.min(table.len())];
        storage.write_at(piece, ByteOffset(at))?;
        at += crate::bounds::buffer_len(piece);
    }
    let mut end = layout.table_end();
    for name in names {
        storage.write_at(&name.bytes, ByteOffset(name.offset))?;
        end = end.max(name.offset + name.space);
    }
    let end = layout.place_at_or_after(end);
    storage.write_at(footer, ByteOffset(end))?;
    // As for a fixed disk.
    storage.sync()?;
    Ok(())
}

//! Creating VHDs, laid out as Windows lays them out.
//!
//! ```text
//!  fixed      data ............................................ | footer
//!  dynamic    footer copy | header | table | pad | (bitmap, data)... | footer
//!             0             512      1536
//! ```
//! The data of every block is aligned to 4 KiB, so the bitmap in front of it (and the footer,
//! where the next bitmap would be) stands 512 bytes before such a boundary.

use blockio::{ByteCount, ByteOffset, SectorSize, Storage, ZeroMode};

use super::footer::NewFooter;
use super::format::{FOOTER_LEN, HEADER_LEN, MAX_DISK, SECTOR, UNALLOCATED};
use super::open::open;
use super::sparse::{Layout, new_header};
use crate::bounds::checked_range;
use crate::error::ImageError;
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
            write_dynamic(&*storage, &layout, &footer(ImageKind::Dynamic))?;
        }
    }
    open(storage, Access::ReadWrite)
}

fn check_options(options: &CreateOptions) -> Result<(), ImageError> {
    let size = options.size.get();
    if size == 0 || !size.is_multiple_of(SECTOR) {
        return Err(ImageError::invalid_option(
            "size",
            format!("{size} bytes is not a whole number of 512 byte sectors above zero"),
        ));
    }
    if options.logical_sector != SectorSize::B512 {
        return Err(ImageError::invalid_option(
            "logical sector size",
            "a VHD has sectors of 512 bytes",
        ));
    }
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

fn write_dynamic(
    storage: &dyn Storage,
    layout: &Layout,
    footer: &[u8; 512],
) -> Result<(), ImageError> {
    storage.write_at(footer, ByteOffset(0))?;
    storage.write_at(&new_header(layout)?, ByteOffset(FOOTER_LEN))?;
    let table = [0xff; 64 * 1024];
    let mut at = layout.table_offset;
    while at < layout.table_end() {
        let left = usize::try_from(layout.table_end() - at).unwrap_or(usize::MAX);
        let piece = &table[..left.min(table.len())];
        storage.write_at(piece, ByteOffset(at))?;
        at += crate::bounds::buffer_len(piece);
    }
    let end = layout.place_at_or_after(layout.table_end());
    storage.write_at(footer, ByteOffset(end))?;
    // As for a fixed disk.
    storage.sync()?;
    Ok(())
}

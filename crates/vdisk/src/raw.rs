//! Raw images: the bytes of the disk and nothing else.
//!
//! A raw image records nothing, also no sector size; its disk has logical sectors of 512 bytes.

use blockio::{ByteCount, ByteOffset, Operation, SectorSize, Storage, ZeroMode};

use crate::bounds::checked_range;
use crate::error::ImageError;
use crate::flat::FlatDisk;
use crate::image::{Access, CreateOptions, ImageDisk, ImageFormat, Provisioning};
use crate::info::{ImageInfo, ImageKind};
use crate::report::CheckReport;

const SECTOR: u64 = 512;

/// Creates a raw image in the empty `storage`: a length, and for a fixed one the space.
///
/// # Errors
/// `InvalidOption`, `NoSpace`, `Io`.
pub(crate) fn create(
    storage: Box<dyn Storage>,
    options: &CreateOptions,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    let size = options.size.get();
    options.check_sectors_of_512("a raw image does not record it, so it is 512 bytes")?;
    if options.block_size.is_some() {
        return Err(ImageError::invalid_option(
            "block size",
            "a raw image has no blocks",
        ));
    }
    if storage.len()?.get() != 0 {
        return Err(ImageError::invalid_option("storage", "it is not empty"));
    }
    storage.set_len(options.size)?;
    if options.provisioning == Provisioning::Fixed {
        let range = checked_range(Operation::Zero, ByteOffset(0), size, options.size)?;
        storage.zero(range, ZeroMode::KeepAllocated)?;
    }
    // The length is durable before anybody hears of the image.
    storage.sync()?;
    open(storage, Access::ReadWrite)
}

/// Opens a raw image. Where the file is not whole sectors long, the disk is longer by what lacks.
///
/// # Errors
/// `ReadOnly`, `Io`.
pub(crate) fn open(
    storage: Box<dyn Storage>,
    access: Access,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    let info = info(&*storage)?;
    let stored = info.file_length.get();
    Ok(Box::new(FlatDisk::new(storage, access, info, stored)?))
}

/// Facts of a raw image.
///
/// # Errors
/// `TooLarge` where the length is not that of a disk, `Io`.
pub(crate) fn info(storage: &dyn Storage) -> Result<ImageInfo, ImageError> {
    let file_length = storage.len()?;
    let size = file_length
        .get()
        .checked_next_multiple_of(SECTOR)
        .ok_or(ImageError::TooLarge {
            size: file_length,
            limit: ByteCount(u64::MAX / SECTOR * SECTOR),
        })?;
    Ok(ImageInfo {
        format: ImageFormat::Raw,
        kind: ImageKind::Fixed,
        virtual_size: ByteCount(size),
        logical_sector: SectorSize::B512,
        physical_sector: SectorSize::B512,
        block_size: None,
        allocated: file_length,
        file_length,
        ids: Vec::new(),
        creator: String::new(),
        dirty_log: false,
        parent: None,
    })
}

/// Checks a raw image, which has no structure that could be wrong.
///
/// # Errors
/// `Io`.
pub(crate) fn check(storage: &dyn Storage) -> Result<CheckReport, ImageError> {
    let mut report = CheckReport::new(ImageFormat::Raw);
    let len = storage.len()?.get();
    if len == 0 {
        report.error("raw", None, "the file is empty");
    }
    if !len.is_multiple_of(SECTOR) {
        report.note(
            "raw",
            None,
            format!("length of {len} bytes is not a whole number of sectors"),
        );
    }
    Ok(report)
}

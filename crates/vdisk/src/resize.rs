//! What the formats share when a disk gets another size.

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, MIB, Storage};

use crate::bounds::to_index;
use crate::convert::is_zero;
use crate::error::ImageError;
use crate::image::ImageFormat;

/// Bytes read at once where zeros are looked for.
const STEP: u64 = MIB;
/// Sectors of formats that know no other.
pub(crate) const SECTOR: u64 = 512;

/// Refuses a size that is no whole number of sectors.
pub(crate) fn refuse_part_of_sector(size: ByteCount, sector: u64) -> Result<(), ImageError> {
    if size.get() > 0 && size.get().is_multiple_of(sector) {
        return Ok(());
    }
    Err(ImageError::invalid_option(
        "size",
        format!(
            "{} bytes is not a whole number of {sector} byte sectors above zero",
            size.get()
        ),
    ))
}

/// Refuses a size behind which the disk does not read zero.
pub(crate) fn refuse_data_beyond(disk: &dyn Disk, size: u64) -> Result<(), ImageError> {
    let (mut at, end) = (size, disk.size().get());
    let mut buffer = Vec::new();
    while let Some(rest) = ByteRange::between(ByteOffset(at), ByteOffset(end)) {
        if rest.is_empty() {
            break;
        }
        let status = disk.block_status(rest)?;
        let stop = status.range.end().get();
        while !status.kind.reads_zero() && at < stop {
            let step = STEP.min(stop - at);
            buffer.resize(to_index(step).unwrap_or(0), 0);
            disk.read_at(&mut buffer, ByteOffset(at))?;
            if !is_zero(&buffer) {
                return Err(ImageError::invalid_option(
                    "size",
                    format!("data stand beyond {size} bytes, within {step} bytes from {at} on"),
                ));
            }
            at += step;
        }
        at = stop;
    }
    Ok(())
}

/// Makes a file whole again whose growth from `from` bytes of disk a crash cut short, where opening
/// it would not find it whole: a fixed VHD, which has its only footer at its end. All others are
/// whole after any crash, and left alone.
///
/// # Errors
/// `Io`, `NoSpace`.
pub fn undo_growth(
    storage: &dyn Storage,
    format: Option<ImageFormat>,
    from: ByteCount,
) -> Result<(), ImageError> {
    match format {
        None | Some(ImageFormat::Vhd) => crate::vhd::undo_growth_of_fixed(storage, from),
        Some(_) => Ok(()),
    }
}

//! The master boot record of disks without a GUID partition table: its primary partitions.
//!
//! Small disks that Windows initialises get one still. Logical partitions in an extended one are
//! not looked for.

use blockio::{ByteCount, ByteOffset, ByteRange, Disk};
use zerocopy::FromBytes;

use super::format::{MBR_SIGNATURE, MBR_TYPE_PROTECTIVE, Mbr};
use crate::error::MkfsError;

/// Types of entries that hold no file system: none, and extended partitions of three makers.
const WITHOUT_FILE_SYSTEM: [u8; 4] = [0x00, 0x05, 0x0F, 0x85];
/// The only boot indicators ([UEFI] 5.2.1); anything else is no table but code or data.
const BOOT_INDICATORS: [u8; 2] = [0x00, 0x80];

/// The primary partitions of a disk by its master boot record, in the order of its entries; empty
/// where sector 0 is none.
///
/// # Errors
/// `Damaged` where an entry reaches past the disk, `Io`.
pub fn mbr_partitions(disk: &dyn Disk) -> Result<Vec<ByteRange>, MkfsError> {
    let records = records(disk, |os_type| !WITHOUT_FILE_SYSTEM.contains(&os_type))?;
    Ok(records.into_iter().map(|(_, range)| range).collect())
}

/// All entries of a master boot record with their types, also of extended partitions.
///
/// # Errors
/// As for [`mbr_partitions`].
pub(crate) fn mbr_records(disk: &dyn Disk) -> Result<Vec<(u8, ByteRange)>, MkfsError> {
    records(disk, |os_type| os_type != 0)
}

fn records(
    disk: &dyn Disk,
    is_wanted: impl Fn(u8) -> bool,
) -> Result<Vec<(u8, ByteRange)>, MkfsError> {
    let sector_bytes = disk.logical_sector_size().bytes();
    let mut sector = vec![0; usize::try_from(sector_bytes).unwrap_or(0)];
    if disk.size().get() < sector_bytes {
        return Ok(Vec::new());
    }
    disk.read_at(&mut sector, ByteOffset(0))?;
    let Ok((mbr, _)) = Mbr::read_from_prefix(&sector) else {
        return Ok(Vec::new());
    };
    let is_table = mbr.signature == MBR_SIGNATURE
        && mbr.records.iter().all(|record| {
            BOOT_INDICATORS.contains(&record.boot_indicator)
                && record.os_type != MBR_TYPE_PROTECTIVE
        });
    if !is_table {
        return Ok(Vec::new());
    }
    let mut ranges = Vec::new();
    for record in &mbr.records {
        let (start, count) = (record.start_lba.get(), record.sector_count.get());
        if !is_wanted(record.os_type) || count == 0 {
            continue;
        }
        let range = u64::from(start)
            .checked_mul(sector_bytes)
            .zip(u64::from(count).checked_mul(sector_bytes))
            .and_then(|(start, len)| ByteRange::new(ByteOffset(start), ByteCount(len)))
            .filter(|range| start > 0 && range.end().get() <= disk.size().get())
            .ok_or_else(|| MkfsError::Damaged {
                structure: "master boot record",
                offset: ByteOffset(0),
                reason: format!("a partition of {count} sectors at {start} leaves the disk"),
            })?;
        ranges.push((record.os_type, range));
    }
    Ok(ranges)
}

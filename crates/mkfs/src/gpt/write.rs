//! Writing a partition table with one partition.

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, MIB};
use uuid::Uuid;
use zerocopy::little_endian::U16;
use zerocopy::{FromZeros, IntoBytes};

use super::checksum::crc32;
use super::format::{
    ENTRY_COUNT, ENTRY_SIZE, Entry, HEADER_SIZE, Header, MBR_SIGNATURE, MBR_TYPE_PROTECTIVE, Mbr,
    REVISION, SIGNATURE,
};
use super::{ALIGNMENT_BYTES, ENTRY_ARRAY_BYTES, PartitionSpec, array_sectors};
use crate::error::MkfsError;

/// The least disk: a MiB before the partition, one of it, and one for the second copy.
const MINIMUM_BYTES: u64 = 3 * MIB;

/// Where everything lies, in sectors.
struct Layout {
    last_lba: u64,
    array_sectors: u64,
    first_usable: u64,
    last_usable: u64,
    partition: ByteRange,
}

fn layout(disk: &dyn Disk) -> Result<Layout, MkfsError> {
    let size = disk.size();
    let sector = disk.logical_sector_size();
    let too_small = || MkfsError::TooSmall {
        what: "a partition table with a partition",
        needed: ByteCount(MINIMUM_BYTES),
        actual: size,
    };
    if size.get() < MINIMUM_BYTES {
        return Err(too_small());
    }
    let array_sectors = array_sectors(ENTRY_ARRAY_BYTES, sector);
    let last_lba = size.get() / sector.bytes() - 1;
    let first_usable = 2 + array_sectors;
    let last_usable = last_lba - array_sectors - 1;
    let usable_end = (last_usable + 1) * sector.bytes();
    let end = usable_end / ALIGNMENT_BYTES * ALIGNMENT_BYTES;
    let partition = ByteRange::between(ByteOffset(ALIGNMENT_BYTES), ByteOffset(end))
        .filter(|range| !range.is_empty())
        .ok_or_else(too_small)?;
    Ok(Layout {
        last_lba,
        array_sectors,
        first_usable,
        last_usable,
        partition,
    })
}

fn entry(disk: &dyn Disk, layout: &Layout, spec: &PartitionSpec) -> Result<Entry, MkfsError> {
    let sector = disk.logical_sector_size().bytes();
    let mut entry = Entry::new_zeroed();
    entry.partition_type = spec.partition_type.to_bytes_le();
    entry.guid = spec.guid.to_bytes_le();
    entry.first_lba = (layout.partition.start().get() / sector).into();
    entry.last_lba = (layout.partition.end().get() / sector - 1).into();
    let units: Vec<u16> = spec.name.encode_utf16().collect();
    if units.len() > entry.name.len() {
        return Err(MkfsError::InvalidOption {
            option: "partition name",
            reason: format!(
                "{} UTF-16 code units, the limit is {}",
                units.len(),
                entry.name.len()
            ),
        });
    }
    for (place, unit) in entry.name.iter_mut().zip(units) {
        *place = U16::new(unit);
    }
    Ok(entry)
}

fn protective_mbr(layout: &Layout) -> Mbr {
    let mut mbr = Mbr::new_zeroed();
    let record = &mut mbr.records[0];
    record.start_chs = [0x00, 0x02, 0x00];
    record.os_type = MBR_TYPE_PROTECTIVE;
    record.end_chs = [0xFF; 3];
    record.start_lba = 1.into();
    record.sector_count = u32::try_from(layout.last_lba).unwrap_or(u32::MAX).into();
    mbr.signature = MBR_SIGNATURE;
    mbr
}

fn header(layout: &Layout, disk_guid: Uuid, array_crc32: u32) -> Header {
    let mut header = Header::new_zeroed();
    header.signature = SIGNATURE;
    header.revision = REVISION.into();
    header.header_size = HEADER_SIZE.into();
    header.first_usable_lba = layout.first_usable.into();
    header.last_usable_lba = layout.last_usable.into();
    header.disk_guid = disk_guid.to_bytes_le();
    header.entry_count = ENTRY_COUNT.into();
    header.entry_size = ENTRY_SIZE.into();
    header.entry_array_crc32 = array_crc32.into();
    header
}

/// Writes a protective MBR and both copies of a partition table with one partition, which begins
/// at 1 MiB and ends at the last whole MiB before the second copy; returns the partition's bytes.
/// The disk must read as zeros where the table lies.
///
/// # Errors
/// `InvalidOption` where the disk is smaller than 3 MiB or the name is too long, `Io`.
pub fn write(
    disk: &dyn Disk,
    disk_guid: Uuid,
    partition: &PartitionSpec,
) -> Result<ByteRange, MkfsError> {
    let layout = layout(disk)?;
    let entry = entry(disk, &layout, partition)?;
    let rest = vec![0; usize::try_from(ENTRY_ARRAY_BYTES).unwrap_or(0) - size_of::<Entry>()];
    let header = header(&layout, disk_guid, crc32(&[entry.as_bytes(), &rest]));

    let sector = disk.logical_sector_size().bytes();
    let offset = |lba: u64| ByteOffset(lba * sector);
    let copies = [
        (1, layout.last_lba, 2),
        (layout.last_lba, 1, layout.last_lba - layout.array_sectors),
    ];
    disk.write_at(protective_mbr(&layout).as_bytes(), ByteOffset(0))?;
    for (my_lba, alternate_lba, array_lba) in copies {
        let mut header = header;
        header.my_lba = my_lba.into();
        header.alternate_lba = alternate_lba.into();
        header.entry_array_lba = array_lba.into();
        header.header_crc32 = crc32(&[header.as_bytes()]).into();
        // The unused entries are zeros, as the disk is.
        disk.write_at(entry.as_bytes(), offset(array_lba))?;
        disk.write_at(header.as_bytes(), offset(my_lba))?;
    }
    Ok(layout.partition)
}

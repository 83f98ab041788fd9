//! Reading a partition table: every field is checked before it is used.

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, FileDisk, MemoryStorage, SectorSize};
use uuid::Uuid;
use zerocopy::FromBytes;

use super::checksum::crc32;
use super::format::{
    ENTRY_SIZE, Entry, HEADER_SIZE, Header, MBR_SIGNATURE, MBR_TYPE_PROTECTIVE, Mbr, REVISION,
    SIGNATURE,
};
use super::{PartitionEntry, array_sectors};
use crate::error::MkfsError;

/// The largest entry array that is read: 1,024 entries of 512 bytes, say.
const MAX_ARRAY_BYTES: u64 = 512 * 1024;
/// The largest entry that is accepted.
const MAX_ENTRY_BYTES: u32 = 4096;
const TABLE: &str = "partition table";

/// A header that was read from where it says it lies.
struct Place {
    lba: u64,
    offset: ByteOffset,
    last_lba: u64,
    sector: SectorSize,
}

/// The partitions of the disk, in the order of their entries. A damaged first copy of the table is
/// replaced by the second; an empty list is a table without partitions.
///
/// # Errors
/// `NotFound` where the disk has no partition table, `Damaged` where neither copy can be used, `Io`.
pub fn partitions(disk: &dyn Disk) -> Result<Vec<PartitionEntry>, MkfsError> {
    Ok(read(disk)?.partitions)
}

/// What a copy of the table says.
pub(super) struct Table {
    pub(super) header: Header,
    /// The entry array as it stands on the disk.
    pub(super) array: Vec<u8>,
    pub(super) partitions: Vec<PartitionEntry>,
}

/// The bytes of the disk that the table leaves to partitions, and its partitions.
///
/// # Errors
/// As for [`partitions`].
pub(crate) fn usable(disk: &dyn Disk) -> Result<(ByteRange, Vec<PartitionEntry>), MkfsError> {
    let sector = disk.logical_sector_size().bytes();
    let table = read(disk)?;
    let (first, last) = (
        table.header.first_usable_lba.get(),
        table.header.last_usable_lba.get(),
    );
    // Both lie within the disk, and in order.
    let range = ByteRange::between(
        ByteOffset(first.saturating_mul(sector)),
        ByteOffset(last.saturating_add(1).saturating_mul(sector)),
    );
    let range = range.ok_or(MkfsError::NotFound(TABLE))?;
    Ok((range, table.partitions))
}

/// The first copy that can be used.
pub(super) fn read(disk: &dyn Disk) -> Result<Table, MkfsError> {
    let sector = disk.logical_sector_size();
    let sectors = disk.size().get() / sector.bytes();
    // A header, an array and a sector for each copy is the least that can be a table.
    if sectors < 6 {
        return Err(MkfsError::NotFound(TABLE));
    }
    let last_lba = sectors - 1;
    let place = |lba: u64| Place {
        lba,
        offset: ByteOffset(lba * sector.bytes()),
        last_lba,
        sector,
    };
    let first = match read_copy(disk, &place(1)) {
        Ok(table) => return Ok(table),
        Err(MkfsError::Disk(error)) => return Err(error.into()),
        Err(error) => error,
    };
    // The second copy alone proves nothing: a file system may have been laid over an old table.
    if matches!(first, MkfsError::NotFound(_)) && !has_protective_mbr(disk)? {
        return Err(first);
    }
    match read_copy(disk, &place(last_lba)) {
        Err(MkfsError::NotFound(_) | MkfsError::Damaged { .. }) => Err(first),
        other => other,
    }
}

/// Whether sector 0 says that a GUID partition table follows ([UEFI] 5.2.3).
fn has_protective_mbr(disk: &dyn Disk) -> Result<bool, MkfsError> {
    let mut bytes = [0; size_of::<Mbr>()];
    disk.read_at(&mut bytes, ByteOffset(0))?;
    let is_protective = Mbr::read_from_bytes(&bytes).is_ok_and(|mbr| {
        mbr.signature == MBR_SIGNATURE
            && mbr
                .records
                .iter()
                .any(|record| record.os_type == MBR_TYPE_PROTECTIVE)
    });
    Ok(is_protective)
}

fn damaged(place: &Place, reason: impl Into<String>) -> MkfsError {
    MkfsError::Damaged {
        structure: TABLE,
        offset: place.offset,
        reason: reason.into(),
    }
}

fn read_copy(disk: &dyn Disk, place: &Place) -> Result<Table, MkfsError> {
    let mut sector = vec![0; usize::try_from(place.sector.bytes()).unwrap_or(0)];
    disk.read_at(&mut sector, place.offset)?;
    let header = checked_header(&sector, place)?;
    let array = read_array(disk, &header, place)?;
    let entry_size = usize::try_from(header.entry_size.get()).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for bytes in array.chunks_exact(entry_size) {
        let Ok((entry, _)) = Entry::read_from_prefix(bytes) else {
            continue;
        };
        if entry.partition_type != [0; 16] {
            found.push(partition(&entry, &header, place)?);
        }
    }
    refuse_overlaps(&found, place)?;
    Ok(Table {
        header,
        array,
        partitions: found,
    })
}

fn checked_header(sector: &[u8], place: &Place) -> Result<Header, MkfsError> {
    let Ok((header, _)) = Header::read_from_prefix(sector) else {
        return Err(MkfsError::NotFound(TABLE));
    };
    if header.signature != SIGNATURE {
        return Err(MkfsError::NotFound(TABLE));
    }
    let declared = header.header_size.get();
    let bytes = usize::try_from(declared)
        .ok()
        .filter(|_| declared >= HEADER_SIZE)
        .and_then(|len| sector.get(..len))
        .ok_or_else(|| damaged(place, format!("its header says it has {declared} bytes")))?;
    // The checksum is taken with its own field zero.
    let (before, rest) = bytes.split_at(16);
    let after = rest.get(4..).unwrap_or_default();
    if crc32(&[before, &[0; 4], after]) != header.header_crc32.get() {
        return Err(damaged(place, "the checksum of its header is wrong"));
    }
    if header.revision.get() != REVISION {
        return Err(damaged(
            place,
            format!("its revision is {:#x}", header.revision.get()),
        ));
    }
    if header.my_lba.get() != place.lba {
        return Err(damaged(
            place,
            format!("its header says it lies in sector {}", header.my_lba.get()),
        ));
    }
    let (first, last) = (header.first_usable_lba.get(), header.last_usable_lba.get());
    // Equal to one less is a table without room for a partition.
    if first < 3 || last >= place.last_lba || first > last.saturating_add(1) {
        return Err(damaged(
            place,
            format!("its usable sectors {first} to {last} lie outside the disk"),
        ));
    }
    Ok(header)
}

fn read_array(disk: &dyn Disk, header: &Header, place: &Place) -> Result<Vec<u8>, MkfsError> {
    let entry_size = header.entry_size.get();
    if !(ENTRY_SIZE..=MAX_ENTRY_BYTES).contains(&entry_size) || !entry_size.is_power_of_two() {
        return Err(damaged(
            place,
            format!("its entries have {entry_size} bytes"),
        ));
    }
    let count = header.entry_count.get();
    let len = u64::from(count) * u64::from(entry_size);
    if len > MAX_ARRAY_BYTES {
        return Err(damaged(place, format!("it has {count} entries")));
    }
    let first = header.entry_array_lba.get();
    let sectors = array_sectors(len, place.sector);
    let end = first.checked_add(sectors);
    let before_partitions = first >= 2 && end.is_some_and(|e| e <= header.first_usable_lba.get());
    let after_partitions =
        first > header.last_usable_lba.get() && end.is_some_and(|e| e <= place.last_lba);
    if !before_partitions && !after_partitions {
        return Err(damaged(
            place,
            format!("its entries in sector {first} lie among the partitions or outside the disk"),
        ));
    }
    let mut array = vec![0; usize::try_from(len).unwrap_or(0)];
    disk.read_at(&mut array, ByteOffset(first * place.sector.bytes()))?;
    if crc32(&[&array]) != header.entry_array_crc32.get() {
        return Err(damaged(place, "the checksum of its entries is wrong"));
    }
    Ok(array)
}

fn partition(entry: &Entry, header: &Header, place: &Place) -> Result<PartitionEntry, MkfsError> {
    let (first, last) = (entry.first_lba.get(), entry.last_lba.get());
    let usable = header.first_usable_lba.get()..=header.last_usable_lba.get();
    let range = (first <= last && usable.contains(&first) && usable.contains(&last))
        .then(|| (last - first + 1).checked_mul(place.sector.bytes()))
        .flatten()
        .and_then(|len| {
            let start = first.checked_mul(place.sector.bytes())?;
            ByteRange::new(ByteOffset(start), ByteCount(len))
        })
        .ok_or_else(|| {
            damaged(
                place,
                format!("a partition's sectors {first} to {last} are not usable ones"),
            )
        })?;
    let units: Vec<u16> = entry
        .name
        .iter()
        .map(|unit| unit.get())
        .take_while(|unit| *unit != 0)
        .collect();
    Ok(PartitionEntry {
        range,
        partition_type: Uuid::from_bytes_le(entry.partition_type),
        guid: Uuid::from_bytes_le(entry.guid),
        name: String::from_utf16_lossy(&units),
        attributes: entry.attributes.get(),
    })
}

fn refuse_overlaps(partitions: &[PartitionEntry], place: &Place) -> Result<(), MkfsError> {
    let mut ranges: Vec<ByteRange> = partitions.iter().map(|entry| entry.range).collect();
    ranges.sort_unstable_by_key(|range| range.start());
    if ranges
        .windows(2)
        .any(|pair| pair[0].end() > pair[1].start())
    {
        return Err(damaged(place, "two partitions overlap"));
    }
    Ok(())
}

/// Body of the fuzz target of [`partitions`] and [`super::mbr_partitions`]: `data` is a disk, read with both sector sizes; with
/// checksums put right as well, so that what stands behind them is reached.
///
/// Work is bounded by the length of `data`.
pub fn fuzz_gpt(data: &[u8]) {
    for sector in [SectorSize::B512, SectorSize::B4096] {
        let size = usize::try_from(sector.bytes()).unwrap_or(512);
        let mut bytes = data.to_vec();
        bytes.truncate(bytes.len() / size * size);
        read_as_disk(bytes.clone(), sector);
        put_checksums_right(&mut bytes, size);
        read_as_disk(bytes, sector);
    }
}

fn read_as_disk(bytes: Vec<u8>, sector: SectorSize) {
    let storage = Box::new(MemoryStorage::from_bytes(bytes));
    let Ok(disk) = FileDisk::new(storage, sector) else {
        return;
    };
    // Only that it returns is asked for.
    drop(partitions(&disk));
    drop(super::mbr_partitions(&disk));
}

fn put_checksums_right(bytes: &mut [u8], sector: usize) {
    let Some(header_bytes) = bytes.get(sector..sector + size_of::<Header>()) else {
        return;
    };
    let Ok(mut header) = Header::read_from_bytes(header_bytes) else {
        return;
    };
    header.signature = SIGNATURE;
    header.revision = REVISION.into();
    header.header_size = HEADER_SIZE.into();
    header.my_lba = 1.into();
    header.header_crc32 = 0.into();
    let array = usize::try_from(header.entry_array_lba.get())
        .ok()
        .and_then(|lba| lba.checked_mul(sector))
        .zip(
            usize::try_from(
                u64::from(header.entry_count.get()) * u64::from(header.entry_size.get()),
            )
            .ok(),
        )
        .and_then(|(start, len)| bytes.get(start..start.checked_add(len)?));
    if let Some(array) = array {
        header.entry_array_crc32 = crc32(&[array]).into();
    }
    header.header_crc32 = crc32(&[zerocopy::IntoBytes::as_bytes(&header)]).into();
    if let Some(place) = bytes.get_mut(sector..sector + size_of::<Header>()) {
        place.copy_from_slice(zerocopy::IntoBytes::as_bytes(&header));
    }
}

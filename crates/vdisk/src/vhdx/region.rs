//! The region table: where the block allocation table and the metadata stand.
//!
//! Invariant: the regions of a decoded table, the header section and the log share no byte and lie
//! within the file.

use blockio::{ByteCount, ByteOffset, ByteRange, MIB, Storage};
use uuid::Uuid;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::format::{
    BAT_REGION, HEADER_SECTION, MAX_TABLE_ENTRIES, METADATA_REGION, REGION_SIGNATURE,
    REGION_TABLE_OFFSETS, RawRegionEntry, RegionTableHeader, TABLE_SIZE, checksum, index,
};
use super::header::Header;
use crate::error::ImageError;

const RULE: &str = "MS-VHDX 2.2.3";

/// Where the regions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Regions {
    pub(super) bat: ByteRange,
    pub(super) metadata: ByteRange,
    /// The log; empty where the header names none.
    pub(super) log: ByteRange,
    /// All regions, also unknown ones that are not required.
    pub(super) all: Vec<(Uuid, ByteRange)>,
}

/// Reads the first region table that is whole, and checks every region against the file.
pub(super) fn read_regions(storage: &dyn Storage, header: &Header) -> Result<Regions, ImageError> {
    let entries = match read_table(storage, REGION_TABLE_OFFSETS[0]) {
        Ok(entries) => entries,
        // The second table is there for the case that the first one is damaged.
        Err(first @ ImageError::Damaged { .. }) => {
            read_table(storage, REGION_TABLE_OFFSETS[1]).map_err(|_| first)?
        }
        Err(error) => return Err(error),
    };
    place_regions(&entries, header, storage.len()?.get())
}

/// One entry of a region table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RegionEntry {
    guid: Uuid,
    offset: u64,
    length: u64,
    required: bool,
}

/// Reads the table at `offset`.
pub(super) fn read_table(
    storage: &dyn Storage,
    offset: u64,
) -> Result<Vec<RegionEntry>, ImageError> {
    let at = ByteOffset(offset);
    let damaged = |message: String| ImageError::damaged_at(RULE, at, message);
    let mut bytes = vec![0; index(TABLE_SIZE)];
    storage.read_at(&mut bytes, at)?;
    let (raw, rest) = RegionTableHeader::ref_from_prefix(&bytes)
        .map_err(|_| damaged("region table is too short".to_owned()))?;
    if raw.signature != REGION_SIGNATURE {
        return Err(damaged("region table has no signature".to_owned()));
    }
    if raw.checksum.get() != checksum(&bytes) {
        return Err(damaged("checksum of the region table is wrong".to_owned()));
    }
    let count = u64::from(raw.entry_count.get());
    if count > MAX_TABLE_ENTRIES {
        return Err(damaged(format!("region table of {count} entries")));
    }
    rest.chunks_exact(size_of::<RawRegionEntry>())
        .take(index(count))
        .map(|bytes| {
            let raw = RawRegionEntry::ref_from_bytes(bytes)
                .map_err(|_| damaged("region table is too short".to_owned()))?;
            Ok(RegionEntry {
                guid: raw.guid.into(),
                offset: raw.file_offset.get(),
                length: u64::from(raw.length.get()),
                required: raw.required.get() & 1 != 0,
            })
        })
        .collect()
}

impl RegionEntry {
    /// Whether it is the region with this identifier.
    pub(super) fn is(&self, guid: Uuid) -> bool {
        self.guid == guid
    }

    /// Where the region is, in the file or not; `None` where that is nowhere.
    pub(super) fn range(&self) -> Option<ByteRange> {
        ByteRange::new(ByteOffset(self.offset), ByteCount(self.length))
    }
}

/// Checks the regions of a table against the header and the file.
pub(super) fn place_regions(
    entries: &[RegionEntry],
    header: &Header,
    file_length: u64,
) -> Result<Regions, ImageError> {
    let damaged = |message: String| ImageError::damaged("MS-VHDX 2.2.3.2", message);
    let log = ByteRange::new(ByteOffset(header.log_offset), ByteCount(header.log_length))
        .filter(|log| log.end().get() <= file_length)
        .ok_or_else(|| {
            let message = format!(
                "log at {:#x}+{:#x} lies outside the file",
                header.log_offset, header.log_length
            );
            ImageError::damaged("MS-VHDX 2.2.2", message)
        })?;
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries {
        if entry.required && entry.guid != BAT_REGION && entry.guid != METADATA_REGION {
            let feature = format!("required region {}", entry.guid);
            return Err(ImageError::unsupported(feature));
        }
        let range = ByteRange::new(ByteOffset(entry.offset), ByteCount(entry.length))
            .filter(|range| {
                entry.offset >= HEADER_SECTION
                    && entry.offset.is_multiple_of(MIB)
                    && entry.length.is_multiple_of(MIB)
                    && !range.is_empty()
                    && range.end().get() <= file_length
            })
            .ok_or_else(|| {
                damaged(format!(
                    "region {} at {:#x}+{:#x} is out of place in a file of {file_length} bytes",
                    entry.guid, entry.offset, entry.length
                ))
            })?;
        all.push((entry.guid, range));
    }
    refuse_overlaps(&all, log)?;
    let find = |guid, name| {
        let mut found = all.iter().filter(|(id, _)| *id == guid);
        match (found.next(), found.next()) {
            (Some((_, range)), None) => Ok(*range),
            (None, _) => Err(damaged(format!("region table names no {name} region"))),
            (Some(_), Some(_)) => Err(damaged(format!("region table names two {name} regions"))),
        }
    };
    Ok(Regions {
        bat: find(BAT_REGION, "block allocation table")?,
        metadata: find(METADATA_REGION, "metadata")?,
        log,
        all,
    })
}

fn refuse_overlaps(regions: &[(Uuid, ByteRange)], log: ByteRange) -> Result<(), ImageError> {
    let mut ranges: Vec<ByteRange> = regions.iter().map(|(_, range)| *range).collect();
    ranges.extend((!log.is_empty()).then_some(log));
    ranges.sort_by_key(|range| range.start());
    for pair in ranges.windows(2) {
        if pair[0].end() > pair[1].start() {
            let message = format!("{} and {} overlap", pair[0], pair[1]);
            return Err(ImageError::damaged_at(RULE, pair[1].start(), message));
        }
    }
    Ok(())
}

/// The 64 KiB of a table that is as the one that counts, but has the block allocation table elsewhere.
pub(super) fn moved_bat(storage: &dyn Storage, bat: ByteRange) -> Result<Vec<u8>, ImageError> {
    // The first table that is whole, as for reading.
    let offset = match read_table(storage, REGION_TABLE_OFFSETS[0]) {
        Err(ImageError::Damaged { .. }) => REGION_TABLE_OFFSETS[1],
        _ => REGION_TABLE_OFFSETS[0],
    };
    read_table(storage, offset)?;
    let mut bytes = vec![0; index(TABLE_SIZE)];
    storage.read_at(&mut bytes, ByteOffset(offset))?;
    let length = u32::try_from(bat.len().get())
        .map_err(|_| ImageError::damaged(RULE, "region of more than 4 GiB"))?;
    let mut slots = bytes[size_of::<RegionTableHeader>()..]
        .chunks_exact_mut(size_of::<RawRegionEntry>())
        .take(index(MAX_TABLE_ENTRIES));
    let found = slots.find_map(|slot| {
        let entry = RawRegionEntry::mut_from_bytes(slot).ok()?;
        (Uuid::from(entry.guid) == BAT_REGION).then_some(entry)
    });
    let Some(entry) = found else {
        return Err(ImageError::damaged(RULE, "region table names no table"));
    };
    entry.file_offset.set(bat.start().get());
    entry.length.set(length);
    let sum = checksum(&bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// The 64 KiB of a table of the two regions that every image has.
pub(super) fn encode_table(bat: ByteRange, metadata: ByteRange) -> Result<Vec<u8>, ImageError> {
    let mut bytes = vec![0; index(TABLE_SIZE)];
    let mut header = RegionTableHeader::new_zeroed();
    header.signature = REGION_SIGNATURE;
    header.entry_count.set(2);
    bytes[..size_of::<RegionTableHeader>()].copy_from_slice(header.as_bytes());
    let entries =
        bytes[size_of::<RegionTableHeader>()..].chunks_exact_mut(size_of::<RawRegionEntry>());
    for (slot, (guid, range)) in entries.zip([(BAT_REGION, bat), (METADATA_REGION, metadata)]) {
        let mut entry = RawRegionEntry::new_zeroed();
        entry.guid = guid.into();
        entry.file_offset.set(range.start().get());
        let length = u32::try_from(range.len().get())
            .map_err(|_| ImageError::damaged(RULE, "region of more than 4 GiB"))?;
        entry.length.set(length);
        entry.required.set(1);
        slot.copy_from_slice(entry.as_bytes());
    }
    let sum = checksum(&bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

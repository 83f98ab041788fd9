//! The metadata region: block size, disk size, sector sizes, identity, parent.
//!
//! Invariant: a decoded [`Metadata`] has values that the rest of the engine can compute with
//! without a check: powers of two in their bounds, a size that is a whole number of sectors.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use blockio::{ByteCount, ByteOffset, ByteRange, SectorSize, Storage};
use uuid::Uuid;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::commit::LoggedPage;
use super::format::{
    FILE_PARAMETERS, FileParameters, HAS_PARENT, ITEM_IS_REQUIRED, ITEM_IS_USER,
    ITEM_IS_VIRTUAL_DISK, LEAVE_BLOCKS_ALLOCATED, LOGICAL_SECTOR_SIZE, MAX_BLOCK_SIZE,
    MAX_DISK_SIZE, MAX_METADATA_ITEM, MAX_TABLE_ENTRIES, METADATA_SIGNATURE, MIN_BLOCK_SIZE,
    MetadataTableHeader, PAGE, PAGE_SIZE, PARENT_LOCATOR, PHYSICAL_SECTOR_SIZE, RawMetadataEntry,
    TABLE_SIZE, VIRTUAL_DISK_ID, VIRTUAL_DISK_SIZE, index, wide,
};
use super::locator::{self};
use crate::error::ImageError;
use crate::info::ParentInfo;

/// What the metadata say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) block_size: u64,
    pub(super) leave_blocks_allocated: bool,
    pub(super) disk_size: u64,
    pub(super) disk_id: Uuid,
    pub(super) logical_sector: SectorSize,
    pub(super) physical_sector: SectorSize,
    /// What a differencing image says of its parent.
    pub(super) parent: Option<ParentInfo>,
    /// An image that says that it has no parent names one all the same.
    pub(super) has_stray_locator: bool,
}

/// One entry of the metadata table.
struct Item {
    id: Uuid,
    flags: u32,
    range: ByteRange,
}

const KNOWN: [Uuid; 6] = [
    FILE_PARAMETERS,
    VIRTUAL_DISK_SIZE,
    VIRTUAL_DISK_ID,
    LOGICAL_SECTOR_SIZE,
    PHYSICAL_SECTOR_SIZE,
    PARENT_LOCATOR,
];

/// Reads and checks the metadata in `region`, which lies within the storage.
pub(super) fn read_metadata(
    storage: &dyn Storage,
    region: ByteRange,
) -> Result<Metadata, ImageError> {
    read_metadata_by(storage, region, locator::decode)
}

/// As [`read_metadata`], but for what the image says of its parent: of a child it is known that it
/// has one, and no more.
pub(super) fn read_metadata_without_parent(
    storage: &dyn Storage,
    region: ByteRange,
) -> Result<Metadata, ImageError> {
    read_metadata_by(storage, region, |_, _| Ok(ParentInfo::default()))
}

fn read_metadata_by(
    storage: &dyn Storage,
    region: ByteRange,
    decode_parent: impl Fn(&[u8], ByteOffset) -> Result<ParentInfo, ImageError>,
) -> Result<Metadata, ImageError> {
    let items = read_items(storage, region)?;
    let read = |id: Uuid, name: &str| {
        let item = items
            .iter()
            .find(|item| item.id == id && item.flags & ITEM_IS_USER == 0)
            .ok_or_else(|| {
                let message = format!("metadata have no {name}");
                ImageError::damaged_at("MS-VHDX 2.6.2", region.start(), message)
            })?;
        let mut bytes = vec![0; index(item.range.len().get())];
        storage.read_at(&mut bytes, item.range.start())?;
        Ok::<_, ImageError>((item.range.start(), bytes))
    };
    let (block_size, flags) = decode_parameters(&read(FILE_PARAMETERS, "file parameters")?)?;
    let size = read(VIRTUAL_DISK_SIZE, "virtual disk size")?;
    let disk_id = read(VIRTUAL_DISK_ID, "virtual disk identifier")?;
    let logical_sector = decode_sector(
        "MS-VHDX 2.6.2.4",
        &read(LOGICAL_SECTOR_SIZE, "logical sector size")?,
    )?;
    let physical_sector = decode_sector(
        "MS-VHDX 2.6.2.5",
        &read(PHYSICAL_SECTOR_SIZE, "physical sector size")?,
    )?;
    let parent = match flags & HAS_PARENT {
        0 => None,
        _ => {
            let (at, bytes) = read(PARENT_LOCATOR, "parent locator")?;
            Some(decode_parent(&bytes, at)?)
        }
    };
    let has_locator = items.iter().any(|item| item.id == PARENT_LOCATOR);
    Ok(Metadata {
        has_stray_locator: has_locator && parent.is_none(),
        block_size,
        leave_blocks_allocated: flags & LEAVE_BLOCKS_ALLOCATED != 0,
        disk_size: decode_size(&size, logical_sector)?,
        disk_id: Uuid::from_bytes_le(fixed("MS-VHDX 2.6.2.3", &disk_id)?),
        logical_sector,
        physical_sector,
        parent,
    })
}

/// Where the size of the disk stands in the file.
pub(super) fn size_place(
    storage: &dyn Storage,
    region: ByteRange,
) -> Result<ByteOffset, ImageError> {
    let items = read_items(storage, region)?;
    let mut sizes = items.iter().filter(|item| {
        item.id == VIRTUAL_DISK_SIZE
            && item.flags & ITEM_IS_USER == 0
            && item.range.len().get() >= 8
    });
    let place = sizes.next().map(|item| item.range.start());
    place.ok_or_else(|| {
        let message = "metadata have no virtual disk size";
        ImageError::damaged_at("MS-VHDX 2.6.2", region.start(), message)
    })
}

fn read_items(storage: &dyn Storage, region: ByteRange) -> Result<Vec<Item>, ImageError> {
    let at = region.start();
    let damaged = |message: String| ImageError::damaged_at("MS-VHDX 2.6.1", at, message);
    if region.len().get() < TABLE_SIZE {
        return Err(damaged("metadata region is too short".to_owned()));
    }
    let mut bytes = vec![0; index(TABLE_SIZE)];
    storage.read_at(&mut bytes, at)?;
    let (header, rest) = MetadataTableHeader::ref_from_prefix(&bytes)
        .map_err(|_| damaged("metadata table is too short".to_owned()))?;
    if header.signature != METADATA_SIGNATURE {
        return Err(damaged("metadata table has no signature".to_owned()));
    }
    let count = u64::from(header.entry_count.get());
    if count > MAX_TABLE_ENTRIES {
        return Err(damaged(format!("metadata table of {count} entries")));
    }
    let mut items: Vec<Item> = Vec::new();
    for bytes in rest
        .chunks_exact(size_of::<RawMetadataEntry>())
        .take(index(count))
    {
        let raw = RawMetadataEntry::ref_from_bytes(bytes)
            .map_err(|_| damaged("metadata table is too short".to_owned()))?;
        items.push(decode_item(raw, region)?);
    }
    refuse_doubles(&items, at)?;
    Ok(items)
}

fn decode_item(raw: &RawMetadataEntry, region: ByteRange) -> Result<Item, ImageError> {
    let (id, flags) = (Uuid::from(raw.item_id), raw.flags.get());
    let (offset, length) = (u64::from(raw.offset.get()), u64::from(raw.length.get()));
    let known = KNOWN.contains(&id) && flags & ITEM_IS_USER == 0;
    if flags & ITEM_IS_REQUIRED != 0 && !known {
        return Err(ImageError::unsupported(format!(
            "required metadata item {id}"
        )));
    }
    // An item without bytes has the offset zero.
    let in_table = offset < TABLE_SIZE && length > 0;
    let range = region
        .start()
        .checked_add(ByteCount(offset))
        .and_then(|start| ByteRange::new(start, ByteCount(length)))
        .filter(|range| !in_table && length <= MAX_METADATA_ITEM && range.end() <= region.end())
        .ok_or_else(|| {
            let message = format!("metadata item {id} at {offset:#x}+{length:#x} is out of place");
            ImageError::damaged_at("MS-VHDX 2.6.1.2", region.start(), message)
        })?;
    Ok(Item { id, flags, range })
}

fn refuse_doubles(items: &[Item], at: ByteOffset) -> Result<(), ImageError> {
    let mut ids: Vec<_> = items
        .iter()
        .map(|item| (item.id, item.flags & ITEM_IS_USER))
        .collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        let message = "metadata item stands in the table twice";
        return Err(ImageError::damaged_at("MS-VHDX 2.6.1.2", at, message));
    }
    let mut ranges: Vec<ByteRange> = items.iter().map(|item| item.range).collect();
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start());
    for pair in ranges.windows(2) {
        if pair[0].end() > pair[1].start() {
            let message = format!("metadata items {} and {} overlap", pair[0], pair[1]);
            return Err(ImageError::damaged_at("MS-VHDX 2.6.1.2", at, message));
        }
    }
    Ok(())
}

/// The first `N` bytes of an item.
fn fixed<const N: usize>(
    rule: &'static str,
    (at, bytes): &(ByteOffset, Vec<u8>),
) -> Result<[u8; N], ImageError> {
    bytes.first_chunk::<N>().copied().ok_or_else(|| {
        let message = format!("metadata item of {} bytes is too short", bytes.len());
        ImageError::damaged_at(rule, *at, message)
    })
}

fn decode_parameters(item: &(ByteOffset, Vec<u8>)) -> Result<(u64, u32), ImageError> {
    const RULE: &str = "MS-VHDX 2.6.2.1";
    let bytes: [u8; size_of::<FileParameters>()] = fixed(RULE, item)?;
    let raw = FileParameters::ref_from_bytes(&bytes)
        .map_err(|_| ImageError::damaged_at(RULE, item.0, "file parameters are too short"))?;
    let block_size = u64::from(raw.block_size.get());
    if !(MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&block_size) || !block_size.is_power_of_two() {
        let message = format!("block size of {block_size} bytes");
        return Err(ImageError::damaged_at(RULE, item.0, message));
    }
    Ok((block_size, raw.flags.get()))
}

fn decode_sector(
    rule: &'static str,
    item: &(ByteOffset, Vec<u8>),
) -> Result<SectorSize, ImageError> {
    let bytes = u64::from(u32::from_le_bytes(fixed(rule, item)?));
    SectorSize::from_bytes(bytes).ok_or_else(|| {
        ImageError::damaged_at(rule, item.0, format!("sector size of {bytes} bytes"))
    })
}

fn decode_size(item: &(ByteOffset, Vec<u8>), sector: SectorSize) -> Result<u64, ImageError> {
    const RULE: &str = "MS-VHDX 2.6.2.2";
    let size = u64::from_le_bytes(fixed(RULE, item)?);
    if size == 0 || size > MAX_DISK_SIZE || !size.is_multiple_of(sector.bytes()) {
        let message = format!("virtual disk of {size} bytes");
        return Err(ImageError::damaged_at(RULE, item.0, message));
    }
    Ok(size)
}

/// The table and the items of an image, from the start of the metadata region.
pub(super) fn encode(metadata: &Metadata) -> Result<Vec<u8>, ImageError> {
    let mut parameters = FileParameters::new_zeroed();
    let block_size = u32::try_from(metadata.block_size)
        .map_err(|_| ImageError::invalid_option("block size", "more than 32 bits"))?;
    parameters.block_size.set(block_size);
    let allocated = match metadata.leave_blocks_allocated {
        true => LEAVE_BLOCKS_ALLOCATED,
        false => 0,
    };
    let locator = metadata.parent.as_ref().map(locator::encode).transpose()?;
    let child = if locator.is_some() { HAS_PARENT } else { 0 };
    parameters.flags.set(allocated | child);
    let sector = |size: SectorSize| match size {
        SectorSize::B512 => 512_u32.to_le_bytes(),
        SectorSize::B4096 => 4096_u32.to_le_bytes(),
    };
    let size = metadata.disk_size.to_le_bytes();
    let (logical, physical) = (
        sector(metadata.logical_sector),
        sector(metadata.physical_sector),
    );
    let disk_id = metadata.disk_id.to_bytes_le();
    let of_disk = ITEM_IS_REQUIRED | ITEM_IS_VIRTUAL_DISK;
    let items: [(Uuid, u32, Option<&[u8]>); 6] = [
        (
            FILE_PARAMETERS,
            ITEM_IS_REQUIRED,
            Some(parameters.as_bytes()),
        ),
        (VIRTUAL_DISK_SIZE, of_disk, Some(&size)),
        (VIRTUAL_DISK_ID, of_disk, Some(&disk_id)),
        (LOGICAL_SECTOR_SIZE, of_disk, Some(&logical)),
        (PHYSICAL_SECTOR_SIZE, of_disk, Some(&physical)),
        (PARENT_LOCATOR, ITEM_IS_REQUIRED, locator.as_deref()),
    ];
    let mut header = MetadataTableHeader::new_zeroed();
    header.signature = METADATA_SIGNATURE;
    header
        .entry_count
        .set(if locator.is_some() { 6 } else { 5 });
    let mut bytes = header.as_bytes().to_vec();
    let mut data = Vec::new();
    for (id, flags, value) in items {
        let Some(value) = value else {
            continue;
        };
        let too_long = |_| ImageError::damaged("MS-VHDX 2.6.1.2", "metadata item is too long");
        let mut entry = RawMetadataEntry::new_zeroed();
        entry.item_id = id.into();
        let offset = TABLE_SIZE.saturating_add(wide(data.len()));
        entry.offset.set(u32::try_from(offset).map_err(too_long)?);
        entry
            .length
            .set(u32::try_from(value.len()).map_err(too_long)?);
        entry.flags.set(flags);
        bytes.extend_from_slice(entry.as_bytes());
        data.extend_from_slice(value);
    }
    bytes.resize(index(TABLE_SIZE), 0);
    bytes.extend_from_slice(&data);
    Ok(bytes)
}

/// Pages of the metadata that a change touches.
struct Patch<'a> {
    storage: &'a dyn Storage,
    pages: BTreeMap<u64, Box<[u8; PAGE_SIZE]>>,
}

impl Patch<'_> {
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), ImageError> {
        let mut at = at;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = index(at % PAGE);
            let page_at = at - at % PAGE;
            let page = match self.pages.entry(page_at) {
                Entry::Occupied(page) => page.into_mut(),
                Entry::Vacant(vacant) => {
                    let mut page = Box::new([0; PAGE_SIZE]);
                    self.storage.read_at(&mut page[..], ByteOffset(page_at))?;
                    vacant.insert(page)
                }
            };
            let (part, after) = rest.split_at(rest.len().min(PAGE_SIZE - within));
            page[within..within + part.len()].copy_from_slice(part);
            at = at.saturating_add(wide(part.len()));
            rest = after;
        }
        Ok(())
    }
}

/// The pages of the metadata in `region` that change where the image gets another parent, or none.
/// The image has one.
///
/// # Errors
/// `InvalidOption` where the names do not fit, `Damaged`, `Io`.
pub(super) fn with_parent(
    storage: &dyn Storage,
    region: ByteRange,
    parent: Option<&ParentInfo>,
) -> Result<Vec<LoggedPage>, ImageError> {
    let items = read_items(storage, region)?;
    let position = |wanted: Uuid| {
        let found = items
            .iter()
            .position(|item| item.id == wanted && item.flags & ITEM_IS_USER == 0);
        found.ok_or_else(|| {
            let message = format!("metadata have no item {wanted}");
            ImageError::damaged_at("MS-VHDX 2.6.2", region.start(), message)
        })
    };
    let locator = position(PARENT_LOCATOR)?;
    let mut patch = Patch {
        storage,
        pages: BTreeMap::new(),
    };
    let start = region.start().get();
    match parent {
        Some(parent) => {
            let bytes = locator::encode(parent)?;
            let offset = locator_place(&items, locator, region, wide(bytes.len()))?;
            patch.write(start.saturating_add(offset), &bytes)?;
            let entry = raw_entry(&items[locator], offset, wide(bytes.len()))?;
            patch.write(entry_at(start, locator), entry.as_bytes())?;
        }
        None => {
            clear_parent_flag(&mut patch, &items[position(FILE_PARAMETERS)?])?;
            // The entries behind it move up, and the last place becomes zeros.
            for (number, item) in items.iter().enumerate().skip(locator + 1) {
                let offset = match item.range.is_empty() {
                    true => 0,
                    false => item.range.start().get().saturating_sub(start),
                };
                let entry = raw_entry(item, offset, item.range.len().get())?;
                patch.write(entry_at(start, number - 1), entry.as_bytes())?;
            }
            let none = RawMetadataEntry::new_zeroed();
            patch.write(entry_at(start, items.len() - 1), none.as_bytes())?;
            let mut header = MetadataTableHeader::new_zeroed();
            header.signature = METADATA_SIGNATURE;
            let count = u16::try_from(items.len() - 1).unwrap_or(0);
            header.entry_count.set(count);
            patch.write(start, header.as_bytes())?;
        }
    }
    Ok(patch.pages.into_iter().collect())
}

/// Where an entry of the table stands in the file.
fn entry_at(start: u64, number: usize) -> u64 {
    let before = number.saturating_mul(size_of::<RawMetadataEntry>());
    start.saturating_add(wide(
        size_of::<MetadataTableHeader>().saturating_add(before),
    ))
}

fn raw_entry(item: &Item, offset: u64, length: u64) -> Result<RawMetadataEntry, ImageError> {
    let field = |value: u64| {
        u32::try_from(value)
            .map_err(|_| ImageError::damaged("MS-VHDX 2.6.1.2", "metadata item is too long"))
    };
    let mut entry = RawMetadataEntry::new_zeroed();
    entry.item_id = item.id.into();
    entry.offset.set(field(offset)?);
    entry.length.set(field(length)?);
    entry.flags.set(item.flags);
    Ok(entry)
}

/// Where in the region a locator of `length` bytes goes: where the old one is, if it fits, else
/// behind all items.
fn locator_place(
    items: &[Item],
    locator: usize,
    region: ByteRange,
    length: u64,
) -> Result<u64, ImageError> {
    let start = region.start().get();
    let old = items[locator].range;
    if length <= old.len().get() {
        return Ok(old.start().get().saturating_sub(start));
    }
    let end = items.iter().map(|item| item.range.end().get()).max();
    let at = end
        .map_or(0, |end| end.saturating_sub(start))
        .max(TABLE_SIZE)
        .next_multiple_of(8);
    let fits = length <= MAX_METADATA_ITEM
        && at
            .checked_add(length)
            .is_some_and(|end| end <= region.len().get());
    match fits {
        true => Ok(at),
        false => Err(ImageError::invalid_option(
            "name of the parent",
            "the metadata of the image have no room for it",
        )),
    }
}

fn clear_parent_flag(patch: &mut Patch<'_>, item: &Item) -> Result<(), ImageError> {
    const RULE: &str = "MS-VHDX 2.6.2.1";
    let at = item.range.start();
    let mut bytes = [0; size_of::<FileParameters>()];
    if item.range.len().get() < wide(bytes.len()) {
        return Err(ImageError::damaged_at(
            RULE,
            at,
            "file parameters are too short",
        ));
    }
    patch.storage.read_at(&mut bytes, at)?;
    let raw = FileParameters::mut_from_bytes(&mut bytes)
        .map_err(|_| ImageError::damaged_at(RULE, at, "file parameters are too short"))?;
    raw.flags.set(raw.flags.get() & !HAS_PARENT);
    let bytes = raw.as_bytes().to_vec();
    patch.write(at.get(), &bytes)
}

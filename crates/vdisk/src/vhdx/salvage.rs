//! What is done to a draft of a damaged image so that it can be read.

use blockio::{ByteCount, ByteOffset, ByteRange, MIB, SectorSize, Storage};

use super::bat::Bat;
use super::find::{find_bat, find_regions};
use super::format::{BAT_REGION, METADATA_REGION, REGION_TABLE_OFFSETS};
use super::geometry::Geometry;
use super::header::{Header, read_current};
use super::metadata::{self, Metadata, read_metadata, read_metadata_without_parent};
use super::open::read_structure;
use super::region::{encode_table, read_table};
use super::repair::{repair, suspects};
use crate::error::{ImageError, readable};
use crate::ids::IdSource;
use crate::repair::Repairs;
use crate::salvage::{SalvageOptions, Suspects};

/// Makes the draft one that can be opened, as far as that is possible, and says which blocks are
/// not to be trusted.
///
/// # Errors
/// `Io`.
pub(crate) fn salvage(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    options: SalvageOptions,
) -> Result<Suspects, ImageError> {
    repair(draft, repairs)?;
    if !can_be_opened(draft)? && make_up(draft, repairs, options)? {
        repair(draft, repairs)?;
    }
    let Some(structure) = readable(read_structure(draft))? else {
        return Ok(Suspects::default());
    };
    let mut found = suspects(draft, &structure)?;
    // Without its flag a child is read as if it had no parent: what is not in it would be zeros.
    if repairs.in_doubt || structure.metadata.has_stray_locator {
        let size = ByteCount(structure.metadata.disk_size);
        found.doubtful = ByteRange::new(ByteOffset(0), size).into_iter().collect();
    }
    Ok(found)
}

fn can_be_opened(draft: &dyn Storage) -> Result<bool, ImageError> {
    let Some(structure) = readable(read_structure(draft))? else {
        return Ok(false);
    };
    let bat = Bat::new(structure.regions.bat, &structure.geometry);
    Ok(readable(bat)?.is_some())
}

/// Makes headers and metadata anew from what the caller knows; `false` where that is not enough.
fn make_up(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    options: SalvageOptions,
) -> Result<bool, ImageError> {
    let header = match readable(read_current(draft))? {
        Some(current) => current.header,
        None => make_headers(draft, repairs)?,
    };
    let log = ByteRange::new(ByteOffset(header.log_offset), ByteCount(header.log_length));
    let Some(log) = log else {
        return Ok(false);
    };
    // With headers again, the tables may lead somewhere after all.
    if can_be_opened(draft)? {
        return Ok(true);
    }
    if let Some(found) = find_regions(draft, log)? {
        write_tables(draft, found.bat, found.metadata)?;
        return Ok(true);
    }
    let facts = match (metadata_of_child(draft)?, options.size, options.block_size) {
        (Some(facts), _, _) => facts,
        (None, Some(size), Some(block_size)) => Metadata {
            has_stray_locator: false,
            block_size: block_size.get(),
            leave_blocks_allocated: false,
            disk_size: size.get(),
            disk_id: IdSource::Random.guid("vhdx salvage disk"),
            logical_sector: options.logical_sector.unwrap_or(SectorSize::B512),
            physical_sector: SectorSize::B4096,
            parent: None,
        },
        _ => return Ok(false),
    };
    let bytes = metadata::encode(&facts)?;
    let at = ByteOffset(draft.len()?.get().next_multiple_of(MIB));
    let Some(region) = ByteRange::new(at, ByteCount(MIB)) else {
        return Ok(false);
    };
    draft.set_len(ByteCount(region.end().get()))?;
    draft.write_at(&bytes, at)?;
    if readable(read_metadata(draft, region))?.is_none() {
        return Err(ImageError::invalid_option(
            "size or block size",
            "no image has a disk of that size in blocks of that size",
        ));
    }
    let Some(bat) = table_for(draft, &facts, log, region)? else {
        return Ok(false);
    };
    write_tables(draft, bat, region)?;
    let message = match facts.parent {
        Some(_) => "what the image says of its parent is lost",
        None => "metadata are made up from the sizes that were given",
    };
    repairs.fix("MS-VHDX 2.6", Some(at), message);
    Ok(true)
}

/// The block allocation table: where a region table says, else the only place it can be.
fn table_for(
    draft: &dyn Storage,
    facts: &Metadata,
    log: ByteRange,
    metadata: ByteRange,
) -> Result<Option<ByteRange>, ImageError> {
    let geometry = Geometry::new(facts);
    let length = draft.len()?.get();
    let mut taken = vec![log, metadata];
    for offset in REGION_TABLE_OFFSETS {
        for entry in readable(read_table(draft, offset))?.unwrap_or_default() {
            let Some(range) = entry.range().filter(|range| range.end().get() <= length) else {
                continue;
            };
            if entry.is(BAT_REGION) && readable(Bat::new(range, &geometry))?.is_some() {
                return Ok(Some(range));
            }
            if entry.is(METADATA_REGION) {
                taken.push(range);
            }
        }
    }
    find_bat(draft, &geometry, facts.parent.is_some(), &taken)
}

/// The metadata of an image of which all can be read but what it says of its parent.
fn metadata_of_child(draft: &dyn Storage) -> Result<Option<Metadata>, ImageError> {
    let length = draft.len()?.get();
    for offset in REGION_TABLE_OFFSETS {
        for entry in readable(read_table(draft, offset))?.unwrap_or_default() {
            let range = entry.range().filter(|range| range.end().get() <= length);
            let Some(range) = range.filter(|_| entry.is(METADATA_REGION)) else {
                continue;
            };
            let facts = readable(read_metadata_without_parent(draft, range))?;
            if let Some(facts) = facts.filter(|facts| facts.parent.is_some()) {
                return Ok(Some(facts));
            }
        }
    }
    Ok(None)
}

fn write_tables(
    draft: &dyn Storage,
    bat: ByteRange,
    metadata: ByteRange,
) -> Result<(), ImageError> {
    let bytes = encode_table(bat, metadata)?;
    for offset in REGION_TABLE_OFFSETS {
        draft.write_at(&bytes, ByteOffset(offset))?;
    }
    Ok(())
}

/// Headers without a log, for a file whose own are lost with what the log held.
fn make_headers(draft: &dyn Storage, repairs: &mut Repairs) -> Result<Header, ImageError> {
    repairs.in_doubt = true;
    let message = "headers are made up; what only the log held is lost";
    repairs.fix("MS-VHDX 2.2.2", None, message);
    super::repair::make_up_headers(draft)
}

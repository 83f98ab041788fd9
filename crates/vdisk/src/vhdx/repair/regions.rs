//! The two region tables, and a place for a log that has none.

use blockio::{ByteCount, ByteOffset, ByteRange, MIB, Storage};

use super::super::bat::Bat;
use super::super::find::find_regions;
use super::super::format::{METADATA_SIGNATURE, REGION_TABLE_OFFSETS, TABLE_SIZE, index};
use super::super::geometry::Geometry;
use super::super::header::{CurrentHeader, Header};
use super::super::metadata::read_metadata;
use super::super::region::{RegionEntry, encode_table, place_regions, read_table};
use super::{LOG_LENGTH, RULE_LOG, ranges, write_both};
use crate::error::{ImageError, readable};
use crate::repair::Repairs;

const RULE: &str = "MS-VHDX 2.2.3";

/// Makes the two tables equal where it is known which is right: the one that is whole, else the
/// one that leads to metadata that can be read.
pub(super) fn repair_copies(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    header: &Header,
) -> Result<(), ImageError> {
    let mut tables = Vec::new();
    for offset in REGION_TABLE_OFFSETS {
        tables.push(readable(read_table(draft, offset))?);
    }
    let good = match tables.as_slice() {
        [Some(_), None] => 0,
        [None, Some(_)] => 1,
        [Some(first), Some(second)] if first != second => {
            match (leads(draft, first, header)?, leads(draft, second, header)?) {
                (true, false) => 0,
                (false, true) => 1,
                _ => return Ok(()),
            }
        }
        _ => return Ok(()),
    };
    let bad = 1 - good;
    let mut bytes = vec![0; index(TABLE_SIZE)];
    draft.read_at(&mut bytes, ByteOffset(REGION_TABLE_OFFSETS[good]))?;
    let at = ByteOffset(REGION_TABLE_OFFSETS[bad]);
    draft.write_at(&bytes, at)?;
    let which = ["first", "second"];
    let message = format!(
        "{} region table is copied from the {}",
        which[bad], which[good]
    );
    repairs.fix(RULE, Some(at), message);
    Ok(())
}

/// Whether a table leads to metadata and to a table of blocks that is large enough.
fn leads(
    draft: &dyn Storage,
    entries: &[RegionEntry],
    header: &Header,
) -> Result<bool, ImageError> {
    let length = draft.len()?.get();
    let Some(regions) = readable(place_regions(entries, header, length))? else {
        return Ok(false);
    };
    let Some(metadata) = readable(read_metadata(draft, regions.metadata))? else {
        return Ok(false);
    };
    let bat = Bat::new(regions.bat, &Geometry::new(&metadata));
    Ok(readable(bat)?.is_some())
}

/// Gives a log that holds nothing a place of its own at the end of the file where it has none, lies
/// outside the file or on a region.
pub(super) fn repair_log_place(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    header: &mut CurrentHeader,
) -> Result<(), ImageError> {
    let entries = match readable(read_table(draft, REGION_TABLE_OFFSETS[0]))? {
        Some(entries) => entries,
        None => return Ok(()),
    };
    let length = draft.len()?.get();
    let (offset, log_length) = (header.header.log_offset, header.header.log_length);
    let log = ByteRange::new(ByteOffset(offset), ByteCount(log_length));
    let is_good = log.is_some_and(|log| {
        let is_alone = |region: &ByteRange| !overlap(*region, log);
        !log.is_empty() && log.end().get() <= length && ranges(&entries).iter().all(is_alone)
    });
    if is_good {
        return Ok(());
    }
    let at = length.next_multiple_of(MIB);
    draft.set_len(ByteCount(at.saturating_add(LOG_LENGTH)))?;
    write_both(draft, header, |header| {
        header.log_offset = at;
        header.log_length = LOG_LENGTH;
    })?;
    let message = format!("log, which had no good place ({offset:#x}+{log_length:#x}), gets one");
    repairs.fix(RULE_LOG, Some(ByteOffset(at)), message);
    Ok(())
}

fn overlap(a: ByteRange, b: ByteRange) -> bool {
    a.start() < b.end() && b.start() < a.end()
}

/// Writes the signature of the metadata table where all that follows it makes sense.
fn repair_signature(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    entries: &[RegionEntry],
    header: &Header,
) -> Result<bool, ImageError> {
    let length = draft.len()?.get();
    let Some(regions) = readable(place_regions(entries, header, length))? else {
        return Ok(false);
    };
    let at = regions.metadata.start();
    let mut old = METADATA_SIGNATURE;
    draft.read_at(&mut old, at)?;
    if old == METADATA_SIGNATURE {
        return Ok(false);
    }
    draft.write_at(&METADATA_SIGNATURE, at)?;
    let mended = leads(draft, entries, header)?;
    if mended {
        let message = "signature of the metadata table is written again";
        repairs.fix("MS-VHDX 2.6.1", Some(at), message);
    } else {
        draft.write_at(&old, at)?;
    }
    Ok(mended)
}

/// Looks for the regions where the tables lead to none, and writes both tables anew if there is
/// one place alone for each region.
pub(super) fn search(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    header: &Header,
) -> Result<(), ImageError> {
    if let Some(entries) = readable(read_table(draft, REGION_TABLE_OFFSETS[0]))?
        && (leads(draft, &entries, header)? || repair_signature(draft, repairs, &entries, header)?)
    {
        return Ok(());
    }
    let log = ByteRange::new(ByteOffset(header.log_offset), ByteCount(header.log_length));
    let Some(log) = log else {
        return Ok(());
    };
    let Some(found) = find_regions(draft, log)? else {
        return Ok(());
    };
    let bytes = encode_table(found.bat, found.metadata)?;
    for offset in REGION_TABLE_OFFSETS {
        draft.write_at(&bytes, ByteOffset(offset))?;
    }
    let message = format!(
        "region tables are made anew: block allocation table at {}, metadata at {}",
        found.bat.start(),
        found.metadata.start()
    );
    repairs.fix(RULE, Some(ByteOffset(REGION_TABLE_OFFSETS[0])), message);
    Ok(())
}

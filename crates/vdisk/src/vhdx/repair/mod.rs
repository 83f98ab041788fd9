//! Repairing an image, on a draft of its file.
//!
//! Each step builds on those before it: without headers there is no log, without the log the tables
//! may be old, without regions there is no block allocation table. A step that cannot be done ends
//! the repair; what is left is found by the check that follows.
//!
//! ```text
//!   headers    identifier, the two headers
//!   log        replayed; given a new place where it has none
//!   regions    the two region tables, or a search where both are lost
//!   table      the entries of the block allocation table
//! ```
//! The data write GUID stays: what a guest sees does not change, and children know the image by it.

mod headers;
mod regions;
mod table;

use blockio::{ByteCount, ByteRange, MIB, Storage};

use super::format::{HEADER_SECTION, PAGE};
use super::header::{CurrentHeader, Slot, read_current};
use super::log::replay::read_log;
use super::open::read_structure;
use super::region::RegionEntry;
use crate::error::{ImageError, readable};
use crate::ids::IdSource;
use crate::repair::Repairs;

pub(super) use headers::make_up_headers;
pub(super) use table::suspects;

/// Bytes of a log that is made anew, as Windows makes it.
const LOG_LENGTH: u64 = MIB;
const RULE_LOG: &str = "MS-VHDX 2.3";

/// Repairs what can be repaired; returns the places that change whenever the image is written.
///
/// # Errors
/// `Io`.
pub(crate) fn repair(
    draft: &dyn Storage,
    repairs: &mut Repairs,
) -> Result<Vec<ByteRange>, ImageError> {
    if draft.len()?.get() < HEADER_SECTION {
        return Ok(Vec::new());
    }
    let slot = |slot: Slot| ByteRange::new(slot.offset(), ByteCount(PAGE));
    let guards = [Slot::First, Slot::Second].into_iter().filter_map(slot);
    let guards: Vec<ByteRange> = guards.collect();
    headers::repair_identifier(draft, repairs)?;
    headers::repair_headers(draft, repairs)?;
    let Some(mut header) = readable(read_current(draft))? else {
        return Ok(guards);
    };
    if !replay_log(draft, repairs, &mut header)? {
        return Ok(guards);
    }
    regions::repair_copies(draft, repairs, &header.header)?;
    regions::repair_log_place(draft, repairs, &mut header)?;
    regions::search(draft, repairs, &header.header)?;
    if let Some(structure) = readable(read_structure(draft))? {
        table::repair(draft, repairs, &structure)?;
    }
    Ok(guards)
}

/// Replays a log that waits for it; `false` where it is damaged and not given up.
fn replay_log(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    header: &mut CurrentHeader,
) -> Result<bool, ImageError> {
    let Some(guid) = header.header.log_guid else {
        return Ok(true);
    };
    let start = blockio::ByteOffset(header.header.log_offset);
    let range = ByteRange::new(start, ByteCount(header.header.log_length));
    let overlay = match range {
        Some(range) => readable(read_log(draft, range, guid))?,
        None => None,
    };
    match overlay {
        Some(overlay) => {
            overlay.apply_to_file(draft)?;
            let message = format!("log of {} entries is replayed", overlay.entry_count());
            repairs.fix(RULE_LOG, Some(start), message);
        }
        None if repairs.options.accept_loss => {
            repairs.in_doubt = true;
            let message = "log that cannot be replayed is given up; the tables stay as they stand";
            repairs.fix(RULE_LOG, Some(start), message);
        }
        None => return Ok(false),
    }
    let number = header.header.sequence_number;
    let file_write = IdSource::Random.guid(&format!("vhdx repair {number}"));
    write_both(draft, header, |header| {
        header.log_guid = None;
        header.file_write_guid = file_write;
    })?;
    Ok(true)
}

/// Changes the current header and writes it to both places.
fn write_both(
    draft: &dyn Storage,
    header: &mut CurrentHeader,
    change: impl FnOnce(&mut super::header::Header),
) -> Result<(), ImageError> {
    header.write_next(draft, change)?;
    header.write_next(draft, |_| {})
}

/// The ranges that the entries of a region table name.
fn ranges(entries: &[RegionEntry]) -> Vec<ByteRange> {
    entries.iter().filter_map(RegionEntry::range).collect()
}

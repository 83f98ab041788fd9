//! The file type identifier and the two headers.

use blockio::{ByteCount, ByteOffset, ByteRange, MIB, Storage};

use super::super::format::{FILE_SIGNATURE, PAGE_SIZE, REGION_TABLE_OFFSETS};
use super::super::header::{CurrentHeader, Header, Slot, read_identifier, read_slot};
use super::super::log::replay::{identifiers, read_former_log};
use super::super::region::read_table;
use super::LOG_LENGTH;
use crate::error::{ImageError, readable};
use crate::ids::IdSource;
use crate::repair::Repairs;

const RULE: &str = "MS-VHDX 2.2.2";
/// Most sessions whose remains are looked at in a log.
const MAX_SESSIONS: usize = 16;

/// Writes the signature at the start of a file that has the other structures of an image.
pub(super) fn repair_identifier(
    draft: &dyn Storage,
    repairs: &mut Repairs,
) -> Result<(), ImageError> {
    if readable(read_identifier(draft))?.is_some() {
        return Ok(());
    }
    let mut is_image = false;
    for slot in [Slot::First, Slot::Second] {
        is_image |= readable(read_slot(draft, slot))?.is_some();
    }
    for offset in REGION_TABLE_OFFSETS {
        is_image |= readable(read_table(draft, offset))?.is_some();
    }
    if is_image {
        draft.write_at(&FILE_SIGNATURE, ByteOffset(0))?;
        let message = "signature at the start of the file is written again";
        repairs.fix("MS-VHDX 2.1", Some(ByteOffset(0)), message);
    }
    Ok(())
}

/// Makes both headers whole.
pub(super) fn repair_headers(draft: &dyn Storage, repairs: &mut Repairs) -> Result<(), ImageError> {
    let first = readable(read_slot(draft, Slot::First))?;
    let second = readable(read_slot(draft, Slot::Second))?;
    let (slot, header, message) = match (first, second) {
        (Some(first), Some(second)) if first.sequence_number == second.sequence_number => {
            if !first.agrees_with(&second) {
                // Which of them counts is not known.
                return Ok(());
            }
            let message = "second header, which had the number of the first, is written again";
            (Slot::First, first, message)
        }
        (Some(_), Some(_)) => return Ok(()),
        (Some(first), None) => (Slot::First, first, "second header is copied from the first"),
        (None, Some(second)) => (
            Slot::Second,
            second,
            "first header is copied from the second",
        ),
        (None, None) => return rebuild(draft, repairs),
    };
    let offset = slot.other().offset();
    let mut current = CurrentHeader { slot, header };
    current.write_next(draft, |_| {})?;
    repairs.fix(RULE, Some(offset), message);
    Ok(())
}

/// Makes both headers anew where neither is whole.
fn rebuild(draft: &dyn Storage, repairs: &mut Repairs) -> Result<(), ImageError> {
    let (first, second) = (guess(draft, Slot::First)?, guess(draft, Slot::Second)?);
    let agreed = match (&first, &second) {
        (Some(first), Some(second)) if first.agrees_with(second) => Some(first.clone()),
        _ => None,
    };
    let (header, message) = match agreed {
        Some(header) => (
            header,
            "both headers are written again from what they agree on",
        ),
        None => {
            let log = first.as_ref().or(second.as_ref());
            let log = log.map_or((MIB, LOG_LENGTH), |header| {
                (header.log_offset, header.log_length)
            });
            let range = ByteRange::new(ByteOffset(log.0), ByteCount(log.1));
            let Some(range) = range.filter(|log| log.end() <= end_of(draft)) else {
                return Ok(());
            };
            if !is_idle(draft, range)? {
                // Whether the entries count, the headers would have said.
                return Ok(());
            }
            let message = "both headers are made anew; children do not know the image any more";
            (new_header(range), message)
        }
    };
    let mut current = CurrentHeader {
        slot: Slot::Second,
        header: Header {
            sequence_number: 0,
            ..header
        },
    };
    super::write_both(draft, &mut current, |_| {})?;
    repairs.fix(RULE, Some(Slot::First.offset()), message);
    Ok(())
}

fn end_of(draft: &dyn Storage) -> ByteOffset {
    ByteOffset(draft.len().map_or(0, ByteCount::get))
}

fn new_header(log: ByteRange) -> Header {
    let ids = IdSource::Random;
    Header {
        sequence_number: 0,
        file_write_guid: ids.guid("vhdx repair file write guid"),
        data_write_guid: ids.guid("vhdx repair data write guid"),
        log_guid: None,
        log_offset: log.start().get(),
        log_length: log.len().get(),
    }
}

/// Makes both headers up, with a log of nothing where writers put it.
pub(in super::super) fn make_up_headers(draft: &dyn Storage) -> Result<Header, ImageError> {
    let log = ByteRange::new(ByteOffset(MIB), ByteCount(LOG_LENGTH));
    let log = log.ok_or_else(|| ImageError::damaged(RULE, "no place for a log"))?;
    let mut current = CurrentHeader {
        slot: Slot::Second,
        header: new_header(log),
    };
    super::write_both(draft, &mut current, |_| {})?;
    Ok(current.header)
}

fn guess(draft: &dyn Storage, slot: Slot) -> Result<Option<Header>, ImageError> {
    let mut bytes = [0; PAGE_SIZE];
    draft.read_at(&mut bytes, slot.offset())?;
    Ok(Header::guess(&bytes))
}

/// Whether nothing that the log holds is missing in the file, so that it does not matter whether it
/// was live.
fn is_idle(draft: &dyn Storage, log: ByteRange) -> Result<bool, ImageError> {
    for guid in identifiers(draft, log, MAX_SESSIONS)? {
        let Some(overlay) = readable(read_former_log(draft, log, guid))? else {
            return Ok(false);
        };
        if !overlay.is_in(draft)? {
            return Ok(false);
        }
    }
    Ok(true)
}

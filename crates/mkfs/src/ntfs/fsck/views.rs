//! The view indexes in `$Extend`: reparse points, object identifiers, quotas.

use super::super::parse::{File, Index, NtfsVolume, ParseError};
use super::context::Context;
use super::quota;
use super::tree::{self, IndexRules};
use crate::error::MkfsError;
use crate::findings::VolumeFinding;

/// Record of the directory that they are in.
const EXTEND: u64 = 11;
const REPARSE: IndexRules = view("$R", 0x13);
const OBJECTS: IndexRules = view("$O", 0x13);

pub(super) const fn view(name: &'static str, collation: u32) -> IndexRules {
    IndexRules {
        name,
        attribute: 0,
        collation,
    }
}

/// Checks them.
pub(super) fn check(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    if let Some(file) = child(context, "$Reparse")? {
        check_reparse(context, &file)?;
    }
    if let Some(file) = child(context, "$ObjId")? {
        check_objects(context, &file)?;
    }
    if let Some(file) = child(context, "$Quota")? {
        quota::check(context, &file)?;
    }
    Ok(())
}

/// A file in `$Extend`; that it is missing is a finding.
fn child(context: &mut Context<'_, '_>, name: &str) -> Result<Option<File>, MkfsError> {
    let found = find_child(context.volume, name);
    let Some(found) = context.found("system-file", EXTEND, found)? else {
        return Ok(None);
    };
    if found.is_none() {
        let message = format!("$Extend holds no {name}");
        context.add(VolumeFinding::error("system-file", message).of(EXTEND));
    }
    Ok(found)
}

fn find_child(volume: &NtfsVolume<'_>, name: &str) -> Result<Option<File>, ParseError> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let extend = volume.read_file(EXTEND)?;
    let index = Index::open(volume, &extend, "$I30")?;
    let Some(entry) = index.find_name(volume, &units, true)? else {
        return Ok(None);
    };
    let number = entry.view()?.file().record();
    volume.read_file(number).map(Some)
}

/// Every reparse point has an entry, and every entry a reparse point.
fn check_reparse(context: &mut Context<'_, '_>, file: &File) -> Result<(), MkfsError> {
    let number = file.base().number();
    let mut listed = Vec::new();
    tree::walk(
        context,
        file,
        REPARSE,
        &mut |context, entry| match entry.key.first_chunk::<12>() {
            Some([t0, t1, t2, t3, rest @ ..]) => {
                let tag = u32::from_le_bytes([*t0, *t1, *t2, *t3]);
                listed.push((tag, u64::from_le_bytes(*rest)));
            }
            None => {
                let message = "the key of a reparse point is cut short";
                context.add(VolumeFinding::error("index-entry", message).of(number));
            }
        },
    )?;
    let mut points = std::mem::take(&mut context.reparse_points);
    compare(&mut points, &mut listed, |(tag, reference), is_listed| {
        let record = record_of(*reference);
        let message = if is_listed {
            format!("$Reparse lists a reparse point {tag:#x} that record {record} has not")
        } else {
            format!("the reparse point {tag:#x} is not listed in $Reparse")
        };
        let about = if is_listed { number } else { record };
        context.add(VolumeFinding::error("reparse-index", message).of(about));
    });
    Ok(())
}

/// Every object identifier has an entry, and every entry a file.
fn check_objects(context: &mut Context<'_, '_>, file: &File) -> Result<(), MkfsError> {
    let number = file.base().number();
    let mut listed = Vec::new();
    tree::walk(context, file, OBJECTS, &mut |context, entry| {
        let reference = entry.data().and_then(|data| data.first_chunk::<8>());
        match (entry.key.first_chunk::<16>(), reference) {
            (Some(id), Some(reference)) => listed.push((*id, u64::from_le_bytes(*reference))),
            _ => {
                let message = "the entry of an object identifier is cut short";
                context.add(VolumeFinding::error("index-entry", message).of(number));
            }
        }
    })?;
    let mut objects = std::mem::take(&mut context.object_ids);
    compare(&mut objects, &mut listed, |(_, reference), is_listed| {
        let record = record_of(*reference);
        let message = if is_listed {
            format!("$ObjId lists an identifier that record {record} has not")
        } else {
            "the object identifier is not listed in $ObjId".to_owned()
        };
        let about = if is_listed { number } else { record };
        context.add(VolumeFinding::error("object-id", message).of(about));
    });
    Ok(())
}

fn record_of(reference: u64) -> u64 {
    super::super::parse::FileReference::from_bits(reference).record()
}

/// Tells what stands in one of two lists alone, and whether that is the second.
fn compare<T: Ord>(left: &mut [T], right: &mut [T], mut differs: impl FnMut(&T, bool)) {
    left.sort_unstable();
    right.sort_unstable();
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let is_second = match (left.peek(), right.peek()) {
            (None, None) => return,
            (Some(_), None) => false,
            (None, Some(_)) => true,
            (Some(one), Some(other)) if one == other => {
                left.next();
                right.next();
                continue;
            }
            (Some(one), Some(other)) => one > other,
        };
        let alone = if is_second { right.next() } else { left.next() };
        if let Some(alone) = alone {
            differs(alone, is_second);
        }
    }
}

//! Paths of the files that findings are about, followed up from their names.

use std::collections::HashMap;

use super::super::parse::{FileNameView, FileReference, NtfsVolume, kind};
use super::context::Context;
use crate::error::MkfsError;

/// Record of the root directory.
const ROOT: u64 = 5;
/// Name space of names of DOS, which are not shown where there is another.
const DOS: u8 = 2;
/// Directories that a path is followed through.
const MAX_DEPTH: usize = 128;
/// Bytes of a path that is shown.
const MAX_PATH: usize = 4096;

/// Gives every finding about a record its path.
pub(super) fn fill_in(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    let volume = context.volume;
    let mut known = HashMap::new();
    for finding in context.report.findings_mut() {
        if let (Some(record), None) = (finding.record, &finding.path) {
            finding.path = path(volume, &mut known, record);
        }
    }
    Ok(())
}

/// The name of a record and the directory it is in; `None` where that cannot be told.
type Known = HashMap<u64, Option<(String, FileReference)>>;

fn path(volume: &NtfsVolume<'_>, known: &mut Known, record: u64) -> Option<String> {
    if record == ROOT {
        return Some("/".into());
    }
    let mut names = Vec::new();
    let mut number = record;
    let mut length = 0;
    while number != ROOT {
        let place = known
            .entry(number)
            .or_insert_with(|| place(volume, number))
            .clone();
        let Some((name, parent)) = place else {
            // What is known of the path is better than nothing, but for a file without a name.
            if names.is_empty() {
                return None;
            }
            names.push("?".to_owned());
            break;
        };
        length += name.len() + 1;
        names.push(name);
        if names.len() > MAX_DEPTH || length > MAX_PATH {
            names.push("...".into());
            break;
        }
        number = parent.record();
    }
    names.push(String::new());
    names.reverse();
    Some(names.join("/"))
}

fn place(volume: &NtfsVolume<'_>, number: u64) -> Option<(String, FileReference)> {
    let record = volume.read_record(number).ok()?;
    let owner = record.view().base().map(FileReference::record);
    let file = volume.read_file(owner.unwrap_or(number)).ok()?;
    let attributes = file.attributes().ok()?;
    let names = attributes
        .iter()
        .filter(|(_, attribute)| attribute.kind == kind::FILE_NAME)
        .filter_map(|(_, attribute)| FileNameView::parse(attribute.value()?));
    let name = names.min_by_key(|name| name.name_space() == DOS)?;
    Some((name.name_text(), name.parent()))
}

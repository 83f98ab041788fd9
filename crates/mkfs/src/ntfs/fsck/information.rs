//! `$STANDARD_INFORMATION`: attributes that a file may have, times, and the numbers of its
//! descriptor and its owner.

use super::super::parse::{RecordView, StandardInformationView};
use super::context::Context;
use crate::findings::VolumeFinding;

/// The file is encrypted (FILE_ATTRIBUTE_ENCRYPTED).
pub(super) const ENCRYPTED: u32 = 0x4000;
/// Attributes of no file: a label, as FAT has them.
const LABEL: u32 = 8;
/// The attribute of directories, as Windows shows it, and as names keep it.
const DIRECTORY: u32 = 0x10 | 0x1000_0000;
/// The attribute of files with a view index.
const VIEW: u32 = 0x2000_0000;

/// Checks the value, which is in `record`, of the file whose base record is `owner`; takes note of what
/// it says.
pub(super) fn check(
    context: &mut Context<'_, '_>,
    record: RecordView<'_>,
    owner: u64,
    information: &StandardInformationView<'_>,
) {
    let number = record.number();
    let attributes = information.attributes();
    if attributes & ENCRYPTED != 0 {
        context.encrypted.add(owner);
    }
    let mut error = |is_wrong: bool, message: &str| {
        if is_wrong {
            context.add(VolumeFinding::error("record-information", message).of(number));
        }
    };
    error(
        attributes & DIRECTORY != 0 && !record.is_directory(),
        "a file has the attribute of a directory",
    );
    error(
        attributes & VIEW != 0 && !record.has_view_index(),
        "a file without a view index has the attribute of one",
    );
    error(
        attributes & LABEL != 0,
        "a file has the attribute of a label",
    );
    if !information.has_possible_times() {
        let message = "a time of the file is past the last one that Windows accepts";
        context.add(VolumeFinding::warning("time", message).of(number));
    }
    if let Some(facts) = context.facts.get_mut(owner) {
        facts.attributes = attributes;
    }
    if let Some(id) = information.security_id().filter(|id| *id != 0) {
        context.security_ids.entry(id).or_insert(number);
    }
    if let Some(id) = information.owner_id().filter(|id| *id != 0) {
        context.owner_ids.entry(id).or_insert(number);
    }
}

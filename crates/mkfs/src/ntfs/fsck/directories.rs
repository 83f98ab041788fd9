//! Every directory: its tree, and each of its entries against what the record of the file says.

use super::super::parse::{EntryView, File, FileNameView, FileReference};
use super::context::Context;
use super::facts::{Facts, Marks, RecordKind, name_number};
use super::names;
use super::tree::{self, FILE_NAMES};
use crate::error::MkfsError;
use crate::findings::VolumeFinding;

/// Records below this are the volume's own, of which Windows lets the entries lag behind.
const FIRST_USER: u64 = 24;
/// Record of the root directory.
const ROOT: u64 = 5;
/// Record of the directory of more system files.
const EXTEND: u64 = 11;
/// Directories below `$Extend` that hold each other.
const MAX_SYSTEM_DEPTH: usize = 8;
/// What `$FILE_NAME` alone says: a directory, a view index.
const NAME_DIRECTORY: u32 = 0x1000_0000;
const NAME_VIEW: u32 = 0x2000_0000;
/// Attributes that a name repeats ([MS-FSCC] 2.6): read-only, hidden, system, archive, temporary,
/// sparse, reparse point, compressed, offline, not indexed, encrypted.
const REPEATED: u32 = 0x7F27;
const REPARSE_POINT: u32 = 0x400;

/// Goes through all directories.
pub(super) fn check(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    let directories = context.facts.marked(Marks::DIRECTORY);
    let limit = context.facts.limit();
    for (count, number) in (0_u64..).zip(directories) {
        if count % 256 == 0 {
            context.tell(limit.saturating_add(number))?;
        }
        let file = context.volume.read_file(number);
        // What is wrong with its records was found before.
        let Some(file) = file.ok() else {
            continue;
        };
        check_directory(context, &file)?;
    }
    context.tell(limit.saturating_mul(2))
}

fn check_directory(context: &mut Context<'_, '_>, file: &File) -> Result<(), MkfsError> {
    let directory = file.base().reference();
    let is_system = is_below_extend(context, directory.record());
    let is_whole = tree::walk(context, file, FILE_NAMES, &mut |context, entry| {
        check_entry(context, directory, is_system, entry);
    })?;
    if !is_whole && let Some(facts) = context.facts.get_mut(directory.record()) {
        facts.marks.set(Marks::TORN);
    }
    Ok(())
}

/// Whether a directory is `$Extend` or below it: what Windows keeps there it changes by other ways
/// than names, which then lag behind.
pub(super) fn is_below_extend(context: &Context<'_, '_>, directory: u64) -> bool {
    let mut number = directory;
    for _ in 0..MAX_SYSTEM_DEPTH {
        match context.facts.get(number) {
            _ if number == EXTEND => return true,
            Some(facts) if number != ROOT => number = u64::from(facts.parent),
            _ => return false,
        }
    }
    false
}

fn check_entry(
    context: &mut Context<'_, '_>,
    directory: FileReference,
    is_system: bool,
    entry: &EntryView<'_>,
) {
    let number = directory.record();
    let error = |class, message: String| VolumeFinding::error(class, message).of(number);
    let Some(name) = entry.file_name() else {
        return context.add(error(
            "index-entry",
            "the name of an entry is cut short".into(),
        ));
    };
    let shown = name.name_text().escape_debug().to_string();
    if name.length() != entry.key.len() {
        let finding = error(
            "index-entry",
            format!("the key of {shown} has the wrong length"),
        );
        context.add(finding.versus(name.length(), entry.key.len()));
    }
    if name.parent() != directory {
        let finding = error(
            "index-parent",
            format!("the entry {shown} names another directory"),
        );
        context.add(finding.versus(text(directory), text(name.parent())));
    }
    let target = entry.file();
    let listed = name_number(directory, name.name_space(), name.name());
    match context.facts.get(target.record()) {
        Some(facts) if facts.kind == RecordKind::Base => {
            if facts.sequence != target.sequence() {
                let finding = error(
                    "index-sequence",
                    format!("the entry {shown} is of an older file"),
                );
                context.add(finding.versus(facts.sequence, target.sequence()));
            }
        }
        Some(facts) if facts.kind == RecordKind::Extension => {
            let message = format!("the entry {shown} leads to an extension record");
            return context.add(error("index-target", message));
        }
        _ => {
            let message = format!(
                "the entry {shown} leads to record {}, which is not in use",
                target.record()
            );
            return context.add(error("index-target", message));
        }
    }
    if let Some(facts) = context.facts.get_mut(target.record()) {
        facts.listed = facts.listed.saturating_add(1);
        facts.listed_sum = facts.listed_sum.wrapping_add(listed);
        let facts = *facts;
        let is_own = target.record() == ROOT;
        if let Some((class, message)) = names::problem(&name, is_own) {
            context.add(error(class, message));
        }
        if !name.has_possible_times() {
            let message =
                format!("a time in the entry {shown} is past the last one that Windows accepts");
            context.add(VolumeFinding::warning("time", message).of(number));
        }
        if target.record() >= FIRST_USER && !is_system {
            check_copy(context, &facts, &name, target.record());
        }
    }
}

/// What the entry repeats of the file.
fn check_copy(context: &mut Context<'_, '_>, facts: &Facts, name: &FileNameView<'_>, record: u64) {
    check_kind(context, facts, name, record);
    // Windows brings up to date the name alone through which a file was changed.
    if facts.names > facts.dos_names + 1 || facts.marks.has(Marks::BROKEN) {
        return;
    }
    let mut differs = |what: &str, expected: u64, actual: u64| {
        if expected != actual {
            // Windows lets these lag behind while a file is open, and puts them right.
            let finding = VolumeFinding::warning(
                "index-copy",
                format!("the directory says another {what} than the file"),
            );
            context.add(
                finding
                    .of(record)
                    .versus(format_args!("{expected:#x}"), format_args!("{actual:#x}")),
            );
        }
    };
    let is_directory = facts.marks.has(Marks::DIRECTORY);
    let attributes = facts.attributes & REPEATED;
    let said = name.attributes() & REPEATED;
    differs("set of attributes", attributes.into(), said.into());
    if !is_directory {
        differs("size", facts.size, name.size());
        differs("space", facts.allocated, name.allocated());
    }
    if facts.attributes & REPARSE_POINT != 0 && facts.marks.has(Marks::REPARSE) {
        differs("reparse tag", facts.tag.into(), name.tag().into());
    } else if !facts.marks.has(Marks::REPARSE) && !facts.marks.has(Marks::EXTENDED) {
        differs("reparse tag", 0, name.tag().into());
    }
}

/// What never changes in the life of a file, and so is the same in all of its entries.
fn check_kind(context: &mut Context<'_, '_>, facts: &Facts, name: &FileNameView<'_>, record: u64) {
    let kind = |bit, mark| if facts.marks.has(mark) { bit } else { 0 };
    let expected = kind(NAME_DIRECTORY, Marks::DIRECTORY) | kind(NAME_VIEW, Marks::VIEW);
    let said = name.attributes() & (NAME_DIRECTORY | NAME_VIEW);
    if said != expected {
        let message = "the directory says another kind of file than the record";
        let finding = VolumeFinding::error("index-copy", message).of(record);
        context.add(finding.versus(format_args!("{expected:#x}"), format_args!("{said:#x}")));
    }
}

/// A reference in words.
pub(super) fn text(reference: FileReference) -> String {
    format!("{}-{}", reference.record(), reference.sequence())
}

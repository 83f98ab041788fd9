//! Files of several records: their attribute lists, and streams described in parts.

use std::collections::HashMap;

use super::super::parse::{AttributeView, BodyView, File, ListEntry, compare_names, kind};
use super::attributes::{Whole, check_whole};
use super::context::Context;
use super::facts::{Marks, RecordKind};
use super::kinds::text;
use crate::error::MkfsError;
use crate::findings::VolumeFinding;

/// Checks every file that has an attribute list, and that every extension record belongs to one.
pub(super) fn check(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    let volume = context.volume;
    for number in context.facts.marked(Marks::LIST) {
        match volume.read_file(number) {
            Ok(file) => check_file(context, &file)?,
            Err(error) => context.add_damage("list", number, error)?,
        }
    }
    let unclaimed = context
        .facts
        .numbers(|facts| facts.kind == RecordKind::Extension && !facts.marks.has(Marks::CLAIMED));
    for number in unclaimed {
        let base = context.facts.get(number).map_or(0, |facts| facts.parent);
        let message =
            format!("the record holds attributes of record {base}, which does not list it");
        context.add(VolumeFinding::error("record-extension", message).of(number));
    }
    Ok(())
}

fn check_file(context: &mut Context<'_, '_>, file: &File) -> Result<(), MkfsError> {
    let number = file.base().number();
    for record in file.extensions() {
        if let Some(facts) = context.facts.get_mut(record.number()) {
            facts.marks.set(Marks::CLAIMED);
        }
        if record.is_directory() && !file.base().is_directory() {
            let message = "the record is marked as a directory, but belongs to a file";
            context.add(VolumeFinding::error("record-flags", message).of(record.number()));
        }
    }
    check_order(context, number, file.list());
    let attributes = match file.attributes() {
        Ok(attributes) => attributes,
        // The record itself was found to be damaged before.
        Err(_) => return Ok(()),
    };
    // Attributes by record and number, each to be listed once.
    let mut unlisted: HashMap<(u64, u16), &AttributeView<'_>> = attributes
        .iter()
        .filter(|(_, attribute)| attribute.kind != kind::ATTRIBUTE_LIST)
        .map(|(record, attribute)| ((*record, attribute.instance), attribute))
        .collect();
    for entry in file.list() {
        let place = (entry.record.record(), entry.instance);
        let sequence = context.facts.get(place.0).map(|facts| facts.sequence);
        let is_right = unlisted
            .remove(&place)
            .is_some_and(|attribute| is_entry_of(entry, attribute))
            && sequence == Some(entry.record.sequence());
        if !is_right {
            let message = format!(
                "the attribute list names attribute {:#x} number {} of record {}, which is not there",
                entry.kind, entry.instance, place.0
            );
            context.add(VolumeFinding::error("list-entry", message).of(number));
        }
    }
    let mut missing: Vec<_> = unlisted.into_iter().collect();
    missing.sort_by_key(|(place, _)| *place);
    for ((record, _), attribute) in missing {
        let message = format!(
            "the attribute list lacks {} of record {record}",
            text(attribute)
        );
        context.add(VolumeFinding::error("list-missing", message).of(number));
    }
    check_streams(context, number, &attributes);
    check_directory(context, file, &attributes);
    Ok(())
}

/// Entries stand in the order of types, names and first clusters.
fn check_order(context: &mut Context<'_, '_>, number: u64, entries: &[ListEntry]) {
    let upcase = context.volume.upcase();
    let is_sorted = entries.is_sorted_by(|a, b| {
        a.kind
            .cmp(&b.kind)
            .then_with(|| compare_names(&a.name, &b.name, upcase))
            .then_with(|| a.first_vcn.cmp(&b.first_vcn))
            .is_le()
    });
    if !is_sorted {
        let message = "the entries of the attribute list are out of order";
        context.add(VolumeFinding::error("list-order", message).of(number));
    }
}

fn is_entry_of(entry: &ListEntry, attribute: &AttributeView<'_>) -> bool {
    let first_vcn = match attribute.body {
        BodyView::Resident { .. } => 0,
        BodyView::NonResident(body) => body.first_vcn,
    };
    entry.kind == attribute.kind && entry.name == attribute.name && entry.first_vcn == first_vcn
}

/// The parts of each stream follow one another, and its sizes are those of all of them.
fn check_streams(
    context: &mut Context<'_, '_>,
    number: u64,
    attributes: &[(u64, AttributeView<'_>)],
) {
    let mut parts: Vec<(&AttributeView<'_>, _)> = attributes
        .iter()
        .filter_map(|(_, attribute)| match attribute.body {
            BodyView::NonResident(body) => Some((attribute, body)),
            BodyView::Resident { .. } => None,
        })
        .collect();
    parts.sort_by(|(a, a_body), (b, b_body)| {
        (a.kind, a.name, a_body.first_vcn).cmp(&(b.kind, b.name, b_body.first_vcn))
    });
    let clusters = context.volume.geometry().clusters;
    for stream in parts.chunk_by(|(a, _), (b, _)| (a.kind, a.name) == (b.kind, b.name)) {
        let Some(((first, first_body), _)) = stream.split_first() else {
            continue;
        };
        let (mut length, mut held) = (0_u64, 0_u64);
        for (part, body) in stream {
            if body.first_vcn != length && length > 0 {
                let finding = VolumeFinding::error(
                    "attribute-vcn",
                    format!("a part of {} begins with the wrong cluster", text(part)),
                );
                context.add(finding.of(number).versus(length, body.first_vcn));
            }
            for run in body.runs(clusters).map_while(Result::ok) {
                length += run.length;
                held += if run.start.is_some() { run.length } else { 0 };
            }
        }
        check_whole(
            context,
            &Whole {
                record: number,
                what: text(first),
                allocated: first_body.allocated,
                total_allocated: first_body.total_allocated,
                length,
                held,
                is_first: first_body.first_vcn == 0,
            },
        );
    }
}

/// What could not be told from the base record alone.
fn check_directory(
    context: &mut Context<'_, '_>,
    file: &File,
    attributes: &[(u64, AttributeView<'_>)],
) {
    let number = file.base().number();
    let has_index = attributes
        .iter()
        .any(|(_, attribute)| attribute.is(kind::INDEX_ROOT, "$I30"));
    if has_index != file.base().is_directory() {
        let message = "the mark of a directory and the index of one do not go together";
        context.add(VolumeFinding::error("record-flags", message).of(number));
    }
    let has_reparse = attributes
        .iter()
        .any(|(_, attribute)| attribute.kind == kind::REPARSE_POINT);
    let says = context
        .facts
        .get(number)
        .is_some_and(|facts| facts.attributes & 0x400 != 0);
    if has_reparse != says {
        let message = "the attributes and the reparse point of the file do not go together";
        context.add(VolumeFinding::error("reparse-flag", message).of(number));
    }
}

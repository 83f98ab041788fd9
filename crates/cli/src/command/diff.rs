//! `cvol diff`: where two volumes, snapshots or image files differ.

use std::ffi::OsString;

use engine::{ChangedEntry, Differences, EntryChange, ImageReference};
use serde::Serialize;

use super::ls::kind_name;
use super::{Context, Outcome, Result};
use crate::failure::Failure;
use crate::output::table::{self, Align, Column};
use crate::output::{Form, quantity};
use crate::reference::ImageOrVolume;

/// Show where two volumes, snapshots or image files differ: ranges, and files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ranges are in bytes from the start of the disk, in units of 4096. Of states of one volume and its
clones only what was written since is read, however large they are.

With --files, files and directories are shown: added, removed, changed (content, a named stream, the
target of a link) or metadata (times, attributes, number of names, access control). On NTFS a file
whose record says that it did not change is not read; on FAT32, where nothing says so, every file is.

An argument is a path if it holds a separator, ends in .vhdx, .vhd, .avhdx, .avhd, .raw, .img or
.qcow2, or names a file that exists here; else it is a volume or snapshot.

Examples:
  cvol diff data@monday data@tuesday
  cvol diff --files data@before-upgrade data
  cvol diff old.vhdx new.vhdx --json")]
pub(crate) struct Arguments {
    /// Volume, snapshot or image file before
    #[arg(value_name = "BEFORE")]
    before: OsString,

    /// Volume, snapshot or image file afterwards
    #[arg(value_name = "AFTER")]
    after: OsString,

    #[command(flatten)]
    which: ImageOrVolume,

    /// Show files instead of ranges; JSON has both
    #[arg(long)]
    files: bool,
}

#[derive(Serialize)]
struct Document {
    before: String,
    after: String,
    changed_bytes: u64,
    ranges: Vec<RangeDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<FileDocument>>,
}

#[derive(Serialize)]
struct RangeDocument {
    offset: u64,
    length: u64,
}

#[derive(Serialize)]
struct FileDocument {
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    change: &'static str,
    size_before: Option<u64>,
    size_after: Option<u64>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let before = self.which.resolve(&self.before)?;
        let after = self.which.resolve(&self.after)?;
        show(context, &before, &after, self.files)?;
        Ok(Outcome::Done)
    }
}

/// Compares and prints what differs.
pub(super) fn show(
    context: &Context,
    before: &ImageReference,
    after: &ImageReference,
    files: bool,
) -> std::result::Result<(), Failure> {
    let found = context.watched("comparing", |engine, report| {
        engine.compare(before, after, files, report)
    })?;
    match (context.output.form(), &found.files) {
        (Form::Json, _) => {
            let document = document(before.to_string(), after.to_string(), &found);
            context.output.print_json(&document)
        }
        (Form::Quiet, Some(files)) => {
            for file in files {
                context.output.print_name(&file.path)?;
            }
            Ok(())
        }
        (Form::Text, Some(files)) => context.output.print(&file_table(files)),
        (_, None) => context.output.print(&range_table(&found)),
    }
}

fn changed_bytes(found: &Differences) -> u64 {
    let lengths = found.ranges.iter().map(|range| range.len().get());
    lengths.fold(0, u64::saturating_add)
}

fn document(before: String, after: String, found: &Differences) -> Document {
    let ranges = found.ranges.iter().map(|range| RangeDocument {
        offset: range.start().get(),
        length: range.len().get(),
    });
    Document {
        before,
        after,
        changed_bytes: changed_bytes(found),
        ranges: ranges.collect(),
        files: found
            .files
            .as_ref()
            .map(|files| files.iter().map(file_document).collect()),
    }
}

fn word(change: EntryChange) -> &'static str {
    match change {
        EntryChange::Added => "added",
        EntryChange::Removed => "removed",
        EntryChange::Content => "changed",
        EntryChange::Metadata => "metadata",
    }
}

fn file_document(file: &ChangedEntry) -> FileDocument {
    FileDocument {
        path: file.path.clone(),
        kind: kind_name(file.kind),
        change: word(file.change),
        size_before: file.size_before,
        size_after: file.size_after,
    }
}

fn range_table(found: &Differences) -> String {
    const COLUMNS: [Column; 2] = [("OFFSET", Align::Right), ("LENGTH", Align::Right)];
    let rows = found.ranges.iter().map(|range| {
        let (start, length) = (range.start().get(), range.len().get());
        vec![start.to_string(), length.to_string()]
    });
    let count = u64::try_from(found.ranges.len()).unwrap_or(u64::MAX);
    format!(
        "{}{}, {} differ\n",
        table::render(&COLUMNS, rows.collect::<Vec<_>>()),
        quantity::counted(count, "range", "ranges"),
        quantity::bytes(changed_bytes(found))
    )
}

fn file_table(files: &[ChangedEntry]) -> String {
    const COLUMNS: [Column; 4] = [
        ("CHANGE", Align::Left),
        ("BEFORE", Align::Right),
        ("AFTER", Align::Right),
        ("PATH", Align::Left),
    ];
    let size = |size: Option<u64>| size.map_or_else(|| "-".to_owned(), quantity::bytes);
    let rows = files.iter().map(|file| {
        vec![
            word(file.change).to_owned(),
            size(file.size_before),
            size(file.size_after),
            file.path.clone(),
        ]
    });
    table::render(&COLUMNS, rows.collect::<Vec<_>>())
}

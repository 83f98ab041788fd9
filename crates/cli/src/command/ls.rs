//! `cvol ls`: the volumes of the store, or a folder in one of them.

use std::path::PathBuf;

use engine::{ByteCount, Entry, EntryKind, Place, Timestamp, VolumeRecord};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::failure::Failure;
use crate::output::table::{self, Align, Column};
use crate::output::{Form, name_for_stdout, quantity, terminal};
use crate::reference;

/// List volumes, or a folder in a volume
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Conditions for --filter: label=KEY, label=KEY=VALUE, name=PART, fs=FS, state=STATE,
persistent=true|false. A volume must meet every label, and one value of each other key.

Examples:
  cvol ls
  cvol ls --filter label=app=web -q
  cvol ls data
  cvol ls -l data:/img
  cvol ls --image disk.vhdx /")]
pub(crate) struct Arguments {
    /// A folder or file in a volume; with --image, its path
    #[arg(value_name = "NAME[:/PATH]")]
    place: Option<String>,

    /// Only volumes that meet this condition; may be repeated
    #[arg(long = "filter", value_name = "KEY=VALUE", conflicts_with = "place")]
    filters: Vec<String>,

    /// Show size, time and target of links
    #[arg(short, long)]
    long: bool,

    /// Look into this image file instead of a volume
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
}

#[derive(Serialize)]
struct VolumeDocument {
    name: String,
    id: String,
    state: String,
    file_system: String,
    size: u64,
    used: Option<u64>,
    format: String,
    #[serde(rename = "type")]
    provisioning: String,
    persistent: bool,
    created: String,
    labels: std::collections::BTreeMap<String, String>,
}

#[derive(Serialize)]
struct EntryDocument {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    size: u64,
    modified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_target: Option<String>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        match (&self.place, &self.image) {
            (None, None) => list_volumes(context, &self.filters, self.long)?,
            (place, image) => {
                let place = place.as_deref().unwrap_or("/");
                let place = reference::place(place, image.as_deref());
                list_folder(context, &place, self.long)?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn list_volumes(
    context: &Context,
    filters: &[String],
    long: bool,
) -> std::result::Result<(), Failure> {
    let volumes = context.engine.list_volumes(filters)?;
    match context.output.form() {
        Form::Json => {
            let mut documents = Vec::with_capacity(volumes.len());
            for record in &volumes {
                let used = context.engine.used_bytes(record)?;
                documents.push(volume_document(record, used));
            }
            context.output.print_json(&documents)
        }
        Form::Quiet => {
            let lines: String = volumes
                .iter()
                .map(|record| format!("{}\n", record.name))
                .collect();
            context.output.print(&lines)
        }
        Form::Text => {
            let mut rows = Vec::with_capacity(volumes.len());
            for record in &volumes {
                let used = context.engine.used_bytes(record)?;
                rows.push(volume_row(record, used, long));
            }
            let shown = if long { VOLUME_COLUMNS.len() } else { 6 };
            context
                .output
                .print(&table::render(&VOLUME_COLUMNS[..shown], rows))
        }
    }
}

fn volume_document(record: &VolumeRecord, used: Option<ByteCount>) -> VolumeDocument {
    VolumeDocument {
        name: record.name.to_string(),
        id: record.id.to_string(),
        state: record.state.to_string(),
        file_system: record.spec.file_system().to_string(),
        size: record.spec.size().get(),
        used: used.map(ByteCount::get),
        format: record.spec.format().to_string(),
        provisioning: record.spec.provisioning().to_string(),
        persistent: record.spec.persistent(),
        created: Timestamp::from_unix_milliseconds(record.created_unix_ms).to_string(),
        labels: record.labels.clone(),
    }
}

/// The columns of the table of volumes; the last three with `--long` only.
const VOLUME_COLUMNS: [Column; 9] = [
    ("NAME", Align::Left),
    ("FS", Align::Left),
    ("SIZE", Align::Right),
    ("USED", Align::Right),
    ("FORMAT", Align::Left),
    ("CREATED", Align::Left),
    ("TYPE", Align::Left),
    ("STATE", Align::Left),
    ("LABELS", Align::Left),
];

fn volume_row(record: &VolumeRecord, used: Option<ByteCount>, long: bool) -> Vec<String> {
    let used = used.map(|used| quantity::bytes(used.get()));
    let mut row = vec![
        record.name.to_string(),
        record.spec.file_system().to_string(),
        quantity::bytes(record.spec.size().get()),
        used.unwrap_or_else(|| "-".to_owned()),
        record.spec.format().to_string(),
        Timestamp::from_unix_milliseconds(record.created_unix_ms).to_minutes(),
    ];
    if long {
        let labels = record.labels.iter();
        let labels: Vec<_> = labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        row.extend([
            record.spec.provisioning().to_string(),
            record.state.to_string(),
            labels.join(","),
        ]);
    }
    row
}

fn list_folder(context: &Context, place: &Place, long: bool) -> std::result::Result<(), Failure> {
    let entries = context.engine.list_folder(place)?;
    match context.output.form() {
        Form::Json => {
            let documents: Vec<_> = entries.iter().map(entry_document).collect();
            context.output.print_json(&documents)
        }
        Form::Text if long => context.output.print(&entry_table(&entries)),
        Form::Text | Form::Quiet => {
            let lines: String = entries
                .iter()
                .map(|entry| format!("{}\n", name_for_stdout(&entry.name)))
                .collect();
            context.output.print(&lines)
        }
    }
}

pub(crate) fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symlink",
        EntryKind::Other => "other",
    }
}

fn entry_document(entry: &Entry) -> EntryDocument {
    EntryDocument {
        name: entry.name.clone(),
        kind: kind_name(entry.kind),
        size: entry.size.get(),
        modified: entry.modified.to_string(),
        link_target: entry.link_target.clone(),
    }
}

fn entry_table(entries: &[Entry]) -> String {
    const COLUMNS: [Column; 4] = [
        ("TYPE", Align::Left),
        ("SIZE", Align::Right),
        ("MODIFIED", Align::Left),
        ("NAME", Align::Left),
    ];
    let rows = entries.iter().map(|entry| {
        let size = match entry.kind {
            EntryKind::File => quantity::bytes(entry.size.get()),
            _ => "-".to_owned(),
        };
        let name = match &entry.link_target {
            Some(target) => format!("{} -> {}", entry.name, terminal::escape(target)),
            None => entry.name.clone(),
        };
        vec![
            kind_name(entry.kind).to_owned(),
            size,
            entry.modified.to_minutes(),
            name,
        ]
    });
    table::render(&COLUMNS, rows)
}

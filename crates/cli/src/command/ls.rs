//! `cvol ls`: the volumes of the store, or a folder in one of them.

use std::path::PathBuf;

use engine::{
    Access, ByteCount, Claim, ClaimMode, Entry, EntryDetails, EntryKind, Kinship, Place, Timestamp,
    VolumeRecord,
};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::failure::Failure;
use crate::output::table::{self, Align, Column};
use crate::output::{Form, name_for_stdout, quantity, terminal};
use crate::reference;

/// List volumes, or a folder in a volume
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Conditions for --filter: label=KEY, label=KEY=VALUE, name=PART, kind=vhd|bind|smb|tmpfs, fs=FS,
state=STATE, persistent=true|false. A volume must meet every label, and one value of each other key.

With --long, attributes are letters as `attrib` of Windows has them: R read-only, H hidden, S system,
A archive, D directory, L link or other reparse point, P sparse, C compressed, E encrypted, I not
indexed, O offline, T temporary. JSON then tells all times, streams, attributes
and access control as SDDL.

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

    /// Show attributes, number of names, owner, size, time, named streams and target of links
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
    kind: String,
    source: Option<String>,
    read_only: bool,
    file_system: Option<String>,
    size: Option<u64>,
    used: Option<u64>,
    format: Option<String>,
    #[serde(rename = "type")]
    provisioning: Option<String>,
    persistent: bool,
    created: String,
    labels: std::collections::BTreeMap<String, String>,
    /// The snapshot of another volume that it stands on.
    base: Option<String>,
    snapshots: u64,
    /// The machines that have it.
    used_by: Vec<String>,
}

/// An entry of a directory, as `--json` shows it here and in `cvol tree`.
#[derive(Serialize)]
pub(super) struct EntryDocument {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    size: u64,
    modified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_target: Option<String>,
}

impl EntryDocument {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            name: entry.name.clone(),
            kind: kind_name(entry.kind),
            size: entry.size.get(),
            modified: entry.modified.to_string(),
            link_target: entry.link_target.clone(),
        }
    }
}

#[derive(Serialize)]
struct DetailedDocument {
    #[serde(flatten)]
    entry: EntryDocument,
    attributes: u32,
    created: Option<String>,
    changed: Option<String>,
    accessed: Option<String>,
    links: Option<u64>,
    owner: Option<String>,
    sddl: Option<String>,
    streams: Vec<StreamDocument>,
}

#[derive(Serialize)]
struct StreamDocument {
    name: String,
    size: u64,
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
    let kinship = context.engine.kinship()?;
    let claims = context.engine.claims()?;
    match context.output.form() {
        Form::Json => {
            let mut documents = Vec::with_capacity(volumes.len());
            for record in &volumes {
                let used = context.engine.used_bytes(record)?;
                documents.push(volume_document(record, used, &kinship, &claims));
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
                rows.push(volume_row(record, used, long.then_some(&kinship), &claims));
            }
            let shown = if long { VOLUME_COLUMNS.len() } else { 9 };
            context
                .output
                .print(&table::render(&VOLUME_COLUMNS[..shown], rows))
        }
    }
}

fn volume_document(
    record: &VolumeRecord,
    used: Option<ByteCount>,
    kinship: &Kinship,
    claims: &[Claim],
) -> VolumeDocument {
    let disk = record.spec.disk();
    VolumeDocument {
        name: record.name.to_string(),
        id: record.id.to_string(),
        state: record.state.to_string(),
        kind: record.spec.kind().to_string(),
        source: record.spec.source(),
        read_only: record.spec.read_only(),
        file_system: disk.map(|disk| disk.file_system().to_string()),
        size: record.spec.size().map(ByteCount::get),
        used: used.map(ByteCount::get),
        format: disk.map(|disk| disk.format().to_string()),
        provisioning: disk.map(|disk| disk.provisioning().to_string()),
        persistent: record.spec.persistent(),
        created: Timestamp::from_unix_milliseconds(record.created_unix_ms).to_string(),
        labels: record.labels.clone(),
        base: kinship.bases.get(&record.id).cloned(),
        snapshots: kinship.snapshots.get(&record.id).copied().unwrap_or(0),
        used_by: users(record, claims),
    }
}

/// The machines that have a volume, each with how: `web:rw`.
fn users(record: &VolumeRecord, claims: &[Claim]) -> Vec<String> {
    let of_it = claims.iter().filter(|claim| claim.volume == record.id);
    let users = of_it.map(|claim| {
        let mode = match claim.mode {
            ClaimMode::Reader => "ro",
            ClaimMode::Writer => "rw",
        };
        format!("{}:{mode}", claim.claimant.holder)
    });
    let users: std::collections::BTreeSet<String> = users.collect();
    users.into_iter().collect()
}

/// The columns of the table of volumes; the last five with `--long` only.
const VOLUME_COLUMNS: [Column; 14] = [
    ("NAME", Align::Left),
    ("KIND", Align::Left),
    ("FS", Align::Left),
    ("SIZE", Align::Right),
    ("USED", Align::Right),
    ("FORMAT", Align::Left),
    ("CREATED", Align::Left),
    ("USED BY", Align::Left),
    ("SOURCE", Align::Left),
    ("TYPE", Align::Left),
    ("STATE", Align::Left),
    ("SNAPSHOTS", Align::Right),
    ("BASE", Align::Left),
    ("LABELS", Align::Left),
];

/// `kinship` where the long columns are shown.
fn volume_row(
    record: &VolumeRecord,
    used: Option<ByteCount>,
    kinship: Option<&Kinship>,
    claims: &[Claim],
) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let disk = record.spec.disk();
    // What lies elsewhere takes nothing here.
    let used = disk.and(used);
    let mut row = vec![
        record.name.to_string(),
        record.spec.kind().to_string(),
        or_dash(disk.map(|disk| disk.file_system().to_string())),
        or_dash(record.spec.size().map(|size| quantity::bytes(size.get()))),
        or_dash(used.map(|used| quantity::bytes(used.get()))),
        or_dash(disk.map(|disk| disk.format().to_string())),
        Timestamp::from_unix_milliseconds(record.created_unix_ms).to_minutes(),
        match users(record, claims) {
            users if users.is_empty() => "-".to_owned(),
            users => users.join(","),
        },
        or_dash(record.spec.source()),
    ];
    if let Some(kinship) = kinship {
        let labels = record.labels.iter();
        let labels: Vec<_> = labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        row.extend([
            or_dash(disk.map(|disk| disk.provisioning().to_string())),
            record.state.to_string(),
            kinship
                .snapshots
                .get(&record.id)
                .copied()
                .unwrap_or(0)
                .to_string(),
            kinship
                .bases
                .get(&record.id)
                .cloned()
                .unwrap_or_else(|| "-".to_owned()),
            labels.join(","),
        ]);
    }
    row
}

fn list_folder(context: &Context, place: &Place, long: bool) -> std::result::Result<(), Failure> {
    if long {
        return list_in_detail(context, place);
    }
    let entries = context.engine.list_folder(place)?;
    match context.output.form() {
        Form::Json => {
            let documents: Vec<_> = entries.iter().map(EntryDocument::of).collect();
            context.output.print_json(&documents)
        }
        Form::Text | Form::Quiet => context.output.print(&names(entries.iter())),
    }
}

/// A name a line.
fn names<'e>(entries: impl Iterator<Item = &'e Entry>) -> String {
    entries
        .map(|entry| format!("{}\n", name_for_stdout(&entry.name)))
        .collect()
}

type Detailed = (Entry, Option<EntryDetails>);

fn list_in_detail(context: &Context, place: &Place) -> std::result::Result<(), Failure> {
    let entries = context.engine.list_folder_in_detail(place)?;
    match context.output.form() {
        Form::Json => {
            let documents: Vec<_> = entries.iter().map(detailed_document).collect();
            context.output.print_json(&documents)
        }
        Form::Text => context.output.print(&entry_table(&entries)),
        Form::Quiet => context
            .output
            .print(&names(entries.iter().map(|(entry, _)| entry))),
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

fn detailed_document((entry, details): &Detailed) -> DetailedDocument {
    let time = |time: fn(&EntryDetails) -> Option<Timestamp>| {
        let time = details.as_ref().and_then(time)?;
        Some(time.to_string())
    };
    DetailedDocument {
        entry: EntryDocument::of(entry),
        attributes: entry.attributes,
        created: time(|details| details.created),
        changed: time(|details| details.changed),
        accessed: time(|details| details.accessed),
        links: details.as_ref().map(|details| details.links),
        owner: access(details).and_then(|access| access.owner.clone()),
        sddl: access(details).map(|access| access.sddl.clone()),
        streams: details.as_ref().map_or_else(Vec::new, |details| {
            details
                .streams
                .iter()
                .map(|(name, size)| StreamDocument {
                    name: name.clone(),
                    size: size.get(),
                })
                .collect()
        }),
    }
}

fn access(details: &Option<EntryDetails>) -> Option<&Access> {
    details.as_ref()?.access.as_ref()
}

/// Attributes as letters ([MS-FSCC] 2.6), in the order of `attrib`.
fn attribute_letters(attributes: u32) -> String {
    const LETTERS: [(u32, char); 12] = [
        (0x20, 'A'),
        (0x04, 'S'),
        (0x02, 'H'),
        (0x01, 'R'),
        (0x10, 'D'),
        (0x400, 'L'),
        (0x200, 'P'),
        (0x800, 'C'),
        (0x4000, 'E'),
        (0x2000, 'I'),
        (0x1000, 'O'),
        (0x100, 'T'),
    ];
    let letters: String = LETTERS
        .iter()
        .filter(|(bit, _)| attributes & bit != 0)
        .map(|(_, letter)| letter)
        .collect();
    if letters.is_empty() {
        "-".to_owned()
    } else {
        letters
    }
}

fn entry_table(entries: &[Detailed]) -> String {
    const COLUMNS: [Column; 7] = [
        ("TYPE", Align::Left),
        ("ATTR", Align::Left),
        ("LINKS", Align::Right),
        ("OWNER", Align::Left),
        ("SIZE", Align::Right),
        ("MODIFIED", Align::Left),
        ("NAME", Align::Left),
    ];
    let mut rows = Vec::with_capacity(entries.len());
    for (entry, details) in entries {
        let size = match entry.kind {
            EntryKind::File => quantity::bytes(entry.size.get()),
            _ => "-".to_owned(),
        };
        let name = match &entry.link_target {
            Some(target) => format!("{} -> {}", entry.name, terminal::escape(target)),
            None => entry.name.clone(),
        };
        let links = details
            .as_ref()
            .map_or_else(|| "?".to_owned(), |details| details.links.to_string());
        let owner = access(details).and_then(|access| access.owner.as_deref());
        rows.push(vec![
            kind_name(entry.kind).to_owned(),
            attribute_letters(entry.attributes),
            links,
            owner.unwrap_or("-").to_owned(),
            size,
            entry.modified.to_minutes(),
            name,
        ]);
        let streams = details.iter().flat_map(|details| &details.streams);
        for (stream, size) in streams {
            rows.push(vec![
                "stream".to_owned(),
                String::new(),
                String::new(),
                String::new(),
                quantity::bytes(size.get()),
                String::new(),
                format!("{}:{stream}", entry.name),
            ]);
        }
    }
    table::render(&COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_letters() {
        for (attributes, letters) in [(0, "-"), (0x23, "AHR"), (0x410, "DL"), (0x80, "-")] {
            assert_eq!(attribute_letters(attributes), letters);
        }
    }
}

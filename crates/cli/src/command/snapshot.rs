//! `cvol snapshot`: states of a volume that are kept.

use clap::Subcommand;
use engine::{ErrorKind, ImageReference, LayerDetails, SnapshotState, Timestamp, VolumeRecord};
use serde::Serialize;

use super::{Context, Outcome, Result, diff, values};
use crate::failure::OnTheWay;
use crate::output::table::{self, Align, Column};
use crate::output::{Form, quantity};

/// Keep, show, restore, compare and remove states of a volume
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
A snapshot is written VOLUME@SNAPSHOT, and can be read wherever a volume can: ls, tree, cat, cp out of
it, export, info, check, fsck, convert. It can be cloned with `cvol clone`.

Examples:
  cvol snapshot create data@before-upgrade
  cvol snapshot ls data
  cvol cat data@before-upgrade:/config.ini
  cvol snapshot diff --files data@before-upgrade
  cvol snapshot restore data@before-upgrade
  cvol snapshot rm data@before-upgrade"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Keep what a volume holds now
    ///
    /// It takes a moment, whatever the size. The volume must not be in use.
    Create(Create),
    /// List snapshots
    Ls(Ls),
    /// Make a volume what it was
    ///
    /// What was written since the snapshot, and is in no other snapshot, is lost. It takes a moment,
    /// whatever the size. The volume must not be in use.
    Restore(Restore),
    /// Remove snapshots
    ///
    /// The volume and its other snapshots hold what they held: where a layer stands on the snapshot's,
    /// the two are merged, which takes as long as copying the smaller one. A removal that was stopped
    /// goes on when it is asked for again. A snapshot that clones stand on is not removed.
    Rm(Remove),
    /// Show where two snapshots differ, or a snapshot and its volume now
    ///
    /// As `cvol diff`, whose help says more.
    Diff(Diff),
}

#[derive(Debug, clap::Args)]
struct Diff {
    /// Snapshot before
    #[arg(value_name = "VOLUME@SNAPSHOT")]
    before: String,

    /// Snapshot or volume afterwards [default: the volume of the first]
    #[arg(value_name = "VOLUME[@SNAPSHOT]")]
    after: Option<String>,

    /// Show files instead of ranges; JSON has both
    #[arg(long)]
    files: bool,
}

#[derive(Debug, clap::Args)]
struct Remove {
    /// Snapshots to remove
    #[arg(value_name = "VOLUME@SNAPSHOT", required = true)]
    names: Vec<String>,

    /// Do not fail for what is not there
    #[arg(short, long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Snapshots to take
    #[arg(value_name = "VOLUME@SNAPSHOT", required = true)]
    names: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Ls {
    /// Volumes whose snapshots are listed [default: all]
    #[arg(value_name = "VOLUME")]
    volumes: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Restore {
    /// Snapshot to restore
    #[arg(value_name = "VOLUME@SNAPSHOT")]
    name: String,
}

/// A snapshot as `--json` tells it.
#[derive(Serialize)]
struct Document {
    name: String,
    volume: String,
    snapshot: String,
    created: String,
    state: String,
    /// What it stands on.
    parent: Option<String>,
    /// Bytes that its own layer takes on the host.
    used: Option<u64>,
    layer: String,
}

#[derive(Serialize)]
struct RemovedDocument {
    name: String,
    /// Bytes that were copied from one layer into another.
    copied: u64,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        match self.verb {
            Verb::Create(arguments) => arguments.run(context),
            Verb::Ls(arguments) => arguments.run(context),
            Verb::Restore(arguments) => arguments.run(context),
            Verb::Rm(arguments) => arguments.run(context),
            Verb::Diff(arguments) => arguments.run(context),
        }
    }
}

impl Create {
    fn run(self, context: &Context) -> Result {
        let mut created = Vec::new();
        let mut failures = OnTheWay::new(context.output.form());
        let epoch = values::source_date_epoch()?;
        for name in self.names {
            match context.engine.take_snapshot(&name, epoch) {
                Ok(_) => {
                    if context.output.form() != Form::Json {
                        context.output.print_name(&name)?;
                    }
                    created.push(name);
                }
                Err(error) => failures.add(error),
            }
        }
        if context.output.form() == Form::Json {
            let document = serde_json::json!({ "created": created });
            context.output.print_json(&document)?;
        }
        failures.end()?;
        Ok(Outcome::Done)
    }
}

impl Restore {
    fn run(self, context: &Context) -> Result {
        let restored = context.engine.restore_snapshot(&self.name)?;
        match context.output.form() {
            Form::Json => context.output.print_json(&serde_json::json!({
                "restored": self.name,
                "created": Timestamp::from_unix_milliseconds(restored.created_unix_ms).to_string(),
            }))?,
            Form::Quiet | Form::Text => context.output.print_name(&self.name)?,
        }
        Ok(Outcome::Done)
    }
}

impl Diff {
    fn run(self, context: &Context) -> Result {
        let after = self.after.unwrap_or_else(|| {
            let volume = self.before.split('@').next();
            volume.unwrap_or(&self.before).to_owned()
        });
        let (before, after) = (
            ImageReference::Volume(self.before),
            ImageReference::Volume(after),
        );
        diff::show(context, &before, &after, self.files)?;
        Ok(Outcome::Done)
    }
}

impl Remove {
    fn run(self, context: &Context) -> Result {
        let mut removed = Vec::new();
        let mut failures = OnTheWay::new(context.output.form());
        for name in self.names {
            let outcome = context.watched("merging", |engine, report| {
                engine.remove_snapshot(&name, report)
            });
            match outcome {
                Ok(outcome) => {
                    if context.output.form() != Form::Json {
                        context.output.print_name(&name)?;
                    }
                    removed.push(RemovedDocument {
                        name,
                        copied: outcome.copied.get(),
                    });
                }
                Err(error) if self.force && error.kind() == ErrorKind::NotFound => {}
                Err(error) => failures.add(error),
            }
        }
        if context.output.form() == Form::Json {
            let document = serde_json::json!({ "removed": removed });
            context.output.print_json(&document)?;
        }
        failures.end()?;
        Ok(Outcome::Done)
    }
}

impl Ls {
    fn run(self, context: &Context) -> Result {
        let volumes = match self.volumes.is_empty() {
            false => self.volumes,
            true => {
                let all = context.engine.list_volumes(&[])?;
                all.iter().map(|record| record.name.to_string()).collect()
            }
        };
        let mut documents = Vec::new();
        for volume in &volumes {
            let (record, layers) = context.engine.list_layers(volume)?;
            let mut of_volume: Vec<_> = layers
                .iter()
                .filter_map(|layer| document(&record, layer))
                .collect();
            of_volume.sort_by(|a, b| a.created.cmp(&b.created));
            documents.extend(of_volume);
        }
        match context.output.form() {
            Form::Json => context.output.print_json(&documents)?,
            Form::Quiet => {
                for document in &documents {
                    context.output.print_name(&document.name)?;
                }
            }
            Form::Text => context.output.print(&text(&documents))?,
        }
        Ok(Outcome::Done)
    }
}

fn document(record: &VolumeRecord, layer: &LayerDetails) -> Option<Document> {
    let snapshot = layer.snapshot.as_ref()?;
    Some(Document {
        name: format!("{}@{}", record.name, snapshot.name),
        volume: record.name.to_string(),
        snapshot: snapshot.name.to_string(),
        created: Timestamp::from_unix_milliseconds(snapshot.created_unix_ms).to_string(),
        state: match snapshot.state {
            SnapshotState::Ready => "ready".to_owned(),
            SnapshotState::Removing => "removing".to_owned(),
        },
        parent: layer.parent.clone(),
        used: layer.allocated_bytes,
        layer: layer.layer.id.to_string(),
    })
}

fn text(documents: &[Document]) -> String {
    const COLUMNS: [Column; 5] = [
        ("SNAPSHOT", Align::Left),
        ("CREATED", Align::Left),
        ("USED", Align::Right),
        ("ON", Align::Left),
        ("STATE", Align::Left),
    ];
    let rows = documents.iter().map(|document| {
        let used = document.used.map(quantity::bytes);
        vec![
            document.name.clone(),
            document.created.clone(),
            used.unwrap_or_else(|| "-".to_owned()),
            document.parent.clone().unwrap_or_else(|| "-".to_owned()),
            document.state.clone(),
        ]
    });
    table::render(&COLUMNS, rows.collect::<Vec<_>>())
}

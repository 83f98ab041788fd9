//! `cvol hcs ls`, `cvol hcs show`: what the Host Compute Service runs.

use engine::{HcsSystemDetails, HcsSystemState, HcsSystemSummary};
use serde::Serialize;

use crate::command::{Context, Outcome, Result};
use crate::output::table::{self, Align, Column};
use crate::output::{Form, terminal};

/// List the systems of the Host Compute Service
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Virtual machines and containers, whoever made them. On Windows only; the caller has to be one of
Administrators or Hyper-V Administrators.

Examples:
  cvol hcs ls
  cvol hcs ls --quiet")]
pub(super) struct List {}

/// Show a system of the Host Compute Service
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The newest version of documents that this host takes is what --schema of other verbs wants. Figures are of
the whole system since it started: the service tells none by disk.

Examples:
  cvol hcs show 0f0e0d0c-0b0a-4908-8706-050403020100
  cvol hcs show web --json")]
pub(super) struct Show {
    /// The identifier of the system
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Serialize)]
struct SystemDocument<'s> {
    id: &'s str,
    owner: &'s str,
    kind: &'s str,
    /// `created`, `running`, `paused`, `stopped`, or another word of the service.
    state: String,
}

#[derive(Serialize)]
struct DetailsDocument<'s> {
    id: &'s str,
    state: String,
    schema: String,
    storage: Option<StorageDocument>,
}

#[derive(Serialize)]
struct StorageDocument {
    reads: u64,
    read_bytes: u64,
    writes: u64,
    written_bytes: u64,
}

fn word(state: &HcsSystemState) -> String {
    match state {
        HcsSystemState::Created => "created".to_owned(),
        HcsSystemState::Running => "running".to_owned(),
        HcsSystemState::Paused => "paused".to_owned(),
        HcsSystemState::Stopped => "stopped".to_owned(),
        HcsSystemState::Other(word) => word.to_lowercase(),
    }
}

impl List {
    pub(super) fn run(self, context: &Context) -> Result {
        let systems = context.engine.hcs_systems()?;
        match context.output.form() {
            Form::Json => {
                let documents: Vec<_> = systems.iter().map(document).collect();
                context.output.print_json(&documents)?;
            }
            Form::Quiet => {
                for system in &systems {
                    context.output.print_name(&system.id)?;
                }
            }
            Form::Text => context.output.print(&list_text(&systems))?,
        }
        Ok(Outcome::Done)
    }
}

fn document(system: &HcsSystemSummary) -> SystemDocument<'_> {
    SystemDocument {
        id: &system.id,
        owner: &system.owner,
        kind: &system.kind,
        state: word(&system.state),
    }
}

fn list_text(systems: &[HcsSystemSummary]) -> String {
    const COLUMNS: [Column; 4] = [
        ("ID", Align::Left),
        ("KIND", Align::Left),
        ("STATE", Align::Left),
        ("OWNER", Align::Left),
    ];
    let rows = systems.iter().map(|system| {
        vec![
            system.id.clone(),
            system.kind.clone(),
            word(&system.state),
            system.owner.clone(),
        ]
    });
    table::render(&COLUMNS, rows)
}

impl Show {
    pub(super) fn run(self, context: &Context) -> Result {
        let details = context.engine.hcs_system(&self.id)?;
        let document = DetailsDocument {
            id: &details.id,
            state: word(&details.state),
            schema: details.schema.to_string(),
            storage: details.storage.map(|storage| StorageDocument {
                reads: storage.reads,
                read_bytes: storage.read_bytes,
                writes: storage.writes,
                written_bytes: storage.written_bytes,
            }),
        };
        context.output.report(&document, || show_text(&details))?;
        Ok(Outcome::Done)
    }
}

fn show_text(details: &HcsSystemDetails) -> String {
    let id = terminal::escape(&details.id);
    let (state, schema) = (word(&details.state), details.schema);
    let state = terminal::escape(&state);
    let mut text = format!("system   {id}\nstate    {state}\nschema   {schema}\n");
    if let Some(storage) = details.storage {
        text.push_str(&format!(
            "reads    {} ({} bytes)\nwrites   {} ({} bytes)\n",
            storage.reads, storage.read_bytes, storage.writes, storage.written_bytes
        ));
    }
    text
}

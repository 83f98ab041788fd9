//! `cvol prune`: volumes that nobody needs any more, removed together.

use std::io::{self, BufRead, IsTerminal, Write};

use engine::{PruneOutcome, VolumeRecord};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::failure::Failure;
use crate::output::{Form, quantity};

/// Remove all volumes that are not persistent
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Volumes made with `-o persistent=false` are removed; with --all, the persistent ones too. Volumes in
use are left alone.

Conditions: label=KEY, label=KEY=VALUE, name=PART, fs=FS, persistent=true|false. A volume must meet
every label, and one value of each other key.

Examples:
  cvol prune
  cvol prune --force --filter label=ci
  cvol prune --all --filter name=test- --json --force")]
pub(crate) struct Arguments {
    /// Remove persistent volumes too
    #[arg(short, long)]
    all: bool,

    /// Only volumes that meet this condition; may be repeated
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,

    /// Do not ask
    #[arg(short, long, visible_short_alias = 'y')]
    force: bool,
}

#[derive(Serialize)]
struct Document {
    removed: Vec<String>,
    in_use: Vec<String>,
    reclaimed_bytes: u64,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        if !self.force && !self.is_confirmed(context)? {
            return Ok(Outcome::Done);
        }
        let outcome = context.engine.prune_volumes(&self.filters, self.all)?;
        match context.output.form() {
            Form::Json => context.output.print_json(&document(&outcome))?,
            Form::Quiet => context.output.print(&lines(&outcome.removed))?,
            Form::Text => {
                for record in &outcome.in_use {
                    context.output.note(&format!("{} is in use", record.name));
                }
                let reclaimed = quantity::bytes(outcome.reclaimed_bytes);
                let removed = lines(&outcome.removed);
                context
                    .output
                    .print(&format!("{removed}reclaimed {reclaimed}\n"))?;
            }
        }
        Ok(Outcome::Done)
    }

    /// Asks on the terminal; where there is none, nothing is removed without `--force`.
    fn is_confirmed(&self, context: &Context) -> std::result::Result<bool, Failure> {
        let candidates = context.engine.prune_candidates(&self.filters, self.all)?;
        if candidates.is_empty() {
            return Ok(true);
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(
                format!(
                    "{} would be removed, and nobody can be asked",
                    quantity::counted(count(&candidates), "volume", "volumes")
                ),
                "say `--force` to remove without asking",
            ));
        }
        let mut stderr = io::stderr().lock();
        write!(stderr, "{}remove these? [y/N] ", lines(&candidates))?;
        stderr.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "y" | "yes"
        ))
    }
}

fn count(records: &[VolumeRecord]) -> u64 {
    u64::try_from(records.len()).unwrap_or(u64::MAX)
}

fn names(records: &[VolumeRecord]) -> Vec<String> {
    records
        .iter()
        .map(|record| record.name.to_string())
        .collect()
}

fn lines(records: &[VolumeRecord]) -> String {
    records
        .iter()
        .map(|record| format!("{}\n", record.name))
        .collect()
}

fn document(outcome: &PruneOutcome) -> Document {
    Document {
        removed: names(&outcome.removed),
        in_use: names(&outcome.in_use),
        reclaimed_bytes: outcome.reclaimed_bytes,
    }
}

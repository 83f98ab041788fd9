//! `cvol vm ls`: the machines that cvol started.

use engine::{Timestamp, VmState};
use serde::Serialize;

use crate::command::{Context, Outcome, Result};
use crate::output::table::{self, Align, Column};
use crate::output::{Form, quantity};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A machine that ended by itself is listed until it is removed.

Examples:
  cvol vm ls
  cvol vm ls --json")]
pub(super) struct Arguments {}

/// A machine as `--json` tells it.
#[derive(Serialize)]
struct Document<'v> {
    name: &'v str,
    /// `running` or `ended`.
    state: &'static str,
    /// Bytes.
    memory: u64,
    cpus: u16,
    /// `kvm` or `tcg`; none where the machine never came that far.
    accelerator: Option<&'v str>,
    started: String,
    owner: &'v str,
}

impl Arguments {
    pub(super) fn run(self, context: &Context) -> Result {
        let vms = context.engine.vms()?;
        match context.output.form() {
            Form::Json => {
                let documents: Vec<Document<'_>> = vms.iter().map(document).collect();
                context.output.print_json(&documents)?;
            }
            Form::Quiet => {
                for vm in &vms {
                    context.output.print_name(&vm.name)?;
                }
            }
            Form::Text => context.output.print(&text(&vms))?,
        }
        Ok(Outcome::Done)
    }
}

fn state(vm: &VmState) -> &'static str {
    if vm.is_running { "running" } else { "ended" }
}

fn document(vm: &VmState) -> Document<'_> {
    Document {
        name: &vm.name,
        state: state(vm),
        memory: vm.memory.get(),
        cpus: vm.processors,
        accelerator: vm.accelerator.as_deref(),
        started: Timestamp::from_unix_milliseconds(vm.since_unix_ms).to_string(),
        owner: &vm.owner,
    }
}

fn text(vms: &[VmState]) -> String {
    const COLUMNS: [Column; 6] = [
        ("NAME", Align::Left),
        ("STATE", Align::Left),
        ("MEMORY", Align::Right),
        ("CPUS", Align::Right),
        ("BY", Align::Left),
        ("STARTED", Align::Left),
    ];
    let rows = vms.iter().map(|vm| {
        vec![
            vm.name.clone(),
            state(vm).to_owned(),
            quantity::bytes(vm.memory.get()),
            vm.processors.to_string(),
            vm.accelerator.clone().unwrap_or_default(),
            Timestamp::from_unix_milliseconds(vm.since_unix_ms).to_minutes(),
        ]
    });
    table::render(&COLUMNS, rows)
}

//! `cvol ps`: what is attached where, since when, by whom.

use engine::{Attachment, GuestWork, Timestamp};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::Form;
use crate::output::table::{self, Align, Column};

/// List what is attached to virtual machines
#[derive(Debug, clap::Args)]
#[command(after_help = "\
STATE is `attached`; `attaching` while somebody does that, or died over it (the next command on the
machine undoes it then); `detaching` where that has to be tried again (`cvol detach`); `lost` where the
machine has it no more, since it was started again or is gone (`cvol detach` cleans up). SERVED tells
whether the export that the machine has its disk from is alive; one that died is started again by this
command too.

Examples:
  cvol ps
  cvol ps --vm web
  cvol ps --json | jq '.[].mounts[].target'")]
pub(crate) struct Arguments {
    /// Only what this machine has
    #[arg(long, value_name = "NAME")]
    vm: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct AttachmentDocument<'a> {
    machine: String,
    attachment: u64,
    owner: String,
    since: String,
    mounts: Vec<MountDocument>,
    /// What there is to do in the guest where nobody here talks to it.
    guest_work: Option<&'a GuestWork>,
}

#[derive(Serialize)]
struct MountDocument {
    source: String,
    volume: Option<String>,
    target: String,
    read_only: bool,
    state: &'static str,
    slot: Option<String>,
    served: Option<bool>,
    fault: Option<String>,
}

impl<'a> AttachmentDocument<'a> {
    pub(crate) fn of(attachment: &'a Attachment) -> Self {
        Self {
            machine: attachment.machine.clone(),
            attachment: attachment.id,
            owner: attachment.owner.clone(),
            since: attachment.since.to_string(),
            guest_work: attachment.guest_work.as_ref(),
            mounts: attachment
                .mounts
                .iter()
                .map(|mount| MountDocument {
                    source: mount.source.clone(),
                    volume: mount.volume.clone(),
                    target: mount.target.clone(),
                    read_only: mount.read_only,
                    state: mount.state.as_str(),
                    slot: mount.slot.clone(),
                    served: mount.is_served,
                    fault: mount.fault.clone(),
                })
                .collect(),
        }
    }
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let attachments = context.engine.attachments(self.vm.as_deref())?;
        match context.output.form() {
            Form::Json => {
                let documents: Vec<_> = attachments.iter().map(AttachmentDocument::of).collect();
                context.output.print_json(&documents)?;
            }
            Form::Quiet => {
                let lines = attachments
                    .iter()
                    .map(|it| format!("{}/{}\n", it.machine, it.id));
                context.output.print(&lines.collect::<String>())?;
            }
            Form::Text => context.output.print(&text(&attachments))?,
        }
        Ok(Outcome::Done)
    }
}

fn text(attachments: &[Attachment]) -> String {
    const COLUMNS: [Column; 9] = [
        ("MACHINE", Align::Left),
        ("ID", Align::Right),
        ("SOURCE", Align::Left),
        ("TARGET", Align::Left),
        ("MODE", Align::Left),
        ("STATE", Align::Left),
        ("SERVED", Align::Left),
        ("SINCE", Align::Left),
        ("BY", Align::Left),
    ];
    let mut rows = Vec::new();
    for attachment in attachments {
        for mount in &attachment.mounts {
            rows.push(vec![
                attachment.machine.clone(),
                attachment.id.to_string(),
                mount.source.clone(),
                mount.target.clone(),
                if mount.read_only { "ro" } else { "rw" }.to_owned(),
                mount.state.as_str().to_owned(),
                match mount.is_served {
                    None => "-",
                    Some(true) => "yes",
                    Some(false) => "no",
                }
                .to_owned(),
                Timestamp::to_minutes(attachment.since),
                attachment.owner.clone(),
            ]);
        }
    }
    table::render(&COLUMNS, rows)
}

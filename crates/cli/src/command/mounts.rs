//! `cvol mounts`: what is mounted on this host.

use engine::HostMount;
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::Form;
use crate::output::table::{self, Align, Column};

/// List the volumes that are mounted on this host (Windows)
#[derive(Debug, clap::Args)]
#[command(after_help = "\
ATTACHED is `no` for one that a start of the host ended: `cvol umount` releases it. What virtual machines
have is listed by `cvol ps`.

Examples:
  cvol mounts
  cvol mounts --json | jq '.[].target'")]
pub(crate) struct Arguments {}

#[derive(Serialize)]
pub(super) struct MountDocument<'m> {
    volume: &'m str,
    target: &'m str,
    read_only: bool,
    since: String,
    attached: Option<bool>,
}

impl<'m> MountDocument<'m> {
    pub(super) fn of(mount: &'m HostMount) -> Self {
        Self {
            volume: &mount.volume,
            target: &mount.target,
            read_only: mount.read_only,
            since: mount.since.to_string(),
            attached: mount.is_attached,
        }
    }
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let mounts = context.engine.host_mounts()?;
        match context.output.form() {
            Form::Json => {
                let documents: Vec<_> = mounts.iter().map(MountDocument::of).collect();
                context.output.print_json(&documents)?;
            }
            Form::Quiet => {
                for mount in &mounts {
                    context.output.print_name(&mount.target)?;
                }
            }
            Form::Text => context.output.print(&text(&mounts))?,
        }
        Ok(Outcome::Done)
    }
}

fn text(mounts: &[HostMount]) -> String {
    const COLUMNS: [Column; 5] = [
        ("VOLUME", Align::Left),
        ("TARGET", Align::Left),
        ("MODE", Align::Left),
        ("ATTACHED", Align::Left),
        ("SINCE", Align::Left),
    ];
    let rows = mounts.iter().map(|mount| {
        let attached = match mount.is_attached {
            None => "-",
            Some(true) => "yes",
            Some(false) => "no",
        };
        vec![
            mount.volume.clone(),
            mount.target.clone(),
            if mount.read_only { "ro" } else { "rw" }.to_owned(),
            attached.to_owned(),
            mount.since.to_minutes(),
        ]
    });
    table::render(&COLUMNS, rows)
}

//! `cvol hcs grant`, `cvol hcs revoke`: files that machines of Hyper-V may open.

use std::path::PathBuf;

use clap::Args;
use engine::MachineAccess;

use crate::command::{Context, Outcome, Result};
use crate::output::{Form, terminal};

/// Let a virtual machine of Hyper-V open a file (Windows)
#[derive(Debug, Args)]
#[command(after_help = "\
Does by the access list of the file what HcsGrantVmAccess does, for a host that has no such function, and for
files that cvol does not attach itself. The machine is named by its GUID.

Examples:
  cvol hcs grant 0f0e0d0c-0b0a-4908-8706-050403020100 disk.vhdx
  cvol hcs grant --all base.vhdx --readonly")]
pub(super) struct Grant {
    #[command(flatten)]
    what: Subject,

    /// Let it only read
    #[arg(long)]
    readonly: bool,
}

/// Take that back (Windows)
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvol hcs revoke 0f0e0d0c-0b0a-4908-8706-050403020100 disk.vhdx
  cvol hcs revoke --all base.vhdx")]
pub(super) struct Revoke {
    #[command(flatten)]
    what: Subject,
}

/// A machine and a file; with `--all` the file alone.
#[derive(Debug, Args)]
struct Subject {
    /// The machine, unless --all, and the file
    #[arg(value_names = ["GUID", "FILE"], num_args = 1..=2, required = true)]
    words: Vec<String>,

    /// All machines of this host
    #[arg(long)]
    all: bool,
}

impl Subject {
    fn parts(self) -> std::result::Result<(MachineAccess, PathBuf), crate::failure::Failure> {
        let mut words = self.words.into_iter();
        match (self.all, words.next(), words.next()) {
            (true, Some(file), None) => Ok((MachineAccess::All, PathBuf::from(file))),
            (false, Some(guid), Some(file)) => Ok((MachineAccess::One(guid), PathBuf::from(file))),
            _ => Err(crate::failure::Failure::usage(
                "one machine and one file are wanted, or --all and a file",
                "write `cvol hcs grant GUID FILE`",
            )),
        }
    }
}

impl Grant {
    pub(super) fn run(self, context: &Context) -> Result {
        let (who, file) = self.what.parts()?;
        let is_new = context.engine.grant_machine(&who, &file, !self.readonly)?;
        told(
            context,
            &file,
            if is_new {
                "may be opened"
            } else {
                "could be opened before"
            },
        )
    }
}

impl Revoke {
    pub(super) fn run(self, context: &Context) -> Result {
        let (who, file) = self.what.parts()?;
        let was_there = context.engine.revoke_machine(&who, &file)?;
        told(
            context,
            &file,
            if was_there {
                "may not be opened any more"
            } else {
                "was not granted"
            },
        )
    }
}

fn told(context: &Context, file: &std::path::Path, what: &str) -> Result {
    if context.output.form() == Form::Text {
        let file = file.display().to_string();
        let file = terminal::escape(&file);
        context.output.print(&format!("{file}: {what}\n"))?;
    }
    Ok(Outcome::Done)
}

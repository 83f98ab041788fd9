//! `cvol vm`: machines that cvol starts itself.

mod exec;
mod list;
mod run;

use clap::Subcommand;
use engine::ErrorKind;

use super::{Context, Outcome, Result};
use crate::failure::OnTheWay;

/// Start, use and end small virtual machines
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
The machine is one of QEMU, by KVM where that works, with four SCSI controllers, the agent of cvol in
it, and a network in which this host is 10.0.2.2. It boots a kernel and a file system in memory
(vmlinuz and initramfs.cpio of a folder; `cargo xtask setup test` makes one), and all that it holds is
gone when it ends; what is attached to it stays.

Examples:
  cvol vm run -- uname -a
  cvol vm run --name web --detach
  cvol vm exec web -- ls /data
  cvol vm ls
  cvol vm stop web"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start a machine, and run a command in it
    Run(run::Arguments),
    /// List the machines that cvol started
    Ls(list::Arguments),
    /// Run a command in a machine
    Exec(exec::Arguments),
    /// End machines, and remove what is kept of them
    Stop(Stop),
    /// Remove what is kept of machines that have ended
    Rm(Remove),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is attached is taken away first. A guest that does not end by itself is ended by force.

Examples:
  cvol vm stop web
  cvol vm stop --all")]
struct Stop {
    /// Machines to end
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,

    /// End all that cvol started
    #[arg(short, long, conflicts_with = "names")]
    all: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cvol vm rm web
  cvol vm rm --force web")]
struct Remove {
    /// Machines to remove
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// End those that run; do not fail for what is not there
    #[arg(short, long)]
    force: bool,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        match self.verb {
            Verb::Run(arguments) => arguments.run(context),
            Verb::Ls(arguments) => arguments.run(context),
            Verb::Exec(arguments) => arguments.run(context),
            Verb::Stop(arguments) => arguments.run(context),
            Verb::Rm(arguments) => arguments.run(context),
        }
    }
}

impl Stop {
    fn run(self, context: &Context) -> Result {
        let names = if self.all {
            let vms = context.engine.vms()?;
            vms.into_iter().map(|vm| vm.name).collect()
        } else {
            self.names
        };
        each(context, &names, |name| context.engine.stop_vm(name))
    }
}

impl Remove {
    fn run(self, context: &Context) -> Result {
        each(context, &self.names, |name| {
            if !self.force {
                return context.engine.remove_vm(name);
            }
            match context.engine.stop_vm(name) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                ended => ended,
            }
        })
    }
}

/// Does something to each machine, names it on standard output when it is done, and goes on where one
/// fails.
fn each(context: &Context, names: &[String], act: impl Fn(&str) -> engine::Result<()>) -> Result {
    let form = context.output.form();
    let mut failures = OnTheWay::new(form);
    let mut done = Vec::new();
    for name in names {
        match act(name) {
            Ok(()) if form == crate::output::Form::Json => done.push(name),
            Ok(()) => context.output.print_name(name)?,
            Err(error) => failures.add(error),
        }
    }
    if form == crate::output::Form::Json {
        context.output.print_json(&done)?;
    }
    failures.end()?;
    Ok(Outcome::Done)
}

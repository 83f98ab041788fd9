//! `cvol vm run`: a machine, and a command in it.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use engine::{Accelerator, AttachMounts, ByteCount, StartVm, StartedVm};
use serde::Serialize;

use super::exec;
use crate::command::{Context, Outcome, Result, values};
use crate::interrupt;
use crate::output::Form;
use crate::steps::Steps;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
With a command the machine ends with it, and the exit code is that of the command. Without one it runs
until Ctrl-C; with --detach it stays until `cvol vm stop`. A first Ctrl-C ends everything in order; a
second one ends cvol alone, and `cvol vm stop` the rest.

The kernel and the first file system are vmlinuz and initramfs.cpio of --guest-folder, or of the folder
in CVOL_GUEST, or of a folder guest beside cvol; the agent is cvol-guest-agent beside cvol, or what
CVOL_GUEST_AGENT names. QEMU is qemu-system-x86_64 on the path, or what CVOL_QEMU names.

Examples:
  cvol vm run -- uname -a
  cvol vm run --mount source=data,target=/data -- sh -c 'date > /data/now'
  cvol vm run -m type=bind,src=/srv,dst=/srv,ro -m type=tmpfs,dst=/tmp -- ls /srv
  cvol vm run --memory 2G --cpus 4 -- sh -c 'free -m; nproc'
  cvol vm run --name web --detach")]
pub(super) struct Arguments {
    /// Name of the machine [default: vm1, vm2, ...]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Its memory
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = values::size)]
    memory: ByteCount,

    /// Its processors
    #[arg(long, value_name = "COUNT", default_value = "2",
          value_parser = clap::value_parser!(u16).range(1..=255))]
    cpus: u16,

    /// What computes for it
    #[arg(long, value_name = "WORD", default_value = "auto")]
    accel: Accel,

    /// Give it no network
    #[arg(long)]
    no_network: bool,

    /// Folder of vmlinuz and initramfs.cpio
    #[arg(long, value_name = "DIR")]
    guest_folder: Option<PathBuf>,

    /// Kernel to boot
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,

    /// First file system, a cpio archive; the agent is added to it
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,

    /// Agent for the guest
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,

    /// Seconds that the guest may take until it answers
    #[arg(long, value_name = "SECONDS", default_value = "180",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    boot_timeout: u32,

    /// A mount to attach before the command runs, as `cvol attach` takes it; may be repeated
    #[arg(short, long = "mount", value_name = "FIELDS")]
    mounts: Vec<String>,

    /// Leave it running
    #[arg(short, long)]
    detach: bool,

    /// A command to run in it, and its words
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Accel {
    /// KVM where it works
    Auto,
    /// KVM alone
    Kvm,
    /// By program
    Tcg,
}

/// A machine that was started, as `--json` tells it.
#[derive(Serialize)]
struct Document<'d> {
    name: &'d str,
    accelerator: &'static str,
    /// Milliseconds until the agent answered.
    took_ms: u64,
}

impl Arguments {
    pub(super) fn run(self, context: &Context) -> Result {
        let started = context.engine.start_vm(&self.request(), interrupt::poll)?;
        if let Some(reason) = &started.without_kvm
            && context.output.is_verbose()
        {
            // What it ends with is for those who wonder; the log is gone.
            let reason = reason.replace('\n', "; ");
            context
                .output
                .note(&format!("KVM does not work here: {reason}"));
        }
        let ran = self.in_machine(context, &started);
        // One that stays is ended all the same where it is not as it was asked for.
        if self.detach && ran.is_ok() {
            return ran;
        }
        let stopped = context.engine.stop_vm(&started.name);
        let outcome = ran?;
        stopped?;
        Ok(outcome)
    }

    fn request(&self) -> StartVm {
        StartVm {
            name: self.name.clone(),
            memory: self.memory,
            processors: self.cpus,
            accelerator: match self.accel {
                Accel::Auto => Accelerator::Auto,
                Accel::Kvm => Accelerator::Kvm,
                Accel::Tcg => Accelerator::Tcg,
            },
            network: !self.no_network,
            guest_folder: self.guest_folder.clone(),
            kernel: self.kernel.clone(),
            initramfs: self.initrd.clone(),
            agent: self.agent.clone(),
            boot_limit: Duration::from_secs(self.boot_timeout.into()),
        }
    }

    /// The mounts, then the command, or waiting for the end.
    fn in_machine(&self, context: &Context, started: &StartedVm) -> Result {
        self.attach(context, started)?;
        if !self.command.is_empty() {
            return exec::run(context, &started.name, &self.command);
        }
        announce(context, started)?;
        if self.detach {
            return Ok(Outcome::Done);
        }
        while interrupt::poll().is_continue() && context.engine.is_vm_running(&started.name)? {
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Outcome::Done)
    }

    fn attach(
        &self,
        context: &Context,
        started: &StartedVm,
    ) -> std::result::Result<(), crate::failure::Failure> {
        if self.mounts.is_empty() {
            return Ok(());
        }
        let request = AttachMounts {
            machine: started.name.clone(),
            mounts: self.mounts.clone(),
            owner: None,
        };
        let steps = Steps::new(context);
        let is_cancelled = || interrupt::poll().is_break();
        context
            .engine
            .attach(&request, &steps.watch(&is_cancelled))?;
        Ok(())
    }
}

/// Says that the machine is there.
fn announce(
    context: &Context,
    started: &StartedVm,
) -> std::result::Result<(), crate::failure::Failure> {
    match context.output.form() {
        Form::Json => context.output.print_json(&Document {
            name: &started.name,
            accelerator: started.accelerator.name(),
            took_ms: u64::try_from(started.took.as_millis()).unwrap_or(u64::MAX),
        }),
        Form::Quiet => context.output.print_name(&started.name),
        Form::Text => {
            context.output.print_name(&started.name)?;
            context.output.note(&format!(
                "the guest of {} answered after {:.1} s ({})",
                started.name,
                started.took.as_secs_f64(),
                started.accelerator.name()
            ));
            Ok(())
        }
    }
}

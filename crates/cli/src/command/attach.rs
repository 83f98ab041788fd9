//! `cvol attach`: mounts into a machine that runs, or what that would take, step by step.

use engine::{AttachMounts, Attachment, GuestWork, PlanDocument};

use super::described_machine::DescribedMachine;
use super::machine::{HypervisorWord, Mounts};
use super::ps::AttachmentDocument;
use super::{Context, Outcome, Result};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::table::{self, Align, Column};
use crate::output::{Form, terminal};
use crate::private_memory;
use crate::steps::Steps;

/// Attach mounts to a virtual machine that runs, or plan how
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every mount appears at its target in the guest, or none does: what was done is undone when a step
fails, and by the next command on the machine when this one is killed. A volume that a machine has is
not changed by anything else until it is detached; many machines may have it read-only.

The machine is one that `cvol vm run` started, or one of QEMU that is made known with --qmp and --agent:
it needs the controllers scsi0 to scsi3 (virtio-scsi), shared memory and a root port for each shared
directory, and in the guest the agent of cvol. Or it is one of Hyper-V that is made known with --hcs: it
needs SCSI controllers for disks, and in the guest the agent of cvol, or --guest-channel none. From then on
its name is enough.

With --plan, prints the steps in their order, each with what undoes it, and touches nothing. What the
hypervisor or the guest cannot do is refused by name.

Examples:
  cvol attach --vm web --mount source=data,target=/data
  cvol attach --vm web -m type=bind,src=/srv,dst=/srv,ro -m type=tmpfs,dst=/tmp,size=1G
  cvol attach --vm db --qmp /run/db.qmp --agent /run/db.agent --guest linux -m source=data,target=/data
  cvol attach --vm app --hcs ID --guest windows -m source=data,target=C:\\data
  cvol attach --plan --guest linux --mount source=data,target=/data
  cvol attach --plan --hypervisor hcs --guest windows --mount type=vhd,source=C:\\v\\a.vhdx,target=D:")]
pub(crate) struct Arguments {
    #[command(flatten)]
    mounts: Mounts,

    /// Attach to this machine
    #[arg(long, value_name = "NAME", required_unless_present = "plan")]
    vm: Option<String>,

    #[command(flatten)]
    described: DescribedMachine,

    /// Who asks, for `cvol ps` [default: the user]
    #[arg(long, value_name = "TEXT", requires = "vm")]
    owner: Option<String>,

    /// Print the plan and touch nothing
    #[arg(long, requires = "guest", conflicts_with = "vm")]
    plan: bool,

    /// What runs the machine [default: hcs on Windows, else qemu]
    #[arg(long, value_name = "NAME", conflicts_with = "vm")]
    hypervisor: Option<HypervisorWord>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        match &self.vm {
            Some(vm) => self.attach(context, vm)?,
            None => self.show_plan(context)?,
        }
        Ok(Outcome::Done)
    }

    fn attach(&self, context: &Context, vm: &str) -> std::result::Result<(), Failure> {
        self.described.make_known(context, vm, &self.mounts)?;
        // Passwords of shares are on their way to the guest.
        private_memory::keep();
        let request = AttachMounts {
            machine: vm.to_owned(),
            mounts: self.mounts.mounts.clone(),
            owner: self.owner.clone(),
        };
        let steps = Steps::new(context);
        let attached = context
            .engine
            .attach(&request, &steps.watch(&|| interrupt::poll().is_break()));
        drop(steps);
        tell(context, &attached?)
    }

    fn show_plan(&self, context: &Context) -> std::result::Result<(), Failure> {
        let platform = self.mounts.platform(self.hypervisor.unwrap_or_default())?;
        let plan = context.engine.plan_mounts(platform, &self.mounts.mounts)?;
        match context.output.form() {
            Form::Json => context.output.print_json(&plan),
            Form::Quiet => {
                let words: String = plan
                    .steps
                    .iter()
                    .map(|step| format!("{}\n", step.action))
                    .collect();
                context.output.print(&words)
            }
            Form::Text => context.output.print(&text(&plan)),
        }
    }
}

/// What was attached.
fn tell(context: &Context, attached: &Attachment) -> std::result::Result<(), Failure> {
    match context.output.form() {
        Form::Json => context.output.print_json(&AttachmentDocument::of(attached)),
        Form::Quiet => context.output.print_name(&attached.id.to_string()),
        Form::Text => {
            let mounts = attached.mounts.iter().map(|mount| {
                let how = if mount.read_only { " (read-only)" } else { "" };
                let source = terminal::escape(&mount.source);
                format!("{source} at {}{how}\n", terminal::escape(&mount.target))
            });
            let mounts: String = mounts.collect();
            let machine = terminal::escape(&attached.machine);
            let work = attached.guest_work.as_ref().map_or_else(String::new, work);
            context.output.print(&format!(
                "{mounts}attached to {machine} as attachment {}\n{work}",
                attached.id
            ))
        }
    }
}

/// What there is left to do in the guest.
fn work(work: &GuestWork) -> String {
    let mut text = "to be done in the guest, which nobody here talks to:\n".to_owned();
    for step in &work.steps {
        text.push_str(&format!("  {}\n", terminal::escape(&step.text)));
    }
    for command in &work.script.mount {
        let words = command.words.iter().map(|word| terminal::quoted(word));
        let words = words.collect::<Vec<_>>().join(" ");
        text.push_str(&format!("  run {words}\n"));
    }
    text
}

fn text(plan: &PlanDocument) -> String {
    const COLUMNS: [Column; 4] = [
        ("STEP", Align::Right),
        ("MOUNT", Align::Right),
        ("DO", Align::Left),
        ("UNDO", Align::Left),
    ];
    let rows = plan.steps.iter().map(|step| {
        vec![
            step.number.to_string(),
            step.mount.to_string(),
            step.text.clone(),
            step.undo.join("; "),
        ]
    });
    table::render(&COLUMNS, rows)
}

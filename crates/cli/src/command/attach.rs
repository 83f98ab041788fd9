//! `cvol attach`: what attaching mounts to a machine takes, step by step.

use engine::PlanDocument;

use super::machine::{HypervisorWord, Mounts};
use super::{Context, Outcome, Result};
use crate::failure::Failure;
use crate::output::Form;
use crate::output::table::{self, Align, Column};

/// Plan how mounts come into a virtual machine
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the steps in their order, each with what undoes it, and touches nothing. What the hypervisor or
the guest cannot do is refused by name. Carrying a plan out is not part of this version: `cvol render`
tells it to the tools that can.

Examples:
  cvol attach --plan --guest linux --mount source=data,target=/data
  cvol attach --plan --hypervisor hcs --guest windows --mount type=vhd,source=C:\\v\\a.vhdx,target=D:
  cvol attach --plan --guest linux -m type=bind,src=/srv,dst=/srv,ro -m type=tmpfs,dst=/tmp,size=1G")]
pub(crate) struct Arguments {
    #[command(flatten)]
    mounts: Mounts,

    /// Print the plan and touch nothing
    #[arg(long)]
    plan: bool,

    /// What runs the machine
    #[arg(long, value_name = "NAME", default_value = "qemu")]
    hypervisor: HypervisorWord,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        if !self.plan {
            return Err(Failure::Engine(engine::Error::Unsupported {
                feature:
                    "attaching by cvol itself (`--plan` prints the steps, `cvol render` tells \
                          them to other tools)"
                        .to_owned(),
            }));
        }
        let platform = self.mounts.platform(self.hypervisor);
        let plan = context.engine.plan_mounts(platform, &self.mounts.mounts)?;
        match context.output.form() {
            Form::Json => context.output.print_json(&plan)?,
            Form::Quiet => {
                let words: String = plan
                    .steps
                    .iter()
                    .map(|step| format!("{}\n", step.action))
                    .collect();
                context.output.print(&words)?;
            }
            Form::Text => context.output.print(&text(&plan))?,
        }
        Ok(Outcome::Done)
    }
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

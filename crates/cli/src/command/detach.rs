//! `cvol detach`: what was attached to a machine is taken away again.

use engine::{DetachOutcome, DetachWhat};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::failure::{Failure, OnTheWay};
use crate::output::{Form, terminal};
use crate::steps::Steps;

/// Take mounts away from a virtual machine
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What the guest has written is durable before its disk goes. What cannot be taken away (a file in it is
open, the guest does not answer) stays listed by `cvol ps` and can be tried again; the rest goes all the
same. With --force, a guest that does not do its part is passed over: what it had not written is lost.

Works after whoever attached was killed, and for a machine that is no more: then what was kept for it on
this host is put away and its volumes are free.

Examples:
  cvol detach --vm web /data
  cvol detach --vm web --attachment 3
  cvol detach --vm web --all
  cvol detach --vm web --all --force")]
pub(crate) struct Arguments {
    /// The machine
    #[arg(long, value_name = "NAME")]
    vm: String,

    /// What is mounted here
    #[arg(value_name = "TARGET", required_unless_present_any = ["attachment", "all"])]
    target: Option<String>,

    /// All mounts of this attachment, as `cvol ps` numbers it
    #[arg(long, value_name = "NUMBER", conflicts_with = "target")]
    attachment: Option<u64>,

    /// All that the machine has
    #[arg(long, conflicts_with_all = ["target", "attachment"])]
    all: bool,

    /// Pass over a guest that does not do its part
    #[arg(long)]
    force: bool,

    /// Forget the machine too, once nothing is attached to it
    #[arg(long, requires = "all")]
    forget: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    machine: &'a str,
    detached: &'a [String],
    left: &'a [String],
    forced: &'a [String],
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let what = match (&self.target, self.attachment) {
            (Some(target), _) => DetachWhat::Target(target.clone()),
            (None, Some(number)) => DetachWhat::Attachment(number),
            (None, None) => DetachWhat::All,
        };
        let outcome = {
            let steps = Steps::new(context);
            let watch = steps.watch(&|| false);
            context.engine.detach(&self.vm, &what, self.force, &watch)?
        };
        self.tell(context, &outcome)?;
        let mut failures = OnTheWay::new(context.output.form());
        for fault in outcome.faults {
            failures.add(fault);
        }
        failures.end()?;
        if self.forget && outcome.left.is_empty() {
            context.engine.forget_machine(&self.vm)?;
        }
        Ok(Outcome::Done)
    }

    fn tell(&self, context: &Context, outcome: &DetachOutcome) -> std::result::Result<(), Failure> {
        match context.output.form() {
            Form::Json => context.output.print_json(&Document {
                machine: &self.vm,
                detached: &outcome.gone,
                left: &outcome.left,
                forced: &outcome.forced,
            }),
            Form::Quiet => {
                let lines = outcome.gone.iter().map(|target| format!("{target}\n"));
                context.output.print(&lines.collect::<String>())
            }
            Form::Text => {
                let mut text = String::new();
                for target in &outcome.gone {
                    text.push_str(&format!("{} is detached\n", terminal::escape(target)));
                }
                for target in &outcome.left {
                    text.push_str(&format!(
                        "{} is not detached yet\n",
                        terminal::escape(target)
                    ));
                }
                for step in &outcome.forced {
                    let step = terminal::escape(step);
                    text.push_str(&format!("passed over by force: {step}\n"));
                }
                context.output.print(&text)
            }
        }
    }
}

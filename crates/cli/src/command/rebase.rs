//! `cvol rebase`: another parent for a differencing image.

use std::path::PathBuf;

use engine::RebaseImage;
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::{quantity, terminal};

/// Give a differencing image another parent
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What the child reads stays as it is: where the new parent shows something else than the old one, it is
copied into the child. A parent that is the old one by its identifier, and was only moved or renamed,
is not compared. With --trust nothing is compared or copied, and the old parent is not looked for: use
it where you know that the new one holds what the old one did.

Examples:
  cvol rebase child.vhdx moved/base.vhdx
  cvol rebase grandchild.vhdx base.vhdx
  cvol rebase --trust child.vhdx copy-of-base.vhdx")]
pub(crate) struct Arguments {
    /// Differencing image file
    #[arg(value_name = "CHILD")]
    child: PathBuf,

    /// Its new parent
    #[arg(value_name = "NEW-PARENT")]
    on: PathBuf,

    /// Do not hold the new parent against the old one
    #[arg(long)]
    trust: bool,
}

#[derive(Serialize)]
struct Document {
    child: String,
    parent: String,
    copied: u64,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let request = RebaseImage {
            child: self.child,
            parent: self.on,
            trust: self.trust,
        };
        let rebased = context.watched("rebasing", |engine, report| {
            engine.rebase_image(&request, report)
        })?;
        let document = Document {
            child: request.child.to_string_lossy().into_owned(),
            parent: request.parent.to_string_lossy().into_owned(),
            copied: rebased.copied.get(),
        };
        context
            .output
            .report_as(&document.child, &document, || text(&document))?;
        Ok(Outcome::Done)
    }
}

fn text(done: &Document) -> String {
    format!(
        "{}: stands on {}, {} copied\n",
        terminal::escape(&done.child),
        terminal::escape(&done.parent),
        quantity::bytes(done.copied),
    )
}

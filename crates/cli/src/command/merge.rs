//! `cvol merge`: a differencing image into its parent.

use std::path::PathBuf;

use engine::MergeImage;
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::{quantity, terminal};

/// Merge a differencing image into its parent
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The parent then reads as the child did, and the child is removed, as `Merge-VHD` of Windows does.
Whatever else stands on the parent is lost, since it is made of what the parent was: where such an image
lies beside the parent, --force is needed. Children of the child get the parent as theirs with `cvol
rebase --trust`. A merge that was stopped or died is done again by
the same command; until then the child reads as before, and the parent alone is neither old nor new.

The snapshots of a volume are merged by `cvol snapshot rm`.

Examples:
  cvol merge child.vhdx
  cvol merge --keep child.avhdx --parent /images/base.vhdx")]
pub(crate) struct Arguments {
    /// Differencing image file
    #[arg(value_name = "CHILD")]
    child: PathBuf,

    /// Do not remove the child
    #[arg(long)]
    keep: bool,

    /// Merge although other images stand on the parent, which are lost by it
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Document {
    child: String,
    parent: String,
    copied: u64,
    removed: bool,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let request = MergeImage {
            child: self.child.clone(),
            keep_child: self.keep,
            lose_others: self.force,
        };
        let merged = context.watched("merging", |engine, report| {
            engine.merge_image(&request, report)
        })?;
        let document = Document {
            child: self.child.to_string_lossy().into_owned(),
            parent: merged.parent.to_string_lossy().into_owned(),
            copied: merged.copied.get(),
            removed: !self.keep,
        };
        context
            .output
            .report_as(&document.parent, &document, || text(&document))?;
        Ok(Outcome::Done)
    }
}

fn text(done: &Document) -> String {
    format!(
        "{}: took in {} of {}\n",
        terminal::escape(&done.parent),
        quantity::bytes(done.copied),
        terminal::escape(&done.child),
    )
}

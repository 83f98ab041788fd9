//! `cvol flatten`: a differencing image, or a clone, that stands alone.

use std::ffi::OsString;

use engine::{ByteCount, ImageReference};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::{quantity, terminal};
use crate::reference::ImageOrVolume;

/// Let an image file or a volume stand alone, with all that it has from others copied into it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Of a volume, what it has from the volume that it was cloned from is copied into it; its own snapshots
stay. The base can be removed afterwards. What was stopped or died is done again by the same command;
until then the image or volume reads as before.

The argument is a path if it holds a separator, ends in .vhdx, .vhd, .avhdx, .avhd, .raw, .img or
.qcow2, or names a file that exists here; else it is a volume. --image and --volume decide
otherwise.

Examples:
  cvol flatten child.vhdx
  cvol flatten web1")]
pub(crate) struct Arguments {
    /// Differencing image file, or name of a volume
    #[arg(value_name = "IMAGE-OR-VOLUME")]
    subject: OsString,

    #[command(flatten)]
    which: ImageOrVolume,
}

#[derive(Serialize)]
struct Document {
    name: String,
    copied: u64,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let subject = self.which.resolve(&self.subject)?;
        let name = subject.to_string();
        let copied: ByteCount = context.watched("copying", |engine, report| match &subject {
            ImageReference::File(path) => Ok(engine.flatten_image(path, report)?.copied),
            ImageReference::Volume(name) => Ok(engine.flatten_volume(name, report)?.copied),
        })?;
        let document = Document {
            name,
            copied: copied.get(),
        };
        context
            .output
            .report_as(&document.name, &document, || text(&document))?;
        Ok(Outcome::Done)
    }
}

fn text(done: &Document) -> String {
    format!(
        "{}: stands alone, {} copied\n",
        terminal::escape(&done.name),
        quantity::bytes(done.copied),
    )
}

//! `cvol diff-create`: a differencing image on another one.

use std::path::PathBuf;

use engine::{ByteCount, CreateChild};
use serde::Serialize;

use super::{Context, Outcome, Result, values};
use crate::output::{quantity, terminal};

/// Make a differencing image on a parent image
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The child holds what is written to it and shows its parent for the rest: what `New-VHD -Differencing
-ParentPath PARENT` makes, and `qemu-img create -b PARENT` makes of other formats. It has the format
of its parent, VHDX or VHD. The parent must not be changed afterwards; a VHDX child notices and is
refused then. All verbs on images read a child together with its parents.

Examples:
  cvol diff-create base.vhdx child.vhdx
  cvol diff-create --size 40G base.vhdx larger.vhdx
  cvol convert child.vhdx flat.vhdx")]
pub(crate) struct Arguments {
    /// Image file to build on
    #[arg(value_name = "PARENT")]
    on: PathBuf,

    /// File to make
    #[arg(value_name = "CHILD")]
    child: PathBuf,

    /// Size of its disk, not less than the parent's [default: the parent's]
    #[arg(short, long, value_parser = values::size)]
    size: Option<ByteCount>,

    /// Block size, such as 1M [default: 2M, as Windows would choose]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    block_size: Option<ByteCount>,

    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Document {
    image: String,
    parent: String,
    format: String,
    virtual_size: u64,
    file_length: u64,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let request = CreateChild {
            parent: self.on,
            child: self.child,
            size: self.size,
            block_size: self.block_size,
            replace: self.force,
            source_date_epoch: values::source_date_epoch()?,
        };
        let info = context.engine.create_child(&request)?;
        let document = Document {
            image: request.child.to_string_lossy().into_owned(),
            parent: request.parent.to_string_lossy().into_owned(),
            format: info.format.to_string(),
            virtual_size: info.virtual_size.get(),
            file_length: info.file_length.get(),
        };
        context
            .output
            .report_as(&document.image, &document, || text(&document))?;
        Ok(Outcome::Done)
    }
}

fn text(made: &Document) -> String {
    format!(
        "{}: {} image of {}, on {}\n",
        terminal::escape(&made.image),
        made.format,
        quantity::bytes(made.virtual_size),
        terminal::escape(&made.parent),
    )
}

//! `cvol cp`: files and folders copied out of a volume at rest.

use std::ffi::OsString;
use std::path::PathBuf;

use engine::{CopiedOut, CopyOut};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::{Form, quantity};
use crate::{failure::Failure, reference};

/// Copy a file or folder out of a volume
#[derive(Debug, clap::Args)]
#[command(after_help = "\
If DEST is a folder that exists, the copy is made in it, under its own name; else DEST is the name of
the copy. Of a source that ends in `/.` (and of the top of a volume) the content is copied, without
a folder around it. Files that exist are replaced. Times are kept, holes stay holes, files with
several names are linked. Named streams become extended attributes (user.STREAM) on Linux and streams
on Windows; those that the target cannot hold are listed. Links with absolute targets are left out and
listed, unless --absolute-links is given.

Copying into a volume is not supported yet; `cvol create --from` fills a new one.

Examples:
  cvol cp data:/index.html .
  cvol cp data:/img ./out
  cvol cp data:/. ./everything
  cvol cp --image disk.vhdx /etc ./etc")]
pub(crate) struct Arguments {
    /// File or folder, as NAME:/path; with --image, as /path
    #[arg(value_name = "NAME:/PATH")]
    source: String,

    /// Where the copy goes
    #[arg(value_name = "DEST")]
    target: OsString,

    /// Read from this image file instead of a volume
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,

    /// Make links with absolute targets too; they lead out of the copy
    #[arg(long)]
    absolute_links: bool,
}

#[derive(Serialize)]
struct Document {
    files: u64,
    directories: u64,
    symlinks: u64,
    hard_links: u64,
    streams: u64,
    bytes: u64,
    left_out: Vec<String>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        if reference::is_in_volume(&self.target) {
            return Err(Failure::Engine(engine::Error::Unsupported {
                feature: "copying into a volume at rest".to_owned(),
            }));
        }
        let request = CopyOut {
            source: reference::place_with_path(&self.source, self.image.as_deref())?,
            target: PathBuf::from(self.target),
            absolute_links: self.absolute_links,
        };
        let copied = {
            let reporter = context.reporter("copying");
            context
                .engine
                .copy_out(&request, &|progress| reporter.report(progress))?
        };
        match context.output.form() {
            Form::Json => context.output.print_json(&document(&copied))?,
            Form::Quiet => {}
            Form::Text => {
                for path in &copied.left_out {
                    context.output.note(&format!("{path}: left out"));
                }
                if context.output.is_verbose() {
                    context.output.note(&summary(&copied));
                }
            }
        }
        Ok(Outcome::Done)
    }
}

fn document(copied: &CopiedOut) -> Document {
    Document {
        files: copied.files,
        directories: copied.directories,
        symlinks: copied.symlinks,
        hard_links: copied.hard_links,
        streams: copied.streams,
        bytes: copied.bytes.get(),
        left_out: copied.left_out.clone(),
    }
}

fn summary(copied: &CopiedOut) -> String {
    format!(
        "{}, {}, {}, {} copied",
        quantity::counted(copied.files, "file", "files"),
        quantity::counted(copied.directories, "directory", "directories"),
        quantity::counted(copied.symlinks, "link", "links"),
        quantity::bytes(copied.bytes.get())
    )
}

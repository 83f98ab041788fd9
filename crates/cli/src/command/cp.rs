//! `cvol cp`: files and folders copied out of a volume at rest, or into it.

use std::ffi::OsString;
use std::path::PathBuf;

use engine::{CopiedIn, CopiedOut, CopyIn, CopyOut, NamePolicy, Place};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::{Form, quantity};
use crate::{failure::Failure, reference};

/// Copy files and folders out of a volume, or into it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
If DEST is a folder that exists, the copy is made in it, under its own name; else DEST is the name of
the copy. Of a source that ends in `/.` (and of the top of a volume) the content is copied, without
a folder around it. Files that exist are replaced, folders are filled. Times are kept, holes stay
holes, files with several names are linked. Named streams become extended attributes (user.STREAM) on
Linux and streams on Windows; those that the target cannot hold are listed.

Out of a volume, links with absolute targets are left out and listed, unless --absolute-links is
given. Into a volume (which must not be in use), all sources are copied or, after any failure, none;
new files inherit access from their folder, replaced ones keep theirs, and --acl-file says otherwise
for those of the copied that its rules match. Names that Windows cannot use are stored in the nearest
way and listed, unless --strict-names is given.

Examples:
  cvol cp data:/index.html .
  cvol cp data:/img ./out
  cvol cp data:/. ./everything
  cvol cp --image disk.vhdx /etc ./etc
  cvol cp index.html data:/
  cvol cp -r ./site/. data:/www
  cvol cp --acl-file rules.txt ./app data:/
  cvol cp a.txt b.txt disk.vhdx:/docs")]
pub(crate) struct Arguments {
    /// File or folder, as NAME:/path; with --image, as /path; or of this host, to copy in
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<OsString>,

    /// Where the copy goes: a path of this host, or NAME:/path, or IMAGE.vhdx:/path
    #[arg(value_name = "DEST")]
    target: OsString,

    /// For those used to it: folders are always copied with all that is in them
    #[arg(short, long)]
    recursive: bool,

    /// Into a volume: leave out what cannot be read, and list it
    #[arg(long)]
    keep_going: bool,

    /// Into a volume: fail for names that Windows cannot use
    #[arg(long)]
    strict_names: bool,

    /// Into a volume: rules of access for paths in the volume, as for `cvol create --acl-file`
    #[arg(long, value_name = "FILE")]
    acl_file: Option<PathBuf>,

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

#[derive(Serialize)]
struct DocumentIn {
    files: u64,
    directories: u64,
    symlinks: u64,
    bytes: u64,
    notes: Vec<String>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        // Accepted, and of no further meaning.
        let _ = self.recursive;
        match reference::place_in_volume(&self.target) {
            Some(target) => self.copy_in(target, context),
            None => self.copy_out(context),
        }
    }

    fn copy_in(self, target: Place, context: &Context) -> Result {
        let is_inside = |source: &OsString| reference::place_in_volume(source).is_some();
        if self.image.is_some() || self.sources.iter().any(is_inside) {
            return Err(Failure::Engine(engine::Error::Unsupported {
                feature: "copying from one volume to another".to_owned(),
            }));
        }
        let request = CopyIn {
            sources: self.sources.into_iter().map(PathBuf::from).collect(),
            target,
            name_policy: if self.strict_names {
                NamePolicy::Strict
            } else {
                NamePolicy::Map
            },
            keep_going: self.keep_going,
            access_rules: self.acl_file,
        };
        let copied =
            context.watched("copying", |engine, report| engine.copy_in(&request, report))?;
        let document = document_in(copied);
        let counts = (document.files, document.directories, document.symlinks);
        tell(context, &document, &document.notes, counts, document.bytes)
    }

    fn copy_out(self, context: &Context) -> Result {
        if self.acl_file.is_some() {
            return Err(Failure::usage(
                "--acl-file is for copies into a volume: out of it, nothing keeps access control",
                "leave it out; `cvol acl NAME:/path` shows what is there",
            ));
        }
        let [source] = self.sources.as_slice() else {
            return Err(Failure::usage(
                "only one source can be copied out of a volume at a time",
                "copy a folder, or run `cvol cp` once for each source",
            ));
        };
        let Some(source) = source.to_str() else {
            return Err(Failure::usage(
                format!("{} names no path in a volume", source.to_string_lossy()),
                "write it as NAME:/path, or use `--image FILE` and /path",
            ));
        };
        let request = CopyOut {
            source: reference::place_with_path(source, self.image.as_deref())?,
            target: PathBuf::from(self.target),
            absolute_links: self.absolute_links,
        };
        let copied = context.watched("copying", |engine, report| {
            engine.copy_out(&request, report)
        })?;
        let left_out = copied.left_out.iter();
        let notes: Vec<String> = left_out.map(|path| format!("{path}: left out")).collect();
        let counts = (copied.files, copied.directories, copied.symlinks);
        tell(
            context,
            &document(&copied),
            &notes,
            counts,
            copied.bytes.get(),
        )
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

fn document_in(copied: CopiedIn) -> DocumentIn {
    DocumentIn {
        files: copied.files,
        directories: copied.directories,
        symlinks: copied.symlinks,
        bytes: copied.bytes.get(),
        notes: copied.notes,
    }
}

/// Tells what was copied: its document for a program; for people the notes, and under `--verbose` how
/// many files, directories and links, of how many bytes.
fn tell<T: Serialize>(
    context: &Context,
    document: &T,
    notes: &[String],
    (files, directories, symlinks): (u64, u64, u64),
    bytes: u64,
) -> Result {
    if context.output.form() == Form::Json {
        context.output.print_json(document)?;
    }
    for note in notes {
        context.output.note(note);
    }
    if context.output.is_verbose() {
        context.output.note(&format!(
            "{}, {}, {}, {} copied",
            quantity::counted(files, "file", "files"),
            quantity::counted(directories, "directory", "directories"),
            quantity::counted(symlinks, "link", "links"),
            quantity::bytes(bytes)
        ));
    }
    Ok(Outcome::Done)
}

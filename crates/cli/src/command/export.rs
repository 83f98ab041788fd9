//! `cvol export`: the file system of a volume or image as a tar archive.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use engine::{Compression, ExportTarget, ExportVolume, ExportedVolume};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::failure::Failure;
use crate::output::{Form, json, quantity, terminal};
use crate::reference::ImageOrVolume;

/// Write the file system of a volume or image as a tar archive
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The archive holds all that NTFS knows of files: attributes, security descriptors, links, named
streams, holes and times to 100 ns, in PAX records as container layers of Windows have them
(MSWINDOWS.*). `cvol create --from` reads it back to an equal volume; other programs read the files.
It appears under its name only when it is whole.

The source is a path if it holds a separator, ends as image files do, or names a file that exists
here; else it is a volume. --image and --volume decide otherwise.

Examples:
  cvol export data -o data.tar
  cvol export data -o data.tar.zst
  cvol export data -o - | tar -tv
  cvol export disk.vhdx -o disk.tar --compress gzip")]
pub(crate) struct Arguments {
    /// Name of a volume, or image file
    #[arg(value_name = "SOURCE")]
    source: OsString,

    /// File to make; `-` for standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    which: ImageOrVolume,

    /// How the archive is packed [default: as its name ends, else not]
    #[arg(long, value_name = "FORMAT")]
    compress: Option<Compress>,

    /// Replace an existing file
    #[arg(long)]
    force: bool,

    /// Leave out what cannot be read, and list it, instead of stopping
    #[arg(long)]
    keep_going: bool,
}

/// How an archive is packed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Compress {
    /// Not at all
    None,
    /// gzip
    Gzip,
    /// Zstandard
    Zstd,
    /// xz
    Xz,
}

#[derive(Serialize)]
struct Document {
    target: String,
    files: u64,
    directories: u64,
    links: u64,
    hard_links: u64,
    streams: u64,
    bytes: u64,
    archive_bytes: u64,
    left_out: Vec<String>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let to_stdout = self.output.as_os_str() == "-";
        if to_stdout && io::stdout().is_terminal() {
            return Err(Failure::usage(
                "an archive is no text for a terminal",
                "give a file with `-o FILE`, or send standard output elsewhere",
            ));
        }
        let compression = match self.compress {
            Some(Compress::None) => Compression::None,
            Some(Compress::Gzip) => Compression::Gzip,
            Some(Compress::Zstd) => Compression::Zstd,
            Some(Compress::Xz) => Compression::Xz,
            None => by_name(&self.output),
        };
        let target = if to_stdout {
            ExportTarget::Stream(Box::new(io::stdout()))
        } else {
            ExportTarget::File {
                path: self.output.clone(),
                replace: self.force,
            }
        };
        let request = ExportVolume {
            source: self.which.resolve(&self.source)?,
            target,
            compression,
            keep_going: self.keep_going,
        };
        let exported = context.watched("exporting", |engine, report| {
            engine.export_volume(request, report)
        })?;
        tell(context, &self.output, to_stdout, &exported)?;
        Ok(Outcome::Done)
    }
}

fn tell(
    context: &Context,
    target: &Path,
    to_stdout: bool,
    exported: &ExportedVolume,
) -> std::result::Result<(), Failure> {
    let name = target.to_string_lossy();
    match context.output.form() {
        // Standard output holds the archive.
        Form::Json if to_stdout => {
            let text = json::to_document(&document(&name, exported)).unwrap_or_default();
            io::stderr().write_all(text.as_bytes())?;
        }
        Form::Json => context.output.print_json(&document(&name, exported))?,
        Form::Quiet if to_stdout => {}
        Form::Quiet => context.output.print_name(&name)?,
        Form::Text => {
            for line in &exported.notes {
                context.output.note(line);
            }
            let text = text(&name, exported);
            if !to_stdout {
                context.output.print(&text)?;
            } else if context.output.is_verbose() {
                context.output.note(text.trim_end());
            }
        }
    }
    Ok(())
}

/// The packing that the name of a file ends in.
fn by_name(path: &Path) -> Compression {
    let extension = path.extension().map(OsStr::to_ascii_lowercase);
    match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some("gz" | "tgz") => Compression::Gzip,
        Some("zst" | "tzst") => Compression::Zstd,
        Some("xz" | "txz") => Compression::Xz,
        _ => Compression::None,
    }
}

fn document(target: &str, exported: &ExportedVolume) -> Document {
    let report = &exported.report;
    Document {
        target: target.to_owned(),
        files: report.files,
        directories: report.directories,
        links: report.links,
        hard_links: report.hard_links,
        streams: report.streams,
        bytes: report.bytes.get(),
        archive_bytes: exported.archive.get(),
        left_out: exported.notes.clone(),
    }
}

fn text(target: &str, exported: &ExportedVolume) -> String {
    let report = &exported.report;
    format!(
        "{}: {}, {}, {}, {} of data in {}\n",
        terminal::escape(target),
        quantity::counted(report.files, "file", "files"),
        quantity::counted(report.directories, "directory", "directories"),
        quantity::counted(report.links, "link", "links"),
        quantity::bytes(report.bytes.get()),
        quantity::bytes(exported.archive.get())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_file_says_how_it_is_packed() {
        for (name, compression) in [
            ("a.tar", Compression::None),
            ("-", Compression::None),
            ("a.tar.GZ", Compression::Gzip),
            ("a.tgz", Compression::Gzip),
            ("a.tar.zst", Compression::Zstd),
            ("a.txz", Compression::Xz),
        ] {
            assert_eq!(by_name(Path::new(name)), compression, "{name}");
        }
    }
}

//! `cvol resize`: another size for an image, with the partition and the file system in it.

use std::ffi::OsString;

use engine::{NewSize, ResizeImage, ResizedImage, parse_size};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::failure::Failure;
use crate::output::{quantity, terminal};
use crate::reference::ImageOrVolume;

/// Make a volume or an image file larger or smaller, with the file system in it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The partition that ends last (GPT or MBR) and its file system, NTFS or FAT32, grow and shrink with
the disk, in place; the second copy of a GPT goes to the new end. What lies behind a new end moves
before it. A size that is too small is refused, and the smallest one named. All of it happens, or
nothing: after a crash the next command completes or undoes it.

A volume that Windows has mounted (`cvol mount`) is made larger by Windows, with --image-only; what is on
it then grows by `Resize-Partition`.

The file system must have been unmounted cleanly. A parent of differencing images is refused.
Shrinking gives the host no space back that was not beyond the new end; `cvol compact` does.

Examples:
  cvol resize data 40G
  cvol resize data +10G
  cvol resize disk.vhdx -- -512M
  cvol resize disk.vhdx 8G --dry-run
  cvol resize disk.raw 64G --image-only")]
pub(crate) struct Arguments {
    /// Image file, or name of a volume
    #[arg(value_name = "FILE|NAME")]
    subject: OsString,

    /// The new size, or with a sign the difference: 40G, +10G, -512M
    #[arg(value_name = "SIZE", allow_hyphen_values = true)]
    size: String,

    /// Resize the image alone; partitions and file systems stay as they are
    #[arg(long)]
    image_only: bool,

    /// Change nothing, only say what would be done
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    which: ImageOrVolume,
}

#[derive(Serialize)]
struct Document<'a> {
    image: &'a str,
    dry_run: bool,
    size_before: u64,
    size_after: u64,
    minimum: Option<u64>,
    partition: Option<PartDocument<'a>>,
    by_system: bool,
}

#[derive(Serialize)]
struct PartDocument<'a> {
    offset: u64,
    size_before: Option<u64>,
    size_after: u64,
    file_system: &'a str,
}

fn new_size(text: &str) -> std::result::Result<NewSize, Failure> {
    let size = |text| {
        parse_size(text).map_err(|error| {
            Failure::usage(
                format!("{text:?} is no size: {error}"),
                "write it as 40G, or as +10G or -512M for a difference",
            )
        })
    };
    Ok(match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(more), _) => NewSize::More(size(more)?),
        (_, Some(less)) => NewSize::Less(size(less)?),
        _ => NewSize::Exactly(size(text)?),
    })
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let request = ResizeImage {
            image: self.which.resolve(&self.subject)?,
            size: new_size(&self.size)?,
            image_only: self.image_only,
            dry_run: self.dry_run,
        };
        let resized =
            context.watched("resizing", |engine, report| engine.resize(&request, report))?;
        context
            .output
            .report(&document(&resized), || text(&resized))?;
        Ok(Outcome::Done)
    }
}

fn document(resized: &ResizedImage) -> Document<'_> {
    Document {
        image: &resized.name,
        dry_run: resized.dry_run,
        size_before: resized.size.0.get(),
        size_after: resized.size.1.get(),
        minimum: resized.minimum.map(engine::ByteCount::get),
        by_system: resized.by_system,
        partition: resized.partition.as_ref().map(|partition| PartDocument {
            offset: partition.start.get(),
            size_before: partition.size.0.map(engine::ByteCount::get),
            size_after: partition.size.1.get(),
            file_system: &partition.file_system,
        }),
    }
}

fn text(resized: &ResizedImage) -> String {
    let would = if resized.dry_run { "would become " } else { "" };
    let change = |before: u64, after: u64| {
        let [before, after] = [before, after].map(quantity::bytes);
        format!("{before} -> {would}{after}")
    };
    let mut text = format!(
        "{}: {}",
        terminal::escape(&resized.name),
        change(resized.size.0.get(), resized.size.1.get())
    );
    if let Some(partition) = &resized.partition {
        let start = quantity::bytes(partition.start.get());
        let after = partition.size.1.get();
        let size = match partition.size.0 {
            Some(before) => change(before.get(), after),
            None => quantity::bytes(after),
        };
        text.push_str(&format!(", {} at {start}: {size}", partition.file_system));
    }
    text.push('\n');
    if resized.by_system {
        let would = if resized.dry_run {
            "Windows would do"
        } else {
            "Windows did"
        };
        text.push_str(&format!("{would} that: the volume is mounted.\n"));
    }
    if let (true, Some(minimum)) = (resized.dry_run, resized.minimum) {
        let minimum = quantity::bytes(minimum.get());
        text.push_str(&format!(
            "The smallest size for what is on it is {minimum}.\n"
        ));
    }
    text
}

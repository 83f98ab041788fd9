//! `cvol compact`: the space that nobody uses, given back to the host.

use std::ffi::OsString;

use engine::{CompactImage, CompactedImage};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::{quantity, terminal};
use crate::reference::ImageOrVolume;

/// Give back the space in an image that its file systems do not use
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Blocks of the image that hold zeros, or only what NTFS, FAT and ext2/3/4 say is free, or what lies
between partitions, give up their space; those at the end of the file move into it, and the file
is cut. It happens in place; after a crash, or when it is stopped, the image is whole. On Linux,
unused parts of blocks that stay become holes of the host's file, with `--scan-zeros` also zeros
within what is used.

Before that, what NTFS and FAT32 hold in blocks that are nearly empty moves into free clusters of
fuller ones, so that the file gets about as short as what is in use. `--keep-clusters` leaves that
out.

A volume that Windows has mounted with --readonly (`cvol mount`) is compacted by Windows.

What is not known, encrypted or was not unmounted cleanly is left alone, and so are volumes with
shadow copies. A fixed image keeps its space. A VHD child keeps blocks of zeros over data of its
parent, which the format cannot say otherwise. A parent of differencing images is refused.

Examples:
  cvol compact data --dry-run
  cvol compact data
  cvol compact disk.vhdx --json")]
pub(crate) struct Arguments {
    /// Image file, or name of a volume
    #[arg(value_name = "FILE|NAME")]
    subject: OsString,

    /// Change nothing, only say what would be won
    #[arg(long)]
    dry_run: bool,

    /// Read all that is used: zeros within blocks that stay become holes of the host's file
    #[arg(long)]
    scan_zeros: bool,

    /// Move no clusters of file systems: blocks that hold anything stay
    #[arg(long)]
    keep_clusters: bool,

    #[command(flatten)]
    which: ImageOrVolume,
}

#[derive(Serialize)]
struct Document<'a> {
    image: &'a str,
    dry_run: bool,
    length_before: u64,
    length_after: u64,
    stored_before: u64,
    stored_after: u64,
    used: u64,
    blocks_before: u64,
    blocks_after: u64,
    blocks_moved: u64,
    blocks_kept: u64,
    packed: u64,
    partitions: Vec<PartDocument<'a>>,
    by_system: bool,
}

#[derive(Serialize)]
struct PartDocument<'a> {
    offset: u64,
    size: u64,
    file_system: &'a str,
    used: u64,
    left_alone: Option<&'a str>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let compact = CompactImage {
            image: self.which.resolve(&self.subject)?,
            dry_run: self.dry_run,
            scan_zeros: self.scan_zeros,
            keep_clusters: self.keep_clusters,
        };
        let compacted = context.watched("compacting", |engine, report| {
            engine.compact(&compact, report)
        })?;
        context
            .output
            .report(&document(&compacted), || text(&compacted))?;
        Ok(Outcome::Done)
    }
}

fn document(compacted: &CompactedImage) -> Document<'_> {
    let parts = compacted.parts.iter().map(|part| PartDocument {
        offset: part.start.get(),
        size: part.size.get(),
        file_system: &part.file_system,
        used: part.used.get(),
        left_alone: part.left_alone.as_deref(),
    });
    Document {
        image: &compacted.name,
        dry_run: compacted.dry_run,
        length_before: compacted.length.0.get(),
        length_after: compacted.length.1.get(),
        stored_before: compacted.stored.0.get(),
        stored_after: compacted.stored.1.get(),
        used: compacted.used.get(),
        blocks_before: compacted.blocks.0,
        blocks_after: compacted.blocks.1,
        blocks_moved: compacted.moved,
        blocks_kept: compacted.kept,
        packed: compacted.packed.get(),
        partitions: parts.collect(),
        by_system: compacted.by_system,
    }
}

fn text(compacted: &CompactedImage) -> String {
    let mut text = String::new();
    for part in &compacted.parts {
        text.push_str(&format!(
            "{} at {}: {} of {} in use",
            part.file_system,
            quantity::bytes(part.start.get()),
            quantity::bytes(part.used.get()),
            quantity::bytes(part.size.get()),
        ));
        match &part.left_alone {
            Some(reason) => {
                text.push_str(&format!(" (left alone: {})\n", terminal::escape(reason)));
            }
            None => text.push('\n'),
        }
    }
    if compacted.packed.get() > 0 {
        let moved = quantity::bytes(compacted.packed.get());
        let verb = if compacted.dry_run {
            "would leave"
        } else {
            "left"
        };
        text.push_str(&format!("{moved} {verb} blocks that were nearly empty\n"));
    }
    if compacted.kept > 0 {
        text.push_str(&format!(
            "{} blocks hold only zeros and stay: a VHD child has no other way to hide its parent\n",
            compacted.kept
        ));
    }
    let would = if compacted.dry_run {
        "would become "
    } else {
        ""
    };
    let change = |(before, after): (engine::ByteCount, engine::ByteCount)| {
        format!(
            "{} -> {would}{}",
            quantity::bytes(before.get()),
            quantity::bytes(after.get())
        )
    };
    text.push_str(&format!(
        "{}: length {}, on the host {}\n",
        terminal::escape(&compacted.name),
        change(compacted.length),
        change(compacted.stored),
    ));
    if compacted.by_system {
        text.push_str("Windows did that: the volume is mounted.\n");
    }
    text
}

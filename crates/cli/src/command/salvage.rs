//! `cvol salvage`: all that can be read of a damaged image.

use engine::{ByteCount, SalvageImage, SalvagedImage, known_sizes};
use serde::Serialize;

use super::conversion::Conversion;
use super::{Context, Outcome, Result, values};
use crate::output::json::RangeDocument;
use crate::output::{quantity, terminal};

/// Most lost ranges that are printed without --json.
const MAX_PRINTED: usize = 100;

/// Read all that can be read of a damaged image into a new one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The damaged image is not changed. Second copies of headers and tables stand in for the first; where
both are lost, the file is searched. What cannot be read (also since the host cannot read the file
there) is zeros in the new image and is listed by its range on the disk; so is what two parts of the
image claim. The exit code is 1 if anything is listed.

Where the metadata of the image are lost, give the size of its disk and of its blocks (Windows makes
blocks of 32M, and of 2M in differencing images and in VHDs). Where its first bytes are lost as well,
give its format.

The source is a path if it holds a separator, ends in .vhdx, .vhd, .avhdx, .avhd, .raw, .img or
.qcow2, or names a file that exists here; else it is a volume. --image and --volume decide
otherwise.

Examples:
  cvol salvage broken.vhdx whole.vhdx
  cvol salvage broken.vhdx disk.raw --json > lost.json
  cvol salvage -f vhdx --size 40G --block-size 32M broken.bin whole.vhdx")]
pub(crate) struct Arguments {
    #[command(flatten)]
    conversion: Conversion,

    /// Size of the disk, where the image does not say it any more
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    size: Option<ByteCount>,

    /// Block size, where the image does not say it any more
    #[arg(long, value_name = "SIZE", value_parser = values::size, requires = "size")]
    block_size: Option<ByteCount>,
}

#[derive(Serialize)]
struct Document {
    source: String,
    target: String,
    whole: bool,
    virtual_size: u64,
    copied: u64,
    lost_bytes: u64,
    lost: Vec<LostDocument>,
    doubtful: Vec<RangeDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_error: Option<String>,
    mended_in_memory: Vec<String>,
}

#[derive(Serialize)]
struct LostDocument {
    start: u64,
    length: u64,
    reason: &'static str,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let source = self.conversion.source()?;
        let source_name = source.to_string();
        let request = SalvageImage {
            source,
            source_format: self.conversion.format,
            known: known_sizes(self.size, self.block_size, None),
            target_format: self.conversion.target_format()?,
            target: self.conversion.target,
            replace: self.conversion.force,
        };
        let salvaged = context.watched("salvaging", |engine, report| {
            engine.salvage_image(&request, report)
        })?;
        let target = salvaged.target.to_string_lossy();
        let document = document(source_name, &salvaged);
        context
            .output
            .report_as(&target, &document, || text(&salvaged))?;
        Ok(match salvaged.report.is_whole() {
            true => Outcome::Done,
            false => Outcome::ProblemsFound,
        })
    }
}

fn document(source: String, salvaged: &SalvagedImage) -> Document {
    let report = &salvaged.report;
    Document {
        source,
        target: salvaged.target.to_string_lossy().into_owned(),
        whole: report.is_whole(),
        virtual_size: report.total.get(),
        copied: report.copied.get(),
        lost_bytes: report.lost_bytes.get(),
        lost: report
            .lost
            .iter()
            .map(|lost| LostDocument {
                start: lost.range.start().get(),
                length: lost.range.len().get(),
                reason: lost.reason,
            })
            .collect(),
        doubtful: report.doubtful.iter().map(RangeDocument::of).collect(),
        parent_error: salvaged.parent_error.clone(),
        mended_in_memory: salvaged
            .fixes
            .iter()
            .map(|fix| fix.message.clone())
            .collect(),
    }
}

fn text(salvaged: &SalvagedImage) -> String {
    let report = &salvaged.report;
    let mut text = String::new();
    for fix in &salvaged.fixes {
        text.push_str(&format!(
            "for reading: {}\n",
            terminal::escape(&fix.message)
        ));
    }
    if let Some(error) = &salvaged.parent_error {
        text.push_str(&format!("parent: {}\n", terminal::escape(error)));
    }
    for lost in report.lost.iter().take(MAX_PRINTED) {
        text.push_str(&format!(
            "lost: {} of the disk: {}\n",
            lost.range, lost.reason
        ));
    }
    if let Some(more) = report.lost.len().checked_sub(MAX_PRINTED + 1) {
        text.push_str(&format!("... and {} more; --json lists them\n", more + 1));
    }
    for range in report.doubtful.iter().take(MAX_PRINTED) {
        let reason = "more than one part of the image claims it, or its tables may be old";
        text.push_str(&format!("in doubt: {range} of the disk: {reason}\n"));
    }
    let mut verdict = format!("{} of data copied", quantity::bytes(report.copied.get()));
    match report.lost_bytes.get() {
        0 => verdict.push_str(", nothing lost"),
        lost => verdict.push_str(&format!(", {} lost", quantity::bytes(lost))),
    }
    let name = salvaged.target.to_string_lossy();
    text.push_str(&format!("{}: {verdict}\n", terminal::escape(&name)));
    text
}

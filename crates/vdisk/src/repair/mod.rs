//! Repair of damaged images: what a check finds is mended where one right answer exists, and named
//! where none does.
//!
//! ```text
//!   plan_repair   check - mend on a draft, in memory - check again     nothing is written
//!   backup        bytes before and after, in a file beside the image   durable first
//!   apply         the image, from the backup                           completed after a crash
//!   undo          the image as it was, from the backup
//! ```
//! Two rules bind every repair. It makes no byte unreadable that could be read before. And it does
//! not guess: two blocks that claim one place, or tables of which either may be right, are named and
//! left. What cannot be read any more is given up only where the caller accepts the loss; then each
//! range of the disk that reads as zeros from now on is listed.

mod backup;
mod draft;
mod fuzz;

use blockio::{ByteCount, ByteOffset, ByteRange, Storage};

use crate::error::ImageError;
use crate::image::ImageFormat;
use crate::report::{CheckReport, Finding};
use crate::{image, vhd, vhdx};

pub use backup::{RepairBackup, RepairState};
pub(crate) use draft::Draft;
pub use fuzz::fuzz_repair;

/// Most fixes and lost ranges that are listed one by one.
const MAX_LISTED: usize = 1000;

/// What the caller lets a repair do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairOptions {
    /// Whether parts of the disk that cannot be read become zeros, so that the rest can be used.
    pub accept_loss: bool,
}

/// One thing that a repair mends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Section of the specification, such as `MS-VHDX 2.5.1.1`.
    pub rule: &'static str,
    /// Where in the file.
    pub offset: Option<ByteOffset>,
    /// What is done.
    pub message: String,
}

/// What a repair would do, and what is left after it.
#[derive(Debug)]
pub struct RepairPlan {
    /// What the check finds now.
    pub before: CheckReport,
    /// What it finds after the repair; `None` where nothing is repaired.
    pub after: Option<CheckReport>,
    /// What is mended, the first `MAX_LISTED` of it.
    pub fixes: Vec<Fix>,
    /// How much more is mended.
    pub omitted: u64,
    /// Ranges of the disk that are given up: they read as zeros afterwards.
    pub lost: Vec<ByteRange>,
    /// Bytes of the disk that are given up, also in ranges that are not listed.
    pub lost_bytes: ByteCount,
    /// The bytes to replace; `None` where there is nothing to do.
    pub backup: Option<RepairBackup>,
}

impl RepairPlan {
    /// The findings that stay.
    pub fn remaining(&self) -> &CheckReport {
        self.after.as_ref().unwrap_or(&self.before)
    }
}

/// What a repair has done so far.
#[derive(Debug)]
pub(crate) struct Repairs {
    pub(crate) options: RepairOptions,
    /// Whether changes of the tables may have been lost that nothing tells of.
    pub(crate) in_doubt: bool,
    most_lost: usize,
    fixes: Vec<Fix>,
    omitted: u64,
    lost: Vec<ByteRange>,
    lost_bytes: u64,
}

impl Repairs {
    /// Nothing yet; at most `most_lost` ranges of the disk are listed.
    pub(crate) fn new(options: RepairOptions, most_lost: usize) -> Self {
        Self {
            options,
            in_doubt: false,
            most_lost,
            fixes: Vec::new(),
            omitted: 0,
            lost: Vec::new(),
            lost_bytes: 0,
        }
    }

    /// Notes something mended.
    pub(crate) fn fix(
        &mut self,
        rule: &'static str,
        offset: Option<ByteOffset>,
        message: impl Into<String>,
    ) {
        if self.fixes.len() >= MAX_LISTED {
            self.omitted = self.omitted.saturating_add(1);
            return;
        }
        self.fixes.push(Fix {
            rule,
            offset,
            message: message.into(),
        });
    }

    /// What was mended, the ranges of the disk that were given up, and how many bytes of them are in
    /// no range of the list.
    pub(crate) fn into_parts(self) -> (Vec<Fix>, Vec<ByteRange>, u64) {
        let listed = self.lost.iter().map(|range| range.len().get()).sum();
        let unlisted = self.lost_bytes.saturating_sub(listed);
        (self.fixes, self.lost, unlisted)
    }

    /// Notes a range of the disk that is given up.
    pub(crate) fn lose(&mut self, start: u64, length: u64) {
        let Some(range) = ByteRange::new(ByteOffset(start), ByteCount(length)) else {
            return;
        };
        if range.is_empty() {
            return;
        }
        self.lost_bytes = self.lost_bytes.saturating_add(length);
        let is_full = self.lost.len() >= self.most_lost;
        match self.lost.last_mut() {
            Some(last) if last.end() == range.start() => {
                *last = ByteRange::between(last.start(), range.end()).unwrap_or(*last);
            }
            _ if is_full => {}
            _ => self.lost.push(range),
        }
    }
}

/// Finds out what a repair of an image would do. Changes nothing; the bytes to write are in the plan.
///
/// # Errors
/// `NotAnImage`, `Unsupported`, `Io`. Damage that cannot be repaired is no error.
pub fn plan_repair(
    storage: &dyn Storage,
    format: Option<ImageFormat>,
    options: RepairOptions,
) -> Result<RepairPlan, ImageError> {
    let before = image::check(storage, format)?;
    let format = before.format;
    let draft = Draft::new(storage)?;
    let mut repairs = Repairs::new(options, MAX_LISTED);
    let guards = match format {
        ImageFormat::Vhdx => vhdx::repair(&draft, &mut repairs)?,
        ImageFormat::Vhd => vhd::repair(&draft, &mut repairs)?,
        ImageFormat::Raw | ImageFormat::Qcow2 => Vec::new(),
    };
    let mut plan = RepairPlan {
        before,
        after: None,
        fixes: repairs.fixes,
        omitted: repairs.omitted,
        lost: repairs.lost,
        lost_bytes: ByteCount(repairs.lost_bytes),
        backup: None,
    };
    if plan.fixes.is_empty() {
        return Ok(plan);
    }
    plan.after = Some(image::check(&draft, Some(format))?);
    let backup = draft.into_backup(&guards)?;
    plan.backup = (!backup.is_empty()).then_some(backup);
    Ok(plan)
}

/// What can be done about a finding that a repair leaves.
pub fn remedy(finding: &Finding) -> &'static str {
    let says = |part: &str| finding.message.contains(part);
    match finding.rule {
        _ if says("shares space") || says("share space") => {
            "two parts of the image claim one place and nothing says which is right: \
             `cvol salvage` reads what both claim and names it"
        }
        "MS-VHDX 2.5.1.1" | "MS-VHDX 2.5.1.2" | "VHD block allocation table" => {
            "`--accept-loss` gives these blocks up and keeps the rest; `cvol salvage` reads what \
             can be read"
        }
        "MS-VHDX 2.3.3" | "MS-VHDX 2.3" => {
            "`--accept-loss` gives the log up and takes the tables as they stand; without it, \
             `cvol salvage` reads them so"
        }
        "parent" | "VHD parent locator" | "MS-VHDX 2.6.2.6" => {
            "the parent has to be given by `--parent FILE`, or named anew by `cvol rebase`"
        }
        rule if rule.starts_with("MS-VHDX 2.6") => {
            "there is no second copy of the metadata: `cvol salvage --size --block-size` reads the \
             blocks"
        }
        "VHD dynamic disk header" => {
            "there is no second copy of the header: `cvol salvage --size --block-size` reads the \
             blocks"
        }
        _ => "`cvol salvage` reads what can be read",
    }
}

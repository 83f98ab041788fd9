//! `cvol check`: whether an image keeps the rules of its format, and its repair.

use engine::{CheckReport, CheckedImage, Finding, RepairImage, Severity};
use serde::Serialize;

use super::repair_report;
use super::{Context, Outcome, Result};
use crate::output::{quantity, terminal};
use crate::reference::ImageToRead;

/// Check the structure of an image file, or of the image of a volume
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --repair not a byte of the image is changed. The exit code is 1 if a rule of the format is
broken. Leaked space (bytes in the file that nothing uses, as a crash may leave them) and notes are
listed, but are no problems. The parents of a differencing image are checked with it.

--repair mends what has one right answer and names the rest; nothing that can be read is lost. The
bytes it replaces are kept in FILE.repair-backup beside the image, from which --undo-repair restores
them, and from which a repair that was cut short is completed. --accept-loss lets parts of the disk
that cannot be read become zeros, so that the rest can be used; each is listed. The parents of an
image are not repaired with it. The exit code is 1 if something is left.

The argument is a path if it holds a separator, ends in .vhdx, .vhd, .avhdx, .avhd, .raw, .img or
.qcow2, or names a file that exists here; else it is a volume. --image and --volume decide
otherwise.

Examples:
  cvol check disk.vhdx
  cvol check data --json
  cvol check --volume backup.img
  cvol check disk.vhdx --repair --dry-run
  cvol check disk.vhdx --repair --accept-loss
  cvol check disk.vhdx --undo-repair")]
pub(crate) struct Arguments {
    #[command(flatten)]
    image: ImageToRead,

    /// Repair what can be repaired, with a backup beside the image
    #[arg(long)]
    repair: bool,

    /// Let what cannot be read become zeros
    #[arg(long, requires = "repair")]
    accept_loss: bool,

    /// Only say what a repair would do
    #[arg(long, requires = "repair")]
    dry_run: bool,

    /// Undo the last repair from its backup
    #[arg(long, conflicts_with_all = ["repair", "accept_loss", "dry_run"])]
    undo_repair: bool,
}

#[derive(Serialize)]
pub(super) struct Document<'a> {
    image: &'a str,
    format: String,
    sound: bool,
    errors: u64,
    leaked: u64,
    dirty_log: bool,
    total_blocks: u64,
    allocated_blocks: u64,
    omitted_findings: u64,
    findings: Vec<FindingDocument<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parents: Vec<Document<'a>>,
}

#[derive(Serialize)]
struct FindingDocument<'a> {
    severity: &'static str,
    rule: &'a str,
    offset: Option<u64>,
    message: &'a str,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let image = self.image.resolve()?;
        if self.undo_repair {
            context.engine.undo_image_repair(&image)?;
            return repair_report::undone(context, &image.to_string());
        }
        if self.repair {
            let request = RepairImage {
                image,
                format: self.image.format,
                accept_loss: self.accept_loss,
            };
            return repair_report::run(context, &request, self.dry_run);
        }
        let checked = context.engine.check_image(&image, self.image.format)?;
        context.output.report(&document(&checked), || {
            let mut lines = text(&checked.name, &checked.report);
            for (name, report) in &checked.parents {
                lines.push_str(&text(name, report));
            }
            lines
        })?;
        Ok(if checked.is_sound() {
            Outcome::Done
        } else {
            Outcome::ProblemsFound
        })
    }
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Leak => "leak",
        Severity::Note => "note",
    }
}

pub(super) fn document(checked: &CheckedImage) -> Document<'_> {
    let parents = checked.parents.iter();
    Document {
        parents: parents
            .map(|(name, report)| of_image(name, report))
            .collect(),
        ..of_image(&checked.name, &checked.report)
    }
}

pub(super) fn of_image<'a>(name: &'a str, report: &'a CheckReport) -> Document<'a> {
    let findings = report.findings().iter().map(|finding| FindingDocument {
        severity: severity_name(finding.severity),
        rule: finding.rule,
        offset: finding.offset.map(engine::ByteOffset::get),
        message: &finding.message,
    });
    Document {
        image: name,
        format: report.format.to_string(),
        sound: report.is_sound(),
        errors: report.error_count(),
        leaked: report.leaked.get(),
        dirty_log: report.dirty_log,
        total_blocks: report.total_blocks,
        allocated_blocks: report.allocated_blocks,
        omitted_findings: report.omitted(),
        findings: findings.collect(),
        parents: Vec::new(),
    }
}

pub(super) fn text(name: &str, report: &CheckReport) -> String {
    let mut text: String = report.findings().iter().map(line).collect();
    if report.omitted() > 0 {
        text.push_str(&format!("... and {} more\n", report.omitted()));
    }
    let mut verdict = match report.error_count() {
        0 => "no errors found".to_owned(),
        count => format!("{} found", quantity::counted(count, "error", "errors")),
    };
    if report.leaked.get() > 0 {
        let leaked = quantity::bytes(report.leaked.get());
        verdict.push_str(&format!(", {leaked} leaked"));
    }
    if report.dirty_log {
        verdict.push_str(", log to be replayed");
    }
    let name = terminal::escape(name);
    text.push_str(&format!("{name}: {} image, {verdict}\n", report.format));
    text
}

fn line(finding: &Finding) -> String {
    let place = finding
        .offset
        .map_or_else(String::new, |offset| format!(" at {offset}"));
    format!(
        "{}{place}: {} [{}]\n",
        severity_name(finding.severity),
        terminal::escape(&finding.message),
        finding.rule
    )
}

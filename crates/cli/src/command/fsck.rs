//! `cvol fsck`: whether the file systems in a volume or an image hold together.

use std::ffi::OsString;

use engine::{CheckedVolume, CheckedVolumes, FindingSeverity, VolumeFinding};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::{quantity, terminal};
use crate::reference::ImageOrVolume;

/// Check the file systems in a volume or an image file (NTFS, FAT32)
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Not a byte is changed. The file systems are found by the partition table (GPT or MBR), or fill the
disk. Findings are grouped by class; classes keep their names from version to version. The exit
code is 1 if an error or a warning was found, 6 if a file system is too damaged to be walked.
`cvol check` checks the image around the file systems.

The argument is a path if it holds a separator, ends in .vhdx, .vhd, .avhdx, .avhd, .raw, .img or
.qcow2, or names a file that exists here; else it is a volume. --image and --volume decide
otherwise.

Examples:
  cvol fsck data
  cvol fsck disk.vhdx --json
  cvol fsck --volume backup.img --quiet && echo sound")]
pub(crate) struct Arguments {
    /// Image file, or name of a volume
    #[arg(value_name = "FILE|NAME")]
    subject: OsString,

    #[command(flatten)]
    which: ImageOrVolume,
}

#[derive(Serialize)]
struct Document<'a> {
    image: &'a str,
    clean: bool,
    volumes: Vec<VolumeDocument<'a>>,
}

#[derive(Serialize)]
struct VolumeDocument<'a> {
    offset: u64,
    size: u64,
    file_system: String,
    clean: bool,
    files: u64,
    directories: u64,
    cluster_size: u64,
    clusters: u64,
    used_clusters: u64,
    problems: u64,
    omitted_findings: u64,
    classes: Vec<ClassDocument>,
    findings: Vec<FindingDocument<'a>>,
}

#[derive(Serialize)]
struct ClassDocument {
    class: &'static str,
    severity: String,
    count: u64,
}

#[derive(Serialize)]
struct FindingDocument<'a> {
    class: &'a str,
    severity: String,
    record: Option<u64>,
    path: Option<&'a str>,
    message: &'a str,
    expected: Option<&'a str>,
    actual: Option<&'a str>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let image = self.which.resolve(&self.subject)?;
        let checked = context.watched("checking", |engine, report| {
            engine.check_volume(&image, report)
        })?;
        context
            .output
            .report(&document(&checked), || text(&checked))?;
        Ok(if checked.is_clean() {
            Outcome::Done
        } else {
            Outcome::ProblemsFound
        })
    }
}

fn document(checked: &CheckedVolumes) -> Document<'_> {
    Document {
        image: &checked.name,
        clean: checked.is_clean(),
        volumes: checked.volumes.iter().map(volume_document).collect(),
    }
}

fn volume_document(volume: &CheckedVolume) -> VolumeDocument<'_> {
    let report = &volume.report;
    let classes = report
        .classes()
        .map(|(class, severity, count)| ClassDocument {
            class,
            severity: severity.to_string(),
            count,
        });
    let findings = report.findings().iter().map(|finding| FindingDocument {
        class: finding.class,
        severity: finding.severity.to_string(),
        record: finding.record,
        path: finding.path.as_deref(),
        message: &finding.message,
        expected: finding.expected.as_deref(),
        actual: finding.actual.as_deref(),
    });
    VolumeDocument {
        offset: volume.start.get(),
        size: volume.size.get(),
        file_system: report.file_system.to_string(),
        clean: report.is_clean(),
        files: report.files,
        directories: report.directories,
        cluster_size: report.cluster_size,
        clusters: report.clusters,
        used_clusters: report.used_clusters,
        problems: report.problems(),
        omitted_findings: report.omitted(),
        classes: classes.collect(),
        findings: findings.collect(),
    }
}

fn text(checked: &CheckedVolumes) -> String {
    let mut text = String::new();
    for volume in &checked.volumes {
        for (class, severity, count) in volume.report.classes() {
            class_lines(&mut text, volume, class, severity, count);
        }
        text.push_str(&verdict(&checked.name, volume));
    }
    text
}

/// The findings of a class, below its name.
fn class_lines(
    text: &mut String,
    volume: &CheckedVolume,
    class: &str,
    severity: FindingSeverity,
    count: u64,
) {
    let plural = format!("{severity}s");
    let counted = quantity::counted(count, &severity.to_string(), &plural);
    text.push_str(&format!("{class}: {counted}\n"));
    let findings = volume.report.findings().iter();
    let mut shown = 0;
    for finding in findings.filter(|finding| finding.class == class) {
        text.push_str(&line(finding));
        shown += 1;
    }
    if count > shown {
        text.push_str(&format!("  ... and {} more\n", count - shown));
    }
}

fn line(finding: &VolumeFinding) -> String {
    let mut line = String::from("  ");
    match (&finding.path, finding.record) {
        (Some(path), Some(record)) => {
            line.push_str(&format!("{} (record {record}): ", terminal::escape(path)));
        }
        (Some(path), None) => line.push_str(&format!("{}: ", terminal::escape(path))),
        (None, Some(record)) => line.push_str(&format!("record {record}: ")),
        (None, None) => {}
    }
    line.push_str(&terminal::escape(&finding.message));
    if let (Some(expected), Some(actual)) = (&finding.expected, &finding.actual) {
        let (expected, actual) = (terminal::escape(expected), terminal::escape(actual));
        line.push_str(&format!(": {actual} instead of {expected}"));
    }
    line.push('\n');
    line
}

fn verdict(name: &str, volume: &CheckedVolume) -> String {
    let report = &volume.report;
    let verdict = match report.problems() {
        0 => "clean".to_owned(),
        count => format!("{} found", quantity::counted(count, "problem", "problems")),
    };
    format!(
        "{}: {}, {}, {}, {} of {} in use: {verdict}\n",
        terminal::escape(name),
        report.file_system,
        quantity::counted(report.files, "file", "files"),
        quantity::counted(report.directories, "directory", "directories"),
        quantity::bytes(report.used_clusters.saturating_mul(report.cluster_size)),
        quantity::bytes(report.clusters.saturating_mul(report.cluster_size)),
    )
}

//! `cvol doctor`: a whole store, looked over and mended.

use engine::{Diagnosis, ExamineStore, StoreCure, Symptom};
use serde::Serialize;

use super::{Context, Outcome, Result};
use crate::output::{quantity, terminal};

/// Look over the whole store, and mend what is safe
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Compares the database with the folders of the volumes and their rescue records, looks for strays,
missing files, work that was cut short, and checks every image with all below it; with --deep, the
file systems too. The exit code is 1 if something is wrong that was not mended.

--fix mends what has one right answer: rescue records, rests of removals, volumes whose folder is whole
and that are not listed, changes and repairs that were cut short, damage of images that is repaired
without loss (see `cvol check --repair`; the replaced bytes are kept beside the image). It removes
nothing that may be a volume or its data: that is named, with what can be done.

Opening the store already finishes what dead processes left, here as in every command; doctor tells of it.

Examples:
  cvol doctor
  cvol doctor --fix
  cvol doctor --deep --json")]
pub(crate) struct Arguments {
    /// Mend what is safe
    #[arg(long)]
    fix: bool,

    /// Walk the file systems too
    #[arg(long)]
    deep: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    sound: bool,
    volumes: u64,
    findings: Vec<FindingDocument<'a>>,
}

#[derive(Serialize)]
struct FindingDocument<'a> {
    class: &'static str,
    subject: &'a str,
    message: &'a str,
    cure: &'static str,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let request = ExamineStore {
            mend: self.fix,
            deep: self.deep,
        };
        let diagnosis = context.watched("looking", |engine, report| {
            engine.examine_store(request, report)
        })?;
        context
            .output
            .report(&document(&diagnosis), || text(&diagnosis))?;
        Ok(match diagnosis.is_sound() {
            true => Outcome::Done,
            false => Outcome::ProblemsFound,
        })
    }
}

fn cure_word(cure: StoreCure) -> &'static str {
    match cure {
        StoreCure::NotNeeded => "note",
        StoreCure::Mended => "mended",
        StoreCure::Mendable => "mendable",
        StoreCure::ByHand => "by-hand",
    }
}

fn document(diagnosis: &Diagnosis) -> Document<'_> {
    let findings = diagnosis.findings.iter().map(|symptom| FindingDocument {
        class: symptom.class,
        subject: &symptom.subject,
        message: &symptom.message,
        cure: cure_word(symptom.cure),
    });
    Document {
        sound: diagnosis.is_sound(),
        volumes: diagnosis.volumes,
        findings: findings.collect(),
    }
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut text: String = diagnosis.findings.iter().map(line).collect();
    let count = |cure: StoreCure| {
        let of = diagnosis
            .findings
            .iter()
            .filter(|symptom| symptom.cure == cure);
        u64::try_from(of.count()).unwrap_or(u64::MAX)
    };
    let mut verdict = match count(StoreCure::Mendable) + count(StoreCure::ByHand) {
        0 => "nothing is wrong".to_owned(),
        left => quantity::counted(left, "problem", "problems"),
    };
    if count(StoreCure::Mended) > 0 {
        verdict.push_str(&format!(", {} mended", count(StoreCure::Mended)));
    }
    if count(StoreCure::Mendable) > 0 {
        let mendable = count(StoreCure::Mendable);
        verdict.push_str(&format!(
            ", {mendable} of them can be mended by `cvol doctor --fix`"
        ));
    }
    let volumes = quantity::counted(diagnosis.volumes, "volume", "volumes");
    text.push_str(&format!("{volumes} looked at: {verdict}\n"));
    text
}

fn line(symptom: &Symptom) -> String {
    format!(
        "{}: {}: {} [{}]\n",
        cure_word(symptom.cure),
        terminal::escape(&symptom.subject),
        terminal::escape(&symptom.message),
        symptom.class
    )
}

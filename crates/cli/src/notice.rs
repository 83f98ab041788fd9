//! What the store did on its own when it was opened: told on standard error, also under `--quiet`,
//! since it concerns everybody's data.

use std::io::{self, Write};

use engine::{Notice, RebuildReport};
use serde::Serialize;

use crate::output::{Form, json, quantity, terminal};

/// A notice as `--json` tells it.
#[derive(Serialize)]
struct NoticeDocument<'a> {
    notice: NoticeBody<'a>,
}

#[derive(Serialize)]
struct NoticeBody<'a> {
    kind: &'a str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_alone: Option<Vec<LeftAlone<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_aside: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_to: Option<&'a [String]>,
}

#[derive(Serialize)]
struct LeftAlone<'a> {
    folder: &'a str,
    reason: &'a str,
}

/// Tells each notice on standard error.
pub(crate) fn tell(notices: &[Notice], form: Form) {
    for notice in notices {
        let text = match notice {
            Notice::Rebuilt(report) if form == Form::Json => document(report),
            Notice::Rebuilt(report) => sentences(report),
            Notice::OpenToOthers(others) => open_to(others, form),
            _ => continue,
        };
        // A closed standard error has no better place to be told of.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

fn message(report: &RebuildReport) -> String {
    let count = u64::try_from(report.restored.len()).unwrap_or(u64::MAX);
    let volumes = quantity::counted(count, "volume", "volumes");
    let fate = match &report.set_aside {
        Some(name) => format!("was damaged and is kept as {name}"),
        None => "was missing".to_owned(),
    };
    format!(
        "the database of the store {fate}; it was built anew from the records beside the images, \
         with {volumes}"
    )
}

fn sentences(report: &RebuildReport) -> String {
    let mut text = format!("cvol: {}\n", terminal::escape(&message(report)));
    for (folder, reason) in &report.left {
        let line = format!("folder {folder} was left alone: {reason}");
        text.push_str(&format!("cvol: {}\n", terminal::escape(&line)));
    }
    text
}

fn open_to(others: &[String], form: Form) -> String {
    let message = format!(
        "the folder of the store is open to {}; `cvol doctor --fix` leaves it to the system and \
         administrators",
        others.join(", ")
    );
    if form != Form::Json {
        return format!("cvol: {}\n", terminal::escape(&message));
    }
    let notice = NoticeBody {
        kind: "open-to-others",
        message,
        restored: None,
        left_alone: None,
        set_aside: None,
        open_to: Some(others),
    };
    json::to_document(&NoticeDocument { notice }).unwrap_or_default()
}

fn document(report: &RebuildReport) -> String {
    let left_alone = report
        .left
        .iter()
        .map(|(folder, reason)| LeftAlone { folder, reason })
        .collect();
    let notice = NoticeBody {
        kind: "rebuilt",
        message: message(report),
        restored: Some(&report.restored),
        left_alone: Some(left_alone),
        set_aside: report.set_aside.as_deref(),
        open_to: None,
    };
    json::to_document(&NoticeDocument { notice }).unwrap_or_default()
}

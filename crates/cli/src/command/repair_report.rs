//! What `cvol check --repair` and `--undo-repair` tell.

use engine::{CheckReport, CheckedImage, Fix, RepairImage, RepairPlan, Severity, remedy};
use serde::Serialize;

use super::check;
use super::{Context, Outcome, Result};
use crate::output::json::RangeDocument;
use crate::output::{quantity, terminal};

#[derive(Serialize)]
struct Document<'a> {
    image: &'a str,
    repaired: bool,
    completed_earlier: bool,
    backup: Option<&'a str>,
    fixes: Vec<FixDocument<'a>>,
    omitted_fixes: u64,
    lost: Vec<RangeDocument>,
    lost_bytes: u64,
    left: Vec<LeftDocument<'a>>,
    check: check::Document<'a>,
}

#[derive(Serialize)]
struct FixDocument<'a> {
    rule: &'a str,
    offset: Option<u64>,
    message: &'a str,
}

#[derive(Serialize)]
struct LeftDocument<'a> {
    rule: &'a str,
    message: &'a str,
    remedy: &'static str,
}

/// A repair, done or only planned.
struct Told<'a> {
    name: &'a str,
    plan: &'a RepairPlan,
    is_planned: bool,
    completed_earlier: bool,
    backup: Option<&'a str>,
    /// The image after the repair, and its parents; `None` where it is only planned.
    checked: Option<&'a CheckedImage>,
}

impl<'a> Told<'a> {
    /// What is left.
    fn report(&self) -> &'a CheckReport {
        match self.checked {
            Some(checked) => &checked.report,
            None => self.plan.remaining(),
        }
    }
}

/// Repairs, or finds out what a repair would do.
pub(super) fn run(context: &Context, request: &RepairImage, dry_run: bool) -> Result {
    let name = request.image.to_string();
    if dry_run {
        let plan = context.engine.plan_image_repair(request)?;
        return tell(
            context,
            &Told {
                name: &name,
                plan: &plan,
                is_planned: true,
                completed_earlier: false,
                backup: None,
                checked: None,
            },
        );
    }
    let repaired = context.engine.repair_image(request)?;
    // With the way to its parents, of which a repair knows nothing.
    let checked = context.engine.check_image(&request.image, request.format)?;
    tell(
        context,
        &Told {
            name: &name,
            plan: &repaired.plan,
            is_planned: false,
            completed_earlier: repaired.completed_earlier,
            backup: repaired.backup.as_deref(),
            checked: Some(&checked),
        },
    )
}

/// Tells that a repair was undone.
pub(super) fn undone(context: &Context, name: &str) -> Result {
    #[derive(Serialize)]
    struct Undone<'a> {
        image: &'a str,
        undone: bool,
    }
    let document = Undone {
        image: name,
        undone: true,
    };
    context.output.report(&document, || {
        let name = terminal::escape(name);
        format!("{name}: as it was before its repair\n")
    })?;
    Ok(Outcome::Done)
}

fn tell(context: &Context, told: &Told<'_>) -> Result {
    context.output.report(&document(told), || text(told))?;
    let is_sound = match told.checked {
        Some(checked) => checked.is_sound(),
        None => told.plan.remaining().is_sound(),
    };
    Ok(match is_sound {
        true => Outcome::Done,
        false => Outcome::ProblemsFound,
    })
}

fn document<'a>(told: &Told<'a>) -> Document<'a> {
    let plan = told.plan;
    let report = told.report();
    let errors = report.findings().iter();
    let errors = errors.filter(|finding| finding.severity == Severity::Error);
    Document {
        image: told.name,
        repaired: !told.is_planned && !plan.fixes.is_empty(),
        completed_earlier: told.completed_earlier,
        backup: told.backup,
        fixes: plan
            .fixes
            .iter()
            .map(|fix| FixDocument {
                rule: fix.rule,
                offset: fix.offset.map(engine::ByteOffset::get),
                message: &fix.message,
            })
            .collect(),
        omitted_fixes: plan.omitted,
        lost: plan.lost.iter().map(RangeDocument::of).collect(),
        lost_bytes: plan.lost_bytes.get(),
        left: errors
            .map(|finding| LeftDocument {
                rule: finding.rule,
                message: &finding.message,
                remedy: remedy(finding),
            })
            .collect(),
        check: match told.checked {
            Some(checked) => check::document(checked),
            None => check::of_image(told.name, report),
        },
    }
}

fn text(told: &Told<'_>) -> String {
    let plan = told.plan;
    let mut text = String::new();
    if told.completed_earlier {
        text.push_str("completed a repair that was cut short\n");
    }
    let word = if told.is_planned {
        "would repair"
    } else {
        "repaired"
    };
    text.extend(plan.fixes.iter().map(|fix| line(word, fix)));
    if plan.omitted > 0 {
        text.push_str(&format!("... and {} more\n", plan.omitted));
    }
    for range in &plan.lost {
        text.push_str(&format!("lost: bytes {range} of the disk become zeros\n"));
    }
    if plan.lost_bytes.get() > 0 {
        let lost = quantity::bytes(plan.lost_bytes.get());
        text.push_str(&format!("lost in all: {lost}\n"));
    }
    text.push_str(&check::text(told.name, told.report()));
    let parents = told.checked.iter().flat_map(|checked| &checked.parents);
    for (name, report) in parents.clone() {
        text.push_str(&check::text(name, report));
    }
    let mut remedies: Vec<&str> = Vec::new();
    let links = parents.flat_map(|(_, report)| report.findings());
    let links = links.filter(|finding| finding.rule == "parent");
    for finding in told.report().findings().iter().chain(links) {
        if finding.severity == Severity::Error && !remedies.contains(&remedy(finding)) {
            remedies.push(remedy(finding));
        }
    }
    for remedy in remedies {
        text.push_str(&format!("what is left: {remedy}\n"));
    }
    if let Some(backup) = told.backup {
        let backup = terminal::escape(backup);
        text.push_str(&format!(
            "the replaced bytes are in {backup}, beside the image\n"
        ));
    }
    text
}

fn line(word: &str, fix: &Fix) -> String {
    let place = fix
        .offset
        .map_or_else(String::new, |offset| format!(" at {offset}"));
    let message = terminal::escape(&fix.message);
    format!("{word}{place}: {message} [{}]\n", fix.rule)
}

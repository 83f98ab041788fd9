//! `cargo xtask ci`: every check in turn, cheap ones first, with the time that each took. All run,
//! whatever fails, so that one run tells everything; the verb fails if any did.

mod expression;
mod licences;
mod stages;

use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};

use stages::STAGES;

pub(crate) const HELP: &str = "\
usage: cargo xtask ci [--without STAGE]... [STAGE]...

Runs every check, or the stages named, and shows how long each took. With CI=true in the
environment a test that lacks its tool fails, and Cargo.lock must be up to date.

Stages: fmt, tidy, licences, clippy, windows-clippy, test, doc, windows-test, windows-smoke,
windows-c-api, windows-hcs.
";

/// One check by name.
struct Stage {
    name: &'static str,
    run: fn() -> Outcome,
}

/// How a stage went.
struct Report {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

pub(crate) fn run(mut arguments: Arguments) -> Outcome {
    let without = arguments.options("--without")?;
    let mut named = Vec::new();
    while let Some(name) = arguments.positional()? {
        named.push(name);
    }
    arguments.finish()?;
    for name in without.iter().chain(&named) {
        if !STAGES.iter().any(|stage| stage.name == name) {
            return Err(Failure::usage(format!("no stage {name:?}; see --help")));
        }
    }
    let wanted = |stage: &&Stage| {
        let is = |name: &String| name == stage.name;
        (named.is_empty() || named.iter().any(is)) && !without.iter().any(is)
    };
    let reports: Vec<Report> = STAGES.iter().filter(wanted).map(run_stage).collect();
    close(&reports)
}

fn run_stage(stage: &Stage) -> Report {
    println!("\n=== {}", stage.name);
    let start = Instant::now();
    let outcome = (stage.run)();
    if let Err(failure) = &outcome {
        println!("{}: {failure}", stage.name);
    }
    Report {
        name: stage.name,
        outcome,
        took: start.elapsed(),
    }
}

fn close(reports: &[Report]) -> Outcome {
    println!("\n=== ci");
    let mut total = Duration::ZERO;
    for report in reports {
        total += report.took;
        let word = if report.outcome.is_ok() {
            "ok"
        } else {
            "FAILED"
        };
        println!(
            "{:<16} {:>6.1} s  {word}",
            report.name,
            report.took.as_secs_f64()
        );
    }
    println!("{:<16} {:>6.1} s", "total", total.as_secs_f64());
    let failed: Vec<_> = reports
        .iter()
        .filter(|report| report.outcome.is_err())
        .map(|report| report.name)
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("failed: {}", failed.join(", "))))
    }
}

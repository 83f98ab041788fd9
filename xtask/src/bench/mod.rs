//! `cargo xtask bench`: cvol against its peers, in one run, in turn.
//!
//! A pair is two ways to the same end. They run A B A B, so that what else the machine does weighs
//! on both; what is told is the median of each and the median of the ratios, round by round. To
//! add a pair, add a function to `cases.rs` and a line to its list. Benches within one process are
//! examples of the crate `e2e` that print a line of JSON a case; `inside.rs` runs them.

mod cases;
mod inside;
mod pair;
mod report;
mod statistics;

use std::path::PathBuf;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::setup::Group;
use crate::{demo, setup, workspace};

use report::Table;

pub(crate) const HELP: &str = "\
usage: cargo xtask bench [CASE]... [--rounds N] [--write] [--list]

Measures cvol (built with all optimisations) against its peers: N rounds of A B A B (5 without),
medians, and medians of the ratios.

  --write   put the tables into docs/perf.md, between their markers
  --list    name the cases and what they measure
";

/// What a case needs to run.
pub(crate) struct Bench {
    /// The `cvol` that is measured.
    cvol: PathBuf,
    /// An empty folder to work in.
    folder: PathBuf,
    rounds: u64,
}

/// Something that is measured.
pub(crate) struct Case {
    name: &'static str,
    what: &'static str,
    run: fn(&Bench) -> Result<Table, Failure>,
}

pub(crate) fn run(mut arguments: Arguments) -> Outcome {
    let rounds = arguments.number("--rounds")?.unwrap_or(5).max(1);
    let write = arguments.flag("--write");
    let list = arguments.flag("--list");
    let mut cases = Vec::new();
    while let Some(name) = arguments.positional()? {
        let case = cases::ALL.iter().find(|case| case.name == name);
        cases.push(case.ok_or_else(|| Failure::usage(format!("no case {name:?}; see --list")))?);
    }
    arguments.finish()?;
    if cases.is_empty() {
        cases.extend(cases::ALL);
    }
    if list {
        for case in cases {
            println!("{:<20} {}", case.name, case.what);
        }
        return Ok(());
    }
    setup::require(&[Group::Build, Group::Bench])?;
    let cvol = demo::build(true)?;
    for case in cases {
        println!("\n--- {}: {}", case.name, case.what);
        let bench = Bench {
            cvol: cvol.clone(),
            folder: workspace::empty_scratch("bench")?,
            rounds,
        };
        let table = (case.run)(&bench)?;
        let text = table.markdown();
        println!("{text}");
        if write {
            report::write(case.name, &text)?;
        }
    }
    workspace::remove_tree(&workspace::target().join("bench"))
}

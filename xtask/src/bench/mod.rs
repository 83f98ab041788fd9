//! `cargo xtask bench`: cvol against its peers, in one run, in turn.
//!
//! A pair is two ways to the same end. They run A B A B, so that what else the machine does weighs
//! on both; what is told is the median of each and the median of the ratios, round by round. To
//! add a case, add a file to `cases/` and a line to the list there. Benches within one process are
//! examples of the crate `e2e` that print a line of JSON a case; `inside.rs` runs them.

mod cases;
mod inside;
mod machine;
mod pair;
mod report;
mod statistics;

use std::path::{Path, PathBuf};

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::setup::Group;
use crate::{demo, setup, workspace};

use report::Table;

pub(crate) const HELP: &str = "\
usage: cargo xtask bench [CASE]... [--rounds N] [--write] [--list]

Measures cvol (built with all optimisations) against its peers: N rounds of A B A B (5 without),
medians, and medians of the ratios.

  --write   put the tables and the facts of the machine into docs/perf.md, between their markers
  --list    name the cases and what they measure
";

/// What a case needs to run.
pub(crate) struct Bench {
    /// The `cvol` that is measured.
    cvol: PathBuf,
    /// An empty folder to work in.
    folder: PathBuf,
    /// An empty folder in memory, where the machine has such a file system.
    memory: Option<PathBuf>,
    rounds: u64,
}

impl Bench {
    /// The same with so many rounds; 0 measures the first run.
    fn with_rounds(&self, rounds: u64) -> Self {
        Self {
            cvol: self.cvol.clone(),
            folder: self.folder.clone(),
            memory: self.memory.clone(),
            rounds,
        }
    }

    /// Where to work if the disk is not what is measured.
    fn memory(&self) -> &Path {
        self.memory.as_deref().unwrap_or(&self.folder)
    }
}

/// The folder in memory on Linux.
fn memory_folder() -> PathBuf {
    PathBuf::from(format!("/dev/shm/cvol-bench-{}", std::process::id()))
}

/// Makes the folder in memory, if the machine has any.
fn make_memory_folder() -> Result<Option<PathBuf>, Failure> {
    if !Path::new("/dev/shm").is_dir() {
        return Ok(None);
    }
    let folder = memory_folder();
    workspace::remove_tree(&folder)?;
    std::fs::create_dir_all(&folder).map_err(|error| Failure::io("making", &folder, &error))?;
    Ok(Some(folder))
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
    if write {
        report::write("machine", &machine::facts())?;
    }
    let outcome = cases
        .into_iter()
        .try_for_each(|case| run_case(case, &cvol, rounds, write));
    let cleared = [memory_folder(), workspace::target().join("bench")]
        .iter()
        .try_for_each(|folder| workspace::remove_tree(folder));
    outcome.and(cleared)
}

fn run_case(case: &Case, cvol: &Path, rounds: u64, write: bool) -> Outcome {
    println!("\n--- {}: {}", case.name, case.what);
    let bench = Bench {
        cvol: cvol.to_owned(),
        folder: workspace::empty_scratch("bench")?,
        memory: make_memory_folder()?,
        rounds,
    };
    let mut table = (case.run)(&bench)?;
    table.command("again", &format!("cargo xtask bench {}", case.name));
    let text = table.markdown();
    println!("{text}");
    if write {
        report::write(case.name, &text)?;
    }
    Ok(())
}

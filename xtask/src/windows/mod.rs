//! `cargo xtask windows`: everything compiled and linted for Windows, the test suites and
//! `cvol.exe` run under Wine, and images made there compared with those made here.
//!
//! The builds have a target folder of their own (`windows` in cargo's), so that they neither wait
//! for nor spoil the builds for this machine.

mod comparison;
mod hcs;
mod programs;
mod source;
mod target;
mod wine;

use std::path::PathBuf;
use std::process::Command;

use crate::arguments::Arguments;
use crate::failure::Outcome;
use crate::{process, workspace};

pub(crate) use target::Target;

pub(crate) const HELP: &str = "\
usage: cargo xtask windows [--check | --test | --smoke | --c-api | --hcs] [-p CRATE]...
                          [--std-from-source] [-- ARGS]

Builds cvol for x86_64-pc-windows-gnu with the mingw cross compiler, lints it with warnings denied,
runs the test suites under Wine, then has cvol.exe make, list, convert and check volumes there and
compares the images byte by byte with those that cvol makes on this machine, has programs in C use the
library containerv_volume there, and last has cvol.exe attach volumes to a machine of QEMU through a test
double of the library of the Host Compute Service, computecore.dll.

  --check            lint only (needs no Wine)
  --test             run the test suites only; words after -- go to the test programs
  --smoke            run cvol.exe and compare the images only
  --c-api            build the library and run the programs in C only
  --hcs              attach through the double only; words after -- choose tests
  -p CRATE           only this crate; may be given several times (with --check and --test)
  --std-from-source  compile the standard library from the source package of the distribution,
                     as is done by itself where rustup cannot add the target

The builds are kept in the folder `windows` of cargo's target folder.
";

/// Crates whose tests need programs of this machine.
const NOT_UNDER_WINE: [&str; 2] = ["e2e", "xtask"];

pub(crate) fn run(mut arguments: Arguments) -> Outcome {
    let (check, test, smoke, c_api, hcs) = (
        arguments.flag("--check"),
        arguments.flag("--test"),
        arguments.flag("--smoke"),
        arguments.flag("--c-api"),
        arguments.flag("--hcs"),
    );
    let everything = !(check || test || smoke || c_api || hcs);
    let crates = arguments.options("-p")?;
    let from_source = arguments.flag("--std-from-source");
    let test_words = arguments.after_dashes();
    arguments.finish()?;

    let target = Target::prepare(from_source)?;
    if check || everything {
        lint(&target, &crates)?;
    }
    if test || everything {
        run_tests(&target, &crates, &test_words)?;
    }
    if smoke || (everything && crates.is_empty()) {
        self::smoke(&target)?;
    }
    if c_api || (everything && crates.is_empty()) {
        self::c_api(&target)?;
    }
    if hcs || (everything && crates.is_empty()) {
        self::hcs(&target, if hcs { &test_words } else { &[] })?;
    }
    Ok(())
}

/// `cvol.exe` at work under Wine, its images compared with those made here.
pub(crate) fn smoke(target: &Target) -> Outcome {
    comparison::run(target)
}

/// Programs in C under Wine.
pub(crate) fn c_api(target: &Target) -> Outcome {
    programs::run(target)
}

/// `cvol.exe` and programs in C against the double of computecore.dll, with a machine of QEMU behind it.
pub(crate) fn hcs(target: &Target, words: &[String]) -> Outcome {
    hcs::run(target, words)
}

/// Whether Wine is on this machine.
pub(crate) fn wine_is_here() -> bool {
    wine::find().is_some()
}

/// The folder of the Windows builds.
pub(crate) fn target_folder() -> PathBuf {
    workspace::target().join("windows")
}

/// Clippy with warnings denied, on all targets of the crates.
pub(crate) fn lint(target: &Target, crates: &[String]) -> Outcome {
    let mut clippy = target.cargo("clippy");
    select(&mut clippy, crates, &[]);
    clippy.args(["--all-targets", "--", "-D", "warnings"]);
    process::run(&mut clippy)
}

/// The test suites under Wine. Documentation tests run on this machine alone.
pub(crate) fn run_tests(target: &Target, crates: &[String], words: &[String]) -> Outcome {
    let wine = wine::Wine::prepare()?;
    let _up = wine.stay_up()?;
    let mut test = target.cargo("test");
    wine.equip(&mut test);
    test.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", wine.program());
    select(&mut test, crates, &NOT_UNDER_WINE);
    // Libraries and programs are among them; a package without a library refuses to be asked for one.
    test.args(["--tests", "--no-fail-fast"]);
    if !words.is_empty() {
        test.arg("--").args(words);
    }
    let (outcome, count) = crate::test::run_counted(&mut test)?;
    count.show();
    outcome
}

fn select(command: &mut Command, crates: &[String], excluded: &[&str]) {
    if crates.is_empty() {
        command.arg("--workspace");
        for name in excluded {
            command.args(["--exclude", name]);
        }
    }
    for name in crates {
        command.args(["-p", name]);
    }
}

//! The checks of `cargo xtask ci`, in the order in which they run.
//!
//! Clippy, documentation and tests share cargo's target folder; the Windows stages share theirs.
//! Each dependency is thus compiled twice for this machine (checked and built) and twice for
//! Windows.

use std::process::Command;

use super::{Stage, licences};
use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::setup::Group;
use crate::windows::Target;
use crate::{process, setup, test, tidy, windows};

pub(super) const STAGES: &[Stage] = &[
    Stage {
        name: "fmt",
        run: fmt,
    },
    Stage {
        name: "tidy",
        run: || tidy::run(Arguments::none()),
    },
    Stage {
        name: "licences",
        run: licences::check,
    },
    Stage {
        name: "clippy",
        run: clippy,
    },
    Stage {
        name: "windows-clippy",
        run: || windows::lint(&Target::prepare(false)?, &[]),
    },
    Stage {
        name: "test",
        run: || test::run(Arguments::none()),
    },
    Stage {
        name: "doc",
        run: doc,
    },
    Stage {
        name: "windows-test",
        run: windows_test,
    },
    Stage {
        name: "windows-smoke",
        run: || windows::smoke(&Target::prepare(false)?),
    },
    Stage {
        name: "windows-c-api",
        run: || windows::c_api(&Target::prepare(false)?),
    },
    Stage {
        name: "windows-hcs",
        run: || windows::hcs(&Target::prepare(false)?, &[]),
    },
];

/// Sees to it that the toolchain has a component; rustup adds it where it can.
fn component(cargo_verb: &str, component: &str) -> Outcome {
    if process::capture(process::cargo().args([cargo_verb, "--version"])).is_ok() {
        return Ok(());
    }
    if process::find("rustup").is_some() {
        return process::run(Command::new("rustup").args(["component", "add", component]));
    }
    Err(Failure::new(format!(
        "cargo {cargo_verb} is missing: install the toolchain's {component}"
    )))
}

fn fmt() -> Outcome {
    component("fmt", "rustfmt")?;
    process::run(process::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Outcome {
    component("clippy", "clippy")?;
    setup::require(&[Group::Build])?;
    let mut command = process::cargo();
    command.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]);
    process::run(&mut command)
}

fn doc() -> Outcome {
    let mut command = process::cargo();
    command.args(["doc", "--workspace", "--no-deps", "--locked"]);
    process::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

fn windows_test() -> Outcome {
    windows::run_tests(&Target::prepare(false)?, &[], &[])
}

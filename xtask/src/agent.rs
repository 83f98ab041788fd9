//! `cargo xtask agent`: the agent for Linux guests, as one file that needs nothing of the guest.

use std::path::PathBuf;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

/// The profile of `Cargo.toml` that it is built with.
const PROFILE: &str = "guest-agent";

pub(crate) const HELP: &str = "\
usage: cargo xtask agent

Builds the agent that runs in Linux guests, without any library of the system, and puts it to
target/agent/cvol-guest-agent. It runs on every Linux of the same processor.
";

pub(crate) fn run(arguments: Arguments) -> Outcome {
    arguments.finish()?;
    println!("{}", build()?.display());
    Ok(())
}

/// Where it is put.
pub(crate) fn program() -> PathBuf {
    workspace::target().join("agent/cvol-guest-agent")
}

/// Builds it and returns its file.
pub(crate) fn build() -> Result<PathBuf, Failure> {
    let target = machine()?;
    let mut command = process::cargo();
    // Named as a target, so that what is built for the build itself is linked as usual.
    command.args(["build", "-p", "guest_agent", "--bin", "cvol-guest-agent"]);
    command.args(["--profile", PROFILE, "--target", &target]);
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    if process::in_ci() {
        command.arg("--locked");
    }
    process::run(&mut command)?;
    let built = workspace::target().join(format!("{target}/{PROFILE}/cvol-guest-agent"));
    let bytes = workspace::read(&built)?;
    // Whoever runs or reads the one before keeps it.
    let fresh = program().with_extension("new");
    workspace::write(&fresh, bytes)?;
    workspace::make_executable(&fresh)?;
    std::fs::rename(&fresh, program()).map_err(|error| Failure::io("renaming", &fresh, &error))?;
    Ok(program())
}

/// What the compiler calls this machine.
fn machine() -> Result<String, Failure> {
    let told = process::capture(std::process::Command::new("rustc").arg("-vV"))?;
    let mut lines = told.lines();
    let host = lines.find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| Failure::new("rustc does not say for which machine it compiles"))
}

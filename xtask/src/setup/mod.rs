//! `cargo xtask setup`: the programs of others that building, testing and showing cvol need.
//!
//! As root on Debian or Ubuntu what is missing is installed; otherwise it is said exactly what to
//! install, and the verb fails. Verbs call [`require`] for what they need, so that nobody has to
//! run this one first.

mod apt;
pub(crate) mod dissect;
pub(crate) mod guest;
pub(crate) mod ntfsck;
pub(crate) mod suite;
mod tools;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};

pub(crate) use tools::Group;
use tools::{TOOLS, Tool};

/// How often packages are installed before giving up. Once is not always enough: a package can push out
/// another that came from elsewhere in a version it does not go with, and took with it programs that
/// were not missing before (qemu-system-x86 does so with a newer qemu-utils).
const MAX_INSTALLATIONS: usize = 3;

pub(crate) const HELP: &str = "\
usage: cargo xtask setup [GROUP]...

Sees to it that the programs of others that cvol is built, tested and shown with are there: as root
on Debian or Ubuntu it installs what is missing; otherwise it says what to install and fails. The
other verbs do this by themselves for what they need. With the group test it also fetches judges that
are not installed but kept in the target folder: ntfsck, dissect, and a kernel to boot in a
virtual machine.

Groups: build, demo, test, windows, wine, bench, fuzz. Without one: all of them.
";

pub(crate) fn run(mut arguments: Arguments) -> Outcome {
    let mut groups = Vec::new();
    while let Some(name) = arguments.positional()? {
        let known = Group::ALL.iter().find(|(known, _)| *known == name);
        let (_, group) = known.ok_or_else(|| Failure::usage(format!("no group {name:?}")))?;
        groups.push(*group);
    }
    arguments.finish()?;
    if groups.is_empty() {
        groups.extend(Group::ALL.map(|(_, group)| group));
    }
    require(&groups)?;
    if groups.contains(&Group::Test) {
        prepare_judges()?;
    }
    for tool in needed(&groups) {
        println!("{:<24} {}", tool.program, tool.packages.join(" "));
    }
    Ok(())
}

/// Fetches the judges that no package of the system is, into the target folder. All are tried; what
/// went wrong is told together.
pub(crate) fn prepare_judges() -> Outcome {
    if cfg!(windows) {
        return Ok(());
    }
    let outcomes = [ntfsck::prepare(), guest::prepare(), dissect::prepare()];
    let failures: Vec<String> = outcomes
        .into_iter()
        .filter_map(|outcome| outcome.err().map(|failure| failure.to_string()))
        .collect();
    if failures.is_empty() {
        return Ok(());
    }
    Err(Failure::new(failures.join("\n")))
}

fn needed(groups: &[Group]) -> impl Iterator<Item = &'static Tool> {
    TOOLS
        .iter()
        .filter(|tool| tool.groups.iter().any(|group| groups.contains(group)))
}

/// The programs of these groups that are not on this machine.
fn missing(groups: &[Group]) -> Vec<&'static Tool> {
    needed(groups).filter(|tool| !tool.is_here()).collect()
}

/// Names of the programs of these groups that are not here.
pub(crate) fn missing_programs(groups: &[Group]) -> Vec<&'static str> {
    missing(groups).iter().map(|tool| tool.program).collect()
}

/// Installs what is missing of these groups if we may, or fails and says what to install.
pub(crate) fn require(groups: &[Group]) -> Outcome {
    if cfg!(windows) {
        // The judges and the cross compiler are programs of Linux.
        return Ok(());
    }
    let mut lacking = missing(groups);
    for _ in 0..MAX_INSTALLATIONS {
        if lacking.is_empty() {
            return Ok(());
        }
        install(&lacking)?;
        lacking = missing(groups);
    }
    if lacking.is_empty() {
        return Ok(());
    }
    let programs = programs(&lacking);
    Err(Failure::new(format!(
        "installed, yet still missing: {programs}"
    )))
}

fn install(lacking: &[&'static Tool]) -> Outcome {
    let packages = packages(lacking);
    if apt::is_here() && is_root() {
        return apt::install(&packages);
    }
    let (programs, packages) = (programs(lacking), packages.join(" "));
    Err(Failure::new(if apt::is_here() {
        format!(
            "these programs are missing: {programs}\n\nInstall them with:\n\n    \
             sudo apt-get update\n    sudo apt-get install --no-install-recommends {packages}\n"
        )
    } else {
        format!(
            "these programs are missing: {programs}\n\
             On Debian and Ubuntu they are in the packages: {packages}"
        )
    }))
}

fn programs(tools: &[&'static Tool]) -> String {
    let names: Vec<_> = tools.iter().map(|tool| tool.program).collect();
    names.join(", ")
}

fn packages(tools: &[&'static Tool]) -> Vec<&'static str> {
    let mut packages: Vec<_> = tools
        .iter()
        .flat_map(|tool| tool.packages)
        .copied()
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Asked of the system, not of the environment, which a wrapper may have changed.
fn is_root() -> bool {
    let mut command = std::process::Command::new("id");
    crate::process::capture(command.arg("-u")).is_ok_and(|text| text.trim() == "0")
}

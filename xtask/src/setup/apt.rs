//! Debian's and Ubuntu's package manager, used without questions.

use std::process::Command;

use crate::failure::Outcome;
use crate::process;

pub(crate) fn is_here() -> bool {
    process::find("apt-get").is_some()
}

/// Installs packages; the package lists are fetched first if there are none, or if those there are
/// turn out too old.
pub(crate) fn install(packages: &[&str]) -> Outcome {
    let mut updated = false;
    if !has_lists() {
        update()?;
        updated = true;
    }
    match try_install(packages) {
        Err(_) if !updated => {
            update()?;
            try_install(packages)
        }
        outcome => outcome,
    }
}

fn has_lists() -> bool {
    let Ok(entries) = std::fs::read_dir("/var/lib/apt/lists") else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}

fn command() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command.args([
        "-q",
        "-y",
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Dpkg::Use-Pty=0",
    ]);
    command
}

fn update() -> Outcome {
    process::run(command().arg("update"))
}

fn try_install(packages: &[&str]) -> Outcome {
    process::run(
        command()
            .args(["install", "--no-install-recommends"])
            .args(packages),
    )
}

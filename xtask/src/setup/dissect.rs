//! Readers of NTFS and VHDX in Python that share nothing with the others: `dissect.ntfs` and
//! `dissect.hypervisor`, in an environment of its own in the target folder.

use std::path::PathBuf;
use std::process::Command;

use crate::failure::Outcome;
use crate::{process, workspace};

/// The versions that the tests were written with.
const PACKAGES: [&str; 2] = ["dissect.ntfs==3.16", "dissect.hypervisor==3.21"];

/// The Python that has them; the end-to-end tests look for it here.
pub(crate) fn python() -> PathBuf {
    workspace::target().join("dissect/bin/python")
}

/// Whether Python can make environments: Debian has that in a package of its own.
pub(crate) fn venv_is_here() -> bool {
    let mut command = Command::new("python3");
    process::output(command.args(["-m", "ensurepip", "--version"]))
        .is_ok_and(|output| output.status.success())
}

/// Installs the readers where they are not here.
pub(crate) fn prepare() -> Outcome {
    let mut probe = Command::new(python());
    probe.args(["-c", "import dissect.ntfs, dissect.hypervisor"]);
    if process::output(&mut probe).is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    let folder = workspace::target().join("dissect");
    process::run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    )?;
    let mut install = Command::new(python());
    process::run(
        install
            .args(["-m", "pip", "install", "--quiet"])
            .args(PACKAGES),
    )
}

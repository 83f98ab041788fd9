//! A reader of NTFS in Python that shares nothing with the others: `dissect.ntfs`, in an environment
//! of its own in the target folder.

use std::path::PathBuf;
use std::process::Command;

use crate::failure::Outcome;
use crate::{process, workspace};

/// The version that the tests were written with.
const PACKAGE: &str = "dissect.ntfs==3.16";

/// The Python that has it; the end-to-end tests look for it here.
pub(crate) fn python() -> PathBuf {
    workspace::target().join("dissect/bin/python")
}

/// Whether Python can make environments: Debian has that in a package of its own.
pub(crate) fn venv_is_here() -> bool {
    let mut command = Command::new("python3");
    process::output(command.args(["-m", "ensurepip", "--version"]))
        .is_ok_and(|output| output.status.success())
}

/// Installs the reader where it is not here.
pub(crate) fn prepare() -> Outcome {
    let mut probe = Command::new(python());
    probe.args(["-c", "import dissect.ntfs"]);
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
    process::run(install.args(["-m", "pip", "install", "--quiet", PACKAGE]))
}

//! The cross compiler: mingw's linker and a standard library for the target, which rustup adds or,
//! where it cannot, cargo compiles from the distribution's source package.

use std::process::Command;

use super::source;
use crate::failure::Failure;
use crate::process;

pub(crate) const TRIPLE: &str = "x86_64-pc-windows-gnu";

/// Where the standard library of the target comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StandardLibrary {
    /// It stands ready in the toolchain.
    Installed,
    /// Cargo compiles it along with our crates.
    FromSource,
}

/// A toolchain that can build for Windows.
#[derive(Debug)]
pub(crate) struct Target {
    library: StandardLibrary,
}

impl Target {
    /// Sees to it that mingw and a standard library are there.
    pub(crate) fn prepare(from_source: bool) -> Result<Self, Failure> {
        crate::setup::require(&[crate::setup::Group::Windows])?;
        if !from_source && (installed()? || added_by_rustup()) {
            return Ok(Self {
                library: StandardLibrary::Installed,
            });
        }
        println!("windows: the standard library is compiled from its source");
        source::prepare()?;
        Ok(Self {
            library: StandardLibrary::FromSource,
        })
    }

    /// `cargo VERB` for the target, building in the Windows folder.
    pub(crate) fn cargo(&self, verb: &str) -> Command {
        let mut command = process::cargo();
        command.arg(verb).args(["--target", TRIPLE]);
        let mut folder = super::target_folder();
        if self.library == StandardLibrary::FromSource {
            // With a folder of its own neither way of building undoes the other's work.
            folder.push("std-from-source");
            command.env("RUSTC_BOOTSTRAP", "1");
            command.arg("-Zbuild-std=std,panic_unwind,test,proc_macro");
        }
        command.arg("--target-dir").arg(folder);
        command
    }

    /// Where cargo puts the programs that it builds.
    pub(crate) fn programs(&self, profile: &str) -> std::path::PathBuf {
        let mut folder = super::target_folder();
        if self.library == StandardLibrary::FromSource {
            folder.push("std-from-source");
        }
        folder.join(TRIPLE).join(profile)
    }
}

fn installed() -> Result<bool, Failure> {
    let libraries = source::sysroot()?
        .join("lib/rustlib")
        .join(TRIPLE)
        .join("lib");
    Ok(libraries.is_dir())
}

/// Where there is no rustup, or it reaches no server, the answer is no.
fn added_by_rustup() -> bool {
    let Some(rustup) = process::find("rustup") else {
        return false;
    };
    let mut command = Command::new(rustup);
    command.args(["target", "add", TRIPLE]);
    match process::run(&mut command) {
        Ok(()) => true,
        Err(failure) => {
            println!("windows: rustup cannot add the target: {failure}");
            false
        }
    }
}

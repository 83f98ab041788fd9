//! Peers that no distribution packages: taken from the path, else built into a folder of their own
//! under cargo's, which is kept; where that fails, they are left out by name.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::pair::Way;
use crate::bench::report::Table;
use crate::{process, workspace};

use super::peer;

const FSTOOL_VERSION: &str = "0.5.2";
const TAR2EXT4: &str = "github.com/Microsoft/hcsshim/cmd/tar2ext4@v0.13.0";

/// The peers asked for so far.
#[derive(Default)]
pub(super) struct Peers {
    absent: Vec<&'static str>,
}

impl Peers {
    /// fstool, a writer of NTFS in Rust.
    pub(super) fn fstool(&mut self, folder: &Path, source: &str) -> Option<Way> {
        let mut build = process::cargo();
        build.args(["install", "--quiet", "--locked", "fstool", "--version"]);
        build.arg(FSTOOL_VERSION).arg("--root").arg(peers_folder());
        let program = self.find("fstool", Some(build))?;
        let mut command = Command::new(program);
        let words = ["create", "-t", "ntfs", source, "-o", "f.raw"];
        command.args(words).current_dir(folder);
        Some(Way {
            name: "fstool",
            commands: vec![command],
            makes: vec![folder.join("f.raw")],
        })
    }

    /// The writer of ext4 that hcsshim has for container layers, from a tar stream.
    pub(super) fn tar2ext4(&mut self, folder: &Path, source: &str) -> Option<Way> {
        let build = process::find("go").map(|go| {
            let mut build = Command::new(go);
            build.args(["install", TAR2EXT4]);
            build.env("GOBIN", peers_folder().join("bin"));
            build
        });
        let program = self.find("tar2ext4", build)?;
        let make = format!(
            "tar -C {source} -c . | {} -i /dev/stdin -o t.raw",
            program.display()
        );
        Some(Way {
            name: "tar, tar2ext4",
            commands: vec![peer(folder, "sh", &["-c", &make])],
            makes: vec![folder.join("t.raw")],
        })
    }

    fn find(&mut self, program: &'static str, build: Option<Command>) -> Option<PathBuf> {
        let own = peers_folder().join("bin").join(program);
        let is_built =
            || build.is_some_and(|mut build| process::run(&mut build).is_ok()) && own.is_file();
        let found = process::find(program).or_else(|| {
            let is_here = own.is_file() || is_built();
            is_here.then(|| own.clone())
        });
        if found.is_none() {
            self.absent.push(program);
        }
        found
    }

    /// Says which could not be had.
    pub(super) fn note(&self, table: &mut Table) {
        if !self.absent.is_empty() {
            let absent = self.absent.join(", ");
            table.note(&format!(
                "Left out, since they cannot be had here: {absent}."
            ));
        }
    }
}

fn peers_folder() -> PathBuf {
    workspace::target().join("peers")
}

//! The built command, driven as a user drives it: what it prints, where, and how it ends.

// Helpers outside of test functions are tests all the same.
#![allow(clippy::unwrap_used)]

mod browse;
mod chains;
mod changes;
mod doctor;
mod help;
mod host_mounts;
mod images;
mod kinds;
mod layers;
#[cfg(unix)]
mod map;
mod mounts;
mod notices;
mod repair;
mod salvage;
mod size;
mod usage;
mod volumes;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A scratch folder with a store in it, and the command pointed at that store.
pub(crate) struct Scratch {
    folder: tempfile::TempDir,
}

/// What a run of the command left: its exit code and its two streams.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The command in the scratch folder, with nothing of the caller's environment that it reads.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cvol"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("CVOL_ROOT", self.path("store"))
            .env_remove("SOURCE_DATE_EPOCH")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(started(|| self.command(arguments).output()))
    }

    /// Runs, and insists on success.
    pub(crate) fn ok(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
        run
    }

    /// Runs, insists on an exit code, and gives the parsed JSON error.
    pub(crate) fn json_error(&self, arguments: &[&str], code: i32) -> serde_json::Value {
        let mut with_json = vec!["--json"];
        with_json.extend(arguments);
        let run = self.run(&with_json);
        assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
        serde_json::from_str(&run.stderr).unwrap()
    }

    /// Runs with `--json`, insists on success, and gives the parsed document.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let mut with_json = vec!["--json"];
        with_json.extend(arguments);
        serde_json::from_str(&self.ok(&with_json).stdout).unwrap()
    }

    /// Makes a small empty volume without a file system.
    pub(crate) fn make_volume(&self, name: &str) {
        self.ok(&["create", name, "--size", "16M", "--fs", "none"]);
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

impl Run {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

/// Starts a process. Under load Wine now and then answers ERROR_INTERNAL_ERROR: the new process
/// died before its program began. Nothing was done then, so it is started again.
pub(crate) fn started<T>(mut start: impl FnMut() -> std::io::Result<T>) -> T {
    const ERROR_INTERNAL_ERROR: i32 = 1359;
    for _ in 0..4 {
        match start() {
            Err(error) if cfg!(windows) && error.raw_os_error() == Some(ERROR_INTERNAL_ERROR) => {}
            result => return result.unwrap(),
        }
    }
    start().unwrap()
}

/// The names in a folder, sorted.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

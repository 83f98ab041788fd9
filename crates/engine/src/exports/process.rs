//! This program, started once more for a part of serving.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How this program is started for a disk of a machine.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) program: PathBuf,
    pub(super) root: PathBuf,
    pub(super) parents: Vec<PathBuf>,
    pub(super) machine: String,
}

impl Program {
    /// Starts it. What it complains of goes to `log`, as documents of JSON; `lock` stays held as long as
    /// it lives.
    pub(super) fn start(
        &self,
        serial: &str,
        is_server: bool,
        lock: Option<std::fs::File>,
        log: std::fs::File,
    ) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(self.arguments(serial, is_server));
        command
            // Nobody is kept from unmounting a folder by it.
            .current_dir("/")
            .stdin(lock.map_or_else(Stdio::null, Stdio::from))
            .stdout(Stdio::null())
            .stderr(Stdio::from(log));
        command.spawn()
    }

    fn arguments(&self, serial: &str, is_server: bool) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--json".into(), "--root".into()];
        arguments.push(self.root.clone().into());
        for parent in &self.parents {
            arguments.extend(["--parent".into(), parent.clone().into()]);
        }
        arguments.extend([
            "serve-machine".into(),
            OsString::from(&self.machine),
            OsString::from(serial),
        ]);
        if is_server {
            arguments.push("--server".into());
        }
        arguments
    }
}

/// The files of a disk in the folder of sockets.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) socket: PathBuf,
    pub(super) lock: PathBuf,
    pub(super) who: PathBuf,
    pub(super) log: PathBuf,
}

impl Files {
    pub(super) fn of(run: &Path, serial: &str) -> Self {
        let file = |end: &str| run.join(format!("{serial}.{end}"));
        Self {
            socket: file("nbd"),
            lock: file("nbd-lock"),
            who: file("nbd-who"),
            log: file("nbd-log"),
        }
    }
}

//! What is written down of a share, for those who come after a crash.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::host;
use crate::plan::Share;
use crate::sides::Fault;

/// Records are short; more is none.
const LONGEST: u64 = 1 << 20;

/// A share and its daemon.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    path: String,
    only_file: Option<String>,
    read_only: bool,
    process: Option<Process>,
}

/// A process, told from a later one of the same number by when it started.
#[derive(Debug, Serialize, Deserialize)]
struct Process {
    id: u32,
    started: String,
}

impl Record {
    pub(super) fn new(share: &Share) -> Self {
        Self {
            path: share.path.as_str().to_owned(),
            only_file: share.only_file.clone(),
            read_only: share.read_only,
            process: None,
        }
    }

    /// Whether it tells of this share.
    pub(super) fn is_of(&self, share: &Share) -> bool {
        self.path == share.path.as_str()
            && self.only_file == share.only_file
            && self.read_only == share.read_only
    }

    /// The daemon runs as this process.
    pub(super) fn started(&mut self, id: u32) {
        self.process = started(id).map(|started| Process { id, started });
    }

    /// Kills the daemon, if the process is still that one.
    pub(super) fn kill(&self) {
        let Some(process) = &self.process else {
            return;
        };
        if started(process.id).as_ref() != Some(&process.started) {
            return;
        }
        if let Ok(id) = i32::try_from(process.id) {
            // Whether it ended is seen by its lock.
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(id),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
    }

    /// What is written there; `None` where nothing sensible is.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Fault> {
        match fs::metadata(path) {
            Ok(found) if found.len() <= LONGEST => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(host("look at", path, error)),
        }
        match fs::read(path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(host("read", path, error)),
        }
    }

    /// Writes it whole or not at all. A record lost with the power is of a machine that is lost too, so
    /// nothing is flushed.
    pub(super) fn write(&self, path: &Path) -> Result<(), Fault> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let new = path.with_extension("share-new");
        fs::write(&new, text).map_err(|error| host("write", &new, error))?;
        fs::rename(&new, path).map_err(|error| host("write", path, error))
    }
}

/// When a process started, as the system counts; `None` where there is none.
fn started(id: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program stands in brackets, and may hold both spaces and brackets.
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

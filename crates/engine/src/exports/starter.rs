//! Starting and ending what serves a disk, by whoever attaches and detaches.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use attach::{Fault, FaultKind};
use nix::unistd::Pid;
use serde::Deserialize;

use super::Wanted;
use super::process::{Files, Program};
use super::who::{self, Part};
use crate::Engine;
use crate::machine::Machine;

/// How long a disk may take to be served. Opening may have to complete a change, or read a long log.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long serving may take to end: all has to become durable.
const END_PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked at.
const PAUSE: Duration = Duration::from_millis(4);

/// The exports of a machine.
pub(crate) struct Exports {
    program: Program,
    run: PathBuf,
}

/// What a process of ours says when it fails.
#[derive(Deserialize)]
struct Complaint {
    error: ComplaintBody,
}

#[derive(Deserialize)]
struct ComplaintBody {
    kind: String,
    message: String,
}

impl Exports {
    /// Those of this machine, served by `program`.
    pub(crate) fn new(engine: &Engine, machine: &Machine, program: &Path) -> Self {
        Self {
            program: Program {
                program: program.to_owned(),
                root: engine.config().root().to_owned(),
                parents: engine.config().parents().to_vec(),
                machine: machine.known.name.clone(),
            },
            run: machine.run_folder(),
        }
    }

    /// Has a disk served, which stands in the ledger. Served already, it stays so. Returns when clients
    /// can connect.
    pub(crate) fn start(&self, wanted: &Wanted) -> Result<(), Fault> {
        let files = Files::of(&self.run, &wanted.serial);
        if self.is_alive(&wanted.serial)? {
            return self.wait_until_served(&files, None);
        }
        let log = private(OpenOptions::new().append(true).create(true), &files.log)?;
        let fail = |error| host("start", &self.program.program, error);
        // What an earlier keeper complained of is not what this one does.
        log.set_len(0).map_err(fail)?;
        let program = Program {
            root: std::path::absolute(&self.program.root).map_err(fail)?,
            ..self.program.clone()
        };
        let child = program
            .start(&wanted.serial, false, None, log)
            .map_err(fail)?;
        self.wait_until_served(&files, Some(child))
    }

    fn wait_until_served(&self, files: &Files, child: Option<Child>) -> Result<(), Fault> {
        let deadline = Instant::now() + START_PATIENCE;
        let mut child = child;
        loop {
            if UnixStream::connect(&files.socket).is_ok() {
                if let Some(mut child) = child {
                    // It is ours to bury, as long as this process lives.
                    std::thread::spawn(move || child.wait());
                }
                return Ok(());
            }
            let ended = match &mut child {
                Some(child) => child.try_wait().ok().flatten().is_some(),
                None => is_free(&files.lock)?,
            };
            if ended {
                return Err(complaint(&files.log));
            }
            if Instant::now() >= deadline {
                let what = format!("nothing serves at {}", files.socket.display());
                return Err(Fault::new(FaultKind::Unanswered, what));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Has serving ended: all that was written is durable then. What is not served is no fault.
    pub(crate) fn stop(&self, serial: &str) -> Result<(), Fault> {
        let files = Files::of(&self.run, serial);
        if !files.lock.exists() {
            return remove(&files);
        }
        let deadline = Instant::now() + END_PATIENCE;
        let mut asked: Vec<Pid> = Vec::new();
        loop {
            if is_free(&files.lock)? {
                return remove(&files);
            }
            // The keeper first, so that it does not start a server anew.
            for part in [Part::Keeper, Part::Server] {
                let failed = |error| host("look at", &files.who, error);
                match who::find(&files.who, part).map_err(failed)? {
                    Some(process) if !asked.contains(&process) => {
                        who::ask_to_end(process).map_err(failed)?;
                        asked.push(process);
                    }
                    _ => {}
                }
            }
            if Instant::now() >= deadline {
                let what = format!("what serves {serial} does not end");
                return Err(Fault::new(FaultKind::Busy, what));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether something serves a disk, or is about to.
    pub(crate) fn is_alive(&self, serial: &str) -> Result<bool, Fault> {
        let files = Files::of(&self.run, serial);
        Ok(files.lock.exists() && !is_free(&files.lock)?)
    }
}

/// Whether nobody holds the lock. Looking holds it for a moment, which keepers wait for.
fn is_free(path: &Path) -> Result<bool, Fault> {
    let file = match OpenOptions::new().read(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        opened => opened.map_err(|error| host("open", path, error))?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(host("lock", path, error)),
    }
}

/// Removes what nobody serves any more. The lock goes last.
fn remove(files: &Files) -> Result<(), Fault> {
    for path in [&files.socket, &files.log, &files.who, &files.lock] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(host("remove", path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a process said last before it ended.
fn complaint(log: &Path) -> Fault {
    const LONGEST: u64 = 64 << 10;
    let mut text = String::new();
    if let Ok(mut file) = File::open(log) {
        let length = file.metadata().map_or(0, |found| found.len());
        // What cannot be read is not told.
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(LONGEST)));
        let _ = file.take(LONGEST).read_to_string(&mut text);
    }
    // The first to complain is the one it began with: others tell that a server gave up.
    let mut documents = serde_json::Deserializer::from_str(&text).into_iter::<Complaint>();
    match documents.next().and_then(|document| document.ok()) {
        Some(Complaint { error }) => Fault::new(kind(&error.kind), error.message),
        None => {
            let last = text.lines().rev().find(|line| !line.trim().is_empty());
            let last = last.unwrap_or("it ended without a word");
            let what: String = last.chars().take(300).collect();
            Fault::new(FaultKind::Failed, format!("the disk is not served: {what}"))
        }
    }
}

/// The kind of a failure, by its word in documents.
fn kind(word: &str) -> FaultKind {
    match word {
        "invalid_argument" => FaultKind::Invalid,
        "not_found" => FaultKind::NotFound,
        "already_exists" => FaultKind::AlreadyExists,
        // Not `Busy`: it is not tried again, since who has it has it for long.
        "in_use" => FaultKind::Denied,
        "unsupported" => FaultKind::Unsupported,
        "no_space" => FaultKind::NoSpace,
        _ => FaultKind::Failed,
    }
}

fn private(options: &mut OpenOptions, path: &Path) -> Result<File, Fault> {
    let opened = options.mode(0o600).open(path);
    opened.map_err(|error| host("make", path, error))
}

fn host(action: &str, path: &Path, error: io::Error) -> Fault {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FaultKind::NoSpace,
        io::ErrorKind::PermissionDenied => FaultKind::Denied,
        _ => FaultKind::Failed,
    };
    Fault::new(kind, format!("cannot {action} {}", path.display())).because(error)
}

#[cfg(test)]
impl Exports {
    /// Those of no machine.
    pub(crate) fn nowhere() -> Self {
        Self {
            program: Program {
                program: PathBuf::new(),
                root: PathBuf::new(),
                parents: Vec::new(),
                machine: String::new(),
            },
            run: PathBuf::from("/nowhere"),
        }
    }
}

//! The virtiofs daemon of a share: a process that outlives whoever started it, and ends when QEMU ends
//! the connection to it.
//!
//! In the folder of the machine a share NAME has
//!
//! ```text
//!   NAME.virtiofs   the socket, listened to before the daemon starts, so that QEMU never is too early
//!   NAME.lock       locked as long as a daemon lives: it has the file open as its standard output
//!   NAME.share      what is shared, and the daemon's process; written before the daemon starts
//!   NAME.log        what the daemon complains of
//!   NAME.view       an empty folder: where what it shares is laid out, in namespaces of its own
//! ```
//!
//! Invariant: a read-only share is read-only on this side, whatever the guest says: by the daemon where
//! it can do that, else by what the daemon sees of the host. Where neither can be had, it is refused.

mod program;
mod record;
mod view;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use self::program::{Program, Sandbox};
use self::record::Record;
use self::view::View;
use super::machine::QemuVmOptions;
use crate::plan::Share;
use crate::sides::{Fault, FaultKind};

/// Names of socket files end here, with the byte that ends the name.
const LONGEST_SOCKET: usize = 107;

/// How long a daemon may take to end after QEMU let it go.
const PATIENCE: Duration = Duration::from_secs(5);

/// The socket of a share.
pub(super) fn socket(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.virtiofs"))
}

fn file(folder: &Path, name: &str, end: &str) -> PathBuf {
    folder.join(format!("{name}.{end}"))
}

/// The ways to run a daemon for a share, the safest first.
pub(super) struct Attempts {
    ways: std::vec::IntoIter<Attempt>,
    log: String,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    program: Program,
    sandbox: Sandbox,
}

impl Attempts {
    pub(super) fn next(&mut self) -> Option<Attempt> {
        self.ways.next()
    }

    /// The daemon of the last attempt died.
    pub(super) fn failed(&mut self, folder: &Path, name: &str) {
        self.log = log(folder, name);
    }

    /// What to say when none is left.
    pub(super) fn told(&self, name: &str) -> String {
        format!("virtiofsd does not serve the share {name}: {}", self.log)
    }
}

/// What can be tried for a share.
pub(super) fn attempts(options: &QemuVmOptions, share: &Share) -> Result<Attempts, Fault> {
    let program = Program::find(options.virtiofsd.as_deref())?;
    let source = Path::new(share.path.as_str());
    let there = match &share.only_file {
        Some(name) => fs::metadata(source.join(name)).map(|found| found.is_file()),
        None => fs::metadata(source).map(|found| found.is_dir()),
    };
    let is_there = there.map_err(|error| host("look at", source, error))?;
    if !is_there {
        let kind = if share.only_file.is_some() {
            "file"
        } else {
            "directory"
        };
        let what = format!("what is to be shared from {} is no {kind}", share.path);
        return Err(Fault::new(FaultKind::NotFound, what));
    }
    let sandboxes = program.sandboxes();
    let ways: Vec<Attempt> = sandboxes
        .iter()
        .map(|sandbox| Attempt {
            program: program.clone(),
            sandbox: *sandbox,
        })
        .collect();
    Ok(Attempts {
        ways: ways.into_iter(),
        log: String::new(),
    })
}

/// Starts a daemon for a share that has none.
pub(super) fn start(
    options: &QemuVmOptions,
    share: &Share,
    attempt: &Attempt,
) -> Result<(), Fault> {
    let folder = &options.sockets;
    let name = &share.name;
    let socket = socket(folder, name);
    if socket.as_os_str().len() > LONGEST_SOCKET {
        let what = format!(
            "{} is too long for a socket, which may have {LONGEST_SOCKET} bytes: \
             take a folder with a shorter path",
            socket.display()
        );
        return Err(Fault::new(FaultKind::Unsupported, what));
    }
    remove_files(folder, name)?;
    let lock = lock(folder, name)?.ok_or_else(|| {
        let what = format!("a daemon for the share {name} is still running");
        Fault::new(FaultKind::Busy, what)
    })?;
    let mut record = Record::new(share);
    record.write(&file(folder, name, "share"))?;
    let view = View::choose(share, &attempt.program, &file(folder, name, "view"));
    let log_path = file(folder, name, "log");
    let log = private(OpenOptions::new().write(true).create(true).truncate(true))
        .open(&log_path)
        .map_err(|error| host("make", &log_path, error))?;
    let listener =
        UnixListener::bind(&socket).map_err(|error| host("listen at", &socket, error))?;
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))
        .map_err(|error| host("protect", &socket, error))?;
    let mut command = Command::new(attempt.program.path());
    command
        .args(
            attempt
                .program
                .arguments(view.root(), attempt.sandbox, share.read_only),
        )
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::from(lock))
        .stderr(Stdio::from(log))
        // Ctrl-C at a terminal is not for it.
        .process_group(0);
    let child = view.spawn(&mut command)?;
    record.started(child.id());
    record.write(&file(folder, name, "share"))?;
    // It is ours to bury as long as we live.
    std::thread::spawn(move || {
        let mut child = child;
        child.wait()
    });
    Ok(())
}

/// Whether what the folder tells of the share of this name is this very share.
pub(super) fn is_of(folder: &Path, share: &Share) -> Result<bool, Fault> {
    let record = Record::read(&file(folder, &share.name, "share"))?;
    Ok(record.is_some_and(|record| record.is_of(share)))
}

/// Whether the share of this name is known to be another one.
pub(super) fn is_other(folder: &Path, share: &Share) -> Result<bool, Fault> {
    let record = Record::read(&file(folder, &share.name, "share"))?;
    Ok(record.is_some_and(|record| !record.is_of(share)))
}

/// Whether a daemon lives.
pub(super) fn is_running(folder: &Path, name: &str) -> Result<bool, Fault> {
    Ok(lock(folder, name)?.is_none())
}

/// Whether the daemon dies within a moment: QEMU may have noticed first.
pub(super) fn has_died(folder: &Path, name: &str) -> Result<bool, Fault> {
    const MOMENT: Duration = Duration::from_millis(500);
    wait_for_end(folder, name, MOMENT)
}

/// Has a daemon ended that QEMU let go of, and removes what it left. Without one, that alone.
pub(super) fn end(folder: &Path, name: &str) -> Result<(), Fault> {
    if !folder.exists() {
        return Ok(());
    }
    // One that QEMU never connected to, or that does not notice, is ended by force.
    let record = Record::read(&file(folder, name, "share"))?;
    if is_running(folder, name)? {
        let is_waiting = socket(folder, name).exists();
        let patience = if is_waiting {
            Duration::from_millis(300)
        } else {
            PATIENCE
        };
        if !wait_for_end(folder, name, patience)? {
            if let Some(record) = record {
                record.kill();
            }
            if !wait_for_end(folder, name, PATIENCE)? {
                let what = format!("the virtiofs daemon of the share {name} does not end");
                return Err(Fault::new(FaultKind::Busy, what));
            }
        }
    }
    remove_files(folder, name)
}

fn wait_for_end(folder: &Path, name: &str, patience: Duration) -> Result<bool, Fault> {
    let deadline = Instant::now() + patience;
    while is_running(folder, name)? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// The lock of a share; `None` where a daemon has it.
fn lock(folder: &Path, name: &str) -> Result<Option<File>, Fault> {
    let path = file(folder, name, "lock");
    let file = private(OpenOptions::new().write(true).create(true).truncate(false))
        .open(&path)
        .map_err(|error| host("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(host("lock", &path, error)),
    }
}

/// Removes all that a share without a daemon has in the folder. The lock goes last: whoever finds none
/// makes a new one.
fn remove_files(folder: &Path, name: &str) -> Result<(), Fault> {
    view::remove(&file(folder, name, "view"))?;
    for end in ["virtiofs", "log", "share", "lock"] {
        let path = file(folder, name, end);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(host("remove", &path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What the daemon complained of last.
fn log(folder: &Path, name: &str) -> String {
    const LONGEST: u64 = 64 << 10;
    let mut text = Vec::new();
    if let Ok(file) = File::open(file(folder, name, "log")) {
        // What cannot be read is not told.
        let _ = file.take(LONGEST).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.unwrap_or("it ended without a word");
    last.chars().take(300).collect()
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// A folder for its owner alone.
fn make_folder(path: &Path) -> Result<(), Fault> {
    let made = fs::DirBuilder::new().mode(0o700).create(path);
    made.map_err(|error| host("make", path, error))
}

/// A failure of the host, as a fault.
fn host(action: &str, path: &Path, error: io::Error) -> Fault {
    let kind = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FaultKind::NotFound,
        io::ErrorKind::PermissionDenied => FaultKind::Denied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FaultKind::NoSpace,
        io::ErrorKind::AlreadyExists => FaultKind::AlreadyExists,
        _ => FaultKind::Failed,
    };
    Fault::new(kind, format!("cannot {action} {}", path.display())).because(error)
}

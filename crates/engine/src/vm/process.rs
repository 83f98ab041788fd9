//! The process of a machine, and the sockets through which it is talked to.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attach::qemu::qmp::{QmpAddress, QmpLimits};
use attach::{Channel, QemuVm, QemuVmOptions};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Pid;

use super::folder::Vm;
use super::{Poll, VmFailure};
use crate::error::Result;

pub(super) const MONITOR: &str = "qmp.sock";
pub(super) const AGENT: &str = "agent.sock";
pub(super) const CONSOLE: &str = "console.log";
pub(super) const LOG: &str = "qemu.log";

/// The program that runs a machine: `CVOL_QEMU`, or the one of this processor on the path.
pub(super) fn program() -> Result<PathBuf> {
    let name = format!("qemu-system-{}", std::env::consts::ARCH);
    if let Some(named) = std::env::var_os("CVOL_QEMU").filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(&name));
    let found = places.find(|place| place.is_file());
    Ok(found.ok_or(VmFailure::NoQemu { program: name })?)
}

/// The monitor of a machine, with little patience: it is ours alone.
pub(super) fn monitor(vm: &Vm) -> QemuVm {
    let address = QmpAddress::Unix(vm.file(MONITOR));
    let mut options = QemuVmOptions::new(address, vm.run.path());
    options.limits = QmpLimits {
        timeout: Duration::from_secs(5),
        ..options.limits
    };
    QemuVm::new(options)
}

/// Kills QEMU, which is known by the socket that it listens at, not by a number that was written down.
pub(super) fn kill_listener(vm: &Vm) {
    let Ok(stream) = UnixStream::connect(vm.file(MONITOR)) else {
        return;
    };
    // As long as the connection stands the process is the one that listened.
    if let Ok(peer) = getsockopt(&stream, PeerCredentials) {
        // Whether it ended is seen by its lock.
        let _ = kill(Pid::from_raw(peer.pid()), Signal::SIGKILL);
    }
}

/// Waits until QEMU has ended; says whether it has.
pub(super) fn wait_for_end(vm: &Vm, patience: Duration) -> Result<bool> {
    let deadline = Instant::now() + patience;
    while vm.is_running()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

/// The end of what QEMU and the guest said, for a message.
pub(super) fn told(vm: &Vm) -> String {
    let mut told = String::new();
    for (what, name) in [("QEMU", LOG), ("the console", CONSOLE)] {
        let text = tail(&vm.file(name));
        let text = text.trim();
        if !text.is_empty() {
            told.push_str(&format!("\n{what} ends with:\n{text}"));
        }
    }
    told
}

fn tail(path: &Path) -> String {
    const LONGEST: u64 = 4096;
    const LINES: usize = 15;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LONGEST)))?;
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    // What cannot be read is not told.
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let shown: String = text
        .chars()
        .filter(|c| *c == '\n' || !c.is_control())
        .collect();
    let lines: Vec<&str> = shown
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let start = lines.len().saturating_sub(LINES);
    lines.get(start..).unwrap_or_default().join("\n")
}

/// A socket whose waits end when somebody asks to stop.
pub(super) struct PolledSocket {
    stream: UnixStream,
    poll: Poll,
}

impl PolledSocket {
    pub(super) fn connect(path: &Path, poll: Poll) -> io::Result<Self> {
        Ok(Self {
            stream: UnixStream::connect(path)?,
            poll,
        })
    }

    /// Waits in pieces.
    fn in_pieces<T>(
        &mut self,
        limit: Duration,
        mut step: impl FnMut(&mut UnixStream, Duration) -> io::Result<T>,
    ) -> io::Result<T> {
        const PIECE: Duration = Duration::from_millis(100);
        let deadline = Instant::now() + limit;
        loop {
            if (self.poll)() == ControlFlow::Break(()) {
                return Err(io::Error::other("somebody asked to stop"));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match step(&mut self.stream, left.min(PIECE)) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) && left > PIECE => {}
                done => return done,
            }
        }
    }
}

impl Channel for PolledSocket {
    fn read(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.in_pieces(limit, |stream, left| Channel::read(stream, buffer, left))
    }

    fn write(&mut self, bytes: &[u8], limit: Duration) -> io::Result<usize> {
        self.in_pieces(limit, |stream, left| Channel::write(stream, bytes, left))
    }
}

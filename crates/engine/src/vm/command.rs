//! Commands in a guest.
//!
//! The agent listens at several ports; the first is for attaching, so that a command that runs for long
//! keeps nobody from that. Each of the others is used by one at a time, who holds its lock.

use std::ops::ControlFlow;
use std::time::Duration;

use attach::{CommandEnd, FaultKind, GuestClient, GuestCommand, OutputStream};
use volume::FileLock;

use super::folder::Vm;
use super::process::PolledSocket;
use super::{Poll, VmFailure};
use crate::error::{Error, Result};

/// A port for commands.
pub(super) struct Port {
    pub(super) socket: &'static str,
    lock: &'static str,
}

/// The ports for commands.
pub(super) const PORTS: [Port; 4] = [
    Port {
        socket: "exec1.sock",
        lock: "exec1.lock",
    },
    Port {
        socket: "exec2.sock",
        lock: "exec2.lock",
    },
    Port {
        socket: "exec3.sock",
        lock: "exec3.lock",
    },
    Port {
        socket: "exec4.sock",
        lock: "exec4.lock",
    },
];

pub(super) fn run(
    vm: &Vm,
    words: &[String],
    output: &mut dyn FnMut(OutputStream, &[u8]) -> ControlFlow<()>,
    poll: Poll,
) -> Result<CommandEnd> {
    if words.is_empty() {
        return Err(VmFailure::Invalid("there is no command to run".to_owned()).into());
    }
    let not_running = || VmFailure::NotRunning {
        name: vm.name.clone(),
    };
    if !vm.is_running()? {
        return Err(not_running().into());
    }
    let (port, _lock) = free_port(vm)?;
    let channel = PolledSocket::connect(&vm.file(port.socket), poll).map_err(|_| not_running())?;
    let client = GuestClient::new(channel);
    let command = GuestCommand {
        arguments: words.to_vec(),
        // Whoever waits here decides how long.
        limit_seconds: u32::MAX,
        limit_output: u64::MAX,
    };
    let mut is_interrupted = false;
    let mut watched = |stream: OutputStream, bytes: &[u8]| {
        let flow = output(stream, bytes);
        is_interrupted |= flow.is_break();
        flow
    };
    let ended = client
        .hello(Duration::from_secs(30))
        .and_then(|_| client.run(&command, &mut watched));
    match ended {
        Ok(end) => match &end.limit {
            Some(reason) => Err(VmFailure::Limit {
                reason: reason.clone(),
            }
            .into()),
            None => Ok(end),
        },
        Err(_) if is_interrupted || poll().is_break() => Err(Error::Interrupted),
        Err(fault) if fault.kind() != FaultKind::NotFound && !vm.is_running()? => {
            Err(not_running().into())
        }
        Err(source) => Err(VmFailure::Guest {
            name: vm.name.clone(),
            source,
        }
        .into()),
    }
}

fn free_port(vm: &Vm) -> Result<(&'static Port, FileLock)> {
    for port in &PORTS {
        if let Some(lock) = vm.run.try_lock(port.lock)? {
            return Ok((port, lock));
        }
    }
    Err(VmFailure::Occupied {
        name: vm.name.clone(),
    }
    .into())
}

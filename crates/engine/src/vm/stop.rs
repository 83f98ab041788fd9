//! Ending a machine, by kindness first.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use attach::{GuestClient, Patience};

use super::VmFailure;
use super::folder::Vm;
use super::process::{self, AGENT};
use crate::Engine;
use crate::error::Result;
use crate::session::{DetachWhat, Watch};

/// How long each way of ending it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends it and removes all that is kept of it. One that has ended is only removed.
pub(super) fn stop(engine: &Engine, vm: &Vm) -> Result<()> {
    if vm.is_running()? && answers(vm) {
        // So that the guest lets its file systems go in order. What it does not let go is told by
        // nobody: it is ended all the same, and the agent writes out before that.
        let _ = detach_all(engine, vm, false);
    }
    end(vm)?;
    // Of a machine that is gone, everything can be taken away.
    detach_all(engine, vm, true)?;
    engine.forget_machine(&vm.name)
}

fn detach_all(engine: &Engine, vm: &Vm, force: bool) -> Result<()> {
    if engine.attachments(Some(&vm.name))?.is_empty() {
        return Ok(());
    }
    let watch = Watch {
        step: Box::new(|_| {}),
        is_cancelled: &|| false,
    };
    let outcome = engine.detach(&vm.name, &DetachWhat::All, force, &watch)?;
    match outcome.faults.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

/// Whether the guest answers at all: one that does not is not waited for step by step.
fn answers(vm: &Vm) -> bool {
    let Ok(stream) = UnixStream::connect(vm.file(AGENT)) else {
        return false;
    };
    GuestClient::new(stream).hello(PATIENCE).is_ok()
}

fn end(vm: &Vm) -> Result<()> {
    if !vm.is_running()? {
        return Ok(());
    }
    if power_off(vm) && process::wait_for_end(vm, PATIENCE)? {
        return Ok(());
    }
    if process::monitor(vm).quit().is_ok() && process::wait_for_end(vm, PATIENCE)? {
        return Ok(());
    }
    process::kill_listener(vm);
    if process::wait_for_end(vm, PATIENCE)? {
        return Ok(());
    }
    Err(VmFailure::DoesNotEnd {
        name: vm.name.clone(),
    }
    .into())
}

/// Asks the guest to end; says whether it will.
fn power_off(vm: &Vm) -> bool {
    let Ok(stream) = UnixStream::connect(vm.file(AGENT)) else {
        return false;
    };
    // A guest that does not answer will not write anything out either.
    let patience = Patience {
        hello: Duration::from_secs(5),
        lookup: Duration::from_secs(5),
        disk: Duration::from_secs(5),
        work: Duration::from_secs(15),
    };
    let client = GuestClient::new(stream).with_patience(patience);
    client.power_off().is_ok()
}

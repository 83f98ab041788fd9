//! Ending a machine, by kindness first.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use attach::{GuestClient, Patience};

use super::folder::Vm;
use super::process::{self, AGENT};
use super::{VmFailure};
use crate::Engine;
use crate::error::Result;

/// How long each way of ending it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends it and removes all that is kept of it. One that has ended is only removed.
pub(super) fn stop(engine: &Engine, vm: &Vm) -> Result<()> {
    end(vm)?;
    engine.forget_machine(&vm.name)
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

//! Ending a machine, by kindness first.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use attach::{Guest, GuestClient, Patience, Target, Unmounting};

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
    {
        // Whoever is at work on it has some time, and then no machine any more.
        let machine = engine.machine(&vm.name)?;
        let _lock = machine.lock("stopping it", PATIENCE);
        if vm.is_running()? {
            unmount_all(engine, vm);
        }
        end(vm)?;
    }
    // Of a machine that is gone, everything can be taken away.
    detach_all(engine, vm)?;
    engine.forget_machine(&vm.name)
}

/// Has the guest unmount what it lets go, so that its file systems are whole. What it does not let go is
/// told by nobody: it is ended all the same.
fn unmount_all(engine: &Engine, vm: &Vm) {
    /// How long all of it may take: of a guest that waits for something that is no more, each
    /// question takes its whole time.
    const ALL: Duration = Duration::from_secs(40);
    let Some(client) = client(vm) else { return };
    let attachments = engine.attachments(Some(&vm.name)).unwrap_or_default();
    let mounts = attachments.iter().flat_map(|attachment| &attachment.mounts);
    let mut targets: Vec<&str> = mounts.map(|mount| mount.target.as_str()).collect();
    // Those that lie in others come first.
    targets.sort_by_key(|target| std::cmp::Reverse(target.matches('/').count()));
    let deadline = Instant::now() + ALL;
    for target in targets {
        if Instant::now() >= deadline {
            return;
        }
        if let Ok(target) = Target::parse(target, vm.known.platform.guest) {
            let _ = client.unmount(&target, Unmounting::Clean);
        }
    }
}

fn detach_all(engine: &Engine, vm: &Vm) -> Result<()> {
    if engine.attachments(Some(&vm.name))?.is_empty() {
        return Ok(());
    }
    let watch = Watch {
        step: Box::new(|_| {}),
        is_cancelled: &|| false,
    };
    let outcome = engine.detach(&vm.name, &DetachWhat::All, true, &watch)?;
    match outcome.faults.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
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
    client(vm).is_some_and(|client| client.power_off().is_ok())
}

/// The agent, with little patience: a guest that does not answer will not write anything out either.
fn client(vm: &Vm) -> Option<GuestClient> {
    let stream = UnixStream::connect(vm.file(AGENT)).ok()?;
    let patience = Patience {
        hello: Duration::from_secs(5),
        lookup: Duration::from_secs(5),
        disk: Duration::from_secs(5),
        work: Duration::from_secs(15),
    };
    let client = GuestClient::new(stream).with_patience(patience);
    client.hello(patience.hello).is_ok().then_some(client)
}

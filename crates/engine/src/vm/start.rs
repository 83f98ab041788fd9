//! Starting a machine, and waiting until its agent answers.

use std::fs::{File, OpenOptions};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use attach::{GuestClient, GuestSystem, Hypervisor, Platform};
use volume::FileLock;

use super::arguments::{self, Files};
use super::command::PORTS;
use super::folder::{LOCK, Record, Vm};
use super::pieces::Pieces;
use super::process::{AGENT, CONSOLE, LOG, MONITOR, PolledSocket};
use super::{Accelerator, Poll, StartVm, StartedVm, VmFailure, process, stop};
use crate::Engine;
use crate::error::{Error, Result};
use crate::machine::{KnownMachine, MachineEndpoints, MachineFailure};

const INITRAMFS: &str = "initramfs";
/// A guest needs some room for itself.
const LEAST_MEMORY: u64 = 128 << 20;
/// How long a machine on KVM may take where another way is left.
const KVM_LIMIT: Duration = Duration::from_secs(60);
/// How many names are tried where none was given.
const MOST_NAMES: u32 = 10_000;

pub(super) fn start(engine: &Engine, request: &StartVm, poll: Poll) -> Result<StartedVm> {
    let started = Instant::now();
    if request.memory.get() < LEAST_MEMORY || !request.memory.get().is_multiple_of(1 << 20) {
        let what = "the memory of a machine is a number of MiB from 128 on";
        return Err(VmFailure::Invalid(what.to_owned()).into());
    }
    if request.processors == 0 {
        return Err(VmFailure::Invalid("a machine has a processor".to_owned()).into());
    }
    let program = process::program()?;
    let pieces = Pieces::find(request)?;
    let mut vm = register(engine, request)?;
    let booted = boot(&mut vm, request, &pieces, &program, poll);
    match booted {
        Ok((accelerator, without_kvm)) => Ok(StartedVm {
            name: vm.name,
            accelerator,
            without_kvm,
            took: started.elapsed(),
        }),
        Err(error) => {
            // The first error is the one to tell.
            let _ = stop::stop(engine, &vm);
            Err(error)
        }
    }
}

/// Makes the machine known under a free name.
fn register(engine: &Engine, request: &StartVm) -> Result<Vm> {
    let name = match &request.name {
        Some(name) => {
            register_as(engine, name)?;
            name.clone()
        }
        None => {
            let names = (1..=MOST_NAMES).map(|number| format!("vm{number}"));
            let mut free = names.map(|name| (register_as(engine, &name), name));
            let taken =
                |error: &Error| matches!(error, Error::Machine(MachineFailure::Known { .. }));
            let found = free.find(|(made, _)| !made.as_ref().is_err_and(taken));
            let (made, name) = found
                .ok_or_else(|| VmFailure::Invalid("too many machines are known".to_owned()))?;
            made?;
            name
        }
    };
    let made = described(engine, &name, request);
    if made.is_err() {
        // The first error is the one to tell.
        let _ = engine.forget_machine(&name);
    }
    made
}

/// Writes down how a machine that is known by now is started.
fn described(engine: &Engine, name: &str, request: &StartVm) -> Result<Vm> {
    let machine = engine.machine(name)?;
    let run = machine.folder.folder(crate::machine::RUN)?;
    let vm = Vm {
        name: machine.known.name.clone(),
        known: machine.known,
        run,
        record: Record {
            memory: request.memory.get(),
            processors: request.processors,
            accelerator: None,
        },
    };
    vm.write_record()?;
    Ok(vm)
}

fn register_as(engine: &Engine, name: &str) -> Result<()> {
    let run = engine.sockets_to_be(name)?;
    let platform = Platform {
        hypervisor: Hypervisor::Qemu,
        guest: GuestSystem::Linux,
    };
    let endpoints = MachineEndpoints::Qemu {
        qmp: run.join(MONITOR),
        agent: run.join(AGENT),
    };
    engine.register_machine(&KnownMachine::new(name, platform, endpoints))
}

/// Boots it by one accelerator after the other; which it was, and why it was not the first.
fn boot(
    vm: &mut Vm,
    request: &StartVm,
    pieces: &Pieces,
    program: &Path,
    poll: Poll,
) -> Result<(Accelerator, Option<String>)> {
    let initramfs = vm.file(INITRAMFS);
    pieces.write_initramfs(&initramfs)?;
    let ways: &[Accelerator] = match request.accelerator {
        Accelerator::Auto if can_open_kvm() => &[Accelerator::Kvm, Accelerator::Tcg],
        Accelerator::Auto | Accelerator::Tcg => &[Accelerator::Tcg],
        Accelerator::Kvm => &[Accelerator::Kvm],
    };
    let mut without_kvm = None;
    for (number, accelerator) in ways.iter().enumerate() {
        let is_last = number + 1 == ways.len();
        let limit = if is_last {
            request.boot_limit
        } else {
            request.boot_limit.min(KVM_LIMIT)
        };
        let mut booted = attempt(vm, request, pieces, program, *accelerator, limit, poll);
        if *accelerator == Accelerator::Tcg && has_given_up(&booted) {
            booted = attempt(vm, request, pieces, program, *accelerator, limit, poll);
        }
        match booted {
            Ok(()) => {
                // It is in the memory of the machine.
                vm.run.remove_file(INITRAMFS)?;
                vm.record.accelerator = Some(accelerator.name().to_owned());
                vm.write_record()?;
                return Ok((*accelerator, without_kvm));
            }
            // KVM may be there and not work: then it shows in one of these ways.
            Err(Error::Vm(
                failure @ (VmFailure::Ended { .. }
                | VmFailure::Stopped { .. }
                | VmFailure::BootTimeout { .. }),
            )) if !is_last => without_kvm = Some(failure.to_string()),
            Err(error) => return Err(error),
        }
    }
    Err(VmFailure::Invalid("there is no way to boot".to_owned()).into())
}

/// Whether a guest ended by itself while it booted. Where QEMU computes for several processors, a kernel
/// that changes its own code while it boots falls over itself now and then: an int3 that nobody put there.
fn has_given_up(booted: &Result<()>) -> bool {
    matches!(booted, Err(Error::Vm(VmFailure::Ended { status, .. })) if status.success())
}

/// That the device can be opened does not yet say that it works.
fn can_open_kvm() -> bool {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    opened.is_ok()
}

/// Boots it one way. Where that fails, QEMU has ended.
fn attempt(
    vm: &Vm,
    request: &StartVm,
    pieces: &Pieces,
    program: &Path,
    accelerator: Accelerator,
    limit: Duration,
    poll: Poll,
) -> Result<()> {
    for name in [MONITOR, AGENT, CONSOLE, LOG] {
        vm.run.remove_file(name)?;
    }
    let lock = lock(vm)?;
    let ports: Vec<PathBuf> = PORTS.iter().map(|port| vm.file(port.socket)).collect();
    let files = Files {
        monitor: &vm.file(MONITOR),
        agent: &vm.file(AGENT),
        ports: &ports,
        console: &vm.file(CONSOLE),
        initramfs: &vm.file(INITRAMFS),
    };
    let words = arguments::arguments(request, &vm.name, &pieces.kernel, &files, accelerator);
    let mut child = spawn(vm, program, words, lock)?;
    let answered = wait_for_agent(vm, &mut child, limit, poll);
    if answered.is_err() {
        // It may have ended by itself; nobody else waits for it.
        let _ = child.kill();
        let _ = child.wait();
    }
    answered
}

/// The lock that QEMU is to hold. Others take it for moments, to see whether it is held.
fn lock(vm: &Vm) -> Result<FileLock> {
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        if let Some(lock) = vm.run.try_lock(LOCK)? {
            return Ok(lock);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let name = vm.name.clone();
    Err(VmFailure::Running { name }.into())
}

fn spawn(vm: &Vm, program: &Path, words: Vec<std::ffi::OsString>, lock: FileLock) -> Result<Child> {
    let private = |path: &Path| -> Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(path).map_err(Error::host("make", path))
    };
    // QEMU would make it for everybody to read.
    drop(private(&vm.file(CONSOLE))?);
    let log = private(&vm.file(LOG))?;
    let held = lock.share().map_err(Error::host("lock", vm.file(LOCK)))?;
    let child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::from(held))
        .stderr(Stdio::from(log))
        // Ctrl-C at a terminal is for us, who end it in order.
        .process_group(0)
        .spawn();
    let child = child.map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => VmFailure::NoQemu {
            program: program.display().to_string(),
        },
        _ => VmFailure::Start {
            program: program.to_owned(),
            source,
        },
    })?;
    Ok(child)
}

fn wait_for_agent(vm: &Vm, child: &mut Child, limit: Duration, poll: Poll) -> Result<()> {
    /// How long each question to the agent waits, and so how soon the rest is looked at again.
    const PIECE: Duration = Duration::from_millis(250);
    let deadline = Instant::now() + limit;
    let mut client: Option<GuestClient> = None;
    let monitor = process::monitor(vm);
    loop {
        if poll() == ControlFlow::Break(()) {
            return Err(Error::Interrupted);
        }
        let ended = child.try_wait().map_err(Error::host("wait for", LOG))?;
        if let Some(status) = ended {
            let told = process::told(vm);
            return Err(VmFailure::Ended { status, told }.into());
        }
        if Instant::now() >= deadline {
            let told = process::told(vm);
            return Err(VmFailure::BootTimeout { limit, told }.into());
        }
        let Some(agent) = &client else {
            client = PolledSocket::connect(&vm.file(AGENT), poll)
                .ok()
                .map(GuestClient::new);
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        if agent.hello(PIECE).is_ok() {
            return Ok(());
        }
        // Whatever went wrong there is told by QEMU itself, or in time.
        if let Ok(state) = monitor.status()
            && !matches!(state.as_str(), "running" | "prelaunch" | "inmigrate")
        {
            let told = process::told(vm);
            return Err(VmFailure::Stopped { state, told }.into());
        }
    }
}

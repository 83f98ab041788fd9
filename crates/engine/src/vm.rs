//! Machines of QEMU that cvol starts itself: small, thrown away after use, with the agent in them.
//!
//! ```text
//!   machines/NAME/run/      the folder of sockets that every known machine has, and in it
//!     vm.json               how the machine was started; only our own have it
//!     vm.lock               held by QEMU, which has it open as its standard output
//!     qmp.sock              the monitor
//!     agent.sock            the agent, for attaching
//!     exec1.sock ...        the agent, for commands, each with a lock of who talks there
//!     qemu.log, console.log what QEMU and the guest complain of
//!     initramfs             what it boots; removed once it has
//! ```
//!
//! Whether a machine lives is told by the lock that QEMU holds, never by the number of a process. A
//! machine is made known before QEMU starts and forgotten after it ended, so that one whose starter
//! died is listed and can be removed.

#[cfg(unix)]
mod archive;
#[cfg(unix)]
mod arguments;
#[cfg(unix)]
mod command;
mod failure;
mod folder;
#[cfg(unix)]
mod pieces;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod start;
#[cfg(unix)]
mod stop;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use blockio::ByteCount;

use crate::Engine;
use crate::error::{Error, Result};
use crate::machine::MachineFailure;

pub use attach::{CommandEnd, OutputStream};
pub use failure::VmFailure;

/// Asked now and then whether somebody wants it to end.
pub type Poll = fn() -> ControlFlow<()>;

/// What computes for the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accelerator {
    /// KVM where it works, else by program.
    #[default]
    Auto,
    /// The processor, through KVM.
    Kvm,
    /// A program of QEMU, which every host can run.
    Tcg,
}

impl Accelerator {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// A machine to be started.
#[derive(Clone, Debug)]
pub struct StartVm {
    /// What it shall be called; `vm1`, `vm2`, ... where nobody says.
    pub name: Option<String>,
    /// Its memory.
    pub memory: ByteCount,
    /// Its processors.
    pub processors: u16,
    /// What computes for it.
    pub accelerator: Accelerator,
    /// Whether it has a network, in which the host is 10.0.2.2.
    pub network: bool,
    /// The folder of `vmlinuz` and `initramfs.cpio`.
    pub guest_folder: Option<PathBuf>,
    /// The kernel, where it is not that of the folder.
    pub kernel: Option<PathBuf>,
    /// The first file system, where it is not that of the folder.
    pub initramfs: Option<PathBuf>,
    /// The agent.
    pub agent: Option<PathBuf>,
    /// How long it may take until the agent answers.
    pub boot_limit: Duration,
}

impl Default for StartVm {
    /// A machine that boots the pieces of the tests, even on a host without hardware support.
    fn default() -> Self {
        Self {
            name: None,
            memory: ByteCount(1 << 30),
            processors: 2,
            accelerator: Accelerator::Auto,
            network: true,
            guest_folder: None,
            kernel: None,
            initramfs: None,
            agent: None,
            boot_limit: Duration::from_secs(180),
        }
    }
}

/// A machine that was started, and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartedVm {
    /// What it is called.
    pub name: String,
    /// What computes for it.
    pub accelerator: Accelerator,
    /// Why it is not KVM, where that was tried.
    pub without_kvm: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// A machine that cvol started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmState {
    /// What it is called.
    pub name: String,
    /// Whether QEMU still lives.
    pub is_running: bool,
    /// Its memory.
    pub memory: ByteCount,
    /// Its processors.
    pub processors: u16,
    /// What computes for it; nothing where it never came that far.
    pub accelerator: Option<String>,
    /// When it was started, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// Who started it.
    pub owner: String,
}

impl Engine {
    /// The machines that cvol started and that were not removed since, by name.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn vms(&self) -> Result<Vec<VmState>> {
        let mut vms = Vec::new();
        for known in self.machines()? {
            match self.vm(&known.name) {
                Ok(vm) => vms.push(vm.state()?),
                Err(Error::Vm(VmFailure::NotOurs { .. })) => {}
                // Forgotten since it was listed.
                Err(Error::Machine(MachineFailure::Unknown { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(vms)
    }

    /// Starts a machine and waits until its agent answers. Where that fails, nothing is left of it.
    ///
    /// # Errors
    /// `Unsupported` (no QEMU, no pieces to boot), `InvalidArgument`, `AlreadyExists` (the name),
    /// `Interrupted`, `Io` (it did not boot, with the end of what it said).
    #[cfg(unix)]
    pub fn start_vm(&self, request: &StartVm, poll: Poll) -> Result<StartedVm> {
        start::start(self, request, poll)
    }

    /// Runs a command in the guest of a machine that cvol started, and hands its output over as it
    /// comes.
    ///
    /// # Errors
    /// `NotFound` (the machine, the program), `InUse`, `Interrupted`, `Io`.
    #[cfg(unix)]
    pub fn exec_in_vm(
        &self,
        name: &str,
        words: &[String],
        output: &mut dyn FnMut(OutputStream, &[u8]) -> ControlFlow<()>,
        poll: Poll,
    ) -> Result<CommandEnd> {
        command::run(&self.vm(name)?, words, output, poll)
    }

    /// Ends a machine that cvol started and removes all that is kept of it; what is attached to it is
    /// taken away before, as far as its guest lets it go. One that ended by itself is removed likewise.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Io`.
    #[cfg(unix)]
    pub fn stop_vm(&self, name: &str) -> Result<()> {
        stop::stop(self, &self.vm(name)?)
    }

    /// Removes what is kept of a machine that cvol started and that has ended.
    ///
    /// # Errors
    /// `NotFound`, `InUse` (it runs), `Io`.
    #[cfg(unix)]
    pub fn remove_vm(&self, name: &str) -> Result<()> {
        let vm = self.vm(name)?;
        if vm.is_running()? {
            return Err(VmFailure::Running { name: vm.name }.into());
        }
        stop::stop(self, &vm)
    }

    /// Whether a machine that cvol started still runs.
    ///
    /// # Errors
    /// `NotFound`, `Io`.
    pub fn is_vm_running(&self, name: &str) -> Result<bool> {
        self.vm(name)?.is_running()
    }
}

/// On other systems QEMU is reached by no socket.
#[cfg(not(unix))]
impl Engine {
    /// Starts a machine.
    ///
    /// # Errors
    /// `Unsupported`, here.
    pub fn start_vm(&self, _request: &StartVm, _poll: Poll) -> Result<StartedVm> {
        Err(VmFailure::NoHost.into())
    }

    /// Runs a command in a machine.
    ///
    /// # Errors
    /// `Unsupported`, here.
    pub fn exec_in_vm(
        &self,
        _name: &str,
        _words: &[String],
        _output: &mut dyn FnMut(OutputStream, &[u8]) -> ControlFlow<()>,
        _poll: Poll,
    ) -> Result<CommandEnd> {
        Err(VmFailure::NoHost.into())
    }

    /// Ends a machine.
    ///
    /// # Errors
    /// `Unsupported`, here.
    pub fn stop_vm(&self, _name: &str) -> Result<()> {
        Err(VmFailure::NoHost.into())
    }

    /// Removes a machine.
    ///
    /// # Errors
    /// `Unsupported`, here.
    pub fn remove_vm(&self, _name: &str) -> Result<()> {
        Err(VmFailure::NoHost.into())
    }
}

//! The machines that a store knows: what each is reached by, and what is attached to it.
//!
//! ```text
//!   machines/NAME/          0700, beneath the handle of the store
//!     machine.json          what it is reached by; there as long as the machine is known
//!     ledger.json           what is or may be attached to it
//!     lock                  held by the one process that changes something
//!     run/                  sockets and locks of what serves it; QEMU connects here
//!     temporary/            images of temporary volumes
//! ```
//!
//! The description is written last when a machine is made known and removed first when it is forgotten:
//! a folder without one is the rest of a forgotten machine, and nothing is attached through it.

mod boundary;
mod description;
mod failure;
mod guest_channel;
mod journal;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use attach::ledger::Ledger;
use volume::{FileLock, PrivateFolder, VolumeName};

use crate::Engine;
use crate::error::{Error, Result};

pub use description::{KnownMachine, MachineEndpoints};
pub use failure::MachineFailure;
pub(crate) use failure::{of_fault, of_plan};
pub use guest_channel::{GuestChannel, GuestChannelError};
pub(crate) use journal::FileJournal;

const DESCRIPTION: &str = "machine.json";
const LEDGER: &str = "ledger.json";
const LOCK: &str = "lock";
/// The folder of sockets.
pub(crate) const RUN: &str = "run";
const TEMPORARY: &str = "temporary";

/// The longest description that is read, in bytes.
const MAX_DESCRIPTION: u64 = 64 << 10;
/// The longest ledger that is read, in bytes.
const MAX_LEDGER: u64 = 16 << 20;
/// How often a lock that somebody holds is tried.
const PAUSE: Duration = Duration::from_millis(25);
/// How long whoever is at work on a machine is waited for, where nobody says.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that a path of a socket may have, with room for what ends it.
const MAX_SOCKET_PATH: usize = 107;
/// Bytes of the longest name of a socket in the folder of sockets, with its separator.
const LONGEST_SOCKET_NAME: usize = 48;

/// A machine that the store knows, with its folder.
pub(crate) struct Machine {
    pub(crate) known: KnownMachine,
    pub(crate) folder: PrivateFolder,
}

/// The right to change something about a machine, until it is dropped.
pub(crate) struct MachineLock {
    _held: FileLock,
}

impl Engine {
    /// Makes a machine known under a name of the kind that volumes have.
    ///
    /// # Errors
    /// `InvalidArgument` (the name), `AlreadyExists`, `Unsupported` (the path of the store is too long
    /// for sockets), `Io`.
    pub fn register_machine(&self, machine: &KnownMachine) -> Result<()> {
        let name = machine_name(&machine.name)?;
        let folder = self.store()?.machines_folder()?.folder(&name)?;
        let length = folder.path().join(RUN).as_os_str().len();
        let has_sockets = matches!(machine.endpoints, MachineEndpoints::Qemu { .. });
        if has_sockets && length + LONGEST_SOCKET_NAME > MAX_SOCKET_PATH {
            let path = folder.path().to_owned();
            return Err(MachineFailure::LongPath { path }.into());
        }
        let _lock = lock(&folder, &name, "making it known", LOCK_PATIENCE)?;
        if folder.read(DESCRIPTION, MAX_DESCRIPTION)?.is_some() {
            return Err(MachineFailure::Known { name }.into());
        }
        // What a forgotten machine of this name left behind.
        for rest in [RUN, TEMPORARY] {
            folder.remove_folder(rest)?;
        }
        folder.remove_file(LEDGER)?;
        folder.folder(RUN)?;
        folder.folder(TEMPORARY)?;
        // Last: from here on it is known.
        folder.replace(DESCRIPTION, machine.to_json()?.as_bytes())?;
        Ok(())
    }

    /// The machines that are known, by name. One whose description cannot be read is left out, for
    /// [`Engine::examine_store`] to tell.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn machines(&self) -> Result<Vec<KnownMachine>> {
        let mut machines = Vec::new();
        for name in self.machine_names()? {
            match self.machine(&name) {
                Ok(machine) => machines.push(machine.known),
                Err(Error::Machine(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(machines)
    }

    /// The names of all folders of machines, known and forgotten.
    pub(crate) fn machine_names(&self) -> Result<Vec<String>> {
        Ok(self.store()?.machines_folder()?.names()?)
    }

    /// A machine by its name.
    ///
    /// # Errors
    /// `InvalidArgument` (the name), `NotFound`, `Damaged`, `Io`.
    pub fn known_machine(&self, name: &str) -> Result<KnownMachine> {
        Ok(self.machine(name)?.known)
    }

    /// The folder in which the sockets of a machine lie.
    ///
    /// # Errors
    /// As for [`Engine::known_machine`].
    pub fn machine_sockets(&self, name: &str) -> Result<PathBuf> {
        Ok(self.machine(name)?.run_folder())
    }

    /// Where the sockets of a machine will lie that is not known yet.
    #[cfg(unix)]
    pub(crate) fn sockets_to_be(&self, name: &str) -> Result<PathBuf> {
        let machines = self.store()?.machines_folder()?;
        let folder = machines.path().join(machine_name(name)?);
        std::path::absolute(&folder)
            .map(|folder| folder.join(RUN))
            .map_err(Error::host("find", folder))
    }

    pub(crate) fn machine(&self, name: &str) -> Result<Machine> {
        let name = machine_name(name)?;
        let unknown = || MachineFailure::Unknown { name: name.clone() };
        let machines = self.store()?.machines_folder()?;
        let folder = machines.existing_folder(&name)?.ok_or_else(unknown)?;
        let text = folder.read(DESCRIPTION, MAX_DESCRIPTION)?;
        let known = KnownMachine::from_json(&name, &text.ok_or_else(unknown)?)?;
        Ok(Machine { known, folder })
    }

    /// Forgets a machine that has nothing attached, and removes all that is kept of it.
    ///
    /// # Errors
    /// `NotFound`, `InUse` (something is attached, or somebody is at work on it), `Io`.
    pub fn forget_machine(&self, name: &str) -> Result<()> {
        let machine = self.machine(name)?;
        let name = machine.known.name.clone();
        {
            let _lock = machine.lock("forgetting it", LOCK_PATIENCE)?;
            if !machine.ledger()?.is_empty() {
                return Err(MachineFailure::HasAttachments { name }.into());
            }
            machine.folder.remove_file(DESCRIPTION)?;
        }
        // Windows removes no folder that somebody has open.
        drop(machine);
        self.store()?.machines_folder()?.remove_folder(&name)?;
        Ok(())
    }
}

impl Machine {
    /// Waits until nobody else changes something about the machine. `doing` is what those are told who
    /// wait for this one.
    pub(crate) fn lock(&self, doing: &str, patience: Duration) -> Result<MachineLock> {
        let held = lock(&self.folder, &self.known.name, doing, patience)?;
        // It may have been forgotten meanwhile; then what was locked is nothing.
        if self.folder.read(DESCRIPTION, MAX_DESCRIPTION)?.is_none() {
            let name = self.known.name.clone();
            return Err(MachineFailure::Unknown { name }.into());
        }
        Ok(MachineLock { _held: held })
    }

    /// The lock if it is free.
    pub(crate) fn try_lock(&self, doing: &str) -> Result<Option<MachineLock>> {
        match self.lock(doing, Duration::ZERO) {
            Ok(lock) => Ok(Some(lock)),
            Err(Error::Machine(MachineFailure::AtWork { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is or may be attached, as it was last written down.
    pub(crate) fn ledger(&self) -> Result<Ledger> {
        read_ledger(&self.folder, &self.known)
    }

    /// Where sockets lie.
    pub(crate) fn run_folder(&self) -> PathBuf {
        self.folder.path().join(RUN)
    }

    /// Where images of temporary volumes lie.
    pub(crate) fn temporary_folder(&self) -> PathBuf {
        self.folder.path().join(TEMPORARY)
    }
}

fn read_ledger(folder: &PrivateFolder, known: &KnownMachine) -> Result<Ledger> {
    let Some(text) = folder.read(LEDGER, MAX_LEDGER)? else {
        return Ok(Ledger::new(known.platform));
    };
    let ledger = Ledger::from_json(&text).map_err(|source| MachineFailure::Ledger {
        name: known.name.clone(),
        source,
    })?;
    Ok(ledger)
}

fn lock(folder: &PrivateFolder, name: &str, doing: &str, patience: Duration) -> Result<FileLock> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(lock) = folder.try_lock(LOCK)? {
            let who = format!("process {}, {doing}", std::process::id());
            // It is for those who wait, and only that.
            let _ = lock.note(&who);
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            let who = folder.read(LOCK, 1024).ok().flatten().unwrap_or_default();
            return Err(MachineFailure::AtWork {
                name: name.to_owned(),
                who: String::from_utf8_lossy(&who).into_owned(),
            }
            .into());
        }
        std::thread::sleep(PAUSE);
    }
}

/// A name of a machine, as it is kept: those of volumes are names of folders everywhere.
fn machine_name(name: &str) -> Result<String> {
    match VolumeName::parse(name) {
        Ok(name) => Ok(name.key()),
        Err(error) => Err(MachineFailure::Name {
            name: name.to_owned(),
            source: error,
        }
        .into()),
    }
}

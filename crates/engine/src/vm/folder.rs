//! What is kept of a machine that cvol started.

use blockio::ByteCount;
use serde::{Deserialize, Serialize};
use volume::PrivateFolder;

use super::{VmFailure, VmState};
use crate::Engine;
use crate::error::Result;
use crate::machine::{KnownMachine, MachineEndpoints, RUN};

/// How a machine was started.
pub(super) const RECORD: &str = "vm.json";
/// Held by QEMU.
pub(super) const LOCK: &str = "vm.lock";
/// The longest record that is read.
const LONGEST_RECORD: u64 = 64 << 10;
/// How often the lock is tried before it is taken for held: others may be looking too.
const LOOKS: u32 = 3;

/// A machine that cvol started.
pub(super) struct Vm {
    pub(super) name: String,
    pub(super) known: KnownMachine,
    pub(super) run: PrivateFolder,
    pub(super) record: Record,
}

/// How it was started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) memory: u64,
    pub(super) processors: u16,
    /// What computes for it, once that is known.
    pub(super) accelerator: Option<String>,
}

impl Engine {
    /// A machine that cvol started.
    pub(super) fn vm(&self, name: &str) -> Result<Vm> {
        let machine = self.machine(name)?;
        let name = machine.known.name.clone();
        let not_ours = || VmFailure::NotOurs { name: name.clone() };
        let run = machine.folder.existing_folder(RUN)?;
        let run = run.ok_or_else(not_ours)?;
        let record = match run.read(RECORD, LONGEST_RECORD)? {
            Some(text) => serde_json::from_slice(&text).map_err(|_| not_ours())?,
            // Whoever made it known died before he wrote more.
            None if is_within(&machine.known, &run) => Record::default(),
            None => return Err(not_ours().into()),
        };
        Ok(Vm {
            name,
            known: machine.known,
            run,
            record,
        })
    }
}

/// Whether the monitor of a machine is in its own folder of sockets, where nobody but cvol puts one.
fn is_within(known: &KnownMachine, run: &PrivateFolder) -> bool {
    let run = std::path::absolute(run.path()).ok();
    match &known.endpoints {
        MachineEndpoints::Qemu { qmp, .. } => qmp.parent() == run.as_deref(),
        MachineEndpoints::Hcs { .. } => false,
    }
}

impl Vm {
    pub(super) fn is_running(&self) -> Result<bool> {
        for look in 1..=LOOKS {
            if self.run.try_lock(LOCK)?.is_some() {
                return Ok(false);
            }
            if look < LOOKS {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        Ok(true)
    }

    pub(super) fn state(&self) -> Result<VmState> {
        Ok(VmState {
            name: self.name.clone(),
            is_running: self.is_running()?,
            memory: ByteCount(self.record.memory),
            processors: self.record.processors,
            accelerator: self.record.accelerator.clone(),
            since_unix_ms: self.known.since_unix_ms,
            owner: self.known.owner.clone(),
        })
    }
}

#[cfg(unix)]
impl Vm {
    /// A file in the folder of sockets.
    pub(super) fn file(&self, name: &str) -> std::path::PathBuf {
        self.run.path().join(name)
    }

    pub(super) fn write_record(&self) -> Result<()> {
        let text = serde_json::to_vec_pretty(&self.record).unwrap_or_default();
        Ok(self.run.replace(RECORD, &text)?)
    }
}

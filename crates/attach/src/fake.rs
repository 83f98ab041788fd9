//! A host, a machine and a guest in memory, with the rules of real ones, for tests: what HCS, QEMU or
//! Linux would refuse is refused, and what would hurt somebody is written down.
//!
//! A disk needs its file, and access or an export before it; a place, a serial, a share name and a
//! target are taken once; what is mounted does not vanish from under its mount unnoticed. Any call can
//! be made to fail before or after its work, to go unanswered, or to kill the machine or the manager;
//! so can any change of the ledger, which is kept as the document that it would be on a disk.

mod guest;
mod host;
mod machine;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::carry_out::Journal;
use crate::guest::Platform;
use crate::ledger::Ledger;
use crate::path::{HostPath, Target};
use crate::plan::Share;
use crate::sides::{Fault, FaultKind};
use crate::slots::Slot;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The call fails, and nothing was done.
    FailBefore(FaultKind),
    /// The call fails, although it was done.
    FailAfter(FaultKind),
    /// The machine dies, and the call is not done.
    MachineDiesBefore,
    /// The call is done, and then the machine dies.
    MachineDiesAfter,
    /// The manager dies, and the call is not done: nothing that it does afterwards is.
    ManagerDiesBefore,
    /// The call is done, and then the manager dies.
    ManagerDiesAfter,
    /// The guest answers no more, from this call on.
    GuestFallsSilent,
}

/// When something goes wrong: at the call or change of this number, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A call of the host, the machine or the guest.
    Call(u64),
    /// A change of the ledger.
    Change(u64),
    /// This call, and every later one of the same name.
    CallsFrom(u64),
}

/// A host with one machine and its guest.
#[derive(Debug)]
pub struct World {
    state: Mutex<State>,
}

/// All that there is at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Directories of the host.
    pub directories: BTreeSet<String>,
    /// Files of the host, images among them.
    pub files: BTreeSet<String>,
    /// Exports: the serial, with the file and whether it can only be read.
    pub exports: BTreeMap<String, (String, bool)>,
    /// Files that the machine may open, and whether it may write them.
    pub access: BTreeMap<String, bool>,
    /// Disks of the machine: the file, the serial, whether it can only be read.
    pub disks: BTreeMap<Slot, (String, String, bool)>,
    /// Disks that the guest still knows.
    pub known_disks: BTreeSet<Slot>,
    /// Shares of the machine, by their names in lower case.
    pub shares: BTreeMap<String, Share>,
    /// Mounts in the guest, by their targets in words.
    pub mounts: BTreeMap<String, Mounted>,
}

/// What is mounted at a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Where.
    pub target: Target,
    /// Of what.
    pub what: MountedSource,
    /// Whether nothing can be changed through it.
    pub read_only: bool,
}

/// Of what a mount is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountedSource {
    /// The disk at a place.
    Disk(Slot),
    /// The share of this name, in lower case.
    Share(String),
    /// A share of a server.
    Smb(String),
    /// Memory.
    Memory(u64),
}

#[derive(Debug)]
struct State {
    platform: Platform,
    now: Snapshot,
    /// As it was read from the document that it was last written as.
    ledger: Ledger,
    is_machine_dead: bool,
    is_manager_dead: bool,
    is_guest_silent: bool,
    /// Targets that somebody in the guest has files of open.
    busy: BTreeSet<String>,
    /// Whether the guest is forced, so that what it loses is its own affair.
    may_lose: bool,
    calls: u64,
    changes: u64,
    troubles: Vec<(When, Trouble)>,
    /// The name of the call that goes wrong from now on.
    broken_call: Option<(&'static str, Trouble)>,
    log: Vec<String>,
    damage: Vec<String>,
}

/// How a call answers.
type Answer<T> = Result<T, Fault>;

impl World {
    /// An empty host with a machine that runs.
    pub fn new(platform: Platform) -> Self {
        Self {
            state: Mutex::new(State {
                platform,
                now: Snapshot {
                    directories: BTreeSet::new(),
                    files: BTreeSet::new(),
                    exports: BTreeMap::new(),
                    access: BTreeMap::new(),
                    disks: BTreeMap::new(),
                    known_disks: BTreeSet::new(),
                    shares: BTreeMap::new(),
                    mounts: BTreeMap::new(),
                },
                ledger: Ledger::new(platform),
                is_machine_dead: false,
                is_manager_dead: false,
                is_guest_silent: false,
                busy: BTreeSet::new(),
                may_lose: false,
                calls: 0,
                changes: 0,
                troubles: Vec::new(),
                broken_call: None,
                log: Vec::new(),
                damage: Vec::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a directory on the host, with those above it.
    pub fn add_directory(&self, path: &HostPath) {
        let mut state = self.state();
        for path in host::with_those_above(path) {
            state.now.directories.insert(path.key());
        }
    }

    /// Puts a file on the host.
    pub fn add_file(&self, path: &HostPath) {
        self.state().now.files.insert(path.key());
    }

    /// Has something go wrong.
    pub fn trouble(&self, when: When, trouble: Trouble) {
        self.state().troubles.push((when, trouble));
    }

    /// Has nothing go wrong any more: the guest answers again, the next manager lives, nobody uses
    /// anything. A machine that died stays dead. Calls and changes are counted anew.
    pub fn calm(&self) {
        let mut state = self.state();
        state.troubles.clear();
        state.broken_call = None;
        state.is_guest_silent = false;
        state.is_manager_dead = false;
        state.busy.clear();
        state.calls = 0;
        state.changes = 0;
    }

    /// Has somebody in the guest keep files of a target open.
    pub fn keep_busy(&self, target: &Target) {
        self.state().busy.insert(target.to_string());
    }

    /// The guest answers no more.
    pub fn silence_guest(&self) {
        self.state().is_guest_silent = true;
    }

    /// Nothing that the guest loses from now on counts as damage: it is being forced.
    pub fn allow_loss(&self) {
        self.state().may_lose = true;
    }

    /// The machine dies, with all that it and its guest hold.
    pub fn kill_machine(&self) {
        self.state().kill_machine();
    }

    /// Whether the manager was killed.
    pub fn is_manager_dead(&self) -> bool {
        self.state().is_manager_dead
    }

    /// How many calls and how many changes of the ledger there were.
    pub fn counted(&self) -> (u64, u64) {
        let state = self.state();
        (state.calls, state.changes)
    }

    /// All that there is now.
    pub fn snapshot(&self) -> Snapshot {
        self.state().now.clone()
    }

    /// Every call that was done, in words.
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// What hurt somebody: a mount that lost its disk, an export that ended under a machine.
    pub fn damage(&self) -> Vec<String> {
        self.state().damage.clone()
    }

    /// The ledger as it is kept.
    pub fn ledger(&self) -> Ledger {
        self.state().ledger.clone()
    }

    /// A call: goes wrong where it shall, otherwise does its work.
    fn call<T>(
        &self,
        name: &'static str,
        words: impl FnOnce() -> String,
        work: impl FnOnce(&mut State) -> Answer<T>,
    ) -> Answer<T> {
        let mut state = self.state();
        let dead = || Fault::new(FaultKind::Failed, "the manager is dead");
        if state.is_manager_dead {
            return Err(dead());
        }
        state.calls += 1;
        let number = state.calls;
        let trouble = state.trouble_at(number, name);
        let work = |state: &mut State| {
            let done = work(state);
            let told = if done.is_ok() { "" } else { " (refused)" };
            let line = format!("{name} {}{told}", words());
            state.log.push(line);
            done
        };
        match trouble {
            None => work(&mut state),
            Some(Trouble::FailBefore(kind)) => Err(made_up(kind, name)),
            Some(Trouble::FailAfter(kind)) => {
                let _ = work(&mut state);
                Err(made_up(kind, name))
            }
            Some(Trouble::MachineDiesBefore) => {
                state.kill_machine();
                work(&mut state)
            }
            Some(Trouble::MachineDiesAfter) => {
                let done = work(&mut state);
                state.kill_machine();
                done
            }
            Some(Trouble::ManagerDiesBefore) => {
                state.is_manager_dead = true;
                Err(dead())
            }
            Some(Trouble::ManagerDiesAfter) => {
                let _ = work(&mut state);
                state.is_manager_dead = true;
                Err(dead())
            }
            Some(Trouble::GuestFallsSilent) => {
                state.is_guest_silent = true;
                work(&mut state)
            }
        }
    }
}

fn made_up(kind: FaultKind, name: &str) -> Fault {
    Fault::new(kind, format!("{name} was made to fail"))
}

fn refused<T>(kind: FaultKind, what: impl Into<String>) -> Answer<T> {
    Err(Fault::new(kind, what))
}

impl State {
    fn trouble_at(&mut self, number: u64, name: &'static str) -> Option<Trouble> {
        if let Some((broken, trouble)) = self.broken_call
            && broken == name
        {
            return Some(trouble);
        }
        let mut troubles = self.troubles.iter();
        let (when, trouble) = *troubles.find(
            |(when, _)| matches!(when, When::Call(at) | When::CallsFrom(at) if *at == number),
        )?;
        if matches!(when, When::CallsFrom(_)) {
            self.broken_call = Some((name, trouble));
        }
        Some(trouble)
    }

    fn kill_machine(&mut self) {
        self.is_machine_dead = true;
        self.now.disks.clear();
        self.now.known_disks.clear();
        self.now.shares.clear();
        self.now.mounts.clear();
    }

    /// Refuses what a machine that is dead cannot do.
    fn check_machine(&self) -> Answer<()> {
        if self.is_machine_dead {
            return refused(FaultKind::Gone, "the machine is dead");
        }
        Ok(())
    }

    fn check_guest(&self) -> Answer<()> {
        self.check_machine()?;
        if self.is_guest_silent {
            return refused(FaultKind::Unanswered, "the guest does not answer");
        }
        Ok(())
    }

    fn hurt(&mut self, what: String) {
        if !self.may_lose {
            self.damage.push(what);
        }
    }
}

impl Journal for World {
    fn change(&self, change: &mut dyn FnMut(&mut Ledger)) -> Result<(), Fault> {
        let mut state = self.state();
        let dead = || Fault::new(FaultKind::Failed, "the manager is dead");
        if state.is_manager_dead {
            return Err(dead());
        }
        state.changes += 1;
        let number = state.changes;
        let mut troubles = state.troubles.iter();
        let trouble = troubles.find(|(when, _)| *when == When::Change(number));
        let trouble = trouble.map(|(_, trouble)| *trouble);
        let mut ledger = state.ledger.clone();
        change(&mut ledger);
        let kept = if ledger == state.ledger {
            ledger
        } else {
            reread(&ledger)?
        };
        match trouble {
            None => state.ledger = kept,
            Some(Trouble::FailBefore(kind)) => return Err(made_up(kind, "the journal")),
            Some(Trouble::FailAfter(kind)) => {
                state.ledger = kept;
                return Err(made_up(kind, "the journal"));
            }
            Some(Trouble::ManagerDiesAfter) => {
                state.ledger = kept;
                state.is_manager_dead = true;
                return Err(dead());
            }
            Some(Trouble::MachineDiesBefore | Trouble::MachineDiesAfter) => {
                state.ledger = kept;
                state.kill_machine();
            }
            Some(Trouble::GuestFallsSilent) => {
                state.ledger = kept;
                state.is_guest_silent = true;
            }
            Some(Trouble::ManagerDiesBefore) => {
                state.is_manager_dead = true;
                return Err(dead());
            }
        }
        Ok(())
    }
}

/// A ledger as it comes back from its document: no change leads to one that would be refused.
fn reread(ledger: &Ledger) -> Result<Ledger, Fault> {
    let damaged = |error| Fault::new(FaultKind::Failed, "the ledger is damaged").because(error);
    let document = ledger.to_json().map_err(damaged)?;
    let kept = Ledger::from_json(&document).map_err(damaged)?;
    if kept != *ledger {
        return refused(FaultKind::Failed, "the ledger is read as another");
    }
    Ok(kept)
}

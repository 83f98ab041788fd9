//! The ledger of one machine: everything that is or may be attached to it, and who needs it.
//!
//! ```text
//!   Attachment (an order: who, since when) ── Mount (a target) ──┐ holds
//!   Entry (one thing that was or may be done, see [`Action`]) <──┘ one or many
//! ```
//!
//! A disk, share or directory that several mounts need is one entry with several holders; the last to
//! let go has it undone. An entry is in the ledger before it is done and until it is undone, so that
//! whoever comes after a manager that was killed finds all that there may be. Nothing here calls a host,
//! a machine or a guest, and nothing here waits: [`carry_out`](crate::carry_out) asks for the next thing
//! to do, does it with no lock held, and writes down what came of it.
//!
//! Mounts:
//!
//! ```text
//!   state     trigger                                  becomes
//!   (none)    begin                                    Coming
//!   Coming    arrive: all its entries are done         There
//!   Coming    leave: a step failed, its manager died   Leaving
//!   There     leave: it is detached                    Leaving
//!   Leaving   leave again                              Leaving
//!   Leaving   its last entry is undone or let go of    (none)
//! ```
//!
//! Entries:
//!
//! ```text
//!   state     trigger                                  becomes
//!   (none)    begin                                    Planned
//!   Planned   start                                    Doing
//!   Planned   all its holders leave                    (none)
//!   Doing     finish                                   Done
//!   Doing     start_undo, all its holders leave        Undoing
//!   Done      start_undo, all its holders leave        Undoing
//!   Undoing   start_undo again                         Undoing
//!   Undoing   undo_failed                              Undoing, with what went wrong
//!   Undoing   undone                                   (none)
//! ```
//!
//! Anything else is refused and changes nothing. An entry can be undone when all its holders leave, none
//! of them holds anything built on it, and no mount lies in it. A holder that leaves lets go of an entry
//! as soon as it holds nothing built on it, unless it is the last: the last one stays until the entry is
//! undone, so that the undoing can be tried again as often as wanted.

mod change;
mod check;
mod document;
mod undo;

use std::collections::BTreeSet;
use std::fmt;

use crate::guest::Platform;
use crate::path::Target;
use crate::plan::{Action, Layer};
use crate::slots::{PlacedDisk, Slots};

pub use change::{NewMount, TransitionError};
pub use document::{LedgerError, fuzz_document};
pub use undo::NextUndo;

/// An attachment, by a number that its machine never gives again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttachmentId(pub(crate) u64);

/// A mount, by a number that its machine never gives again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountId(pub(crate) u64);

/// An entry, by a number that its machine never gives again; later ones have higher numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub(crate) u64);

/// Who is at work: a word by which others can tell whether he still lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Worker(pub String);

/// An order that was given: several mounts at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its number.
    pub id: AttachmentId,
    /// Who asked for it, in words.
    pub owner: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// Who is attaching it, as long as it is being attached.
    pub worker: Option<Worker>,
    /// Its mounts, in the order in which they were asked for.
    pub mounts: Vec<Mount>,
}

/// One mount of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its number.
    pub id: MountId,
    /// What is mounted, in words.
    pub source: String,
    /// What whoever asked knows it by; not looked into.
    pub reference: Option<String>,
    /// Where it appears.
    pub target: Target,
    /// Whether nothing can be changed through it.
    pub read_only: bool,
    /// Whether it is there.
    pub state: MountState,
}

/// Whether a mount is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MountState {
    /// It is being attached.
    Coming,
    /// It is attached.
    There,
    /// It is being detached, or that was tried and has to be tried again.
    Leaving,
}

/// One thing that was or may be done for some mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    id: EntryId,
    action: Action,
    state: EntryState,
    holders: BTreeSet<MountId>,
    /// How many directories were missing before; for `MakeDirectory` from `Doing` on.
    missing: Option<u32>,
    /// Who undoes it just now.
    worker: Option<Worker>,
    /// What went wrong when it was last tried to undo it.
    fault: Option<String>,
}

/// How far an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryState {
    /// It will be done.
    Planned,
    /// It may have been done.
    Doing,
    /// It was done.
    Done,
    /// It may have been undone.
    Undoing,
}

/// The ledger of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    platform: Platform,
    /// The next number for an attachment, mount or entry.
    next: u64,
    /// Counts changes, so that a plan is never begun on another state than it was made from.
    revision: u64,
    attachments: Vec<Attachment>,
    /// In the order of their numbers.
    entries: Vec<Entry>,
}

impl Ledger {
    /// The ledger of a machine that has nothing attached.
    pub fn new(platform: Platform) -> Self {
        Self {
            platform,
            next: 1,
            revision: 0,
            attachments: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// For which machine.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// What was ordered and is not wholly gone.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// One of them.
    pub fn attachment(&self, id: AttachmentId) -> Option<&Attachment> {
        self.attachments
            .iter()
            .find(|attachment| attachment.id == id)
    }

    /// The number that the next attachment will have, if nothing changes before.
    pub fn next_attachment(&self) -> AttachmentId {
        AttachmentId(self.next)
    }

    /// All that is or may be there, in the order in which it was planned.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One of them.
    pub fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// All mounts, each with its attachment.
    pub fn mounts(&self) -> impl Iterator<Item = (&Attachment, &Mount)> {
        let attachments = self.attachments.iter();
        attachments.flat_map(|attachment| attachment.mounts.iter().map(move |m| (attachment, m)))
    }

    /// One of them.
    pub fn mount(&self, id: MountId) -> Option<(&Attachment, &Mount)> {
        self.mounts().find(|(_, mount)| mount.id == id)
    }

    /// The mount at a target.
    pub fn mount_at(&self, target: &Target) -> Option<(&Attachment, &Mount)> {
        self.mounts()
            .find(|(_, mount)| mount.target.is_same_place(target))
    }

    /// Whether nothing is attached and nothing may be.
    pub fn is_empty(&self) -> bool {
        self.attachments.is_empty() && self.entries.is_empty()
    }

    /// Counts changes: the same number is the same content.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// All who are at work on it, or were when they died.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        let attaching = self.attachments.iter().filter_map(|a| a.worker.as_ref());
        attaching.chain(
            self.entries
                .iter()
                .filter_map(|entry| entry.worker.as_ref()),
        )
    }

    /// The places of disks that are taken.
    pub fn slots(&self) -> Slots {
        let mut slots = Slots::new(self.platform.slot_layout());
        for entry in &self.entries {
            if let Action::AddDisk {
                slot,
                path,
                serial,
                read_only,
            } = &entry.action
            {
                let disk = PlacedDisk {
                    key: path.key(),
                    serial: serial.clone(),
                    read_only: *read_only,
                    is_settled: entry.state == EntryState::Done,
                };
                // Two at one place are refused when a ledger is read, and never planned.
                let _ = slots.occupy(*slot, disk);
            }
        }
        slots
    }

    /// Whether somebody holds it who does not leave.
    pub(crate) fn is_held_to_stay(&self, entry: &Entry) -> bool {
        entry.holders.iter().any(|holder| !self.is_leaving(*holder))
    }

    fn is_leaving(&self, mount: MountId) -> bool {
        self.mount(mount)
            .is_none_or(|(_, mount)| mount.state == MountState::Leaving)
    }

    /// One of those who need an entry, for a message.
    pub(crate) fn first_holder(&self, entry: &Entry) -> AttachmentId {
        let holder = entry.holders.first().and_then(|holder| self.mount(*holder));
        holder.map_or(AttachmentId(0), |(attachment, _)| attachment.id)
    }

    /// A number that no other mount of the machine has or had, for the request at this place of a list.
    pub(crate) fn number_of(&self, request: usize) -> u64 {
        self.next
            .saturating_add(u64::try_from(request).unwrap_or(u64::MAX))
    }
}

impl Entry {
    /// Its number.
    pub fn id(&self) -> EntryId {
        self.id
    }

    /// What was or may be done.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// How far it is.
    pub fn state(&self) -> EntryState {
        self.state
    }

    /// The mounts that need it.
    pub fn holders(&self) -> impl Iterator<Item = MountId> {
        self.holders.iter().copied()
    }

    /// How many directories were missing before one was made.
    pub fn missing_directories(&self) -> Option<u32> {
        self.missing
    }

    /// What went wrong when it was last tried to undo it.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// What undoes it, in order.
    pub fn undo(&self, platform: Platform) -> Vec<Action> {
        self.action.undo(platform)
    }

    fn layer(&self) -> Option<Layer> {
        self.action.layer()
    }
}

impl Attachment {
    /// Whether all its mounts are there.
    pub fn is_there(&self) -> bool {
        self.mounts
            .iter()
            .all(|mount| mount.state == MountState::There)
    }
}

impl AttachmentId {
    /// The attachment of this number, as somebody typed it.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AttachmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl MountState {
    /// Its name, as documents have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coming => "coming",
            Self::There => "there",
            Self::Leaving => "leaving",
        }
    }
}

impl EntryState {
    /// Its name, as documents have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Doing => "doing",
            Self::Done => "done",
            Self::Undoing => "undoing",
        }
    }
}

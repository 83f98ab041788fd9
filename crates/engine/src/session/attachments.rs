//! What is attached where, for people and programs.

use attach::carry_out::OwnedMount;
use attach::ledger::{Ledger, MountState};
use attach::{Action, GuestWork, Slot};
use volume::Timestamp;

use super::claims;
use super::presence::Presence;
use crate::Engine;
use crate::error::Result;
use crate::exports::{self, Exports};
use crate::machine::{GuestChannel, Machine, MachineEndpoints};

/// An attachment of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The machine.
    pub machine: String,
    /// Its number, which the machine never gives again.
    pub id: u64,
    /// Who asked for it.
    pub owner: String,
    /// Since when.
    pub since: Timestamp,
    /// Its mounts.
    pub mounts: Vec<AttachedMount>,
    /// What there is to do in the guest for whoever runs the machine; `None` where an agent does it.
    pub guest_work: Option<GuestWork>,
}

/// A mount of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedMount {
    /// What is mounted, in words.
    pub source: String,
    /// The name of the volume, where it is one.
    pub volume: Option<String>,
    /// Where it appears in the guest.
    pub target: String,
    /// Whether nothing can be changed through it.
    pub read_only: bool,
    /// Whether it is there.
    pub state: MountProgress,
    /// The place of its disk, `CONTROLLER:UNIT`.
    pub slot: Option<String>,
    /// Whether its disk is served; `None` for what is not served as a disk.
    pub is_served: Option<bool>,
    /// What could not be undone when that was last tried.
    pub fault: Option<String>,
}

/// Whether a mount is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MountProgress {
    /// It is being attached, or whoever did that has died.
    Coming,
    /// It is attached.
    There,
    /// It is being detached, or that has to be tried again.
    Leaving,
    /// It was attached, and the machine has it no more: it was started again, or is gone.
    Lost,
}

impl MountProgress {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coming => "attaching",
            Self::There => "attached",
            Self::Leaving => "detaching",
            Self::Lost => "lost",
        }
    }
}

impl From<MountState> for MountProgress {
    fn from(state: MountState) -> Self {
        match state {
            MountState::Coming => Self::Coming,
            MountState::There => Self::There,
            MountState::Leaving => Self::Leaving,
        }
    }
}

/// What an attachment leaves to do in a guest that nobody here talks to.
fn guest_work(
    machine: &Machine,
    ledger: &Ledger,
    attachment: &attach::ledger::Attachment,
) -> Option<GuestWork> {
    let MachineEndpoints::Hcs {
        guest: GuestChannel::None,
        ..
    } = machine.known.endpoints
    else {
        return None;
    };
    let actions = ledger.entries().iter().filter_map(|entry| {
        let mut mounts = attachment.mounts.iter();
        let number = mounts.position(|mount| entry.holders().any(|holder| holder == mount.id))?;
        Some((number + 1, entry.action()))
    });
    Some(attach::guest_work(machine.known.platform.guest, actions))
}

impl Engine {
    /// What is attached to one machine or to all, by machine and number. What should be served and is
    /// not is served again, and the machine is asked what it still has, unless somebody is at work on it.
    ///
    /// # Errors
    /// `NotFound` (the machine), `Damaged` (what is kept of it), `Io`.
    pub fn attachments(&self, machine: Option<&str>) -> Result<Vec<Attachment>> {
        let names = match machine {
            Some(name) => vec![self.machine(name)?.known.name],
            None => self.machines()?.into_iter().map(|it| it.name).collect(),
        };
        let mut all = Vec::new();
        for name in names {
            let machine = self.machine(&name)?;
            self.revive_exports(&machine)?;
            let ledger = machine.ledger()?;
            // Whoever is at work on it has its sides for himself.
            let presence = match machine.try_lock("looking at what it has")? {
                Some(_lock) => self.presence(&machine, &ledger),
                None => Presence::default(),
            };
            all.extend(self.attachments_of(&machine, &ledger, &presence)?);
        }
        Ok(all)
    }

    /// Serves again what died, for a machine that nobody works on.
    pub(crate) fn revive_exports(&self, machine: &Machine) -> Result<()> {
        let exports = Exports::new(self, machine, &self.config().program()?);
        let is_dead =
            |wanted: &exports::Wanted| matches!(exports.is_alive(&wanted.serial), Ok(false));
        if !exports::wanted(&machine.ledger()?).any(|wanted| is_dead(&wanted)) {
            return Ok(());
        }
        let Some(_lock) = machine.try_lock("serving disks again")? else {
            return Ok(());
        };
        // Read again: with the lock it stays so.
        let ledger = machine.ledger()?;
        self.settle_claims(machine, &ledger)?;
        for wanted in exports::wanted(&ledger).filter(is_dead) {
            // What cannot be served is told as not served.
            let _ = exports.start(&wanted);
        }
        Ok(())
    }

    pub(super) fn attachments_of(
        &self,
        machine: &Machine,
        ledger: &Ledger,
        presence: &Presence,
    ) -> Result<Vec<Attachment>> {
        let exports = Exports::new(self, machine, &self.config().program()?);
        let mut attachments = Vec::new();
        for attachment in ledger.attachments() {
            let mut mounts = Vec::with_capacity(attachment.mounts.len());
            for mount in &attachment.mounts {
                let owned: OwnedMount = (attachment.id, mount.clone());
                mounts.push(self.attached_mount(ledger, &owned, &exports, presence)?);
            }
            attachments.push(Attachment {
                machine: machine.known.name.clone(),
                id: attachment.id.number(),
                owner: attachment.owner.clone(),
                since: Timestamp::from_unix_seconds(
                    i64::try_from(attachment.since).unwrap_or(i64::MAX),
                ),
                mounts,
                guest_work: guest_work(machine, ledger, attachment),
            });
        }
        Ok(attachments)
    }

    fn attached_mount(
        &self,
        ledger: &Ledger,
        (_, mount): &OwnedMount,
        exports: &Exports,
        presence: &Presence,
    ) -> Result<AttachedMount> {
        let held = || {
            let entries = ledger.entries().iter();
            entries.filter(|entry| entry.holders().any(|holder| holder == mount.id))
        };
        let slot = held().find_map(|entry| match entry.action() {
            Action::AddDisk { slot, .. } => Some(slot),
            _ => None,
        });
        let serial = held().find_map(|entry| match entry.action() {
            Action::ServeDisk { serial, .. } => Some(serial),
            _ => None,
        });
        let volume = match claims::volume_of(mount.reference.as_deref()) {
            Some(id) => self.store()?.volume_by_id(id)?,
            None => None,
        };
        Ok(AttachedMount {
            source: mount.source.clone(),
            volume: volume.map(|volume| volume.name.to_string()),
            target: mount.target.to_string(),
            read_only: mount.read_only,
            state: match presence.has_lost(mount, slot.copied()) {
                true => MountProgress::Lost,
                false => mount.state.into(),
            },
            slot: slot.map(|slot: &Slot| slot.to_string()),
            is_served: serial.map(|serial| exports.is_alive(serial).unwrap_or(false)),
            fault: held().find_map(|entry| entry.fault()).map(str::to_owned),
        })
    }
}

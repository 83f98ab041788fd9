//! What a machine still has of what its ledger says: one that was started again by somebody has nothing of
//! it.

use std::collections::BTreeSet;
use std::time::Duration;

use attach::ledger::{Ledger, Mount, MountState};
use attach::{Action, FaultKind, Slot};

use crate::Engine;
use crate::machine::Machine;

/// How long a side of the machine may take to answer whoever only looks.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// What a machine has, as far as it tells.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// Whether it is no more.
    is_gone: bool,
    /// Places at which its disks are not.
    missing_disks: BTreeSet<Slot>,
    /// The targets at which its guest has something mounted, where that is known.
    mounted: Option<BTreeSet<String>>,
}

impl Presence {
    /// Whether a mount that was attached is there no more.
    pub(super) fn has_lost(&self, mount: &Mount, slot: Option<Slot>) -> bool {
        if mount.state != MountState::There {
            return false;
        }
        let is_unmounted = || {
            let target = mount.target.to_string();
            self.mounted
                .as_ref()
                .is_some_and(|known| !known.contains(&target))
        };
        let is_missing = || slot.is_some_and(|slot| self.missing_disks.contains(&slot));
        self.is_gone || is_missing() || is_unmounted()
    }
}

impl Engine {
    /// Asks a machine what it has. Whoever cannot be asked, or does not answer, is taken at the word of the
    /// ledger.
    pub(super) fn presence(&self, machine: &Machine, ledger: &Ledger) -> Presence {
        let mut presence = Presence::default();
        if !ledger
            .mounts()
            .any(|(_, mount)| mount.state == MountState::There)
        {
            return presence;
        }
        let Ok(sides) = self.sides_within(machine, LOOK_PATIENCE) else {
            return presence;
        };
        let mut places: BTreeSet<(Slot, &str)> = BTreeSet::new();
        for entry in ledger.entries() {
            if let Action::AddDisk { slot, serial, .. } = entry.action() {
                places.insert((*slot, serial));
            }
        }
        for (slot, serial) in places {
            match sides.machine.has_disk(slot, serial) {
                Ok(Some(false)) => {
                    presence.missing_disks.insert(slot);
                }
                Ok(_) => {}
                Err(fault) => {
                    presence.is_gone = fault.kind() == FaultKind::Gone;
                    // One that does not answer is not asked again.
                    return presence;
                }
            }
        }
        if let Some(agent) = &sides.greeted {
            match agent.hello(LOOK_PATIENCE).and_then(|_| agent.mounts()) {
                Ok(mounts) => {
                    presence.mounted = Some(mounts.into_iter().map(|it| it.target).collect());
                }
                Err(fault) => presence.is_gone = fault.kind() == FaultKind::Gone,
            }
        }
        presence
    }
}

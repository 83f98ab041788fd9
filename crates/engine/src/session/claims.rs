//! Which claims a machine needs, by its ledger, and that it has these and no others.

use attach::ledger::{AttachmentId, Ledger};
use volume::{Claim, ClaimMode, ClaimRequest, Claimant, VolumeId, parse_id};

use crate::Engine;
use crate::error::Result;
use crate::host_mounts::is_of_host;
use crate::machine::Machine;

/// What the reference of a mount begins with that is one of a volume.
const REFERENCE: &str = "volume:";

/// What the ledger keeps of the volume behind a mount.
pub(super) fn reference(volume: VolumeId) -> String {
    format!("{REFERENCE}{volume}")
}

/// The volume behind a mount.
pub(super) fn volume_of(reference: Option<&str>) -> Option<VolumeId> {
    parse_id(reference?.strip_prefix(REFERENCE)?)
}

/// Who claims volumes for an attachment.
pub(super) fn claimant(machine: &Machine, attachment: AttachmentId) -> Claimant {
    let name = &machine.known.name;
    Claimant {
        attachment: format!("{name}/{attachment}"),
        holder: name.clone(),
        owner: format!("machine {name}"),
    }
}

/// One request for each volume, for writing where any of its mounts writes. Where others only read, the
/// plan says what is wrong with that.
pub(super) fn once_each(requests: impl Iterator<Item = ClaimRequest>) -> Vec<ClaimRequest> {
    let mut once: Vec<ClaimRequest> = Vec::new();
    for request in requests {
        let same = |other: &&mut ClaimRequest| other.volume.key() == request.volume.key();
        match once.iter_mut().find(same) {
            Some(other) if request.mode == ClaimMode::Writer => other.mode = ClaimMode::Writer,
            Some(_) => {}
            None => once.push(request),
        }
    }
    once
}

/// The claims that the mounts of a machine need.
fn needed(machine: &Machine, ledger: &Ledger) -> Vec<Claim> {
    let mounts = ledger.mounts();
    let claims = mounts.filter_map(|(attachment, mount)| {
        Some(Claim {
            volume: volume_of(mount.reference.as_deref())?,
            claimant: claimant(machine, attachment.id),
            mode: if mount.read_only {
                ClaimMode::Reader
            } else {
                ClaimMode::Writer
            },
            since_unix_ms: attachment.since.saturating_mul(1000),
        })
    });
    claims.collect()
}

fn is_same(one: &Claim, other: &Claim) -> bool {
    one.volume == other.volume && one.claimant.attachment == other.claimant.attachment
}

impl Engine {
    /// Releases what the machine does not need any more, and writes down again what it needs and was
    /// lost. For whoever has the lock of the machine.
    pub(super) fn settle_claims(&self, machine: &Machine, ledger: &Ledger) -> Result<()> {
        let store = self.store()?;
        let needed = needed(machine, ledger);
        let held = store.claims()?;
        let held: Vec<&Claim> = held
            .iter()
            .filter(|claim| claim.claimant.holder == machine.known.name)
            .collect();
        for claim in &held {
            if !needed.iter().any(|other| is_same(claim, other)) {
                store.release_claims(&claim.claimant.attachment, Some(claim.volume))?;
            }
        }
        for claim in &needed {
            if !held.iter().any(|other| is_same(claim, other)) {
                // Where somebody else has it by now, the machine is not served it any more.
                store.restore_claim(claim)?;
            }
        }
        Ok(())
    }

    /// Writes down again the claims of all machines, for a store whose database was lost.
    pub(crate) fn restore_claims(&self) -> Result<()> {
        for name in self.machine_names()? {
            let Ok(machine) = self.machine(&name) else {
                continue;
            };
            // One that cannot be read is told by `doctor`.
            let Ok(ledger) = machine.ledger() else {
                continue;
            };
            for claim in needed(&machine, &ledger) {
                self.store()?.restore_claim(&claim)?;
            }
        }
        Ok(())
    }

    /// The claims that no ledger needs.
    pub(super) fn stray_claims(&self) -> Result<Vec<Claim>> {
        let mut stray = self.store()?.claims()?;
        // Those of this host are looked at by themselves.
        stray.retain(|claim| !is_of_host(claim));
        for name in self.machine_names()? {
            let Ok(machine) = self.machine(&name) else {
                continue;
            };
            match machine.ledger() {
                Ok(ledger) => {
                    let needed = needed(&machine, &ledger);
                    stray.retain(|claim| !needed.iter().any(|other| is_same(claim, other)));
                }
                // Nobody knows what it needs.
                Err(_) => stray.retain(|claim| claim.claimant.holder != machine.known.name),
            }
        }
        Ok(stray)
    }
}

//! Claiming volumes for longer than a command lives, releasing them, and being refused for claims.

use blockio::FileStorage;
use uuid::Uuid;
use vdisk::Access;

use super::create::unix_milliseconds;
use crate::claim::{Claim, ClaimMode, ClaimRequest, Claimant};
use crate::error::{Result, VolumeError};
use crate::faults;
use crate::record::VolumeRecord;
use crate::state::VolumeState;
use crate::store::Store;
use crate::store::database::Transaction;

/// Who opens a volume, where claims on it are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Opener<'o> {
    /// A command: claims of others are in its way.
    Command,
    /// What serves the volume to this machine.
    Machine(&'o str),
}

impl Store {
    /// Claims volumes for an attachment, all of them or none. When this returns the claims are durable
    /// and nobody is in the middle of changing one of the volumes. What the attachment has claimed
    /// already stays so.
    ///
    /// # Errors
    /// `NotFound`, `InUse` (somebody has claimed one or uses it; says who), `InvalidArgument`, `Io`.
    pub fn claim(&self, claimant: &Claimant, wanted: &[ClaimRequest]) -> Result<Vec<Claim>> {
        if !claimant.is_fit() {
            return Err(VolumeError::Request(
                "a claim needs names of 1 to 256 bytes",
            ));
        }
        let mut held = Vec::with_capacity(wanted.len());
        for request in wanted {
            held.push(self.lock_to_claim(claimant, request)?);
        }
        faults::step("claiming the volumes")?;
        self.database().write("claiming volumes", |transaction| {
            let mut claims = Vec::with_capacity(held.len());
            for (record, request, _lock) in &held {
                claims.push(claim_one(transaction, claimant, record, request.mode)?);
            }
            Ok(claims)
        })
    }

    /// The volume, with the lock of its image unless the attachment has claimed it already, when it
    /// may well be served.
    fn lock_to_claim<'r>(
        &self,
        claimant: &Claimant,
        request: &'r ClaimRequest,
    ) -> Result<(VolumeRecord, &'r ClaimRequest, Option<FileStorage>)> {
        let record = self.ready(&request.volume)?;
        if record.spec.disk().is_none() {
            // What lies elsewhere, or is made anew for each machine, may have many writers.
            return Ok((record, request, None));
        }
        let claims = self.database().claims_on(record.id)?;
        if let Some(other) = claims.iter().find(|it| it.forbids(claimant, request.mode)) {
            return Err(claimed(&record, other));
        }
        // The machine has it already, and so has whoever serves it to the machine.
        let is_held =
            |claim: &Claim| claim.mode == request.mode && claim.claimant.holder == claimant.holder;
        if claims.iter().any(is_held) {
            return Ok((record, request, None));
        }
        let access = match request.mode {
            ClaimMode::Reader => Access::ReadOnly,
            ClaimMode::Writer => Access::ReadWrite,
        };
        let (record, lock) = self.lock_head_for(&request.volume, access, Opener::Command)?;
        Ok((record, request, Some(lock)))
    }

    /// Writes a claim down that an attachment is known to have, whatever else stands there: for claims
    /// that were lost with the database. `false` where the volume is gone, or claimed in a way that
    /// forbids it.
    ///
    /// # Errors
    /// `Damaged`, `InUse` (the database), `Io`.
    pub fn restore_claim(&self, claim: &Claim) -> Result<bool> {
        self.database().write("restoring a claim", |transaction| {
            let volume = transaction.volume(claim.volume)?;
            let others = transaction.claims_on(claim.volume)?;
            let is_disk = |record: &VolumeRecord| record.spec.disk().is_some();
            let is_disk = volume.as_ref().is_some_and(is_disk);
            let forbids = |other: &Claim| is_disk && other.forbids(&claim.claimant, claim.mode);
            if volume.is_none() || others.iter().any(forbids) {
                return Ok(false);
            }
            transaction.insert_claim(claim)?;
            Ok(true)
        })
    }

    /// Releases the claims of an attachment: all, or that on one volume. May be called again. How many
    /// there were.
    ///
    /// # Errors
    /// `Damaged`, `InUse` (the database), `Io`.
    pub fn release_claims(&self, attachment: &str, volume: Option<Uuid>) -> Result<usize> {
        faults::step("releasing the claims")?;
        self.database().write("releasing claims", |transaction| {
            transaction.delete_claims(attachment, volume)
        })
    }

    /// All claims, the oldest first.
    ///
    /// # Errors
    /// `Damaged`, `InUse` (the database), `Io`.
    pub fn claims(&self) -> Result<Vec<Claim>> {
        self.database().claims()
    }

    /// The claims on a volume, the oldest first.
    ///
    /// # Errors
    /// As for [`Store::claims`].
    pub fn claims_on(&self, volume: Uuid) -> Result<Vec<Claim>> {
        self.database().claims_on(volume)
    }

    /// The record of a volume by its id; `None` where there is none.
    ///
    /// # Errors
    /// `Damaged`, `InUse` (the database), `Io`.
    pub fn volume_by_id(&self, id: Uuid) -> Result<Option<VolumeRecord>> {
        self.database().volume(id)
    }

    /// Refuses whoever wants to use a volume that others have claimed. Asked with the lock of the image
    /// held, the answer stays true as long as that is.
    pub(super) fn check_claims(
        &self,
        record: &VolumeRecord,
        access: Access,
        opener: Opener<'_>,
    ) -> Result<()> {
        let claims = self.database().claims_on(record.id)?;
        if let Opener::Machine(machine) = opener {
            // A claim is what lets the machine in: without one, all was torn down.
            let own = claims.iter().find(|claim| claim.claimant.holder == machine);
            let writes = own.is_some_and(|own| own.mode == ClaimMode::Writer);
            if own.is_none() || (access == Access::ReadWrite && !writes) {
                return Err(VolumeError::NotClaimed {
                    name: record.name.as_str().to_owned(),
                });
            }
            return Ok(());
        }
        let in_the_way = claims.iter().find(|claim| {
            // Readers do not mind readers.
            access == Access::ReadWrite || claim.mode == ClaimMode::Writer
        });
        match in_the_way {
            Some(claim) => Err(claimed(record, claim)),
            None => Ok(()),
        }
    }
}

/// Refuses to change what a volume is made of while anybody has claimed it; within the transaction that
/// begins the change.
pub(super) fn refuse_claims(transaction: &Transaction<'_>, record: &VolumeRecord) -> Result<()> {
    match transaction.claims_on(record.id)?.first() {
        Some(claim) => Err(claimed(record, claim)),
        None => Ok(()),
    }
}

fn claim_one(
    transaction: &Transaction<'_>,
    claimant: &Claimant,
    record: &VolumeRecord,
    mode: ClaimMode,
) -> Result<Claim> {
    // Read again: another process may have been faster.
    let current = transaction.volume(record.id)?;
    if current.is_none_or(|current| current.state != VolumeState::Ready) {
        return Err(VolumeError::NotFound {
            name: record.name.as_str().to_owned(),
        });
    }
    let others = transaction.claims_on(record.id)?;
    let is_disk = record.spec.disk().is_some();
    let forbids = |other: &&Claim| is_disk && other.forbids(claimant, mode);
    if let Some(other) = others.iter().find(forbids) {
        return Err(claimed(record, other));
    }
    // A merge that goes on while nobody serves the volume holds locks of layers, not that of the head.
    if transaction.has_unfinished_layer(record.id)? {
        return Err(VolumeError::Overtaken {
            name: record.name.as_str().to_owned(),
        });
    }
    let own = |claim: &&Claim| claim.claimant.attachment == claimant.attachment;
    if let Some(own) = others.iter().find(own) {
        return Ok(own.clone());
    }
    let claim = Claim {
        volume: record.id,
        claimant: claimant.clone(),
        mode,
        since_unix_ms: unix_milliseconds(),
    };
    transaction.insert_claim(&claim)?;
    Ok(claim)
}

fn claimed(record: &VolumeRecord, claim: &Claim) -> VolumeError {
    VolumeError::Claimed {
        name: record.name.as_str().to_owned(),
        claim: Box::new(claim.clone()),
    }
}

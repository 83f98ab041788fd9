//! Takes attachments away, and recovers from who died over one.

use std::collections::BTreeSet;

use crate::ledger::{AttachmentId, Ledger, MountId, MountState, TransitionError};
use crate::path::Target;
use crate::sides::Fault;

use super::{Operator, OwnedMount, StepFault};

/// What is to be detached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All that the machine has.
    All,
    /// One attachment.
    Attachment(AttachmentId),
    /// The mount at a target.
    Target(Target),
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Detached {
    /// The mounts of which nothing is left.
    pub gone: Vec<OwnedMount>,
    /// Those of which something is left. They stay in the ledger, and it can be tried again.
    pub left: Vec<OwnedMount>,
    /// What could not be undone.
    pub faults: Vec<StepFault>,
    /// What the guest did not do, and was passed over by force.
    pub forced: Vec<StepFault>,
    /// Attachments that somebody is at work on, and that were left alone.
    pub at_work: Vec<AttachmentId>,
}

/// Why nothing was detached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DetachError {
    /// There is no such attachment.
    #[error("there is no attachment {0}")]
    NoAttachment(AttachmentId),
    /// There is nothing at the target.
    #[error("nothing is attached at {0}")]
    NoTarget(Target),
    /// It is being attached, or another mount lies in it.
    #[error(transparent)]
    Refused(#[from] TransitionError),
    /// The ledger could not be kept. It can be tried again.
    #[error("the ledger of the machine cannot be kept")]
    Journal(#[source] Fault),
}

impl Operator<'_> {
    /// Detaches what is selected: unmounts, and takes away what no other mount needs. Where something
    /// cannot be undone, the rest is all the same. `force`: a guest that does not do its part is passed
    /// over, and what it had not written yet is lost.
    ///
    /// # Errors
    /// [`DetachError`]; what failed on the way is told in [`Detached`].
    pub fn detach(&self, what: &Selection, force: bool) -> Result<Detached, DetachError> {
        let mut at_work = Vec::new();
        let selected = self
            .change(|ledger| {
                let selected = self.select(ledger, what, &mut at_work)?;
                let ids = ids(&selected);
                ledger.leave(&ids)?;
                Ok::<_, DetachError>(selected)
            })
            .map_err(DetachError::Journal)??;
        let mut detached = self
            .take_away(selected, force)
            .map_err(DetachError::Journal)?;
        detached.at_work = at_work;
        Ok(detached)
    }

    /// Undoes what dead workers left half done, and tries again what could not be undone before. For
    /// the start of every command.
    ///
    /// # Errors
    /// The ledger could not be kept.
    pub fn recover(&self) -> Result<Detached, Fault> {
        let selected = self.change(|ledger| {
            let before: Vec<OwnedMount> = owned(ledger, |_| true);
            ledger.bury(&|worker| self.lives(worker));
            // What was never begun is gone at once, and told as gone all the same.
            let staying = ids(&owned(ledger, |state| state != MountState::Leaving));
            let leaves = |mount: &OwnedMount| !staying.contains(&mount.1.id);
            before.into_iter().filter(leaves).collect()
        })?;
        self.take_away(selected, false)
    }

    fn take_away(&self, selected: Vec<OwnedMount>, force: bool) -> Result<Detached, Fault> {
        let swept = self.sweep(&ids(&selected), force)?;
        let (left, gone) = self.change(|ledger| {
            let is_left = |mount: &OwnedMount| ledger.mount(mount.1.id).is_some();
            let selected = selected.iter().cloned();
            selected.partition::<Vec<_>, _>(is_left)
        })?;
        Ok(Detached {
            gone,
            left,
            faults: swept.faults,
            forced: swept.forced,
            at_work: Vec::new(),
        })
    }

    fn select(
        &self,
        ledger: &Ledger,
        what: &Selection,
        at_work: &mut Vec<AttachmentId>,
    ) -> Result<Vec<OwnedMount>, DetachError> {
        let all = owned(ledger, |_| true);
        match what {
            Selection::All => {
                let busy: Vec<AttachmentId> = ledger
                    .attachments()
                    .iter()
                    .filter(|attachment| attachment.worker.is_some())
                    .map(|attachment| attachment.id)
                    .collect();
                let is_free = |mount: &OwnedMount| !busy.contains(&mount.0);
                let free = all.into_iter().filter(is_free).collect();
                *at_work = busy;
                Ok(free)
            }
            Selection::Attachment(id) => match ledger.attachment(*id) {
                Some(_) => Ok(all.into_iter().filter(|mount| mount.0 == *id).collect()),
                None => Err(DetachError::NoAttachment(*id)),
            },
            Selection::Target(target) => match ledger.mount_at(target) {
                Some((attachment, mount)) => Ok(vec![(attachment.id, mount.clone())]),
                None => Err(DetachError::NoTarget(target.clone())),
            },
        }
    }
}

fn owned(ledger: &Ledger, has_state: impl Fn(MountState) -> bool) -> Vec<OwnedMount> {
    let mounts = ledger.mounts();
    let chosen = mounts.filter(|(_, mount)| has_state(mount.state));
    chosen
        .map(|(attachment, mount)| (attachment.id, mount.clone()))
        .collect()
}

fn ids(mounts: &[OwnedMount]) -> BTreeSet<MountId> {
    mounts.iter().map(|(_, mount)| mount.id).collect()
}

//! How a ledger changes while something is attached, and what is refused.

use std::collections::BTreeSet;

use crate::path::HostPath;
use crate::plan::{Action, Plan};

use super::{
    Attachment, AttachmentId, Entry, EntryId, EntryState, Ledger, Mount, MountId, MountState,
    Worker,
};

/// What is written down of a mount beside its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMount {
    /// What is mounted, in words.
    pub source: String,
    /// What whoever asked knows it by; not looked into.
    pub reference: Option<String>,
}

/// A change that the state of the ledger does not allow. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransitionError {
    /// The ledger changed since the plan was made.
    #[error("what the machine has changed since the plan was made")]
    Outdated,
    /// A plan and what is to be written down of it do not belong together.
    #[error("the plan is for {planned} mounts, and {described} are described")]
    OtherMounts {
        /// Mounts of the plan.
        planned: usize,
        /// Mounts that are described.
        described: usize,
    },
    /// There is nothing to attach.
    #[error("there are no mounts to attach")]
    Nothing,
    /// There is no such attachment.
    #[error("there is no attachment {0}")]
    NoAttachment(AttachmentId),
    /// There is no such mount.
    #[error("there is no such mount")]
    NoMount,
    /// The entry is not there or not in a state for this.
    #[error("an entry that is {found} cannot {become}")]
    Entry {
        /// Its state, or `gone`.
        found: &'static str,
        /// What it should have become.
        r#become: &'static str,
    },
    /// Something of it is not done yet.
    #[error("attachment {0} is not wholly attached yet")]
    Unfinished(AttachmentId),
    /// Somebody is attaching it.
    #[error("attachment {attachment} is being attached by {worker}")]
    AtWork {
        /// Which.
        attachment: AttachmentId,
        /// By whom.
        worker: Worker,
    },
    /// A mount lies in the target.
    #[error("{inner}, a mount of attachment {by}, lies in {outer}: detach it first")]
    LiesIn {
        /// The mount that would go.
        outer: String,
        /// The mount that lies in it.
        inner: String,
        /// Whose it is.
        by: AttachmentId,
    },
}

impl Ledger {
    /// Takes a plan into the ledger: all its mounts are coming, all its steps planned.
    ///
    /// # Errors
    /// `Outdated`, `OtherMounts`, `Nothing`.
    pub fn begin(
        &mut self,
        plan: &Plan,
        owner: &str,
        since: u64,
        worker: &Worker,
        mounts: &[NewMount],
    ) -> Result<AttachmentId, TransitionError> {
        let platform_is_same = plan.platform == self.platform;
        let held = plan.held.iter();
        let all_there = held.clone().all(|held| {
            let entry = self.entry(held.entry);
            entry.is_some_and(|entry| entry.state == EntryState::Done)
        });
        if plan.revision != self.revision || !platform_is_same || !all_there {
            return Err(TransitionError::Outdated);
        }
        if plan.mounts.len() != mounts.len() {
            return Err(TransitionError::OtherMounts {
                planned: plan.mounts.len(),
                described: mounts.len(),
            });
        }
        if mounts.is_empty() {
            return Err(TransitionError::Nothing);
        }
        let id = AttachmentId(self.take_number());
        let mounts: Vec<Mount> = plan
            .mounts
            .iter()
            .zip(mounts)
            .map(|(planned, new)| Mount {
                id: MountId(self.take_number()),
                source: new.source.clone(),
                reference: new.reference.clone(),
                target: planned.target.clone(),
                read_only: planned.read_only,
                state: MountState::Coming,
            })
            .collect();
        let mount_of = |request: usize| mounts.get(request).map(|mount| mount.id);
        for held in &plan.held {
            let entry = self.entries.iter_mut().find(|entry| entry.id == held.entry);
            if let (Some(entry), Some(mount)) = (entry, mount_of(held.request)) {
                entry.holders.insert(mount);
            }
        }
        for step in &plan.steps {
            let requests = std::iter::once(step.request).chain(step.also_for.iter().copied());
            let holders = requests.filter_map(mount_of).collect();
            let entry = Entry {
                id: EntryId(self.take_number()),
                action: step.action.clone(),
                state: EntryState::Planned,
                holders,
                missing: None,
                worker: None,
                fault: None,
            };
            self.entries.push(entry);
        }
        self.attachments.push(Attachment {
            id,
            owner: owner.to_owned(),
            since,
            worker: Some(worker.clone()),
            mounts,
        });
        self.hold_made_directories();
        self.changed();
        Ok(id)
    }

    /// What has to be done next for an attachment that is coming.
    pub fn next_step(&self, attachment: AttachmentId) -> Option<&Entry> {
        let mounts = self.mount_ids(attachment);
        self.entries
            .iter()
            .find(|entry| entry.state == EntryState::Planned && !entry.holders.is_disjoint(&mounts))
    }

    /// It is about to be done. `missing`: how many directories are missing, for one that is made.
    ///
    /// # Errors
    /// `Entry`.
    pub fn start(&mut self, id: EntryId, missing: Option<u32>) -> Result<(), TransitionError> {
        let entry = self.in_state(id, &[EntryState::Planned], "be started")?;
        entry.state = EntryState::Doing;
        entry.missing = missing;
        self.hold_made_directories();
        self.changed();
        Ok(())
    }

    /// It was done.
    ///
    /// # Errors
    /// `Entry`.
    pub fn finish(&mut self, id: EntryId) -> Result<(), TransitionError> {
        let entry = self.in_state(id, &[EntryState::Doing], "be done")?;
        entry.state = EntryState::Done;
        self.changed();
        Ok(())
    }

    /// All was done: the mounts of the attachment are there.
    ///
    /// # Errors
    /// `NoAttachment`, `Unfinished`.
    pub fn arrive(&mut self, id: AttachmentId) -> Result<(), TransitionError> {
        let mounts = self.mount_ids(id);
        let mut held = self.entries.iter();
        let is_done =
            held.all(|entry| entry.state == EntryState::Done || entry.holders.is_disjoint(&mounts));
        let attachment = self.attachment_mut(id)?;
        let is_coming = |mount: &Mount| mount.state == MountState::Coming;
        if !is_done || !attachment.mounts.iter().all(is_coming) {
            return Err(TransitionError::Unfinished(id));
        }
        for mount in &mut attachment.mounts {
            mount.state = MountState::There;
        }
        attachment.worker = None;
        self.changed();
        Ok(())
    }

    /// Has mounts leave. What they alone need, and was never begun, is forgotten at once.
    ///
    /// # Errors
    /// `NoMount`; `AtWork` for mounts that are being attached; `LiesIn` where another mount lies in one
    /// of them and stays.
    pub fn leave(&mut self, leaving: &BTreeSet<MountId>) -> Result<(), TransitionError> {
        for id in leaving {
            let (attachment, mount) = self.mount(*id).ok_or(TransitionError::NoMount)?;
            if mount.state == MountState::Coming
                && let Some(worker) = &attachment.worker
            {
                return Err(TransitionError::AtWork {
                    attachment: attachment.id,
                    worker: worker.clone(),
                });
            }
            let stays =
                |mount: &Mount| mount.state != MountState::Leaving && !leaving.contains(&mount.id);
            let mut others = self.mounts().filter(|(_, other)| stays(other));
            if let Some((by, inner)) = others.find(|(_, other)| other.target.lies_in(&mount.target))
            {
                return Err(TransitionError::LiesIn {
                    outer: mount.target.to_string(),
                    inner: inner.target.to_string(),
                    by: by.id,
                });
            }
        }
        self.mark_leaving(leaving);
        Ok(())
    }

    /// The attachment failed, or whoever attached it died: all of it leaves.
    ///
    /// # Errors
    /// `NoAttachment`.
    pub fn give_up(&mut self, id: AttachmentId) -> Result<(), TransitionError> {
        self.attachment_mut(id)?.worker = None;
        let mounts = self.mount_ids(id);
        self.mark_leaving(&mounts);
        Ok(())
    }

    fn mark_leaving(&mut self, leaving: &BTreeSet<MountId>) {
        for mount in self.attachments.iter_mut().flat_map(|a| &mut a.mounts) {
            if leaving.contains(&mount.id) {
                mount.state = MountState::Leaving;
            }
        }
        self.settle();
        self.changed();
    }

    /// Has mounts hold the directories that were made for others and that they lie in, so that these
    /// are not removed under them.
    fn hold_made_directories(&mut self) {
        let made: Vec<(EntryId, HostPath)> = self
            .entries
            .iter()
            .filter_map(|entry| match (&entry.action, entry.missing) {
                (Action::MakeDirectory(path), Some(missing)) if missing > 0 => {
                    Some((entry.id, path.above(missing - 1)))
                }
                _ => None,
            })
            .collect();
        for (id, top) in made {
            let users: Vec<MountId> = self
                .entries
                .iter()
                .filter(|entry| match &entry.action {
                    Action::AddShare(share) => {
                        share.path.lies_in(&top) || share.path.key() == top.key()
                    }
                    _ => false,
                })
                .flat_map(|entry| entry.holders.iter().copied())
                .filter(|holder| !self.is_leaving(*holder))
                .collect();
            if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id)
                && entry.state != EntryState::Undoing
            {
                entry.holders.extend(users);
            }
        }
    }

    pub(super) fn mount_ids(&self, attachment: AttachmentId) -> BTreeSet<MountId> {
        let attachment = self.attachment(attachment).into_iter();
        attachment
            .flat_map(|attachment| attachment.mounts.iter().map(|mount| mount.id))
            .collect()
    }

    pub(super) fn attachment_mut(
        &mut self,
        id: AttachmentId,
    ) -> Result<&mut Attachment, TransitionError> {
        let mut attachments = self.attachments.iter_mut();
        attachments
            .find(|attachment| attachment.id == id)
            .ok_or(TransitionError::NoAttachment(id))
    }

    pub(super) fn in_state(
        &mut self,
        id: EntryId,
        states: &[EntryState],
        r#become: &'static str,
    ) -> Result<&mut Entry, TransitionError> {
        let entry = self.entries.iter_mut().find(|entry| entry.id == id);
        let found = entry.as_ref().map_or("gone", |entry| entry.state.name());
        entry
            .filter(|entry| states.contains(&entry.state))
            .ok_or(TransitionError::Entry { found, r#become })
    }

    pub(super) fn changed(&mut self) {
        self.revision = self.revision.saturating_add(1);
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        number
    }
}

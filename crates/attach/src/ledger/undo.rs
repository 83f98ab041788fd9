//! What of a ledger can be undone, in which order, and how it is written down.

use std::collections::BTreeSet;

use super::{
    Attachment, Entry, EntryId, EntryState, Ledger, Mount, MountId, MountState, TransitionError,
    Worker,
};

/// What is to be undone next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextUndo {
    /// This.
    Entry(EntryId),
    /// Nothing now, but somebody else is undoing what stands in the way.
    Wait,
    /// Nothing that could be.
    Nothing,
}

impl Ledger {
    /// What of these mounts can be undone next. Left out is what was tried already (`tried`), and what
    /// others are undoing who are alive.
    pub fn next_undo(
        &self,
        mounts: &BTreeSet<MountId>,
        tried: &BTreeSet<EntryId>,
        is_alive: &dyn Fn(&Worker) -> bool,
    ) -> NextUndo {
        let mut waits = false;
        for entry in self.entries.iter().rev() {
            if !entry.holders.is_subset(mounts) || !self.can_be_undone(entry) {
                continue;
            }
            if entry.worker.as_ref().is_some_and(is_alive) {
                waits = true;
            } else if !tried.contains(&entry.id) {
                return NextUndo::Entry(entry.id);
            }
        }
        if waits {
            NextUndo::Wait
        } else {
            NextUndo::Nothing
        }
    }

    /// The mounts that leave.
    pub fn leaving(&self) -> BTreeSet<MountId> {
        let leaving = self.mounts().map(|(_, mount)| mount);
        let leaving = leaving.filter(|mount| mount.state == MountState::Leaving);
        leaving.map(|mount| mount.id).collect()
    }

    fn can_be_undone(&self, entry: &Entry) -> bool {
        if self.is_held_to_stay(entry) {
            return false;
        }
        let mut others = self.entries.iter().filter(|other| other.id != entry.id);
        !others.any(|other| self.stands_on(other, entry))
    }

    /// Whether undoing `base` would take something from under `entry`.
    fn stands_on(&self, entry: &Entry, base: &Entry) -> bool {
        if entry.layer() > base.layer() && !entry.holders.is_disjoint(&base.holders) {
            return true;
        }
        match (entry.action.target(), base.action.target()) {
            (Some(inner), Some(outer)) => inner.lies_in(outer),
            _ => false,
        }
    }

    /// It is about to be undone, by this worker.
    ///
    /// # Errors
    /// `Entry`, also where somebody still needs it.
    pub fn start_undo(&mut self, id: EntryId, worker: &Worker) -> Result<(), TransitionError> {
        const UNDO: &str = "be undone";
        let possible = [EntryState::Doing, EntryState::Done, EntryState::Undoing];
        let found = self.in_state(id, &possible, UNDO)?.state.name();
        if self
            .entry(id)
            .is_none_or(|entry| !self.can_be_undone(entry))
        {
            return Err(TransitionError::Entry {
                found,
                r#become: UNDO,
            });
        }
        let entry = self.in_state(id, &possible, UNDO)?;
        entry.state = EntryState::Undoing;
        entry.worker = Some(worker.clone());
        self.changed();
        Ok(())
    }

    /// It was undone.
    ///
    /// # Errors
    /// `Entry`.
    pub fn undone(&mut self, id: EntryId) -> Result<(), TransitionError> {
        self.in_state(id, &[EntryState::Undoing], "be undone")?;
        self.entries.retain(|entry| entry.id != id);
        self.settle();
        self.changed();
        Ok(())
    }

    /// Undoing it failed; it can be tried again.
    ///
    /// # Errors
    /// `Entry`.
    pub fn undo_failed(&mut self, id: EntryId, fault: &str) -> Result<(), TransitionError> {
        let entry = self.in_state(id, &[EntryState::Undoing], "be tried again")?;
        entry.worker = None;
        entry.fault = Some(fault.to_owned());
        self.changed();
        Ok(())
    }

    /// Gives up what the dead were attaching, and frees what they were undoing. Says whether anything
    /// was.
    pub fn bury(&mut self, is_alive: &dyn Fn(&Worker) -> bool) -> bool {
        let is_dead =
            |worker: &Option<Worker>| worker.as_ref().is_some_and(|worker| !is_alive(worker));
        let dead: Vec<_> = self
            .attachments
            .iter()
            .filter(|attachment| is_dead(&attachment.worker))
            .map(|attachment| attachment.id)
            .collect();
        let mut found = !dead.is_empty();
        for id in dead {
            // It was found just now.
            let _ = self.give_up(id);
        }
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| is_dead(&entry.worker))
        {
            entry.worker = None;
            found = true;
        }
        if found {
            self.changed();
        }
        found
    }

    /// Lets those who leave go of what they need no longer, and forgets what nobody needs.
    pub(super) fn settle(&mut self) {
        let leaving = self.leaving();
        self.entries.retain(|entry| {
            entry.state != EntryState::Planned || !entry.holders.is_subset(&leaving)
        });
        // Letting go of one thing may be what lets go of what is under it.
        while self.let_go(&leaving) {}
        let held: BTreeSet<MountId> = self
            .entries
            .iter()
            .flat_map(|entry| entry.holders.iter().copied())
            .collect();
        for attachment in &mut self.attachments {
            let stays =
                |mount: &Mount| mount.state != MountState::Leaving || held.contains(&mount.id);
            attachment.mounts.retain(stays);
        }
        let has_mounts = |attachment: &Attachment| !attachment.mounts.is_empty();
        self.attachments.retain(has_mounts);
    }

    fn let_go(&mut self, leaving: &BTreeSet<MountId>) -> bool {
        let mut found = false;
        for index in 0..self.entries.len() {
            let holders = &self.entries[index].holders;
            if holders.len() < 2 {
                continue;
            }
            let free: Vec<MountId> = holders
                .iter()
                .copied()
                .filter(|holder| leaving.contains(holder) && self.holds_nothing_on(*holder, index))
                .collect();
            let holders = &mut self.entries[index].holders;
            for holder in free {
                if holders.len() > 1 {
                    found |= holders.remove(&holder);
                }
            }
        }
        found
    }

    fn holds_nothing_on(&self, holder: MountId, index: usize) -> bool {
        let base = self.entries[index].layer();
        let mut own = self
            .entries
            .iter()
            .filter(|entry| entry.holders.contains(&holder));
        !own.any(|entry| entry.layer() > base)
    }
}

//! Undoes what nobody needs any longer, as far as it can be undone.

use std::collections::BTreeSet;

use crate::ledger::{Entry, EntryId, Ledger, MountId, NextUndo, TransitionError};
use crate::plan::Action;
use crate::sides::{Fault, FaultKind, Unmounting};

use super::call::{Side, side};
use super::{Operator, Stage, StepFault};

/// What came of a sweep.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// What could not be undone.
    pub(super) faults: Vec<StepFault>,
    /// What was passed over by force.
    pub(super) forced: Vec<StepFault>,
}

/// An entry that is to be undone.
struct Undoing {
    entry: EntryId,
    undo: Vec<Action>,
    missing: Option<u32>,
}

impl Operator<'_> {
    /// Undoes all that only these mounts hold, who leave: what is built on something before that. Where
    /// one cannot be undone, the others are, as far as they do not lie under it. What came of one and
    /// that the next begins is one change of the ledger.
    pub(super) fn sweep(&self, mounts: &BTreeSet<MountId>, force: bool) -> Result<Swept, Fault> {
        let mut swept = Swept::default();
        let mut tried = BTreeSet::new();
        let mut looks = self.patience.looks;
        let mut outcome: Option<(EntryId, Option<String>)> = None;
        loop {
            let (next, undoing) = self
                .change(|ledger| {
                    match &outcome {
                        Some((entry, Some(fault))) => ledger.undo_failed(*entry, fault)?,
                        Some((entry, None)) => ledger.undone(*entry)?,
                        None => {}
                    }
                    let next = ledger.next_undo(mounts, &tried, &|worker| self.lives(worker));
                    let undoing = match next {
                        NextUndo::Entry(entry) => Some(self.begin_undo(ledger, entry)?),
                        _ => None,
                    };
                    Ok((next, undoing))
                })?
                .map_err(changed_by_others)?;
            outcome = None;
            match (next, undoing) {
                (_, Some(undoing)) => {
                    tried.insert(undoing.entry);
                    let entry = undoing.entry;
                    outcome = Some((entry, self.undo_entry(undoing, force, &mut swept)));
                }
                (NextUndo::Wait, _) if looks > 0 => {
                    looks -= 1;
                    (self.pause)(self.patience.between);
                }
                _ => return Ok(swept),
            }
        }
    }

    fn begin_undo(&self, ledger: &mut Ledger, id: EntryId) -> Result<Undoing, TransitionError> {
        ledger.start_undo(id, &self.worker)?;
        let platform = ledger.platform();
        let entry = ledger.entry(id);
        Ok(Undoing {
            entry: id,
            undo: entry.map_or_else(Vec::new, |entry| entry.undo(platform)),
            missing: entry.and_then(Entry::missing_directories),
        })
    }

    /// Undoes an entry; what went wrong in words, if something did.
    fn undo_entry(&self, undoing: Undoing, force: bool, swept: &mut Swept) -> Option<String> {
        for undo in undoing.undo {
            self.tell(&undo, Stage::Begun);
            let Err(fault) = self.undo_call(&undo, undoing.missing) else {
                self.tell(&undo, Stage::Done);
                continue;
            };
            self.tell(&undo, Stage::Failed(&fault));
            if force && side(&undo) == Side::Guest {
                swept.forced.push(self.force(undo, fault));
                continue;
            }
            let words = in_words(&fault);
            let action = Box::new(undo);
            swept.faults.push(StepFault { action, fault });
            return Some(words);
        }
        None
    }

    /// What the guest does not do of itself it is made to do; what it still does not is passed over,
    /// since the machine will take the device from under it.
    fn force(&self, undo: Action, fault: Fault) -> StepFault {
        let fault = match &undo {
            Action::Unmount(_) => match self.call(&undo, None, Unmounting::Forced) {
                Ok(()) => fault,
                Err(last) => last.because(fault),
            },
            _ => fault,
        };
        StepFault {
            action: Box::new(undo),
            fault,
        }
    }

    /// Calls for an undoing until it is met, a bounded number of times.
    pub(super) fn undo_call(&self, undo: &Action, missing: Option<u32>) -> Result<(), Fault> {
        let side = side(undo);
        self.again(undo, || {
            let called = self.call(undo, missing, Unmounting::Clean);
            match called {
                Err(fault) if is_undone(side, fault.kind()) => Ok(()),
                called => called,
            }
        })
    }
}

/// Whether a fault says that there is nothing to undo.
fn is_undone(side: Side, kind: FaultKind) -> bool {
    match kind {
        FaultKind::NotFound => true,
        // With the machine goes all that it held; what is on the host stays.
        FaultKind::Gone => side != Side::Host,
        _ => false,
    }
}

/// A fault with what led to it, as the ledger keeps it.
fn in_words(fault: &Fault) -> String {
    let mut words = fault.to_string();
    let mut source = std::error::Error::source(fault);
    while let Some(error) = source {
        words.push_str(": ");
        words.push_str(&error.to_string());
        source = error.source();
    }
    words.chars().take(1000).collect()
}

fn changed_by_others(error: TransitionError) -> Fault {
    let what = "somebody else changed what is being undone";
    Fault::new(FaultKind::Failed, what).because(error)
}

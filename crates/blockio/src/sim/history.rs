//! What was done to a simulated storage, in order, and the bytes that a crash makes of it.

use std::fmt;
use std::sync::Arc;

use super::change::Change;
use super::plan::{CrashPlan, CrashStates};
use super::recipe::{CrashRecipe, HistoryPosition, KeptChange, RecipeError};
use super::storage::SimStorage;
use crate::sparse::{PageMap, SparseMemoryStorage};

/// Everything that was done to a [`SimStorage`] from its start, with the bytes it started from.
/// A clone costs a pointer for each change.
#[derive(Clone)]
pub struct History {
    pub(super) start: PageMap,
    pub(super) changes: Vec<Arc<Change>>,
}

/// A state in which a power cut could have left the storage.
#[derive(Clone)]
pub struct CrashState {
    recipe: CrashRecipe,
    image: PageMap,
}

/// What is known of a change that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// No sync was tried since.
    Pending,
    /// A sync failed: on disk or not, for ever unknown.
    Uncertain,
    /// A sync succeeded, but something uncertain lies before it, so that it is not yet in the base.
    Durable,
}

/// The durable bytes at a position, and what lies on top of them.
pub(super) struct Front {
    pub(super) base: PageMap,
    pub(super) open: Vec<(usize, Fate)>,
}

impl Front {
    pub(super) fn new(start: PageMap) -> Self {
        Self {
            base: start,
            open: Vec::new(),
        }
    }

    /// Takes in the next change.
    pub(super) fn advance(&mut self, number: usize, changes: &[Arc<Change>]) {
        match changes[number].as_ref() {
            Change::Mark(_) => {}
            Change::Write(_) | Change::Zero { .. } | Change::SetLen(_) => {
                self.open.push((number, Fate::Pending));
            }
            Change::FailedSync => self.settle(Fate::Uncertain),
            Change::Sync => {
                self.settle(Fate::Durable);
                let settled = self
                    .open
                    .iter()
                    .take_while(|(_, fate)| *fate == Fate::Durable)
                    .count();
                for (number, _) in self.open.drain(..settled) {
                    changes[number].apply(None, &mut self.base);
                }
            }
        }
    }

    fn settle(&mut self, to: Fate) {
        for (_, fate) in &mut self.open {
            if *fate == Fate::Pending {
                *fate = to;
            }
        }
    }

    /// The bytes after a crash here that kept `kept`, in that order.
    pub(super) fn state(&self, changes: &[Arc<Change>], recipe: CrashRecipe) -> CrashState {
        let mut image = self.base.clone();
        for KeptChange { change, tear } in &recipe.kept {
            changes[*change].apply(*tear, &mut image);
        }
        CrashState { recipe, image }
    }
}

impl History {
    /// How many changes there are.
    pub fn position(&self) -> HistoryPosition {
        HistoryPosition(self.changes.len())
    }

    /// The crash states of this history that the plan asks for, in a fixed order.
    pub fn crash_states(&self, plan: CrashPlan) -> CrashStates {
        CrashStates::new(self.clone(), plan)
    }

    /// The crash state of a recipe: to look again at one that was printed.
    ///
    /// # Errors
    /// Where the recipe is not one of this history.
    pub fn replay(&self, recipe: &CrashRecipe) -> Result<CrashState, RecipeError> {
        let end = recipe.position.0;
        if end > self.changes.len() {
            return Err(RecipeError::PastEnd(end));
        }
        let mut front = Front::new(self.start.clone());
        for number in 0..end {
            front.advance(number, &self.changes);
        }
        let is_kept = |number: usize| {
            recipe
                .kept
                .iter()
                .any(|kept| kept.change == number && kept.tear.is_none())
        };
        for kept in &recipe.kept {
            if !front.open.iter().any(|(number, _)| *number == kept.change) {
                return Err(RecipeError::NotPending(kept.change));
            }
        }
        for (number, fate) in &front.open {
            if *fate == Fate::Durable && !is_kept(*number) {
                return Err(RecipeError::Durable(*number));
            }
        }
        Ok(front.state(&self.changes, recipe.clone()))
    }

    /// The whole history in words, a line a change, with what a crash state kept of it.
    pub fn explain(&self, recipe: &CrashRecipe) -> String {
        let mut front = Front::new(PageMap::default());
        let end = recipe.position.0.min(self.changes.len());
        for number in 0..end {
            front.advance(number, &self.changes);
        }
        let mut text = String::new();
        for (number, change) in self.changes.iter().enumerate().take(end) {
            let kept = recipe.kept.iter().position(|kept| kept.change == number);
            let is_open = front.open.iter().any(|(open, _)| *open == number);
            let fate = match (kept, is_open, change.is_bytes()) {
                (_, _, false) => String::new(),
                (_, false, true) => String::from(" durable"),
                (None, true, true) => String::from(" lost"),
                (Some(place), true, true) => recipe.kept[place].tear.map_or_else(
                    || format!(" kept as {place}"),
                    |tear| format!(" kept as {place}, torn: {tear}"),
                ),
            };
            text.push_str(&format!("{number:4} {change}{fate}\n"));
        }
        text
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("start_len", &self.start.len())
            .field("changes", &self.changes.len())
            .finish()
    }
}

impl CrashState {
    /// How many changes had happened when the power went.
    pub fn position(&self) -> HistoryPosition {
        self.recipe.position
    }

    /// What [`History::replay`] needs to make this state again; it prints as one short line.
    pub fn recipe(&self) -> &CrashRecipe {
        &self.recipe
    }

    /// The bytes, as a storage without history: the cheapest way to look at them.
    pub fn image(&self) -> SparseMemoryStorage {
        SparseMemoryStorage::from_pages(self.image.clone())
    }

    /// A simulated storage that starts from these bytes, all durable: for a second session, which
    /// may crash in turn.
    pub fn storage(&self) -> SimStorage {
        SimStorage::from_pages(self.image.clone())
    }
}

impl fmt::Debug for CrashState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CrashState({self})")
    }
}

impl fmt::Display for CrashState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.recipe)
    }
}

//! Which crash states of a history are tried.
//!
//! A state that lost the last change before the crash has the same bytes as one from before that
//! change, so it is tried only once: there. Where something was promised in between (a mark), and
//! at the end of the history, all are tried again.

use std::collections::BTreeSet;

use super::change::Change;
use super::history::{CrashState, Fate, Front, History};
use super::random::Random;
use super::recipe::{CrashRecipe, HistoryPosition, KeptChange, Tear};

/// How many earlier changes a new one is reordered with.
const REORDERED: usize = 8;
/// How many changes are torn, one at a time, where nothing says which.
const TORN: usize = 8;

/// More pending changes than this are never tried in every subset, whatever the plan says.
const MOST_EXHAUSTIVE: usize = 20;

/// How thoroughly the crash states of a history are tried; the same plan on the same history gives
/// the same states in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPlan {
    /// Where the random choices come from.
    pub seed: u64,
    /// Up to so many pending changes, every subset of them is tried.
    pub exhaustive: usize,
    /// With more: how many random subsets, and how many of those that keep one alone or lose one
    /// alone.
    pub samples: usize,
    /// How many states in which every pending change is lost, kept or torn at random.
    pub torn_samples: usize,
    /// Whether writes and zeroings are torn.
    pub tears: bool,
    /// Whether overlapping changes also arrive in the other order.
    pub reorders: bool,
}

impl CrashPlan {
    /// Thorough: every subset of 8 pending changes, tears and reorderings.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            exhaustive: 8,
            samples: 24,
            torn_samples: 8,
            tears: true,
            reorders: true,
        }
    }

    /// A few states at each position, for long histories.
    pub fn quick(seed: u64) -> Self {
        Self {
            exhaustive: 3,
            samples: 4,
            torn_samples: 2,
            ..Self::new(seed)
        }
    }
}

/// The crash states of a history, one by one.
pub struct CrashStates {
    history: History,
    plan: CrashPlan,
    front: Front,
    next_position: usize,
    queue: std::collections::btree_set::IntoIter<CrashRecipe>,
}

impl CrashStates {
    pub(super) fn new(history: History, plan: CrashPlan) -> Self {
        Self {
            plan,
            front: Front::new(history.start.clone()),
            history,
            next_position: 0,
            queue: BTreeSet::new().into_iter(),
        }
    }

    /// Goes to the next position and lists what is tried there; `None` at the end.
    fn advance(&mut self) -> Option<()> {
        let position = self.next_position;
        let changes = &self.history.changes;
        if position > changes.len() {
            return None;
        }
        let mut required = None;
        if let Some(last) = position.checked_sub(1) {
            self.front.advance(last, changes);
            if changes[last].is_bytes() && position < changes.len() {
                required = Some(last);
            }
        }
        let place = u64::try_from(position).unwrap_or(u64::MAX);
        let mut menu = Menu {
            changes: self.history.changes.as_slice(),
            open: &self.front.open,
            plan: self.plan,
            required,
            random: Random::new(self.plan.seed, place),
            position: HistoryPosition(position),
            recipes: BTreeSet::new(),
        };
        menu.list();
        self.queue = menu.recipes.into_iter();
        self.next_position += 1;
        Some(())
    }
}

impl Iterator for CrashStates {
    type Item = CrashState;

    fn next(&mut self) -> Option<CrashState> {
        loop {
            if let Some(recipe) = self.queue.next() {
                return Some(self.front.state(&self.history.changes, recipe));
            }
            self.advance()?;
        }
    }
}

/// The recipes of one position, while they are listed.
struct Menu<'a> {
    changes: &'a [std::sync::Arc<Change>],
    open: &'a [(usize, Fate)],
    plan: CrashPlan,
    /// The change without which a state was tried before.
    required: Option<usize>,
    random: Random,
    position: HistoryPosition,
    recipes: BTreeSet<CrashRecipe>,
}

impl Menu<'_> {
    fn list(&mut self) {
        let free: Vec<usize> = self
            .open
            .iter()
            .filter(|(number, fate)| *fate != Fate::Durable && Some(*number) != self.required)
            .map(|(number, _)| *number)
            .collect();
        self.list_subsets(&free);
        if self.plan.tears {
            self.list_torn(&free);
        }
        if self.plan.reorders {
            self.list_reordered(&free);
        }
    }

    /// Adds the state in which `choose` says what is kept of each change that may be lost.
    fn add(&mut self, mut choose: impl FnMut(usize, &mut Random) -> Choice) {
        let mut kept = Vec::with_capacity(self.open.len());
        for (number, fate) in self.open {
            let tear = if *fate == Fate::Durable {
                None
            } else {
                match choose(*number, &mut self.random) {
                    Choice::Lose if Some(*number) != self.required => continue,
                    Choice::Tear(tear) => Some(tear),
                    Choice::Keep | Choice::Lose => None,
                }
            };
            kept.push(KeptChange {
                change: *number,
                tear,
            });
        }
        self.recipes.insert(CrashRecipe {
            position: self.position,
            kept,
        });
    }

    fn list_subsets(&mut self, free: &[usize]) {
        let pending = free.len() + usize::from(self.required.is_some());
        if pending <= self.plan.exhaustive.min(MOST_EXHAUSTIVE) {
            for subset in 0..1_u64 << free.len() {
                self.add(|number, _| {
                    let bit = free.iter().position(|other| *other == number);
                    Choice::keep_if(bit.is_none_or(|bit| subset >> bit & 1 == 1))
                });
            }
            return;
        }
        self.add(|_, _| Choice::Keep);
        self.add(|_, _| Choice::Lose);
        for one in self.some_of(free, self.plan.samples) {
            self.add(|number, _| Choice::keep_if(number == one));
            self.add(|number, _| Choice::keep_if(number != one));
        }
        for _ in 0..self.plan.samples {
            self.add(|_, random| Choice::keep_if(random.one_in(2)));
        }
    }

    /// All of them or, if there are more, so many: the newest and others at random.
    fn some_of(&mut self, all: &[usize], count: usize) -> Vec<usize> {
        if all.len() <= count {
            return all.to_vec();
        }
        let (older, newest) = all.split_at(all.len() - count / 2);
        let picks = (0..count - count / 2).filter_map(|_| {
            let bound = u64::try_from(older.len()).unwrap_or(1);
            let pick = usize::try_from(self.random.below(bound)).unwrap_or(0);
            older.get(pick).copied()
        });
        picks.chain(newest.iter().copied()).collect()
    }

    fn list_torn(&mut self, free: &[usize]) {
        let targets = match self.required {
            Some(required) => vec![required],
            None => self.some_of(free, TORN),
        };
        for target in targets {
            for tear in self.tears_of(target) {
                for others in [Choice::Keep, Choice::Lose] {
                    self.add(|number, _| {
                        if number == target {
                            Choice::Tear(tear)
                        } else {
                            others
                        }
                    });
                }
            }
        }
        if free.is_empty() {
            return;
        }
        let changes = self.changes;
        for _ in 0..self.plan.torn_samples {
            self.add(|number, random| match random.below(3) {
                0 => Choice::Lose,
                1 => Choice::Keep,
                _ if changes[number].sector_count() < 2 => Choice::Keep,
                _ => Choice::Tear(Tear::Random(random.below(1 << 16))),
            });
        }
    }

    /// The tears that are tried of a change: all there are of up to three sectors.
    fn tears_of(&mut self, number: usize) -> BTreeSet<Tear> {
        let count = self.changes[number].sector_count();
        if count < 2 {
            return BTreeSet::new();
        }
        let mut tears: BTreeSet<Tear> = [1, count / 2, count - 1]
            .into_iter()
            .flat_map(|few| [Tear::First(few), Tear::Last(few)])
            .collect();
        if count > 2 {
            tears.extend([Tear::Even, Tear::Odd]);
        }
        if count > 3 {
            tears.insert(Tear::Random(self.random.below(1 << 16)));
        }
        tears
    }

    /// An earlier change that overlaps a later one arrives after it.
    fn list_reordered(&mut self, free: &[usize]) {
        let later: Vec<usize> = match self.required {
            Some(required) => vec![required],
            None => free.iter().rev().take(REORDERED).copied().collect(),
        };
        for late in later {
            let earlier: Vec<usize> = free
                .iter()
                .rev()
                .filter(|early| **early < late)
                .filter(|early| self.changes[**early].overlaps(&self.changes[late]))
                .filter(|early| !self.is_fenced(**early, late))
                .take(REORDERED)
                .copied()
                .collect();
            for early in earlier {
                self.add_reordered(early, late);
            }
        }
    }

    /// Whether a sync that succeeded holds the earlier change before the later one.
    fn is_fenced(&self, early: usize, late: usize) -> bool {
        self.open
            .iter()
            .any(|(number, fate)| *fate == Fate::Durable && (early..late).contains(number))
    }

    /// All are kept, `early` just after `late`.
    fn add_reordered(&mut self, early: usize, late: usize) {
        let whole = |change| KeptChange { change, tear: None };
        let mut kept = Vec::with_capacity(self.open.len());
        for (number, _) in self.open {
            if *number != early {
                kept.push(whole(*number));
            }
            if *number == late {
                kept.push(whole(early));
            }
        }
        self.recipes.insert(CrashRecipe {
            position: self.position,
            kept,
        });
    }
}

/// What becomes of a change that may be lost.
#[derive(Clone, Copy)]
enum Choice {
    Keep,
    Lose,
    Tear(Tear),
}

impl Choice {
    fn keep_if(kept: bool) -> Self {
        if kept { Self::Keep } else { Self::Lose }
    }
}

//! How a crash state is described: short enough to print in a failing test and paste into a new one.
//!
//! `@12 3 5:odd 4` is: the power went after 12 changes; of those that were not yet durable, number
//! 3 is on disk, then every second sector of number 5, then number 4; all others are lost.

use std::fmt;
use std::str::FromStr;

use super::random::Random;

/// Bytes in a sector, which is on disk whole or not at all.
const SECTOR: u64 = 512;
/// A torn change is cut into at most so many units, so that a zeroing of a TiB is torn in no time.
const MAX_UNITS: u64 = 256;

/// How many changes had happened; positions of one history are in its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HistoryPosition(pub usize);

/// Which sectors of a torn write or zeroing are on disk; all others keep what they held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tear {
    /// The first so many sectors.
    First(u64),
    /// The last so many sectors.
    Last(u64),
    /// The first, third, fifth, ... sector.
    Even,
    /// The second, fourth, sixth, ... sector.
    Odd,
    /// A random half of the sectors, the same for the same seed.
    Random(u64),
}

/// A change that is on disk though no sync made it durable (or that must be, for the sake of order).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeptChange {
    /// The number of the change in the history, from 0.
    pub change: usize,
    /// Which of its sectors; `None` is all.
    pub tear: Option<Tear>,
}

/// A crash state of a history: when the power went, and what of the pending changes is on disk, in
/// the order in which they arrived there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrashRecipe {
    /// How many changes had happened.
    pub position: HistoryPosition,
    /// What is on disk on top of everything durable.
    pub kept: Vec<KeptChange>,
}

/// Why a recipe cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// The text is no recipe.
    #[error("not a crash recipe at word {0}")]
    Syntax(usize),
    /// The history is shorter.
    #[error("the history ends before position {0}")]
    PastEnd(usize),
    /// The change is durable, no change to the bytes, or later than the position.
    #[error("change {0} is not pending at this position")]
    NotPending(usize),
    /// A change that a sync made durable is not kept.
    #[error("change {0} is durable and cannot be lost")]
    Durable(usize),
}

/// The sectors that `[start, end)` touches, as a range of sector numbers.
fn sectors(start: u64, end: u64) -> (u64, u64) {
    (start / SECTOR, end.div_ceil(SECTOR))
}

/// How many sectors `[start, end)` touches.
pub(super) fn sector_count(start: u64, end: u64) -> u64 {
    let (first, past) = sectors(start, end);
    past.saturating_sub(first)
}

impl Tear {
    /// The pieces of `[start, end)` that are on disk.
    pub(super) fn pieces(self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let (first, past) = sectors(start, end);
        let clip = |from: u64, to: u64| {
            let from = from.saturating_mul(SECTOR).max(start);
            let to = to.saturating_mul(SECTOR).min(end);
            (from < to).then_some((from, to))
        };
        let unit = past.saturating_sub(first).div_ceil(MAX_UNITS).max(1);
        let units = |wanted: &mut dyn FnMut(u64) -> bool| {
            (0..)
                .map(|number| (number, first + number * unit))
                .take_while(|(_, from)| *from < past)
                .filter(|(number, _)| wanted(*number))
                .filter_map(|(_, from)| clip(from, (from + unit).min(past)))
                .collect()
        };
        match self {
            Self::First(count) => clip(first, first.saturating_add(count).min(past))
                .into_iter()
                .collect(),
            Self::Last(count) => clip(past.saturating_sub(count).max(first), past)
                .into_iter()
                .collect(),
            Self::Even => units(&mut |number| number.is_multiple_of(2)),
            Self::Odd => units(&mut |number| !number.is_multiple_of(2)),
            Self::Random(seed) => {
                let mut random = Random::new(seed, 0);
                units(&mut |_| random.one_in(2))
            }
        }
    }
}

impl fmt::Display for Tear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First(count) => write!(f, "first{count}"),
            Self::Last(count) => write!(f, "last{count}"),
            Self::Even => f.write_str("even"),
            Self::Odd => f.write_str("odd"),
            Self::Random(seed) => write!(f, "random{seed}"),
        }
    }
}

impl fmt::Display for CrashRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.position.0)?;
        for kept in &self.kept {
            write!(f, " {}", kept.change)?;
            if let Some(tear) = kept.tear {
                write!(f, ":{tear}")?;
            }
        }
        Ok(())
    }
}

fn parse_tear(text: &str) -> Option<Tear> {
    let number = |name: &str| text.strip_prefix(name)?.parse().ok();
    match text {
        "even" => Some(Tear::Even),
        "odd" => Some(Tear::Odd),
        _ => number("first")
            .map(Tear::First)
            .or_else(|| number("last").map(Tear::Last))
            .or_else(|| number("random").map(Tear::Random)),
    }
}

fn parse_kept(text: &str) -> Option<KeptChange> {
    let (change, tear) = match text.split_once(':') {
        Some((change, tear)) => (change, Some(parse_tear(tear)?)),
        None => (text, None),
    };
    Some(KeptChange {
        change: change.parse().ok()?,
        tear,
    })
}

impl FromStr for CrashRecipe {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        let mut words = text.split_whitespace();
        let position = words
            .next()
            .and_then(|word| word.strip_prefix('@')?.parse().ok())
            .ok_or(RecipeError::Syntax(0))?;
        let kept = words
            .enumerate()
            .map(|(number, word)| parse_kept(word).ok_or(RecipeError::Syntax(number + 1)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            position: HistoryPosition(position),
            kept,
        })
    }
}

//! The names that a directory has, in their upper-case form.

use std::collections::{HashMap, HashSet};

/// The first that comes is number one and stays as it is.
const FIRST_NUMBER: u32 = 2;

/// A set of names. Those that come in order, as most sources have them, stand one behind another and are
/// found by halving; only the others are hashed.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    /// Code units of names in ascending order, and where each name ends.
    units: Vec<u16>,
    ends: Vec<usize>,
    /// All other names.
    others: HashSet<Box<[u16]>>,
    /// From which number on a free variant of a name is sought, where one was.
    numbers: HashMap<Box<[u16]>, u32>,
}

impl Taken {
    /// Takes a name; false where it is taken already.
    pub(super) fn take(&mut self, name: impl Iterator<Item = u16>) -> bool {
        let start = self.units.len();
        self.units.extend(name);
        let (before, new) = self.units.split_at(start);
        let is_in_order = self.last(before).is_none_or(|last| last < new);
        let is_taken = match is_in_order {
            true => !self.others.is_empty() && self.others.contains(new),
            false => self.contains(new),
        };
        if is_in_order && !is_taken {
            self.ends.push(self.units.len());
            return true;
        }
        if !is_taken {
            self.others.insert(new.into());
        }
        self.units.truncate(start);
        !is_taken
    }

    fn last<'n>(&self, units: &'n [u16]) -> Option<&'n [u16]> {
        let (_, before) = self.ends.split_last()?;
        units.get(before.last().copied().unwrap_or(0)..)
    }

    /// Whether a name is taken.
    pub(super) fn contains(&self, name: &[u16]) -> bool {
        self.find(name) || self.others.contains(name)
    }

    fn find(&self, name: &[u16]) -> bool {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.at(middle).cmp(name) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }

    fn at(&self, index: usize) -> &[u16] {
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        let end = self.ends.get(index).copied().unwrap_or(0);
        self.units
            .get(start.copied().unwrap_or(0)..end)
            .unwrap_or_default()
    }

    /// The number from which a free variant of a name is sought.
    pub(super) fn number(&self, name: &[u16]) -> u32 {
        self.numbers.get(name).copied().unwrap_or(FIRST_NUMBER)
    }

    /// Notes that number.
    pub(super) fn set_number(&mut self, name: &[u16], number: u32) {
        self.numbers.insert(name.into(), number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn names_are_taken_once_in_whatever_order_they_come() {
        let orders: [&[&str]; 4] = [
            &["A", "B", "BB", "C", "D"],
            &["D", "C", "BB", "B", "A"],
            &["B", "D", "A", "C", "BB"],
            &["C", "D", "A", "BB", "B"],
        ];
        for order in orders {
            let mut taken = Taken::default();
            for (count, name) in order.iter().enumerate() {
                assert!(taken.take(units(name).into_iter()), "{name} of {order:?}");
                for (place, name) in order.iter().enumerate() {
                    assert_eq!(taken.contains(&units(name)), place <= count, "{name}");
                }
            }
            for name in order {
                assert!(!taken.take(units(name).into_iter()), "{name} of {order:?}");
            }
            assert!(!taken.contains(&units("")) && !taken.contains(&units("E")));
        }
    }

    #[test]
    fn names_in_order_are_not_hashed() {
        let mut taken = Taken::default();
        for number in 0..1000 {
            assert!(taken.take(units(&format!("FILE-{number:04}")).into_iter()));
        }
        assert_eq!((taken.others.len(), taken.ends.len()), (0, 1000));
        assert!(taken.contains(&units("FILE-0999")) && !taken.contains(&units("FILE-1000")));
    }
}

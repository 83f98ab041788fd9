//! The rules by which the keys of indexes are ordered.

use std::cmp::Ordering;

use super::super::upcase::Upcase;
use super::name::FileNameView;

/// A rule of order, by its number in `$INDEX_ROOT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collation {
    /// 0x00: bytes.
    Binary,
    /// 0x01: names in upper case, those equal then by their units.
    FileName,
    /// 0x10: one 32-bit number.
    Number,
    /// 0x11: security identifiers, as bytes.
    Sid,
    /// 0x12: the hash of a security descriptor, then its number.
    SecurityHash,
    /// 0x13: 32-bit numbers, one after another.
    Numbers,
}

impl Collation {
    /// The rule of this number; `None` for one that no index of Windows has.
    pub fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0x00 => Self::Binary,
            0x01 => Self::FileName,
            0x10 => Self::Number,
            0x11 => Self::Sid,
            0x12 => Self::SecurityHash,
            0x13 => Self::Numbers,
            _ => return None,
        })
    }

    /// Compares two keys; `None` where one of them is not of the rule's form.
    pub fn compare(self, left: &[u8], right: &[u8], upcase: &Upcase) -> Option<Ordering> {
        match self {
            Self::Binary | Self::Sid => Some(left.cmp(right)),
            Self::FileName => {
                let (left, right) = (FileNameView::parse(left)?, FileNameView::parse(right)?);
                Some(compare_names(left.name(), right.name(), upcase))
            }
            Self::Number | Self::SecurityHash | Self::Numbers => {
                let (left_words, left_rest) = left.as_chunks::<4>();
                let (right_words, right_rest) = right.as_chunks::<4>();
                if !left_rest.is_empty() || !right_rest.is_empty() {
                    return None;
                }
                let words = |words: &[[u8; 4]]| {
                    let numbers = words.iter().map(|word| u32::from_le_bytes(*word));
                    numbers.collect::<Vec<u32>>()
                };
                Some(words(left_words).cmp(&words(right_words)))
            }
        }
    }
}

/// Compares two names (UTF-16, little endian) as a directory orders them: in upper case, a name
/// before those it begins; equal ones by their units.
pub fn compare_names(left: &[u8], right: &[u8], upcase: &Upcase) -> Ordering {
    let units = |name: &'_ [u8]| -> Vec<u16> { super::attribute::units(name) };
    if left == right {
        return Ordering::Equal;
    }
    let fold = |unit: &[u8; 2]| upcase.of(u16::from_le_bytes(*unit));
    let (left_units, _) = left.as_chunks::<2>();
    let (right_units, _) = right.as_chunks::<2>();
    left_units
        .iter()
        .map(fold)
        .cmp(right_units.iter().map(fold))
        .then_with(|| units(left).cmp(&units(right)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(name: &str) -> Vec<u8> {
        name.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn names_are_ordered_without_regard_to_case_first() {
        let upcase = Upcase::new();
        let ordered = ["$I30", "A", "a", "AB", "ab.txt", "B", "_", "é", "\u{F022}"];
        for pair in ordered.windows(2) {
            let (left, right) = (bytes(pair[0]), bytes(pair[1]));
            assert_eq!(
                compare_names(&left, &right, &upcase),
                Ordering::Less,
                "{pair:?}"
            );
            assert_eq!(compare_names(&right, &left, &upcase), Ordering::Greater);
        }
    }

    #[test]
    fn numbers_are_ordered_as_numbers_and_not_as_bytes() {
        let upcase = Upcase::new();
        let (small, large) = ([0xFF, 0, 0, 0], [0, 1, 0, 0]);
        for rule in [
            Collation::Number,
            Collation::Numbers,
            Collation::SecurityHash,
        ] {
            assert_eq!(rule.compare(&small, &large, &upcase), Some(Ordering::Less));
            assert_eq!(rule.compare(&small[..3], &large, &upcase), None);
        }
        assert_eq!(
            Collation::Binary.compare(&small, &large, &upcase),
            Some(Ordering::Greater)
        );
    }
}

//! Short names: the 8.3 alias beside each long name.
//!
//! Invariant: aliases of one directory differ from each other and from every name in it. Numbers
//! are counted for each stem and number of digits, so that n names cost n steps.

use std::collections::{HashMap, HashSet};

const STEM: usize = 8;
const EXTENSION: usize = 3;
const DOT: u16 = 0x2E;
const SPACE: u16 = 0x20;
/// `~` and so many digits at most ([FAT] "The Numeric-Tail Generation Algorithm").
const MAX_DIGITS: usize = 6;

/// A short name as a directory entry stores it.
pub(super) type ShortName = [u8; STEM + EXTENSION];

/// What a long name becomes at first.
struct Basis {
    name: ShortName,
    /// Bytes of the stem in use.
    stem_len: usize,
    /// Whether more than case was lost.
    is_lossy: bool,
}

/// Whether a byte may stand in a short name ([FAT] "Name Limits and Character Sets").
pub(super) fn is_short_character(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'$' | b'%' | b'\'' | b'-' | b'_' | b'@' | b'~'
        | b'`' | b'!' | b'(' | b')' | b'{' | b'}' | b'^' | b'#' | b'&')
}

/// The short name that a name is already, spelled in upper case; such a name needs no long one.
pub(super) fn as_short_name(name: &[u16]) -> Option<ShortName> {
    let basis = basis(name);
    let keeps_case = !name.iter().any(|unit| (0x61..=0x7A).contains(unit));
    (!basis.is_lossy && keeps_case).then_some(basis.name)
}

fn basis(name: &[u16]) -> Basis {
    let leading = name.iter().take_while(|unit| **unit == DOT).count();
    let mut is_lossy = leading > 0;
    let name = name.get(leading..).unwrap_or_default();
    let (stem, extension) = match name.iter().rposition(|unit| *unit == DOT) {
        Some(dot) => name.split_at(dot),
        None => (name, &[][..]),
    };
    let mut short = [b' '; STEM + EXTENSION];
    let (stem_place, extension_place) = short.split_at_mut(STEM);
    let stem_len = fill(stem_place, stem, &mut is_lossy);
    let extension_len = fill(
        extension_place,
        extension.get(1..).unwrap_or_default(),
        &mut is_lossy,
    );
    // A dot without anything behind it is lost; a name without a stem is none.
    is_lossy |= stem_len == 0 || (!extension.is_empty() && extension_len == 0);
    Basis {
        name: short,
        stem_len,
        is_lossy,
    }
}

/// Puts the characters of `units` that short names can hold into `place`; returns how many.
fn fill(place: &mut [u8], units: &[u16], is_lossy: &mut bool) -> usize {
    let mut len = 0;
    for unit in units {
        if matches!(*unit, SPACE | DOT) {
            *is_lossy = true;
            continue;
        }
        let Some(slot) = place.get_mut(len) else {
            *is_lossy = true;
            break;
        };
        *slot = match u8::try_from(*unit).map(|byte| byte.to_ascii_uppercase()) {
            Ok(byte) if is_short_character(byte) => byte,
            _ => {
                *is_lossy = true;
                b'_'
            }
        };
        len += 1;
    }
    len
}

/// The short names of one directory.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    taken: HashSet<ShortName>,
    /// The next number for a name whose tail has so many digits and stands at its end.
    next: HashMap<(ShortName, usize), u32>,
}

impl Aliases {
    /// The aliases of a directory's names, in their order. Names that are short ones but for case
    /// keep theirs; all others get a number. `None` where the numbers run out.
    pub(super) fn assign<'n>(
        names: impl Iterator<Item = &'n [u16]> + Clone,
    ) -> Option<Vec<ShortName>> {
        let mut aliases = Self::default();
        for name in names.clone() {
            let basis = basis(name);
            if !basis.is_lossy {
                aliases.taken.insert(basis.name);
            }
        }
        names.map(|name| aliases.alias(name)).collect()
    }

    /// Knows an alias that is in use.
    pub(super) fn take(&mut self, alias: ShortName) {
        self.taken.insert(alias);
    }

    /// An alias is in use no more.
    pub(super) fn release(&mut self, alias: ShortName) {
        self.taken.remove(&alias);
        self.next.clear();
    }

    /// The alias of one more name.
    pub(super) fn alias(&mut self, name: &[u16]) -> Option<ShortName> {
        let basis = basis(name);
        if !basis.is_lossy {
            return Some(basis.name);
        }
        for digits in 1..=MAX_DIGITS {
            let stem_len = basis.stem_len.min(STEM - 1 - digits);
            let mut stem = basis.name;
            stem[stem_len..STEM].fill(b' ');
            if let Some(alias) = self.numbered(stem, stem_len, digits) {
                return Some(alias);
            }
        }
        None
    }

    /// The next free alias of a stem with so many digits.
    fn numbered(&mut self, stem: ShortName, stem_len: usize, digits: usize) -> Option<ShortName> {
        let exponent = u32::try_from(digits).ok()?;
        let end = 10_u32.checked_pow(exponent)?;
        let next = self.next.entry((stem, digits)).or_insert(end / 10);
        while *next < end {
            let tail = format!("~{next}");
            *next += 1;
            let mut alias = stem;
            alias
                .get_mut(stem_len..stem_len + tail.len())?
                .copy_from_slice(tail.as_bytes());
            if self.taken.insert(alias) {
                return Some(alias);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(names: &[&str]) -> Vec<String> {
        let units: Vec<Vec<u16>> = names.iter().map(|n| n.encode_utf16().collect()).collect();
        Aliases::assign(units.iter().map(Vec::as_slice))
            .unwrap()
            .into_iter()
            .map(|alias| String::from_utf8(alias.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn names_become_aliases_by_the_rules_of_the_specification() {
        let cases = [
            ("README.TXT", "README  TXT"),
            ("readme.txt", "README  TXT"),
            ("TextFile.Mine.txt", "TEXTFI~1TXT"),
            ("ver +1.2.text", "VER_12~1TEX"),
            (".bashrc", "BASHRC~1   "),
            ("a b", "AB~1       "),
            ("archive.tar.gz", "ARCHIV~1GZ "),
            ("trail.", "TRAIL~1    "),
            ("\u{E4}\u{F6}", "__~1       "),
            ("...", "~1         "),
            ("nine12345", "NINE12~1   "),
            ("x.html", "X~1     HTM"),
        ];
        for (name, alias) in cases {
            assert_eq!(assign(&[name]), [alias], "{name}");
        }
    }

    #[test]
    fn an_alias_never_takes_the_name_of_a_sibling() {
        let aliases = assign(&["longfilename", "LONGFI~1", "longfi~2", "longfilename2"]);
        assert_eq!(
            aliases,
            ["LONGFI~3   ", "LONGFI~1   ", "LONGFI~2   ", "LONGFI~4   "]
        );
    }

    #[test]
    fn twenty_thousand_names_of_one_stem_get_different_aliases_fast() {
        let names: Vec<String> = (0..20_000).map(|n| format!("libfoo-{n}.html")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let aliases = assign(&names);
        let different: HashSet<&String> = aliases.iter().collect();
        assert_eq!(different.len(), names.len());
        assert_eq!(aliases[8], "LIBFOO~9HTM");
        assert_eq!(aliases[9], "LIBFO~10HTM");
        assert_eq!(aliases[19_999], "LI~20000HTM");
    }

    #[test]
    fn only_upper_case_short_names_need_no_long_one() {
        let is_short = |name: &str| {
            let units: Vec<u16> = name.encode_utf16().collect();
            as_short_name(&units).is_some()
        };
        assert!(is_short("README.TXT") && is_short("A") && is_short("COM1"));
        for long in [
            "readme",
            "a b",
            "A.",
            ".A",
            "A.B.C",
            "NINECHARS",
            "A.LONG",
            "\u{C4}",
        ] {
            assert!(!is_short(long), "{long}");
        }
    }
}

//! Where a volume is mounted on this host: a drive letter, or a folder that is empty.

use std::fmt;

/// The longest path of a folder that is taken, in characters: mount points are made by functions that know
/// no longer ones, and a claim has to hold it.
const MAX_LENGTH: usize = 200;

/// A letter or a folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostTarget {
    /// With a backslash at its end, as the system takes it.
    place: String,
}

/// Why something is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{target:?} {reason}")]
pub struct HostTargetError {
    target: String,
    reason: &'static str,
}

impl HostTarget {
    /// Reads `X:`, `X:\` or `C:\folder`.
    ///
    /// # Errors
    /// What is neither.
    pub fn parse(text: &str) -> Result<Self, HostTargetError> {
        let refused = |reason| {
            Err(HostTargetError {
                target: text.chars().take(80).collect(),
                reason,
            })
        };
        let mut chars = text.chars();
        let letter = chars.next().filter(char::is_ascii_alphabetic);
        let (Some(letter), Some(':')) = (letter, chars.next()) else {
            return refused("is neither a drive letter (`X:`) nor an absolute path (`C:\\folder`)");
        };
        let letter = letter.to_ascii_uppercase();
        let rest = chars.as_str().replace('/', "\\");
        if !rest.is_empty() && !rest.starts_with('\\') {
            return refused("is relative to the folder of a drive");
        }
        if text.chars().count() > MAX_LENGTH {
            return refused("is longer than 200 characters, and mount points cannot be");
        }
        let mut place = format!("{letter}:\\");
        for name in rest.split('\\').filter(|name| !name.is_empty()) {
            let is_bad = |c: char| c.is_control() || "<>:\"|?*".contains(c);
            if name == ".." || name == "." {
                return refused("leads elsewhere by `.` or `..`");
            }
            if name.contains(is_bad) || name.ends_with([' ', '.']) {
                return refused("holds a name that Windows does not take");
            }
            place.push_str(name);
            place.push('\\');
        }
        Ok(Self { place })
    }

    /// As the system takes it, with a backslash at its end.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether it is a drive letter.
    pub fn is_letter(&self) -> bool {
        self.place.len() == 3
    }

    /// What it is compared by: Windows does not tell cases apart.
    pub fn key(&self) -> String {
        self.place.to_lowercase()
    }
}

/// As people write it: `X:` or `C:\folder`.
impl fmt::Display for HostTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.place.trim_end_matches('\\'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_folders_are_taken_in_any_spelling() {
        for (text, place, shown) in [
            ("x:", "X:\\", "X:"),
            ("X:\\", "X:\\", "X:"),
            ("c:\\mnt\\data", "C:\\mnt\\data\\", "C:\\mnt\\data"),
            ("C:/mnt//data/", "C:\\mnt\\data\\", "C:\\mnt\\data"),
        ] {
            let target = HostTarget::parse(text).unwrap();
            assert_eq!(target.place(), place);
            assert_eq!(target.to_string(), shown);
            assert_eq!(HostTarget::parse(&target.to_string()), Ok(target.clone()));
            assert_eq!(target.is_letter(), place.len() == 3);
        }
        let (one, other) = (HostTarget::parse("c:\\A"), HostTarget::parse("C:\\a"));
        assert_eq!(one.unwrap().key(), other.unwrap().key());
    }

    #[test]
    fn what_is_neither_is_refused() {
        let long = format!("C:\\{}", "a".repeat(200));
        for text in [
            "",
            "x",
            "/mnt",
            "data",
            "x:data",
            "1:",
            "\\\\nas\\data",
            "\\\\?\\C:\\a",
            "C:\\a\\..\\b",
            "C:\\a?",
            "C:\\a.",
            "C:\\a:b",
            "C:\\a\0",
            &long,
        ] {
            assert!(HostTarget::parse(text).is_err(), "{text:?}");
        }
    }
}

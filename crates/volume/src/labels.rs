//! Labels: what users attach to volumes to find them again. Bounded and printable.

use std::collections::BTreeMap;

/// Labels of a volume: key to value.
pub type Labels = BTreeMap<String, String>;

/// Most labels on one volume.
pub const MAX_LABELS: usize = 64;
/// Longest key, in bytes.
pub const MAX_LABEL_KEY: usize = 128;
/// Longest value, in bytes.
pub const MAX_LABEL_VALUE: usize = 1024;

/// A refused label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// It has no key.
    #[error("a label has no key")]
    EmptyKey,
    /// Its key holds `=`, a comma, white space or a control character.
    #[error("label key {key:?} holds {found:?}")]
    KeyCharacter {
        /// The key, cut short.
        key: String,
        /// The first character that is not allowed.
        found: char,
    },
    /// Its value holds a control character.
    #[error("the value of label {key:?} holds {found:?}")]
    ValueCharacter {
        /// The key.
        key: String,
        /// The first character that is not allowed.
        found: char,
    },
    /// Its key or value is too long.
    #[error(
        "label {key:?} is too long: keys have at most {MAX_LABEL_KEY} bytes, values {MAX_LABEL_VALUE}"
    )]
    TooLong {
        /// The key, cut short.
        key: String,
    },
    /// There are too many.
    #[error("{count} labels are too many, a volume has at most {MAX_LABELS}")]
    TooMany {
        /// How many were given.
        count: usize,
    },
}

/// Checks labels.
///
/// # Errors
/// The first rule that is broken.
pub(crate) fn check(labels: &Labels) -> Result<(), LabelError> {
    if labels.len() > MAX_LABELS {
        return Err(LabelError::TooMany {
            count: labels.len(),
        });
    }
    for (key, value) in labels {
        let shown = || key.chars().take(MAX_LABEL_KEY).collect::<String>();
        if key.is_empty() {
            return Err(LabelError::EmptyKey);
        }
        if key.len() > MAX_LABEL_KEY || value.len() > MAX_LABEL_VALUE {
            return Err(LabelError::TooLong { key: shown() });
        }
        let not_in_key = |c: &char| matches!(c, '=' | ',') || c.is_whitespace() || c.is_control();
        if let Some(found) = key.chars().find(not_in_key) {
            return Err(LabelError::KeyCharacter {
                key: shown(),
                found,
            });
        }
        if let Some(found) = value.chars().find(|c| c.is_control()) {
            return Err(LabelError::ValueCharacter {
                key: shown(),
                found,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn labels_of_every_day_are_accepted() {
        let good = labels(&[
            ("app", "db"),
            ("com.example/env", ""),
            ("größe", "a=b, c d"),
        ]);
        assert_eq!(check(&good), Ok(()));
    }

    #[test]
    fn a_label_out_of_bounds_is_refused() {
        let long = "x".repeat(MAX_LABEL_VALUE + 1);
        for (key, value) in [
            ("", "x"),
            ("a=b", "x"),
            ("a,b", "x"),
            ("a b", "x"),
            ("a\0", "x"),
            ("a", "x\u{1b}[31m"),
            (long.as_str(), "x"),
            ("a", long.as_str()),
        ] {
            assert!(
                check(&labels(&[(key, value)])).is_err(),
                "{key:?}={value:?}"
            );
        }
        let many: Labels = (0..=MAX_LABELS)
            .map(|i| (i.to_string(), String::new()))
            .collect();
        assert_eq!(check(&many), Err(LabelError::TooMany { count: 65 }));
    }
}

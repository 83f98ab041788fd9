//! The volume label.

use super::alias::is_short_character;
use crate::error::MkfsError;

/// A label as it is stored: 11 characters, padded with spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label([u8; 11]);

impl Label {
    /// The label that `text` spells; `None` where it is empty.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, MkfsError> {
        let refuse = |reason: &str| {
            Err(MkfsError::InvalidOption {
                option: "label",
                reason: format!("{text:?} {reason}"),
            })
        };
        if text.is_empty() {
            return Ok(None);
        }
        let mut label = [b' '; 11];
        if text.chars().count() > label.len() {
            return refuse("has more than 11 characters");
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return refuse("begins or ends with a space");
        }
        for (place, character) in label.iter_mut().zip(text.chars()) {
            match u8::try_from(character.to_ascii_uppercase()) {
                Ok(byte) if byte == b' ' || is_short_character(byte) => *place = byte,
                _ => return refuse("holds a character that FAT32 labels cannot"),
            }
        }
        Ok(Some(Self(label)))
    }

    /// The bytes on disk.
    pub(super) fn bytes(&self) -> [u8; 11] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_upper_case_and_padded() {
        assert_eq!(Label::parse("").unwrap(), None);
        let label = Label::parse("my data").unwrap().unwrap();
        assert_eq!(&label.bytes(), b"MY DATA    ");
    }

    #[test]
    fn labels_that_cannot_be_stored_are_refused() {
        for text in ["twelve chars", " x", "x ", "a.b", "a*b", "\u{E4}", "a\tb"] {
            assert!(Label::parse(text).is_err(), "{text}");
        }
    }
}

//! JSON documents: pretty, one a run, safe to look at on a terminal.
//!
//! Strings keep their characters, but those that a terminal would obey are written as `\uXXXX`,
//! which every JSON reader turns back into the same character.

use std::fmt::Write as _;

use engine::ByteRange;
use serde::Serialize;

use super::terminal::is_hostile;

/// A range of a disk, in bytes.
#[derive(Serialize)]
pub(crate) struct RangeDocument {
    start: u64,
    length: u64,
}

impl RangeDocument {
    pub(crate) fn of(range: &ByteRange) -> Self {
        Self {
            start: range.start().get(),
            length: range.len().get(),
        }
    }
}

/// The document with a line break at its end.
pub(crate) fn to_document<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let plain = serde_json::to_string_pretty(value)?;
    let mut document = String::with_capacity(plain.len() + 1);
    for character in plain.chars() {
        // Outside strings only the line breaks of the layout are control characters, and inside
        // strings those below space are escaped already.
        if character == '\n' || !is_hostile(character) {
            document.push(character);
            continue;
        }
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            // Writing to a string does not fail.
            let _ = write!(document, "\\u{unit:04x}");
        }
    }
    document.push('\n');
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_string_comes_back_whole_and_is_never_shown_raw() {
        let hostile = "a\x1b\u{9b}\u{202e}\"\\\n\u{e0041}é";
        let document = to_document(&[hostile]).unwrap();
        assert!(!document.trim_end().replace('\n', "").contains(is_hostile));
        let back: Vec<String> = serde_json::from_str(&document).unwrap();
        assert_eq!(back, [hostile]);
    }

    #[test]
    fn a_document_ends_with_one_line_break() {
        assert_eq!(to_document(&1).unwrap(), "1\n");
    }
}

//! Names from images and hosts made safe for a terminal.
//!
//! Invariant: what [`escape`] returns holds no control character, no change of writing direction
//! and no invisible character, so that a name can neither drive a terminal nor pass for
//! another name.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character does something to a terminal or a reader instead of showing itself.
pub(crate) fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Soft hyphen, Arabic letter mark, Mongolian vowel separator.
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            // Zero-width characters and direction marks.
            | '\u{200b}'..='\u{200f}'
            // Line and paragraph separators, embeddings and overrides.
            | '\u{2028}'..='\u{202e}'
            // Invisible operators, isolates, deprecated format characters.
            | '\u{2060}'..='\u{206f}'
            // What stands for characters that Windows cannot hold; no font shows it.
            | '\u{f000}'..='\u{f0ff}'
            // Byte order mark, interlinear annotation, tags.
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text with every hostile character written as `\u{hex}`.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_hostile(character) {
            // Writing to a string does not fail.
            let _ = write!(escaped, "\\u{{{:x}}}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// As [`escape`], but lines stay lines: for messages made of several lines.
pub(crate) fn escape_lines(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// A word as a shell of Unix takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=,.:/+".contains(c);
    if word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", escape(word).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_name_is_shown_as_it_is() {
        for name in ["data.txt", "Überblick 2026", "日本語", "a\\b", "👍"] {
            assert!(matches!(escape(name), Cow::Borrowed(shown) if shown == name));
        }
    }

    #[test]
    fn nothing_that_drives_a_terminal_gets_through() {
        let hostile =
            "a\x1b[2Jb\u{9b}31mc\r\n\u{202e}txt.exe\u{7f}\u{2028}\u{feff}\u{e0041}\u{f03a}";
        let shown = escape(hostile);
        assert!(!shown.chars().any(is_hostile));
        assert!(shown.starts_with("a\\u{1b}[2Jb\\u{9b}31mc\\u{d}\\u{a}\\u{202e}txt.exe"));
    }

    #[test]
    fn a_message_of_two_lines_keeps_its_line_break() {
        assert_eq!(escape_lines("a\x07\nb"), "a\\u{7}\nb");
    }
}

//! How long anything in a message may be. A frame bounds a message as a whole
//! ([`crate::MAX_BODY`]); these bound its parts, so that what one side may say the other can keep.

/// The longest target or other path, in bytes: what Linux takes.
pub const MAX_TARGET: usize = 4096;
/// The longest name: of a server, a share, a user, a tag, a serial.
pub const MAX_NAME: usize = 512;
/// The longest explanation of a refusal, in bytes.
pub const MAX_TEXT: usize = 1024;
/// The most words of a command.
pub const MAX_ARGUMENTS: usize = 256;
/// The most output of a command in one answer, in bytes before they are base64.
pub const MAX_CHUNK: usize = 16 << 10;
/// The most mounts in one answer; there may be further ones.
pub const MAX_MOUNTS_IN_ANSWER: usize = 64;

/// What is longer than it may be, or holds what it must not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {reason}")]
pub struct Limit {
    /// Which part of the message.
    pub what: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Checks a text that has to be there.
pub(crate) fn needed(what: &'static str, text: &str, longest: usize) -> Result<(), Limit> {
    if text.is_empty() {
        let reason = "is empty";
        return Err(Limit { what, reason });
    }
    optional(what, text, longest)
}

/// Checks a text that may be empty.
pub(crate) fn optional(what: &'static str, text: &str, longest: usize) -> Result<(), Limit> {
    let reason = if text.len() > longest {
        "is too long"
    } else if text.contains('\0') {
        "holds a NUL"
    } else {
        return Ok(());
    };
    Err(Limit { what, reason })
}

/// The text, cut to `longest` bytes at the end of a character.
pub fn cut(text: &str, longest: usize) -> &str {
    let mut end = longest.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A text of the other side as it can be shown: on one line, without what steers a terminal, cut to
/// [`MAX_TEXT`].
pub fn printable(text: &str) -> String {
    let shown = |c: char| {
        let steers = c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if steers { ' ' } else { c }
    };
    cut(text, MAX_TEXT).chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("añb", 2), "a");
        assert_eq!(cut("añb", 3), "añ");
        assert_eq!(cut("añb", 9), "añb");
        assert_eq!(cut("ñ", 0), "");
    }

    #[test]
    fn what_steers_a_terminal_is_not_shown() {
        assert_eq!(printable("a\u{1b}[31m\nb\u{202e}c"), "a [31m b c");
        assert_eq!(printable(&"x".repeat(5000)).len(), MAX_TEXT);
    }
}

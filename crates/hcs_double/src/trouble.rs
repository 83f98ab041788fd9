//! What shall go wrong, and when.

use serde::{Deserialize, Serialize};

/// What goes wrong at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Trouble {
    /// It is refused with this code, and nothing was done.
    Fail(u32),
    /// It is told to have failed with this code, although it was done.
    FailAfter(u32),
    /// It is done, and does not end until the operations are let go.
    Hang,
    /// It does not end until the operations are let go, and is not done.
    HangUndone,
    /// It is done so many milliseconds later, and ends then.
    Late(u64),
    /// The machine stops before.
    Stop,
    /// The machine is no more, since before.
    Vanish,
    /// It ends with this code, done where that is 0, and what is told of it is no document.
    Answer(u32, Answer),
    /// The service goes away before: what is open is worth nothing from then on.
    Disconnect,
}

/// What is told in the place of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing at all.
    Nothing,
    /// A text without anything in it.
    Empty,
    /// The beginning of a document.
    Half,
    /// A document of another form.
    Other,
    /// A document that is longer than any that makes sense.
    Huge,
}

impl Answer {
    /// As it is told.
    pub(crate) fn text(self) -> Option<String> {
        /// Longer than what any reader takes, whether he counts bytes or UTF-16 units.
        const HUGE: usize = (64 << 20) + 1;
        match self {
            Self::Nothing => None,
            Self::Empty => Some(String::new()),
            Self::Half => Some("{\"State\":\"Run".to_owned()),
            Self::Other => Some("[[7]]".to_owned()),
            Self::Huge => {
                let words = "x".repeat(HUGE);
                Some(format!(
                    "{{\"State\":\"Running\",\"ErrorMessage\":\"{words}\"}}"
                ))
            }
        }
    }
}

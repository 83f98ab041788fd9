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
    /// The service goes away before: what is open is worth nothing from then on.
    Disconnect,
}

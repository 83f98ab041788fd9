//! The monitor of QEMU: commands, their answers, and what QEMU tells unasked, a line of JSON each.
//!
//! Invariants:
//! - No call waits longer than it was told to, however little QEMU says, and however much.
//! - A line has a longest length, and so has the queue of events: what comes from QEMU never decides
//!   how much memory is taken.
//! - An answer is one to the command that was asked only if it bears its number. What comes late for
//!   a command that was given up is dropped; what bears a number that was never given is nonsense.
//! - What could not be read, or ended in the middle, ends the conversation: every later call fails
//!   at once.

mod client;
mod error;
mod lines;
mod message;
mod stream;

pub use client::{Qmp, QmpLimits};
pub use error::{QmpError, QmpErrorClass};
pub use message::{Event, Greeting};
pub use stream::{QmpAddress, QmpStream};

use std::io::{self, Read, Write};
use std::time::Duration;

/// A conversation with arbitrary bytes for all that QEMU says; for fuzzing.
pub fn fuzz_answers(data: &[u8]) {
    let limits = QmpLimits {
        line: 4096,
        events: 8,
        timeout: Duration::from_secs(1),
    };
    let Ok(mut qmp) = Qmp::open(Script { data, at: 0 }, limits) else {
        return;
    };
    // As many as an input of this length can answer.
    for _ in 0..8 {
        let answer = qmp.execute("query-status", serde_json::json!({}));
        if let Err(error) = answer {
            let _ = (error.kind(), error.to_string());
        }
        while qmp.next_event().is_some() {}
    }
    let _ = qmp.wait_for_event(Duration::ZERO, |event| event.name == "DEVICE_DELETED");
}

/// A stream that says what it was given, in pieces, and hears nothing.
struct Script<'d> {
    data: &'d [u8],
    at: usize,
}

impl Read for Script<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.data.get(self.at..).unwrap_or_default();
        // Pieces of lengths that the data decides, so that lines end anywhere in them.
        let piece = rest.first().map_or(0, |byte| usize::from(byte % 61) + 1);
        let length = piece.min(rest.len()).min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        self.at += length;
        Ok(length)
    }
}

impl Write for Script<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl QmpStream for Script<'_> {
    fn set_patience(&mut self, _left: Duration) -> io::Result<()> {
        Ok(())
    }
}

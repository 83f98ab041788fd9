//! Frames: where a message begins and ends in a stream of bytes.
//!
//! ```text
//!   FF  "cvol"  length  token             number    LF  body ... LF
//!    1     4    8 hex   16 hex            8 hex      1  length    1     bytes
//! ```
//!
//! The body is UTF-8, and so is the rest but for the first byte, which UTF-8 never has: wherever the
//! byte FF comes up, a frame begins, and one before it that was not complete never will be. A reader
//! that joins in the middle, or after a writer that died in the middle, is in step again with the next
//! frame. A length is judged before a byte of the body is kept.

use secrecy::zeroize::{Zeroize, Zeroizing};

use crate::session::Token;

/// The longest body, in bytes.
pub const MAX_BODY: usize = 64 << 10;

/// Where a frame begins; no byte of UTF-8 text.
const START: u8 = 0xff;
const MAGIC: &[u8] = b"cvol";
const END: u8 = b'\n';
const LENGTH_AT: usize = 1 + MAGIC.len();
const TOKEN_AT: usize = LENGTH_AT + 8;
const NUMBER_AT: usize = TOKEN_AT + 16;
const HEADER: usize = NUMBER_AT + 8 + 1;

/// Which request of which conversation a frame is or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    /// The conversation.
    pub token: Token,
    /// The request in it.
    pub number: u32,
}

/// One message with what it belongs to. It is zeroed when dropped, since there may be a password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is or answers.
    pub id: RequestId,
    /// The message.
    pub body: String,
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.body.zeroize();
    }
}

/// Why a frame was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// It says that it is longer than a frame may be.
    #[error("a frame of {length} bytes; {MAX_BODY} are the most")]
    TooLong {
        /// What it says.
        length: usize,
    },
    /// What began as a frame is none, or was cut off.
    #[error("a broken frame")]
    Broken,
}

/// What came out of a stream.
#[derive(PartialEq, Eq)]
pub enum Decoded {
    /// A frame.
    Frame(Frame),
    /// Something that is none; reading goes on behind it.
    Error(FrameError),
}

/// The bytes of a frame, zeroed when dropped.
///
/// # Errors
/// [`FrameError::TooLong`].
pub fn encode(frame: &Frame) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let length = frame.body.len();
    if length > MAX_BODY {
        return Err(FrameError::TooLong { length });
    }
    let RequestId { token, number } = frame.id;
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER + length + 1));
    bytes.push(START);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(format!("{length:08x}{token}{number:08x}\n").as_bytes());
    bytes.extend_from_slice(frame.body.as_bytes());
    bytes.push(END);
    Ok(bytes)
}

/// Finds frames in a stream. It never holds more than one frame and what was pushed last.
#[derive(Default)]
pub struct Decoder {
    held: Vec<u8>,
    /// How many bytes at the front of `held` are done with.
    done: usize,
    /// Up to where no other frame begins.
    searched: usize,
    skipped: u64,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes so far were in no frame.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Takes in bytes of the stream. [`Decoder::take`] is called until there is nothing more, before
    /// the next are pushed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.drain(..self.done);
        self.searched = self.searched.saturating_sub(self.done);
        self.done = 0;
        self.held.extend_from_slice(bytes);
    }

    /// The next frame; `None` where more bytes are needed.
    pub fn take(&mut self) -> Option<Decoded> {
        let rest = self.held.get(self.done..)?;
        let start = rest.iter().position(|&byte| byte == START);
        let Some(start) = start else {
            self.skip(rest.len());
            return None;
        };
        self.skip(start);
        let from = self.searched.max(self.done + 1).min(self.held.len());
        let next = self.held.get(from..)?.iter().position(|&b| b == START);
        self.searched = next.map_or(self.held.len(), |at| from + at);
        // What stands before the next frame is all there will ever be of this one.
        let (here, is_last) = (self.held.get(self.done..self.searched)?, next.is_none());
        if here.len() < HEADER {
            return self.unfinished(is_last, here.len());
        }
        let Some((length, id)) = header(here) else {
            return self.broken(1);
        };
        if length > MAX_BODY {
            self.skip(HEADER);
            return Some(Decoded::Error(FrameError::TooLong { length }));
        }
        let whole = HEADER + length + 1;
        let Some(bytes) = here.get(HEADER..whole) else {
            return self.unfinished(is_last, here.len());
        };
        let body = match bytes.split_last() {
            Some((&END, body)) => std::str::from_utf8(body).ok(),
            _ => None,
        };
        let Some(body) = body else {
            return self.broken(HEADER);
        };
        let body = body.to_owned();
        self.done += whole;
        Some(Decoded::Frame(Frame { id, body }))
    }

    fn unfinished(&mut self, is_last: bool, length: usize) -> Option<Decoded> {
        if is_last { None } else { self.broken(length) }
    }

    fn broken(&mut self, length: usize) -> Option<Decoded> {
        self.skip(length);
        Some(Decoded::Error(FrameError::Broken))
    }

    fn skip(&mut self, length: usize) {
        self.done += length;
        self.skipped = self
            .skipped
            .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        self.held.len() - self.done
    }
}

/// Length and id from a header that is all there.
fn header(bytes: &[u8]) -> Option<(usize, RequestId)> {
    let field = |from: usize, to: usize| {
        let text = std::str::from_utf8(bytes.get(from..to)?).ok()?;
        // A sign is a number too, for the standard library.
        let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(text, 16).ok().filter(|_| plain)
    };
    if bytes.get(1..LENGTH_AT)? != MAGIC || *bytes.get(HEADER - 1)? != END {
        return None;
    }
    let length = usize::try_from(field(LENGTH_AT, TOKEN_AT)?).ok()?;
    let token = Token(field(TOKEN_AT, NUMBER_AT)?);
    let number = u32::try_from(field(NUMBER_AT, HEADER - 1)?).ok()?;
    Some((length, RequestId { token, number }))
}

#[cfg(test)]
mod tests;

//! The messages: what the host asks for, and what the guest answers.
//!
//! A request has one answer, but for a command, whose answer comes in pieces until it has exited. What
//! is asked for twice is done once: mounting what is mounted just so, and unmounting what is not
//! there, are answered as if they had been done now. Fields are added from version to version, never
//! renamed; who does not know one leaves it out.

mod answer;
mod check;
mod request;

use std::io;

use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use answer::{
    Answer, ErrorKind, GuestKind, Mounted, MountedThing, Mounts, Refusal, Stream, Usage, Welcome,
};
pub use request::{
    FileSystem, Hello, MountDisk, MountMemory, MountShare, MountSmb, Request, Run, ShareTransport,
    Unmount, UnplugDisk,
};

/// Why a message cannot be read. What it said is not repeated: there may be a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It is no JSON, or not that of a message.
    #[error("no message that is known here (at byte {column})")]
    Unknown {
        /// Where reading ended.
        column: usize,
    },
    /// It holds more than it may, or something that it must not.
    #[error(transparent)]
    Limit(#[from] crate::Limit),
    /// It cannot be written.
    #[error("a message that cannot be written")]
    Unwritable,
}

/// How much room a message gets at first, in bytes. One with a password fits, so that no half of it
/// is left behind where it grew.
const ROOM: usize = 8 << 10;

/// The body of a frame for a request.
///
/// # Errors
/// [`MessageError::Limit`] where it holds more than may be asked.
pub fn encode_request(request: &Request) -> Result<Zeroizing<String>, MessageError> {
    request.check()?;
    write(request)
}

/// The request in the body of a frame.
///
/// # Errors
/// [`MessageError`].
pub fn decode_request(body: &str) -> Result<Request, MessageError> {
    let request: Request = read(body)?;
    request.check()?;
    Ok(request)
}

/// The body of a frame for an answer.
///
/// # Errors
/// [`MessageError::Limit`] where it holds more than may be answered.
pub fn encode_answer(answer: &Answer) -> Result<Zeroizing<String>, MessageError> {
    answer.check()?;
    write(answer)
}

/// The answer in the body of a frame.
///
/// # Errors
/// [`MessageError`].
pub fn decode_answer(body: &str) -> Result<Answer, MessageError> {
    let answer: Answer = read(body)?;
    answer.check()?;
    Ok(answer)
}

fn write(message: &impl Serialize) -> Result<Zeroizing<String>, MessageError> {
    let mut bytes = Vec::with_capacity(ROOM);
    serde_json::to_writer(io::Write::by_ref(&mut bytes), message)
        .map_err(|_| MessageError::Unwritable)?;
    let text = String::from_utf8(bytes).map_err(|_| MessageError::Unwritable)?;
    Ok(Zeroizing::new(text))
}

fn read<M: DeserializeOwned>(body: &str) -> Result<M, MessageError> {
    serde_json::from_str(body).map_err(|error| MessageError::Unknown {
        column: error.column(),
    })
}

#[cfg(test)]
mod tests;

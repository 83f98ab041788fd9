//! What the guest answers.

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::limits::{MAX_TEXT, cut};
use crate::session::Versions;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Answer {
    /// To a hello.
    Welcome(Welcome),
    /// To a hello: there is no version that both speak; these are the guest's.
    Incompatible(Versions),
    /// It was done.
    Done,
    /// It was mounted.
    Mounted(Mounted),
    /// What is mounted.
    Mounts(Mounts),
    /// How full it is.
    Usage(Usage),
    /// Some output of a command; more follows.
    Output {
        /// Where the command wrote it.
        stream: Stream,
        /// What.
        bytes: Bytes,
    },
    /// A command has ended.
    Exited {
        /// Its exit code; `None` where it was killed.
        code: Option<i32>,
        /// What killed it, as its system numbers that.
        signal: Option<i32>,
        /// Which limit of the request it was killed for.
        limit: Option<String>,
    },
    /// It was not done.
    Refused(Refusal),
}

/// The guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that is spoken from here on.
    pub version: u16,
    /// The version of the agent itself.
    pub agent: String,
    /// What runs in the guest.
    pub system: GuestKind,
    /// Its kernel, in words.
    pub kernel: String,
}

/// A system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestKind {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
}

/// What was mounted, as the guest finds it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounted {
    /// Where: what was asked for.
    pub target: String,
    /// What is there, as the guest calls it: `ntfs3`, `cifs`.
    pub file_system: String,
    /// Whether nothing can be changed through it.
    pub read_only: bool,
    /// Whether it was formatted for this.
    pub formatted: bool,
    /// Whether it was mounted just so before.
    pub was_there: bool,
}

/// Some of what is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounts {
    /// In the order of their targets.
    pub mounts: Vec<MountedThing>,
    /// Whether there are more behind the last.
    pub more: bool,
}

/// One mount that the host asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedThing {
    /// Where.
    pub target: String,
    /// What is there, as the guest calls it.
    pub file_system: String,
    /// Of what: a device, a tag, a share.
    pub source: String,
    /// Whether nothing can be changed through it.
    pub read_only: bool,
}

/// How full a file system is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// How much it holds at most.
    pub total: u64,
    /// How much is still free for anybody.
    pub free: u64,
}

/// Where a command writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Its output.
    Output,
    /// Its errors.
    Error,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// What kind of reason it is.
    pub kind: ErrorKind,
    /// The reason in words.
    pub text: String,
}

/// What kind of reason it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// It makes no sense to the guest.
    Invalid,
    /// What it needs is not there.
    NotFound,
    /// Something else is at the target.
    AlreadyExists,
    /// It is in use.
    Busy,
    /// It is not allowed, or a login failed.
    Denied,
    /// The guest cannot do it.
    Unsupported,
    /// No space is left.
    NoSpace,
    /// It did not come or end in time.
    TimedOut,
    /// The request belongs to a conversation that is over.
    NoConversation,
    /// It was tried and failed; also what an older host does not know.
    #[serde(other)]
    Failed,
}

impl Refusal {
    /// A refusal in words, which are cut where they are too many.
    pub fn new(kind: ErrorKind, text: impl AsRef<str>) -> Self {
        let text = cut(text.as_ref(), MAX_TEXT).replace('\0', " ");
        Self { kind, text }
    }
}

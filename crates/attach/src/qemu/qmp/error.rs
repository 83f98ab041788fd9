//! What goes wrong between us and a monitor, and what kind of fault that is.

use std::io;
use std::time::Duration;

use crate::sides::FaultKind;

/// The class that QEMU itself gives an error. Only two of them say more than that it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QmpErrorClass {
    /// There is no such command in this version.
    CommandNotFound,
    /// There is no such device.
    DeviceNotFound,
    /// The text alone says what it is.
    Other,
}

/// Why a monitor did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QmpError {
    /// Nobody listens there.
    #[error("nobody listens at {address}")]
    NotThere {
        /// Where.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody listens, and says nothing: the monitor talks to one client at a time.
    #[error("the monitor did not greet us within {} ms", waited.as_millis())]
    NoGreeting {
        /// How long was waited.
        waited: Duration,
    },
    /// QEMU ended the conversation, or died.
    #[error("QEMU ended the conversation {when}")]
    Ended {
        /// In the middle of what.
        when: String,
    },
    /// No answer came in time.
    #[error("QEMU did not answer {command} within {} ms", waited.as_millis())]
    Unanswered {
        /// The command.
        command: String,
        /// How long was waited.
        waited: Duration,
    },
    /// What came cannot be an answer.
    #[error("QEMU answered nonsense: {what}")]
    Nonsense {
        /// What is wrong with it.
        what: String,
    },
    /// QEMU refused.
    #[error("QEMU refused {command}: {description}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's own class.
        class: QmpErrorClass,
        /// QEMU's own words, shortened.
        description: String,
    },
    /// The host failed.
    #[error("talking to QEMU failed")]
    Io(#[source] io::Error),
}

impl QmpError {
    /// What kind of fault it is.
    ///
    /// QEMU tells most of its errors apart by their text alone. What is read from it here decides what
    /// is advised and whether it is tried again, never whether something was done: for that, whoever
    /// needs to know looks.
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::NotThere { .. } => FaultKind::Gone,
            Self::NoGreeting { .. } => FaultKind::Busy,
            Self::Ended { .. } | Self::Unanswered { .. } => FaultKind::Unanswered,
            Self::Nonsense { .. } => FaultKind::Nonsense,
            Self::Refused {
                class, description, ..
            } => of_refusal(*class, description),
            Self::Io(error) => match error.kind() {
                io::ErrorKind::PermissionDenied => FaultKind::Denied,
                io::ErrorKind::Unsupported => FaultKind::Unsupported,
                _ => FaultKind::Failed,
            },
        }
    }

    /// Whether QEMU said that there is no such device or node.
    pub fn is_not_found(&self) -> bool {
        self.kind() == FaultKind::NotFound
    }
}

fn of_refusal(class: QmpErrorClass, text: &str) -> FaultKind {
    /// What QEMU 7.2 to 10 says, from the more to the less special.
    const WORDS: [(&str, FaultKind); 17] = [
        ("already used by", FaultKind::AlreadyExists),
        ("Duplicate", FaultKind::AlreadyExists),
        ("already exists", FaultKind::AlreadyExists),
        ("already in the process of unplug", FaultKind::Busy),
        ("is in use", FaultKind::Busy),
        ("is busy", FaultKind::Busy),
        ("Failed to get", FaultKind::Busy),
        ("No space left", FaultKind::NoSpace),
        ("Permission denied", FaultKind::Denied),
        ("Operation not permitted", FaultKind::Denied),
        ("Failed to find", FaultKind::NotFound),
        ("Cannot find", FaultKind::NotFound),
        ("not found", FaultKind::NotFound),
        ("No such file", FaultKind::NotFound),
        ("not a valid device model name", FaultKind::Unsupported),
        ("does not support", FaultKind::Unsupported),
        ("Invalid parameter", FaultKind::Invalid),
    ];
    match class {
        QmpErrorClass::CommandNotFound => FaultKind::Unsupported,
        QmpErrorClass::DeviceNotFound => FaultKind::NotFound,
        QmpErrorClass::Other => WORDS
            .iter()
            .find(|(words, _)| text.contains(words))
            .map_or(FaultKind::Failed, |(_, kind)| *kind),
    }
}

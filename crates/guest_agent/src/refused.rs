//! Refusals, from what the system says.

use std::fmt::Display;
use std::io;

use guest_proto::{ErrorKind, Refusal};

/// A refusal of this kind.
pub(crate) fn refusal(kind: ErrorKind, text: impl AsRef<str>) -> Refusal {
    Refusal::new(kind, text)
}

/// What an error of the system is to the host, where nothing more is known about it.
pub(crate) fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        io::ErrorKind::ResourceBusy => ErrorKind::Busy,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        io::ErrorKind::Unsupported => ErrorKind::Unsupported,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => ErrorKind::Invalid,
        io::ErrorKind::TimedOut => ErrorKind::TimedOut,
        _ => ErrorKind::Failed,
    }
}

/// A refusal for an error of the system, with what was tried.
pub(crate) fn failed(what: impl Display, error: impl Into<io::Error>) -> Refusal {
    let error = error.into();
    Refusal::new(kind_of(&error), format!("{what}: {error}"))
}

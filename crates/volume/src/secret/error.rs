//! What can be wrong with a kept password or with the key. No error holds a part of either.

use std::io;

use crate::error::VolumeErrorKind;

/// Why a password cannot be kept or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// What was given is no password.
    #[error("the password {0}")]
    Password(&'static str),
    /// The place that the password was to be read from cannot be.
    #[error("the password in {place} cannot be read: {problem}")]
    Unreadable {
        /// The file or the name in the keyring.
        place: String,
        /// What kind of failure it is.
        kind: io::ErrorKind,
        /// What the system said.
        problem: String,
    },
    /// No password was given for a volume that needs one.
    #[error("volume \"{0}\" needs a password, and none was given")]
    Needed(String),
    /// A volume of this kind has none.
    #[error("volume \"{0}\" is no share of an SMB server, and has no password")]
    NoneHere(String),
    /// None is kept.
    #[error("no password is kept for volume \"{0}\"")]
    Missing(String),
    /// The sealed bytes were changed, or were sealed for another volume, server or user.
    #[error(
        "the password kept for volume \"{0}\" is damaged, or was sealed for another volume, server or user"
    )]
    Damaged(String),
    /// The key that it was sealed with is not among those that are here.
    #[error("the password kept for volume \"{0}\" was sealed with a key that is not in {1}")]
    OtherKey(String, String),
    /// The key cannot be used.
    #[error("the key of the kept passwords, {place}, {problem}")]
    Key {
        /// Where it is looked for.
        place: String,
        /// What is wrong with it.
        problem: String,
        /// Whether it is not there at all.
        is_missing: bool,
    },
    /// There is no randomness to be had.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// The system has no such keyring.
    #[error("{0}")]
    Unsupported(&'static str),
}

impl SecretError {
    /// The class of the error.
    pub fn kind(&self) -> VolumeErrorKind {
        match self {
            Self::Password(_) | Self::Needed(_) => VolumeErrorKind::InvalidArgument,
            Self::NoneHere(_) | Self::Unsupported(_) => VolumeErrorKind::Unsupported,
            Self::Missing(_) => VolumeErrorKind::NotFound,
            Self::Unreadable { kind, .. } => match kind {
                io::ErrorKind::NotFound => VolumeErrorKind::NotFound,
                io::ErrorKind::Unsupported => VolumeErrorKind::Unsupported,
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData => {
                    VolumeErrorKind::InvalidArgument
                }
                _ => VolumeErrorKind::Io,
            },
            Self::Key {
                is_missing: false, ..
            } => VolumeErrorKind::InvalidArgument,
            Self::Damaged(_) | Self::OtherKey(..) | Self::Key { .. } => VolumeErrorKind::Damaged,
            Self::Random(_) => VolumeErrorKind::Io,
        }
    }
}

//! The one error of looking into volumes.

use std::io;

use blockio::IoError;
use mkfs::{FileSystem, MkfsError, MkfsErrorKind, TreeError};

use crate::error::{VolumeErrorKind, io_kind, source_kind};

/// What looking into a volume returns.
pub type Result<T> = std::result::Result<T, BrowseError>;

/// A failed look into a volume.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrowseError {
    /// A path climbs or holds a NUL.
    #[error("\"{path}\" is not possible in a volume")]
    InvalidPath {
        /// The path.
        path: String,
    },
    /// There is nothing of that name.
    #[error("{path}: not found in the volume")]
    NotFound {
        /// The path.
        path: String,
    },
    /// It is something else than asked for.
    #[error("{path}: not {expected}")]
    WrongKind {
        /// The path.
        path: String,
        /// What it should be.
        expected: &'static str,
    },
    /// There is no file system that can be read.
    #[error("no file system that can be read was found ({found})")]
    NoFileSystem {
        /// What was found instead.
        found: FileSystem,
    },
    /// It is kept in a way that is not supported.
    #[error("{path}: {what} is not supported")]
    Unsupported {
        /// The path.
        path: String,
        /// What is not supported.
        what: &'static str,
    },
    /// The file system contradicts itself.
    #[error("{path}: the file system is damaged: {reason}")]
    Damaged {
        /// The path that was asked for.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The tree of the volume cannot be read.
    #[error(transparent)]
    Tree(TreeError),
    /// The partition table cannot be used.
    #[error(transparent)]
    Partitions(#[from] MkfsError),
    /// Reading the disk failed.
    #[error(transparent)]
    Disk(#[from] IoError),
    /// The name cannot be made on this host without leaving the target.
    #[error("{path}: the name is not possible on this host")]
    UnsafeName {
        /// The path in the volume.
        path: String,
    },
    /// The host failed or refused.
    #[error("{path}: {source}")]
    Host {
        /// The path on the host.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl BrowseError {
    /// The class of the error.
    pub fn kind(&self) -> VolumeErrorKind {
        match self {
            Self::InvalidPath { .. } | Self::WrongKind { .. } => VolumeErrorKind::InvalidArgument,
            Self::NotFound { .. } => VolumeErrorKind::NotFound,
            Self::NoFileSystem { .. } | Self::Unsupported { .. } => VolumeErrorKind::Unsupported,
            Self::Damaged { .. } => VolumeErrorKind::Damaged,
            Self::Partitions(error) => match error.kind() {
                MkfsErrorKind::Damaged => VolumeErrorKind::Damaged,
                MkfsErrorKind::NotFound => VolumeErrorKind::NotFound,
                MkfsErrorKind::Interrupted => VolumeErrorKind::Interrupted,
                MkfsErrorKind::Unsupported => VolumeErrorKind::Unsupported,
                _ => VolumeErrorKind::Io,
            },
            Self::Tree(error) => source_kind(error),
            Self::Disk(error) => io_kind(error),
            Self::UnsafeName { .. } => VolumeErrorKind::Unsupported,
            Self::Host { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    VolumeErrorKind::NoSpace
                }
                io::ErrorKind::AlreadyExists => VolumeErrorKind::AlreadyExists,
                io::ErrorKind::NotFound => VolumeErrorKind::NotFound,
                _ => VolumeErrorKind::Io,
            },
            Self::Interrupted => VolumeErrorKind::Interrupted,
        }
    }

    /// A contradiction in the file system, met on the way to `path`.
    pub(crate) fn damaged(path: &str, reason: impl ToString) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// A failure of the host at a path of its own.
    pub(super) fn host(path: impl ToString, source: io::Error) -> Self {
        Self::Host {
            path: path.to_string(),
            source,
        }
    }
}

//! The one error of the builders and parsers of this crate.

use blockio::{ByteCount, ByteOffset, IoError, IoErrorKind};

use crate::names::NameError;
use crate::tree::TreeError;

/// What went wrong, in the classes that callers act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MkfsErrorKind {
    /// An option is wrong, or the disk is too small or too large for what is asked.
    InvalidOption,
    /// A name cannot be stored.
    InvalidName,
    /// The tree could not be read.
    Source,
    /// The tree does not fit.
    NoSpace,
    /// One file or directory is more than the file system can hold.
    TooLarge,
    /// The bytes on the disk contradict their format.
    Damaged,
    /// There is no such structure on the disk.
    NotFound,
    /// What was found or asked for is not supported.
    Unsupported,
    /// The caller asked to stop.
    Interrupted,
    /// The disk failed.
    Io,
}

/// An error of building or parsing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MkfsError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] IoError),
    /// The tree could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A name cannot be stored.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An option is wrong.
    #[error("{option}: {reason}")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// Why it is wrong.
        reason: String,
    },
    /// The disk or partition is too small for the structure.
    #[error("{what} needs at least {needed}, the disk has {actual}")]
    TooSmall {
        /// The structure.
        what: &'static str,
        /// Least size.
        needed: ByteCount,
        /// Size of the disk.
        actual: ByteCount,
    },
    /// The disk or partition is too large for the structure.
    #[error("{what} holds at most {limit}, the disk has {actual}")]
    DiskTooLarge {
        /// The structure.
        what: &'static str,
        /// Largest size.
        limit: ByteCount,
        /// Size of the disk.
        actual: ByteCount,
    },
    /// The tree does not fit; `needed` is a lower bound.
    #[error("the content needs at least {needed}, the file system has room for {available}")]
    NoSpace {
        /// Bytes needed, as far as known.
        needed: ByteCount,
        /// Bytes there are.
        available: ByteCount,
    },
    /// A file is larger than the file system can hold.
    #[error("{path}: a file of {size} is too large, the limit is {limit}")]
    FileTooLarge {
        /// Path in the source.
        path: String,
        /// Its size.
        size: ByteCount,
        /// Largest size.
        limit: ByteCount,
    },
    /// A directory holds more than the file system can.
    #[error("{path}: the directory has too many entries, the limit is {limit}")]
    DirectoryFull {
        /// Path in the source.
        path: String,
        /// The limit and its unit.
        limit: &'static str,
    },
    /// Bytes on the disk contradict their format.
    #[error("{structure} at {offset} is damaged: {reason}")]
    Damaged {
        /// The structure.
        structure: &'static str,
        /// Where it stands.
        offset: ByteOffset,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such structure on the disk.
    #[error("no {0} was found")]
    NotFound(&'static str),
    /// Not supported.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl MkfsError {
    /// The class of the error.
    pub fn kind(&self) -> MkfsErrorKind {
        match self {
            Self::Disk(error) if error.kind() == IoErrorKind::NoSpace => MkfsErrorKind::NoSpace,
            Self::Disk(error) if error.kind() == IoErrorKind::Damaged => MkfsErrorKind::Damaged,
            Self::Disk(_) => MkfsErrorKind::Io,
            Self::Tree(_) => MkfsErrorKind::Source,
            Self::Name(_) => MkfsErrorKind::InvalidName,
            Self::InvalidOption { .. } | Self::TooSmall { .. } | Self::DiskTooLarge { .. } => {
                MkfsErrorKind::InvalidOption
            }
            Self::NoSpace { .. } => MkfsErrorKind::NoSpace,
            Self::FileTooLarge { .. } | Self::DirectoryFull { .. } => MkfsErrorKind::TooLarge,
            Self::Damaged { .. } => MkfsErrorKind::Damaged,
            Self::NotFound(_) => MkfsErrorKind::NotFound,
            Self::Unsupported(_) => MkfsErrorKind::Unsupported,
            Self::Interrupted => MkfsErrorKind::Interrupted,
        }
    }
}

//! The one error of changing volumes at rest.

use blockio::{ByteCount, ByteOffset, IoError, IoErrorKind};

use crate::error::{MkfsError, MkfsErrorKind};
use crate::names::NameError;
use crate::security::DescriptorError;
use crate::tree::TreeError;

/// What went wrong, in the classes that callers act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeErrorKind {
    /// The request makes no sense on this volume.
    InvalidArgument,
    /// There is nothing of that name.
    NotFound,
    /// Something of that name is there.
    AlreadyExists,
    /// The volume contradicts its format, or was changed by somebody else.
    Damaged,
    /// The volume was not unmounted cleanly.
    Unclean,
    /// The volume, or what is on it, is not supported.
    Unsupported,
    /// No space is left, on the volume or on the host.
    NoSpace,
    /// The source could not be read.
    Source,
    /// The caller asked to stop.
    Interrupted,
    /// The disk or the host failed.
    Io,
}

/// A failed change. After every one but `Recorded` the volume is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] IoError),
    /// The source could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A name cannot be stored.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A structure cannot be made, or the partition table cannot be read.
    #[error(transparent)]
    Mkfs(#[from] MkfsError),
    /// A security descriptor contradicts itself, or cannot be put together.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// There is nothing of that name.
    #[error("{path}: not found in the volume")]
    NotFound {
        /// The path in the volume.
        path: String,
    },
    /// Something of that name is there.
    #[error("{path}: exists in the volume")]
    Exists {
        /// The path in the volume.
        path: String,
    },
    /// It is something else than asked for.
    #[error("{path}: {is}")]
    WrongKind {
        /// The path in the volume.
        path: String,
        /// What it is.
        is: &'static str,
    },
    /// The directory has entries.
    #[error("{path}: the directory is not empty")]
    NotEmpty {
        /// The path in the volume.
        path: String,
    },
    /// What is asked for is not possible with this path.
    #[error("{path}: {reason}")]
    Refused {
        /// The path in the volume.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// The volume was not unmounted cleanly.
    #[error("the volume was not unmounted cleanly: {reason}")]
    Unclean {
        /// What says so.
        reason: &'static str,
    },
    /// A structure contradicts its format.
    #[error("{structure} at {offset} is damaged: {reason}")]
    Damaged {
        /// The structure.
        structure: &'static str,
        /// Where in the partition, in bytes, or the number of the record.
        offset: ByteOffset,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not supported.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// A file is kept in a way that is not supported.
    #[error("{path}: {what} is not supported")]
    UnsupportedFile {
        /// The path in the volume.
        path: String,
        /// What is not supported.
        what: &'static str,
    },
    /// The volume is full.
    #[error("the volume has no room: {needed} more are needed, {available} are free")]
    NoSpace {
        /// Bytes needed at the point where it was found out.
        needed: ByteCount,
        /// Bytes free at that point; what this very change frees is not counted.
        available: ByteCount,
    },
    /// The volume, or the disk that it is on, cannot be made so small.
    #[error("what is there does not fit: the smallest possible size is {minimum}")]
    BelowMinimum {
        /// The smallest size, of the volume or the disk.
        minimum: ByteCount,
    },
    /// A file is larger than the file system can hold.
    #[error("{path}: a file of {size} is too large, the limit is {limit}")]
    FileTooLarge {
        /// The path in the volume.
        path: String,
        /// Its size.
        size: ByteCount,
        /// Largest size.
        limit: ByteCount,
    },
    /// The change is more than is made at once.
    #[error("the change touches more than {limit} of structures at once")]
    TooMuch {
        /// The limit.
        limit: ByteCount,
    },
    /// Somebody else has written to the disk since a change was recorded.
    #[error(
        "a change was recorded and not completed, and {offset} on the disk was changed since; \
         removing the journal, IMAGE.change, gives that change up"
    )]
    Conflict {
        /// The first place on the disk that differs.
        offset: ByteOffset,
    },
    /// The change is recorded in its journal, but not complete on the disk.
    #[error("the change is recorded but not complete; the next command that changes it goes on")]
    Recorded(#[source] IoError),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl ChangeError {
    /// The class of the error.
    pub fn kind(&self) -> ChangeErrorKind {
        match self {
            Self::Disk(error) | Self::Recorded(error) => match error.kind() {
                IoErrorKind::NoSpace => ChangeErrorKind::NoSpace,
                IoErrorKind::Damaged => ChangeErrorKind::Damaged,
                _ => ChangeErrorKind::Io,
            },
            Self::Tree(_) => ChangeErrorKind::Source,
            Self::Name(_)
            | Self::WrongKind { .. }
            | Self::NotEmpty { .. }
            | Self::Refused { .. }
            | Self::BelowMinimum { .. }
            | Self::TooMuch { .. } => ChangeErrorKind::InvalidArgument,
            Self::Mkfs(error) => match error.kind() {
                MkfsErrorKind::InvalidOption | MkfsErrorKind::InvalidName => {
                    ChangeErrorKind::InvalidArgument
                }
                MkfsErrorKind::Source => ChangeErrorKind::Source,
                MkfsErrorKind::NoSpace | MkfsErrorKind::TooLarge => ChangeErrorKind::NoSpace,
                MkfsErrorKind::Damaged => ChangeErrorKind::Damaged,
                MkfsErrorKind::NotFound | MkfsErrorKind::Unsupported => {
                    ChangeErrorKind::Unsupported
                }
                MkfsErrorKind::Interrupted => ChangeErrorKind::Interrupted,
                MkfsErrorKind::Io => ChangeErrorKind::Io,
            },
            Self::NotFound { .. } => ChangeErrorKind::NotFound,
            Self::Exists { .. } => ChangeErrorKind::AlreadyExists,
            Self::Unclean { .. } => ChangeErrorKind::Unclean,
            Self::Damaged { .. } | Self::Conflict { .. } | Self::Descriptor(_) => {
                ChangeErrorKind::Damaged
            }
            Self::Unsupported(_) | Self::UnsupportedFile { .. } => ChangeErrorKind::Unsupported,
            Self::NoSpace { .. } | Self::FileTooLarge { .. } => ChangeErrorKind::NoSpace,
            Self::Interrupted => ChangeErrorKind::Interrupted,
        }
    }

    /// A contradiction in a structure.
    pub(crate) fn damaged(structure: &'static str, offset: u64, reason: &'static str) -> Self {
        Self::Damaged {
            structure,
            offset: ByteOffset(offset),
            reason,
        }
    }
}

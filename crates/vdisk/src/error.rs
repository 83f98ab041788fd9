//! The one error of the image formats: what an image, an option or the host made impossible.
//!
//! Damage names the rule of the specification that is broken and the place in the file; a cause
//! below is kept as the source. Callers decide by [`ImageError::kind`] alone.

use blockio::{ByteCount, ByteOffset, IoError, IoErrorKind, Operation};

use crate::image::ImageFormat;

/// The class of an [`ImageError`], which is all that callers decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageErrorKind {
    /// The file is not an image of the expected format.
    NotAnImage,
    /// The file contradicts its format.
    Damaged,
    /// The image needs something that is not supported.
    Unsupported,
    /// A differencing image: reading it needs its parent.
    Differencing,
    /// The parent of a differencing image is not where the image says.
    ParentMissing,
    /// The parent of a differencing image is one that may not be opened.
    ParentDenied,
    /// The parent of a differencing image is not the one that it was made on, or was changed since.
    ParentMismatch,
    /// The parents of a differencing image lead in a circle, or have no end.
    ParentLoop,
    /// The image was opened for reading only.
    ReadOnly,
    /// Somebody else holds the file open.
    InUse,
    /// The host has no space left.
    NoSpace,
    /// The host failed.
    Io,
    /// The disk is larger than the format or the target allows.
    TooLarge,
    /// An option is out of its range.
    InvalidOption,
    /// An earlier failure made the image unusable for writing.
    Poisoned,
    /// The caller stopped the operation.
    Cancelled,
}

/// Why an image could not be created, opened, checked or copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file is not an image of the expected format.
    #[error("not a {format} image: {reason}")]
    NotAnImage {
        /// The format that was expected.
        format: ImageFormat,
        /// What is missing.
        reason: &'static str,
    },
    /// The file contradicts its format.
    #[error("damaged image: {message} [{rule}]{}", display_offset(*.offset))]
    Damaged {
        /// Section of the specification that is broken, such as `MS-VHDX 2.5.1.1`.
        rule: &'static str,
        /// Where in the file the contradiction stands.
        offset: Option<ByteOffset>,
        /// What is wrong, with the values found.
        message: String,
    },
    /// The image needs something that is not supported.
    #[error("unsupported image: {feature}")]
    Unsupported {
        /// What would be needed.
        feature: String,
    },
    /// The data of a differencing image cannot be read without its parent.
    #[error(
        "differencing image: its parent {parent:?} is needed, and no parent may be opened here"
    )]
    Differencing {
        /// The parent as the image names it: advice of an untrusted file, shown escaped.
        parent: String,
    },
    /// The parent of a differencing image is not where the image says.
    #[error(
        "parent {parent:?} of a differencing image is not there ({})",
        looked_at(tried)
    )]
    ParentMissing {
        /// The parent as the image names it.
        parent: String,
        /// Where it was looked for.
        tried: Vec<String>,
    },
    /// The parent of a differencing image is one that may not be opened.
    #[error("parent {parent:?} of a differencing image may not be opened: {reason}")]
    ParentDenied {
        /// The parent as the image names it.
        parent: String,
        /// What forbids it.
        reason: &'static str,
    },
    /// The parent of a differencing image is not the one that it was made on.
    #[error(transparent)]
    ParentMismatch(Box<ParentMismatch>),
    /// The parents of a differencing image lead in a circle.
    #[error("parents lead in a circle: {parent:?} is among its own parents")]
    ParentLoop {
        /// The image that was met twice.
        parent: String,
    },
    /// A differencing image has more parents than any honest one.
    #[error("differencing image has more than {limit} parents")]
    ChainTooDeep {
        /// The largest number there may be.
        limit: usize,
    },
    /// The image was opened for reading only.
    #[error("image is open for reading only")]
    ReadOnly,
    /// The disk is larger than allowed.
    #[error("disk of {size} is larger than the limit of {limit}")]
    TooLarge {
        /// The size asked for.
        size: ByteCount,
        /// The largest size there is.
        limit: ByteCount,
    },
    /// An option is out of its range.
    #[error("{option} is not possible: {reason}")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// Why not.
        reason: String,
    },
    /// An earlier failure made the image unusable for writing.
    #[error("image was given up after an earlier failure to write it")]
    Poisoned,
    /// The caller stopped the operation.
    #[error("stopped on request")]
    Cancelled,
    /// Reading, writing or flushing failed below the format.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// How a parent differs from the one that its child was made on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "parent {parent:?} is not what its child was made on, or was changed since: its {what} is {found}, \
     expected {expected}"
)]
pub struct ParentMismatch {
    /// The parent that was found.
    pub parent: String,
    /// What differs.
    pub what: &'static str,
    /// What the child remembers or needs.
    pub expected: String,
    /// What the parent has.
    pub found: String,
}

/// Where a parent was looked for, for a message.
fn looked_at(places: &[String]) -> String {
    match places {
        [] => "the image names no file".to_owned(),
        places => format!("looked at {}", places.join(", ")),
    }
}

fn display_offset(offset: Option<ByteOffset>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at {offset}"))
}

impl ImageError {
    /// Damage at a place in the file.
    pub fn damaged_at(rule: &'static str, offset: ByteOffset, message: impl Into<String>) -> Self {
        Self::Damaged {
            rule,
            offset: Some(offset),
            message: message.into(),
        }
    }

    /// Damage of the file as a whole.
    pub fn damaged(rule: &'static str, message: impl Into<String>) -> Self {
        Self::Damaged {
            rule,
            offset: None,
            message: message.into(),
        }
    }

    /// Something the image needs and that is not there.
    pub fn unsupported(feature: impl Into<String>) -> Self {
        Self::Unsupported {
            feature: feature.into(),
        }
    }

    /// An option out of its range.
    pub fn invalid_option(option: &'static str, reason: impl Into<String>) -> Self {
        Self::InvalidOption {
            option,
            reason: reason.into(),
        }
    }

    /// The class of the error.
    pub fn kind(&self) -> ImageErrorKind {
        match self {
            Self::NotAnImage { .. } => ImageErrorKind::NotAnImage,
            Self::Damaged { .. } => ImageErrorKind::Damaged,
            Self::Unsupported { .. } => ImageErrorKind::Unsupported,
            Self::Differencing { .. } => ImageErrorKind::Differencing,
            Self::ParentMissing { .. } => ImageErrorKind::ParentMissing,
            Self::ParentDenied { .. } => ImageErrorKind::ParentDenied,
            Self::ParentMismatch(_) => ImageErrorKind::ParentMismatch,
            Self::ParentLoop { .. } | Self::ChainTooDeep { .. } => ImageErrorKind::ParentLoop,
            Self::ReadOnly => ImageErrorKind::ReadOnly,
            Self::TooLarge { .. } => ImageErrorKind::TooLarge,
            Self::InvalidOption { .. } => ImageErrorKind::InvalidOption,
            Self::Poisoned => ImageErrorKind::Poisoned,
            Self::Cancelled => ImageErrorKind::Cancelled,
            Self::Io(error) => match error.kind() {
                IoErrorKind::NoSpace => ImageErrorKind::NoSpace,
                IoErrorKind::ReadOnly => ImageErrorKind::ReadOnly,
                IoErrorKind::InUse => ImageErrorKind::InUse,
                IoErrorKind::Poisoned => ImageErrorKind::Poisoned,
                IoErrorKind::Damaged => ImageErrorKind::Damaged,
                IoErrorKind::Unsupported => ImageErrorKind::Unsupported,
                _ => ImageErrorKind::Io,
            },
        }
    }

    /// The same as the failure of one operation on the open disk; this error becomes the source.
    pub fn into_io(self, operation: Operation, offset: ByteOffset, length: ByteCount) -> IoError {
        let kind = match self {
            Self::Io(error) => return error,
            Self::NotAnImage { .. }
            | Self::Damaged { .. }
            | Self::ParentMismatch(_)
            | Self::ParentLoop { .. }
            | Self::ChainTooDeep { .. } => IoErrorKind::Damaged,
            Self::ReadOnly => IoErrorKind::ReadOnly,
            Self::Poisoned => IoErrorKind::Poisoned,
            Self::TooLarge { .. } => IoErrorKind::NoSpace,
            Self::Unsupported { .. }
            | Self::Differencing { .. }
            | Self::ParentMissing { .. }
            | Self::ParentDenied { .. }
            | Self::InvalidOption { .. }
            | Self::Cancelled => IoErrorKind::Unsupported,
        };
        IoError::new(kind, operation, offset, length).with_source(self)
    }
}

/// What was read, or nothing where the bytes do not make sense; a failure of the host stays one.
pub(crate) fn readable<T>(result: Result<T, ImageError>) -> Result<Option<T>, ImageError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(
            ImageError::Damaged { .. }
            | ImageError::Unsupported { .. }
            | ImageError::NotAnImage { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

//! The error of reading a volume: which structure, of which record, where, and what is wrong.

use std::fmt;

use blockio::{ByteOffset, IoError};

use crate::error::{MkfsError, MkfsErrorKind};

/// A structure of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Structure {
    /// The boot sector or its copy.
    BootSector,
    /// A file record.
    Record,
    /// An attribute of a record.
    Attribute,
    /// The run list of an attribute.
    Runs,
    /// An attribute list, or what it leads to.
    AttributeList,
    /// The value of an attribute.
    Stream,
    /// An index root, block or entry.
    Index,
    /// `$Secure`.
    Security,
    /// `$UpCase`.
    Upcase,
    /// `$Volume`.
    VolumeInformation,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BootSector => "boot sector",
            Self::Record => "file record",
            Self::Attribute => "attribute",
            Self::Runs => "run list",
            Self::AttributeList => "attribute list",
            Self::Stream => "stream",
            Self::Index => "index",
            Self::Security => "$Secure",
            Self::Upcase => "$UpCase",
            Self::VolumeInformation => "$Volume",
        })
    }
}

/// Why a structure could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] IoError),
    /// Bytes contradict the format.
    #[error("{structure}{} is damaged: {reason}", Place { record, offset })]
    Damaged {
        /// The structure.
        structure: Structure,
        /// The record that it belongs to.
        record: Option<u64>,
        /// Where it stands: in bytes from the start of its record, block, stream or of the volume.
        offset: Option<u64>,
        /// What is wrong.
        reason: String,
    },
    /// What was found is not supported.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

struct Place<'a> {
    record: &'a Option<u64>,
    offset: &'a Option<u64>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(record) = self.record {
            write!(f, " of record {record}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " at {offset:#x}")?;
        }
        Ok(())
    }
}

impl ParseError {
    /// Damage of a structure, its place not told yet.
    pub(in crate::ntfs) fn damaged(structure: Structure, reason: impl Into<String>) -> Self {
        Self::Damaged {
            structure,
            record: None,
            offset: None,
            reason: reason.into(),
        }
    }

    /// The same error, of a record where it names none yet.
    #[must_use]
    pub(in crate::ntfs) fn of_record(mut self, number: u64) -> Self {
        if let Self::Damaged { record, .. } = &mut self {
            record.get_or_insert(number);
        }
        self
    }

    /// The same error, at an offset where it names none yet.
    #[must_use]
    pub(in crate::ntfs) fn at(mut self, place: u64) -> Self {
        if let Self::Damaged { offset, .. } = &mut self {
            offset.get_or_insert(place);
        }
        self
    }

    /// The class of the error.
    pub fn kind(&self) -> MkfsErrorKind {
        match self {
            Self::Disk(error) if error.kind() == blockio::IoErrorKind::Damaged => {
                MkfsErrorKind::Damaged
            }
            Self::Disk(_) => MkfsErrorKind::Io,
            Self::Damaged { .. } => MkfsErrorKind::Damaged,
            Self::Unsupported(_) => MkfsErrorKind::Unsupported,
        }
    }

    /// Whether the disk failed, as opposed to what stands on it.
    pub fn is_of_disk(&self) -> bool {
        matches!(self, Self::Disk(_))
    }
}

impl From<ParseError> for MkfsError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Disk(error) => Self::Disk(error),
            ParseError::Unsupported(what) => Self::Unsupported(what),
            ParseError::Damaged {
                offset: Some(offset),
                record: None,
                structure: Structure::BootSector,
                reason,
            } => Self::Damaged {
                structure: "boot sector",
                offset: ByteOffset(offset),
                reason,
            },
            damage @ ParseError::Damaged { .. } => Self::Damaged {
                structure: "the NTFS volume",
                offset: ByteOffset(0),
                reason: damage.to_string(),
            },
        }
    }
}

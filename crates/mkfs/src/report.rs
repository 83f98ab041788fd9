//! What a builder reports of a finished file system.

use blockio::ByteCount;

use crate::names::NameNote;

/// What was put into a file system, and what was not or not as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildReport {
    /// Files stored.
    pub files: u64,
    /// Directories stored, the root not counted.
    pub directories: u64,
    /// Symbolic links stored.
    pub symlinks: u64,
    /// Names stored beyond the first one of each file.
    pub hard_links: u64,
    /// Named streams stored.
    pub streams: u64,
    /// Reparse points stored that the source delivered as such.
    pub reparse_points: u64,
    /// Bytes of file data stored, holes not counted.
    pub bytes: ByteCount,
    /// Names stored otherwise than the source has them, or worth a warning.
    pub name_notes: Vec<NameNote>,
    /// Entries that the file system cannot hold.
    pub skipped: Vec<Skipped>,
    /// Entries stored otherwise than the source has them, but for their names.
    pub changed: Vec<Changed>,
}

/// An entry that is stored otherwise than the source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its path in the source, with `/` between names.
    pub path: String,
    /// What is otherwise.
    pub change: Change,
}

/// What is otherwise than in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It was compressed; its data is stored as it is, without the attribute.
    Decompressed,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Decompressed => "was compressed, and is stored plain",
        })
    }
}

/// An entry that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its path in the source, with `/` between names.
    pub path: String,
    /// Why.
    pub reason: SkipReason,
}

/// Why an entry was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// The file system has no symbolic links.
    SymlinkUnsupported,
    /// The target of the link cannot be stored.
    SymlinkTarget,
    /// The directory that it lies in was left out.
    ParentSkipped,
    /// The file system has no hard links.
    HardLinkUnsupported,
    /// The file that it is one more name of was left out.
    LinkTarget,
    /// The file has as many names as the file system allows.
    TooManyNames,
    /// The file system has no named streams.
    StreamUnsupported,
    /// The entry of the stream was left out.
    StreamOfSkipped,
    /// The entry has a stream of this name, upper and lower case being the same.
    StreamExists,
    /// The entry has as many streams as the file system allows.
    TooManyStreams,
    /// The file system has no reparse points.
    ReparsePointUnsupported,
}

impl std::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SymlinkUnsupported => "the file system holds no symbolic links",
            Self::SymlinkTarget => "the target of the link cannot be stored",
            Self::ParentSkipped => "its directory was left out",
            Self::HardLinkUnsupported => "the file system holds no hard links",
            Self::LinkTarget => "the file it is a name of was left out",
            Self::TooManyNames => "the file has as many names as Windows allows, 1024",
            Self::StreamUnsupported => "the file system holds no named streams",
            Self::StreamOfSkipped => "what it is a stream of was left out",
            Self::StreamExists => "a stream of this name is there already",
            Self::TooManyStreams => "the streams before it fill the list that a file has for them",
            Self::ReparsePointUnsupported => "the file system holds no reparse points",
        })
    }
}

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
    /// Bytes of file data stored, holes not counted.
    pub bytes: ByteCount,
    /// Names stored otherwise than the source has them, or worth a warning.
    pub name_notes: Vec<NameNote>,
    /// Entries that the file system cannot hold.
    pub skipped: Vec<Skipped>,
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
}

impl std::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SymlinkUnsupported => "the file system holds no symbolic links",
            Self::SymlinkTarget => "the target of the link cannot be stored",
        })
    }
}

//! The name policy that NTFS and FAT32 share: what becomes of names Windows cannot use.
//!
//! Names are decided where they arrive, one directory at a time ([`SiblingNames`]): of two names
//! that differ in case only, the first keeps its name. Sources that sort make this reproducible.

mod policy;
mod taken;

use std::fmt;

pub use policy::{AdmittedName, NameRules, SiblingNames};

/// What is done with a name that Windows cannot use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NamePolicy {
    /// It is stored in the nearest way that Windows can use, and reported: forbidden characters and
    /// a trailing dot or space become U+F000 + the character (as WSL, Cygwin and SFM do), names
    /// that collide become `name (2)`.
    #[default]
    Map,
    /// It is an error.
    Strict,
}

/// What is done with names of one directory that differ in case only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CasePolicy {
    /// The first keeps its name, the others become `name (2)` and are reported; an error where
    /// [`NamePolicy::Strict`] is asked for.
    #[default]
    Rename,
    /// They are an error.
    Refuse,
    /// All keep their names, and their directory tells names apart by case, where the file system
    /// knows such directories. They are reported.
    KeepBoth,
}

/// Why a name is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameProblem {
    /// It holds a character that Windows forbids in names.
    ForbiddenCharacter,
    /// It ends with a dot or a space, which Windows cuts off.
    TrailingDotOrSpace,
    /// Another name in the directory differs from it in case only, or not at all.
    Collision,
    /// Another name in the directory differs from it in case only; both are kept.
    KeptCase,
    /// It is the name of a device, such as `CON` or `aux.txt`; stored as it is.
    ReservedDevice,
    /// It is empty.
    Empty,
    /// It is longer than 255 UTF-16 code units.
    TooLong,
    /// It is `.` or `..`.
    DotOrDotDot,
    /// It holds a NUL.
    Nul,
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ForbiddenCharacter => "holds a character that Windows forbids in names",
            Self::TrailingDotOrSpace => "ends with a dot or a space",
            Self::Collision => "differs from another name in the directory in case only",
            Self::KeptCase => {
                "differs from another name in the directory in case only, and is kept"
            }
            Self::ReservedDevice => "is the name of a device on Windows",
            Self::Empty => "is empty",
            Self::TooLong => "is longer than 255 UTF-16 code units",
            Self::DotOrDotDot => "is a name that every directory has already",
            Self::Nul => "holds a NUL",
        })
    }
}

/// A name that is stored otherwise than the source has it, or is worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameNote {
    /// Path in the source, with `/` between names.
    pub path: String,
    /// Why.
    pub reason: NameProblem,
    /// The name as stored.
    pub stored_as: String,
}

/// A name that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path:?}: the name {reason}")]
pub struct NameError {
    path: String,
    reason: NameProblem,
}

impl NameError {
    /// The name at `path` cannot be stored.
    pub fn new(path: impl Into<String>, reason: NameProblem) -> Self {
        Self {
            path: path.into(),
            reason,
        }
    }

    /// Path in the source (the name alone where no more is known).
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Why it cannot be stored.
    pub fn reason(&self) -> NameProblem {
        self.reason
    }
}

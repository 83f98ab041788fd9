//! Partition tables and file systems, built in one pass on a disk that reads as zeros.
//!
//! ```text
//!   TreeSource (tree)     a stream of directories, files, links
//!        |
//!   names                 what becomes of names Windows cannot use
//!        |
//!   ntfs | fat32          a builder each: boot sector, data, index, bitmaps
//!        |
//!   gpt                   where the file system lies on the disk
//!        |
//!   blockio::Disk
//! ```
//!
//! A builder is a pure function: the same tree and options make the same bytes. Nothing is written
//! where zeros belong. What is read back from a disk ([`gpt`], [`identify()`]) is bounded before it is
//! believed.

#![forbid(unsafe_code)]

pub mod change;
mod error;
pub mod fat32;
mod findings;
pub mod gpt;
mod identify;
mod names;
pub mod ntfs;
pub mod pack;
mod report;
pub mod resize;
pub mod security;
pub mod tree;
pub mod used;

pub use error::{MkfsError, MkfsErrorKind};
pub use findings::{FindingSeverity, VolumeFinding, VolumeReport};
pub use identify::{FileSystem, identify};
pub use names::{
    AdmittedName, CasePolicy, NameError, NameNote, NamePolicy, NameProblem, NameRules, SiblingNames,
};
pub use report::{BuildReport, Change, Changed, SkipReason, Skipped};
pub use security::SecurityDescriptor;
pub use tree::{
    Amendment, Attributes, EntryKind, FileContent, NodeId, NodeName, NtTime, Times, TreeEntry,
    TreeError, TreeErrorKind, TreeSource, TreeTotals,
};

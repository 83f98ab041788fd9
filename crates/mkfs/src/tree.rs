//! The tree model: what a file-system builder is fed with.
//!
//! A [`TreeSource`] is a stream, so that a builder can work in one pass: parents come before their
//! children, siblings in any order (sources that can sort do, which makes images reproducible).
//! The root directory is not delivered; it is [`NodeId::ROOT`] from the start.

mod attributes;
mod error;
pub mod memory;
mod time;

use std::fmt;
use std::io::Read;

use blockio::{ByteCount, ByteRange};

use crate::names::NameError;
use crate::security::SecurityDescriptor;

pub use attributes::Attributes;
pub use error::{TreeError, TreeErrorKind};
pub use time::{NtTime, Times};

/// The longest name a file system of ours holds, in UTF-16 code units.
pub const NAME_MAX_UNITS: usize = 255;

/// A stream of entries, parents before children.
pub trait TreeSource {
    /// The next entry, or `None` after the last one. A file's content must be read (or dropped)
    /// before the next call.
    ///
    /// # Errors
    /// [`TreeError`], which names the path that could not be read.
    fn next_entry(&mut self) -> Result<Option<TreeEntry>, TreeError>;

    /// Times of the root directory, where the source knows them.
    fn root_times(&self) -> Option<Times> {
        None
    }

    /// Who may do what with the root directory, where the source knows it.
    fn root_security(&self) -> Option<SecurityDescriptor> {
        None
    }

    /// How much will come, where the source knows it before it begins; a builder may place
    /// structures by it or refuse early, but must be right without it and when it is wrong.
    fn totals(&self) -> Option<TreeTotals> {
        None
    }

    /// What was said of directories once more after they were delivered, the last word on each. Asked
    /// for once, after the last entry.
    fn amendments(&mut self) -> Vec<Amendment> {
        Vec::new()
    }
}

/// The last word on a directory that was delivered, or on the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
    /// Which one.
    pub directory: NodeId,
    /// Its four times.
    pub times: Times,
    /// Its attributes; those of the root are the builder's.
    pub attributes: Attributes,
    /// Who may do what with it; `None` where nothing was said of that.
    pub security: Option<SecurityDescriptor>,
}

/// How much a source is going to deliver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeTotals {
    /// Entries that are no stream and no further name of another.
    pub entries: u64,
    /// Bytes of file data and streams without holes.
    pub data: ByteCount,
}

/// The number of an entry: sources number entries of every kind in the order of appearance, from 1,
/// without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The root directory.
    pub const ROOT: Self = Self(0);
}

/// One entry of a tree.
#[derive(Debug)]
pub struct TreeEntry {
    /// The directory it lies in, delivered earlier (or the root).
    pub parent: NodeId,
    /// Its own number.
    pub id: NodeId,
    /// Its name as the source has it; the builder's name policy decides how it is stored.
    pub name: NodeName,
    /// Its four times.
    pub times: Times,
    /// Its attributes; kind bits (directory, reparse point, sparse) are the builder's to add.
    pub attributes: Attributes,
    /// Who may do what with it; `None` for what a new entry inherits from the root of a new volume.
    /// Of no meaning for [`EntryKind::HardLink`] and [`EntryKind::Stream`].
    pub security: Option<SecurityDescriptor>,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Debug)]
#[non_exhaustive]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A file with its content.
    File(FileContent),
    /// A symbolic link.
    Symlink {
        /// Where it points, in UTF-16 code units, as the source spells it.
        target: Vec<u16>,
        /// Whether it is known to point at a directory (Windows keeps the two kinds apart).
        directory: bool,
    },
    /// One more name of a file, symbolic link or reparse point delivered earlier.
    HardLink {
        /// The entry that the name leads to as well.
        target: NodeId,
    },
    /// A named stream of the entry delivered last that was no stream, of the root where there was none
    /// yet, never of a hard link. The name of this entry is the stream's; its parent, times and
    /// attributes mean nothing.
    Stream(FileContent),
    /// A reparse point with the data as Windows hands it out: a junction, or a kind that only its
    /// owner understands.
    ReparsePoint {
        /// REPARSE_DATA_BUFFER or REPARSE_GUID_DATA_BUFFER, head included ([MS-FSCC] 2.1.2).
        data: Vec<u8>,
        /// Whether it is a directory.
        directory: bool,
    },
}

/// The content of a file: its size, where data lies, and the data.
pub struct FileContent {
    /// Size in bytes, holes included.
    pub size: ByteCount,
    /// The ranges that hold data: ascending, apart, non-empty, within `size`. All else is a hole.
    pub islands: Vec<ByteRange>,
    /// Yields the bytes of the islands one after another. An error may carry a [`TreeError`] inside
    /// (see [`TreeError::from_read`]); ending early is an error of the source.
    pub reader: Box<dyn Read + Send>,
}

impl FileContent {
    /// Content without holes.
    pub fn dense(size: ByteCount, reader: Box<dyn Read + Send>) -> Self {
        let islands = ByteRange::new(blockio::ByteOffset(0), size)
            .filter(|range| !range.is_empty())
            .into_iter()
            .collect();
        Self {
            size,
            islands,
            reader,
        }
    }

    /// Bytes of data, holes not counted.
    pub fn data_size(&self) -> ByteCount {
        ByteCount(
            self.islands
                .iter()
                .fold(0, |sum, island| island.len().get().saturating_add(sum)),
        )
    }

    /// Whether a part of the file is a hole.
    pub fn has_holes(&self) -> bool {
        self.data_size() < self.size
    }

    /// Whether the islands keep their promise: ascending, apart, non-empty, within the size.
    pub fn is_well_formed(&self) -> bool {
        let mut end = 0;
        self.islands.iter().all(|island| {
            let in_order = island.start().get() >= end && !island.is_empty();
            end = island.end().get();
            in_order && end <= self.size.get()
        })
    }
}

impl fmt::Debug for FileContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileContent")
            .field("size", &self.size)
            .field("islands", &self.islands)
            .finish_non_exhaustive()
    }
}

/// One name in UTF-16 code units: never empty, at most [`NAME_MAX_UNITS`] long, without NUL, and
/// neither `.` nor `..`. Unpaired surrogates are legal, as on Windows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Vec<u16>);

impl NodeName {
    /// A checked name.
    ///
    /// # Errors
    /// [`NameError`] where the name is empty, too long, `.` or `..`, or holds a NUL.
    pub fn new(units: Vec<u16>) -> Result<Self, NameError> {
        const DOT: u16 = 0x2E;
        let fail = |reason| Err(NameError::new(String::from_utf16_lossy(&units), reason));
        if units.is_empty() {
            return fail(crate::names::NameProblem::Empty);
        }
        if units.len() > NAME_MAX_UNITS {
            return fail(crate::names::NameProblem::TooLong);
        }
        if units == [DOT] || units == [DOT, DOT] {
            return fail(crate::names::NameProblem::DotOrDotDot);
        }
        if units.contains(&0) {
            return fail(crate::names::NameProblem::Nul);
        }
        Ok(Self(units))
    }

    /// The name that a string spells.
    ///
    /// # Errors
    /// As [`NodeName::new`].
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        Self::new(text.encode_utf16().collect())
    }

    /// The code units.
    pub fn units(&self) -> &[u16] {
        &self.0
    }

    /// The code units alone.
    pub fn into_units(self) -> Vec<u16> {
        self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf16_lossy(&self.0))
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf16_lossy(&self.0))
    }
}

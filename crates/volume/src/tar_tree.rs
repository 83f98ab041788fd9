//! A tar stream as a [`TreeSource`]: what `create --from FILE.tar` reads.
//!
//! ```text
//!   TarTree (entry)       members become entries of a tree; what that allows and what not
//!      |
//!   member                a head with what extends it: pax, number, sparse
//!      |
//!   stream                blocks, and the content of one member
//!      |
//!   compression           gzip, zstd, xz, told by their first bytes
//! ```
//!
//! Invariants: the stream is read once, from start to end, in bounded memory (a buffer, and for each
//! entry its name); nothing lies outside the tree, and nothing below a link; what the stream says
//! twice, or cannot mean, ends in an error that names the member.
//!
//! Rules where a stream leaves a choice:
//! - A directory that is missing is made, with the times of the first entry below it.
//! - A directory that comes again is listed, and what is said of it last counts; anything else that
//!   comes again is an error, since one pass cannot take back what was delivered.
//! - The archive must end with its mark (two blocks of zeros); what comes behind it is not read.
//! - Members that Windows wrote (records `MSWINDOWS.*`) may be followed by their streams, as members
//!   named `PATH:STREAM` without such records.
//! - A Windows layer of a container image, whose first member is Windows' own and lies in `Files`,
//!   `Hives` or `UtilityVM`, is taken apart: what lies in `Files` is the volume, the rest is left
//!   out. A stream that begins with its root, as those that cvol writes do, is never a layer.

mod compression;
mod content;
mod entry;
pub(crate) mod format;
mod fuzz;
mod member;
pub(crate) mod name;
pub(crate) mod nodes;
mod note;
mod number;
mod pax;
mod sparse;
mod stream;
#[cfg(test)]
mod tests;
pub(crate) mod windows;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use mkfs::{
    Amendment, NodeId, NtTime, SecurityDescriptor, Times, TreeEntry, TreeError, TreeErrorKind,
    TreeSource,
};

pub use compression::Compression;
pub use fuzz::fuzz_import;
pub use note::{TarNote, TarNoteReason};

use member::Fault;
use nodes::Nodes;
use note::Notes;
use pax::Records;
use stream::{EndsEarly, Stream};
use windows::Descriptors;

/// What is read behind the end mark: archives are padded to some multiple of their blocks.
const MAX_DRAINED_BYTES: u64 = 1 << 20;
/// Members in a row that are no entry of the tree.
const MAX_LEFT_OUT: u64 = 1 << 24;

/// How a stream is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TarLayout {
    /// Told by its first members.
    #[default]
    Auto,
    /// Its paths are those of the volume.
    Plain,
    /// A Windows layer of a container image: `Files` is the volume.
    WindowsLayer,
}

/// How a stream is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TarTreeOptions {
    /// How it is laid out.
    pub layout: TarLayout,
    /// Later times become this one (reproducible builds).
    pub latest_time: Option<NtTime>,
}

/// A tar stream as a stream of entries.
pub struct TarTree {
    stream: Arc<Mutex<Stream>>,
    options: TarTreeOptions,
    /// The archive as errors name it where no member is known.
    name: String,
    global: Records,
    nodes: Nodes,
    descriptors: Descriptors,
    notes: Notes,
    /// Entries that were read and not delivered.
    pending: VecDeque<TreeEntry>,
    root_times: Option<Times>,
    root_security: Option<SecurityDescriptor>,
    /// Directories that came again, and what was said of them last.
    amendments: BTreeMap<NodeId, Amendment>,
    /// Whether it is a Windows layer, once that is known.
    is_layer: Option<bool>,
    /// The member read last, whose streams may follow.
    last: Last,
    /// The directory whose child came last: its path in the stream, and its number.
    directory: (Vec<u8>, NodeId),
    has_ended: bool,
}

/// The member read last.
#[derive(Debug, Default)]
struct Last {
    path: Vec<u8>,
    /// The entry, where streams of it may follow.
    owner: Option<NodeId>,
}

impl TarTree {
    /// Reads a tar stream, packed or not, up to its first entry; `name` is what errors call it.
    ///
    /// # Errors
    /// `Malformed` where it is no tar stream, `Unsupported` where it is packed in an unknown way,
    /// `Unreadable`; and as for [`TreeSource::next_entry`].
    pub fn open(
        input: Box<dyn Read + Send>,
        name: impl Into<String>,
        options: TarTreeOptions,
    ) -> Result<Self, TreeError> {
        let name = name.into();
        let input = compression::unpacked(input).map_err(|error| fault_of_stream(&name, error))?;
        let mut tree = Self {
            stream: Arc::new(Mutex::new(Stream::new(input))),
            is_layer: match options.layout {
                TarLayout::Auto => None,
                TarLayout::Plain => Some(false),
                TarLayout::WindowsLayer => Some(true),
            },
            options,
            name,
            global: Records::default(),
            nodes: Nodes::default(),
            descriptors: Descriptors::default(),
            notes: Notes::default(),
            pending: VecDeque::new(),
            root_times: None,
            root_security: None,
            amendments: BTreeMap::new(),
            last: Last::default(),
            directory: (Vec::new(), NodeId::ROOT),
            has_ended: false,
        };
        // What is said of the root comes before the first entry.
        tree.advance()?;
        Ok(tree)
    }

    /// What was left out or is not as the stream has it, so far; of what whole trees have (see
    /// [`TarTree::note_lines`]) only the first.
    pub fn notes(&self) -> &[TarNote] {
        self.notes.list()
    }

    /// The same as lines, starting with the path; what whole trees have is counted.
    pub fn note_lines(&self) -> Vec<String> {
        self.notes.lines()
    }

    /// Reads members until an entry waits to be delivered, or the stream ends.
    fn advance(&mut self) -> Result<(), TreeError> {
        let mut left_out = 0;
        while self.pending.is_empty() && !self.has_ended {
            let next = {
                let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
                let next = member::next(&mut stream, &mut self.global);
                if matches!(next, Ok(None)) {
                    stream
                        .drain(MAX_DRAINED_BYTES)
                        .map_err(|error| fault_of_stream(&self.name, error))?;
                }
                next
            };
            match next.map_err(|fault| self.fault(fault))? {
                Some(member) => self.admit(member)?,
                None => self.has_ended = true,
            }
            left_out += 1;
            if left_out > MAX_LEFT_OUT {
                let what = "the archive holds too many members that are no part of the tree";
                return Err(self.error(TreeErrorKind::TooLarge, what));
            }
        }
        Ok(())
    }

    /// What went wrong before the path of a member was known.
    fn fault(&self, fault: Fault) -> TreeError {
        let (kind, path, what) = match fault {
            Fault::Stream(error) => return fault_of_stream(&self.place(), error),
            Fault::Malformed(path, what) => (TreeErrorKind::Malformed, path, what),
            Fault::Unsupported(path, what) => {
                let what = format!("{what} is not supported");
                (TreeErrorKind::Unsupported, path, what)
            }
        };
        TreeError::new(kind, path.unwrap_or_else(|| self.place()), what)
    }

    fn error(&self, kind: TreeErrorKind, what: impl Into<String>) -> TreeError {
        TreeError::new(kind, self.place(), what)
    }

    /// Where in the archive reading stands.
    fn place(&self) -> String {
        if self.last.path.is_empty() {
            return self.name.clone();
        }
        format!("{}, behind {}", self.name, name::shown(&self.last.path))
    }
}

/// The error of reading the stream at `path`: of the host where it says so, else of the archive.
fn fault_of_stream(path: &str, error: io::Error) -> TreeError {
    let inner = error.get_ref();
    let kind = if inner.is_some_and(|inner| inner.is::<compression::UnknownCompression>()) {
        TreeErrorKind::Unsupported
    } else if error.raw_os_error().is_some() {
        return TreeError::unreadable(path, error);
    } else {
        TreeErrorKind::Malformed
    };
    let what = match inner {
        Some(inner) if inner.is::<EndsEarly>() || kind == TreeErrorKind::Unsupported => {
            inner.to_string()
        }
        _ => format!("the archive cannot be unpacked: {error}"),
    };
    TreeError::new(kind, path, what)
}

impl TreeSource for TarTree {
    fn next_entry(&mut self) -> Result<Option<TreeEntry>, TreeError> {
        if self.pending.is_empty() {
            self.advance()?;
        }
        Ok(self.pending.pop_front())
    }

    fn root_times(&self) -> Option<Times> {
        self.root_times
    }

    fn root_security(&self) -> Option<SecurityDescriptor> {
        self.root_security.clone()
    }

    fn amendments(&mut self) -> Vec<Amendment> {
        std::mem::take(&mut self.amendments).into_values().collect()
    }
}

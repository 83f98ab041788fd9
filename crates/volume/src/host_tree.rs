//! A directory of the host as a [`TreeSource`]: what `create --from` reads.
//!
//! ```text
//!   scan      every name looked at once, when the tree is opened: what is there, and how much
//!     |
//!   walk      the same again in order, beneath the handles of the directories
//!     |
//!   content   a file opened, read, and found unchanged
//! ```
//! What appears or vanishes after the scan is not in the tree, or an error; a file that is written
//! between the scan and its turn is delivered as it is then.
//!
//! Invariants: the order is that of the names, so the same directory is delivered the same way on
//! every host; no link is followed and nothing outside the directory is opened; a file that changes
//! while it is read is never delivered as if it were whole.

mod ahead;
mod content;
mod looked;
mod name;
#[cfg(unix)]
#[path = "host_tree/unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "host_tree/windows.rs"]
mod platform;
mod scan;
mod single;
mod walk;

use std::collections::{HashMap, VecDeque};
use std::io::{self, Cursor};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ahead::Ahead;
use blockio::ByteCount;
use cap_fs_ext::DirExt;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use mkfs::{
    Attributes, EntryKind, FileContent, NodeId, NodeName, NtTime, Times, TreeEntry, TreeError,
    TreeErrorKind, TreeSource, TreeTotals,
};
use scan::{Kind, Look};
pub use single::HostFile;
use walk::{Found, Walk};

/// How a directory is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostTreeOptions {
    /// What cannot be read is left out and listed, instead of ending the build.
    pub keep_going: bool,
    /// Extended attributes `user.*` are delivered as named streams.
    pub xattr_streams: bool,
    /// Each name of a file with several is a file of its own: for file systems without hard links.
    pub split_links: bool,
    /// Later times become this one (reproducible builds).
    pub latest_time: Option<NtTime>,
}

/// Something that was not read, or not as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNote {
    /// Its path, from the directory down, with `/` between names.
    pub path: String,
    /// What happened to it.
    pub reason: HostNoteReason,
}

/// Why something is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostNoteReason {
    /// Left out: a socket, a device or a pipe.
    SpecialFile,
    /// Left out: it could not be read; with what the host said.
    Unreadable(String),
    /// Left out: it changed while it was read.
    Changed,
    /// In the tree, but its content is not whole: it changed, or reading failed, when a part was
    /// delivered already. What is missing is zeros.
    Incomplete(String),
    /// Left out: a stream whose name cannot be one.
    StreamName,
    /// Its name is not Unicode; bytes that are not became U+F000 plus the byte.
    NameNotUnicode,
}

impl HostNoteReason {
    /// Whether the entry is missing from the tree.
    pub fn is_left_out(&self) -> bool {
        matches!(
            self,
            Self::SpecialFile | Self::Unreadable(_) | Self::Changed | Self::StreamName
        )
    }
}

impl std::fmt::Display for HostNoteReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SpecialFile => f.write_str("neither a file, a directory nor a link"),
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::Changed => f.write_str("changed while it was read"),
            Self::Incomplete(why) => write!(f, "stored in part: {why}"),
            Self::StreamName => f.write_str("no stream can have this name"),
            Self::NameNotUnicode => f.write_str("its name is not unicode"),
        }
    }
}

/// Notes, shared with the readers of contents.
#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<Vec<HostNote>>>);

impl Notes {
    fn add(&self, path: &str, reason: HostNoteReason) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(HostNote {
            path: path.to_owned(),
            reason,
        });
    }
}

/// A file of the host, whatever its names.
type FileIdentity = (u64, u64);

/// A named stream that was read.
#[derive(Debug)]
struct HostStream {
    /// For messages.
    path: String,
    name: Vec<u16>,
    value: Vec<u8>,
}

/// A directory of the host as a stream of entries.
#[derive(Debug)]
pub struct HostTree {
    walk: Walk,
    ahead: Ahead,
    options: HostTreeOptions,
    notes: Notes,
    next_id: u32,
    /// Files with several names that were delivered.
    linked: HashMap<FileIdentity, NodeId>,
    /// Streams of what was delivered last.
    streams: VecDeque<HostStream>,
    root_times: Times,
}

impl HostTree {
    /// Opens a directory (following links up to it) and looks at all that it holds.
    ///
    /// # Errors
    /// `Unreadable`, naming the path; what lies below is left to the stream.
    pub fn open(directory: &Path, options: HostTreeOptions) -> Result<Self, TreeError> {
        let shown = directory.display().to_string();
        let unreadable = |error: io::Error| TreeError::unreadable(shown.clone(), error);
        let root = Dir::open_ambient_dir(directory, ambient_authority()).map_err(unreadable)?;
        let root_times = root_times(&root, options).map_err(unreadable)?;
        let streams = if options.xattr_streams {
            platform::directory_streams(&root).map_err(unreadable)?
        } else {
            VecDeque::new()
        };
        let walk = Walk::new(root).map_err(unreadable)?;
        Ok(Self {
            walk,
            ahead: Ahead::default(),
            options,
            notes: Notes::default(),
            next_id: 1,
            linked: HashMap::new(),
            streams,
            root_times,
        })
    }

    /// What was left out or changed so far; whole once the stream and all contents have ended.
    pub fn notes(&self) -> Vec<HostNote> {
        self.notes
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The entry of what was found; `None` where it is left out.
    fn entry(&mut self, found: &Found) -> Result<Option<TreeEntry>, TreeError> {
        let seen = found.seen();
        let unreadable = |error| TreeError::unreadable(self.walk.path(found), error);
        let id = NodeId(self.next_id);
        let (units, name_is_mapped) = name::units_of(&found.os_name());
        let name = NodeName::new(units).map_err(|error| {
            let what = format!("its name {}", error.reason());
            TreeError::new(TreeErrorKind::Unreadable, self.walk.path(found), what)
        })?;
        let identity = found.identity().filter(|_| !self.options.split_links);
        let first_name = identity.and_then(|file| self.linked.get(&file).copied());
        let mut look = seen.look;
        let kind = match (seen.kind, first_name) {
            (_, Some(target)) => EntryKind::HardLink { target },
            (Kind::Failed, _) => return Err(self.walk.failure(found)),
            (Kind::Directory, _) => EntryKind::Directory,
            (Kind::Symlink, _) => link(found).map_err(unreadable)?,
            (Kind::File, _) => {
                let forgiving = self.options.keep_going.then_some(&self.notes);
                let place = content::Place {
                    directory: found.directory(),
                    name: &found.os_name(),
                    path: &|| self.walk.path(found),
                };
                let content = match self.ahead.take(&self.walk, found.entry()) {
                    Some(piece) => FileContent::dense(ByteCount(look.size), Box::new(piece)),
                    None => {
                        let opened = content::open(&place, look, seen.may_have_holes, forgiving);
                        let content;
                        (look, content) = opened?;
                        content
                    }
                };
                EntryKind::File(content)
            }
            (Kind::Special, _) => {
                let path = self.walk.path(found);
                self.notes.add(&path, HostNoteReason::SpecialFile);
                return Ok(None);
            }
        };
        if seen.kind == Kind::Directory {
            self.walk.enter(found, id)?;
        }
        if name_is_mapped {
            let path = self.walk.path(found);
            self.notes.add(&path, HostNoteReason::NameNotUnicode);
        }
        if let (Some(file), None) = (identity, first_name) {
            self.linked.insert(file, id);
        }
        if self.options.xattr_streams && first_name.is_none() {
            match self.streams_of(found) {
                Ok(streams) => self.streams = streams,
                Err(error) => self.forgive(error)?,
            }
        }
        let path = || self.walk.path(found);
        self.next_id = next_id(self.next_id, path)?;
        Ok(Some(TreeEntry {
            parent: found.parent(),
            id,
            name,
            times: times_of(look, self.options),
            attributes: seen.attributes,
            security: None,
            kind,
        }))
    }

    /// The streams of a file or directory; a symbolic link has none.
    fn streams_of(&self, found: &Found) -> Result<VecDeque<HostStream>, TreeError> {
        let (directory, name) = (found.directory(), found.os_name());
        let mut streams = match found.seen().kind {
            Kind::Directory => directory
                .open_dir_nofollow(&name)
                .and_then(|directory| platform::directory_streams(&directory)),
            Kind::File => {
                platform::open_file(directory, &name).and_then(|file| platform::streams(&file))
            }
            _ => return Ok(VecDeque::new()),
        }
        .map_err(|error| TreeError::unreadable(self.walk.path(found), error))?;
        for stream in &mut streams {
            stream.path = format!("{}:{}", self.walk.path(found), stream.path);
        }
        Ok(streams)
    }

    /// The next stream of what was delivered last.
    fn next_stream(&mut self) -> Result<Option<TreeEntry>, TreeError> {
        while let Some(stream) = self.streams.pop_front() {
            let Ok(name) = NodeName::new(stream.name) else {
                self.notes.add(&stream.path, HostNoteReason::StreamName);
                continue;
            };
            let id = NodeId(self.next_id);
            self.next_id = next_id(self.next_id, || stream.path.clone())?;
            let size = ByteCount(u64::try_from(stream.value.len()).unwrap_or(u64::MAX));
            return Ok(Some(TreeEntry {
                parent: NodeId::ROOT,
                id,
                name,
                times: Times::default(),
                attributes: Attributes::NONE,
                security: None,
                kind: EntryKind::Stream(FileContent::dense(
                    size,
                    Box::new(Cursor::new(stream.value)),
                )),
            }));
        }
        Ok(None)
    }

    /// Notes an error and goes on, or gives it back.
    fn forgive(&self, error: TreeError) -> Result<(), TreeError> {
        if !self.options.keep_going || error.kind() == TreeErrorKind::TooLarge {
            return Err(error);
        }
        let reason = match error.kind() {
            TreeErrorKind::Changed => HostNoteReason::Changed,
            _ => HostNoteReason::Unreadable(error.to_string()),
        };
        self.notes.add(error.path(), reason);
        Ok(())
    }
}

impl TreeSource for HostTree {
    fn next_entry(&mut self) -> Result<Option<TreeEntry>, TreeError> {
        if let Some(stream) = self.next_stream()? {
            return Ok(Some(stream));
        }
        while let Some(found) = self.walk.next() {
            match self.entry(&found) {
                Ok(Some(entry)) => return Ok(Some(entry)),
                Ok(None) => {}
                Err(error) => self.forgive(error)?,
            }
        }
        Ok(None)
    }

    fn root_times(&self) -> Option<Times> {
        Some(self.root_times)
    }

    fn totals(&self) -> Option<TreeTotals> {
        // With entries left out less may come than was counted.
        (!self.options.keep_going).then(|| self.walk.totals())
    }
}

/// The link that was found, and whether it leads to a directory.
fn link(found: &Found) -> io::Result<EntryKind> {
    let (directory, name) = (found.directory(), found.os_name());
    let target = directory.read_link_contents(&name)?;
    // Followed beneath the directory alone, so that the answer is the tree's own.
    let leads_to = directory.metadata(&name);
    Ok(EntryKind::Symlink {
        target: name::units_of(target.as_os_str()).0,
        directory: leads_to.is_ok_and(|target| target.is_dir()),
    })
}

fn next_id(id: u32, path: impl FnOnce() -> String) -> Result<u32, TreeError> {
    id.checked_add(1).ok_or_else(|| {
        let what = "the tree has more entries than can be numbered";
        TreeError::new(TreeErrorKind::TooLarge, path(), what)
    })
}

/// The time of the last change, for all four times.
fn times_of(look: Look, options: HostTreeOptions) -> Times {
    let (seconds, nanoseconds) = look.modified;
    let time = NtTime::from_unix(seconds, nanoseconds);
    let latest = options.latest_time.unwrap_or(time);
    Times::all(time.min(latest))
}

/// The times of the directory that a tree begins at.
fn root_times(root: &Dir, options: HostTreeOptions) -> io::Result<Times> {
    let time = NtTime::from(root.dir_metadata()?.modified()?.into_std());
    let latest = options.latest_time.unwrap_or(time);
    Ok(Times::all(time.min(latest)))
}

#[cfg(test)]
mod tests;

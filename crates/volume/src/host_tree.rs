//! A directory of the host as a [`TreeSource`]: what `create --from` reads.
//!
//! Invariants: the order is that of the names, so the same directory is delivered the same way on
//! every host; no link is followed and nothing outside the directory is opened; a file that changes
//! while it is read is never delivered as if it were whole.

mod content;
mod name;
#[cfg(unix)]
#[path = "host_tree/unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "host_tree/windows.rs"]
mod platform;
mod single;
mod walk;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, Cursor};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use blockio::ByteCount;
use cap_fs_ext::DirExt;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use mkfs::{
    Attributes, EntryKind, FileContent, NodeId, NodeName, NtTime, Times, TreeEntry, TreeError,
    TreeErrorKind, TreeSource, TreeTotals,
};
pub use single::HostFile;
use walk::{Found, Walk};

/// How a directory is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostTreeOptions {
    /// What cannot be read is left out and listed, instead of ending the build.
    pub keep_going: bool,
    /// Extended attributes `user.*` are delivered as named streams.
    pub xattr_streams: bool,
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
    options: HostTreeOptions,
    notes: Notes,
    next_id: u32,
    /// Files with several names that were delivered.
    linked: HashMap<FileIdentity, NodeId>,
    /// Streams of what was delivered last.
    streams: VecDeque<HostStream>,
    root_times: Times,
    totals: TreeTotals,
}

impl HostTree {
    /// Opens a directory (following links up to it) and counts what it holds.
    ///
    /// # Errors
    /// `Unreadable`, naming the path; what lies below is left to the stream.
    pub fn open(directory: &Path, options: HostTreeOptions) -> Result<Self, TreeError> {
        let shown = directory.display().to_string();
        let unreadable = |error: io::Error| TreeError::unreadable(shown.clone(), error);
        let root = Dir::open_ambient_dir(directory, ambient_authority()).map_err(unreadable)?;
        let metadata = root.dir_metadata().map_err(unreadable)?;
        let root_times = times_of(&metadata, options).map_err(unreadable)?;
        let root = Arc::new(root);
        let mut totals = TreeTotals::default();
        let mut linked = HashSet::new();
        let mut count = Walk::new(Arc::clone(&root), NodeId::ROOT).map_err(unreadable)?;
        loop {
            match count.next() {
                Ok(Some(found)) => {
                    if platform::identity(&found.metadata).is_some_and(|file| !linked.insert(file))
                    {
                        continue;
                    }
                    totals.entries = totals.entries.saturating_add(1);
                    if found.metadata.is_dir() {
                        // What cannot be entered is reported by the stream.
                        drop(count.enter(&found, NodeId::ROOT));
                    } else if found.metadata.is_file() {
                        let data = platform::allocated_bytes(&found.metadata);
                        totals.data = ByteCount(totals.data.get().saturating_add(data));
                    }
                }
                Ok(None) => break,
                Err(_) => {}
            }
        }
        let streams = if options.xattr_streams {
            platform::directory_streams(&root).map_err(unreadable)?
        } else {
            VecDeque::new()
        };
        Ok(Self {
            walk: Walk::new(root, NodeId::ROOT).map_err(unreadable)?,
            options,
            notes: Notes::default(),
            next_id: 1,
            linked: HashMap::new(),
            streams,
            root_times,
            totals,
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
        let unreadable = |error| TreeError::unreadable(found.path.clone(), error);
        let kind = found.metadata.file_type();
        let id = NodeId(self.next_id);
        let times = times_of(&found.metadata, self.options).map_err(unreadable)?;
        let identity = platform::identity(&found.metadata);
        let first_name = identity.and_then(|file| self.linked.get(&file).copied());
        let kind = if let Some(target) = first_name {
            EntryKind::HardLink { target }
        } else if kind.is_dir() {
            self.walk.enter(found, id)?;
            EntryKind::Directory
        } else if kind.is_symlink() {
            let link = found
                .directory
                .read_link_contents(&found.os_name)
                .map_err(unreadable)?;
            // Followed beneath the directory alone, so that the answer is the tree's own.
            let directory = found
                .directory
                .metadata(&found.os_name)
                .is_ok_and(|target| target.is_dir());
            EntryKind::Symlink {
                target: name::units_of(link.as_os_str()).0,
                directory,
            }
        } else if kind.is_file() {
            EntryKind::File(content::open(
                found,
                self.options.keep_going,
                self.notes.clone(),
            )?)
        } else {
            self.notes.add(&found.path, HostNoteReason::SpecialFile);
            return Ok(None);
        };
        if found.name_is_mapped {
            self.notes.add(&found.path, HostNoteReason::NameNotUnicode);
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
        self.count_id(&found.path)?;
        Ok(Some(TreeEntry {
            parent: found.parent,
            id,
            name: found.name.clone(),
            times,
            attributes: platform::attributes(&found.metadata),
            security: None,
            kind,
        }))
    }

    fn count_id(&mut self, path: &str) -> Result<(), TreeError> {
        self.next_id = self.next_id.checked_add(1).ok_or_else(|| {
            let what = "the tree has more entries than can be numbered";
            TreeError::new(TreeErrorKind::TooLarge, path, what)
        })?;
        Ok(())
    }

    /// The streams of a file or directory; a symbolic link has none.
    fn streams_of(&self, found: &Found) -> Result<VecDeque<HostStream>, TreeError> {
        let kind = found.metadata.file_type();
        let mut streams = if kind.is_dir() {
            found
                .directory
                .open_dir_nofollow(&found.os_name)
                .and_then(|directory| platform::directory_streams(&directory))
        } else if kind.is_file() {
            content::open_file(found).and_then(|file| platform::streams(&file))
        } else {
            return Ok(VecDeque::new());
        }
        .map_err(|error| TreeError::unreadable(found.path.clone(), error))?;
        for stream in &mut streams {
            stream.path = format!("{}:{}", found.path, stream.path);
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
            self.count_id(&stream.path)?;
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
        loop {
            let found = match self.walk.next() {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.forgive(error)?;
                    continue;
                }
            };
            match self.entry(&found) {
                Ok(Some(entry)) => return Ok(Some(entry)),
                Ok(None) => {}
                Err(error) => self.forgive(error)?,
            }
        }
    }

    fn root_times(&self) -> Option<Times> {
        Some(self.root_times)
    }

    fn totals(&self) -> Option<TreeTotals> {
        // With entries left out less may come than was counted.
        (!self.options.keep_going).then_some(self.totals)
    }
}

/// The time of the last change, for all four times.
fn times_of(metadata: &cap_std::fs::Metadata, options: HostTreeOptions) -> io::Result<Times> {
    let time = NtTime::from(metadata.modified()?.into_std());
    let latest = options.latest_time.unwrap_or(time);
    Ok(Times::all(time.min(latest)))
}

#[cfg(test)]
mod tests;

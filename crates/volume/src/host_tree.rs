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
mod walk;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use blockio::ByteCount;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use mkfs::{
    EntryKind, NodeId, NtTime, Times, TreeEntry, TreeError, TreeErrorKind, TreeSource, TreeTotals,
};
use walk::{Found, Walk};

/// How a directory is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostTreeOptions {
    /// What cannot be read is left out and listed, instead of ending the build.
    pub keep_going: bool,
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
    /// Its name is not Unicode; bytes that are not became U+F000 plus the byte.
    NameNotUnicode,
}

impl HostNoteReason {
    /// Whether the entry is missing from the tree.
    pub fn is_left_out(&self) -> bool {
        matches!(
            self,
            Self::SpecialFile | Self::Unreadable(_) | Self::Changed
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

/// A directory of the host as a stream of entries.
#[derive(Debug)]
pub struct HostTree {
    walk: Walk,
    options: HostTreeOptions,
    notes: Notes,
    next_id: u32,
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
        let mut count = Walk::new(Arc::clone(&root), NodeId::ROOT).map_err(unreadable)?;
        loop {
            match count.next() {
                Ok(Some(found)) => {
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
        Ok(Self {
            walk: Walk::new(root, NodeId::ROOT).map_err(unreadable)?,
            options,
            notes: Notes::default(),
            next_id: 1,
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
        let kind = if kind.is_dir() {
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
        self.next_id = self.next_id.checked_add(1).ok_or_else(|| {
            let what = "the tree has more entries than can be numbered";
            TreeError::new(TreeErrorKind::TooLarge, found.path.clone(), what)
        })?;
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

//! What a copy keeps beside contents: more names of files, named streams, times.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use cap_std::fs::Dir;

use super::super::error::{BrowseError, Result};
use super::super::{ContentSink, Details, Entry, FileSystemView, Place};
use super::platform;

/// Files that were copied and have more names than one.
pub(super) struct Linked {
    /// The folder that paths of copies begin in.
    root: Dir,
    copies: HashMap<u64, PathBuf>,
}

impl Linked {
    /// No files yet; copies are made below `root`.
    pub(super) fn new(root: Dir) -> Self {
        Self {
            root,
            copies: HashMap::new(),
        }
    }

    /// Keeps where a file was copied to, where it has more names.
    pub(super) fn keep(&mut self, entry: &Entry, details: Option<&Details>, path: PathBuf) {
        if let (Some(node), true) = (entry.node, details.is_some_and(|details| details.links > 1)) {
            self.copies.insert(node, path);
        }
    }

    /// Gives the copy of a file one more name; `false` where there is no copy, or the host cannot.
    pub(super) fn link(&self, entry: &Entry, directory: &Dir, name: &OsStr) -> bool {
        let Some(first) = entry.node.and_then(|node| self.copies.get(&node)) else {
            return false;
        };
        let made = self.root.hard_link(first, directory, name);
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // As for contents, what is there is replaced.
                directory.remove_file(name).is_ok()
                    && self.root.hard_link(first, directory, name).is_ok()
            }
            made => made.is_ok(),
        }
    }
}

/// Writes the named streams of an entry beside its copy; returns how many, and adds to `left_out`
/// those that the host cannot hold.
pub(super) fn streams(
    view: &mut dyn FileSystemView,
    place: &Place,
    details: &Details,
    directory: &Dir,
    name: &OsStr,
    left_out: &mut Vec<String>,
) -> Result<u64> {
    let mut written = 0;
    for stream in &details.streams {
        let fits = stream.size <= platform::MAX_STREAM_BYTES;
        let mut content = Content(Vec::new());
        if fits {
            view.read_stream_at(place, &stream.name, &mut content)?;
        }
        if fits && platform::write_stream(directory, name, &stream.name, &content.0).is_ok() {
            written += 1;
        } else {
            left_out.push(format!("{}:{}", place.path(), stream.name));
        }
    }
    Ok(written)
}

/// A content of bounded size in memory.
struct Content(Vec<u8>);

impl ContentSink for Content {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.0.resize(self.0.len().saturating_add(len), 0);
        Ok(())
    }
}

/// The details of the entries of a directory by their names.
pub(super) fn details_of(
    view: &mut dyn FileSystemView,
    place: &Place,
) -> Result<HashMap<String, Details>> {
    let entries = view.list_at(place)?;
    let details = view.details(&entries)?;
    Ok(entries
        .into_iter()
        .zip(details)
        .filter_map(|(entry, details)| Some((entry.name, details?)))
        .collect())
}

/// The details of one entry.
pub(super) fn details_of_one(
    view: &mut dyn FileSystemView,
    entry: &Entry,
) -> Result<Option<Details>> {
    let mut details = view.details(std::slice::from_ref(entry))?;
    Ok(details.pop().flatten())
}

/// The failure of a host at the copy of a place.
pub(super) fn host(place: &Place) -> impl Fn(io::Error) -> BrowseError + '_ {
    move |error| BrowseError::host(format_args!("copy of {}", place.path()), error)
}

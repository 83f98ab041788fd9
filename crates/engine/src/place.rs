//! Looking into a disk at rest: folders, files and whole trees, in a volume or an image file.
//!
//! Invariant: the disk is opened for reading only; depth and size of what is walked are bounded,
//! whatever the file system in it claims.

use std::fmt;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use blockio::{ByteCount, Disk};
use volume::browse::{self, BrowseError, FileSystemView, MAX_DEPTH};

use crate::Engine;
use crate::access::{Access, access_of};
use crate::error::{Error, Result};
use crate::image::ImageReference;
use volume::Timestamp;

pub use volume::browse::EntryKind;

/// A file or folder in a volume or image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The disk it is in.
    pub image: ImageReference,
    /// Where in its file system: names after slashes, from the top.
    pub path: String,
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; from an untrusted disk, so whoever prints it escapes it.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Size of a file; 0 for anything else.
    pub size: ByteCount,
    /// When its content last changed.
    pub modified: Timestamp,
    /// Where a link points to, as it says.
    pub link_target: Option<String>,
    /// Attributes as Windows numbers them ([MS-FSCC] 2.6).
    pub attributes: u32,
}

/// What is known of an entry beyond what its folder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryDetails {
    /// When it was made, where the file system says.
    pub created: Option<Timestamp>,
    /// When its record last changed.
    pub changed: Option<Timestamp>,
    /// When it was last read.
    pub accessed: Option<Timestamp>,
    /// Names of the file.
    pub links: u64,
    /// Its named streams, and their bytes.
    pub streams: Vec<(String, ByteCount)>,
    /// Who may do what with it, where the file system says and it can be said in words.
    pub access: Option<Access>,
}

/// One step of a walk through a tree: parents before children, siblings by name.
#[derive(Clone, Copy, Debug)]
pub struct TreeStep<'a> {
    /// How far below the start of the walk: 0 for what is in the start itself.
    pub depth: usize,
    /// Whether no sibling comes after it.
    pub is_last: bool,
    /// The entry.
    pub entry: &'a Entry,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.image, self.path)
    }
}

impl Engine {
    /// The entries of a folder, by name; of a file or link, that one entry.
    ///
    /// # Errors
    /// `NotFound` (volume, file or path), `InvalidArgument` (name, path), `InUse`, `Damaged`,
    /// `Unsupported` (a file system that cannot be read), `Io`.
    pub fn list_folder(&self, place: &Place) -> Result<Vec<Entry>> {
        let mut view = self.open_view(place)?;
        let fail = |error| of_browse(place, error);
        let found = view.stat(&place.path).map_err(fail)?;
        if found.kind != EntryKind::Directory {
            return Ok(vec![entry(found)]);
        }
        let folder = browse::Place::new(&place.path).map_err(fail)?;
        let listed = view.list_at(&folder).map_err(fail)?;
        Ok(listed
            .into_iter()
            .map(|found| with_target(&mut *view, &folder, found))
            .collect())
    }

    /// As [`Engine::list_folder`], with all that is known of each entry; nothing where its record
    /// cannot be read.
    ///
    /// # Errors
    /// As for [`Engine::list_folder`].
    pub fn list_folder_in_detail(
        &self,
        place: &Place,
    ) -> Result<Vec<(Entry, Option<EntryDetails>)>> {
        let mut view = self.open_view(place)?;
        let fail = |error| of_browse(place, error);
        let found = view.stat(&place.path).map_err(fail)?;
        let folder = browse::Place::new(&place.path).map_err(fail)?;
        let is_folder = found.kind == EntryKind::Directory;
        let listed = if is_folder {
            view.list_at(&folder).map_err(fail)?
        } else {
            vec![found]
        };
        let details = view.details(&listed).map_err(fail)?;
        let entries = listed.into_iter().map(|found| {
            if is_folder {
                with_target(&mut *view, &folder, found)
            } else {
                entry(found)
            }
        });
        let entries: Vec<Entry> = entries.collect();
        let details = details.into_iter().map(|found| found.map(in_detail));
        Ok(entries.into_iter().zip(details).collect())
    }

    /// Writes the content of a file.
    ///
    /// # Errors
    /// As for [`Engine::list_folder`]; [`Error::Output`] where `out` fails.
    pub fn read_file(&self, place: &Place, out: &mut dyn Write) -> Result<()> {
        let mut view = self.open_view(place)?;
        let mut out = Recorder { out, failure: None };
        let read = view.read_file(&place.path, &mut out);
        if let Some(failure) = out.failure {
            return Err(Error::Output(failure));
        }
        read.map_err(|error| of_browse(place, error))?;
        Ok(())
    }

    /// Shows every entry below a folder, at most `levels` deep; `Break` from `visit` stops the walk.
    ///
    /// # Errors
    /// As for [`Engine::list_folder`]; `InvalidArgument` where it is no folder, `Interrupted` where
    /// `visit` stops the walk.
    pub fn walk_tree(
        &self,
        place: &Place,
        levels: Option<u32>,
        visit: &mut dyn FnMut(&TreeStep<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut view = self.open_view(place)?;
        let fail = |error| of_browse(place, error);
        let levels = levels.and_then(|levels| usize::try_from(levels).ok());
        // Both bounds are far beyond any honest disk, and end the walk through one that is not.
        let mut entries_left = view.max_entries();
        let start = browse::Place::new(&place.path).map_err(fail)?;
        let listed = view.list_at(&start).map_err(fail)?;
        let mut open = vec![(start, listed.into_iter().peekable())];
        while let Some((folder, entries)) = open.last_mut() {
            let Some(found) = entries.next() else {
                open.pop();
                continue;
            };
            let is_last = entries.peek().is_none();
            let child = folder.child(&found);
            let enter = found.kind == EntryKind::Directory;
            let entry = with_target(&mut *view, folder, found);
            let depth = open.len() - 1;
            let step = TreeStep {
                depth,
                is_last,
                entry: &entry,
            };
            if visit(&step).is_break() {
                return Err(Error::Interrupted);
            }
            entries_left = match entries_left.checked_sub(1) {
                Some(left) if depth < MAX_DEPTH => left,
                _ => {
                    return Err(fail(BrowseError::Damaged {
                        path: child.path().to_owned(),
                        reason: "folders lie too deep or hold each other".to_owned(),
                    }));
                }
            };
            if enter && levels.is_none_or(|levels| depth + 1 < levels) {
                let listed = view.list_at(&child).map_err(fail)?;
                open.push((child, listed.into_iter().peekable()));
            }
        }
        Ok(())
    }

    /// The file system on the disk of a place.
    pub(crate) fn open_view(&self, place: &Place) -> Result<Box<dyn FileSystemView>> {
        let disk: Box<dyn Disk> = self.open_disk(&place.image, None)?;
        browse::open(Arc::from(disk)).map_err(|error| of_browse(place, error))
    }
}

/// The failure of looking into a place.
pub(crate) fn of_browse(place: &Place, source: BrowseError) -> Error {
    match source {
        BrowseError::Interrupted => Error::Interrupted,
        source => Error::Browse {
            image: place.image.to_string(),
            source,
        },
    }
}

fn entry(found: browse::Entry) -> Entry {
    Entry {
        name: found.name,
        kind: found.kind,
        size: ByteCount(found.size),
        modified: Timestamp::from_ntfs_time(found.modified.ticks()),
        link_target: found.link_target,
        attributes: found.attributes,
    }
}

fn timestamp(time: browse::NtTime) -> Timestamp {
    Timestamp::from_ntfs_time(time.ticks())
}

fn in_detail(found: browse::Details) -> EntryDetails {
    EntryDetails {
        created: found.created.map(timestamp),
        changed: found.changed.map(timestamp),
        accessed: found.accessed.map(timestamp),
        links: found.links,
        streams: found
            .streams
            .into_iter()
            .map(|stream| (stream.name, ByteCount(stream.size)))
            .collect(),
        access: found
            .security
            .and_then(|security| access_of(&security).ok()),
    }
}

/// An entry of a listing; of a link, with its target where that can be read.
fn with_target(
    view: &mut dyn FileSystemView,
    folder: &browse::Place,
    found: browse::Entry,
) -> Entry {
    let target = match found.kind {
        EntryKind::Symlink => view.read_link_at(&folder.child(&found)).ok(),
        _ => None,
    };
    Entry {
        link_target: target,
        ..entry(found)
    }
}

/// A writer that keeps its failure, so that it is not taken for one of the disk.
struct Recorder<'a> {
    out: &'a mut dyn Write,
    failure: Option<io::Error>,
}

impl Recorder<'_> {
    fn keep<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let told = io::Error::from(error.kind());
            if error.kind() != io::ErrorKind::Interrupted {
                self.failure = Some(error);
            }
            told
        })
    }
}

impl Write for Recorder<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.out.write(bytes);
        self.keep(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.keep(result)
    }
}

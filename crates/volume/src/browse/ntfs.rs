//! NTFS through the bounded reader of `mkfs`; the blocks of directories are read one after another by
//! [`index`], which follows no pointers.
//!
//! Limits: files that are encrypted or kept by Windows behind a reparse point are refused. What lies
//! behind the valid data of a file reads as zeros, whatever its clusters hold.

mod details;
mod index;
mod link;
mod security;

use std::sync::Arc;

use blockio::Disk;
use mkfs::ntfs::parse::{File, NtfsVolume, ParseError, kind};
use mkfs::{FileSystem, SecurityDescriptor};

use super::error::{BrowseError, Result};
use super::{ContentSink, Details, Entry, EntryKind, FileSystemView, Place, pick, root_entry};
use crate::volume_tree::ahead::Ahead;
use crate::volume_tree::described::of_parse;

/// Record of the root directory.
const ROOT_RECORD: u64 = 5;
/// Record of the table of upper-case letters.
const UPCASE_RECORD: u64 = 10;
/// Bytes of that table.
const UPCASE_BYTES: u64 = 128 * 1024;
/// Records below this are the file system's own.
const FIRST_USER_RECORD: u64 = 16;
/// The least room an entry takes: its record.
const RECORD_BYTES: u64 = 512;

/// An NTFS volume at rest.
pub(super) struct NtfsView {
    disk: Arc<dyn Disk>,
    /// The same disk, for structures, which lie beside each other.
    ahead: Ahead,
    /// The volume's own table, by code unit.
    upcase: Vec<u16>,
}

/// What the reader could not do on the way to `path`.
fn failed(path: &str) -> impl Fn(ParseError) -> BrowseError + '_ {
    move |error| match error {
        ParseError::Damaged { .. } => BrowseError::damaged(path, error),
        error => BrowseError::Tree(of_parse(path, &error)),
    }
}

impl NtfsView {
    pub(super) fn open(disk: Arc<dyn Disk>) -> Result<Self> {
        let mut view = Self {
            ahead: Ahead::new(Arc::clone(&disk)),
            disk,
            upcase: Vec::new(),
        };
        view.upcase = view.read_upcase()?;
        Ok(view)
    }

    fn volume(&self, path: &str) -> Result<NtfsVolume<'_>> {
        NtfsVolume::open(&self.ahead).map_err(failed(path))
    }

    fn read_upcase(&self) -> Result<Vec<u16>> {
        let volume = self.volume("/")?;
        let file = volume.read_file(UPCASE_RECORD).map_err(failed("/"))?;
        let bytes = value_bytes(&volume, &file, (kind::DATA, ""), UPCASE_BYTES, "/")?;
        let bytes = bytes.unwrap_or_default();
        Ok(bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect())
    }

    fn upcase(&self, unit: u16) -> u16 {
        self.upcase.get(usize::from(unit)).copied().unwrap_or(unit)
    }

    /// The entry at a place: by its record where it was listed, else from the root down.
    fn find(&self, place: &Place) -> Result<Entry> {
        let mut entry = root_entry(Some(ROOT_RECORD));
        for name in place.names() {
            let entries = self.entries(&entry, place.path())?;
            entry = pick(&entries, name, |unit| self.upcase(unit))
                .cloned()
                .ok_or_else(|| BrowseError::NotFound {
                    path: place.path().into(),
                })?;
        }
        Ok(entry)
    }

    /// The record at a place.
    fn record_of(&self, place: &Place) -> Result<u64> {
        if let Some(record) = place.node {
            return Ok(record);
        }
        let entry = self.find(place)?;
        Ok(entry.node.unwrap_or(ROOT_RECORD))
    }

    fn entries(&self, directory: &Entry, path: &str) -> Result<Vec<Entry>> {
        if directory.kind != EntryKind::Directory {
            return Err(BrowseError::WrongKind {
                path: path.into(),
                expected: "a directory",
            });
        }
        self.entries_of(directory.node.unwrap_or(ROOT_RECORD), path)
    }

    fn entries_of(&self, record: u64, path: &str) -> Result<Vec<Entry>> {
        let volume = self.volume(path)?;
        let file = volume.read_file(record).map_err(failed(path))?;
        if !file.base().is_directory() {
            return Err(BrowseError::WrongKind {
                path: path.into(),
                expected: "a directory",
            });
        }
        index::entries(&volume, &file, path)
    }

    fn read_record(&self, record: u64, path: &str, sink: &mut dyn ContentSink) -> Result<u64> {
        let volume = self.volume(path)?;
        let file = volume.read_file(record).map_err(failed(path))?;
        if file.base().is_directory() {
            return Err(BrowseError::WrongKind {
                path: path.into(),
                expected: "a file",
            });
        }
        refuse_reparse_point(&volume, &file, path)?;
        let value = file.value(&volume, kind::DATA, "").map_err(failed(path))?;
        match value {
            Some(value) => details::copy(&volume, &self.disk, value, path, sink),
            None => Ok(0),
        }
    }
}

/// Refuses links, which are no files, and files whose content Windows keeps elsewhere: their data
/// reads as zeros, which would pass for the content.
fn refuse_reparse_point(volume: &NtfsVolume<'_>, file: &File, path: &str) -> Result<()> {
    match reparse_point(volume, file, path)? {
        None => Ok(()),
        Some(bytes) if link::is_link(&bytes) => Err(BrowseError::WrongKind {
            path: path.into(),
            expected: "a file but a link, which is not followed",
        }),
        Some(_) => Err(BrowseError::Unsupported {
            path: path.into(),
            what: "a file that only Windows can read (reparse point)",
        }),
    }
}

fn reparse_point(volume: &NtfsVolume<'_>, file: &File, path: &str) -> Result<Option<Vec<u8>>> {
    let attribute = (kind::REPARSE_POINT, "");
    value_bytes(volume, file, attribute, link::MAX_REPARSE_BYTES, path)
}

/// The value of an attribute, by type and name, at most `limit` bytes; `None` where there is none.
fn value_bytes(
    volume: &NtfsVolume<'_>,
    file: &File,
    (kind, name): (u32, &str),
    limit: u64,
    path: &str,
) -> Result<Option<Vec<u8>>> {
    let value = file.value(volume, kind, name).map_err(failed(path))?;
    let bytes = value.map(|value| value.read_all(volume, limit));
    bytes.transpose().map_err(failed(path))
}

impl FileSystemView for NtfsView {
    fn file_system(&self) -> FileSystem {
        FileSystem::Ntfs
    }

    fn max_entries(&self) -> u64 {
        self.disk.size().get() / RECORD_BYTES
    }

    fn stat_at(&mut self, place: &Place) -> Result<Entry> {
        self.find(place)
    }

    fn list_at(&mut self, place: &Place) -> Result<Vec<Entry>> {
        let record = self.record_of(place)?;
        self.entries_of(record, place.path())
    }

    fn read_at(&mut self, place: &Place, sink: &mut dyn ContentSink) -> Result<u64> {
        let record = self.record_of(place)?;
        self.read_record(record, place.path(), sink)
    }

    fn read_link_at(&mut self, place: &Place) -> Result<String> {
        let path = place.path();
        let record = self.record_of(place)?;
        let volume = self.volume(path)?;
        let file = volume.read_file(record).map_err(failed(path))?;
        let bytes = reparse_point(&volume, &file, path)?;
        let bytes = bytes.ok_or_else(|| BrowseError::WrongKind {
            path: path.into(),
            expected: "a link",
        })?;
        link::target(&bytes, path)
    }

    fn security_at(&mut self, place: &Place) -> Result<SecurityDescriptor> {
        let record = self.record_of(place)?;
        security::read(&self.ahead, record, place.path())
    }

    fn details(&mut self, entries: &[Entry]) -> Result<Vec<Option<Details>>> {
        details::of_entries(&self.disk, entries)
    }

    fn read_stream_at(
        &mut self,
        place: &Place,
        stream: &str,
        sink: &mut dyn ContentSink,
    ) -> Result<u64> {
        let record = self.record_of(place)?;
        details::read_stream(&self.disk, record, stream, place.path(), sink)
    }
}

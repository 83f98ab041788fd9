//! NTFS through the crate `ntfs`; directories are read by [`index`], which follows no pointers.
//!
//! Limits: files that are encrypted or kept by Windows behind a reparse point are refused; what is
//! compressed is unpacked by the reader of `mkfs`. What lies behind the valid data of a file reads as zeros, whatever its clusters hold.

mod details;
mod index;
mod link;
mod security;
mod valid;

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use ::ntfs::attribute_value::NtfsAttributeValue;
use ::ntfs::{Ntfs, NtfsAttributeFlags, NtfsAttributeType, NtfsError, NtfsFile, NtfsReadSeek};
use blockio::Disk;
use mkfs::{FileSystem, SecurityDescriptor};

use super::error::{BrowseError, Result};
use super::guard::{self, Metered};
use super::{ContentSink, Details, Entry, EntryKind, FileSystemView, Place, pick, root_entry};

/// Record of the root directory.
const ROOT_RECORD: u64 = 5;
/// Record of the table of upper-case letters.
const UPCASE_RECORD: u64 = 10;
/// Bytes of that table.
const UPCASE_BYTES: usize = 128 * 1024;
/// Records below this are the file system's own.
const FIRST_USER_RECORD: u64 = 16;
/// The largest record that is accepted.
const MAX_RECORD_BYTES: u32 = 64 * 1024;
/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 * 1024;
/// The least room an entry takes: its record.
const RECORD_BYTES: u64 = 512;

/// An NTFS volume at rest.
pub(super) struct NtfsView {
    ntfs: Ntfs,
    disk: Metered,
    /// The same disk, for the readers that bring bounds of their own.
    plain: Arc<dyn Disk>,
    disk_bytes: u64,
    /// The volume's own table, by code unit.
    upcase: Vec<u16>,
}

fn damaged(path: &str) -> impl Fn(NtfsError) -> BrowseError + '_ {
    move |error| BrowseError::damaged(path, error)
}

impl NtfsView {
    pub(super) fn open(disk: Arc<dyn Disk>) -> Result<Self> {
        guard::run("/", || {
            let disk_bytes = disk.size().get();
            let plain = Arc::clone(&disk);
            let mut disk = Metered::new(disk);
            let ntfs = Ntfs::new(&mut disk).map_err(damaged("/"))?;
            if ntfs.file_record_size() > MAX_RECORD_BYTES {
                return Err(BrowseError::damaged("/", "its records are too large"));
            }
            let mut view = Self {
                ntfs,
                disk,
                plain,
                disk_bytes,
                upcase: Vec::new(),
            };
            view.upcase = view.read_upcase()?;
            Ok(view)
        })
    }

    fn read_upcase(&mut self) -> Result<Vec<u16>> {
        let file = self
            .ntfs
            .file(&mut self.disk, UPCASE_RECORD)
            .map_err(damaged("/"))?;
        let bytes = attribute_bytes(
            &file,
            &mut self.disk,
            NtfsAttributeType::Data,
            "",
            UPCASE_BYTES,
            "/",
        )?;
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
    fn find(&mut self, place: &Place) -> Result<Entry> {
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
    fn record_of(&mut self, place: &Place) -> Result<u64> {
        if let Some(record) = place.node {
            return Ok(record);
        }
        let entry = self.find(place)?;
        Ok(entry.node.unwrap_or(ROOT_RECORD))
    }

    fn entries(&mut self, directory: &Entry, path: &str) -> Result<Vec<Entry>> {
        if directory.kind != EntryKind::Directory {
            return Err(BrowseError::WrongKind {
                path: path.into(),
                expected: "a directory",
            });
        }
        self.entries_of(directory.node.unwrap_or(ROOT_RECORD), path)
    }

    fn entries_of(&mut self, record: u64, path: &str) -> Result<Vec<Entry>> {
        self.disk.refill();
        let file = self
            .ntfs
            .file(&mut self.disk, record)
            .map_err(damaged(path))?;
        if !file.is_directory() {
            return Err(BrowseError::WrongKind {
                path: path.into(),
                expected: "a directory",
            });
        }
        index::entries(&file, &mut self.disk, self.disk_bytes, path)
    }

    fn read_record(&mut self, record: u64, path: &str, sink: &mut dyn ContentSink) -> Result<u64> {
        self.disk.refill();
        let file = self
            .ntfs
            .file(&mut self.disk, record)
            .map_err(damaged(path))?;
        if file.is_directory() {
            return Err(BrowseError::WrongKind {
                path: path.into(),
                expected: "a file",
            });
        }
        refuse_reparse_point(&file, &mut self.disk, path)?;
        let Some(item) = file.data(&mut self.disk, "") else {
            return Ok(0);
        };
        let item = item.map_err(damaged(path))?;
        let attribute = item.to_attribute().map_err(damaged(path))?;
        let flags = attribute.flags();
        if flags.contains(NtfsAttributeFlags::ENCRYPTED) {
            return Err(BrowseError::Unsupported {
                path: path.into(),
                what: "an encrypted file",
            });
        }
        if flags.contains(NtfsAttributeFlags::COMPRESSED) {
            let plain = Arc::clone(&self.plain);
            return details::read_data(&plain, record, path, sink);
        }
        let valid = valid::length(&attribute, &mut self.disk, path)?;
        let mut sink = valid::ValidSink::new(sink, valid);
        let value = attribute.value(&mut self.disk).map_err(damaged(path))?;
        match value {
            NtfsAttributeValue::NonResident(value) => {
                let mut left = value.len();
                for run in value.data_runs() {
                    let run = run.map_err(damaged(path))?;
                    let len = run.allocated_size().min(left);
                    match run.data_position().value() {
                        None => guard::outside(|| sink.hole(len))
                            .map_err(|error| BrowseError::host(path, error))?,
                        Some(start) => {
                            let valid = len.min(sink.valid_left());
                            copy(&mut self.disk, start.get(), valid, path, &mut sink)?;
                            guard::outside(|| sink.hole(len - valid))
                                .map_err(|error| BrowseError::host(path, error))?;
                        }
                    }
                    left -= len;
                }
                if left > 0 {
                    return Err(BrowseError::damaged(
                        path,
                        "its clusters end before its size",
                    ));
                }
                Ok(value.len())
            }
            value => read_value(value, &mut self.disk, path, &mut sink),
        }
    }
}

/// Refuses links, which are no files, and files whose content Windows keeps elsewhere: their data
/// reads as zeros, which would pass for the content.
fn refuse_reparse_point(file: &NtfsFile<'_>, disk: &mut Metered, path: &str) -> Result<()> {
    let kind = NtfsAttributeType::ReparsePoint;
    let bytes = attribute_bytes(file, disk, kind, "", link::MAX_REPARSE_BYTES, path)?;
    match bytes {
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

/// Copies a run of the disk.
fn copy(
    disk: &mut Metered,
    start: u64,
    len: u64,
    path: &str,
    sink: &mut dyn ContentSink,
) -> Result<()> {
    disk.refill();
    let failed = |error| BrowseError::damaged(path, error);
    disk.seek(SeekFrom::Start(start)).map_err(failed)?;
    let mut left = len;
    let mut chunk =
        vec![0; usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES))];
    while left > 0 {
        let room = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
        disk.read_exact(&mut chunk[..room]).map_err(failed)?;
        guard::outside(|| sink.data(&chunk[..room]))
            .map_err(|error| BrowseError::host(path, error))?;
        left -= u64::try_from(room).unwrap_or(left);
    }
    Ok(())
}

/// Reads a value that lies in its record or is spread over several.
fn read_value(
    mut value: NtfsAttributeValue<'_, '_>,
    disk: &mut Metered,
    path: &str,
    sink: &mut dyn ContentSink,
) -> Result<u64> {
    let len = value.len();
    let mut left = len;
    let mut chunk =
        vec![0; usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES))];
    while left > 0 {
        disk.refill();
        let room = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
        let got = value
            .read(disk, &mut chunk[..room])
            .map_err(damaged(path))?;
        if got == 0 {
            return Err(BrowseError::damaged(
                path,
                "its clusters end before its size",
            ));
        }
        guard::outside(|| sink.data(&chunk[..got]))
            .map_err(|error| BrowseError::host(path, error))?;
        left = left.saturating_sub(u64::try_from(got).unwrap_or(left));
    }
    Ok(len)
}

/// The value of an attribute, at most `limit` bytes; `None` where there is none.
fn attribute_bytes(
    file: &NtfsFile<'_>,
    disk: &mut Metered,
    kind: NtfsAttributeType,
    name: &str,
    limit: usize,
    path: &str,
) -> Result<Option<Vec<u8>>> {
    let mut attributes = file.attributes();
    while let Some(item) = attributes.next(disk) {
        let item = item.map_err(damaged(path))?;
        let attribute = item.to_attribute().map_err(damaged(path))?;
        if attribute.ty().ok() != Some(kind) || attribute.name().map_err(damaged(path))? != *name {
            continue;
        }
        let mut value = attribute.value(disk).map_err(damaged(path))?;
        let len = usize::try_from(value.len())
            .ok()
            .filter(|len| *len <= limit)
            .ok_or_else(|| BrowseError::damaged(path, "an attribute is too large"))?;
        let mut bytes = vec![0; len];
        value.read_exact(disk, &mut bytes).map_err(damaged(path))?;
        return Ok(Some(bytes));
    }
    Ok(None)
}

impl FileSystemView for NtfsView {
    fn file_system(&self) -> FileSystem {
        FileSystem::Ntfs
    }

    fn max_entries(&self) -> u64 {
        self.disk_bytes / RECORD_BYTES
    }

    fn stat_at(&mut self, place: &Place) -> Result<Entry> {
        guard::run(place.path(), || self.find(place))
    }

    fn list_at(&mut self, place: &Place) -> Result<Vec<Entry>> {
        guard::run(place.path(), || {
            let record = self.record_of(place)?;
            self.entries_of(record, place.path())
        })
    }

    fn read_at(&mut self, place: &Place, sink: &mut dyn ContentSink) -> Result<u64> {
        guard::run(place.path(), || {
            let record = self.record_of(place)?;
            self.read_record(record, place.path(), sink)
        })
    }

    fn read_link_at(&mut self, place: &Place) -> Result<String> {
        guard::run(place.path(), || {
            let record = self.record_of(place)?;
            self.disk.refill();
            let file = self
                .ntfs
                .file(&mut self.disk, record)
                .map_err(damaged(place.path()))?;
            let bytes = attribute_bytes(
                &file,
                &mut self.disk,
                NtfsAttributeType::ReparsePoint,
                "",
                link::MAX_REPARSE_BYTES,
                place.path(),
            )?;
            let bytes = bytes.ok_or_else(|| BrowseError::WrongKind {
                path: place.path().into(),
                expected: "a link",
            })?;
            link::target(&bytes, place.path())
        })
    }

    fn security_at(&mut self, place: &Place) -> Result<SecurityDescriptor> {
        let record = guard::run(place.path(), || self.record_of(place))?;
        security::read(&*self.plain, record, place.path())
    }

    fn details(&mut self, entries: &[Entry]) -> Result<Vec<Option<Details>>> {
        details::of_entries(&self.plain, entries)
    }

    fn read_stream_at(
        &mut self,
        place: &Place,
        stream: &str,
        sink: &mut dyn ContentSink,
    ) -> Result<u64> {
        let record = guard::run(place.path(), || self.record_of(place))?;
        details::read_stream(&self.plain, record, stream, place.path(), sink)
    }
}

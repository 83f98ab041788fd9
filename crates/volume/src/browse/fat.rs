//! FAT12, FAT16 and FAT32 through the crate `fatfs`.

use std::io::Read;
use std::sync::Arc;

use blockio::Disk;
use fatfs::{Dir, DirEntry, FsOptions};
use mkfs::{FileSystem, NtTime};

use super::error::{BrowseError, Result};
use super::guard::{self, Metered};
use super::{
    Chooser, ContentSink, Entry, EntryKind, FileSystemView, MIN_ENTRY_BYTES, Place, pick,
    root_entry,
};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 * 1024;
/// Entries of a directory: more do not fit into its 2 MiB.
const MAX_DIRECTORY_ENTRIES: usize = 65_536;

type FatDir<'v> = Dir<'v, Metered>;

/// A FAT volume at rest. Times are taken as UTC.
pub(super) struct FatView {
    disk: Arc<dyn Disk>,
    kind: FileSystem,
    max_entries: u64,
}

impl FatView {
    pub(super) fn open(disk: Arc<dyn Disk>, kind: FileSystem) -> Result<Self> {
        let view = Self {
            max_entries: disk.size().get() / MIN_ENTRY_BYTES,
            disk,
            kind,
        };
        view.with_root("/", |_| Ok(()))?;
        Ok(view)
    }

    /// Mounts and works from the root. Mounting reads two sectors; a fresh mount for each step
    /// leaves nothing behind that a failed one could have spoiled.
    fn with_root<T>(&self, path: &str, step: impl FnOnce(FatDir<'_>) -> Result<T>) -> Result<T> {
        guard::run(path, || {
            let stream = Metered::new(Arc::clone(&self.disk));
            let volume = fatfs::FileSystem::new(stream, FsOptions::new())
                .map_err(|error| BrowseError::damaged(path, error))?;
            let result = step(volume.root_dir());
            // Unmounting would write; nothing was changed.
            std::mem::forget(volume);
            result
        })
    }
}

/// The entries of a directory with what `fatfs` needs to read them.
fn entries<'v>(directory: &FatDir<'v>, path: &str) -> Result<Vec<(Entry, DirEntry<'v, Metered>)>> {
    let mut found = Vec::new();
    for entry in directory.iter() {
        let entry = entry.map_err(|error| BrowseError::damaged(path, error))?;
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        if found.len() >= MAX_DIRECTORY_ENTRIES {
            return Err(BrowseError::damaged(path, "the directory leads in a ring"));
        }
        found.push((described(&entry, name), entry));
    }
    found.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    Ok(found)
}

fn described(entry: &DirEntry<'_, Metered>, name: String) -> Entry {
    let modified = entry.modified();
    Entry {
        name,
        kind: if entry.is_dir() {
            EntryKind::Directory
        } else {
            EntryKind::File
        },
        size: entry.len(),
        allocated: entry.len(),
        modified: time_of(modified),
        attributes: u32::from(entry.attributes().bits()),
        link_target: None,
        node: None,
    }
}

fn time_of(time: fatfs::DateTime) -> NtTime {
    let days = days_since_1970(
        i64::from(time.date.year),
        i64::from(time.date.month),
        i64::from(time.date.day),
    );
    let seconds =
        i64::from(time.time.hour) * 3600 + i64::from(time.time.min) * 60 + i64::from(time.time.sec);
    NtTime::from_unix(
        days * 86_400 + seconds,
        u32::from(time.time.millis) * 1_000_000,
    )
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; years are counted from March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn upcase(unit: u16) -> u16 {
    let upper = char::from_u32(u32::from(unit)).map(char::to_uppercase);
    match upper.map(|mut upper| (upper.next(), upper.next())) {
        Some((Some(one), None)) => u16::try_from(u32::from(one)).unwrap_or(unit),
        _ => unit,
    }
}

/// What lies at a place: the root, or an entry.
enum At<'v> {
    Root(FatDir<'v>),
    Entry(Entry, DirEntry<'v, Metered>),
}

fn find<'v>(root: FatDir<'v>, place: &Place) -> Result<At<'v>> {
    let mut at = At::Root(root);
    for name in place.names() {
        let directory = into_directory(at, place)?;
        let found = entries(&directory, place.path())?;
        let (described, mut handles): (Vec<Entry>, Vec<_>) = found.into_iter().unzip();
        let index = pick(&described, name, upcase)
            .and_then(|entry| described.iter().position(|other| other == entry))
            .ok_or_else(|| BrowseError::NotFound {
                path: place.path().into(),
            })?;
        at = At::Entry(described[index].clone(), handles.swap_remove(index));
    }
    Ok(at)
}

fn into_directory<'v>(at: At<'v>, place: &Place) -> Result<FatDir<'v>> {
    match at {
        At::Root(directory) => Ok(directory),
        At::Entry(_, handle) if handle.is_dir() => Ok(handle.to_dir()),
        At::Entry(..) => Err(BrowseError::WrongKind {
            path: place.path().into(),
            expected: "a directory",
        }),
    }
}

fn read_entry(
    handle: &DirEntry<'_, Metered>,
    path: &str,
    sink: &mut dyn ContentSink,
) -> Result<u64> {
    let mut file = handle.to_file();
    let mut left = handle.len();
    let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(left).unwrap_or(CHUNK_BYTES))];
    while left > 0 {
        let room = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
        let got = file
            .read(&mut chunk[..room])
            .map_err(|error| BrowseError::damaged(path, error))?;
        if got == 0 {
            return Err(BrowseError::damaged(
                path,
                "its clusters end before its size",
            ));
        }
        guard::outside(|| sink.data(&chunk[..got]))
            .map_err(|error| BrowseError::host(path, error))?;
        left -= u64::try_from(got).unwrap_or(left);
    }
    Ok(handle.len())
}

impl FileSystemView for FatView {
    fn file_system(&self) -> FileSystem {
        self.kind
    }

    fn max_entries(&self) -> u64 {
        self.max_entries
    }

    fn stat_at(&mut self, place: &Place) -> Result<Entry> {
        self.with_root(place.path(), |root| {
            Ok(match find(root, place)? {
                At::Root(_) => root_entry(None),
                At::Entry(entry, _) => entry,
            })
        })
    }

    fn list_at(&mut self, place: &Place) -> Result<Vec<Entry>> {
        self.with_root(place.path(), |root| {
            let directory = into_directory(find(root, place)?, place)?;
            let found = entries(&directory, place.path())?;
            Ok(found.into_iter().map(|(entry, _)| entry).collect())
        })
    }

    fn read_at(&mut self, place: &Place, sink: &mut dyn ContentSink) -> Result<u64> {
        self.with_root(place.path(), |root| match find(root, place)? {
            At::Entry(_, handle) if handle.is_file() => read_entry(&handle, place.path(), sink),
            _ => Err(BrowseError::WrongKind {
                path: place.path().into(),
                expected: "a file",
            }),
        })
    }

    fn read_many(&mut self, place: &Place, choose: Chooser<'_>) -> Result<()> {
        self.with_root(place.path(), |root| {
            let directory = into_directory(find(root, place)?, place)?;
            for (entry, handle) in entries(&directory, place.path())? {
                let path = place.child(&entry);
                choose(&entry, &mut |sink| {
                    // The budget is for a whole mount; each file gets a mount's worth.
                    read_entry(&handle, path.path(), sink)
                })?;
            }
            Ok(())
        })
    }

    fn read_link_at(&mut self, place: &Place) -> Result<String> {
        self.stat_at(place)?;
        Err(BrowseError::WrongKind {
            path: place.path().into(),
            expected: "a link",
        })
    }
}

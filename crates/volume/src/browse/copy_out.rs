//! Copying out of a volume onto the host.
//!
//! Invariant: nothing is written outside the target. Everything is made beneath its open handle, no
//! link is followed (not one that was just made, nor one that was there), and no name from the
//! volume is used that could climb.

#[cfg(unix)]
#[path = "copy_out/unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "copy_out/windows.rs"]
mod platform;

mod extras;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, FileTimes};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, SystemTimeSpec};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use cap_std::time::SystemTime;
use mkfs::NtTime;

use super::error::{BrowseError, Result};
use super::{ContentSink, Details, Entry, EntryKind, FileSystemView, Place, ReadContent, Seen};
use extras::Linked;

/// How trees are copied out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    /// Names that were mapped to be stored (U+F000 plus a character or byte) get their own
    /// characters back, where the host can hold them.
    pub restore_names: bool,
    /// Links with absolute targets are made too; else they are left out and listed.
    pub absolute_links: bool,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            restore_names: true,
            absolute_links: false,
        }
    }
}

/// What was copied out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyReport {
    /// Files written.
    pub files: u64,
    /// Directories made or filled.
    pub directories: u64,
    /// Links made.
    pub symlinks: u64,
    /// More names given to files that were copied.
    pub hard_links: u64,
    /// Bytes of data written, holes not counted.
    pub bytes: u64,
    /// Named streams written.
    pub streams: u64,
    /// Paths in the volume that were left out: links with absolute targets, what only Windows can
    /// read, and named streams (as `PATH:STREAM`) that the host cannot hold.
    pub left_out: Vec<String>,
}

/// Copies what lies at `path` in the volume to `target`, as `cp -r` does: into `target` where it is
/// a directory, else under that name; the root, or a path that ends with `/.`, fills `target`
/// itself. Files there are replaced, directories filled. Times are kept as far as the host keeps them,
/// more names of one file too; named streams become extended attributes (`user.STREAM`) on Unix and
/// streams on Windows.
///
/// `progress` is told the bytes and files written so far and may stop the copy. What was written
/// before an error or a stop stays.
///
/// # Errors
/// As for [`FileSystemView::list_at`] and [`FileSystemView::read_at`]; `AlreadyExists` where a file
/// stands in a directory's place, `Unsupported` where a name cannot be made here, `Io`. All name
/// the path.
pub fn copy_out(
    view: &mut dyn FileSystemView,
    path: &str,
    target: &Path,
    options: CopyOptions,
    progress: &dyn Fn(u64, u64) -> ControlFlow<()>,
) -> Result<CopyReport> {
    let place = Place::new(path)?;
    let entry = view.stat_at(&place)?;
    let view_entries = view.max_entries();
    let fills_target = place.path() == "/" || path.ends_with("/.");
    let copy = |root: &Dir| -> Result<Copy<'_>> {
        let root = root
            .try_clone()
            .map_err(|error| BrowseError::host(target.display(), error))?;
        Ok(Copy {
            options,
            progress,
            report: CopyReport::default(),
            seen: Seen::new(view_entries),
            linked: Linked::new(root),
            path: PathBuf::new(),
        })
    };
    let host = |error| BrowseError::host(target.display(), error);
    if target.is_dir() {
        let directory = Dir::open_ambient_dir(target, ambient_authority()).map_err(host)?;
        let mut copy = copy(&directory)?;
        if fills_target && entry.kind == EntryKind::Directory {
            copy.fill(view, &place, &directory, 0)?;
        } else {
            let name = copy.host_name(&entry, &place, &mut HashSet::new())?;
            copy.one(view, &place, &entry, &directory, &name)?;
        }
        return Ok(copy.report);
    }
    let name = target
        .file_name()
        .ok_or_else(|| host(io::Error::new(io::ErrorKind::InvalidInput, "names no file")))?;
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = Dir::open_ambient_dir(parent, ambient_authority()).map_err(host)?;
    let mut copy = copy(&directory)?;
    copy.one(view, &place, &entry, &directory, name)?;
    Ok(copy.report)
}

struct Copy<'p> {
    options: CopyOptions,
    progress: &'p dyn Fn(u64, u64) -> ControlFlow<()>,
    report: CopyReport,
    seen: Seen,
    linked: Linked,
    /// Where copies are made, from the folder that the first one is made in.
    path: PathBuf,
}

impl Copy<'_> {
    /// The name under which an entry is made; never one that was made before in this directory.
    fn host_name(
        &self,
        entry: &Entry,
        place: &Place,
        made: &mut HashSet<OsString>,
    ) -> Result<OsString> {
        let restored = self
            .options
            .restore_names
            .then(|| platform::restored_name(&entry.name))
            .flatten();
        for name in restored
            .into_iter()
            .chain(platform::plain_name(&entry.name))
        {
            if made.insert(platform::folded(&name)) {
                return Ok(name);
            }
        }
        Err(BrowseError::UnsafeName {
            path: place.path().into(),
        })
    }

    /// Copies one entry and all below it.
    fn one(
        &mut self,
        view: &mut dyn FileSystemView,
        place: &Place,
        entry: &Entry,
        directory: &Dir,
        name: &OsStr,
    ) -> Result<()> {
        match entry.kind {
            EntryKind::File => {
                let details = extras::details_of_one(view, entry)?;
                self.file(
                    place,
                    entry,
                    details.as_ref(),
                    directory,
                    name,
                    &mut |sink| view.read_at(place, sink),
                )?;
                self.streams(view, place, details.as_ref(), directory, name)
            }
            EntryKind::Directory => self.directory(view, place, entry, directory, name, 0),
            EntryKind::Symlink => self.link(view, place, entry, directory, name),
            EntryKind::Other => {
                self.report.left_out.push(place.path().into());
                Ok(())
            }
        }
    }

    fn directory(
        &mut self,
        view: &mut dyn FileSystemView,
        place: &Place,
        entry: &Entry,
        parent: &Dir,
        name: &OsStr,
        depth: usize,
    ) -> Result<()> {
        let host = |error| BrowseError::host(Path::new(name).display(), error);
        match parent.create_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(host)?,
        }
        // What was there before may be a link or a file: neither is entered.
        let directory = parent.open_dir_nofollow(name).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::NotADirectory => io::ErrorKind::AlreadyExists,
                kind => kind,
            };
            host(io::Error::new(kind, error))
        })?;
        self.path.push(name);
        let filled = self.fill(view, place, &directory, depth);
        self.path.pop();
        filled?;
        drop(directory);
        // The time of the root is not known.
        if place.path() != "/" {
            set_modified(parent, name, entry.modified);
        }
        Ok(())
    }

    /// Copies everything in a directory into one of the host.
    fn fill(
        &mut self,
        view: &mut dyn FileSystemView,
        place: &Place,
        directory: &Dir,
        depth: usize,
    ) -> Result<()> {
        self.report.directories += 1;
        let details = extras::details_of(view, place)?;
        let mut made = HashSet::new();
        let mut later = Vec::new();
        let mut with_streams = Vec::new();
        view.read_many(place, &mut |entry, read| {
            let child = place.child(entry);
            self.seen.count(&child, entry, depth)?;
            let name = self.host_name(entry, &child, &mut made)?;
            match entry.kind {
                EntryKind::File if self.linked.link(entry, directory, &name) => {
                    self.report.hard_links += 1;
                }
                EntryKind::File => {
                    let details = details.get(&entry.name);
                    self.file(&child, entry, details, directory, &name, read)?;
                    self.linked.keep(entry, details, self.path.join(&name));
                    if details.is_some_and(|details| !details.streams.is_empty()) {
                        with_streams.push((child, entry.name.clone(), name));
                    }
                }
                EntryKind::Other => self.report.left_out.push(child.path().into()),
                EntryKind::Directory | EntryKind::Symlink => {
                    later.push((child, entry.clone(), name));
                }
            }
            Ok(())
        })?;
        for (child, entry, name) in with_streams {
            self.streams(view, &child, details.get(&entry), directory, &name)?;
        }
        for (child, entry, name) in later {
            if entry.kind == EntryKind::Directory {
                let details = details.get(&entry.name);
                self.directory(view, &child, &entry, directory, &name, depth + 1)?;
                self.streams(view, &child, details, directory, &name)?;
            } else {
                self.link(view, &child, &entry, directory, &name)?;
            }
        }
        Ok(())
    }

    /// Writes the named streams of a copy.
    fn streams(
        &mut self,
        view: &mut dyn FileSystemView,
        place: &Place,
        details: Option<&Details>,
        directory: &Dir,
        name: &OsStr,
    ) -> Result<()> {
        let Some(details) = details.filter(|details| !details.streams.is_empty()) else {
            return Ok(());
        };
        let left_out = &mut self.report.left_out;
        self.report.streams += extras::streams(view, place, details, directory, name, left_out)?;
        Ok(())
    }

    fn file(
        &mut self,
        place: &Place,
        entry: &Entry,
        details: Option<&Details>,
        directory: &Dir,
        name: &OsStr,
        read: ReadContent<'_>,
    ) -> Result<()> {
        let host = &extras::host(place);
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .follow(FollowSymlinks::No);
        let file = directory
            .open_with(name, &options)
            .map_err(host)?
            .into_std();
        let mut sink = HostFile {
            file,
            position: 0,
            done: (self.report.bytes, self.report.files),
            progress: self.progress,
        };
        let result = read(&mut sink);
        self.report.bytes = sink.done.0;
        match result {
            Err(BrowseError::Host { source, .. }) if is_stop(&source) => {
                return Err(BrowseError::Interrupted);
            }
            result => result?,
        };
        // A hole at the end is only in the length.
        sink.file.set_len(sink.position).map_err(host)?;
        sink.file.set_times(times(entry, details)).map_err(host)?;
        self.report.files += 1;
        Ok(())
    }

    fn link(
        &mut self,
        view: &mut dyn FileSystemView,
        place: &Place,
        entry: &Entry,
        directory: &Dir,
        name: &OsStr,
    ) -> Result<()> {
        let target = view.read_link_at(place)?;
        if platform::is_absolute(&target) && !self.options.absolute_links {
            self.report.left_out.push(place.path().into());
            return Ok(());
        }
        let target = platform::link_target(&target, self.options.restore_names);
        let is_directory = entry.attributes & 0x10 != 0;
        platform::make_link(directory, &target, name, is_directory)
            .map_err(|error| BrowseError::host(format_args!("copy of {}", place.path()), error))?;
        set_modified(directory, name, entry.modified);
        self.report.symlinks += 1;
        Ok(())
    }
}

/// The times of a file's copy.
fn times(entry: &Entry, details: Option<&Details>) -> FileTimes {
    let mut times = FileTimes::new();
    if let Some(time) = entry.modified.to_system_time() {
        times = times.set_modified(time);
    }
    let accessed = details.and_then(|details| details.accessed);
    if let Some(time) = accessed.and_then(NtTime::to_system_time) {
        times = times.set_accessed(time);
    }
    let created = details.and_then(|details| details.created);
    platform::with_created(times, created.and_then(NtTime::to_system_time))
}

/// Sets the time of last change of a directory or link, where the host can: the copy is whole
/// without it.
fn set_modified(parent: &Dir, name: &OsStr, time: NtTime) {
    if let Some(time) = time.to_system_time() {
        let time = SystemTimeSpec::Absolute(SystemTime::from_std(time));
        drop(parent.set_symlink_times(name, None, Some(time)));
    }
}

/// A file being written; holes stay holes.
struct HostFile<'p> {
    file: File,
    position: u64,
    /// Bytes and files so far.
    done: (u64, u64),
    progress: &'p dyn Fn(u64, u64) -> ControlFlow<()>,
}

/// Carries "the caller asked to stop" through a sink.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Stop;

fn is_stop(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stop>())
}

impl ContentSink for HostFile<'_> {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        let len = u64::try_from(bytes.len()).unwrap_or(0);
        self.position += len;
        self.done.0 += len;
        match (self.progress)(self.done.0, self.done.1) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(io::Error::other(Stop)),
        }
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        self.position = self
            .position
            .checked_add(len)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        self.file.seek(SeekFrom::Start(self.position))?;
        Ok(())
    }
}

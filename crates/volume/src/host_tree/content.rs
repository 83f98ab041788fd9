//! The content of a file: holes are found, and changes are noticed.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::time::SystemTime;

use blockio::{
    ByteCount, ByteOffset, ByteRange, ExtentKind, FileAccess, FileStorage, LockMode, Storage,
};
use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::OpenOptions;
use mkfs::{FileContent, TreeError, TreeErrorKind};

use super::walk::Found;
use super::{HostNoteReason, Notes, platform};

/// Files up to this size are read before they are delivered, so that a bad one can be left out.
const READ_AHEAD_BYTES: u64 = 64 * 1024;
/// Islands of one file; what lies behind the last is read as data, holes and all.
const MAX_ISLANDS: usize = 1 << 20;

/// What a file looked like when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    size: u64,
    modified: SystemTime,
}

fn look_at(file: &File) -> io::Result<Look> {
    let metadata = file.metadata()?;
    Ok(Look {
        size: metadata.len(),
        modified: metadata.modified()?,
    })
}

/// Opens what was found for reading, without following a link.
pub(super) fn open_file(found: &Found) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No);
    let file = found.directory.open_with(&found.os_name, &options)?;
    Ok(file.into_std())
}

/// Opens what was found as a file.
pub(super) fn open(
    found: &Found,
    keep_going: bool,
    notes: Notes,
) -> Result<FileContent, TreeError> {
    let unreadable = |error| TreeError::unreadable(found.path.clone(), error);
    // What the walk saw is what must still be there when the last byte was read.
    let look = Look {
        size: found.metadata.len(),
        modified: found.metadata.modified().map_err(unreadable)?.into_std(),
    };
    let size = ByteCount(look.size);
    if look.size == 0 {
        // All of it is known.
        return Ok(FileContent::dense(size, Box::new(io::empty())));
    }
    let file = open_file(found).map_err(unreadable)?;
    if look.size > READ_AHEAD_BYTES && look_at(&file).map_err(unreadable)? != look {
        // Known before any of it is delivered: it can still be left out.
        return Err(changed(&found.path));
    }
    let (file, islands) = if platform::may_have_holes(&found.metadata) {
        islands(file, look.size).map_err(|error| unreadable(io::Error::other(error)))?
    } else {
        (Source::Plain(file), None)
    };
    let mut reader = HostReader {
        file,
        left: islands
            .clone()
            .unwrap_or_else(|| FileContent::dense(size, Box::new(io::empty())).islands),
        next: 0,
        done: 0,
        look,
        path: found.path.clone(),
        forgiving: keep_going.then_some(notes),
        failed: false,
    };
    let islands = reader.left.clone();
    let content = FileContent {
        size,
        islands,
        reader: Box::new(io::empty()),
    };
    let data = content.data_size().get();
    if data > READ_AHEAD_BYTES {
        return Ok(FileContent {
            reader: Box::new(reader),
            ..content
        });
    }
    // Errors end in the caller's hands, who may leave the file out.
    reader.forgiving = None;
    let mut bytes = vec![0; usize::try_from(data).unwrap_or(0)];
    if bytes.is_empty() {
        reader
            .check_unchanged()
            .map_err(unreadable_or_changed(found))?;
    }
    reader
        .read_exact(&mut bytes)
        .map_err(unreadable_or_changed(found))?;
    Ok(FileContent {
        reader: Box::new(Cursor::new(bytes)),
        ..content
    })
}

fn unreadable_or_changed(found: &Found) -> impl Fn(io::Error) -> TreeError + '_ {
    |error| TreeError::from_read(error, || found.path.clone())
}

fn changed(path: &str) -> TreeError {
    TreeError::new(TreeErrorKind::Changed, path, "changed while it was read")
}

/// An open file, with or without what knows its holes.
enum Source {
    Plain(File),
    Sparse(FileStorage),
}

impl Source {
    fn file(&self) -> &File {
        match self {
            Self::Plain(file) => file,
            Self::Sparse(storage) => storage.as_file(),
        }
    }
}

/// The ranges of a file that hold data.
fn islands(file: File, size: u64) -> blockio::Result<(Source, Option<Vec<ByteRange>>)> {
    let storage = FileStorage::from_file_with_lock(file, FileAccess::ReadOnly, LockMode::None)?;
    let mut islands: Vec<ByteRange> = Vec::new();
    let mut at = 0;
    while let Some(rest) = ByteRange::between(ByteOffset(at), ByteOffset(size))
        && !rest.is_empty()
    {
        if islands.len() >= MAX_ISLANDS {
            islands.push(rest);
            break;
        }
        let extent = storage.extent_at(rest)?;
        if extent.range.is_empty() {
            islands.push(rest);
            break;
        }
        if extent.kind == ExtentKind::Data {
            match islands.last_mut() {
                Some(last) if last.end() == extent.range.start() => {
                    *last = ByteRange::between(last.start(), extent.range.end())
                        .unwrap_or(extent.range);
                }
                _ => islands.push(extent.range),
            }
        }
        at = extent.range.end().get();
    }
    Ok((Source::Sparse(storage), Some(islands)))
}

/// Yields the islands of a file. The last byte is handed out only after the file was found
/// unchanged.
struct HostReader {
    file: Source,
    left: Vec<ByteRange>,
    /// The island being read.
    next: usize,
    /// Bytes of it that were read.
    done: u64,
    look: Look,
    path: String,
    /// Where failures are noted; `None` where they are errors.
    forgiving: Option<Notes>,
    failed: bool,
}

impl HostReader {
    fn check_unchanged(&self) -> io::Result<()> {
        if look_at(self.file.file())? == self.look {
            return Ok(());
        }
        Err(changed(&self.path).into())
    }

    fn read_island(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(island) = self.left.get(self.next).copied() else {
            return Ok(0);
        };
        let left = island.len().get() - self.done;
        let room = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let Some(buffer) = buffer.get_mut(..room) else {
            return Ok(0);
        };
        let mut got = room;
        if self.failed {
            buffer.fill(0);
        } else {
            let mut file = self.file.file();
            if self.done == 0 {
                file.seek(SeekFrom::Start(island.start().get()))?;
            }
            got = file.read(buffer)?;
            if got == 0 && room > 0 {
                return Err(changed(&self.path).into());
            }
        }
        let got_bytes = u64::try_from(got).unwrap_or(0);
        let is_last = self.next + 1 == self.left.len() && got_bytes == left;
        if is_last && !self.failed {
            self.check_unchanged()?;
        }
        self.done += got_bytes;
        if self.done == island.len().get() {
            self.next += 1;
            self.done = 0;
        }
        Ok(got)
    }
}

impl Read for HostReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let error = match self.read_island(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => error,
            other => return other,
        };
        let error = TreeError::from_read(error, || self.path.clone());
        let Some(notes) = &self.forgiving else {
            return Err(error.into());
        };
        notes.add(&self.path, HostNoteReason::Incomplete(error.to_string()));
        // The size was promised: zeros stand for the rest.
        self.failed = true;
        self.read_island(buffer)
    }
}

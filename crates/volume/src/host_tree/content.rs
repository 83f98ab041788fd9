//! The content of a file: holes are found, and changes are noticed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use blockio::{
    ByteCount, ByteOffset, ByteRange, ExtentKind, FileAccess, FileStorage, LockMode, Storage,
};
use cap_std::fs::Dir;
use mkfs::{FileContent, TreeError, TreeErrorKind};

use super::scan::{Facts, Kind, Look};
use super::{HostNoteReason, Notes, platform};

/// Files up to this size are read before they are delivered, so that a bad one can be left out.
pub(super) const READ_AHEAD_BYTES: u64 = 64 * 1024;
/// Islands of one file; what lies behind the last is read as data, holes and all.
const MAX_ISLANDS: usize = 1 << 20;

/// A file that was seen in a directory.
pub(super) struct Place<'a> {
    pub(super) directory: &'a Dir,
    pub(super) name: &'a OsStr,
    /// Its path, for messages.
    pub(super) path: &'a dyn Fn() -> String,
}

/// Opens a file that looked like this when it was seen; what it looks like now, and its content.
/// Failures after the first bytes were delivered go to the notes where there are any.
pub(super) fn open(
    place: &Place<'_>,
    seen: Look,
    may_have_holes: bool,
    forgiving: Option<&Notes>,
) -> Result<(Look, FileContent), TreeError> {
    if seen.size == 0 {
        // All of it is known.
        let content = FileContent::dense(ByteCount(0), Box::new(io::empty()));
        return Ok((seen, content));
    }
    let unreadable = |error| TreeError::unreadable((place.path)(), error);
    let file = platform::open_file(place.directory, place.name).map_err(unreadable)?;
    if seen.size <= READ_AHEAD_BYTES
        && !may_have_holes
        && let Some(content) = small(&file, seen).map_err(unreadable)?
    {
        return Ok((seen, content));
    }
    // Much time may have gone by since the file was seen: what it is now is what counts.
    let facts = platform::facts_of_file(&file).map_err(unreadable)?;
    if facts.kind != Kind::File {
        return Err(changed((place.path)()));
    }
    Ok((facts.look, whole(place, file, &facts, forgiving)?))
}

/// A small file without holes in one read; `None` where it is not as it was.
fn small(file: &File, look: Look) -> io::Result<Option<FileContent>> {
    let size = usize::try_from(look.size).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(size);
    file.take(look.size).read_to_end(&mut bytes)?;
    if bytes.len() < size || !is_unchanged(file, look)? {
        return Ok(None);
    }
    let reader = Box::new(Cursor::new(bytes));
    Ok(Some(FileContent::dense(ByteCount(look.size), reader)))
}

/// Appends the content of a small file without holes; false where it is not as it was seen.
pub(super) fn read_into(
    directory: &Dir,
    name: &OsStr,
    seen: Look,
    bytes: &mut Vec<u8>,
) -> io::Result<bool> {
    let start = bytes.len();
    if seen.size > 0 {
        let mut file = platform::open_file(directory, name)?;
        bytes.resize(
            start + usize::try_from(seen.size).map_err(io::Error::other)?,
            0,
        );
        file.read_exact(bytes.get_mut(start..).unwrap_or_default())?;
        return is_unchanged(&file, seen);
    }
    // All of it is known.
    Ok(true)
}

fn is_unchanged(file: &File, look: Look) -> io::Result<bool> {
    let facts = platform::facts_of_file(file)?;
    Ok(facts.kind == Kind::File && facts.look == look)
}

/// The content of a file as it is now.
fn whole(
    place: &Place<'_>,
    file: File,
    facts: &Facts,
    forgiving: Option<&Notes>,
) -> Result<FileContent, TreeError> {
    let path = (place.path)();
    let unreadable = |error| TreeError::unreadable(path.clone(), error);
    let size = ByteCount(facts.look.size);
    let dense = FileContent::dense(size, Box::new(io::empty())).islands;
    let (file, islands) = if facts.may_have_holes {
        islands(file, facts.look.size).map_err(|error| unreadable(io::Error::other(error)))?
    } else {
        (Source::Plain(file), dense)
    };
    let mut reader = HostReader {
        file,
        left: islands.clone(),
        next: 0,
        done: 0,
        position: None,
        look: facts.look,
        path: path.clone(),
        forgiving: forgiving.cloned(),
        failed: false,
    };
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
    let from_read = |error| TreeError::from_read(error, || path.clone());
    let mut bytes = vec![0; usize::try_from(data).unwrap_or(0)];
    if bytes.is_empty() {
        reader.check_unchanged().map_err(from_read)?;
    }
    reader.read_exact(&mut bytes).map_err(from_read)?;
    Ok(FileContent {
        reader: Box::new(Cursor::new(bytes)),
        ..content
    })
}

fn changed(path: impl Into<String>) -> TreeError {
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
fn islands(file: File, size: u64) -> blockio::Result<(Source, Vec<ByteRange>)> {
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
    Ok((Source::Sparse(storage), islands))
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
    /// Where the next read of the file begins, if that is known.
    position: Option<u64>,
    look: Look,
    path: String,
    /// Where failures are noted; `None` where they are errors.
    forgiving: Option<Notes>,
    failed: bool,
}

impl HostReader {
    fn check_unchanged(&self) -> io::Result<()> {
        if is_unchanged(self.file.file(), self.look)? {
            return Ok(());
        }
        Err(changed(&*self.path).into())
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
            let wanted = island.start().get().saturating_add(self.done);
            if self.position != Some(wanted) {
                file.seek(SeekFrom::Start(wanted))?;
            }
            // Where the read fails, nobody knows where it stands.
            self.position = None;
            got = file.read(buffer)?;
            if got == 0 && room > 0 {
                return Err(changed(&*self.path).into());
            }
        }
        let got_bytes = u64::try_from(got).unwrap_or(0);
        self.position = island.start().get().checked_add(self.done + got_bytes);
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

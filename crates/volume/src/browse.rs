//! Looking into a volume at rest: listing, reading, copying out, without mounting.
//!
//! ```text
//!   copy_out, walk, compare   trees: bounded in depth and number
//!        |
//!   FileSystemView            one path at a time
//!     /        \
//!   ntfs       fat            over the crates `ntfs` and `fatfs`
//!     \        /
//!      guard                  a budget of reads; panics of those crates become errors
//! ```
//!
//! A volume may be hostile: whatever it holds, the answer is an entry or an error, in bounded time
//! and memory. Names are compared as Windows does, without regard to case where no name fits
//! exactly. Paths are written with `/` or `\`.

mod compare;
mod copy_out;
mod error;
mod fat;
mod guard;
mod ntfs;

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;

use blockio::{ByteRange, Disk, Window};
use mkfs::{FileSystem, SecurityDescriptor};

pub use compare::{ChangedEntry, EntryChange, OnChange, compare};
pub use copy_out::{CopyOptions, CopyReport, copy_out};
pub use error::{BrowseError, Result};
pub use mkfs::NtTime;

/// Levels of directories that are entered.
pub const MAX_DEPTH: usize = 512;
/// The least room an entry takes on disk: a slot of FAT. A volume cannot hold more entries than
/// its size over this.
const MIN_ENTRY_BYTES: u64 = 32;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link or junction.
    Symlink,
    /// Something that only Windows can read (a reparse point of another kind).
    Other,
}

/// An entry of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; what is not Unicode is replaced. Empty for the root.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Size of the content in bytes.
    pub size: u64,
    /// Bytes allocated for it, as far as the directory says.
    pub allocated: u64,
    /// When the content last changed.
    pub modified: NtTime,
    /// Attributes as Windows numbers them ([MS-FSCC] 2.6).
    pub attributes: u32,
    /// Where a link points; filled by `stat`, not by listings.
    pub link_target: Option<String>,
    /// How the file system finds it again without its path.
    node: Option<u64>,
}

/// What a file system knows of an entry beyond what its directory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// When it was made, where the file system says.
    pub created: Option<NtTime>,
    /// When its record last changed.
    pub changed: Option<NtTime>,
    /// When it was last read.
    pub accessed: Option<NtTime>,
    /// Names of the file.
    pub links: u64,
    /// Its named streams, by name.
    pub streams: Vec<NamedStream>,
    /// Who may do what with it.
    pub security: Option<SecurityDescriptor>,
}

/// A named stream of a file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedStream {
    /// Its name; what is not Unicode is replaced.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

impl Default for Details {
    /// Those of a file system that knows nothing more.
    fn default() -> Self {
        Self {
            created: None,
            changed: None,
            accessed: None,
            links: 1,
            streams: Vec::new(),
            security: None,
        }
    }
}

/// Takes the content of a file, in order.
pub trait ContentSink {
    /// The next bytes.
    ///
    /// # Errors
    /// Of the host.
    fn data(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// A hole: so many zeros.
    ///
    /// # Errors
    /// Of the host.
    fn hole(&mut self, len: u64) -> io::Result<()>;
}

/// A [`ContentSink`] that writes holes as zeros.
struct PlainSink<'a>(&'a mut dyn Write);

impl ContentSink for PlainSink<'_> {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
        let mut left = len;
        while left > 0 {
            let piece = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.0.write_all(&ZEROS[..piece])?;
            left -= u64::try_from(piece).unwrap_or(left);
        }
        Ok(())
    }
}

/// Where something lies: its path, and how the file system finds it without (see
/// [`FileSystemView::list_at`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    path: String,
    node: Option<u64>,
}

impl Place {
    /// The place of a path.
    ///
    /// # Errors
    /// `InvalidArgument` where it holds `..` or a NUL.
    pub fn new(path: &str) -> Result<Self> {
        let mut clean = String::new();
        for name in path.split(['/', '\\']) {
            match name {
                "" | "." => {}
                ".." => return Err(BrowseError::InvalidPath { path: path.into() }),
                _ if name.contains('\0') => {
                    return Err(BrowseError::InvalidPath {
                        path: path.escape_debug().to_string(),
                    });
                }
                _ => {
                    clean.push('/');
                    clean.push_str(name);
                }
            }
        }
        Ok(Self {
            path: clean,
            node: None,
        })
    }

    /// The place of an entry that was listed here.
    pub fn child(&self, entry: &Entry) -> Self {
        Self {
            path: format!("{}/{}", self.path, entry.name),
            node: entry.node,
        }
    }

    /// The path, `/` for the root.
    pub fn path(&self) -> &str {
        if self.path.is_empty() {
            "/"
        } else {
            &self.path
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter(|name| !name.is_empty())
    }
}

/// A file system at rest.
pub trait FileSystemView: Send {
    /// Which it is.
    fn file_system(&self) -> FileSystem;

    /// The most entries that it can hold.
    fn max_entries(&self) -> u64;

    /// The entry at a place.
    ///
    /// # Errors
    /// `NotFound`, `Damaged`, `Io`.
    fn stat_at(&mut self, place: &Place) -> Result<Entry>;

    /// The entries of a directory, sorted by name; system files are left out.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` where it is no directory, `Damaged`, `Io`.
    fn list_at(&mut self, place: &Place) -> Result<Vec<Entry>>;

    /// Reads the content of a file; returns its size.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` where it is no file, `Unsupported` where it is
    /// encrypted, `Damaged`, `Io`.
    fn read_at(&mut self, place: &Place, sink: &mut dyn ContentSink) -> Result<u64>;

    /// Reads several files of one directory, in the order of the directory; `choose` says for each
    /// entry whether it is read and into what. Cheaper than one read for each.
    ///
    /// # Errors
    /// As for [`FileSystemView::read_at`]; and what `choose` says.
    fn read_many(&mut self, place: &Place, choose: Chooser<'_>) -> Result<()> {
        for entry in self.list_at(place)? {
            let child = place.child(&entry);
            choose(&entry, &mut |sink| self.read_at(&child, sink))?;
        }
        Ok(())
    }

    /// Where a link points.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument` where it is no link, `Damaged`, `Io`.
    fn read_link_at(&mut self, place: &Place) -> Result<String>;

    /// Who may do what with an entry.
    ///
    /// # Errors
    /// `NotFound`, `Unsupported` where the file system keeps no access control, `Damaged`, `Io`.
    fn security_at(&mut self, place: &Place) -> Result<SecurityDescriptor> {
        Err(BrowseError::Unsupported {
            path: place.path().to_owned(),
            what: "access control on a file system that keeps none",
        })
    }

    /// What the file system knows of entries of one directory beyond what that says; nothing of those
    /// whose records cannot be read.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    fn details(&mut self, entries: &[Entry]) -> Result<Vec<Option<Details>>> {
        Ok(entries.iter().map(|_| Some(Details::default())).collect())
    }

    /// Reads a named stream of an entry; returns its size.
    ///
    /// # Errors
    /// `NotFound`, also where the file system has no streams; else as for
    /// [`FileSystemView::read_at`].
    fn read_stream_at(
        &mut self,
        place: &Place,
        stream: &str,
        _sink: &mut dyn ContentSink,
    ) -> Result<u64> {
        Err(BrowseError::NotFound {
            path: format!("{}:{stream}", place.path()),
        })
    }
}

/// Reads the content of the entry at hand into a sink.
pub type ReadContent<'r> = &'r mut dyn FnMut(&mut dyn ContentSink) -> Result<u64>;
/// Is shown each entry of a directory, with the means to read it.
pub type Chooser<'c> = &'c mut dyn FnMut(&Entry, ReadContent<'_>) -> Result<()>;

impl dyn FileSystemView + '_ {
    /// The entry at `path`, with its target where it is a link.
    ///
    /// # Errors
    /// As for [`FileSystemView::stat_at`].
    pub fn stat(&mut self, path: &str) -> Result<Entry> {
        let place = Place::new(path)?;
        let mut entry = self.stat_at(&place)?;
        if entry.kind == EntryKind::Symlink {
            entry.link_target = Some(self.read_link_at(&place)?);
        }
        Ok(entry)
    }

    /// The entries of the directory at `path`, sorted by name.
    ///
    /// # Errors
    /// As for [`FileSystemView::list_at`].
    pub fn list(&mut self, path: &str) -> Result<Vec<Entry>> {
        self.list_at(&Place::new(path)?)
    }

    /// Writes the content of the file at `path`; returns its size.
    ///
    /// # Errors
    /// As for [`FileSystemView::read_at`].
    pub fn read_file(&mut self, path: &str, out: &mut dyn Write) -> Result<u64> {
        self.read_at(&Place::new(path)?, &mut PlainSink(out))
    }

    /// Where the link at `path` points.
    ///
    /// # Errors
    /// As for [`FileSystemView::read_link_at`].
    pub fn read_link(&mut self, path: &str) -> Result<String> {
        self.read_link_at(&Place::new(path)?)
    }

    /// Shows every entry below `path`, each directory before what it holds; `visit` is told how
    /// many directories lie between.
    ///
    /// # Errors
    /// As for [`FileSystemView::list_at`]; `Damaged` where directories hold each other or lie more
    /// than [`MAX_DEPTH`] deep; and what `visit` says.
    pub fn walk(
        &mut self,
        path: &str,
        visit: &mut dyn FnMut(usize, &Place, &Entry) -> Result<()>,
    ) -> Result<()> {
        let mut seen = Seen::new(self.max_entries());
        let start = Place::new(path)?;
        let mut levels = vec![(start.clone(), self.list_at(&start)?.into_iter())];
        while let Some((place, entries)) = levels.last_mut() {
            let Some(entry) = entries.next() else {
                levels.pop();
                continue;
            };
            let child = place.child(&entry);
            let depth = levels.len() - 1;
            seen.count(&child, &entry, depth)?;
            visit(depth, &child, &entry)?;
            if entry.kind == EntryKind::Directory {
                let entries = self.list_at(&child)?.into_iter();
                levels.push((child, entries));
            }
        }
        Ok(())
    }
}

/// Keeps a walk through a hostile volume bounded.
struct Seen {
    directories: HashSet<u64>,
    left: u64,
}

impl Seen {
    fn new(max_entries: u64) -> Self {
        Self {
            directories: HashSet::new(),
            left: max_entries,
        }
    }

    fn count(&mut self, place: &Place, entry: &Entry, depth: usize) -> Result<()> {
        let damaged = |reason: &str| Err(BrowseError::damaged(place.path(), reason));
        if depth >= MAX_DEPTH {
            return damaged("it lies too deep");
        }
        let Some(left) = self.left.checked_sub(1) else {
            return damaged("directories hold more entries than there is room for");
        };
        self.left = left;
        if entry.kind == EntryKind::Directory
            && let Some(node) = entry.node
            && !self.directories.insert(node)
        {
            return damaged("the directory is found in two places");
        }
        Ok(())
    }
}

/// Opens the file system on `disk`: that of its first partition (GPT, or primary by MBR) that has
/// one, or of the whole disk where there is no partition table.
///
/// # Errors
/// `Unsupported` where no file system is found that can be read, `Damaged`, `Io`.
pub fn open(disk: Arc<dyn Disk>) -> Result<Box<dyn FileSystemView>> {
    let (partition, kind) = locate(disk)?;
    open_located(partition, kind)
}

/// The file system that [`open`] would open: where it lies, and which it is.
pub(crate) fn locate(disk: Arc<dyn Disk>) -> Result<(Arc<dyn Disk>, FileSystem)> {
    let mut found = FileSystem::Unknown;
    let ranges: Vec<ByteRange> = match mkfs::gpt::partitions(&*disk) {
        Ok(partitions) => partitions.iter().map(|entry| entry.range).collect(),
        Err(error) if error.kind() == mkfs::MkfsErrorKind::NotFound => {
            if let Some(kind) = readable(&*disk, &mut found)? {
                return Ok((disk, kind));
            }
            mkfs::gpt::mbr_partitions(&*disk)?
        }
        Err(error) => return Err(error.into()),
    };
    for range in ranges {
        let window = Window::new(Arc::clone(&disk), range)?;
        if let Some(kind) = readable(&window, &mut found)? {
            return Ok((Arc::new(window), kind));
        }
    }
    Err(BrowseError::NoFileSystem { found })
}

/// Which file system that can be read a partition has; others are put in `found`.
fn readable(disk: &dyn Disk, found: &mut FileSystem) -> Result<Option<FileSystem>> {
    let kind = mkfs::identify(disk)?;
    Ok(match kind {
        FileSystem::Ntfs | FileSystem::Fat32 | FileSystem::Fat16 | FileSystem::Fat12 => Some(kind),
        other => {
            if *found == FileSystem::Unknown {
                *found = other;
            }
            None
        }
    })
}

/// Opens a file system that [`locate`] found.
pub(crate) fn open_located(
    partition: Arc<dyn Disk>,
    kind: FileSystem,
) -> Result<Box<dyn FileSystemView>> {
    Ok(match kind {
        FileSystem::Ntfs => Box::new(ntfs::NtfsView::open(partition)?),
        kind => Box::new(fat::FatView::open(partition, kind)?),
    })
}

/// The entry that a name means: the one spelled so, or one that differs in case only.
fn pick<'e>(entries: &'e [Entry], name: &str, upcase: impl Fn(u16) -> u16) -> Option<&'e Entry> {
    let fold = |text: &str| text.encode_utf16().map(&upcase).collect::<Vec<u16>>();
    entries.iter().find(|entry| entry.name == name).or_else(|| {
        let wanted = fold(name);
        entries.iter().find(|entry| fold(&entry.name) == wanted)
    })
}

fn root_entry(node: Option<u64>) -> Entry {
    Entry {
        name: String::new(),
        kind: EntryKind::Directory,
        size: 0,
        allocated: 0,
        modified: NtTime::UNIX_EPOCH,
        attributes: 0x10,
        link_target: None,
        node,
    }
}

#[cfg(test)]
mod tests;

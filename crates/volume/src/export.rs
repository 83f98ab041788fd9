//! A tree written as a tar stream, with everything that Windows knows of it in PAX records: what
//! `cvol export` writes, and [`crate::tar_tree`] reads back.
//!
//! ```text
//!   export           entries in, members out; hard links once, streams behind their file
//!     |
//!   head             one head with its records
//!     |
//!   pack             gzip, zstd, xz, or nothing; in a thread of its own
//! ```
//!
//! Invariant: the bytes depend on the tree alone, so that equal trees make equal archives. Memory is
//! a few buffers, and for each entry its name.

mod head;
mod pack;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::ops::ControlFlow;

use blockio::ByteCount;
use mkfs::{
    Attributes, EntryKind, FileContent, NodeId, TreeEntry, TreeError, TreeErrorKind, TreeSource,
};

use crate::tar_tree::Compression;
use crate::tar_tree::format::{BLOCK, BLOCK_BYTES, kind};
use crate::tar_tree::name::bytes_of;
use crate::tar_tree::nodes::{NodeKind, Nodes};
use crate::tar_tree::windows::{self, ATTRIBUTE_DIRECTORY};
use head::{Head, Heads};
use pack::Packed;

/// Entries and bytes between two reports of progress.
const ENTRIES_PER_REPORT: u64 = 256;
const BYTES_PER_REPORT: u64 = 16 << 20;
/// FILE_ATTRIBUTE_SPARSE_FILE, FILE_ATTRIBUTE_REPARSE_POINT ([MS-FSCC] 2.6).
const ATTRIBUTE_SPARSE: u32 = 0x200;
const ATTRIBUTE_REPARSE_POINT: u32 = 0x400;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Files.
    pub files: u64,
    /// Directories, without the root.
    pub directories: u64,
    /// Symbolic links and other reparse points.
    pub links: u64,
    /// More names of files.
    pub hard_links: u64,
    /// Named streams.
    pub streams: u64,
    /// Bytes of content, holes not counted.
    pub bytes: ByteCount,
}

/// Why a tree was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The tree could not be read.
    #[error(transparent)]
    Source(#[from] TreeError),
    /// The archive could not be written.
    #[error("the archive cannot be written")]
    Output(#[source] io::Error),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

type Result<T> = std::result::Result<T, ExportError>;

/// Writes a tree as a tar archive to `out`, packed as said; `out` is flushed, not made durable.
/// `progress` is told the bytes and files written so far, and may stop the work.
///
/// # Errors
/// [`ExportError`]; what was written before is no whole archive.
pub fn export(
    tree: &mut dyn TreeSource,
    out: Box<dyn Write + Send>,
    compression: Compression,
    progress: &dyn Fn(u64, u64) -> ControlFlow<()>,
) -> Result<ExportReport> {
    let mut export = Export {
        out: Packed::new(out, compression).map_err(ExportError::Output)?,
        heads: Heads::default(),
        nodes: Nodes::default(),
        path: Vec::new(),
        times: None,
        progress,
        report: ExportReport::default(),
        entries: 0,
    };
    export.root(tree)?;
    while let Some(entry) = tree.next_entry()? {
        export.entry(entry)?;
    }
    // The mark that ends an archive is two blocks of zeros.
    export.write(&[0; 2 * BLOCK])?;
    let Export { out, report, .. } = export;
    out.finish().map_err(ExportError::Output)?;
    Ok(report)
}

/// How a reparse point is shown to readers of archives.
struct ShownLink {
    kind: u8,
    target: Vec<u8>,
    is_mount_point: bool,
    /// Its data, where target and kind do not tell all of it.
    data: Option<Vec<u8>>,
}

impl ShownLink {
    fn of(data: Vec<u8>, directory: bool) -> Self {
        let Some((units, is_mount_point)) = windows::link_of(&data) else {
            let kind = if directory {
                kind::DIRECTORY
            } else {
                kind::FILE
            };
            return Self {
                kind,
                target: Vec::new(),
                is_mount_point: false,
                data: Some(data),
            };
        };
        let mut target = Vec::new();
        bytes_of(&units, &mut target);
        // What readers make of target and kind need not be said.
        let told = windows::link_data(&units, is_mount_point);
        Self {
            kind: kind::SYMLINK,
            target,
            is_mount_point,
            data: (told.as_deref() != Ok(&data)).then_some(data),
        }
    }
}

struct Export<'p> {
    out: Packed,
    heads: Heads,
    nodes: Nodes,
    /// Path of the entry written last that was no stream.
    path: Vec<u8>,
    /// Its times.
    times: Option<mkfs::Times>,
    progress: &'p dyn Fn(u64, u64) -> ControlFlow<()>,
    report: ExportReport,
    entries: u64,
}

fn malformed(path: &[u8], what: &str) -> ExportError {
    let path = String::from_utf8_lossy(path);
    TreeError::new(TreeErrorKind::Malformed, path, what).into()
}

impl Export<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(ExportError::Output)
    }

    fn root(&mut self, tree: &dyn TreeSource) -> Result<()> {
        let mut head = Head::new(kind::DIRECTORY, b"./");
        let times = tree.root_times().unwrap_or_default();
        head.times = Some(times);
        head.attributes = Some(ATTRIBUTE_DIRECTORY);
        let security = tree.root_security();
        head.security = security.as_ref();
        let bytes = self.heads.encode(&head);
        self.out.write_all(bytes).map_err(ExportError::Output)
    }

    fn entry(&mut self, entry: TreeEntry) -> Result<()> {
        self.entries += 1;
        if self.entries.is_multiple_of(ENTRIES_PER_REPORT) {
            self.tell()?;
        }
        let mut name = Vec::with_capacity(entry.name.units().len());
        bytes_of(entry.name.units(), &mut name);
        let node_kind = match &entry.kind {
            EntryKind::Directory => NodeKind::Directory,
            EntryKind::HardLink { target } => NodeKind::HardLink(*target),
            EntryKind::Stream(_) => NodeKind::Stream,
            _ => NodeKind::Leaf,
        };
        let id = self.nodes.add(entry.parent, &name, node_kind);
        if id != Some(entry.id) {
            return Err(malformed(
                &name,
                "the tree numbers its entries out of order",
            ));
        }
        if let EntryKind::Stream(content) = entry.kind {
            return self.stream(&name, content);
        }
        self.path.clear();
        self.nodes.add_path(entry.id, &mut self.path);
        self.times = Some(entry.times);
        self.member(entry)
    }

    fn member(&mut self, entry: TreeEntry) -> Result<()> {
        let attributes = entry.attributes.bits() & !Attributes::NORMAL.bits();
        let mut path = std::mem::take(&mut self.path);
        let mut link = Vec::new();
        let mut head = Head::new(kind::FILE, &[]);
        head.times = Some(entry.times);
        head.security = entry.security.as_ref();
        let mut reparse = None;
        let mut content = None;
        match entry.kind {
            EntryKind::Directory => {
                head.kind = kind::DIRECTORY;
                head.attributes = Some(attributes | ATTRIBUTE_DIRECTORY);
                self.report.directories += 1;
            }
            EntryKind::File(found) => {
                let sparse = if found.has_holes() {
                    ATTRIBUTE_SPARSE
                } else {
                    0
                };
                // As Windows shows a file that has no other.
                let all = attributes | sparse;
                head.attributes = Some(if all == 0 {
                    Attributes::NORMAL.bits()
                } else {
                    all
                });
                content = Some(found);
                self.report.files += 1;
            }
            EntryKind::Symlink { target, .. } => {
                head.kind = kind::SYMLINK;
                bytes_of(&target, &mut link);
                // Without the record of attributes it is read back as what it is here.
                head.attributes = None;
                head.security = None;
                self.report.links += 1;
            }
            EntryKind::HardLink { target } => {
                head.kind = kind::HARD_LINK;
                link = self.target(target);
                head.security = None;
                self.report.hard_links += 1;
            }
            EntryKind::ReparsePoint { data, directory } => {
                self.report.links += 1;
                let bit = if directory { ATTRIBUTE_DIRECTORY } else { 0 };
                head.attributes = Some(attributes | ATTRIBUTE_REPARSE_POINT | bit);
                let shown = ShownLink::of(data, directory);
                head.kind = shown.kind;
                head.is_mount_point = shown.is_mount_point;
                link = shown.target;
                reparse = shown.data;
            }
            _ => return Err(malformed(&path, "it is of an unknown kind")),
        }
        if head.kind == kind::DIRECTORY {
            path.push(b'/');
        }
        head.path = &path;
        head.link = &link;
        head.reparse = reparse.as_deref();
        let result = match content {
            Some(content) => self.with_content(head, content),
            None => {
                let bytes = self.heads.encode(&head);
                self.out.write_all(bytes).map_err(ExportError::Output)
            }
        };
        if path.last() == Some(&b'/') {
            path.pop();
        }
        self.path = path;
        result
    }

    /// The path of an entry written earlier.
    fn target(&self, id: NodeId) -> Vec<u8> {
        let mut path = Vec::new();
        self.nodes.add_path(id, &mut path);
        path
    }

    /// A stream of the entry written last.
    fn stream(&mut self, name: &[u8], content: FileContent) -> Result<()> {
        let path = [&self.path, &b":"[..], name].concat();
        let mut head = Head::new(kind::FILE, &path);
        head.times = self.times;
        self.report.streams += 1;
        self.with_content(head, content)
    }

    fn with_content(&mut self, mut head: Head<'_>, content: FileContent) -> Result<()> {
        let path = head.path;
        if !content.is_well_formed() {
            return Err(malformed(path, "its ranges of data are out of order"));
        }
        let data = content.data_size().get();
        let map = content
            .has_holes()
            .then(|| head::sparse_map(&content.islands, content.size.get()));
        let map_bytes = map.as_ref().map_or(0, Vec::len);
        head.size = u64::try_from(map_bytes)
            .ok()
            .and_then(|map| map.checked_add(data))
            .ok_or_else(|| malformed(path, "it is too large"))?;
        head.sparse_size = map.is_some().then_some(content.size.get());
        let bytes = self.heads.encode(&head);
        self.out.write_all(bytes).map_err(ExportError::Output)?;
        if let Some(map) = map {
            self.write(&map)?;
        }
        self.copy(path, content.reader, data)?;
        let over = usize::try_from(data % BLOCK_BYTES).unwrap_or(0);
        if over > 0 {
            self.write(&[0; BLOCK][over..])?;
        }
        Ok(())
    }

    /// Copies exactly `size` bytes.
    fn copy(&mut self, path: &[u8], mut reader: Box<dyn Read + Send>, size: u64) -> Result<()> {
        let mut left = size;
        let mut since_told = 0;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let count = match reader.read(self.out.room(most)) {
                Ok(0) => return Err(malformed(path, "its content ends before its size")),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let path = || String::from_utf8_lossy(path).into_owned();
                    return Err(TreeError::from_read(error, path).into());
                }
            };
            self.out.filled(count).map_err(ExportError::Output)?;
            let done = u64::try_from(count).unwrap_or(left);
            left = left.saturating_sub(done);
            self.report.bytes.0 += done;
            since_told += done;
            if since_told >= BYTES_PER_REPORT {
                since_told = 0;
                self.tell()?;
            }
        }
        Ok(())
    }

    fn tell(&self) -> Result<()> {
        match (self.progress)(self.report.bytes.get(), self.report.files) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ExportError::Interrupted),
        }
    }
}

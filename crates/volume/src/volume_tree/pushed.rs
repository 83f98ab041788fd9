//! A file system as a tree through what `browse` shows of it, which hands contents on as it reads
//! them: a thread walks, and its findings are taken from a channel.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use blockio::ByteCount;
use mkfs::{
    Attributes, EntryKind, FileContent, NodeId, NodeName, Times, TreeEntry, TreeError,
    TreeErrorKind, TreeSource,
};

use super::malformed;
use crate::browse::{self, BrowseError, ContentSink, Entry, FileSystemView, MAX_DEPTH, Place};

/// Findings that wait; each has at most one chunk of a file.
const WAITING: usize = 8;
/// Zeros handed on at a time for a hole.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// What the walk found.
enum Finding {
    /// An entry in a directory: how deep, where, and what.
    Entry(usize, String, Box<Entry>),
    /// More of the content of the file found last.
    Data(Vec<u8>),
    /// The walk could not go on.
    Failed(BrowseError),
}

/// A file system as a stream of entries.
pub(super) struct PushedTree {
    findings: Arc<Mutex<Findings>>,
    /// The directories above the next entry.
    parents: Vec<NodeId>,
    next_id: u32,
}

/// What comes from the walk.
struct Findings {
    receiver: Receiver<Finding>,
    /// The next entry, met while a content was read.
    next: Option<Finding>,
    /// Counts files, so that a reader of an earlier one gets nothing of a later one.
    file: u64,
}

impl Findings {
    /// The next finding that is no content.
    fn next_entry(&mut self) -> Option<Finding> {
        self.file += 1;
        let mut finding = self.next.take().or_else(|| self.receiver.recv().ok());
        while let Some(Finding::Data(_)) = finding {
            finding = self.receiver.recv().ok();
        }
        finding
    }

    /// More of the content at hand.
    fn next_data(&mut self) -> Option<Vec<u8>> {
        if self.next.is_some() {
            return None;
        }
        match self.receiver.recv().ok()? {
            Finding::Data(bytes) => Some(bytes),
            other => {
                self.next = Some(other);
                None
            }
        }
    }
}

impl PushedTree {
    /// Starts the walk.
    pub(super) fn start(mut view: Box<dyn FileSystemView>) -> Result<Self, TreeError> {
        let (sender, receiver) = sync_channel(WAITING);
        let walk = move || {
            let result = Place::new("/").and_then(|root| walk(&mut *view, &root, 0, &sender));
            if let Err(error) = result {
                // Where nobody listens any more, nobody misses it.
                drop(sender.send(Finding::Failed(error)));
            }
        };
        thread::Builder::new()
            .name("walk".to_owned())
            .spawn(walk)
            .map_err(|error| TreeError::unreadable("/", error))?;
        Ok(Self {
            findings: Arc::new(Mutex::new(Findings {
                receiver,
                next: None,
                file: 0,
            })),
            parents: vec![NodeId::ROOT],
            next_id: 1,
        })
    }

    fn entry(&mut self, depth: usize, path: &str, found: &Entry) -> Result<TreeEntry, TreeError> {
        self.parents.truncate(depth + 1);
        let parent = *self
            .parents
            .get(depth)
            .ok_or_else(|| malformed(path, "it lies in no directory"))?;
        let id = NodeId(self.next_id);
        self.next_id = self.next_id.checked_add(1).ok_or_else(|| {
            let what = "the volume has more entries than can be numbered";
            TreeError::new(TreeErrorKind::TooLarge, path, what)
        })?;
        let kind = match found.kind {
            browse::EntryKind::Directory => {
                self.parents.push(id);
                EntryKind::Directory
            }
            browse::EntryKind::File => {
                let file = self.lock().file;
                let reader = Box::new(Content {
                    findings: Arc::clone(&self.findings),
                    file,
                    chunk: io::Cursor::new(Vec::new()),
                });
                EntryKind::File(FileContent::dense(ByteCount(found.size), reader))
            }
            _ => return Err(malformed(path, "it is of a kind that the format has not")),
        };
        Ok(TreeEntry {
            parent,
            id,
            name: NodeName::from_text(&found.name)
                .map_err(|error| malformed(path, format!("its name {}", error.reason())))?,
            times: Times::all(found.modified),
            attributes: Attributes::from_bits(found.attributes).with(Attributes::NORMAL),
            security: None,
            kind,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TreeSource for PushedTree {
    fn next_entry(&mut self) -> Result<Option<TreeEntry>, TreeError> {
        let finding = self.lock().next_entry();
        match finding {
            None => Ok(None),
            Some(Finding::Entry(depth, path, found)) => self.entry(depth, &path, &found).map(Some),
            Some(Finding::Failed(error)) => Err(of_browse(error)),
            Some(Finding::Data(_)) => Err(malformed("/", "content belongs to no file")),
        }
    }
}

fn of_browse(error: BrowseError) -> TreeError {
    use crate::error::VolumeErrorKind;
    let kind = match error.kind() {
        VolumeErrorKind::Damaged => TreeErrorKind::Malformed,
        VolumeErrorKind::Unsupported => TreeErrorKind::Unsupported,
        _ => TreeErrorKind::Unreadable,
    };
    TreeError::new(kind, "the volume", error.to_string())
}

/// The content of one file, as long as the walk stands at it.
struct Content {
    findings: Arc<Mutex<Findings>>,
    file: u64,
    chunk: io::Cursor<Vec<u8>>,
}

impl Read for Content {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.chunk.read(out)?;
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
            if findings.file != self.file {
                return Err(io::Error::other("the content was read too late"));
            }
            match findings.next_data() {
                Some(bytes) => self.chunk = io::Cursor::new(bytes),
                None => return Ok(0),
            }
        }
    }
}

/// Sends what a directory holds: its files with their contents, then its directories one by one.
fn walk(
    view: &mut dyn FileSystemView,
    place: &Place,
    depth: usize,
    sender: &SyncSender<Finding>,
) -> browse::Result<()> {
    if depth > MAX_DEPTH {
        return Err(BrowseError::damaged(place.path(), "it lies too deep"));
    }
    let mut directories = Vec::new();
    view.read_many(place, &mut |entry, read| {
        if entry.kind == browse::EntryKind::Directory {
            directories.push(entry.clone());
            return Ok(());
        }
        let child = place.child(entry);
        send(sender, depth, &child, entry)?;
        if entry.kind == browse::EntryKind::File {
            read(&mut Channel(sender))?;
        }
        Ok(())
    })?;
    for entry in directories {
        let child = place.child(&entry);
        send(sender, depth, &child, &entry)?;
        walk(view, &child, depth + 1, sender)?;
    }
    Ok(())
}

fn send(
    sender: &SyncSender<Finding>,
    depth: usize,
    place: &Place,
    entry: &Entry,
) -> browse::Result<()> {
    sender
        .send(Finding::Entry(
            depth,
            place.path().to_owned(),
            Box::new(entry.clone()),
        ))
        .map_err(|_| BrowseError::Interrupted)
}

/// Sends contents.
struct Channel<'s>(&'s SyncSender<Finding>);

impl ContentSink for Channel<'_> {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0
            .send(Finding::Data(bytes.to_vec()))
            .map_err(|_| io::Error::other("nobody reads any more"))
    }

    fn hole(&mut self, len: u64) -> io::Result<()> {
        let mut left = len;
        while left > 0 {
            let count = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.data(&ZEROS[..count])?;
            left -= u64::try_from(count).unwrap_or(left);
        }
        Ok(())
    }
}

//! A tree that is read in a thread of its own, a bounded way ahead of whoever uses it: while one
//! thread waits for the host and copies from it, the other one builds.
//!
//! ```text
//!   source --> entries, bytes of their contents --> batches --> entries with readers
//!              (thread)                             (bounded)   (caller)
//! ```
//!
//! Invariants: entries, contents and failures come in the order of the source, each failure where the
//! source has it; memory is [`BATCHES`] and two more buffers of [`BATCH_BYTES`], with the entries
//! that go with them.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use mkfs::{
    Amendment, EntryKind, SecurityDescriptor, Times, TreeEntry, TreeError, TreeErrorKind,
    TreeSource, TreeTotals,
};

/// Bytes of content that are handed over at a time.
const BATCH_BYTES: usize = 256 * 1024;
/// Entries that are handed over at a time at most.
const BATCH_ENTRIES: usize = 256;
/// Batches that wait.
const BATCHES: usize = 16;

/// What is handed over at a time. Contents lie one behind another; that of the last entry may go on
/// in the next batch.
struct Batch {
    entries: VecDeque<TreeEntry>,
    bytes: Vec<u8>,
    /// Bytes in use.
    filled: usize,
    end: End,
}

/// Room for a batch, to be used again.
type Room = (VecDeque<TreeEntry>, Vec<u8>);

fn room() -> Room {
    (VecDeque::with_capacity(BATCH_ENTRIES), vec![0; BATCH_BYTES])
}

/// What comes behind a batch.
enum End {
    /// Another one.
    More,
    /// Nothing: the source has ended, with the last word on some directories.
    Whole(Vec<Amendment>),
    /// The source failed.
    Failed(TreeError),
    /// The content of the last entry failed; none where it ended before its size.
    ContentFailed(Option<io::Error>),
}

/// A source that is read ahead.
pub(crate) struct TreeAhead<T> {
    delivery: Arc<Mutex<Delivery>>,
    thread: JoinHandle<T>,
    root_times: Option<Times>,
    root_security: Option<SecurityDescriptor>,
    totals: Option<TreeTotals>,
}

impl<T: TreeSource + Send + 'static> TreeAhead<T> {
    /// Starts to read a source. What it says of its root and of what will come is asked now.
    ///
    /// # Errors
    /// `Unreadable` where the host has no thread left.
    pub(crate) fn start(source: T) -> Result<Self, TreeError> {
        let (batches, received) = sync_channel(BATCHES);
        let (give_back, empty) = sync_channel(BATCHES + 2);
        let root_times = source.root_times();
        let root_security = source.root_security();
        let totals = source.totals();
        let (entries, bytes) = room();
        let mut reading = Reading {
            batches,
            empty,
            entries,
            bytes,
            filled: 0,
        };
        let thread = thread::Builder::new()
            .name("read ahead".to_owned())
            .spawn(move || {
                let mut source = source;
                // Where nobody listens any more, nobody misses the rest.
                let _ = reading.all(&mut source);
                source
            })
            .map_err(|error| TreeError::unreadable("the tree", error))?;
        let delivery = Delivery {
            batches: received,
            empty: give_back,
            batch: Batch {
                entries: VecDeque::new(),
                bytes: Vec::new(),
                filled: 0,
                end: End::More,
            },
            amendments: Vec::new(),
            at: 0,
            content: 0,
            left: 0,
        };
        Ok(Self {
            delivery: Arc::new(Mutex::new(delivery)),
            thread,
            root_times,
            root_security,
            totals,
        })
    }

    /// The source, read to its end; `None` where its thread panicked. Call it after the last entry:
    /// before that it waits for the source.
    pub(crate) fn into_source(self) -> Option<T> {
        // The thread stops at its next batch, if there still is one.
        drop(self.delivery);
        self.thread.join().ok()
    }
}

impl<T> TreeSource for TreeAhead<T> {
    fn next_entry(&mut self) -> Result<Option<TreeEntry>, TreeError> {
        let mut delivery = lock(&self.delivery);
        let Some(mut entry) = delivery.next_entry()? else {
            return Ok(None);
        };
        if let EntryKind::File(content) | EntryKind::Stream(content) = &mut entry.kind {
            let size = content.data_size().get();
            let number = delivery.begin_content(size);
            if size > 0 {
                content.reader = Box::new(Content {
                    delivery: Arc::clone(&self.delivery),
                    number,
                });
            }
        }
        Ok(Some(entry))
    }

    fn root_times(&self) -> Option<Times> {
        self.root_times
    }

    fn root_security(&self) -> Option<SecurityDescriptor> {
        self.root_security.clone()
    }

    fn totals(&self) -> Option<TreeTotals> {
        self.totals
    }

    fn amendments(&mut self) -> Vec<Amendment> {
        std::mem::take(&mut lock(&self.delivery).amendments)
    }
}

/// Nobody listens any more.
struct Unheard;

/// The side that reads.
struct Reading {
    batches: SyncSender<Batch>,
    empty: Receiver<Room>,
    entries: VecDeque<TreeEntry>,
    bytes: Vec<u8>,
    filled: usize,
}

impl Reading {
    fn all(&mut self, source: &mut impl TreeSource) -> Result<(), Unheard> {
        loop {
            let mut entry = match source.next_entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => return self.send(End::Whole(source.amendments())),
                Err(error) => return self.send(End::Failed(error)),
            };
            let content = match &mut entry.kind {
                EntryKind::File(content) | EntryKind::Stream(content) => {
                    let size = content.data_size().get();
                    Some((
                        std::mem::replace(&mut content.reader, Box::new(io::empty())),
                        size,
                    ))
                }
                _ => None,
            };
            self.entries.push_back(entry);
            if let Some((reader, size)) = content
                && let Err(error) = self.content(reader, size)?
            {
                return self.send(End::ContentFailed(error));
            }
            if self.entries.len() >= BATCH_ENTRIES {
                self.send(End::More)?;
            }
        }
    }

    /// Reads a content to its size; an error of the source stands within.
    fn content(
        &mut self,
        mut reader: Box<dyn Read + Send>,
        size: u64,
    ) -> Result<Result<(), Option<io::Error>>, Unheard> {
        let mut left = size;
        while left > 0 {
            if self.filled == self.bytes.len() {
                self.send(End::More)?;
            }
            let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
            let count = usize::try_from(left).map_or(room.len(), |left| left.min(room.len()));
            match reader.read(&mut room[..count]) {
                Ok(0) => return Ok(Err(None)),
                Ok(count) => {
                    self.filled += count;
                    left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(Some(error))),
            }
        }
        Ok(Ok(()))
    }

    /// Hands over what was read.
    fn send(&mut self, end: End) -> Result<(), Unheard> {
        let (entries, bytes) = self.empty.try_recv().unwrap_or_else(|_| room());
        let batch = Batch {
            entries: std::mem::replace(&mut self.entries, entries),
            bytes: std::mem::replace(&mut self.bytes, bytes),
            filled: std::mem::take(&mut self.filled),
            end,
        };
        self.batches.send(batch).map_err(|_| Unheard)
    }
}

/// The side that delivers.
struct Delivery {
    batches: Receiver<Batch>,
    empty: SyncSender<Room>,
    batch: Batch,
    /// What came with the end.
    amendments: Vec<Amendment>,
    /// Bytes of the batch that were delivered.
    at: usize,
    /// Counts contents, so that a reader of an earlier one is told from that of this one.
    content: u64,
    /// Bytes of this content that were not delivered yet.
    left: u64,
}

fn lock(delivery: &Mutex<Delivery>) -> MutexGuard<'_, Delivery> {
    delivery.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Delivery {
    fn next_entry(&mut self) -> Result<Option<TreeEntry>, TreeError> {
        loop {
            // What was not read of a content is passed over.
            self.take(usize::MAX);
            if self.left == 0
                && let Some(entry) = self.batch.entries.pop_front()
            {
                return Ok(Some(entry));
            }
            match std::mem::replace(&mut self.batch.end, End::Whole(Vec::new())) {
                End::More => self.receive(),
                End::Whole(amendments) => {
                    if !amendments.is_empty() {
                        self.amendments = amendments;
                    }
                    return Ok(None);
                }
                End::Failed(error) => return Err(error),
                End::ContentFailed(error) => {
                    let error = error.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                    return Err(TreeError::from_read(error, || "the tree".to_owned()));
                }
            }
        }
    }

    /// The content of the entry delivered last begins; its number.
    fn begin_content(&mut self, size: u64) -> u64 {
        self.left = size;
        self.content += 1;
        self.content
    }

    /// Bytes of the content that lie in this batch, at most so many.
    fn take(&mut self, most: usize) -> &[u8] {
        let here = self.batch.filled - self.at;
        let count = usize::try_from(self.left).map_or(here, |left| left.min(here));
        let (start, count) = (self.at, count.min(most));
        self.at += count;
        self.left = self
            .left
            .saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        self.batch.bytes.get(start..self.at).unwrap_or_default()
    }

    /// Goes on to the next batch.
    fn receive(&mut self) {
        let next = self.batches.recv().unwrap_or_else(|_| Batch {
            entries: VecDeque::new(),
            bytes: Vec::new(),
            filled: 0,
            // The thread tells its end in every other case.
            end: End::Failed(TreeError::new(
                TreeErrorKind::Unreadable,
                "the tree",
                "reading it stopped",
            )),
        });
        let done = std::mem::replace(&mut self.batch, next);
        self.at = 0;
        if !done.bytes.is_empty() {
            // Nobody takes it back after the last batch.
            drop(self.empty.try_send((done.entries, done.bytes)));
        }
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.left > 0 && self.at == self.batch.filled {
            match &mut self.batch.end {
                End::More => self.receive(),
                End::ContentFailed(error) => return error.take().map_or(Ok(0), Err),
                // Both come only behind whole contents, but for a thread that panicked.
                End::Whole(_) | End::Failed(_) => return Ok(0),
            }
        }
        let bytes = self.take(out.len());
        out[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

/// The content of one entry, as long as the tree stands at it.
struct Content {
    delivery: Arc<Mutex<Delivery>>,
    number: u64,
}

impl Read for Content {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut delivery = lock(&self.delivery);
        if delivery.content != self.number {
            return Err(io::Error::other("the content was read too late"));
        }
        delivery.read(out)
    }
}

#[cfg(test)]
mod tests;

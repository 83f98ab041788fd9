//! Small files that a second thread reads: to open a file takes longer than all that is done with it.
//!
//! ```text
//!   small files of one directory    a b c d e f g h i j k l ...
//!   read where they are asked for   a b c d         i j k l
//!   read ahead by the thread                e f g h         ...
//! ```
//! What cannot be read ahead, or is not as it was seen, is opened once more at its turn, and fails then.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use cap_std::fs::Dir;

use super::content::read_into;
use super::looked::processors;
use super::scan::Scan;
use super::walk::Walk;

/// Files that are left to whoever asks for them, before those that the thread reads.
const OWN: usize = 96;
/// Files that the thread reads at a time.
const AHEAD: usize = 128;
/// Bytes of them at most.
const AHEAD_BYTES: u64 = 1024 * 1024;
/// So few files are not worth a thread.
const FEW: usize = 64;

/// Files to be read, and where they lie.
struct Job {
    scan: Arc<Scan>,
    directory: Arc<Dir>,
    entries: Range<usize>,
}

/// The contents of the files of a job, in order; none of what was not read.
type Done = VecDeque<Option<Piece>>;

/// The content of one file.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Arc<Vec<u8>>,
    at: Range<usize>,
}

impl Read for Piece {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.bytes.get(self.at.clone()).unwrap_or_default();
        let count = left.len().min(out.len());
        out[..count].copy_from_slice(&left[..count]);
        self.at.start += count;
        Ok(count)
    }
}

#[derive(Debug)]
struct Helper {
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
}

impl Helper {
    fn start() -> Option<Self> {
        if processors() == 1 {
            return None;
        }
        let (jobs, asked) = sync_channel::<Job>(1);
        let (results, done) = sync_channel(1);
        let work = move || {
            while let Ok(job) = asked.recv() {
                if results.send(job.read()).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("read small files".to_owned());
        let thread = thread.spawn(work).ok()?;
        Some(Self { jobs, done, thread })
    }
}

/// What was read ahead, and what is being read.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    helper: Option<Helper>,
    /// Whether there can be no helper.
    is_alone: bool,
    /// Entries that the helper reads now.
    asked: Range<usize>,
    /// Of the entries from the first one on, what was read.
    first: usize,
    read: Done,
}

impl Ahead {
    /// The content of an entry, a file where the walk stands, if it was read ahead. Entries are asked for
    /// in their order.
    pub(super) fn take(&mut self, walk: &Walk, entry: usize) -> Option<Piece> {
        if self.is_alone {
            return None;
        }
        if !self.asked.is_empty() && self.asked.start <= entry {
            self.first = self.asked.start;
            self.read = self.receive();
            // Where it was passed by, the walk may stand in another directory.
            self.ask(walk, entry.max(self.first + self.read.len()));
        } else if self.asked.is_empty() && self.read.is_empty() {
            self.ask(walk, entry);
        }
        while self.first < entry && self.read.pop_front().is_some() {
            self.first += 1;
        }
        if self.first != entry {
            return None;
        }
        self.first += 1;
        self.read.pop_front().flatten()
    }

    /// Has the helper read those files that come a while after an entry.
    fn ask(&mut self, walk: &Walk, entry: usize) {
        let own = walk.small_files(entry, OWN, u64::MAX);
        if own.len() < OWN {
            return;
        }
        let entries = walk.small_files(own.end, AHEAD, AHEAD_BYTES);
        if entries.len() < FEW {
            return;
        }
        if self.helper.is_none() {
            self.helper = Helper::start();
        }
        let job = walk.place().map(|(scan, directory)| Job {
            scan,
            directory,
            entries: entries.clone(),
        });
        let sent = match (&self.helper, job) {
            (Some(helper), Some(job)) => helper.jobs.send(job).is_ok(),
            _ => false,
        };
        match sent {
            true => self.asked = entries,
            false => self.is_alone = true,
        }
    }

    fn receive(&mut self) -> Done {
        let asked = std::mem::take(&mut self.asked);
        let read = self.helper.as_ref().map(|helper| helper.done.recv());
        match read {
            Some(Ok(read)) => read,
            _ => {
                self.is_alone = true;
                asked.map(|_| None).collect()
            }
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(Helper { jobs, done, thread }) = self.helper.take() {
            drop((jobs, done));
            // It ends with the job it has.
            drop(thread.join());
        }
    }
}

impl Job {
    fn read(self) -> Done {
        let mut bytes = Vec::new();
        let places: Vec<_> = self
            .entries
            .map(|entry| {
                let start = bytes.len();
                let look = self.scan.get(entry).look;
                let read = read_into(&self.directory, &self.scan.name(entry), look, &mut bytes);
                if !matches!(read, Ok(true)) {
                    bytes.truncate(start);
                    return None;
                }
                Some(start..bytes.len())
            })
            .collect();
        let bytes = Arc::new(bytes);
        let piece = |at| Piece {
            bytes: Arc::clone(&bytes),
            at,
        };
        places.into_iter().map(|at| at.map(piece)).collect()
    }
}

//! The names of a directory in order, each with what the host says of it. Where there are many, several
//! threads ask, a bounded number of names ahead.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::sync::OnceLock;
use std::thread;

use cap_std::fs::Dir;

use super::platform;
use super::scan::Facts;

/// Names that are asked for at a time.
const WINDOW: usize = 8192;
/// So few names are not worth a thread.
const FEW: usize = 256;
/// More threads than this wait for the host's own locks.
const MAX_THREADS: usize = 4;

/// Names and what they stand for.
pub(super) struct Looked {
    names: std::vec::IntoIter<OsString>,
    /// Of the first names that are left.
    ahead: VecDeque<io::Result<Facts>>,
}

impl Looked {
    /// The names of a directory, in the order of their code units.
    pub(super) fn new(directory: &Dir) -> io::Result<Self> {
        let mut names = platform::names(directory)?;
        names.sort_unstable_by(|a, b| platform::order(a, b));
        Ok(Self {
            names: names.into_iter(),
            ahead: VecDeque::new(),
        })
    }

    /// The next name of the directory, and what it stands for.
    pub(super) fn next(&mut self, directory: &Dir) -> Option<(OsString, io::Result<Facts>)> {
        if self.ahead.is_empty() {
            let names = self.names.as_slice();
            let window = names.get(..WINDOW).unwrap_or(names);
            self.ahead = look_at_all(directory, window).into();
        }
        let name = self.names.next()?;
        let facts = self.ahead.pop_front();
        let facts = facts.unwrap_or_else(|| platform::facts(directory, &name));
        Some((name, facts))
    }
}

/// How many threads run at once. The host reads files to tell, and is asked once.
pub(super) fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// What each of the names stands for; nothing where they are few.
fn look_at_all(directory: &Dir, names: &[OsString]) -> Vec<io::Result<Facts>> {
    if names.len() < FEW || processors() == 1 {
        return Vec::new();
    }
    let share = names.len().div_ceil(processors().min(MAX_THREADS));
    let look = |names: &[OsString]| -> Vec<io::Result<Facts>> {
        names
            .iter()
            .map(|name| platform::facts(directory, name))
            .collect()
    };
    thread::scope(|scope| {
        let (own, others) = names.split_at(share);
        let others: Vec<_> = others
            .chunks(share)
            .map(|names| {
                let thread = thread::Builder::new().spawn_scoped(scope, move || look(names));
                (names, thread)
            })
            .collect();
        let mut facts = look(own);
        for (names, thread) in others {
            let looked = thread.ok().and_then(|thread| thread.join().ok());
            // Where there was no thread left, this one asks.
            facts.extend(looked.unwrap_or_else(|| look(names)));
        }
        facts
    })
}

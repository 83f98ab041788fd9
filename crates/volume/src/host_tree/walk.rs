//! The walk over what the scan saw: depth first, each directory's names in order, beneath one open
//! handle.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use cap_fs_ext::DirExt;
use cap_std::fs::Dir;
use mkfs::{NodeId, TreeError, TreeErrorKind, TreeTotals};

use super::FileIdentity;
use super::content::READ_AHEAD_BYTES;
use super::scan::{Failure, Failures, MAX_DEPTH, Scan, Seen};

/// Something in a directory.
#[derive(Debug)]
pub(super) struct Found {
    scan: Arc<Scan>,
    entry: usize,
    directory: Arc<Dir>,
    parent: NodeId,
}

#[derive(Debug)]
struct Level {
    directory: Arc<Dir>,
    id: NodeId,
    /// None for the root.
    entry: Option<usize>,
    /// The entry after the last one that lies in it.
    end: usize,
}

/// Where the walk stands.
#[derive(Debug)]
pub(super) struct Walk {
    scan: Arc<Scan>,
    failures: Failures,
    levels: Vec<Level>,
    next: usize,
}

impl Found {
    /// Its number in the scan.
    pub(super) fn entry(&self) -> usize {
        self.entry
    }

    /// What the scan saw.
    pub(super) fn seen(&self) -> &Seen {
        self.scan.get(self.entry)
    }

    /// Its name on the host.
    pub(super) fn os_name(&self) -> Cow<'_, OsStr> {
        self.scan.name(self.entry)
    }

    /// The directory it lies in.
    pub(super) fn directory(&self) -> &Dir {
        &self.directory
    }

    /// The number of that directory.
    pub(super) fn parent(&self) -> NodeId {
        self.parent
    }

    /// Which file it is, where that has more than one name.
    pub(super) fn identity(&self) -> Option<FileIdentity> {
        self.scan.identity(self.entry)
    }
}

impl Walk {
    /// A walk over all below `root`, which is scanned now.
    pub(super) fn new(root: Dir) -> io::Result<Self> {
        let (scan, failures) = Scan::read(&root)?;
        Ok(Self::over(root, scan, failures))
    }

    /// A walk over one name of a directory.
    pub(super) fn of_one(root: Dir, name: &OsStr) -> Self {
        let (scan, failures) = Scan::of_one(&root, name);
        Self::over(root, scan, failures)
    }

    fn over(root: Dir, scan: Scan, failures: Failures) -> Self {
        Self {
            failures,
            levels: vec![Level {
                directory: Arc::new(root),
                id: NodeId::ROOT,
                entry: None,
                end: scan.len(),
            }],
            next: 0,
            scan: Arc::new(scan),
        }
    }

    /// How much there is.
    pub(super) fn totals(&self) -> TreeTotals {
        self.scan.totals()
    }

    /// The next thing found; what lies in a directory comes only where [`Walk::enter`] is called.
    pub(super) fn next(&mut self) -> Option<Found> {
        while self.levels.last()?.end <= self.next {
            self.levels.pop();
        }
        let level = self.levels.last()?;
        let entry = self.next;
        self.next = self.scan.get(entry).end;
        Some(Found {
            scan: Arc::clone(&self.scan),
            entry,
            directory: Arc::clone(&level.directory),
            parent: level.id,
        })
    }

    /// Goes on with what lies in the directory that was found last, which has the number `id`.
    pub(super) fn enter(&mut self, found: &Found, id: NodeId) -> Result<(), TreeError> {
        let directory = found
            .directory
            .open_dir_nofollow(found.os_name())
            .map_err(|error| TreeError::unreadable(self.path(found), error))?;
        self.levels.push(Level {
            directory: Arc::new(directory),
            id,
            entry: Some(found.entry),
            end: found.seen().end,
        });
        self.next = found.entry + 1;
        Ok(())
    }

    /// Why what was found last could not be looked at.
    pub(super) fn failure(&mut self, found: &Found) -> TreeError {
        let path = self.path(found);
        match self.failures.remove(&found.entry) {
            Some(Failure::Host(error)) => TreeError::unreadable(path, error),
            Some(Failure::TooDeep) | None => {
                let what = format!("lies more than {MAX_DEPTH} directories deep");
                TreeError::new(TreeErrorKind::TooLarge, path, what)
            }
        }
    }

    /// Small files that stand one behind another from an entry on, in the directory where the walk
    /// stands: at most so many, and of so many bytes.
    pub(super) fn small_files(&self, from: usize, most: usize, mut bytes: u64) -> Range<usize> {
        let end = self.levels.last().map_or(from, |level| level.end);
        let is_next = |entry: &usize| {
            let size = self.scan.get(*entry).look.size;
            if !self.scan.is_plain_file(*entry) || size > READ_AHEAD_BYTES || size > bytes {
                return false;
            }
            bytes -= size;
            true
        };
        let count = (from..end).take(most).take_while(is_next).count();
        from..from + count
    }

    /// What was scanned, and the directory where the walk stands.
    pub(super) fn place(&self) -> Option<(Arc<Scan>, Arc<Dir>)> {
        let level = self.levels.last()?;
        Some((Arc::clone(&self.scan), Arc::clone(&level.directory)))
    }

    /// The path of what was found last, from the root down.
    pub(super) fn path(&self, found: &Found) -> String {
        let above = self.levels.iter().filter_map(|level| level.entry);
        let above = above.take_while(|entry| *entry != found.entry);
        let entries = above.chain(std::iter::once(found.entry));
        let names: Vec<_> = entries.map(|entry| self.scan.shown_name(entry)).collect();
        names.join("/")
    }
}

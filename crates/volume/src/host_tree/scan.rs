//! The scan: a whole tree looked at once, before any of it is delivered.
//!
//! What a file is, how large and of which time is asked of the host once for each, and kept: about
//! 70 bytes an entry and its name. So what comes is known before the first byte is written, and the
//! second walk asks for nothing but contents.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;

use blockio::ByteCount;
use cap_fs_ext::DirExt;
use cap_std::fs::Dir;
use mkfs::{Attributes, TreeTotals};

use super::looked::Looked;
use super::platform::{self, OsNames};
use super::{FileIdentity, name};

/// Levels that are entered; each keeps a handle open.
pub(super) const MAX_DEPTH: usize = 512;

/// What something in a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Symlink,
    /// A socket, a device or a pipe.
    Special,
    /// It could not be looked at, or not entered.
    Failed,
}

/// What tells that a file is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) size: u64,
    /// Seconds of Unix time and nanoseconds after them, of the last change of the content.
    pub(super) modified: (i64, u32),
}

/// All that the host says of something in a directory, links not followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) look: Look,
    /// Bytes that may hold data; fewer than the size where the file has holes.
    pub(super) allocated: u64,
    pub(super) may_have_holes: bool,
    pub(super) attributes: Attributes,
    /// Which file this is, where it has more than one name.
    pub(super) identity: Option<FileIdentity>,
}

/// The place of a name among all names.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamePlace {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// One entry as it was seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) kind: Kind,
    pub(super) look: Look,
    pub(super) may_have_holes: bool,
    pub(super) attributes: Attributes,
    /// Whether it has further names; which file it is then stands in [`Scan::identity`].
    has_identity: bool,
    /// The entry after the last one that lies below it.
    pub(super) end: usize,
    name: NamePlace,
}

/// Why an entry could not be looked at.
#[derive(Debug)]
pub(super) enum Failure {
    Host(io::Error),
    TooDeep,
}

/// Failures by entry.
pub(super) type Failures = HashMap<usize, Failure>;

/// The entries of a tree: parents before what lies in them, the names of each directory in order.
#[derive(Debug, Default)]
pub(super) struct Scan {
    entries: Vec<Seen>,
    names: OsNames,
    identities: HashMap<usize, FileIdentity>,
    totals: TreeTotals,
}

/// A directory that is being scanned.
struct Level {
    /// None for the root.
    entry: Option<usize>,
    directory: Dir,
    names: Looked,
}

/// A scan under way.
#[derive(Default)]
struct Scanner {
    scan: Scan,
    failures: Failures,
    /// Files with several names that were counted.
    counted: HashSet<FileIdentity>,
}

impl Scan {
    /// Everything below `root`. What cannot be looked at is told when its turn comes.
    pub(super) fn read(root: &Dir) -> io::Result<(Self, Failures)> {
        let mut scanner = Scanner::default();
        let mut levels = vec![Level {
            entry: None,
            directory: root.try_clone()?,
            names: Looked::new(root)?,
        }];
        while let Some(level) = levels.last_mut() {
            let Some((name, facts)) = level.names.next(&level.directory) else {
                if let Some(entry) = level.entry {
                    scanner.end(entry);
                }
                levels.pop();
                continue;
            };
            let (entry, kind) = scanner.add(&name, facts);
            if kind != Kind::Directory {
                continue;
            }
            match level.below(entry, &name) {
                Ok(_) if levels.len() >= MAX_DEPTH => scanner.fail(entry, Failure::TooDeep),
                Ok(below) => levels.push(below),
                Err(error) => scanner.fail(entry, Failure::Host(error)),
            }
        }
        Ok((scanner.scan, scanner.failures))
    }

    /// One name of a directory, without what may lie below it.
    pub(super) fn of_one(directory: &Dir, name: &OsStr) -> (Self, Failures) {
        let mut scanner = Scanner::default();
        scanner.add(name, platform::facts(directory, name));
        (scanner.scan, scanner.failures)
    }

    /// How much was seen; further names of a file count no more.
    pub(super) fn totals(&self) -> TreeTotals {
        self.totals
    }

    /// Entries seen.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// An entry, which is below [`Scan::len`].
    pub(super) fn get(&self, entry: usize) -> &Seen {
        &self.entries[entry]
    }

    /// The host's name of an entry.
    pub(super) fn name(&self, entry: usize) -> Cow<'_, OsStr> {
        self.names.get(self.get(entry).name)
    }

    /// The name of an entry as messages show it.
    pub(super) fn shown_name(&self, entry: usize) -> String {
        String::from_utf16_lossy(&name::units_of(&self.name(entry)).0)
    }

    /// Whether an entry is a file that can be read by itself: without holes and of one name, so that
    /// nothing is known of it but its content.
    pub(super) fn is_plain_file(&self, entry: usize) -> bool {
        let seen = self.get(entry);
        seen.kind == Kind::File && !seen.may_have_holes && !seen.has_identity
    }

    /// Which file an entry is, where it has more than one name.
    pub(super) fn identity(&self, entry: usize) -> Option<FileIdentity> {
        let identity = || self.identities.get(&entry).copied();
        self.get(entry).has_identity.then(identity).flatten()
    }
}

impl Scanner {
    /// Adds what a name of a directory stands for.
    fn add(&mut self, name: &OsStr, facts: io::Result<Facts>) -> (usize, Kind) {
        let entry = self.scan.entries.len();
        let facts = match facts {
            Ok(facts) => {
                self.count(&facts);
                facts
            }
            Err(error) => {
                self.failures.insert(entry, Failure::Host(error));
                Facts::UNKNOWN
            }
        };
        if let Some(identity) = facts.identity {
            self.scan.identities.insert(entry, identity);
        }
        let name = self.scan.names.push(name);
        self.scan.entries.push(Seen {
            kind: facts.kind,
            look: facts.look,
            may_have_holes: facts.may_have_holes,
            attributes: facts.attributes,
            has_identity: facts.identity.is_some(),
            end: entry + 1,
            name,
        });
        (entry, facts.kind)
    }

    fn count(&mut self, facts: &Facts) {
        if facts
            .identity
            .is_some_and(|file| !self.counted.insert(file))
        {
            return;
        }
        let totals = &mut self.scan.totals;
        totals.entries = totals.entries.saturating_add(1);
        if facts.kind == Kind::File {
            totals.data = ByteCount(totals.data.get().saturating_add(facts.allocated));
        }
    }

    /// Notes that all entries below a directory were added.
    fn end(&mut self, directory: usize) {
        let end = self.scan.entries.len();
        if let Some(seen) = self.scan.entries.get_mut(directory) {
            seen.end = end;
        }
    }

    fn fail(&mut self, entry: usize, failure: Failure) {
        self.failures.insert(entry, failure);
        if let Some(seen) = self.scan.entries.get_mut(entry) {
            seen.kind = Kind::Failed;
        }
    }
}

impl Level {
    /// A directory below, which was added as an entry.
    fn below(&self, entry: usize, name: &OsStr) -> io::Result<Self> {
        let directory = self.directory.open_dir_nofollow(name)?;
        let names = Looked::new(&directory)?;
        Ok(Self {
            entry: Some(entry),
            directory,
            names,
        })
    }
}

impl Facts {
    /// Of what could not be looked at.
    const UNKNOWN: Self = Self {
        kind: Kind::Failed,
        look: Look {
            size: 0,
            modified: (0, 0),
        },
        allocated: 0,
        may_have_holes: false,
        attributes: Attributes::NONE,
        identity: None,
    };
}

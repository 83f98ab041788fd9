//! What the agent mounted, and what it made for it: kept in a file that is gone with the system, so
//! that an agent that starts anew knows its mounts, and takes no other's for its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use guest_proto::Refusal;
use serde::{Deserialize, Serialize};

use crate::refused::failed;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Where.
    pub(crate) target: String,
    /// All that was asked for but the password: the same asked again is the same mount.
    pub(crate) asked: String,
    /// What the kernel calls it.
    pub(crate) file_system: String,
    /// Of what.
    pub(crate) source: String,
    /// Whether nothing can be changed through it.
    pub(crate) read_only: bool,
    /// The number of the mount, where the system numbers mounts.
    pub(crate) mount: u64,
    /// The targets that were made for it, the outer before the inner.
    pub(crate) made: Vec<String>,
}

/// The book.
pub(crate) struct Book {
    path: PathBuf,
    entries: Mutex<Vec<Entry>>,
}

impl Book {
    /// Opens the book; one that is not there or cannot be read is empty.
    pub(crate) fn open(path: &Path) -> Self {
        let text = fs::read(path).unwrap_or_default();
        Self {
            path: path.to_owned(),
            entries: Mutex::new(serde_json::from_slice(&text).unwrap_or_default()),
        }
    }

    /// What stands there of a target.
    pub(crate) fn find(&self, target: &str) -> Option<Entry> {
        let entries = self.locked();
        entries.iter().find(|entry| entry.target == target).cloned()
    }

    /// All of it, in the order of the targets.
    pub(crate) fn all(&self) -> Vec<Entry> {
        let mut all = self.locked().clone();
        all.sort_by(|a, b| a.target.cmp(&b.target));
        all
    }

    /// Writes a mount down, before anybody can see it.
    pub(crate) fn add(&self, entry: Entry) -> Result<(), Refusal> {
        let mut entries = self.locked();
        entries.retain(|other| other.target != entry.target);
        entries.push(entry);
        self.save(&entries)
    }

    /// Strikes a mount out, once it is gone.
    pub(crate) fn remove(&self, target: &str) -> Result<(), Refusal> {
        let mut entries = self.locked();
        entries.retain(|entry| entry.target != target);
        self.save(&entries)
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file is in memory like the mounts themselves: it has to survive the agent, not the system.
    fn save(&self, entries: &[Entry]) -> Result<(), Refusal> {
        let written = serde_json::to_vec(entries)
            .map_err(io::Error::from)
            .and_then(|text| {
                let fresh = self.path.with_extension("new");
                fs::write(&fresh, text)?;
                fs::rename(&fresh, &self.path)
            });
        written.map_err(|error| failed("keeping book of mounts", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_agent_finds_what_the_last_one_mounted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("book.json");
        let entry = |target: &str, mount| Entry {
            target: target.to_owned(),
            asked: "memory 1".to_owned(),
            file_system: "tmpfs".to_owned(),
            source: "tmpfs".to_owned(),
            read_only: false,
            mount,
            made: vec![target.to_owned()],
        };
        let book = Book::open(&path);
        for (target, mount) in [("/b", 1), ("/a", 2), ("/b", 3)] {
            book.add(entry(target, mount)).unwrap();
        }
        let book = Book::open(&path);
        assert_eq!(book.all(), [entry("/a", 2), entry("/b", 3)]);
        book.remove("/a").unwrap();
        assert_eq!(Book::open(&path).all(), [entry("/b", 3)]);
        fs::write(&path, "garbage").unwrap();
        assert_eq!(Book::open(&path).all(), []);
    }
}

//! Host files as storage and disk.
//!
//! Invariant: reads and writes are positional, so that one open file serves many threads; a file
//! is locked from open to drop, so that two programs never write one image.
//!
//! ```text
//!   FileStorage   an open, locked file         unix     pread, flock + byte locks, fallocate
//!   FileDisk      any storage as a raw disk    windows  seek_read, share modes, FSCTL
//!   holders       who has a file open          windows  Restart Manager
//! ```
//!
//! `unix.rs` and `windows.rs` have the same functions; all else is common to both.

use std::time::Duration;

mod atomic;
mod disk;
mod holders;
mod storage;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

pub use atomic::{replace_file, write_file_atomically};
pub use disk::FileDisk;
pub use holders::{FileHolder, held_by, holders};
pub use storage::FileStorage;

/// The waits between tries of a file that somebody holds: ten tries in about two seconds.
const PAUSES_MS: [u64; 9] = [20, 40, 80, 160, 320, 320, 320, 320, 320];

/// Whether a file that somebody holds is tried again. Only Windows waits: there scanners and indexers
/// open every new file for moments, and share modes know no difference between them and a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It is tried once.
    None,
    /// It is tried ten times in about two seconds.
    Moments,
}

impl Patience {
    /// The waits between tries.
    pub fn pauses(self) -> impl Iterator<Item = Duration> {
        let pauses: &[u64] = match self {
            Self::None => &[],
            Self::Moments => &PAUSES_MS,
        };
        pauses.iter().copied().map(Duration::from_millis)
    }
}

/// How a file is locked against other users of the same image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Not at all: for source files that are only read and belong to somebody else.
    None,
    /// Many readers, no writer.
    Shared,
    /// One writer, nobody else.
    Exclusive,
}

/// What an open file may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileAccess {
    /// Reading; every change is refused with `ReadOnly`.
    ReadOnly,
    /// Reading, writing and changing the length.
    ReadWrite,
}

impl FileAccess {
    /// The lock that this use takes where the caller says nothing else.
    const fn lock_mode(self) -> LockMode {
        match self {
            Self::ReadOnly => LockMode::Shared,
            Self::ReadWrite => LockMode::Exclusive,
        }
    }
}

#[cfg(test)]
mod tests;

//! Host files as storage and disk.
//!
//! Invariant: reads and writes are positional, so that one open file serves many threads; a file
//! is locked from open to drop, so that two programs never write one image.
//!
//! ```text
//!   FileStorage   an open, locked file         unix     pread, flock + byte locks, fallocate
//!   FileDisk      any storage as a raw disk    windows  seek_read, share modes, FSCTL
//! ```
//!
//! `unix.rs` and `windows.rs` have the same functions; all else is common to both.

mod atomic;
mod disk;
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
pub use storage::FileStorage;

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

//! The builders from outside: what they write is read back by other people's readers.

#![allow(clippy::unwrap_used, clippy::panic)]

mod ntfs_builds;
mod ntfs_reader;
mod ntfs_whole;

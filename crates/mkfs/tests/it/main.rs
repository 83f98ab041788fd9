//! The builders from outside: what they write is read back by other people's readers.

mod ntfs_builds;
mod ntfs_reader;

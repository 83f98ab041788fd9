//! The builders from outside: what they write is read back by other people's readers, and what is
//! spoilt is found by the checks.

#![allow(clippy::unwrap_used, clippy::panic)]

mod change;
mod change_model;
mod damage;
mod fat32_damage;
mod fat32_fsck;
mod ntfs_builds;
mod ntfs_fsck;
mod ntfs_reader;
mod ntfs_whole;
mod pack;
#[path = "../../../vdisk/tests/it/random.rs"]
mod random;
mod resize;
mod storage_disk;
mod used;

//! cvol against tools that others wrote: each module is a subject, each test name a claim.
//!
//! A test that needs a tool asks for it by [`tools::needs`]: absent, the test is skipped by name at
//! a desk and fails where `CI` is set.
#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod access;
mod browse;
mod canary;
mod chains;
mod change;
mod command;
mod compressed;
mod corpus;
#[path = "../../../vdisk/tests/it/damage/mod.rs"]
mod damage;
mod doctor;
mod fat32;
mod fsck;
mod full_disk;
mod guest;
mod guest_agent;
mod hcs;
mod images;
mod layers;
mod machine;
mod nbd;
mod ntfs;
mod ntfs_golden;
mod ntfs_whole;
mod qcow2;
mod qemu_machine;
mod random;
mod repair;
mod reproducible;
mod samba;
mod size;
mod smb;
mod store;
mod tar;
mod tools;
mod tree;
mod vm;
mod whole;

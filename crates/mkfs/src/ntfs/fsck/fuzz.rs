//! Checking and reading volumes of arbitrary bytes, for the fuzz target and for random damage in tests.

use std::ops::ControlFlow;

use blockio::{ByteCount, ByteOffset, Disk, MIB, MemoryDisk, SectorSize};

use super::super::parse::{NtfsVolume, kind, unpack_lznt1};
use super::super::{NtfsOptions, format};
use crate::tree::memory::MemoryTree;
use crate::{NodeId, NodeName};

/// Bytes of a change: a place of three bytes and a value.
const CHANGE: usize = 4;
/// Changes made of one input.
const MAX_CHANGES: usize = 256;

/// Records whose contents are read.
const MAX_RECORDS: u64 = 256;
/// Bytes of a content that are read.
const MAX_CONTENT: u64 = 256 * 1024;

/// Takes an input as changes to a small volume, and checks and reads that volume; and as compressed
/// data. All of it must end, whatever the bytes are.
pub fn fuzz_ntfs(data: &[u8]) {
    let Some(disk) = volume() else {
        return;
    };
    for change in data.chunks_exact(CHANGE).take(MAX_CHANGES) {
        let place = u64::from(u32::from_le_bytes([change[0], change[1], change[2], 0]));
        // Only that the check returns is asked for.
        drop(disk.write_at(&change[3..], ByteOffset(place % disk.size().get())));
    }
    drop(super::check(&disk, &|_, _| ControlFlow::Continue(())));
    if let Ok(volume) = NtfsVolume::open(&disk) {
        read_contents(&volume);
    }
    let _ = unpack_lznt1(data, &mut [0; 16 * 1024]);
}

fn read_contents(volume: &NtfsVolume<'_>) {
    for number in 0..volume.record_count().min(MAX_RECORDS) {
        let Ok(file) = volume.read_file(number) else {
            continue;
        };
        if let Ok(Some(value)) = file.value(volume, kind::DATA, "") {
            drop(value.read_all(volume, MAX_CONTENT));
        }
    }
}

/// A small volume with each kind of structure.
fn volume() -> Option<MemoryDisk> {
    let disk = MemoryDisk::new(ByteCount(2 * MIB), SectorSize::B512)?;
    let name = |text: &str| NodeName::new(text.encode_utf16().collect()).ok();
    let mut tree = MemoryTree::new();
    let folder = tree.add_directory(NodeId::ROOT, name("folder")?);
    for number in 0..60 {
        tree.add_file(folder, name(&format!("file number {number}"))?, &[7; 40]);
    }
    tree.add_file(NodeId::ROOT, name("large")?, &[9; 20_000]);
    tree.add_symlink(NodeId::ROOT, name("link")?, "folder", true);
    let go_on = &|_, _| ControlFlow::Continue(());
    format(
        &disk,
        &NtfsOptions::default(),
        Some(&mut tree.source()),
        go_on,
    )
    .ok()?;
    Some(disk)
}

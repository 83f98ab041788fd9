//! Tests of reading volumes as trees: volumes that our builders made of a known tree. Volumes of
//! other makers are read in the end-to-end tests.

use std::io::Read;
use std::ops::ControlFlow;

use blockio::{ByteCount, ByteOffset, FileDisk, MIB, MemoryDisk, MemoryStorage, SectorSize};
use mkfs::tree::memory::MemoryTree;
use mkfs::{EntryKind, NamePolicy, NodeId, NodeName, NtTime};

use super::*;

fn sample() -> MemoryTree {
    let name = |text: &str| NodeName::from_text(text).unwrap();
    let mut tree = MemoryTree::new();
    tree.use_times(Times::all(NtTime::from_unix(1_600_000_000, 0)));
    let docs = tree.add_directory(NodeId::ROOT, name("docs"));
    tree.add_file(docs, name("a"), b"hello");
    tree.add_file(docs, name("big"), &vec![5; 300_000]);
    let deep = tree.add_directory(docs, name("deep"));
    for n in 0..300 {
        tree.add_file(deep, name(&format!("many {n:03}")), b"x");
    }
    tree.add_sparse_file(
        docs,
        name("sparse"),
        ByteCount(4 * MIB),
        &[(ByteOffset(MIB), &[7; 100_000])],
    );
    tree.add_file(NodeId::ROOT, name("last"), b"");
    tree
}

fn go_on(_: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn ntfs_bytes() -> Vec<u8> {
    let disk = MemoryDisk::new(ByteCount(24 * MIB), SectorSize::B512).unwrap();
    let options = mkfs::ntfs::NtfsOptions {
        serial: 7,
        ..mkfs::ntfs::NtfsOptions::default()
    };
    mkfs::ntfs::format(&disk, &options, Some(&mut sample().source()), &go_on).unwrap();
    disk.to_bytes()
}

fn fat_bytes() -> Vec<u8> {
    let disk = MemoryDisk::new(ByteCount(40 * MIB), SectorSize::B512).unwrap();
    let options = mkfs::fat32::Fat32Options {
        label: "TEST".into(),
        volume_id: 7,
        time: NtTime::UNIX_EPOCH,
        name_policy: NamePolicy::Map,
        case_policy: mkfs::CasePolicy::default(),
        cluster_size: None,
        hidden_sectors: 0,
    };
    mkfs::fat32::format(&disk, &options, Some(&mut sample().source()), &go_on).unwrap();
    disk.to_bytes()
}

fn find(bytes: Vec<u8>) -> browse::Result<FoundVolume> {
    let storage = Box::new(MemoryStorage::from_bytes(bytes));
    FoundVolume::find(Arc::new(FileDisk::new(storage, SectorSize::B512).unwrap()))
}

/// Paths and lengths of contents, without holes.
fn listed(tree: &mut VolumeTree<'_>) -> Result<Vec<(String, u64)>, TreeError> {
    let mut paths = vec![String::new()];
    let mut lines = Vec::new();
    while let Some(entry) = tree.next_entry()? {
        let parent = usize::try_from(entry.parent.0).unwrap();
        let path = format!("{}/{}", paths[parent], entry.name);
        let mut length = 0;
        if let EntryKind::File(content) = entry.kind {
            assert!(content.is_well_formed());
            let mut bytes = Vec::new();
            let expected = content.data_size().get();
            let mut reader = content.reader;
            reader
                .read_to_end(&mut bytes)
                .map_err(|error| TreeError::from_read(error, || path.clone()))?;
            length = u64::try_from(bytes.len()).unwrap();
            if length != expected {
                return Err(malformed(&path, "its content is too short"));
            }
        }
        lines.push((path.clone(), length));
        paths.push(path);
    }
    Ok(lines)
}

#[test]
fn both_file_systems_are_trees() {
    for (bytes, is_ntfs) in [(ntfs_bytes(), true), (fat_bytes(), false)] {
        let found = find(bytes).unwrap();
        let mut tree = found.tree(VolumeTreeOptions::default()).unwrap();
        let mut lines = listed(&mut tree).unwrap();
        assert_eq!(lines.len(), 306);
        lines.sort();
        let get = |path: &str| {
            let found = lines.binary_search_by(|line| line.0.as_str().cmp(path));
            lines[found.unwrap()].1
        };
        assert_eq!(get("/docs/a"), 5);
        assert_eq!(get("/docs/big"), 300_000);
        assert_eq!(get("/docs/deep/many 299"), 1);
        let sparse = if is_ntfs { 102_400 } else { 4 * MIB };
        assert_eq!(get("/docs/sparse"), sparse);
    }
}

#[test]
fn contents_that_nobody_reads_are_passed_over() {
    for bytes in [ntfs_bytes(), fat_bytes()] {
        let found = find(bytes).unwrap();
        let mut tree = found.tree(VolumeTreeOptions::default()).unwrap();
        let mut count = 0;
        while tree.next_entry().unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, 306);
    }
}

#[test]
fn damaged_volumes_end_in_errors() {
    for (whole, limit) in [(ntfs_bytes(), 12 * MIB), (fat_bytes(), 2 * MIB)] {
        let mut place = 0;
        let mut number: u64 = 1;
        while place < limit {
            let mut bytes = whole.clone();
            for _ in 0..200 {
                number = number
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(99);
                let at = place + number % (limit / 16);
                let at = usize::try_from(at).unwrap().min(bytes.len() - 1);
                bytes[at] = number.to_le_bytes()[7];
            }
            place += limit / 16;
            let Ok(found) = find(bytes) else { continue };
            let options = VolumeTreeOptions {
                keep_going: number.is_multiple_of(2),
            };
            let Ok(mut tree) = found.tree(options) else {
                continue;
            };
            drop(listed(&mut tree));
        }
    }
}

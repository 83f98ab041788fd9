//! Volumes of the builder, read back structure by structure.

use std::ops::ControlFlow;

use blockio::{ByteCount, ByteOffset, Disk, MIB, MemoryDisk, SectorSize};

use super::*;
use crate::ntfs::{NtfsOptions, format};
use crate::tree::memory::MemoryTree;
use crate::{NodeId, NodeName};

fn name(text: &str) -> NodeName {
    NodeName::new(text.encode_utf16().collect()).unwrap()
}

/// A volume with a file of three clusters, a small file, a sparse file, a link, and a directory of
/// 500 names.
fn volume(cluster: u64) -> MemoryDisk {
    let disk = MemoryDisk::new(ByteCount(16 * MIB), SectorSize::B512).unwrap();
    let mut tree = MemoryTree::new();
    let many = tree.add_directory(NodeId::ROOT, name("many"));
    for number in 0..500 {
        let text = format!("entry number {number}");
        tree.add_file(many, name(&text), text.as_bytes());
    }
    tree.add_file(NodeId::ROOT, name("large"), &large());
    tree.add_sparse_file(
        NodeId::ROOT,
        name("sparse"),
        ByteCount(3 * MIB),
        &[(ByteOffset(2 * MIB), b"island")],
    );
    tree.add_symlink(NodeId::ROOT, name("link"), "large", false);
    let options = NtfsOptions {
        cluster_size: Some(ByteCount(cluster)),
        label: "Data".into(),
        ..NtfsOptions::default()
    };
    let carry_on = &|_, _| ControlFlow::Continue(());
    format(&disk, &options, Some(&mut tree.source()), carry_on).unwrap();
    disk
}

fn large() -> Vec<u8> {
    (0..300_000_u32).flat_map(|n| n.to_le_bytes()).collect()
}

fn find(volume: &NtfsVolume<'_>, directory: u64, text: &str) -> Option<u64> {
    let file = volume.read_file(directory).unwrap();
    let index = Index::open(volume, &file, "$I30").unwrap();
    let units: Vec<u16> = text.encode_utf16().collect();
    let entry = index.find_name(volume, &units, false).unwrap()?;
    Some(entry.view().unwrap().file().record())
}

#[test]
fn names_are_found_and_files_read_at_every_cluster_size() {
    for cluster in [512, 4096, 65536] {
        let disk = volume(cluster);
        let volume = NtfsVolume::open(&disk).unwrap();
        let large_file = find(&volume, 5, "LARGE").unwrap();
        let value = volume.read_file(large_file).unwrap();
        let value = value.value(&volume, kind::DATA, "").unwrap().unwrap();
        assert_eq!(value.read_all(&volume, 2 << 20).unwrap(), large());
        let mut piece = [0; 8];
        assert_eq!(value.read_at(&volume, &mut piece, 1_199_998).unwrap(), 2);
        let many = find(&volume, 5, "many").unwrap();
        for number in 0..500 {
            let text = format!("Entry NUMBER {number}");
            let record = find(&volume, many, &text).unwrap();
            let file = volume.read_file(record).unwrap();
            let value = file.value(&volume, kind::DATA, "").unwrap().unwrap();
            assert_eq!(
                value.read_all(&volume, 100).unwrap(),
                text.to_lowercase().as_bytes()
            );
        }
        assert_eq!(find(&volume, many, "entry number 500"), None);
    }
}

#[test]
fn a_walk_shows_every_name_once_and_in_order() {
    let disk = volume(4096);
    let volume = NtfsVolume::open(&disk).unwrap();
    let many = find(&volume, 5, "many").unwrap();
    let file = volume.read_file(many).unwrap();
    let index = Index::open(&volume, &file, "$I30").unwrap();
    let mut names = Vec::new();
    index
        .walk(&volume, &mut |entry| {
            names.push(entry.file_name().unwrap().name().to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(names.len(), 500);
    let upcase = volume.upcase();
    assert!(names.is_sorted_by(|a, b| compare_names(a, b, upcase).is_lt()));
    let mut shown = 0;
    index
        .walk(&volume, &mut |_| {
            shown += 1;
            if shown == 7 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(shown, 7);
}

#[test]
fn holes_read_as_zeros_and_islands_as_they_are() {
    let disk = volume(4096);
    let volume = NtfsVolume::open(&disk).unwrap();
    let file = volume
        .read_file(find(&volume, 5, "sparse").unwrap())
        .unwrap();
    let value = file.value(&volume, kind::DATA, "").unwrap().unwrap();
    let bytes = value.read_all(&volume, 4 * MIB).unwrap();
    assert_eq!(bytes.len(), 3 << 20);
    assert_eq!(bytes[2 << 20..(2 << 20) + 6], *b"island");
    assert!(bytes[..2 << 20].iter().all(|byte| *byte == 0));
    assert!(value.map().unwrap().total_allocated.unwrap() < MIB);
}

#[test]
fn the_volume_says_what_it_is() {
    let disk = volume(4096);
    let volume = NtfsVolume::open(&disk).unwrap();
    let state = volume.state().unwrap();
    assert_eq!(state.version, (3, 1));
    assert!(!state.is_dirty());
    assert_eq!(String::from_utf16_lossy(&state.label), "Data");
    let root = volume.read_file(5).unwrap();
    let attributes = root.attributes().unwrap();
    assert!(
        attributes
            .iter()
            .any(|(_, attribute)| attribute.is(kind::INDEX_ROOT, "$I30"))
    );
}

#[test]
fn descriptors_are_found_by_number() {
    let disk = volume(4096);
    let volume = NtfsVolume::open(&disk).unwrap();
    let store = SecurityStore::open(&volume).unwrap();
    let descriptor = store.descriptor(&volume, 0x100).unwrap().unwrap();
    assert_eq!(descriptor_hash(&descriptor), 0x32FE_C6CB);
    assert_eq!(store.descriptor(&volume, 0xFFFF).unwrap(), None);
}

#[test]
fn any_byte_of_the_structures_may_be_wrong_and_reading_still_ends() {
    let disk = volume(4096);
    let bytes = disk.to_bytes();
    let volume = NtfsVolume::open(&disk).unwrap();
    let start = usize::try_from(volume.geometry().mft.0 * 4096).unwrap();
    let record = |number: usize| start + number * 1024;
    // Numbers, sizes and offsets of the first records, one byte at a time.
    let places = (0..0x54)
        .chain((record(0)..record(1)).step_by(3))
        .chain((record(5)..record(6)).step_by(3))
        .chain((record(9)..record(11)).step_by(5));
    for at in places {
        for value in [0, 1, 0x7F, 0xFF] {
            disk.write_at(&[value], ByteOffset(u64::try_from(at).unwrap()))
                .unwrap();
            read_everything(&disk);
        }
        disk.write_at(&bytes[at..=at], ByteOffset(u64::try_from(at).unwrap()))
            .unwrap();
    }
}

fn read_everything(disk: &dyn Disk) {
    let Ok(volume) = NtfsVolume::open(disk) else {
        return;
    };
    drop(volume.state());
    drop(SecurityStore::open(&volume).and_then(|store| store.descriptor(&volume, 0x101)));
    for number in 0..32 {
        let Ok(file) = volume.read_file(number) else {
            continue;
        };
        if let Ok(Some(value)) = file.value(&volume, kind::DATA, "") {
            drop(value.read_all(&volume, 1 << 16));
        }
        if let Ok(index) = Index::open(&volume, &file, "$I30") {
            drop(index.walk(&volume, &mut |_| ControlFlow::Continue(())));
            drop(index.find_name(&volume, &[0x61, 0x62], true));
        }
    }
}

//! Which bytes of a disk are used: what is not must never be missed, and what is must not be given up.

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, MIB, MemoryDisk, MemoryStorage, SectorSize};
use mkfs::change::{PathNames, VolumeChange};
use mkfs::gpt::{BASIC_DATA, PartitionSpec};
use mkfs::tree::memory::MemoryTree;
use mkfs::used::used;
use mkfs::{FileSystem, NodeId, NodeName};
use uuid::Uuid;

use super::change_model::{Kind, Model, Node, check, go_on, new_volume, options};
use super::random::Random;

/// Fills what nobody uses with other bytes.
fn spoil(disk: &dyn Disk, ranges: &[ByteRange]) {
    for range in ranges {
        let bytes = vec![0x5A; usize::try_from(range.len().get()).unwrap()];
        disk.write_at(&bytes, range.start()).unwrap();
    }
}

fn put(disk: &dyn Disk, model: &mut Model, number: u64) {
    let name = format!("file {number}");
    let content = Random::new(number).bytes(usize::try_from(20_000 + number * 999).unwrap());
    let mut volume = VolumeChange::open(disk, options(number)).unwrap();
    let mut tree = MemoryTree::new();
    tree.add_file(NodeId::ROOT, NodeName::from_text(&name).unwrap(), &content);
    let root = PathNames::new("/").unwrap();
    volume.add_tree(&root, &mut tree.source(), &go_on).unwrap();
    let change = volume.finish().unwrap();
    change.commit(disk, &MemoryStorage::default()).unwrap();
    model.insert(
        name,
        Node::File {
            content,
            attributes: 0x20,
        },
    );
}

#[test]
fn a_volume_whose_unused_bytes_are_overwritten_holds_all_that_it_held() {
    for kind in [Kind::Ntfs, Kind::Fat32] {
        let disk = new_volume(kind, 3);
        let mut model = Model::new();
        for number in 0..12 {
            put(&disk, &mut model, number);
        }
        let before = used(&disk).unwrap().used().get();
        let mut removed = 0;
        for number in [1, 4, 5, 9] {
            removed += 20_000 + number * 999;
            let name = format!("file {number}");
            let mut volume = VolumeChange::open(&disk, options(number)).unwrap();
            volume
                .remove(&PathNames::new(&name).unwrap(), false)
                .unwrap();
            let change = volume.finish().unwrap();
            change.commit(&disk, &MemoryStorage::default()).unwrap();
            model.remove(&name);
        }
        let map = used(&disk).unwrap();
        assert_eq!(map.parts().len(), 1);
        assert_eq!(map.parts()[0].left_alone, None);
        let freed = before - map.used().get();
        // Whole clusters of 4 KiB or 512 bytes.
        assert!(
            freed.abs_diff(removed) < 4 * 4096,
            "{kind:?} {freed} {removed}"
        );
        spoil(&disk, map.unused());
        check(kind, &disk, &model, &"spoilt");
    }
}

/// A disk of 12 MiB with a volume in its only partition.
fn with_partition(partition_type: Uuid) -> (MemoryDisk, ByteRange) {
    let disk = MemoryDisk::new(ByteCount(12 * MIB), SectorSize::B512).unwrap();
    let spec = PartitionSpec {
        name: String::new(),
        guid: Uuid::from_u128(5),
        partition_type,
    };
    let range = mkfs::gpt::write(&disk, Uuid::from_u128(4), &spec).unwrap();
    let volume = new_volume(Kind::Ntfs, 3).to_bytes();
    disk.write_at(&volume, range.start()).unwrap();
    (disk, range)
}

/// A change to a disk, and what is said of it then.
type Case = (fn(&MemoryDisk, u64), &'static str);

#[test]
fn in_doubt_all_of_a_partition_is_used() {
    let (disk, range) = with_partition(BASIC_DATA);
    let map = used(&disk).unwrap();
    assert_eq!(map.parts()[0].left_alone, None);
    // What lies behind the file system in its partition is not known to be free.
    let free: u64 = map.unused().iter().map(|free| free.len().get()).sum();
    assert!(free > MIB / 4 && free < 3 * MIB, "{free}");
    let put =
        |disk: &MemoryDisk, at: u64, bytes: &[u8]| disk.write_at(bytes, ByteOffset(at)).unwrap();
    let _ = put;
    let cases: [Case; 6] = [
        (|disk, at| write(disk, at + 3, b"-FVE-FS-"), "BitLocker"),
        (|disk, at| write(disk, at, b"LUKS\xBA\xBE"), "not known"),
        (
            |disk, at| write(disk, at + 512, b"LABELONE"),
            "another owner",
        ),
        (
            |disk, at| {
                let id = Uuid::from_u128(0x3808_876B_C176_4E48_B7AE_0404_6E6C_C752);
                write(disk, at + 0x1E00, &id.to_bytes_le());
                write(disk, at + 0x1E00 + 48, &[1]);
            },
            "shadow copies",
        ),
        (|disk, at| write(disk, at + 48, &[0xFF; 8]), "damaged"),
        (|disk, at| write(disk, at + 3, b"NOTHING "), "not known"),
    ];
    for (damage, reason) in cases {
        let (disk, range) = with_partition(BASIC_DATA);
        damage(&disk, range.start().get());
        let map = used(&disk).unwrap();
        let part = &map.parts()[0];
        let said = part.left_alone.clone().unwrap_or_default();
        assert!(said.contains(reason), "{said:?} instead of {reason:?}");
        assert_eq!(part.used, range.len());
        assert!(
            map.unused()
                .iter()
                .all(|free| free.intersect(range).is_none())
        );
    }
    for foreign in [0xE75C_AF8F_F680_4CEE_AFA3_B001_E56E_FC2D_u128, 7] {
        let (disk, range) = with_partition(Uuid::from_u128(foreign));
        let map = used(&disk).unwrap();
        assert_eq!(map.parts()[0].file_system, FileSystem::Ntfs);
        assert_eq!(map.parts()[0].used, range.len());
    }
    let (disk, _) = with_partition(Uuid::from_u128(0xAF9B_60A0_1431_4F62_BC68_3311_714A_69AD));
    let map = used(&disk).unwrap();
    assert!(map.unused().is_empty(), "of a dynamic disk all is used");
    assert!(range.len().get() > 0);
}

fn write(disk: &MemoryDisk, at: u64, bytes: &[u8]) {
    disk.write_at(bytes, ByteOffset(at)).unwrap();
}

#[test]
fn a_disk_without_anything_known_is_used() {
    for bytes in [vec![0; 1 << 20], vec![0xFF; 1 << 20]] {
        let disk = MemoryDisk::new(ByteCount(MIB), SectorSize::B512).unwrap();
        disk.write_at(&bytes, ByteOffset(0)).unwrap();
        let map = used(&disk).unwrap();
        assert!(map.unused().is_empty());
        assert_eq!(map.used(), ByteCount(MIB));
    }
}

/// Random damage to boot sectors and tables neither panics nor asks for much.
#[test]
fn hostile_volumes_are_looked_at_without_harm() {
    let volumes = [
        new_volume(Kind::Ntfs, 3).to_bytes(),
        new_volume(Kind::Fat32, 0).to_bytes(),
        ext(),
    ];
    let mut random = Random::new(9);
    for volume in &volumes {
        let disk = MemoryDisk::new(
            ByteCount(u64::try_from(volume.len()).unwrap()),
            SectorSize::B512,
        );
        let disk = disk.unwrap();
        for _ in 0..150 {
            disk.write_at(&volume[..128 * 1024], ByteOffset(0)).unwrap();
            for _ in 0..1 + random.below(6) {
                let at = match random.below(3) {
                    0 => random.below(128),
                    1 => 1024 + random.below(400),
                    _ => random.below(128 * 1024),
                };
                let byte = random.bytes(1);
                disk.write_at(&byte, ByteOffset(at)).unwrap();
            }
            let map = used(&disk).unwrap();
            assert!(map.used() <= disk.size());
        }
    }
}

/// An ext4 of 8 MiB in blocks of 1 KiB, with one group and one bitmap: the least that is believed.
fn ext() -> Vec<u8> {
    let mut bytes = vec![0; 8 << 20];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    let word = |value: u32| value.to_le_bytes();
    put(1024, &word(256));
    put(1024 + 4, &word(8192));
    put(1024 + 0x14, &word(1));
    put(1024 + 0x20, &word(8192));
    put(1024 + 0x28, &word(256));
    put(1024 + 0x38, &[0x53, 0xEF, 1, 0]);
    put(1024 + 0x4C, &word(1));
    put(1024 + 0x58, &[128, 0]);
    put(1024 + 0x60, &word(0x42));
    put(1024 + 0x64, &word(1));
    // Descriptors in block 2: bitmaps in blocks 3 and 4, inodes from block 5 on.
    put(2048, &word(3));
    put(2048 + 4, &word(4));
    put(2048 + 8, &word(5));
    // Blocks 1 to 40 are used; the bitmap begins with block 1.
    put(3 * 1024, &[0xFF; 5]);
    bytes
}

#[test]
fn free_blocks_of_ext_are_those_of_its_bitmap_and_none_that_hold_structures() {
    let bytes = ext();
    let disk = MemoryDisk::new(ByteCount(8 * MIB), SectorSize::B512).unwrap();
    disk.write_at(&bytes, ByteOffset(0)).unwrap();
    let map = used(&disk).unwrap();
    assert_eq!(map.parts()[0].left_alone, None);
    let expected = ByteRange::between(ByteOffset(41 * 1024), ByteOffset(8192 * 1024)).unwrap();
    assert_eq!(map.unused(), [expected]);
    // A bitmap that says that nothing is used does not free the inode table.
    disk.write_at(&[0; 5], ByteOffset(3 * 1024)).unwrap();
    let free = used(&disk).unwrap();
    let structures = ByteRange::between(ByteOffset(3 * 1024), ByteOffset(37 * 1024)).unwrap();
    assert!(
        free.unused()
            .iter()
            .all(|range| range.intersect(structures).is_none())
    );
    for (at, value) in [
        (0x60, 0x46_u32), // the journal holds changes
        (0x64, 0x201),    // clusters of blocks
        (0x60, 0x8000_0042),
        (0x38, 0x0000_EF53), // not clean
        (0x38, 0x0003_EF53), // errors
    ] {
        disk.write_at(&bytes[..65536], ByteOffset(0)).unwrap();
        disk.write_at(&value.to_le_bytes(), ByteOffset(1024 + at))
            .unwrap();
        let map = used(&disk).unwrap();
        assert!(map.parts()[0].left_alone.is_some(), "{at:#x} {value:#x}");
        assert!(map.unused().is_empty());
    }
}

//! The partition table: what is written is read by us and by `gptman`; what is damaged is refused.

use super::checksum::crc32;
use super::*;
use crate::error::MkfsErrorKind;
use blockio::{ByteCount, ByteOffset, Disk, FileDisk, MIB, MemoryDisk, MemoryStorage};

fn spec() -> PartitionSpec {
    PartitionSpec {
        name: "Basic data partition".into(),
        guid: Uuid::from_u128(0x1234_5678_9ABC_4DEF_8123_4567_89AB_CDEF),
        partition_type: BASIC_DATA,
    }
}

fn written(size: u64, sector: SectorSize) -> (MemoryDisk, ByteRange) {
    let disk = MemoryDisk::new(ByteCount(size), sector).unwrap();
    let range = write(&disk, Uuid::from_u128(7), &spec()).unwrap();
    (disk, range)
}

fn kind_of(bytes: Vec<u8>) -> Result<usize, MkfsErrorKind> {
    let disk = FileDisk::new(Box::new(MemoryStorage::from_bytes(bytes)), SectorSize::B512).unwrap();
    partitions(&disk)
        .map(|list| list.len())
        .map_err(|e| e.kind())
}

#[test]
fn what_is_written_is_read_back_with_both_sector_sizes() {
    for sector in [SectorSize::B512, SectorSize::B4096] {
        for size in [3 * MIB, 64 * MIB, 10 * MIB + 4096] {
            let (disk, range) = written(size, sector);
            assert_eq!(range.start(), ByteOffset(MIB));
            assert!(range.end().get() + 2 * MIB > size);
            let found = partitions(&disk).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].range, range);
            assert_eq!(found[0].name, spec().name);
            assert_eq!(found[0].guid, spec().guid);
            assert_eq!(found[0].partition_type, BASIC_DATA);
        }
    }
}

#[test]
fn gptman_reads_both_copies() {
    for sector in [SectorSize::B512, SectorSize::B4096] {
        let (disk, range) = written(16 * MIB, sector);
        for wipe_first in [false, true] {
            if wipe_first {
                disk.write_at(&[0; 92], ByteOffset(sector.bytes())).unwrap();
            }
            let mut stream = std::io::Cursor::new(disk.to_bytes());
            let table = gptman::GPT::read_from(&mut stream, sector.bytes()).unwrap();
            assert_eq!(table.header.is_backup(), wipe_first);
            let entry = &table[1];
            assert_eq!(entry.starting_lba * sector.bytes(), range.start().get());
            assert_eq!((entry.ending_lba + 1) * sector.bytes(), range.end().get());
            assert_eq!(entry.partition_name.as_str(), spec().name);
            assert_eq!(entry.partition_type_guid, BASIC_DATA.to_bytes_le());
        }
    }
}

#[test]
fn a_disk_without_a_table_says_so() {
    assert_eq!(kind_of(vec![0; 4 << 20]), Err(MkfsErrorKind::NotFound));
    assert_eq!(kind_of(vec![0; 512]), Err(MkfsErrorKind::NotFound));
    assert_eq!(kind_of(Vec::new()), Err(MkfsErrorKind::NotFound));
}

#[test]
fn an_old_second_copy_behind_a_file_system_is_no_table() {
    let (disk, _) = written(8 * MIB, SectorSize::B512);
    let mut bytes = disk.to_bytes();
    bytes[..64 * 1024].fill(0);
    assert_eq!(kind_of(bytes), Err(MkfsErrorKind::NotFound));
}

#[test]
fn every_flipped_byte_of_the_first_copy_is_made_good_by_the_second() {
    let (disk, _) = written(4 * MIB, SectorSize::B512);
    let bytes = disk.to_bytes();
    for place in (512..512 + 92)
        .chain(1024..1024 + 128)
        .chain([2000, 17_000])
    {
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x40;
        assert_eq!(kind_of(bytes.clone()), Ok(1), "byte {place}");
        let end = bytes.len();
        bytes[end - 512 + 20] ^= 1;
        let expected = if (512..520).contains(&place) {
            MkfsErrorKind::NotFound
        } else {
            MkfsErrorKind::Damaged
        };
        assert_eq!(kind_of(bytes), Err(expected), "byte {place}");
    }
}

/// A disk whose first header was changed and given a right checksum, and whose second is gone.
fn forged(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let (disk, _) = written(4 * MIB, SectorSize::B512);
    let mut bytes = disk.to_bytes();
    let end = bytes.len();
    bytes[end - 512..].fill(0);
    change(&mut bytes);
    let array = crc32(&[&bytes[1024..1024 + 16 * 1024]]);
    bytes[512 + 88..512 + 92].copy_from_slice(&array.to_le_bytes());
    bytes[512 + 16..512 + 20].fill(0);
    let header = crc32(&[&bytes[512..512 + 92]]);
    bytes[512 + 16..512 + 20].copy_from_slice(&header.to_le_bytes());
    bytes
}

#[test]
fn fields_out_of_range_are_refused_behind_right_checksums() {
    assert_eq!(kind_of(forged(|_| ())), Ok(1));
    let set = |offset: usize, value: &[u8]| {
        let value = value.to_vec();
        forged(move |bytes| bytes[offset..offset + value.len()].copy_from_slice(&value))
    };
    let cases = [
        ("revision", set(512 + 8, &[0, 0, 2, 0])),
        ("header size", set(512 + 12, &[0xFF; 4])),
        ("small header", set(512 + 12, &[20, 0, 0, 0])),
        ("my lba", set(512 + 24, &[2])),
        ("first usable", set(512 + 40, &[0xFF; 8])),
        ("first usable low", set(512 + 40, &[0; 8])),
        ("last usable", set(512 + 48, &[0xFF; 8])),
        ("array lba", set(512 + 72, &[0xFF; 8])),
        (
            "array in the header",
            set(512 + 72, &[1, 0, 0, 0, 0, 0, 0, 0]),
        ),
        (
            "array in a partition",
            set(512 + 72, &[0, 9, 0, 0, 0, 0, 0, 0]),
        ),
        ("entry count", set(512 + 80, &[0xFF; 4])),
        ("entry size zero", set(512 + 84, &[0; 4])),
        ("entry size odd", set(512 + 84, &[129, 0, 0, 0])),
        ("entry size huge", set(512 + 84, &[0, 0, 0, 0x80])),
        ("first after last", set(1024 + 32, &[0x00, 0x18])),
        ("last outside", set(1024 + 40, &[0xFF; 8])),
        (
            "overlap",
            forged(|bytes| bytes.copy_within(1024..1024 + 128, 1024 + 128)),
        ),
    ];
    for (what, bytes) in cases {
        assert_eq!(kind_of(bytes), Err(MkfsErrorKind::Damaged), "{what}");
    }
}

#[test]
fn too_small_a_disk_and_too_long_a_name_are_refused() {
    let disk = MemoryDisk::new(ByteCount(3 * MIB - 512), SectorSize::B512).unwrap();
    let error = write(&disk, Uuid::nil(), &spec()).unwrap_err();
    assert_eq!(error.kind(), MkfsErrorKind::InvalidOption);
    let disk = MemoryDisk::new(ByteCount(4 * MIB), SectorSize::B512).unwrap();
    let mut long = spec();
    long.name = "n".repeat(37);
    let error = write(&disk, Uuid::nil(), &long).unwrap_err();
    assert_eq!(error.kind(), MkfsErrorKind::InvalidOption);
    assert!(disk.to_bytes().iter().all(|byte| *byte == 0));
}

#[test]
fn the_fuzz_body_returns_on_mutated_tables() {
    let (disk, _) = written(3 * MIB, SectorSize::B512);
    let table = disk.to_bytes()[..64 * 1024].to_vec();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..200 {
        let mut data = table.clone();
        for _ in 0..8 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let place = usize::try_from(state >> 33).unwrap() % 1400;
            data[place] = state.to_le_bytes()[3];
        }
        fuzz_gpt(&data);
    }
    fuzz_gpt(&[]);
    fuzz_gpt(&[0xFF; 5000]);
}

/// A disk of 1 MiB whose master boot record has one entry.
fn with_record(boot: u8, os_type: u8, start: u32, count: u32) -> FileDisk {
    let mut bytes = vec![0; 1 << 20];
    bytes[446] = boot;
    bytes[450] = os_type;
    bytes[454..458].copy_from_slice(&start.to_le_bytes());
    bytes[458..462].copy_from_slice(&count.to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
    FileDisk::new(Box::new(MemoryStorage::from_bytes(bytes)), SectorSize::B512).unwrap()
}

#[test]
fn the_primary_partitions_of_a_master_boot_record_are_found() {
    // The disks that Windows initialised in the corpus could not be looked into: they have an MBR.
    for boot in [0, 0x80] {
        let found = mbr_partitions(&with_record(boot, 7, 128, 1000)).unwrap();
        let range = ByteRange::new(ByteOffset(128 * 512), ByteCount(1000 * 512)).unwrap();
        assert_eq!(found, [range]);
    }
    for (boot, os_type, count) in [(1, 7, 1000), (0, 0, 1000), (0, 5, 1000), (0, 7, 0)] {
        let found = mbr_partitions(&with_record(boot, os_type, 128, count)).unwrap();
        assert_eq!(found, [], "{boot} {os_type} {count}");
    }
    assert_eq!(
        mbr_partitions(&written(3 * MIB, SectorSize::B512).0).unwrap(),
        []
    );
}

#[test]
fn a_record_that_leaves_the_disk_is_damage() {
    for (start, count) in [(2048, 1), (1, 2048), (0, 10), (u32::MAX, u32::MAX)] {
        let error = mbr_partitions(&with_record(0, 7, start, count)).unwrap_err();
        assert_eq!(error.kind(), MkfsErrorKind::Damaged, "{start} {count}");
    }
}

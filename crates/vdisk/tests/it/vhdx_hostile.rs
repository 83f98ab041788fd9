//! Hostile and broken VHDX files: every field out of its range, and every place where a file may
//! have been cut off, gives a typed error or a right answer, never a panic, a hang or memory taken
//! by a number that the file merely claims.

use std::sync::Arc;

use blockio::{ByteCount, ByteOffset, Disk, SparseMemoryStorage, Storage};
use vdisk::{Access, ImageErrorKind, ImageFormat};

use crate::images::{File, KIB, MIB, range};
use crate::random::Random;
use crate::vhdx::{create, options};

const HEADERS: [u64; 2] = [64 * KIB, 128 * KIB];
const REGIONS: [u64; 2] = [192 * KIB, 256 * KIB];
const LOG: u64 = MIB;
const METADATA: u64 = 2 * MIB;
const ITEMS: u64 = METADATA + 64 * KIB;
const BAT: u64 = 3 * MIB;

/// A good image; `dirty` leaves a log of an empty entry and two of one page.
fn sample(dirty: bool) -> SparseMemoryStorage {
    let file = File::default();
    let disk = create(&file, &options(8 * MIB));
    disk.write_at(&[1; 4096], ByteOffset(0)).unwrap();
    disk.flush().unwrap();
    disk.write_at(&[2; 4096], ByteOffset(5 * MIB)).unwrap();
    disk.flush().unwrap();
    match dirty {
        true => drop(disk),
        false => disk.close().unwrap(),
    }
    (*file).clone()
}

fn put(file: &SparseMemoryStorage, at: u64, bytes: &[u8]) {
    file.write_at(bytes, ByteOffset(at)).unwrap();
}

/// Makes the checksum at byte 4 of a structure right.
fn correct(file: &SparseMemoryStorage, at: u64, length: u64) {
    put(file, at + 4, &[0; 4]);
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    file.read_at(&mut bytes, ByteOffset(at)).unwrap();
    put(file, at + 4, &crc32c::crc32c(&bytes).to_le_bytes());
}

fn header(file: &SparseMemoryStorage, field: u64, bytes: &[u8]) {
    for at in HEADERS {
        put(file, at + field, bytes);
        correct(file, at, 4096);
    }
}

fn region(file: &SparseMemoryStorage, field: u64, bytes: &[u8]) {
    for at in REGIONS {
        put(file, at + field, bytes);
        correct(file, at, 64 * KIB);
    }
}

fn log_entry(file: &SparseMemoryStorage, entry: u64, field: u64, bytes: &[u8]) {
    let at = LOG + [0, 4096, 4096 + 8192][usize::try_from(entry).unwrap()];
    put(file, at + field, bytes);
    correct(file, at, if entry == 0 { 4096 } else { 8192 });
}

/// Everything that can be done with a file; the kinds of errors of opening it both ways.
fn use_it(file: &SparseMemoryStorage) -> [Option<ImageErrorKind>; 2] {
    let _ = vdisk::info(file, Some(ImageFormat::Vhdx));
    [Access::ReadOnly, Access::ReadWrite].map(|access| {
        let file = Arc::new(file.clone());
        let opened = vdisk::open(Box::new(file.clone()), Some(ImageFormat::Vhdx), access);
        let disk = match opened {
            Err(error) => return Some(error.kind()),
            Ok(disk) => disk,
        };
        let mut at = 0;
        for _ in 0..100 {
            if at >= disk.size().get() {
                break;
            }
            let Ok(status) = disk.block_status(range(at, disk.size().get() - at)) else {
                break;
            };
            let _ = disk.read_at(&mut [0; 512], ByteOffset(at));
            at = status.range.end().get();
        }
        if access == Access::ReadWrite {
            let _ = disk.write_at(&[3; 512], ByteOffset(disk.size().get() - 512));
            let _ = disk.close();
        }
        None
    })
}

#[track_caller]
fn check(expected: ImageErrorKind, dirty: bool, break_it: impl Fn(&SparseMemoryStorage)) {
    let file = sample(dirty);
    break_it(&file);
    assert_eq!(use_it(&file), [Some(expected); 2]);
    match vdisk::check(&file, Some(ImageFormat::Vhdx)) {
        Ok(report) => assert!(!report.is_sound()),
        Err(error) => assert_eq!(error.kind(), expected),
    }
}

use ImageErrorKind::{Damaged, Differencing, NotAnImage, Unsupported};

#[test]
fn the_sample_is_good() {
    for dirty in [false, true] {
        let file = sample(dirty);
        assert_eq!(use_it(&file), [None; 2]);
        assert!(vdisk::check(&file, None).unwrap().is_sound());
    }
}

#[test]
fn every_field_of_identifier_and_headers_out_of_range_is_refused() {
    check(NotAnImage, false, |f| put(f, 0, b"vhdxfilf"));
    check(Damaged, false, |f| header(f, 0, b"haed"));
    check(Damaged, false, |f| {
        HEADERS.iter().for_each(|at| put(f, at + 4, &[1, 2, 3, 4]));
    });
    check(Unsupported, false, |f| header(f, 66, &[2, 0]));
    check(Unsupported, true, |f| header(f, 64, &[1, 0]));
    for length in [1, 4096, 0x0010_0001, 0xfff0_0000, u32::MAX] {
        check(Damaged, false, |f| header(f, 68, &length.to_le_bytes()));
    }
    for offset in [
        1,
        4096,
        MIB + 1,
        0,
        2 * MIB,
        3 * MIB,
        1 << 40,
        u64::MAX,
        !0 << 20,
    ] {
        check(Damaged, false, |f| header(f, 72, &offset.to_le_bytes()));
    }
}

#[test]
fn one_bad_header_or_region_table_is_stood_in_for_by_the_other() {
    for which in 0..2 {
        let file = sample(false);
        put(&file, HEADERS[which], &[0xff; 4096]);
        put(&file, REGIONS[which], &[0xff; 4096]);
        assert_eq!(use_it(&file), [None; 2]);
    }
    // Equal sequence numbers, as disk2vhd writes them.
    let file = sample(false);
    header(&file, 8, &1_u64.to_le_bytes());
    assert_eq!(use_it(&file), [None; 2]);
    assert!(vdisk::check(&file, None).unwrap().is_sound());
}

#[test]
fn every_field_of_the_region_table_out_of_range_is_refused() {
    check(Damaged, false, |f| region(f, 0, b"rogi"));
    for count in [0_u32, 1, 2048, u32::MAX] {
        check(Damaged, false, |f| region(f, 8, &count.to_le_bytes()));
    }
    // An unknown region that is required, and one that is not.
    check(Unsupported, false, |f| region(f, 16, &[9]));
    for entry in [16, 48] {
        for offset in [0, 1, 512 * KIB, MIB, 1 << 40, u64::MAX, !0 << 20] {
            let field = entry + 16;
            check(Damaged, false, |f| region(f, field, &offset.to_le_bytes()));
        }
        for length in [0, 1, 0x0010_0001, 0x4000_0000, u32::MAX] {
            let field = entry + 24;
            check(Damaged, false, |f| region(f, field, &length.to_le_bytes()));
        }
    }
    // Both regions are the same one.
    check(Damaged, false, |f| {
        let mut guid = [0; 16];
        f.read_at(&mut guid, ByteOffset(REGIONS[0] + 16)).unwrap();
        region(f, 48, &guid);
    });
}

#[test]
fn every_field_of_the_metadata_out_of_range_is_refused() {
    check(Damaged, false, |f| put(f, METADATA, b"matadata"));
    for count in [0_u16, 4, 2048, u16::MAX] {
        check(Damaged, false, |f| {
            put(f, METADATA + 10, &count.to_le_bytes())
        });
    }
    for item in 0..5 {
        let entry = METADATA + 32 + item * 32;
        check(Unsupported, false, |f| put(f, entry, &[0xee; 16]));
        check(Unsupported, false, |f| put(f, entry + 24, &[5]));
        for offset in [0, 1, 0xffff, 0x000f_ffff, u32::MAX] {
            check(Damaged, false, |f| {
                put(f, entry + 16, &offset.to_le_bytes())
            });
        }
        for length in [0_u32, 1, 3, 0x0010_0001, u32::MAX] {
            check(Damaged, false, |f| {
                put(f, entry + 20, &length.to_le_bytes())
            });
        }
    }
    for block in [0, 1, 512 * 1024, 3 << 20, 1 << 29, u32::MAX] {
        check(Damaged, false, |f| put(f, ITEMS, &block.to_le_bytes()));
    }
    for size in [0, 1, 511, 513, (64 << 40) + 512, 1 << 63, u64::MAX] {
        check(Damaged, false, |f| put(f, ITEMS + 8, &size.to_le_bytes()));
    }
    // A disk that needs a longer table than there is.
    check(Damaged, false, |f| {
        put(f, ITEMS + 8, &(1_u64 << 45).to_le_bytes())
    });
    for sector in [0_u32, 1, 511, 1024, 8192, u32::MAX] {
        check(Damaged, false, |f| {
            put(f, ITEMS + 32, &sector.to_le_bytes())
        });
        check(Damaged, false, |f| {
            put(f, ITEMS + 36, &sector.to_le_bytes())
        });
    }
    // A parent, and no locator that names it.
    check(Damaged, false, |f| put(f, ITEMS + 4, &[2]));
}

#[test]
fn a_parent_locator_is_described_and_its_image_refused() {
    let with_locator = |change: &dyn Fn(&SparseMemoryStorage)| {
        let file = sample(false);
        put(&file, ITEMS + 4, &[2]);
        put(&file, METADATA + 10, &6_u16.to_le_bytes());
        let entry = METADATA + 32 + 5 * 32;
        let locator: u128 = 0xA8D3_5F2D_B30B_454D_ABF7_D3D8_4834_AB0C;
        put(&file, entry, &uuid::Uuid::from_u128(locator).to_bytes_le());
        put(&file, entry + 16, &0x2_0000_u32.to_le_bytes());
        put(&file, entry + 20, &4096_u32.to_le_bytes());
        put(&file, entry + 24, &[4]);
        let at = METADATA + 0x2_0000;
        let kind: u128 = 0xB04A_EFB7_D19E_4A81_B789_25B8_E944_5913;
        put(&file, at, &uuid::Uuid::from_u128(kind).to_bytes_le());
        put(&file, at + 18, &[1, 0]);
        let utf16 =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        put(&file, at + 20, &[100, 0, 0, 0, 200, 0, 0, 0, 26, 0, 14, 0]);
        put(&file, at + 100, &utf16("relative_path"));
        put(&file, at + 200, &utf16(".\\p.vhd"));
        change(&file);
        file
    };
    // The table is too short for the padded chunk of a child, which is found first or never.
    let good = with_locator(&|_| {});
    assert_eq!(use_it(&good), [Some(Differencing); 2]);
    let parent = vdisk::info(&good, None).unwrap().parent.unwrap();
    assert_eq!(parent.paths[0].path, ".\\p.vhd");
    let at = METADATA + 0x2_0000;
    let broken: [(u64, &[u8]); 5] = [
        (18, &[0xff, 0xff]),
        (18, &[65, 0]),
        (20, &[0xff, 0xff, 0xff, 0xff]),
        (24, &[0xff, 0x0f, 0, 0]),
        (28, &[0xff, 0xff]),
    ];
    for (field, bytes) in broken {
        let file = with_locator(&|f| put(f, at + field, bytes));
        assert_eq!(use_it(&file), [Some(Damaged); 2], "{field}");
    }
    let file = with_locator(&|f| put(f, at, &[0; 16]));
    assert_eq!(use_it(&file), [Some(Unsupported); 2]);
}

#[test]
fn every_bad_entry_of_the_table_is_refused_to_writers_and_fails_its_reader() {
    let present = |mebibyte: u64| mebibyte << 20 | 6;
    let bad = [
        4,
        5,
        present(4) | 8,
        present(4) | 1 << 19,
        present(0),
        present(1),
        present(2),
        present(3),
        present(5),
        present(6),
        present(1 << 20),
        present((1 << 44) - 1),
        4 << 20 | 7,
    ];
    for raw in bad {
        let file = sample(false);
        // Block 1 of a disk whose blocks 0 and 5 are at 4 and 5 MiB.
        put(&file, BAT + 8, &raw.to_le_bytes());
        let shares = (1..=5).contains(&(raw >> 20)) && raw & 0xf_ffff == 6;
        let kinds = use_it(&file);
        assert_eq!(kinds, [None, Some(Damaged)], "{raw:#x}");
        let disk = vdisk::open(Box::new(Arc::new(file.clone())), None, Access::ReadOnly).unwrap();
        let read = disk.read_at(&mut [0; 512], ByteOffset(MIB));
        // A reader does not look at all entries, so it cannot see that two share space.
        assert!(read.is_err() || shares, "{raw:#x}");
        assert!(disk.read_at(&mut [0; 512], ByteOffset(0)).is_ok());
        assert!(!vdisk::check(&file, None).unwrap().is_sound(), "{raw:#x}");
    }
    // States without a place may carry an offset, which means nothing.
    for raw in [1 << 20 | 3, 77 << 20 | 1, 4 << 20 | 2] {
        let file = sample(false);
        put(&file, BAT + 8, &u64::to_le_bytes(raw));
        assert_eq!(use_it(&file), [None; 2]);
    }
}

#[test]
fn every_field_of_a_log_entry_out_of_range_is_an_error_or_no_entry() {
    // What the whole file needs is checked; what makes an entry malformed makes it none.
    for flushed in [1_u64 << 40, u64::MAX] {
        check(Damaged, true, |f| {
            log_entry(f, 2, 48, &flushed.to_le_bytes())
        });
    }
    for last in [1_u64 << 50, u64::MAX] {
        check(Damaged, true, |f| log_entry(f, 2, 56, &last.to_le_bytes()));
    }
    for target in [0, 64 * KIB, 128 * KIB, LOG, LOG + 4096, 1 << 40] {
        check(Damaged, true, |f| {
            log_entry(f, 2, 80, &target.to_le_bytes())
        });
    }
    let harmless: [(u64, &[u8]); 12] = [
        (0, b"logf"),
        (8, &[0, 0, 0, 0]),
        (8, &[0xff; 4]),
        (8, &[1, 0x20, 0, 0]),
        (12, &[0xff; 4]),
        (12, &[1, 0, 0, 0]),
        (16, &[0; 8]),
        (16, &[0xff; 8]),
        (24, &[0xff; 4]),
        (24, &[126, 0, 0, 0]),
        (64, b"desd"),
        (88, &[0xff; 8]),
    ];
    for (field, bytes) in harmless {
        let file = sample(true);
        log_entry(&file, 2, field, bytes);
        assert_eq!(use_it(&file), [None; 2], "field {field}");
    }
    // A zero descriptor over everything behind the log would take metadata and table away.
    check(Damaged, true, |f| {
        log_entry(f, 2, 64, b"zero");
        log_entry(f, 2, 72, &(2 * MIB).to_le_bytes());
        log_entry(f, 2, 80, &(2 * MIB).to_le_bytes());
    });
    check(Damaged, true, |f| {
        log_entry(f, 2, 64, b"zero");
        log_entry(f, 2, 72, &(1_u64 << 40).to_le_bytes());
    });
    // A log that claims to be larger than any.
    let file = sample(true);
    file.set_len(ByteCount(1 << 33)).unwrap();
    header(&file, 68, &0xfff0_0000_u32.to_le_bytes());
    header(&file, 72, &(1_u64 << 32).to_le_bytes());
    assert_eq!(use_it(&file), [Some(Unsupported); 2]);
}

#[test]
fn a_file_cut_off_anywhere_is_an_error_or_whole() {
    for dirty in [false, true] {
        let file = sample(dirty);
        let length = file.len().unwrap().get();
        for cut in (0..length).step_by(4096) {
            let file = file.clone();
            file.set_len(ByteCount(cut)).unwrap();
            let kinds = use_it(&file);
            // The last block ends with the file, so that every cut takes something.
            assert!(
                kinds.iter().all(Option::is_some) || cut >= 4 * MIB,
                "{cut:#x}"
            );
            if let Ok(report) = vdisk::check(&file, Some(ImageFormat::Vhdx)) {
                assert!(!report.is_sound() || cut >= 5 * MIB, "{cut:#x}");
            }
        }
    }
}

#[test]
fn random_damage_behind_right_checksums_is_survived() {
    let mut random = Random::new(11);
    for length in (0..600).map(|n| n % 90) {
        let bytes = random.bytes(length);
        vdisk::vhdx::fuzz_open_fixed(&bytes);
        vdisk::vhdx::fuzz_open(&bytes);
    }
    let whole = sample(true).to_bytes().unwrap();
    for _ in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random.below(20) {
            let at = usize::try_from(random.below(4 * MIB)).unwrap();
            bytes[at] = random.next().to_le_bytes()[0];
        }
        vdisk::vhdx::fuzz_open(&bytes);
    }
}

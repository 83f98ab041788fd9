//! Hostile and broken VHDs: every field out of its range gives a typed error, and nothing hangs,
//! panics or takes memory by a number that the file merely claims.

use blockio::MemoryStorage;
use vdisk::{Access, ImageErrorKind, ImageFormat};

use crate::images::MIB;
use crate::random::Random;
use crate::vhd::{fix_checksum, sample};

const HEADER: usize = 512;
const TABLE: usize = 1536;

/// Writes `bytes` at `at` of the footer and of its copy.
fn footer(image: &mut [u8], at: usize, bytes: &[u8]) {
    let end = image.len() - 512;
    for start in [0, end] {
        image[start + at..start + at + bytes.len()].copy_from_slice(bytes);
        fix_checksum(&mut image[start..start + 512], 64);
    }
}

fn header(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[HEADER + at..HEADER + at + bytes.len()].copy_from_slice(bytes);
    fix_checksum(&mut image[HEADER..HEADER + 1024], 36);
}

fn entry(image: &mut [u8], block: usize, value: u32) {
    image[TABLE + 4 * block..TABLE + 4 * block + 4].copy_from_slice(&value.to_be_bytes());
}

fn kind_of(image: &[u8], access: Access) -> Option<ImageErrorKind> {
    let storage = Box::new(MemoryStorage::from_bytes(image.to_vec()));
    let opened = vdisk::open(storage, Some(ImageFormat::Vhd), access);
    opened.err().map(|error| error.kind())
}

/// Breaks a good image and says what becomes of it, in all doors.
#[track_caller]
fn check(expected: ImageErrorKind, break_it: impl Fn(&mut Vec<u8>)) {
    let mut image = sample();
    break_it(&mut image);
    for access in [Access::ReadOnly, Access::ReadWrite] {
        assert_eq!(kind_of(&image, access), Some(expected));
    }
    let storage = MemoryStorage::from_bytes(image.clone());
    match vdisk::check(&storage, Some(ImageFormat::Vhd)) {
        Ok(report) if expected == ImageErrorKind::Damaged => assert!(!report.is_sound()),
        Ok(report) => assert!(!report.findings().is_empty()),
        Err(error) => assert_eq!(error.kind(), expected),
    }
    vdisk::vhd::fuzz_open(&image);
}

#[test]
fn every_field_of_the_footer_out_of_range_is_refused() {
    use ImageErrorKind::{Damaged, NotAnImage, Unsupported};
    check(NotAnImage, |i| footer(i, 0, b"conectiy"));
    check(Unsupported, |i| footer(i, 12, &[0, 2, 0, 0]));
    for offset in [0, 1, 511, u64::MAX, u64::MAX - 100, 1 << 40] {
        check(Damaged, |i| footer(i, 16, &offset.to_be_bytes()));
    }
    for size in [
        0,
        1,
        511,
        4 * MIB + 1,
        (2040 << 30) + 512,
        u64::MAX,
        1 << 63,
    ] {
        check(Damaged, |i| footer(i, 48, &size.to_be_bytes()));
    }
    // Room for more blocks than the table has.
    check(Damaged, |i| footer(i, 48, &(2040_u64 << 30).to_be_bytes()));
    for kind in [0, 1, 5, 6, 7, u32::MAX] {
        check(Unsupported, |i| footer(i, 60, &kind.to_be_bytes()));
    }
    check(Damaged, |i| {
        let end = i.len() - 512;
        i[64] ^= 1;
        i[end + 64] ^= 1;
    });
}

#[test]
fn a_fixed_footer_that_claims_more_than_the_file_is_refused() {
    check(ImageErrorKind::Damaged, |i| {
        footer(i, 60, &2_u32.to_be_bytes());
        footer(i, 48, &(64 * MIB).to_be_bytes());
    });
}

#[test]
fn every_field_of_the_header_out_of_range_is_refused() {
    use ImageErrorKind::{Damaged, Unsupported};
    check(Damaged, |i| header(i, 0, b"cxsparsf"));
    check(Damaged, |i| i[HEADER + 40] ^= 1);
    check(Unsupported, |i| header(i, 24, &[0, 2, 0, 0]));
    // The table: outside the file, on the footer, on the header, off its sector, off 64 bits.
    for offset in [0, 511, 512, 1024, 1537, 1 << 40, u64::MAX, u64::MAX - 511] {
        check(Damaged, |i| header(i, 16, &offset.to_be_bytes()));
    }
    // Too few entries, and more than the file could hold (CVE-2014-0144).
    for entries in [0, 1, 8, 1 << 30, u32::MAX] {
        check(Damaged, |i| header(i, 28, &entries.to_be_bytes()));
    }
    // A block of no size (CVE-2014-0142), of odd ones, and of sizes that only make trouble.
    for size in [0, 1, 511, 513, 3 << 19, u32::MAX, (1 << 31) + 512] {
        check(Damaged, |i| header(i, 32, &size.to_be_bytes()));
    }
    check(Unsupported, |i| header(i, 32, &(1_u32 << 31).to_be_bytes()));
}

#[test]
fn tiny_blocks_are_refused_rather_than_tabled() {
    check(ImageErrorKind::Unsupported, |i| {
        footer(i, 48, &(4_u64 * 512).to_be_bytes());
        header(i, 32, &512_u32.to_be_bytes());
    });
}

#[test]
fn every_bad_entry_of_the_table_is_refused() {
    use ImageErrorKind::Damaged;
    // On the footer copy, the header, the table; past the end; just past it; as far as it goes.
    let sample_sectors = u32::try_from(sample().len() / 512).unwrap();
    for value in [
        0,
        1,
        2,
        3,
        sample_sectors - 1,
        sample_sectors,
        1 << 30,
        u32::MAX - 1,
    ] {
        check(Damaged, |i| entry(i, 0, value));
    }
    // Block 1 once more, and a block that begins inside it.
    let place = |image: &[u8]| u32::from_be_bytes(image[TABLE + 4..TABLE + 8].try_into().unwrap());
    for shift in [0, 1, 8, 1024] {
        check(Damaged, |i| {
            let value = place(i) + shift;
            entry(i, 0, value);
        });
    }
    // The last block runs over the footer.
    check(Damaged, |i| {
        let value = u32::from_be_bytes(i[TABLE + 32..TABLE + 36].try_into().unwrap());
        entry(i, 8, value + 8);
    });
}

#[test]
fn a_vhd_cut_anywhere_is_an_error_or_an_image_never_a_panic() {
    let whole = sample();
    for len in (0..5000)
        .step_by(37)
        .chain((5000..whole.len()).step_by(65_537))
    {
        vdisk::vhd::fuzz_open(&whole[..len]);
        // Its end is gone, so is the data of a block: nothing may open that lacks data.
        assert!(kind_of(&whole[..len], Access::ReadOnly).is_some(), "{len}");
    }
}

#[test]
fn mutated_vhds_are_refused_or_served() {
    let whole = sample();
    let mut random = Random::new(7);
    for _ in 0..300 {
        let mut image = whole.clone();
        for _ in 0..1 + random.below(4) {
            let end = whole.len() - 512;
            let at = match random.below(3) {
                0 => end + usize::try_from(random.below(512)).unwrap(),
                _ => usize::try_from(random.below(1600)).unwrap(),
            };
            image[at] = random.bytes(1)[0];
        }
        vdisk::vhd::fuzz_open(&image);
    }
}

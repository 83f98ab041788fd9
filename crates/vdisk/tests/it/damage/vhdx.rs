//! Damages to VHDX images as our own writer lays them out: log at 1 MiB, metadata at 2 MiB, block
//! allocation table at 3 MiB, blocks of 1 MiB.

use blockio::{ByteOffset, Storage};

use super::Outcome::{GivenUp, Harmless, Named, Repaired};
use super::Sample::{Child, Clean, Dirty, Empty, Wide};
use super::{Damage, cut, damage, flip, get, length, put};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const HEADERS: [u64; 2] = [64 * KIB, 128 * KIB];
const REGIONS: [u64; 2] = [192 * KIB, 256 * KIB];
const LOG: u64 = MIB;
const METADATA: u64 = 2 * MIB;
const ITEMS: u64 = METADATA + 64 * KIB;
const BAT: u64 = 3 * MIB;
/// The entry of the first sector bitmap where blocks have 1 MiB.
const BITMAP: u64 = 4096;
/// Where the file parameters end and the other items follow, in the order of the table.
const DISK_SIZE: u64 = ITEMS + 8;
const LOGICAL: u64 = ITEMS + 32;
const LOCATOR: u64 = ITEMS + 40;

/// Makes the checksum at byte 4 of a structure right.
fn correct(file: &dyn Storage, at: u64, length: u64) {
    put(file, at + 4, &[0; 4]);
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    file.read_at(&mut bytes, ByteOffset(at)).unwrap();
    put(file, at + 4, &crc32c::crc32c(&bytes).to_le_bytes());
}

fn header(file: &dyn Storage, which: usize, field: u64, bytes: &[u8]) {
    put(file, HEADERS[which] + field, bytes);
    correct(file, HEADERS[which], 4 * KIB);
}

fn headers(file: &dyn Storage, field: u64, bytes: &[u8]) {
    for which in [0, 1] {
        header(file, which, field, bytes);
    }
}

fn region(file: &dyn Storage, which: usize, field: u64, bytes: &[u8]) {
    put(file, REGIONS[which] + field, bytes);
    correct(file, REGIONS[which], 64 * KIB);
}

fn regions(file: &dyn Storage, field: u64, bytes: &[u8]) {
    for which in [0, 1] {
        region(file, which, field, bytes);
    }
}

fn entry(file: &dyn Storage, index: u64) -> u64 {
    u64::from_le_bytes(get(file, BAT + 8 * index))
}

fn set(file: &dyn Storage, index: u64, value: u64) {
    put(file, BAT + 8 * index, &value.to_le_bytes());
}

/// Makes the second header the equal of the first in its number.
fn equal_numbers(file: &dyn Storage) {
    let number: [u8; 8] = get(file, HEADERS[0] + 8);
    header(file, 1, 8, &number);
}

fn wipe_log(file: &dyn Storage) {
    for page in 0..256 {
        if get::<4>(file, LOG + page * 4 * KIB) == *b"loge" {
            flip(file, LOG + page * 4 * KIB + 60);
        }
    }
}

/// Every class of damage to a VHDX.
#[rustfmt::skip]
pub(crate) const DAMAGES: &[Damage] = &[
    damage("signature of the file", Clean, |f| put(f, 0, &[0; 8]), "does not begin with", Repaired),
    damage("file shorter than its headers", Clean, |f| cut(f, 300 * KIB), "ends within its header section", Named),
    damage("first header, checksum", Clean, |f| flip(f, HEADERS[0] + 500), "stands in for it", Repaired),
    damage("second header, signature", Clean, |f| put(f, HEADERS[1], b"HEAD"), "stands in for it", Repaired),
    damage("both headers, checksum", Clean, |f| HEADERS.iter().for_each(|at| flip(f, at + 500)), "checksum of the header", Repaired),
    damage("both headers gone", Clean, |f| HEADERS.iter().for_each(|at| put(f, *at, &[0; 4096])), "header has no signature", Repaired),
    damage("both headers gone, log with news", Dirty, |f| {
        HEADERS.iter().for_each(|at| put(f, *at, &[0; 4096]));
        set(f, 5, 0);
    }, "header has no signature", Named),
    damage("headers of one number", Clean, equal_numbers, "same sequence number; the first", Repaired),
    damage("headers of one number, two logs", Clean, |f| {
        equal_numbers(f);
        header(f, 1, 72, &(9 * MIB).to_le_bytes());
    }, "say different things", Named),
    damage("log outside the file", Clean, |f| headers(f, 72, &(1_u64 << 40).to_le_bytes()), "lies outside the file", Repaired),
    damage("log on the metadata", Clean, |f| headers(f, 72, &METADATA.to_le_bytes()), "overlap", Repaired),
    damage("no log", Clean, |f| headers(f, 68, &[0; 4]), "the image has no log", Repaired),
    damage("log to be replayed", Dirty, |f| set(f, 5, 0), "waits to be replayed", Repaired),
    damage("live log without a whole entry", Dirty, wipe_log, "log holds no whole sequence", GivenUp),
    damage("file cut off behind a live log", Dirty, |f| cut(f, length(f) - MIB), "was cut off", GivenUp),
    damage("first region table, checksum", Clean, |f| flip(f, REGIONS[0] + 5000), "checksum of the region table", Repaired),
    damage("second region table, signature", Clean, |f| put(f, REGIONS[1], &[0; 4]), "region table has no signature", Repaired),
    damage("region tables differ", Clean, |f| region(f, 1, 16 + 32 + 16, &(9 * MIB).to_le_bytes()), "region tables differ", Repaired),
    damage("both region tables gone", Clean, |f| REGIONS.iter().for_each(|at| put(f, *at, &[0; 4096])), "region table has no signature", Repaired),
    damage("both region tables gone, no block", Empty, |f| REGIONS.iter().for_each(|at| put(f, *at, &[0; 4096])), "region table has no signature", Named),
    damage("regions on each other", Clean, |f| regions(f, 16 + 16, &METADATA.to_le_bytes()), "overlap", Repaired),
    damage("region outside the file", Clean, |f| regions(f, 16 + 16, &(1_u64 << 40).to_le_bytes()), "is out of place in a file", Repaired),
    damage("region not on a mebibyte", Clean, |f| regions(f, 16 + 16, &(BAT + 512).to_le_bytes()), "is out of place in a file", Repaired),
    damage("metadata table, signature", Clean, |f| flip(f, METADATA), "metadata table has no signature", Repaired),
    damage("metadata item missing", Clean, |f| { put(f, METADATA + 96, &[7; 16]); put(f, METADATA + 96 + 24, &[0; 4]); }, "metadata have no virtual disk identifier", Named),
    damage("metadata item twice", Clean, |f| {
        let id: [u8; 16] = get(f, METADATA + 32);
        put(f, METADATA + 64, &id);
    }, "twice", Named),
    damage("metadata items overlap", Clean, |f| put(f, METADATA + 64 + 16, &(64_u32 * 1024).to_le_bytes()), "overlap", Named),
    damage("metadata item outside", Clean, |f| put(f, METADATA + 64 + 16, &u32::MAX.to_le_bytes()), "is out of place", Named),
    damage("block size impossible", Clean, |f| put(f, ITEMS, &(3_u32 << 20).to_le_bytes()), "block size of", Named),
    damage("disk of no bytes", Clean, |f| put(f, DISK_SIZE, &[0; 8]), "virtual disk of 0 bytes", Named),
    damage("sector size impossible", Clean, |f| put(f, LOGICAL, &513_u32.to_le_bytes()), "sector size of 513", Named),
    damage("table too short for the disk", Clean, |f| put(f, DISK_SIZE, &(1_u64 << 40).to_le_bytes()), "is too short", Named),
    damage("entry with a reserved bit", Clean, |f| set(f, 1, entry(f, 1) | 0x1000), "reserved bit", Repaired),
    damage("entry of an unknown state", Clean, |f| set(f, 1, entry(f, 1) & !7 | 5), "unknown state", GivenUp),
    damage("block far outside the file", Clean, |f| set(f, 1, 1 << 45 | 6), "points outside the file", GivenUp),
    damage("block cut off with the file", Clean, |f| cut(f, length(f) - 300 * KIB), "points outside the file", GivenUp),
    damage("block in the header section", Clean, |f| set(f, 1, 6), "points outside the file", GivenUp),
    damage("block on the log", Clean, |f| set(f, 1, LOG | 6), "shares space", GivenUp),
    damage("block on the metadata", Clean, |f| set(f, 1, METADATA | 6), "shares space", GivenUp),
    damage("block on the table", Clean, |f| set(f, 1, BAT | 6), "shares space", GivenUp),
    damage("two blocks in one place", Clean, |f| set(f, 1, entry(f, 2)), "claims space at", Named),
    damage("partial block without a parent", Clean, |f| set(f, 1, entry(f, 1) | 7), "needs a parent", Repaired),
    damage("offset of a block of zeros", Clean, |f| set(f, 3, 9 << 20 | 2), "no meaning", Repaired),
    damage("offset of a block not present", Clean, |f| set(f, 3, 9 << 20), "no meaning", Repaired),
    damage("sector bitmap without a parent", Wide, |f| set(f, 16, LOG | 6), "image without a parent", Repaired),
    damage("entry behind the last block", Child, |f| set(f, 100, 9 << 20 | 6), "lies behind the last block", Repaired),
    damage("partial block without a bitmap", Child, |f| set(f, BITMAP, 0), "without a sector bitmap", Named),
    damage("bitmap of a wrong state", Child, |f| set(f, BITMAP, entry(f, BITMAP) | 7), "state that no sector bitmap has", Repaired),
    damage("bitmap outside the file", Child, |f| set(f, BITMAP, 1 << 45 | 6), "points outside the file", Named),
    damage("bitmap on the table", Child, |f| set(f, BITMAP, BAT | 6), "shares space", Named),
    damage("bitmap on a block", Child, |f| set(f, BITMAP, entry(f, 0) & !7 | 6), "claims space at", Named),
    damage("child, called a disk without a parent", Child, |f| put(f, ITEMS + 4, &[0; 4]), "names a parent, but its flags say", Named),
    damage("child, block outside the file", Child, |f| set(f, 1, 1 << 45 | 6), "points outside the file", GivenUp),
    damage("flag of a child cleared", Child, |f| put(f, ITEMS + 4, &[0; 4]), "though it names one", Named),
    damage("parent locator, too many pairs", Child, |f| put(f, LOCATOR + 18, &[0xff; 2]), "too many pairs", Named),
    damage("parent locator, pair outside", Child, |f| put(f, LOCATOR + 20, &[0xff; 4]), "lies outside it", Named),
    damage("space of nobody", Clean, |f| cut(f, length(f) + 3 * MIB), "used by nothing", Harmless),
    damage("bytes behind the end", Clean, |f| put(f, length(f), &[1; 777]), "into a mebibyte", Harmless),
];

//! Damages to VHD images as our own writer lays them out: footer and its copy, dynamic disk header
//! at 512.

use blockio::{ByteOffset, Storage};

use super::Outcome::{GivenUp, Harmless, Named, Repaired};
use super::Sample::{Child, Clean, Fixed};
use super::{Damage, cut, damage, flip, get, length, put};

const HEADER: u64 = 512;

fn table(file: &dyn Storage) -> u64 {
    u64::from_be_bytes(get(file, HEADER + 16))
}

fn end(file: &dyn Storage) -> u64 {
    length(file) - 512
}

/// Makes the checksum of a structure right.
fn correct(file: &dyn Storage, at: u64, length: usize, field: u64) {
    put(file, at + field, &[0; 4]);
    let mut bytes = vec![0; length];
    file.read_at(&mut bytes, ByteOffset(at)).unwrap();
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    put(file, at + field, &(!sum).to_be_bytes());
}

fn footer(file: &dyn Storage, at: u64, field: u64, bytes: &[u8]) {
    put(file, at + field, bytes);
    correct(file, at, 512, 64);
}

fn footers(file: &dyn Storage, field: u64, bytes: &[u8]) {
    for at in [0, end(file)] {
        footer(file, at, field, bytes);
    }
}

fn header(file: &dyn Storage, field: u64, bytes: &[u8]) {
    put(file, HEADER + field, bytes);
    correct(file, HEADER, 1024, 36);
}

fn entry(file: &dyn Storage, block: u64) -> u32 {
    u32::from_be_bytes(get(file, table(file) + 4 * block))
}

fn set(file: &dyn Storage, block: u64, value: u32) {
    put(file, table(file) + 4 * block, &value.to_be_bytes());
}

/// Moves the footer away from the blocks.
fn gap(file: &dyn Storage) {
    let bytes: [u8; 512] = get(file, end(file));
    let at = end(file);
    put(file, at, &[0; 512]);
    put(file, at + (1 << 20), &bytes);
}

/// Every class of damage to a VHD.
#[rustfmt::skip]
pub(crate) const DAMAGES: &[Damage] = &[
    damage("footer gone", Clean, |f| cut(f, end(f)), "no good footer at the end", Repaired),
    damage("footer, checksum", Clean, |f| flip(f, end(f) + 200), "no good footer at the end", Repaired),
    damage("footer, cookie", Clean, |f| put(f, end(f), b"CONE"), "no good footer at the end", Repaired),
    damage("bytes behind the footer", Clean, |f| put(f, length(f), &[1; 777]), "no good footer at the end", Repaired),
    damage("copy of the footer, checksum", Clean, |f| flip(f, 200), "copy of the footer", Repaired),
    damage("copy of the footer, gone", Clean, |f| put(f, 0, &[0; 512]), "copy of the footer", Repaired),
    damage("copy of the footer, of another disk", Clean, |f| footer(f, 0, 68, &[7; 16]), "copy of the footer", Repaired),
    damage("both footers, checksum", Clean, |f| { let at = end(f); flip(f, 200); flip(f, at + 200); }, "footer checksum is", Repaired),
    damage("both footers, checksum, and they differ", Clean, |f| { let at = end(f); flip(f, 200); flip(f, at + 300); }, "footer checksum is", Named),
    damage("disk of no bytes", Clean, |f| footers(f, 48, &[0; 8]), "current size of 0 bytes", Named),
    damage("geometry beyond the disk", Clean, |f| footers(f, 56, &[0xff, 0xff, 16, 63]), "geometry of", Repaired),
    damage("footer leads past the header", Clean, |f| footers(f, 16, &4096_u64.to_be_bytes()), "cookie is not", Repaired),
    damage("header, checksum", Clean, |f| flip(f, HEADER + 900), "header checksum is", Repaired),
    damage("header, cookie", Clean, |f| flip(f, HEADER), "cookie is not", Repaired),
    damage("header, block size", Clean, |f| header(f, 32, &777_u32.to_be_bytes()), "block size of 777", Named),
    damage("header, table too small", Clean, |f| header(f, 28, &1_u32.to_be_bytes()), "is too small", Named),
    damage("header, table outside", Clean, |f| header(f, 16, &(1_u64 << 40).to_be_bytes()), "does not fit in the file", Named),
    damage("header, table on the header", Clean, |f| header(f, 16, &1024_u64.to_be_bytes()), "overlaps the header", Named),
    damage("block behind the footer", Clean, |f| set(f, 1, 1 << 28), "past the data area", GivenUp),
    damage("block cut off with the file", Clean, |f| cut(f, length(f) - 100 * 1024), "past the data area", GivenUp),
    damage("block on the footer's copy", Clean, |f| set(f, 1, 0), "overlaps the structures", GivenUp),
    damage("block on the table", Clean, |f| set(f, 1, 3), "overlaps the structures", GivenUp),
    damage("two blocks in one place", Clean, |f| set(f, 1, entry(f, 2)), "share space", Named),
    damage("two blocks that overlap", Clean, |f| set(f, 1, entry(f, 2) + 8), "share space", Named),
    damage("space of nobody", Clean, gap, "bytes that nothing uses", Harmless),
    damage("data that is not aligned", Clean, |f| { let at = entry(f, 5); set(f, 5, at - 1); }, "not aligned to 4 KiB", Harmless),
    damage("machine in a saved state", Clean, |f| footers(f, 84, &[1]), "saved state", Harmless),
    damage("reserved bit of the features", Clean, |f| footers(f, 8, &[0; 4]), "lack the reserved bit", Harmless),
    damage("fixed, footer's checksum", Fixed, |f| flip(f, end(f) + 200), "footer checksum is", Repaired),
    damage("fixed, data cut out", Fixed, |f| { let bytes: [u8; 512] = get(f, end(f)); let at = end(f) - 4096; cut(f, at); put(f, at, &bytes); }, "fixed disk of", Named),
    damage("child, called a disk without a parent", Child, |f| footers(f, 60, &3_u32.to_be_bytes()), "names a parent, but the footer says", Harmless),
    damage("child, locator outside", Child, |f| header(f, 576 + 16, &(1_u64 << 40).to_be_bytes()), "locator points outside", Named),
    damage("child, block behind the footer", Child, |f| set(f, 1, 1 << 28), "past the data area", Named),
    damage("child, footer gone", Child, |f| cut(f, end(f)), "no good footer at the end", Repaired),
];

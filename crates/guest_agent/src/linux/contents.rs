//! What is on a disk or a part of it, by what stands where.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use guest_proto::FileSystem;

/// How much at either end is looked at for anything at all.
const ENDS: u64 = 2 << 20;
/// How much is looked at at a time.
const PIECE: usize = 64 << 10;

/// How a disk that is being formatted is marked, so that it is known for one should the formatting
/// never end.
const MARK: &[u8] = b"cvol formats this disk: what is on it is not whole\n";
/// How far from the end the mark begins: no file system that is made for a guest writes there.
const MARK_FROM_END: u64 = (1 << 20) + 4096;
const MARK_SIZE: usize = 4096;
/// Disks below this size are not marked: there is no such place on them.
const SMALLEST_MARKED: u64 = 16 << 20;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// Nothing at all: zeros.
    Nothing,
    /// A table of parts.
    Partitions,
    /// A file system that guests mount.
    FileSystem(FileSystem),
    /// Something that is known and not mounted.
    Other(&'static str),
    /// The beginning of a file system whose making never ended.
    HalfFormatted,
    /// Something.
    Unknown,
}

/// A sign of something: what stands at a place.
struct Sign {
    at: u64,
    bytes: &'static [u8],
    contents: Contents,
}

const fn sign(at: u64, bytes: &'static [u8], contents: Contents) -> Sign {
    Sign {
        at,
        bytes,
        contents,
    }
}

/// What stands where, what is surest first. A boot sector of a file system ends like one with a table
/// of parts, which comes last.
const SIGNS: [Sign; 24] = [
    sign(3, b"-FVE-FS-", Contents::Other("BitLocker")),
    sign(0, b"LUKS\xba\xbe", Contents::Other("LUKS")),
    sign(3, b"NTFS    ", Contents::FileSystem(FileSystem::Ntfs)),
    sign(3, b"EXFAT   ", Contents::Other("exFAT")),
    sign(3, b"ReFS\0\0\0\0", Contents::FileSystem(FileSystem::Refs)),
    sign(82, b"FAT32   ", Contents::FileSystem(FileSystem::Fat32)),
    sign(54, b"FAT16   ", Contents::Other("FAT16")),
    sign(54, b"FAT12   ", Contents::Other("FAT12")),
    sign(0, b"XFSB", Contents::FileSystem(FileSystem::Xfs)),
    sign(1080, b"\x53\xef", Contents::FileSystem(FileSystem::Ext4)),
    sign(65_600, b"_BHRfS_M", Contents::Other("btrfs")),
    sign(32_769, b"CD001", Contents::Other("ISO 9660")),
    sign(0, b"hsqs", Contents::Other("squashfs")),
    sign(1024, b"\xe2\xe1\xf5\xe0", Contents::Other("EROFS")),
    sign(1024, b"\x10\x20\xf5\xf2", Contents::Other("F2FS")),
    sign(512, b"LABELONE", Contents::Other("LVM")),
    sign(4086, b"SWAPSPACE2", Contents::Other("swap space")),
    sign(4096, b"\xfc\x4e\x2b\xa9", Contents::Other("a RAID")),
    sign(0, b"vhdxfile", Contents::Other("a VHDX image")),
    sign(0, b"conectix", Contents::Other("a VHD image")),
    sign(0, b"QFI\xfb", Contents::Other("a qcow2 image")),
    sign(512, b"EFI PART", Contents::Partitions),
    sign(4096, b"EFI PART", Contents::Partitions),
    sign(510, b"\x55\xaa", Contents::Partitions),
];

/// Tells what is there.
pub(super) fn identify(disk: &File, size: u64) -> io::Result<Contents> {
    let mut found = None;
    for sign in &SIGNS {
        if stands(disk, size, sign.at, sign.bytes)? {
            found = Some(sign.contents);
            break;
        }
    }
    match found {
        // Made, and not known to be whole.
        Some(Contents::FileSystem(FileSystem::Ext4))
            if is_marked(disk, size)? && !was_ext4_mounted(disk)? =>
        {
            Ok(Contents::HalfFormatted)
        }
        Some(contents) => Ok(contents),
        None if is_empty(disk, size)? => Ok(Contents::Nothing),
        None if is_marked(disk, size)? => Ok(Contents::HalfFormatted),
        None => Ok(Contents::Unknown),
    }
}

fn stands(disk: &File, size: u64, at: u64, bytes: &[u8]) -> io::Result<bool> {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if at.checked_add(length).is_none_or(|end| end > size) {
        return Ok(false);
    }
    let mut there = vec![0; bytes.len()];
    disk.read_exact_at(&mut there, at)?;
    Ok(there == bytes)
}

/// Whether both ends hold nothing but zeros: any file system, table or container has something there.
fn is_empty(disk: &File, size: u64) -> io::Result<bool> {
    let first = ENDS.min(size);
    let last = size.saturating_sub(ENDS).max(first);
    Ok(are_zeros(disk, 0, first)? && are_zeros(disk, last, size)?)
}

fn are_zeros(disk: &File, from: u64, to: u64) -> io::Result<bool> {
    let mut piece = [0; PIECE];
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).unwrap_or(PIECE).min(PIECE);
        let piece = piece.get_mut(..length).unwrap_or_default();
        disk.read_exact_at(piece, at)?;
        if piece.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at = at.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }
    Ok(true)
}

/// When an ext4 was last mounted, in its own description: zero until it first is. Who can write files
/// can write a mark into one; a file system with files was mounted.
fn was_ext4_mounted(disk: &File) -> io::Result<bool> {
    let mut mounted = [0; 4];
    disk.read_exact_at(&mut mounted, 1024 + 0x2c)?;
    Ok(mounted != [0; 4])
}

fn mark_at(size: u64) -> Option<u64> {
    let at = size.checked_sub(MARK_FROM_END)? & !4095;
    (size >= SMALLEST_MARKED).then_some(at)
}

fn is_marked(disk: &File, size: u64) -> io::Result<bool> {
    match mark_at(size) {
        Some(at) => stands(disk, size, at, MARK),
        None => Ok(false),
    }
}

/// Marks a disk as being formatted; the mark is on it before this returns.
pub(super) fn mark(disk: &File, size: u64) -> io::Result<()> {
    let mut bytes = [0; MARK_SIZE];
    for (to, from) in bytes.iter_mut().zip(MARK) {
        *to = *from;
    }
    write_mark(disk, size, &bytes)
}

/// Takes the mark away: the file system is whole.
pub(super) fn unmark(disk: &File, size: u64) -> io::Result<()> {
    // What was made comes to the disk before the mark goes.
    disk.sync_all()?;
    write_mark(disk, size, &[0; MARK_SIZE])
}

fn write_mark(disk: &File, size: u64, bytes: &[u8]) -> io::Result<()> {
    if let Some(at) = mark_at(size) {
        disk.write_all_at(bytes, at)?;
        disk.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 64 << 20;

    fn disk(places: &[(u64, &[u8])]) -> File {
        let disk = tempfile::tempfile().unwrap();
        disk.set_len(SIZE).unwrap();
        for (at, bytes) in places {
            disk.write_all_at(bytes, *at).unwrap();
        }
        disk
    }

    fn contents(places: &[(u64, &[u8])]) -> Contents {
        identify(&disk(places), SIZE).unwrap()
    }

    #[test]
    fn what_is_known_is_told_by_its_signs() {
        use Contents::{FileSystem as Known, Nothing, Other, Partitions};
        let boot: (u64, &[u8]) = (510, b"\x55\xaa");
        for (places, expected) in [
            (&[][..], Nothing),
            (
                &[(3, b"NTFS    ".as_slice()), boot],
                Known(FileSystem::Ntfs),
            ),
            (&[(82, b"FAT32   "), boot], Known(FileSystem::Fat32)),
            (&[(1080, b"\x53\xef")], Known(FileSystem::Ext4)),
            (&[(0, b"XFSB")], Known(FileSystem::Xfs)),
            (&[(3, b"-FVE-FS-"), boot], Other("BitLocker")),
            (&[boot], Partitions),
            (&[boot, (512, b"EFI PART")], Partitions),
            (&[boot, (4096, b"EFI PART")], Partitions),
        ] {
            assert_eq!(contents(places), expected, "{places:?}");
        }
    }

    #[test]
    fn anything_at_either_end_is_something() {
        let ends = [
            0,
            511,
            4096,
            (1 << 20) + 17,
            SIZE - 1,
            SIZE - (1 << 20),
            SIZE - (2 << 20),
        ];
        for at in ends {
            assert_eq!(contents(&[(at, b"x")]), Contents::Unknown, "{at}");
        }
    }

    #[test]
    fn a_disk_whose_formatting_never_ended_is_known_for_one() {
        let disk = disk(&[]);
        mark(&disk, SIZE).unwrap();
        assert_eq!(identify(&disk, SIZE).unwrap(), Contents::HalfFormatted);
        // Some of the file system has come to the disk, then all of it.
        disk.write_all_at(b"x", 9000).unwrap();
        assert_eq!(identify(&disk, SIZE).unwrap(), Contents::HalfFormatted);
        disk.write_all_at(b"\x53\xef", 1080).unwrap();
        assert_eq!(identify(&disk, SIZE).unwrap(), Contents::HalfFormatted);
        unmark(&disk, SIZE).unwrap();
        let whole = Contents::FileSystem(FileSystem::Ext4);
        assert_eq!(identify(&disk, SIZE).unwrap(), whole);
    }

    #[test]
    fn a_mark_in_a_file_makes_no_file_system_half_formatted() {
        let disk = disk(&[(1080, b"\x53\xef"), (1024 + 0x2c, b"\x01\x02\x03\x04")]);
        mark(&disk, SIZE).unwrap();
        let whole = Contents::FileSystem(FileSystem::Ext4);
        assert_eq!(identify(&disk, SIZE).unwrap(), whole);
    }

    #[test]
    fn small_disks_are_looked_at_without_reading_past_their_end() {
        let disk = tempfile::tempfile().unwrap();
        for size in [0, 1, 512, 4096, 70_000] {
            disk.set_len(size).unwrap();
            assert_eq!(identify(&disk, size).unwrap(), Contents::Nothing, "{size}");
        }
    }
}

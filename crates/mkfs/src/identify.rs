//! Which file system a disk or partition holds, told by its first sectors alone.

use blockio::{ByteOffset, ByteRange, Disk};

use crate::error::MkfsError;

/// Bytes looked at: the superblock of ext4 lies from 1024 on.
const HEAD_BYTES: u64 = 2048;

/// A file system, as far as it is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileSystem {
    /// NTFS.
    Ntfs,
    /// FAT32.
    Fat32,
    /// FAT16.
    Fat16,
    /// FAT12.
    Fat12,
    /// exFAT.
    ExFat,
    /// ReFS.
    ReFs,
    /// ext2, ext3 or ext4.
    Ext,
    /// A BitLocker volume, whose file system cannot be seen.
    BitLocker,
    /// None that is known.
    Unknown,
}

impl std::fmt::Display for FileSystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ntfs => "NTFS",
            Self::Fat32 => "FAT32",
            Self::Fat16 => "FAT16",
            Self::Fat12 => "FAT12",
            Self::ExFat => "exFAT",
            Self::ReFs => "ReFS",
            Self::Ext => "ext2/3/4",
            Self::BitLocker => "BitLocker",
            Self::Unknown => "unknown",
        })
    }
}

/// The file system on `disk`, which is a partition or a disk without a partition table.
///
/// # Errors
/// `Io`. A disk that is too small or damaged is [`FileSystem::Unknown`].
pub fn identify(disk: &dyn Disk) -> Result<FileSystem, MkfsError> {
    let len = disk.size().get().min(HEAD_BYTES);
    let mut head = vec![0; usize::try_from(len).unwrap_or(0)];
    disk.read_at(&mut head, ByteOffset(0))?;
    Ok(of_head(&head))
}

/// What stands in a part of `disk`.
///
/// # Errors
/// Where the disk cannot be read.
pub(crate) fn identify_range(disk: &dyn Disk, range: ByteRange) -> Result<FileSystem, MkfsError> {
    let len = range.len().get().min(HEAD_BYTES);
    let mut head = vec![0; usize::try_from(len).unwrap_or(0)];
    disk.read_at(&mut head, range.start())?;
    Ok(of_head(&head))
}

fn of_head(head: &[u8]) -> FileSystem {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    // The "OEM name" at 3: [FAT] BS_OEMName; ReFS adds "FSRS" at 0x10.
    if at(3, b"NTFS    ") {
        FileSystem::Ntfs
    } else if at(3, b"ReFS\0\0\0\0") && at(0x10, b"FSRS") {
        FileSystem::ReFs
    } else if at(3, b"EXFAT   ") {
        FileSystem::ExFat
    } else if at(3, b"-FVE-FS-") {
        FileSystem::BitLocker
    } else if at(1080, &[0x53, 0xEF]) {
        FileSystem::Ext
    } else {
        fat_kind(head).unwrap_or(FileSystem::Unknown)
    }
}

/// FAT is told by its parameter block, and its kind by the number of clusters alone ([FAT] "FAT
/// Type Determination").
fn fat_kind(head: &[u8]) -> Option<FileSystem> {
    let u16_at = |at: usize| {
        Some(u32::from(u16::from_le_bytes([
            *head.get(at)?,
            *head.get(at + 1)?,
        ])))
    };
    let u32_at = |at: usize| Some(u16_at(at)? | u16_at(at + 2)? << 16);
    let sector = u16_at(11)?;
    let per_cluster = u32::from(*head.get(13)?);
    let reserved = u16_at(14)?;
    let fats = u32::from(*head.get(16)?);
    let media = *head.get(21)?;
    let is_plausible = head.get(510..512) == Some(&[0x55, 0xAA])
        && matches!(sector, 512 | 1024 | 2048 | 4096)
        && per_cluster.is_power_of_two()
        && reserved > 0
        && matches!(fats, 1 | 2)
        && (media == 0xF0 || media >= 0xF8);
    if !is_plausible {
        return None;
    }
    let either = |short: u32, long: u32| if short == 0 { long } else { short };
    let fat_sectors = either(u16_at(22)?, u32_at(36)?);
    let total = either(u16_at(19)?, u32_at(32)?);
    let root_sectors = (u16_at(17)? * 32).div_ceil(sector);
    let before = fats
        .checked_mul(fat_sectors)?
        .checked_add(reserved)?
        .checked_add(root_sectors)?;
    let clusters = total.checked_sub(before)? / per_cluster;
    Some(match clusters {
        0 => return None,
        1..=4084 => FileSystem::Fat12,
        4085..=65_524 => FileSystem::Fat16,
        _ => FileSystem::Fat32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    use blockio::{ByteCount, MIB, MemoryDisk, SectorSize};

    fn head_with(pieces: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; 2048];
        for (at, bytes) in pieces {
            head[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    #[test]
    fn magic_numbers_tell_file_systems_apart() {
        type Pieces = &'static [(usize, &'static [u8])];
        let cases: [(Pieces, FileSystem); 7] = [
            (&[(3, b"NTFS    ")], FileSystem::Ntfs),
            (&[(3, b"ReFS\0\0\0\0"), (0x10, b"FSRS")], FileSystem::ReFs),
            (&[(3, b"ReFS\0\0\0\0")], FileSystem::Unknown),
            (&[(3, b"EXFAT   ")], FileSystem::ExFat),
            (&[(3, b"-FVE-FS-")], FileSystem::BitLocker),
            (&[(1080, &[0x53, 0xEF])], FileSystem::Ext),
            (&[], FileSystem::Unknown),
        ];
        for (pieces, expected) in cases {
            assert_eq!(of_head(&head_with(pieces)), expected);
        }
        for len in 0..600 {
            assert_eq!(of_head(&vec![0xFF; len]), FileSystem::Unknown);
        }
    }

    #[test]
    fn our_own_volume_is_fat32_and_so_is_none_of_fewer_clusters() {
        let disk = MemoryDisk::new(ByteCount(40 * MIB), SectorSize::B512).unwrap();
        let options = crate::fat32::Fat32Options {
            label: String::new(),
            volume_id: 1,
            time: crate::NtTime::UNIX_EPOCH,
            name_policy: crate::NamePolicy::Map,
            case_policy: crate::CasePolicy::Rename,
            cluster_size: None,
            hidden_sectors: 0,
        };
        crate::fat32::format(&disk, &options, None, &|_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(identify(&disk).unwrap(), FileSystem::Fat32);
        let mut head = disk.to_bytes()[..2048].to_vec();
        for (per_cluster, expected) in [(4, FileSystem::Fat16), (64, FileSystem::Fat12)] {
            head[13] = per_cluster;
            assert_eq!(of_head(&head), expected);
        }
        head[13] = 3;
        assert_eq!(of_head(&head), FileSystem::Unknown);
        head[13] = 1;
        head[36..40].fill(0xFF);
        assert_eq!(of_head(&head), FileSystem::Unknown);
    }
}

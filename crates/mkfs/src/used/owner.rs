//! Who owns a partition: a boot sector alone may be a remnant of what was there before.

use blockio::{ByteOffset, ByteRange, Disk};
use uuid::Uuid;

use crate::error::MkfsError;
use crate::gpt::BASIC_DATA;
use crate::identify::FileSystem;

/// What the partition table says that a partition is.
#[derive(Clone, Copy, Debug)]
pub(super) enum PartitionType {
    Gpt(Uuid),
    Mbr(u8),
    /// There is no partition table.
    WholeDisk,
}

/// The file system whose record of free space counts.
pub(super) enum Owner {
    Ntfs,
    Fat,
    Ext,
    /// None that is known, and why.
    Another(&'static str),
}

/// Types of GPT partitions with file systems of Windows: EFI system, Windows recovery.
const WINDOWS_TYPES: [Uuid; 3] = [
    BASIC_DATA,
    Uuid::from_u128(0xC12A_7328_F81F_11D2_BA4B_00A0_C93E_C93B),
    Uuid::from_u128(0xDE94_BBA4_06D1_4D40_A16A_BFD5_0179_D6AC),
];
/// Types of GPT partitions with file systems of Linux (Discoverable Partitions Specification):
/// data, root on x86-64 and on ARM64, /home, /srv, /var, extended boot; and "basic data", which
/// older tools gave them.
const LINUX_TYPES: [Uuid; 8] = [
    BASIC_DATA,
    Uuid::from_u128(0x0FC6_3DAF_8483_4772_8E79_3D69_D847_7DE4),
    Uuid::from_u128(0x4F68_BCE3_E8CD_4DB1_96E7_FBCA_F984_B709),
    Uuid::from_u128(0xB921_B045_1DF0_41C3_AF44_4C6F_280D_3FAE),
    Uuid::from_u128(0x933A_C7E1_2EB4_4F13_B844_0E14_E2AE_F915),
    Uuid::from_u128(0x3B8F_8425_20E0_4F3B_907F_1A25_A76F_98E8),
    Uuid::from_u128(0x4D21_B016_B534_45C2_A9FB_5C16_E091_FD2D),
    Uuid::from_u128(0xBC13_C2FF_59E6_4262_A352_B275_FD6F_7172),
];
/// Logical Disk Manager: its table, and the partitions that it manages.
const DYNAMIC_TYPES: [Uuid; 2] = [
    Uuid::from_u128(0x5808_C8AA_7E8F_42E0_85D2_E1E9_0434_CFB3),
    Uuid::from_u128(0xAF9B_60A0_1431_4F62_BC68_3311_714A_69AD),
];
/// The type of a dynamic disk's partition in a master boot record.
const MBR_DYNAMIC: u8 = 0x42;
const MBR_NTFS: [u8; 3] = [0x07, 0x17, 0x27];
const MBR_FAT: [u8; 13] = [
    0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E, 0x11, 0x14, 0x16, 0x1B, 0x1C, 0x1E, 0xEF,
];
const MBR_LINUX: [u8; 1] = [0x83];

/// Marks of what lays itself around or over a file system, by their place in the partition: LUKS,
/// physical volumes of LVM (in one of four sectors), members of Linux RAID (versions 1.1, 1.2),
/// bcache, Btrfs.
const MARKS: [(u64, &[u8]); 9] = [
    (0, b"LUKS\xBA\xBE"),
    (0, b"LABELONE"),
    (512, b"LABELONE"),
    (1024, b"LABELONE"),
    (1536, b"LABELONE"),
    (0, b"\xFC\x4E\x2B\xA9"),
    (4096, b"\xFC\x4E\x2B\xA9"),
    (4096 + 24, b"\xC6\x85\x73\xF6\x4E\x1A\x45\xCA"),
    (64 * 1024 + 64, b"_BHRfS_M"),
];

/// Where NTFS keeps the head of its shadow copies, and the identifier of it.
const SHADOW_HEAD: u64 = 0x1E00;
const SHADOW_ID: Uuid = Uuid::from_u128(0x3808_876B_C176_4E48_B7AE_0404_6E6C_C752);
/// Where in that head the place of their catalogue stands; zero where there are none.
const SHADOW_CATALOGUE: usize = 48;

impl PartitionType {
    /// Whether the whole disk belongs to something that keeps its own table of it.
    pub(super) fn spans_the_disk(self) -> bool {
        match self {
            Self::Gpt(id) => DYNAMIC_TYPES.contains(&id),
            Self::Mbr(os_type) => os_type == MBR_DYNAMIC,
            Self::WholeDisk => false,
        }
    }

    fn admits(self, gpt: &[Uuid], mbr: &[u8]) -> bool {
        match self {
            Self::Gpt(id) => gpt.contains(&id),
            Self::Mbr(os_type) => mbr.contains(&os_type),
            Self::WholeDisk => true,
        }
    }
}

/// The owner of a partition.
///
/// # Errors
/// `Io`.
pub(super) fn owner(
    disk: &dyn Disk,
    range: ByteRange,
    file_system: FileSystem,
    of_type: PartitionType,
) -> Result<Owner, MkfsError> {
    const OTHER_TYPE: &str =
        "a partition whose type says something else than the file system that seems to be in it";
    let (owner, is_admitted) = match file_system {
        FileSystem::Ntfs => (Owner::Ntfs, of_type.admits(&WINDOWS_TYPES, &MBR_NTFS)),
        FileSystem::Fat32 | FileSystem::Fat16 | FileSystem::Fat12 => {
            (Owner::Fat, of_type.admits(&WINDOWS_TYPES, &MBR_FAT))
        }
        FileSystem::Ext => (Owner::Ext, of_type.admits(&LINUX_TYPES, &MBR_LINUX)),
        FileSystem::BitLocker => return Ok(Owner::Another("looking into BitLocker")),
        FileSystem::ReFs | FileSystem::ExFat => {
            return Ok(Owner::Another("looking for free space in ReFS and exFAT"));
        }
        FileSystem::Unknown => {
            return Ok(Owner::Another(
                "looking for free space in what is not known",
            ));
        }
    };
    if !is_admitted {
        return Ok(Owner::Another(OTHER_TYPE));
    }
    for (at, mark) in MARKS {
        if read(disk, range, at, mark.len())?.as_deref() == Some(mark) {
            return Ok(Owner::Another(
                "a file system with the mark of another owner of the partition",
            ));
        }
    }
    if file_system == FileSystem::Ntfs && has_shadow_copies(disk, range)? {
        return Ok(Owner::Another(
            "giving up free space that shadow copies may need",
        ));
    }
    Ok(owner)
}

/// Whether a volume has shadow copies (or a head of them that is not understood): they are made of
/// what the volume itself has freed since.
fn has_shadow_copies(disk: &dyn Disk, range: ByteRange) -> Result<bool, MkfsError> {
    let Some(head) = read(disk, range, SHADOW_HEAD, 64)? else {
        return Ok(false);
    };
    let is_head = head.first_chunk() == Some(&SHADOW_ID.to_bytes_le());
    let catalogue = head.get(SHADOW_CATALOGUE..SHADOW_CATALOGUE + 8);
    Ok(is_head && catalogue != Some(&[0; 8]))
}

fn read(
    disk: &dyn Disk,
    range: ByteRange,
    at: u64,
    length: usize,
) -> Result<Option<Vec<u8>>, MkfsError> {
    let end = u64::try_from(length)
        .ok()
        .and_then(|len| at.checked_add(len));
    if end.is_none_or(|end| end > range.len().get()) {
        return Ok(None);
    }
    let mut bytes = vec![0; length];
    disk.read_at(
        &mut bytes,
        ByteOffset(range.start().get().saturating_add(at)),
    )?;
    Ok(Some(bytes))
}

//! The structures on disk, from Microsoft's "FAT32 File System Specification" 1.03 ([FAT]).

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The first cluster of the data region ([FAT] "FAT Data Structure").
pub(super) const FIRST_CLUSTER: u32 = 2;
/// Copies of the table.
pub(super) const FAT_COUNT: u8 = 2;
/// Media byte of fixed disks.
pub(super) const MEDIA_FIXED: u8 = 0xF8;
/// Sector of FSInfo.
pub(super) const FSINFO_SECTOR: u16 = 1;
/// Sector of the copy of the boot sector.
pub(super) const BACKUP_BOOT_SECTOR: u16 = 6;
/// Volume id, label and type follow.
pub(super) const EXTENDED_SIGNATURE: u8 = 0x29;
/// FSI_LeadSig.
pub(super) const FSINFO_LEAD: u32 = 0x4161_5252;
/// FSI_StrucSig.
pub(super) const FSINFO_STRUCTURE: u32 = 0x6141_7272;
/// FSI_TrailSig.
pub(super) const FSINFO_TRAIL: u32 = 0xAA55_0000;
/// Entry 0 of the table: the media byte, all else ones.
pub(super) const TABLE_MEDIA: u32 = 0x0FFF_FFF8;
/// End of a chain; as entry 1 also "clean" and "no errors".
pub(super) const END_OF_CHAIN: u32 = 0x0FFF_FFFF;
/// The least clusters that make a file system FAT32 ([FAT] "FAT Type Determination").
pub(super) const MIN_CLUSTERS: u32 = 65_525;
/// The most clusters: numbers from 0x0FFFFFF7 on mean something else.
pub(super) const MAX_CLUSTERS: u32 = 0x0FFF_FFF5;
/// Bytes of a directory slot.
pub(super) const SLOT_BYTES: usize = 32;
/// Slots of a directory: 2 MiB.
pub(super) const MAX_SLOTS: u32 = 65_536;

/// ATTR_VOLUME_ID.
pub(super) const ATTRIBUTE_LABEL: u8 = 0x08;
/// ATTR_DIRECTORY.
pub(super) const ATTRIBUTE_DIRECTORY: u8 = 0x10;
/// ATTR_ARCHIVE.
pub(super) const ATTRIBUTE_ARCHIVE: u8 = 0x20;
/// ATTR_LONG_NAME.
pub(super) const ATTRIBUTE_LONG_NAME: u8 = 0x0F;
/// LAST_LONG_ENTRY.
pub(super) const LAST_LONG_ENTRY: u8 = 0x40;

/// Boot sector with the FAT32 parameter block ([FAT] "Boot Sector and BPB").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BootSector {
    pub(super) jump: [u8; 3],
    pub(super) oem_name: [u8; 8],
    pub(super) bytes_per_sector: U16,
    pub(super) sectors_per_cluster: u8,
    /// Sectors before the first table.
    pub(super) reserved_sectors: U16,
    pub(super) fat_count: u8,
    pub(super) root_entries_16: U16,
    pub(super) total_sectors_16: U16,
    pub(super) media: u8,
    pub(super) fat_sectors_16: U16,
    pub(super) sectors_per_track: U16,
    pub(super) heads: U16,
    pub(super) hidden_sectors: U32,
    pub(super) total_sectors: U32,
    /// Sectors of one table.
    pub(super) fat_sectors: U32,
    pub(super) extended_flags: U16,
    pub(super) version: U16,
    pub(super) root_cluster: U32,
    pub(super) fsinfo_sector: U16,
    pub(super) backup_boot_sector: U16,
    pub(super) reserved: [u8; 12],
    pub(super) drive_number: u8,
    pub(super) reserved_1: u8,
    pub(super) extended_signature: u8,
    pub(super) volume_id: U32,
    pub(super) volume_label: [u8; 11],
    pub(super) file_system_type: [u8; 8],
    pub(super) boot_code: [u8; 420],
    pub(super) signature: [u8; 2],
}
const _: () = assert!(size_of::<BootSector>() == 512);

/// FSInfo sector ([FAT] "FAT32 FSInfo Sector Structure").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FsInfo {
    pub(super) lead_signature: U32,
    pub(super) reserved_1: [u8; 480],
    pub(super) structure_signature: U32,
    /// Free clusters.
    pub(super) free_count: U32,
    /// Where to look for a free cluster.
    pub(super) next_free: U32,
    pub(super) reserved_2: [u8; 12],
    pub(super) trail_signature: U32,
}
const _: () = assert!(size_of::<FsInfo>() == 512);

/// Directory entry ([FAT] "FAT 32 Byte Directory Entry Structure").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ShortEntry {
    pub(super) name: [u8; 11],
    pub(super) attributes: u8,
    pub(super) nt_reserved: u8,
    /// Units of 10 ms past the two seconds of `created_time`.
    pub(super) created_fine: u8,
    pub(super) created_time: U16,
    pub(super) created_date: U16,
    pub(super) accessed_date: U16,
    pub(super) cluster_high: U16,
    pub(super) modified_time: U16,
    pub(super) modified_date: U16,
    pub(super) cluster_low: U16,
    /// In bytes; 0 for directories.
    pub(super) size: U32,
}
const _: () = assert!(size_of::<ShortEntry>() == SLOT_BYTES);

/// A piece of a long name ([FAT] "FAT Long Directory Entries").
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LongEntry {
    pub(super) order: u8,
    pub(super) units_1: [U16; 5],
    pub(super) attributes: u8,
    pub(super) entry_type: u8,
    /// Of the short name it belongs to.
    pub(super) checksum: u8,
    pub(super) units_2: [U16; 6],
    pub(super) cluster_low: U16,
    pub(super) units_3: [U16; 2],
}
const _: () = assert!(size_of::<LongEntry>() == SLOT_BYTES);

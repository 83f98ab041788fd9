//! The structures on disk, from the UEFI specification 2.10, chapter 5.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "EFI PART" ([UEFI] 5.3.2).
pub(super) const SIGNATURE: [u8; 8] = *b"EFI PART";
/// Revision 1.0 ([UEFI] 5.3.2).
pub(super) const REVISION: u32 = 0x0001_0000;
/// Bytes of the header that are defined ([UEFI] 5.3.2).
pub(super) const HEADER_SIZE: u32 = 92;
/// Bytes of an entry ([UEFI] 5.3.3).
pub(super) const ENTRY_SIZE: u32 = 128;
/// Entries that are written.
pub(super) const ENTRY_COUNT: u32 = 128;
/// Type of the partition in a protective MBR ([UEFI] 5.2.3).
pub(super) const MBR_TYPE_PROTECTIVE: u8 = 0xEE;
/// End of an MBR ([UEFI] 5.2.1).
pub(super) const MBR_SIGNATURE: [u8; 2] = [0x55, 0xAA];

/// GPT header ([UEFI] 5.3.2, table 5.5).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) signature: [u8; 8],
    pub(super) revision: U32,
    /// In bytes.
    pub(super) header_size: U32,
    /// Over `header_size` bytes with this field zero.
    pub(super) header_crc32: U32,
    pub(super) reserved: U32,
    /// Sector of this header.
    pub(super) my_lba: U64,
    /// Sector of the other header.
    pub(super) alternate_lba: U64,
    /// First sector that a partition may use.
    pub(super) first_usable_lba: U64,
    /// Last sector that a partition may use.
    pub(super) last_usable_lba: U64,
    pub(super) disk_guid: [u8; 16],
    /// First sector of the entry array.
    pub(super) entry_array_lba: U64,
    pub(super) entry_count: U32,
    /// In bytes, 128 times a power of two.
    pub(super) entry_size: U32,
    /// Over the whole array.
    pub(super) entry_array_crc32: U32,
}
const _: () = assert!(size_of::<Header>() == 92);

/// GPT partition entry ([UEFI] 5.3.3, table 5.6).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Entry {
    /// All zero where the entry is unused.
    pub(super) partition_type: [u8; 16],
    pub(super) guid: [u8; 16],
    /// First sector.
    pub(super) first_lba: U64,
    /// Last sector, inclusive.
    pub(super) last_lba: U64,
    pub(super) attributes: U64,
    /// UTF-16, ended by a zero unless it fills the field.
    pub(super) name: [U16; 36],
}
const _: () = assert!(size_of::<Entry>() == 128);

/// A partition record of an MBR ([UEFI] 5.2.1, table 5.2).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct MbrRecord {
    pub(super) boot_indicator: u8,
    pub(super) start_chs: [u8; 3],
    pub(super) os_type: u8,
    pub(super) end_chs: [u8; 3],
    pub(super) start_lba: U32,
    pub(super) sector_count: U32,
}
const _: () = assert!(size_of::<MbrRecord>() == 16);

/// Master boot record ([UEFI] 5.2.1, table 5.1).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Mbr {
    pub(super) boot_code: [u8; 440],
    pub(super) disk_signature: U32,
    pub(super) unknown: U16,
    pub(super) records: [MbrRecord; 4],
    pub(super) signature: [u8; 2],
}
const _: () = assert!(size_of::<Mbr>() == 512);

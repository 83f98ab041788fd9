//! The on-disk structures of VHDX, as [MS-VHDX] lays them out: no input or output and no checks,
//! layouts and constants alone.
//!
//! All integers are little-endian, all GUIDs in the mixed-endian form of Windows, which is what
//! [`Guid`] converts.

use blockio::{KIB, MIB, TIB};
use uuid::Uuid;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes in a page of the log and of the block allocation table.
pub(super) const PAGE: u64 = 4 * KIB;
/// [`PAGE`] as the size of an array.
pub(super) const PAGE_SIZE: usize = 4096;
/// Entries of the block allocation table in a page.
pub(super) const ENTRIES_PER_PAGE: u64 = PAGE / 8;

/// [MS-VHDX] 2.2: the header section is the first mebibyte.
pub(super) const HEADER_SECTION: u64 = MIB;
/// [MS-VHDX] 2.2: where the two headers stand.
pub(super) const HEADER_OFFSETS: [u64; 2] = [64 * KIB, 128 * KIB];
/// [MS-VHDX] 2.2: where the two region tables stand.
pub(super) const REGION_TABLE_OFFSETS: [u64; 2] = [192 * KIB, 256 * KIB];
/// Bytes of a region table and of a metadata table.
pub(super) const TABLE_SIZE: u64 = 64 * KIB;
/// Most entries of a region or metadata table.
pub(super) const MAX_TABLE_ENTRIES: u64 = 2047;
/// [MS-VHDX] 2.6.2.2: largest virtual disk.
pub(super) const MAX_DISK_SIZE: u64 = 64 * TIB;
/// Largest file that is opened: four times what the largest disk with all its tables needs.
pub(super) const MAX_FILE_LENGTH: u64 = 256 * TIB;
/// [MS-VHDX] 2.6.2.1: smallest block.
pub(super) const MIN_BLOCK_SIZE: u64 = MIB;
/// [MS-VHDX] 2.6.2.1: largest block.
pub(super) const MAX_BLOCK_SIZE: u64 = 256 * MIB;
/// Largest log that is replayed; Windows and every known writer make logs of 1 MiB.
pub(super) const MAX_LOG_LENGTH: u64 = 64 * MIB;
/// [MS-VHDX] 2.6.2: largest metadata item.
pub(super) const MAX_METADATA_ITEM: u64 = MIB;
/// [MS-VHDX] 2.5: sectors that one sector bitmap block describes.
pub(super) const SECTORS_PER_BITMAP: u64 = 1 << 23;

/// [MS-VHDX] 2.1: `vhdxfile`.
pub(super) const FILE_SIGNATURE: [u8; 8] = *b"vhdxfile";
/// [MS-VHDX] 2.2.2: `head`.
pub(super) const HEADER_SIGNATURE: [u8; 4] = *b"head";
/// [MS-VHDX] 2.2.3.1: `regi`.
pub(super) const REGION_SIGNATURE: [u8; 4] = *b"regi";
/// [MS-VHDX] 2.6.1.1: `metadata`.
pub(super) const METADATA_SIGNATURE: [u8; 8] = *b"metadata";
/// [MS-VHDX] 2.3.1.1: `loge`.
pub(super) const LOG_ENTRY_SIGNATURE: [u8; 4] = *b"loge";
/// [MS-VHDX] 2.3.1.2: `zero`.
pub(super) const ZERO_DESCRIPTOR_SIGNATURE: [u8; 4] = *b"zero";
/// [MS-VHDX] 2.3.1.3: `desc`.
pub(super) const DATA_DESCRIPTOR_SIGNATURE: [u8; 4] = *b"desc";
/// [MS-VHDX] 2.3.1.4: `data`.
pub(super) const DATA_SECTOR_SIGNATURE: [u8; 4] = *b"data";

/// [MS-VHDX] 2.2.2: version of the format in the header.
pub(super) const FORMAT_VERSION: u16 = 1;
/// [MS-VHDX] 2.2.2: version of the log in the header.
pub(super) const LOG_VERSION: u16 = 0;

/// [MS-VHDX] 2.2.3.2: the region that holds the block allocation table.
pub(super) const BAT_REGION: Uuid = Uuid::from_u128(0x2DC2_7766_F623_4200_9D64_115E_9BFD_4A08);
/// [MS-VHDX] 2.2.3.2: the region that holds the metadata.
pub(super) const METADATA_REGION: Uuid = Uuid::from_u128(0x8B7C_A206_4790_4B9A_B8FE_575F_050F_886E);
/// [MS-VHDX] 2.6.2.1: file parameters.
pub(super) const FILE_PARAMETERS: Uuid = Uuid::from_u128(0xCAA1_6737_FA36_4D43_B3B6_33F0_AA44_E76B);
/// [MS-VHDX] 2.6.2.2: virtual disk size.
pub(super) const VIRTUAL_DISK_SIZE: Uuid =
    Uuid::from_u128(0x2FA5_4224_CD1B_4876_B211_5DBE_D83B_F4B8);
/// [MS-VHDX] 2.6.2.3: virtual disk identifier (SCSI page 83).
pub(super) const VIRTUAL_DISK_ID: Uuid = Uuid::from_u128(0xBECA_12AB_B2E6_4523_93EF_C309_E000_C746);
/// [MS-VHDX] 2.6.2.4: logical sector size.
pub(super) const LOGICAL_SECTOR_SIZE: Uuid =
    Uuid::from_u128(0x8141_BF1D_A96F_4709_BA47_F233_A8FA_AB5F);
/// [MS-VHDX] 2.6.2.5: physical sector size.
pub(super) const PHYSICAL_SECTOR_SIZE: Uuid =
    Uuid::from_u128(0xCDA3_48C7_445D_4471_9CC9_E988_5251_C556);
/// [MS-VHDX] 2.6.2.6: parent locator.
pub(super) const PARENT_LOCATOR: Uuid = Uuid::from_u128(0xA8D3_5F2D_B30B_454D_ABF7_D3D8_4834_AB0C);
/// [MS-VHDX] 2.6.2.6.2: the type of a locator that names a VHDX parent.
pub(super) const VHDX_LOCATOR: Uuid = Uuid::from_u128(0xB04A_EFB7_D19E_4A81_B789_25B8_E944_5913);

/// [MS-VHDX] 2.6.2.1: blocks stay allocated (a fixed image).
pub(super) const LEAVE_BLOCKS_ALLOCATED: u32 = 1;
/// [MS-VHDX] 2.6.2.1: the image has a parent.
pub(super) const HAS_PARENT: u32 = 2;

/// [MS-VHDX] 2.6.1.2: the item belongs to the user, not to the format.
pub(super) const ITEM_IS_USER: u32 = 1;
/// [MS-VHDX] 2.6.1.2: the item speaks of the virtual disk, not of the file.
pub(super) const ITEM_IS_VIRTUAL_DISK: u32 = 2;
/// [MS-VHDX] 2.6.1.2: who does not know the item must not open the file.
pub(super) const ITEM_IS_REQUIRED: u32 = 4;

/// A GUID as Windows stores it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub(super) struct Guid([u8; 16]);

impl Guid {
    /// All zeros: no log.
    pub(super) const NIL: Self = Self([0; 16]);
}

impl From<Uuid> for Guid {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.to_bytes_le())
    }
}

impl From<Guid> for Uuid {
    fn from(guid: Guid) -> Self {
        Uuid::from_bytes_le(guid.0)
    }
}

/// [MS-VHDX] 2.1 File Type Identifier; the rest of its 64 KiB is zero.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct FileTypeIdentifier {
    /// [`FILE_SIGNATURE`].
    pub(super) signature: [u8; 8],
    /// The program that made the file, UTF-16, ended by a zero.
    pub(super) creator: [U16; 256],
}

/// [MS-VHDX] 2.2.2 Headers.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    /// [`HEADER_SIGNATURE`].
    pub(super) signature: [u8; 4],
    /// CRC-32C of the whole structure with this field zero.
    pub(super) checksum: U32,
    /// The current header is the valid one with the higher number.
    pub(super) sequence_number: U64,
    /// Changes with the first change of the file in a session.
    pub(super) file_write_guid: Guid,
    /// Changes with the first change of what a guest sees.
    pub(super) data_write_guid: Guid,
    /// Identifies the live log; nil where there is none.
    pub(super) log_guid: Guid,
    /// [`LOG_VERSION`].
    pub(super) log_version: U16,
    /// [`FORMAT_VERSION`].
    pub(super) version: U16,
    /// Bytes of the log, a multiple of 1 MiB.
    pub(super) log_length: U32,
    /// Byte offset of the log in the file, a multiple of 1 MiB.
    pub(super) log_offset: U64,
    /// Zero.
    pub(super) reserved: [u8; 4016],
}

/// [MS-VHDX] 2.2.3.1 Region Table Header.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RegionTableHeader {
    /// [`REGION_SIGNATURE`].
    pub(super) signature: [u8; 4],
    /// CRC-32C of the 64 KiB with this field zero.
    pub(super) checksum: U32,
    /// Number of entries, at most [`MAX_TABLE_ENTRIES`].
    pub(super) entry_count: U32,
    /// Zero.
    pub(super) reserved: U32,
}

/// [MS-VHDX] 2.2.3.2 Region Table Entry.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawRegionEntry {
    /// What the region is.
    pub(super) guid: Guid,
    /// Byte offset in the file, a multiple of 1 MiB.
    pub(super) file_offset: U64,
    /// Bytes, a multiple of 1 MiB.
    pub(super) length: U32,
    /// Bit 0: who does not know the region must not open the file.
    pub(super) required: U32,
}

/// [MS-VHDX] 2.3.1.1 Log Entry Header.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct LogEntryHeader {
    /// [`LOG_ENTRY_SIGNATURE`].
    pub(super) signature: [u8; 4],
    /// CRC-32C of the whole entry with this field zero.
    pub(super) checksum: U32,
    /// Bytes of the entry, a multiple of 4 KiB.
    pub(super) entry_length: U32,
    /// Byte offset in the log of the oldest entry that must be replayed with this one.
    pub(super) tail: U32,
    /// One more than the entry before; never zero.
    pub(super) sequence_number: U64,
    /// Number of descriptors.
    pub(super) descriptor_count: U32,
    /// Zero.
    pub(super) reserved: U32,
    /// The log that the entry belongs to.
    pub(super) log_guid: Guid,
    /// Bytes the file is known to have: a shorter file was cut off and must not be replayed.
    pub(super) flushed_file_offset: U64,
    /// Bytes the file needs for everything that is referenced after this entry.
    pub(super) last_file_offset: U64,
}

/// [MS-VHDX] 2.3.1.2 and 2.3.1.3: zero and data descriptors, which differ in two fields.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawDescriptor {
    /// [`ZERO_DESCRIPTOR_SIGNATURE`] or [`DATA_DESCRIPTOR_SIGNATURE`].
    pub(super) signature: [u8; 4],
    /// Data: the last 4 bytes of the page. Zero: reserved.
    pub(super) trailing: [u8; 4],
    /// Data: the first 8 bytes of the page. Zero: bytes to make zero, a multiple of 4 KiB.
    pub(super) leading: [u8; 8],
    /// Byte offset in the file, a multiple of 4 KiB.
    pub(super) file_offset: U64,
    /// Equals that of the entry's header.
    pub(super) sequence_number: U64,
}

/// [MS-VHDX] 2.3.1.4 Data Sector.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct DataSector {
    /// [`DATA_SECTOR_SIGNATURE`].
    pub(super) signature: [u8; 4],
    /// Upper half of the entry's sequence number.
    pub(super) sequence_high: U32,
    /// The page without its first 8 and last 4 bytes.
    pub(super) data: [u8; 4084],
    /// Lower half of the entry's sequence number.
    pub(super) sequence_low: U32,
}

/// [MS-VHDX] 2.6.1.1 Metadata Table Header.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct MetadataTableHeader {
    /// [`METADATA_SIGNATURE`].
    pub(super) signature: [u8; 8],
    /// Zero.
    pub(super) reserved: U16,
    /// Number of entries, at most [`MAX_TABLE_ENTRIES`].
    pub(super) entry_count: U16,
    /// Zero.
    pub(super) reserved2: [u8; 20],
}

/// [MS-VHDX] 2.6.1.2 Metadata Table Entry.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawMetadataEntry {
    /// What the item is.
    pub(super) item_id: Guid,
    /// Byte offset from the start of the metadata region, at least 64 KiB.
    pub(super) offset: U32,
    /// Bytes of the item, at most 1 MiB.
    pub(super) length: U32,
    /// [`ITEM_IS_USER`] and the others.
    pub(super) flags: U32,
    /// Zero.
    pub(super) reserved: U32,
}

/// [MS-VHDX] 2.6.2.1 File Parameters.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct FileParameters {
    /// Bytes of a payload block, a power of two from 1 to 256 MiB.
    pub(super) block_size: U32,
    /// [`LEAVE_BLOCKS_ALLOCATED`] and [`HAS_PARENT`].
    pub(super) flags: U32,
}

/// [MS-VHDX] 2.6.2.6.1 Parent Locator Header.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct ParentLocatorHeader {
    /// [`VHDX_LOCATOR`].
    pub(super) locator_type: Guid,
    /// Zero.
    pub(super) reserved: U16,
    /// Number of pairs.
    pub(super) key_value_count: U16,
}

/// [MS-VHDX] 2.6.2.6.2 Parent Locator Entry; offsets count from the start of the locator.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct ParentLocatorEntry {
    /// Byte offset of the key.
    pub(super) key_offset: U32,
    /// Byte offset of the value.
    pub(super) value_offset: U32,
    /// Bytes of the key.
    pub(super) key_length: U16,
    /// Bytes of the value.
    pub(super) value_length: U16,
}

const _: () = assert!(size_of::<FileTypeIdentifier>() == 520);
const _: () = assert!(size_of::<RawHeader>() == 4096);
const _: () = assert!(size_of::<RegionTableHeader>() == 16);
const _: () = assert!(size_of::<RawRegionEntry>() == 32);
const _: () = assert!(size_of::<LogEntryHeader>() == 64);
const _: () = assert!(size_of::<RawDescriptor>() == 32);
const _: () = assert!(size_of::<DataSector>() == 4096);
const _: () = assert!(size_of::<MetadataTableHeader>() == 32);
const _: () = assert!(size_of::<RawMetadataEntry>() == 32);
const _: () = assert!(size_of::<FileParameters>() == 8);
const _: () = assert!(size_of::<ParentLocatorHeader>() == 20);
const _: () = assert!(size_of::<ParentLocatorEntry>() == 12);

/// A count or offset as the index of a slice; what does not fit becomes an index no slice has.
pub(super) fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The length of a slice as a number of bytes.
pub(super) fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// CRC-32C of a structure whose checksum field stands at byte 4, with that field taken as zero.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let (head, rest) = bytes.split_at(bytes.len().min(8));
    let crc = crc32c::crc32c(&head[..head.len().min(4)]);
    crc32c::crc32c_append(crc32c::crc32c_append(crc, &[0; 4]), rest)
}

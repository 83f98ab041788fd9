//! What stands on an NTFS 3.1 volume, byte for byte: structures and constants, nothing else.
//!
//! NTFS has no public specification of its own layout. The sources are [MS-FSCC] (attributes,
//! reparse data), [MS-DTYP] (security descriptors, times) and volumes formatted by Windows, against
//! which the tests compare.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes between two words of an update sequence, whatever the sector size.
pub(super) const FIXUP_STRIDE: usize = 512;
/// The update sequence number of everything written here; any number but zero serves.
pub(super) const UPDATE_SEQUENCE_NUMBER: u16 = 1;
/// Bytes of the boot area, the file `$Boot`.
pub(super) const BOOT_AREA_SIZE: u64 = 8192;
/// Bytes of an index block.
pub(super) const INDEX_BLOCK_SIZE: usize = 4096;

/// First sector of the volume; its copy stands in the last sector of the partition.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct BootSector {
    pub jump: [u8; 3],
    pub oem_id: [u8; 8],
    /// Bytes.
    pub sector_size: U16,
    /// Sectors, or 256 minus the exponent of two above 128 sectors.
    pub cluster_size: u8,
    pub unused1: [u8; 7],
    pub media: u8,
    pub unused2: [u8; 2],
    pub sectors_per_track: U16,
    pub heads: U16,
    /// Sectors before the partition.
    pub hidden_sectors: U32,
    pub unused3: U32,
    /// Drive number 0x80 and three constants.
    pub signature: U32,
    /// Sectors of the partition without the last one, which holds the copy.
    pub total_sectors: U64,
    /// Cluster of `$MFT`.
    pub mft: U64,
    /// Cluster of `$MFTMirr`.
    pub mft_mirror: U64,
    /// Clusters, or minus the exponent of two in bytes.
    pub record_size: u8,
    pub unused4: [u8; 3],
    /// Clusters, or minus the exponent of two in bytes.
    pub index_block_size: u8,
    pub unused5: [u8; 3],
    pub serial: U64,
    pub checksum: U32,
    pub code: [u8; 426],
    pub end_mark: [u8; 2],
}
const _: () = assert!(size_of::<BootSector>() == 512);

/// Head of a file record; the update sequence follows.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RecordHeader {
    pub magic: [u8; 4],
    pub fixup_offset: U16,
    /// Words of the update sequence: the number itself, and one for each stride.
    pub fixup_count: U16,
    pub log_sequence_number: U64,
    pub sequence: U16,
    /// Names of the file, each `$FILE_NAME` counted.
    pub links: U16,
    pub attributes_offset: U16,
    pub flags: U16,
    /// Bytes in use with the end mark, a multiple of eight.
    pub used: U32,
    /// Bytes of the record.
    pub allocated: U32,
    /// Reference of the base record; zero in a base record.
    pub base: U64,
    /// Larger than every instance number in the record.
    pub next_instance: U16,
    pub number_high: U16,
    pub number: U32,
}
const _: () = assert!(size_of::<RecordHeader>() == 0x30);

/// The record is in use.
pub(super) const RECORD_IN_USE: u16 = 0x1;
/// The record is a directory.
pub(super) const RECORD_DIRECTORY: u16 = 0x2;
/// The record lies in `$Extend`.
pub(super) const RECORD_EXTENSION: u16 = 0x4;
/// The record has an index other than `$I30`.
pub(super) const RECORD_VIEW_INDEX: u16 = 0x8;
/// Ends the attributes of a record.
pub(super) const ATTRIBUTES_END: u32 = 0xFFFF_FFFF;

/// Head of every attribute.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct AttributeHeader {
    pub kind: U32,
    /// Bytes of the attribute in the record, a multiple of eight.
    pub length: U32,
    pub non_resident: u8,
    /// UTF-16 units.
    pub name_length: u8,
    pub name_offset: U16,
    pub flags: U16,
    pub instance: U16,
}
const _: () = assert!(size_of::<AttributeHeader>() == 0x10);

/// What follows the head of a resident attribute.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ResidentHeader {
    pub value_length: U32,
    pub value_offset: U16,
    /// Whether an index holds the value: set for `$FILE_NAME`.
    pub indexed: u8,
    pub unused: u8,
}
const _: () = assert!(size_of::<ResidentHeader>() == 8);

/// What follows the head of a non-resident attribute. A sparse one has the total allocated size, 64
/// bits, after it.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct NonResidentHeader {
    pub first_vcn: U64,
    pub last_vcn: U64,
    pub runs_offset: U16,
    pub compression_unit: U16,
    pub unused: U32,
    /// Bytes of all clusters, holes counted.
    pub allocated: U64,
    pub size: U64,
    pub initialized: U64,
}
const _: () = assert!(size_of::<NonResidentHeader>() == 0x30);

/// Attribute flags: the method of compression.
pub(super) const ATTRIBUTE_COMPRESSED_MASK: u16 = 0x00FF;
/// Attribute flag: the clusters hold encrypted data.
pub(super) const ATTRIBUTE_ENCRYPTED: u16 = 0x4000;
/// Attribute flag: the run list has holes.
pub(super) const ATTRIBUTE_SPARSE: u16 = 0x8000;

/// `$STANDARD_INFORMATION` as NTFS 1.2 has it; Windows keeps it for the root and `$Boot`.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct StandardInformation {
    pub created: U64,
    pub modified: U64,
    pub changed: U64,
    pub accessed: U64,
    /// [MS-FSCC] 2.6.
    pub attributes: U32,
    pub max_versions: U32,
    pub version: U32,
    pub class: U32,
}
const _: () = assert!(size_of::<StandardInformation>() == 0x30);

/// In the version of a directory, since Windows 10 1803: names in it that differ in case only are
/// different names (FILE_CS_FLAG_CASE_SENSITIVE_DIR of [MS-FSCC] 2.4.8). Where it is stored is
/// documented by the parser `dfir_ntfs` of M. Suhanov.
pub(super) const DIRECTORY_IS_CASE_SENSITIVE: u32 = 1;

/// What NTFS 3 adds to `$STANDARD_INFORMATION`.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct StandardInformation3 {
    pub owner: U32,
    /// Key of the security descriptor in `$Secure`.
    pub security: U32,
    pub quota: U64,
    pub update_sequence_number: U64,
}
const _: () = assert!(size_of::<StandardInformation3>() == 0x18);

/// `$FILE_NAME`, and the key of a directory's index; the name follows.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FileNameHeader {
    pub parent: U64,
    pub created: U64,
    pub modified: U64,
    pub changed: U64,
    pub accessed: U64,
    pub allocated: U64,
    pub size: U64,
    pub attributes: U32,
    /// Reparse tag, or the size of extended attributes.
    pub tag: U32,
    /// UTF-16 units.
    pub name_length: u8,
    pub name_space: u8,
}
const _: () = assert!(size_of::<FileNameHeader>() == 0x42);

/// Name space of names without an 8.3 partner.
pub(super) const NAME_SPACE_POSIX: u8 = 0;
/// Name space of names with an 8.3 partner.
pub(super) const NAME_SPACE_WIN32: u8 = 1;
/// Name space of 8.3 names with a partner.
pub(super) const NAME_SPACE_DOS: u8 = 2;
/// Name space of names that are their own 8.3 partner.
pub(super) const NAME_SPACE_WIN32_AND_DOS: u8 = 3;

/// File attributes [MS-FSCC] 2.6 that this crate sets itself.
pub(super) const FILE_HIDDEN_SYSTEM: u32 = 0x06;
pub(super) const FILE_SPARSE: u32 = 0x200;
pub(super) const FILE_REPARSE_POINT: u32 = 0x400;
/// In `$FILE_NAME` alone: the record is a directory.
pub(super) const FILE_NAME_DIRECTORY: u32 = 0x1000_0000;
/// The record has a view index.
pub(super) const FILE_VIEW_INDEX: u32 = 0x2000_0000;

/// Head of `$INDEX_ROOT`; an [`IndexHeader`] follows.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct IndexRootHeader {
    /// Type of the attribute indexed, or zero.
    pub attribute: U32,
    pub collation: U32,
    /// Bytes of a block.
    pub block_size: U32,
    /// Units of child numbers in a block.
    pub units_per_block: u8,
    pub unused: [u8; 3],
}
const _: () = assert!(size_of::<IndexRootHeader>() == 0x10);

/// Head of the entries of a node; offsets count from its own start.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct IndexHeader {
    pub entries_offset: U32,
    pub used: U32,
    pub allocated: U32,
    pub flags: u8,
    pub unused: [u8; 3],
}
const _: () = assert!(size_of::<IndexHeader>() == 0x10);

/// Index node flag: its entries have children.
pub(super) const INDEX_NODE_HAS_CHILDREN: u8 = 1;

/// Head of an index block; an [`IndexHeader`] follows, then the update sequence.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct IndexBlockHeader {
    pub magic: [u8; 4],
    pub fixup_offset: U16,
    pub fixup_count: U16,
    pub log_sequence_number: U64,
    /// Its own number, in the unit of child numbers.
    pub number: U64,
}
const _: () = assert!(size_of::<IndexBlockHeader>() == 0x18);

/// Head of an index entry; the key follows, then data, and at the end the child's number.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct IndexEntryHeader {
    /// File reference in a directory; in a view index offset and length of the data, 16 bits each.
    pub reference: U64,
    pub length: U16,
    pub key_length: U16,
    pub flags: U16,
    pub unused: U16,
}
const _: () = assert!(size_of::<IndexEntryHeader>() == 0x10);

/// Index entry flag: a child's number stands at its end.
pub(super) const ENTRY_HAS_CHILD: u16 = 1;
/// Index entry flag: the last of its node, without a key.
pub(super) const ENTRY_IS_LAST: u16 = 2;

/// An entry of `$ATTRIBUTE_LIST`; the name of the attribute follows, and zeros up to a multiple of
/// eight bytes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct AttributeListEntry {
    pub kind: U32,
    pub length: U16,
    pub name_length: u8,
    pub name_offset: u8,
    pub first_vcn: U64,
    pub record: U64,
    pub instance: U16,
}
const _: () = assert!(size_of::<AttributeListEntry>() == 0x1A);

/// `$VOLUME_INFORMATION`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct VolumeInformation {
    pub unused: U64,
    pub major: u8,
    pub minor: u8,
    pub flags: U16,
}
const _: () = assert!(size_of::<VolumeInformation>() == 12);

/// Volume flag of Windows 10: no 8.3 names are made.
pub(super) const VOLUME_NO_SHORT_NAMES: u16 = 0x0080;

/// A row of `$AttrDef`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct AttributeDefinition {
    pub name: [U16; 64],
    pub kind: U32,
    pub display: U32,
    pub collation: U32,
    pub flags: U32,
    pub min_size: U64,
    pub max_size: U64,
}
const _: () = assert!(size_of::<AttributeDefinition>() == 160);

/// Head of a security descriptor in `$SDS`; also the data of its entries in `$SDH` and `$SII`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SecurityEntryHeader {
    pub hash: U32,
    pub id: U32,
    pub offset: U64,
    /// Bytes of this head and the descriptor.
    pub length: U32,
}
const _: () = assert!(size_of::<SecurityEntryHeader>() == 20);

/// `$UpCase:$Info`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct UpcaseInfo {
    pub length: U64,
    pub crc: U64,
    pub os_major: U32,
    pub os_minor: U32,
    pub os_build: U32,
    pub unused: U32,
}
const _: () = assert!(size_of::<UpcaseInfo>() == 0x20);

/// Head of reparse data ([MS-FSCC] 2.1.2.1).
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ReparseHeader {
    pub tag: U32,
    pub length: U16,
    pub unused: U16,
}
const _: () = assert!(size_of::<ReparseHeader>() == 8);

/// Head of a symbolic link's reparse data ([MS-FSCC] 2.1.2.4); the path buffer follows.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SymlinkHeader {
    pub substitute_offset: U16,
    pub substitute_length: U16,
    pub print_offset: U16,
    pub print_length: U16,
    pub flags: U32,
}
const _: () = assert!(size_of::<SymlinkHeader>() == 12);

/// Defaults of a quota, the data of `$Quota:$Q`; the owner's SID may follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct QuotaEntry {
    pub version: U32,
    pub flags: U32,
    pub used: U64,
    pub changed: U64,
    pub threshold: U64,
    pub limit: U64,
    pub exceeded: U64,
}
const _: () = assert!(size_of::<QuotaEntry>() == 48);

/// Types of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AttributeKind {
    StandardInformation,
    AttributeList,
    FileName,
    SecurityDescriptor,
    VolumeName,
    VolumeInformation,
    Data,
    IndexRoot,
    IndexAllocation,
    Bitmap,
    ReparsePoint,
}

impl AttributeKind {
    /// The number on disk.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::StandardInformation => 0x10,
            Self::AttributeList => 0x20,
            Self::FileName => 0x30,
            Self::SecurityDescriptor => 0x50,
            Self::VolumeName => 0x60,
            Self::VolumeInformation => 0x70,
            Self::Data => 0x80,
            Self::IndexRoot => 0x90,
            Self::IndexAllocation => 0xA0,
            Self::Bitmap => 0xB0,
            Self::ReparsePoint => 0xC0,
        }
    }
}

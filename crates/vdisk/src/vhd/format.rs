//! The structures of a VHD as they stand in the file; no checks, no input or output.
//!
//! "Virtual Hard Disk Image Format Specification", version 1.0, 11 October 2006 (called VHD in
//! the rules that errors name). All integers are big-endian.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes in a sector, whatever the guest's sector size: VHD knows no other.
pub(crate) const SECTOR: u64 = 512;
/// Bytes in a footer.
pub(crate) const FOOTER_LEN: u64 = 512;
/// Bytes in the footer of versions before Virtual PC 2004: the last reserved byte is missing.
pub(crate) const OLD_FOOTER_LEN: u64 = 511;
/// Bytes in a dynamic disk header.
pub(crate) const HEADER_LEN: u64 = 1024;
/// Cookie of a footer.
pub(crate) const FOOTER_COOKIE: [u8; 8] = *b"conectix";
/// Cookie of a dynamic disk header.
pub(crate) const HEADER_COOKIE: [u8; 8] = *b"cxsparse";
/// Version 1.0, of the footer and of the dynamic disk header.
pub(crate) const VERSION: u32 = 0x0001_0000;
/// The bit of `features` that must always be set.
pub(crate) const FEATURE_RESERVED: u32 = 0x0000_0002;
/// A data offset that leads nowhere.
pub(crate) const NO_OFFSET: u64 = u64::MAX;
/// A block that has no place in the file.
pub(crate) const UNALLOCATED: u32 = u32::MAX;
/// Largest disk: 2040 GiB, what the specification, Windows and qemu-img allow.
pub(crate) const MAX_DISK: u64 = 2040 * blockio::GIB;
/// Seconds from 1970-01-01 to 2000-01-01, where the time stamps of VHD begin.
pub(crate) const EPOCH_UNIX: u64 = 946_684_800;

/// `Disk Type` of a footer.
pub(crate) const TYPE_FIXED: u32 = 2;
/// `Disk Type` of a footer.
pub(crate) const TYPE_DYNAMIC: u32 = 3;
/// `Disk Type` of a footer.
pub(crate) const TYPE_DIFFERENCING: u32 = 4;

/// The footer: last in every VHD, and once more at 0 in dynamic and differencing ones.
///
/// VHD "Hard Disk Footer Format".
#[derive(Clone, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawFooter {
    pub(crate) cookie: [u8; 8],
    pub(crate) features: U32,
    pub(crate) file_format_version: U32,
    /// Bytes from the start of the file to the dynamic disk header; [`NO_OFFSET`] in fixed disks.
    pub(crate) data_offset: U64,
    /// Seconds since 2000-01-01 UTC.
    pub(crate) time_stamp: U32,
    pub(crate) creator_application: [u8; 4],
    /// Major version in the upper half, minor in the lower.
    pub(crate) creator_version: U32,
    pub(crate) creator_host_os: [u8; 4],
    /// Bytes of the disk when it was created.
    pub(crate) original_size: U64,
    /// Bytes of the disk.
    pub(crate) current_size: U64,
    pub(crate) cylinders: U16,
    pub(crate) heads: u8,
    pub(crate) sectors_per_track: u8,
    pub(crate) disk_type: U32,
    /// One's complement of the sum of all other bytes.
    pub(crate) checksum: U32,
    pub(crate) unique_id: [u8; 16],
    pub(crate) saved_state: u8,
    pub(crate) reserved: [u8; 427],
}

/// The header of dynamic and differencing disks. VHD "Dynamic Disk Header Format".
#[derive(Clone, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawHeader {
    pub(crate) cookie: [u8; 8],
    /// Unused, [`NO_OFFSET`].
    pub(crate) data_offset: U64,
    /// Bytes from the start of the file to the block allocation table.
    pub(crate) table_offset: U64,
    pub(crate) header_version: U32,
    /// Entries of the block allocation table: one a block of the disk.
    pub(crate) max_table_entries: U32,
    /// Bytes of data in a block, without its sector bitmap.
    pub(crate) block_size: U32,
    /// One's complement of the sum of all other bytes.
    pub(crate) checksum: U32,
    pub(crate) parent_unique_id: [u8; 16],
    /// Seconds since 2000-01-01 UTC; Windows writes 0.
    pub(crate) parent_time_stamp: U32,
    pub(crate) reserved1: U32,
    /// Name of the parent in UTF-16, big-endian unlike the locators.
    pub(crate) parent_unicode_name: [u8; 512],
    pub(crate) parent_locators: [RawLocator; 8],
    pub(crate) reserved2: [u8; 256],
}

/// Where a name of the parent stands. VHD "Dynamic Disk Header Format", parent locator entries.
#[derive(Clone, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawLocator {
    pub(crate) platform_code: [u8; 4],
    /// Room for the name: in sectors by the specification, in bytes by Windows.
    pub(crate) platform_data_space: U32,
    /// Bytes of the name.
    pub(crate) platform_data_length: U32,
    pub(crate) reserved: U32,
    /// Bytes from the start of the file.
    pub(crate) platform_data_offset: U64,
}

const _: () = assert!(size_of::<RawFooter>() == 512);
const _: () = assert!(size_of::<RawLocator>() == 24);
const _: () = assert!(size_of::<RawHeader>() == 1024);

/// Checksum of footers and headers: one's complement of the byte sum, the field itself left out.
pub(crate) fn checksum(bytes: &[u8], field: [u8; 4]) -> u32 {
    let sum = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)))
    };
    !sum(bytes).wrapping_sub(sum(&field))
}

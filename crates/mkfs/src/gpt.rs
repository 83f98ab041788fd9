//! The GUID partition table: written with one partition, read with suspicion. Disks that have only
//! a master boot record are read too.
//!
//! ```text
//!   LBA 0            protective MBR
//!   LBA 1            header            --+
//!   LBA 2..          entry array         |  each copy carries its own checksums
//!   1 MiB            the partition       |
//!   ...              entry array         |
//!   last LBA         header            --+
//! ```

mod checksum;
mod format;
mod mbr;
mod read;
pub(crate) mod resize;
mod write;

use blockio::{ByteRange, SectorSize};
use uuid::Uuid;

pub use mbr::mbr_partitions;
pub(crate) use mbr::mbr_records;
pub(crate) use read::usable;
pub use read::{fuzz_gpt, partitions};
pub use write::write;

/// Partition type "basic data": NTFS, FAT and ReFS on Windows
/// (EBD0A0A2-B9E5-4433-87C0-68B6B72699C7).
pub const BASIC_DATA: Uuid = Uuid::from_u128(0xEBD0_A0A2_B9E5_4433_87C0_68B6_B726_99C7);

/// Where partitions begin and end: what Windows and Linux tools align to.
const ALIGNMENT_BYTES: u64 = blockio::MIB;

/// Bytes of the entry array that is written: 128 entries of 128 bytes, the least that UEFI allows.
const ENTRY_ARRAY_BYTES: u64 = 16 * 1024;

/// The partition to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSpec {
    /// Its name, at most 36 UTF-16 code units.
    pub name: String,
    /// Its own identifier.
    pub guid: Uuid,
    /// What it holds; [`BASIC_DATA`] for Windows file systems.
    pub partition_type: Uuid,
}

/// A partition that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionEntry {
    /// The bytes of the disk it occupies.
    pub range: ByteRange,
    /// What it holds.
    pub partition_type: Uuid,
    /// Its own identifier.
    pub guid: Uuid,
    /// Its name; what is not UTF-16 is replaced.
    pub name: String,
    /// Attribute bits (UEFI 5.3.3).
    pub attributes: u64,
}

/// Sectors of an entry array of `bytes` bytes.
fn array_sectors(bytes: u64, sector: SectorSize) -> u64 {
    bytes.div_ceil(sector.bytes())
}

#[cfg(test)]
mod tests;

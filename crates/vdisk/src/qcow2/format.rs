//! The structures of qcow2 as they stand in the file; no checks, no input or output. All integers are
//! big-endian.

use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// qcow2 "Header": `QFI` and a byte.
pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Bytes of the header of version 2.
pub(super) const V2_LEN: u64 = 72;
/// Bytes of the header of version 3 that every such image has.
pub(super) const V3_LEN: u64 = 104;
/// Smallest and largest cluster, as bits.
pub(super) const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// Largest table of the first level, as QEMU limits it.
pub(super) const MAX_L1_BYTES: u64 = 32 * blockio::MIB;
/// Largest disk that is read and made.
pub(super) const MAX_DISK: u64 = 64 * blockio::TIB;
/// Longest name of a backing file.
pub(super) const MAX_BACKING_NAME: u32 = 1023;

/// Incompatible feature: the counts of references may be wrong.
pub(super) const DIRTY: u64 = 1;
/// Incompatible feature: the image is known to be damaged.
pub(super) const CORRUPT: u64 = 1 << 1;
/// Incompatible feature: the data are in another file.
pub(super) const EXTERNAL_DATA: u64 = 1 << 2;
/// Incompatible feature: clusters are not packed with deflate.
pub(super) const COMPRESSION: u64 = 1 << 3;
/// Incompatible feature: entries of the second level have subclusters.
pub(super) const EXTENDED_L2: u64 = 1 << 4;

/// Header extension: the format of the backing file.
pub(super) const BACKING_FORMAT: u32 = 0xE279_2ACA;

/// Entry: the cluster's count of references is one.
pub(super) const COPIED: u64 = 1 << 63;
/// Entry of the second level: the cluster is packed.
pub(super) const COMPRESSED: u64 = 1 << 62;
/// Entry of the second level: the cluster reads as zeros.
pub(super) const ZERO: u64 = 1;
/// Bits of an entry that are the offset of a cluster.
pub(super) const OFFSET: u64 = 0x00FF_FFFF_FFFF_FE00;

/// qcow2 "Header", version 2 and the fields that version 3 adds.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawHeader {
    /// [`MAGIC`].
    pub(super) magic: [u8; 4],
    /// 2 or 3.
    pub(super) version: U32,
    /// Byte offset of the backing file's name, which is not ended; 0 where there is none.
    pub(super) backing_offset: U64,
    /// Bytes of that name.
    pub(super) backing_size: U32,
    /// A cluster has 2 to the power of this many bytes.
    pub(super) cluster_bits: U32,
    /// Bytes of the disk.
    pub(super) size: U64,
    /// 0 for none, 1 for AES, 2 for LUKS.
    pub(super) crypt_method: U32,
    /// Entries of the table of the first level.
    pub(super) l1_size: U32,
    /// Byte offset of that table, a multiple of a cluster.
    pub(super) l1_offset: U64,
    /// Byte offset of the table of counts.
    pub(super) refcount_offset: U64,
    /// Clusters of that table.
    pub(super) refcount_clusters: U32,
    /// Number of internal snapshots.
    pub(super) snapshots: U32,
    /// Byte offset of the first of them.
    pub(super) snapshots_offset: U64,
    /// Version 3: [`DIRTY`] and the others.
    pub(super) incompatible: U64,
    /// Version 3: features that need not be known.
    pub(super) compatible: U64,
    /// Version 3: features that whoever writes and does not know them clears.
    pub(super) autoclear: U64,
    /// Version 3: a count has 2 to the power of this many bits.
    pub(super) refcount_order: U32,
    /// Version 3: bytes of the header.
    pub(super) header_length: U32,
}

const _: () = assert!(size_of::<RawHeader>() == 104);

//! What Unix says of files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use cap_std::fs::{Metadata, MetadataExt};
use mkfs::Attributes;

use super::name::BYTE_AREA;

/// Bytes in the unit of `st_blocks`.
const STAT_BLOCK_BYTES: u64 = 512;

/// UTF-8 as UTF-16; what is not UTF-8 becomes U+F000 plus the byte, as Cygwin has it.
pub(super) fn units_of(name: &OsStr) -> (Vec<u16>, bool) {
    let mut units = Vec::with_capacity(name.len());
    let mut is_mapped = false;
    for chunk in name.as_bytes().utf8_chunks() {
        units.extend(chunk.valid().encode_utf16());
        for byte in chunk.invalid() {
            units.push(BYTE_AREA + u16::from(*byte));
            is_mapped = true;
        }
    }
    (units, is_mapped)
}

/// Unix has none of the attributes.
pub(super) fn attributes(_metadata: &Metadata) -> Attributes {
    Attributes::NONE
}

/// Bytes that may hold data; fewer than the size where the file has holes.
pub(super) fn allocated_bytes(metadata: &Metadata) -> u64 {
    let allocated = metadata.blocks().saturating_mul(STAT_BLOCK_BYTES);
    // Small files may lie in their inode, without a block.
    if allocated == 0 && metadata.len() <= 64 * 1024 {
        return metadata.len();
    }
    allocated.min(metadata.len())
}

/// Whether the file may have holes.
pub(super) fn may_have_holes(metadata: &Metadata) -> bool {
    metadata.blocks().saturating_mul(STAT_BLOCK_BYTES) < metadata.len()
}

//! What Unix says of files.

use std::collections::VecDeque;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use cap_std::fs::{Dir, Metadata, MetadataExt};
use mkfs::Attributes;

use rustix::fs::{Mode, OFlags, fgetxattr, flistxattr, openat};
use rustix::io::Errno;

use super::name::BYTE_AREA;
use super::{FileIdentity, HostStream};

/// Extended attributes that become streams, and what their names begin with.
const USER_ATTRIBUTES: &[u8] = b"user.";
/// Bytes of a list of extended attributes, and of one value, that Linux allows at most.
const MAX_XATTR_BYTES: usize = 64 * 1024;
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

/// Which file this is, where it has more than one name.
pub(super) fn identity(metadata: &Metadata) -> Option<FileIdentity> {
    (!metadata.is_dir() && metadata.nlink() > 1).then(|| (metadata.dev(), metadata.ino()))
}

/// The extended attributes `user.*` of a directory, in the order of their names.
pub(super) fn directory_streams(directory: &Dir) -> io::Result<VecDeque<HostStream>> {
    // The handle at hand may be one for paths alone.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    streams(&openat(directory, ".", flags, Mode::empty())?)
}

/// The extended attributes `user.*` of an open file, in the order of their names.
pub(super) fn streams(file: &impl AsFd) -> io::Result<VecDeque<HostStream>> {
    let mut list = vec![0; MAX_XATTR_BYTES];
    let length = match flistxattr(file, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(error) => return Err(error.into()),
    };
    let list = list.get(..length).unwrap_or_default();
    let mut names: Vec<&[u8]> = list
        .split_inclusive(|byte| *byte == 0)
        .filter(|name| name.starts_with(USER_ATTRIBUTES))
        .collect();
    names.sort_unstable();
    let mut streams = VecDeque::new();
    for name in names {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        let mut value = vec![0; MAX_XATTR_BYTES];
        let length = match fgetxattr(file, name, &mut value[..]) {
            Ok(length) => length,
            // Removed meanwhile.
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error.into()),
        };
        value.truncate(length);
        let own = name.to_bytes().get(USER_ATTRIBUTES.len()..);
        let own = OsStr::from_bytes(own.unwrap_or_default());
        streams.push_back(HostStream {
            path: own.to_string_lossy().into_owned(),
            name: units_of(own).0,
            value,
        });
    }
    Ok(streams)
}

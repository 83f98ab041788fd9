//! What Windows says of files.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::windows::ffi::OsStrExt;

use cap_std::fs::{Dir, Metadata, MetadataExt};
use mkfs::Attributes;

use super::{FileIdentity, HostStream};

/// FILE_ATTRIBUTE_SPARSE_FILE.
const SPARSE: u32 = 0x200;

/// The name's own code units.
pub(super) fn units_of(name: &OsStr) -> (Vec<u16>, bool) {
    (name.encode_wide().collect(), false)
}

/// The attributes that a tree can carry, but not ARCHIVE: a new file has it whatever its source
/// says, and on the host it tells of backups there, not of the tree. Nor NORMAL, by which a source
/// says that all attributes are known.
pub(super) fn attributes(metadata: &Metadata) -> Attributes {
    let not_taken = Attributes::ARCHIVE.with(Attributes::NORMAL);
    Attributes::from_bits(metadata.file_attributes() & !not_taken.bits())
}

/// Bytes that may hold data; what a sparse file really holds is not said here.
pub(super) fn allocated_bytes(metadata: &Metadata) -> u64 {
    if may_have_holes(metadata) {
        return 0;
    }
    metadata.len()
}

/// Whether the file may have holes.
pub(super) fn may_have_holes(metadata: &Metadata) -> bool {
    metadata.file_attributes() & SPARSE != 0
}

/// Hard links are not recognised here: each name is a file of its own.
pub(super) fn identity(_metadata: &Metadata) -> Option<FileIdentity> {
    None
}

/// Extended attributes `user.*` are of Unix alone.
pub(super) fn directory_streams(_directory: &Dir) -> io::Result<VecDeque<HostStream>> {
    Ok(VecDeque::new())
}

/// Extended attributes `user.*` are of Unix alone.
pub(super) fn streams<T>(_file: &T) -> io::Result<VecDeque<HostStream>> {
    Ok(VecDeque::new())
}

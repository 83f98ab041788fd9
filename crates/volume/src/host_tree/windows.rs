//! What Windows says of files.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::time::SystemTime;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions};
use mkfs::{Attributes, NtTime};

use super::HostStream;
use super::scan::{Facts, Kind, Look, NamePlace};

/// FILE_ATTRIBUTE_SPARSE_FILE.
const SPARSE: u32 = 0x200;

/// The name's own code units.
pub(super) fn units_of(name: &OsStr) -> (Vec<u16>, bool) {
    (name.encode_wide().collect(), false)
}

/// The order of names by their code units.
pub(super) fn order(a: &OsStr, b: &OsStr) -> Ordering {
    a.encode_wide().cmp(b.encode_wide())
}

/// Names, one behind another.
#[derive(Debug, Default)]
pub(super) struct OsNames(Vec<u16>);

impl OsNames {
    /// Adds a name.
    pub(super) fn push(&mut self, name: &OsStr) -> NamePlace {
        let start = self.0.len();
        self.0.extend(name.encode_wide());
        let end = self.0.len();
        NamePlace { start, end }
    }

    /// A name.
    pub(super) fn get(&self, place: NamePlace) -> Cow<'_, OsStr> {
        let units = self.0.get(place.start..place.end).unwrap_or_default();
        Cow::Owned(OsString::from_wide(units))
    }
}

/// The names in a directory.
pub(super) fn names(directory: &Dir) -> io::Result<Vec<OsString>> {
    let entries = directory.entries()?;
    entries.map(|entry| Ok(entry?.file_name())).collect()
}

/// What a name of a directory stands for.
pub(super) fn facts(directory: &Dir, name: &OsStr) -> io::Result<Facts> {
    let metadata = directory.symlink_metadata(name)?;
    let file_type = metadata.file_type();
    let kind = if file_type.is_dir() {
        Kind::Directory
    } else if file_type.is_symlink() {
        Kind::Symlink
    } else if file_type.is_file() {
        Kind::File
    } else {
        Kind::Special
    };
    let size = metadata.len();
    // What a sparse file really holds is not said here.
    let may_have_holes = metadata.file_attributes() & SPARSE != 0;
    Ok(Facts {
        kind,
        look: look(size, metadata.modified()?.into_std()),
        allocated: if may_have_holes { 0 } else { size },
        may_have_holes,
        attributes: attributes(&metadata),
        // Hard links are not recognised here: each name is a file of its own.
        identity: None,
    })
}

/// What an open file is now.
pub(super) fn facts_of_file(file: &File) -> io::Result<Facts> {
    use std::os::windows::fs::MetadataExt as _;
    let metadata = file.metadata()?;
    let may_have_holes = metadata.file_attributes() & SPARSE != 0;
    let size = metadata.len();
    Ok(Facts {
        kind: if metadata.is_file() {
            Kind::File
        } else {
            Kind::Special
        },
        look: look(size, metadata.modified()?),
        allocated: if may_have_holes { 0 } else { size },
        may_have_holes,
        attributes: Attributes::NONE,
        identity: None,
    })
}

fn look(size: u64, modified: SystemTime) -> Look {
    Look {
        size,
        modified: NtTime::from(modified).to_unix(),
    }
}

/// Opens a file of a directory to be read, without following a link.
pub(super) fn open_file(directory: &Dir, name: &OsStr) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No);
    Ok(directory.open_with(name, &options)?.into_std())
}

/// The attributes that a tree can carry, but not ARCHIVE: a new file has it whatever its source
/// says, and on the host it tells of backups there, not of the tree. Nor NORMAL, by which a source
/// says that all attributes are known.
fn attributes(metadata: &Metadata) -> Attributes {
    let not_taken = Attributes::ARCHIVE.with(Attributes::NORMAL);
    Attributes::from_bits(metadata.file_attributes() & !not_taken.bits())
}

/// Extended attributes `user.*` are of Unix alone.
pub(super) fn directory_streams(_directory: &Dir) -> io::Result<VecDeque<HostStream>> {
    Ok(VecDeque::new())
}

/// Extended attributes `user.*` are of Unix alone.
pub(super) fn streams<T>(_file: &T) -> io::Result<VecDeque<HostStream>> {
    Ok(VecDeque::new())
}

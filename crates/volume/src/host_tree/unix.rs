//! What Unix says of files.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use cap_std::fs::Dir;
use mkfs::Attributes;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, openat};
use rustix::io::Errno;

use super::HostStream;
use super::name::BYTE_AREA;
use super::scan::{Facts, Kind, Look, NamePlace};

/// Extended attributes that become streams, and what their names begin with.
const USER_ATTRIBUTES: &[u8] = b"user.";
/// Bytes of a list of extended attributes, and of one value, that Linux allows at most.
const MAX_XATTR_BYTES: usize = 64 * 1024;
/// Bytes in the unit of `st_blocks`.
const STAT_BLOCK_BYTES: u64 = 512;
/// Small files may lie in their inode, without a block.
const MAX_INLINE_BYTES: u64 = 64 * 1024;

/// UTF-8 as UTF-16; what is not UTF-8 becomes U+F000 plus the byte, as Cygwin has it.
pub(super) fn units_of(name: &OsStr) -> (Vec<u16>, bool) {
    let mut units = Vec::with_capacity(name.len());
    let mut is_mapped = false;
    for chunk in name.as_bytes().utf8_chunks() {
        units.extend(chunk.valid().encode_utf16());
        is_mapped |= !chunk.invalid().is_empty();
        units.extend(chunk.invalid().iter().map(mapped));
    }
    (units, is_mapped)
}

fn mapped(byte: &u8) -> u16 {
    BYTE_AREA + u16::from(*byte)
}

/// The order of names by their code units; names with the same ones by their bytes.
pub(super) fn order(a: &OsStr, b: &OsStr) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let differ = a.iter().zip(b).position(|(a, b)| a != b);
    // Behind the same bytes, ASCII stands for itself in both.
    if let Some(at) = differ
        && a[at].is_ascii()
        && b[at].is_ascii()
    {
        return a[at].cmp(&b[at]);
    }
    fn units(name: &[u8]) -> impl Iterator<Item = u16> {
        name.utf8_chunks().flat_map(|chunk| {
            let valid = chunk.valid().encode_utf16();
            valid.chain(chunk.invalid().iter().map(mapped))
        })
    }
    units(a).cmp(units(b)).then_with(|| a.cmp(b))
}

/// Names, one behind another.
#[derive(Debug, Default)]
pub(super) struct OsNames(Vec<u8>);

impl OsNames {
    /// Adds a name.
    pub(super) fn push(&mut self, name: &OsStr) -> NamePlace {
        let start = self.0.len();
        self.0.extend_from_slice(name.as_bytes());
        let end = self.0.len();
        NamePlace { start, end }
    }

    /// A name.
    pub(super) fn get(&self, place: NamePlace) -> Cow<'_, OsStr> {
        let bytes = self.0.get(place.start..place.end).unwrap_or_default();
        Cow::Borrowed(OsStr::from_bytes(bytes))
    }
}

/// The directory, open to be read: the handle at hand may be one for paths alone.
fn readable(directory: &Dir) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(directory, ".", flags, Mode::empty())
}

/// The names in a directory.
pub(super) fn names(directory: &Dir) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::new(readable(directory)?)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    Ok(names)
}

/// What a name of a directory stands for.
pub(super) fn facts(directory: &Dir, name: &OsStr) -> io::Result<Facts> {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(facts_of(&stat))
}

/// What an open file is now.
pub(super) fn facts_of_file(file: &File) -> io::Result<Facts> {
    Ok(facts_of(&rustix::fs::fstat(file)?))
}

/// Opens a file of a directory to be read, without following a link, nor waiting for a pipe that
/// may have come in its place.
pub(super) fn open_file(directory: &Dir, name: &OsStr) -> io::Result<File> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(openat(directory, name, flags, Mode::empty())?.into())
}

/// Unix has none of the attributes.
fn facts_of(stat: &Stat) -> Facts {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Special,
    };
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
    let allocated = blocks.saturating_mul(STAT_BLOCK_BYTES);
    Facts {
        kind,
        look: Look {
            size,
            modified: (
                stat.st_mtime,
                u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            ),
        },
        allocated: if allocated == 0 && size <= MAX_INLINE_BYTES {
            size
        } else {
            allocated.min(size)
        },
        may_have_holes: allocated < size,
        attributes: Attributes::NONE,
        identity: (kind != Kind::Directory && stat.st_nlink > 1)
            .then_some((stat.st_dev, stat.st_ino)),
    }
}

/// The extended attributes `user.*` of a directory, in the order of their names.
pub(super) fn directory_streams(directory: &Dir) -> io::Result<VecDeque<HostStream>> {
    streams(&readable(directory)?)
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

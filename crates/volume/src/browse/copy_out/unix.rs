//! Names and links on Unix.

use std::ffi::{OsStr, OsString};
use std::fs::FileTimes;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::time::SystemTime;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::Dir;

/// A name that cannot climb, or `None`.
fn safe(bytes: Vec<u8>) -> Option<OsString> {
    let is_safe = !bytes.is_empty()
        && bytes != b"."
        && bytes != b".."
        && !bytes.contains(&b'/')
        && !bytes.contains(&0);
    is_safe.then(|| OsString::from_vec(bytes))
}

/// The name as it is.
pub(super) fn plain_name(name: &str) -> Option<OsString> {
    safe(name.as_bytes().to_vec())
}

/// The name with what was mapped put back: U+F001 to U+F07F are characters, U+F080 to U+F0FF bytes
/// that are not UTF-8.
pub(super) fn restored_name(name: &str) -> Option<OsString> {
    safe(restored(name))
}

fn restored(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        let mapped = u32::from(character)
            .checked_sub(0xF000)
            .and_then(|value| u8::try_from(value).ok());
        match mapped {
            // "/" and NUL stand in no name.
            Some(byte) if byte != 0 && byte != b'/' => bytes.push(byte),
            _ => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// The form in which the host compares names: byte by byte.
pub(super) fn folded(name: &OsStr) -> OsString {
    name.to_owned()
}

/// Whether a target leads away from where the link stands, on Unix or on Windows.
pub(super) fn is_absolute(target: &str) -> bool {
    target.starts_with(['/', '\\']) || target.chars().nth(1) == Some(':')
}

/// The target as the host spells it.
pub(super) fn link_target(target: &str, restore: bool) -> OsString {
    if restore {
        let bytes = restored(target);
        return OsString::from_vec(bytes);
    }
    target.into()
}

/// Makes a link with that very target; one that is there is replaced.
pub(super) fn make_link(
    directory: &Dir,
    target: &OsStr,
    name: &OsStr,
    _is_directory: bool,
) -> io::Result<()> {
    match directory.symlink_contents(target, name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !directory.symlink_metadata(name)?.is_symlink() {
                return Err(error);
            }
            directory.remove_file(name)?;
            directory.symlink_contents(target, name)
        }
        made => made,
    }
}

/// The largest extended attribute of Linux (XATTR_SIZE_MAX).
pub(super) const MAX_STREAM_BYTES: u64 = 64 * 1024;

/// Keeps a named stream as an extended attribute of the user's, as ntfs-3g shows it. Of a link there
/// can be none.
pub(super) fn write_stream(
    directory: &Dir,
    name: &OsStr,
    stream: &str,
    content: &[u8],
) -> io::Result<()> {
    let mut options = cap_std::fs::OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No);
    // A folder is opened for reading too.
    let file = directory.open_with(name, &options)?;
    let attribute = format!("user.{stream}");
    rustix::fs::fsetxattr(&file, attribute, content, rustix::fs::XattrFlags::empty())?;
    Ok(())
}

/// Nothing but what all systems keep: when it was made cannot be set.
pub(super) fn with_created(times: FileTimes, _created: Option<SystemTime>) -> FileTimes {
    times
}

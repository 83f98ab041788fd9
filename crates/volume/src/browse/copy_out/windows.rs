//! Names and links on Windows.

use std::ffi::{OsStr, OsString};
use std::fs::FileTimes;
use std::io::{self, Write};
use std::os::windows::fs::FileTimesExt;
use std::time::SystemTime;

use cap_std::fs::Dir;

use crate::name::is_reserved;

/// The name, where Windows takes it for a plain one: no separator, stream or wildcard, no device,
/// nothing that is cut off at the end.
pub(super) fn plain_name(name: &str) -> Option<OsString> {
    let is_plain = !name.is_empty()
        && !name.ends_with(['.', ' '])
        && !name.contains(['<', '>', ':', '"', '/', '\\', '|', '?', '*'])
        && !name.chars().any(|character| u32::from(character) < 0x20)
        && !is_reserved(name);
    is_plain.then(|| name.into())
}

/// Names that were mapped stay so: Windows cannot hold the characters.
pub(super) fn restored_name(_name: &str) -> Option<OsString> {
    None
}

/// The form in which the host compares names: without regard to case.
pub(super) fn folded(name: &OsStr) -> OsString {
    name.to_string_lossy().to_uppercase().into()
}

/// Whether a target leads away from where the link stands.
pub(super) fn is_absolute(target: &str) -> bool {
    target.starts_with(['/', '\\']) || target.chars().nth(1) == Some(':')
}

/// The target as the host spells it.
pub(super) fn link_target(target: &str, _restore: bool) -> OsString {
    target.replace('/', "\\").into()
}

/// Makes a link with that very target.
pub(super) fn make_link(
    directory: &Dir,
    target: &OsStr,
    name: &OsStr,
    is_directory: bool,
) -> io::Result<()> {
    if is_directory {
        directory.symlink_dir(target, name)
    } else {
        directory.symlink_file(target, name)
    }
}

/// A stream that is held in memory on its way.
pub(super) const MAX_STREAM_BYTES: u64 = 16 << 20;

/// Writes a named stream.
pub(super) fn write_stream(
    directory: &Dir,
    name: &OsStr,
    stream: &str,
    content: &[u8],
) -> io::Result<()> {
    if plain_name(stream).is_none() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut whole = name.to_owned();
    whole.push(":");
    whole.push(stream);
    let mut options = cap_std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    directory.open_with(whole, &options)?.write_all(content)
}

/// The times with that of creation.
pub(super) fn with_created(times: FileTimes, created: Option<SystemTime>) -> FileTimes {
    match created {
        Some(created) => times.set_created(created),
        None => times,
    }
}

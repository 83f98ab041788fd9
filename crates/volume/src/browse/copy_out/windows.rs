//! Names and links on Windows.

use std::ffi::{OsStr, OsString};
use std::io;

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

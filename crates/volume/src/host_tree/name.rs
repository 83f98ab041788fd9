//! Names of the host as UTF-16.

use std::ffi::OsStr;

use super::platform;

/// First of the 256 code units that stand for bytes that are not Unicode.
#[cfg(unix)]
pub(super) const BYTE_AREA: u16 = 0xF000;

/// The code units of a name, and whether bytes had to be mapped.
pub(super) fn units_of(name: &OsStr) -> (Vec<u16>, bool) {
    platform::units_of(name)
}

//! The calls that differ between Unix and Windows; both files have the same functions.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(target_os = "linux")]
mod keyring;
#[cfg(target_os = "linux")]
pub(crate) use keyring::read_keyring;
#[cfg(all(unix, not(target_os = "linux")))]
mod no_keyring;
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) use no_keyring::read_keyring;
#[cfg(windows)]
mod windows_secret;
#[cfg(windows)]
pub(crate) use windows::*;
#[cfg(windows)]
pub(crate) use windows_secret::{protect, read_keyring, unprotect};

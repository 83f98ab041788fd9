//! The calls that differ between Unix and Windows; both files have the same functions.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(unix)]
pub use unix::{file_rules, plain_path, set_file_rules};
#[cfg(windows)]
pub use windows::plain_path;
#[cfg(windows)]
pub use windows_access::{file_rules, set_file_rules};
#[cfg(windows)]
pub use windows_network::network_of_system;

#[cfg(target_os = "linux")]
mod keyring;
#[cfg(target_os = "linux")]
pub(crate) use keyring::read_keyring;
#[cfg(all(unix, not(target_os = "linux")))]
mod no_keyring;
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) use no_keyring::read_keyring;
#[cfg(windows)]
mod windows_access;
#[cfg(windows)]
mod windows_network;
#[cfg(windows)]
mod windows_secret;
#[cfg(windows)]
mod windows_space;
#[cfg(windows)]
pub(crate) use windows::*;
#[cfg(windows)]
pub(crate) use windows_access::{create_root, make_private, open_to};
#[cfg(windows)]
pub(crate) use windows_secret::{protect, read_keyring, unprotect};
#[cfg(windows)]
pub(crate) use windows_space::space;

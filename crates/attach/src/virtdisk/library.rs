//! Where the functions are: loaded when they are needed, so that the rest works where they are not.

#[cfg(windows)]
#[path = "library/functions.rs"]
mod functions;
#[cfg(not(windows))]
#[path = "library/absent.rs"]
mod platform;
#[cfg(windows)]
#[path = "library/windows.rs"]
mod platform;
#[cfg(windows)]
#[path = "library/storage.rs"]
mod storage;

use std::path::Path;
use std::sync::Arc;

use super::calls::HostDisks;
use crate::sides::Fault;

/// The functions of this system, from the system's own folder and nowhere else.
///
/// # Errors
/// `Unsupported`, with what to do instead.
pub fn load_host_disks() -> Result<Arc<dyn HostDisks>, Fault> {
    platform::load(None)
}

/// All of them from the library in this file: a double for tests. Functions of the system that are none of
/// virtdisk.dll have `Double` before their names there.
///
/// # Errors
/// `Unsupported`.
pub fn load_host_disks_from(file: &Path) -> Result<Arc<dyn HostDisks>, Fault> {
    platform::load(Some(file))
}

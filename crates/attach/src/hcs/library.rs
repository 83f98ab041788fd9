//! Where computecore.dll is: loaded when it is needed, so that the rest works where it is not.

#[cfg(not(windows))]
#[path = "library/absent.rs"]
mod platform;
#[cfg(windows)]
#[path = "library/windows.rs"]
mod platform;

use std::path::Path;
use std::sync::Arc;

use crate::sides::Fault;

use super::compute_core::ComputeCore;

/// The library of the system, from the system's own folder and nowhere else.
///
/// # Errors
/// `Unsupported`, with what has to be turned on.
pub fn load_compute_core() -> Result<Arc<dyn ComputeCore>, Fault> {
    platform::load(None)
}

/// The library in this file: a double for tests.
///
/// # Errors
/// `Unsupported`.
pub fn load_compute_core_from(file: &Path) -> Result<Arc<dyn ComputeCore>, Fault> {
    platform::load(Some(file))
}

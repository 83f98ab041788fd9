//! There is no computecore.dll but on Windows.

use std::path::Path;
use std::sync::Arc;

use crate::hcs::compute_core::ComputeCore;
use crate::sides::{Fault, FaultKind};

pub(super) fn load(_file: Option<&Path>) -> Result<Arc<dyn ComputeCore>, Fault> {
    let what = "it is a part of Windows; on this system use QEMU";
    Err(Fault::new(FaultKind::Unsupported, what))
}

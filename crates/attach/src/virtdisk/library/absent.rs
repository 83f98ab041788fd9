//! No system but Windows attaches images to itself for cvol.

use std::path::Path;
use std::sync::Arc;

use crate::sides::{Fault, FaultKind};
use crate::virtdisk::HostDisks;

pub(super) fn load(_file: Option<&Path>) -> Result<Arc<dyn HostDisks>, Fault> {
    let what = "attaching an image to the host itself is done by Windows; here `cvol serve` gives it \
                to other programs over NBD, `cvol cp`, `cvol cat` and `cvol export` read it, and \
                `cvol vm run` mounts it in a machine";
    Err(Fault::new(FaultKind::Unsupported, what))
}

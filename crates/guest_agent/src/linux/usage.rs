//! How full file systems are.

use std::fs::File;

use guest_proto::{Refusal, Usage};

use super::target;
use crate::refused::failed;

pub(super) fn usage(root: &File, target: &str) -> Result<Usage, Refusal> {
    let place = target::find(root, target)?;
    let figures = rustix::fs::fstatvfs(&place).map_err(|error| failed(target, error))?;
    let bytes = |blocks: u64| blocks.saturating_mul(figures.f_frsize);
    Ok(Usage {
        total: bytes(figures.f_blocks),
        // What is kept for the superuser is free for nobody else.
        free: bytes(figures.f_bavail.min(figures.f_blocks)),
    })
}

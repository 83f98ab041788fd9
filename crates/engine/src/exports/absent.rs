//! Where there are no Unix sockets, no disk is served in the background: QEMU on Windows is not
//! supported, and HCS needs no export.

use std::path::Path;

use attach::{Fault, FaultKind};

use super::Wanted;
use crate::Engine;
use crate::machine::Machine;

/// The exports of a machine.
pub(crate) struct Exports;

fn unsupported<T>() -> Result<T, Fault> {
    Err(Fault::new(
        FaultKind::Unsupported,
        "serving disks to machines in the background is not supported on this system",
    ))
}

impl Exports {
    pub(crate) fn new(_engine: &Engine, _machine: &Machine, _program: &Path) -> Self {
        Self
    }

    pub(crate) fn start(&self, _wanted: &Wanted) -> Result<(), Fault> {
        unsupported()
    }

    pub(crate) fn stop(&self, _serial: &str) -> Result<(), Fault> {
        Ok(())
    }

    pub(crate) fn is_alive(&self, _serial: &str) -> Result<bool, Fault> {
        Ok(false)
    }
}

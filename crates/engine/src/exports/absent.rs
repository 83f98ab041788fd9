//! Where there are no Unix sockets, no disk is served in the background: QEMU on Windows is not
//! supported, and HCS needs no export.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use attach::{Fault, FaultKind};

use super::Wanted;
use crate::Engine;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::serve::ServedImage;

/// The exports of a machine.
pub(crate) struct Exports;

fn unsupported<T>() -> std::result::Result<T, Fault> {
    Err(Fault::new(
        FaultKind::Unsupported,
        "serving disks to machines in the background is not supported on this system",
    ))
}

impl Exports {
    pub(crate) fn new(_engine: &Engine, _machine: &Machine, _program: &Path) -> Self {
        Self
    }

    pub(crate) fn start(&self, _wanted: &Wanted) -> std::result::Result<(), Fault> {
        unsupported()
    }

    pub(crate) fn stop(&self, _serial: &str) -> std::result::Result<(), Fault> {
        Ok(())
    }

    pub(crate) fn is_alive(&self, _serial: &str) -> std::result::Result<bool, Fault> {
        Ok(false)
    }
}

impl Engine {
    /// Serves a disk to a machine; not on this system.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn keep_serving(
        &self,
        _machine: &str,
        _serial: &str,
        _program: &Path,
        _stopping: &AtomicBool,
    ) -> Result<()> {
        Err(absent())
    }

    /// Opens a disk for a machine; not on this system.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn serve_to_machine(&self, _machine: &str, _serial: &str) -> Result<ServedImage> {
        Err(absent())
    }
}

fn absent() -> Error {
    Error::Unsupported {
        feature: "serving disks to machines in the background on this system".to_owned(),
    }
}

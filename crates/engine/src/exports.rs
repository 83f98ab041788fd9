//! Disks that are served to a machine by processes of their own, which outlive the command that started
//! them.
//!
//! ```text
//!   attach ── starts ──> keeper ── starts, and again when it dies ──> server ── NBD ──> QEMU
//!                        holds the lock ────────── and so does ───────┘
//! ```
//!
//! In the folder of sockets of a machine a disk SERIAL has
//!
//! ```text
//!   SERIAL.nbd        the socket
//!   SERIAL.nbd-lock   held by keeper and server: what is held is served, or will be in moments
//!   SERIAL.nbd-who    in which the system itself keeps who they are: byte 0 the keeper, byte 1 the server
//!   SERIAL.nbd-log    what they complained of
//! ```
//!
//! What is to be served stands in the ledger of the machine and nowhere else. A keeper takes the lock
//! first and looks into the ledger then; whoever ends serving has written that down before he looks at
//! the lock. So a keeper that comes late, of an attachment that was undone meanwhile, finds that nobody
//! wants it and ends.
//!
//! No process number is ever believed: that one lives its lock says, and who holds a lock the system
//! says.

#![cfg_attr(
    not(unix),
    allow(dead_code, reason = "nothing is served in the background there")
)]

#[cfg(not(unix))]
mod absent;
#[cfg(unix)]
mod keeper;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod starter;
#[cfg(unix)]
mod who;

use std::path::PathBuf;

use attach::ledger::{EntryState, Ledger};
use attach::{Action, HostPath};
use vdisk::Access;

use crate::Engine;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::machine::Machine;

#[cfg(not(unix))]
pub(crate) use absent::Exports;
#[cfg(unix)]
pub(crate) use starter::Exports;

/// A disk that a machine is to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) path: HostPath,
    pub(crate) serial: String,
    pub(crate) read_only: bool,
}

/// The disks that a machine is to be served, as its ledger has them.
pub(crate) fn wanted(ledger: &Ledger) -> impl Iterator<Item = Wanted> {
    ledger.entries().iter().filter_map(|entry| {
        let is_wanted = matches!(entry.state(), EntryState::Doing | EntryState::Done);
        match entry.action() {
            Action::ServeDisk {
                path,
                serial,
                read_only,
            } if is_wanted => Some(Wanted {
                path: path.clone(),
                serial: serial.clone(),
                read_only: *read_only,
            }),
            _ => None,
        }
    })
}

impl Engine {
    /// What the ledger of a machine says of a disk; `None` where nobody wants it to be served.
    pub(crate) fn wanted_disk(&self, machine: &Machine, serial: &str) -> Result<Option<Wanted>> {
        Ok(wanted(&machine.ledger()?).find(|wanted| wanted.serial == serial))
    }

    /// Opens the disk for the machine: a volume that it has claimed, or an image file.
    pub(crate) fn open_wanted(
        &self,
        machine: &Machine,
        wanted: &Wanted,
    ) -> Result<crate::serve::Served> {
        let access = if wanted.read_only {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        };
        match self.volume_at(&wanted.path)? {
            Some(volume) => {
                let name = &volume.name;
                let holder = &machine.known.name;
                let disk = self.store()?.open_for_machine(name, access, holder)?;
                Ok(crate::serve::Served::ForWriting(disk))
            }
            None => {
                let image = ImageReference::File(PathBuf::from(wanted.path.as_str()));
                self.open_served(&image, None, wanted.read_only)
            }
        }
    }

    /// The volume whose image a path is; `None` for a path outside the store.
    ///
    /// # Errors
    /// `NotFound` for a path among the volumes that is of none.
    pub(crate) fn volume_at(&self, path: &HostPath) -> Result<Option<volume::VolumeRecord>> {
        let store = self.store()?;
        let path = std::path::Path::new(path.as_str());
        let Ok(below) = path.strip_prefix(store.root().join("volumes")) else {
            return Ok(None);
        };
        let id = below.iter().next().and_then(|name| name.to_str());
        let found = match id.and_then(volume::parse_id) {
            Some(id) => store.volume_by_id(id)?,
            None => None,
        };
        found.map(Some).ok_or_else(|| Error::InvalidRequest {
            message: format!("{} is the image of no volume", path.display()),
        })
    }
}

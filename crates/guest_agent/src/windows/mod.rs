//! Windows.
//!
//! Volumes of disks are mounted at letters and folders as Windows mounts them; shares are led to by
//! letters and links. There is no second way to say that a disk will be taken away: when its volume is
//! dismounted, nothing holds it.

mod calls;
mod disk;
pub(crate) mod hvsocket;
mod mounting;
mod place;
pub(crate) mod ports;

use std::path::{Path, PathBuf};
use std::process::Command;

use guest_proto::{
    ErrorKind, GuestKind, MountDisk, MountMemory, MountShare, MountSmb, Mounted, MountedThing,
    Refusal, Unmount, UnplugDisk, Usage,
};

use crate::book::Book;
use crate::refused::{failed, refusal};
use crate::system::System;
use place::Place;

/// A Windows system.
pub struct Windows {
    book: Book,
}

impl Windows {
    /// This system, with book kept at `book` where that is not the usual place.
    pub fn new(book: Option<&Path>) -> Self {
        let usual = || {
            let data = std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into());
            PathBuf::from(data).join("cvol-guest-agent.json")
        };
        Self {
            book: Book::open(&book.map_or_else(usual, Path::to_path_buf)),
        }
    }
}

fn unsupported<T>(what: &str) -> Result<T, Refusal> {
    let text = format!("the agent for Windows {what}");
    Err(refusal(ErrorKind::Unsupported, text))
}

impl System for Windows {
    fn kind(&self) -> GuestKind {
        GuestKind::Windows
    }

    fn kernel(&self) -> String {
        "Windows".to_owned()
    }

    fn mount_disk(&self, mount: &MountDisk) -> Result<Mounted, Refusal> {
        mounting::mount_disk(&self.book, mount)
    }

    fn mount_share(&self, mount: &MountShare) -> Result<Mounted, Refusal> {
        mounting::mount_share(&self.book, mount)
    }

    fn mount_smb(&self, mount: &MountSmb) -> Result<Mounted, Refusal> {
        mounting::mount_smb(&self.book, mount)
    }

    fn mount_memory(&self, _mount: &MountMemory) -> Result<Mounted, Refusal> {
        unsupported("mounts no memory: temporary volumes of Windows guests are disks")
    }

    fn unmount(&self, unmount: &Unmount) -> Result<(), Refusal> {
        mounting::unmount(&self.book, unmount)
    }

    fn unplug_disk(&self, _unplug: &UnplugDisk) -> Result<(), Refusal> {
        Ok(())
    }

    fn mounts(&self) -> Result<Vec<MountedThing>, Refusal> {
        let all = self.book.all().into_iter().filter(mounting::is_there);
        Ok(all
            .map(|entry| MountedThing {
                target: entry.target,
                file_system: entry.file_system,
                source: entry.source,
                read_only: entry.read_only,
            })
            .collect())
    }

    fn sync(&self) -> Result<(), Refusal> {
        let entries = self.book.all().into_iter().filter(mounting::is_there);
        for entry in entries.filter(|entry| entry.asked.starts_with("disk ") && !entry.read_only) {
            let what = format!("writing out {}", entry.target);
            disk::flush(&entry.source).map_err(|error| failed(what, error))?;
        }
        Ok(())
    }

    fn freeze(&self, _target: &str) -> Result<(), Refusal> {
        unsupported("does not freeze file systems")
    }

    fn thaw(&self, target: &str) -> Result<(), Refusal> {
        let text = format!("{target} is not frozen");
        Err(refusal(ErrorKind::NotFound, text))
    }

    fn usage(&self, target: &str) -> Result<Usage, Refusal> {
        let place = Place::parse(target)?;
        let (total, free) = calls::space(&place.root()).map_err(|error| failed(target, error))?;
        Ok(Usage {
            total,
            free: free.min(total),
        })
    }

    fn power_off(&self) -> Result<(), Refusal> {
        self.sync()?;
        let ended = Command::new("shutdown.exe")
            .args(["/s", "/t", "1"])
            .status();
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let text = format!("shutdown.exe ended with {status}");
                Err(refusal(ErrorKind::Failed, text))
            }
            Err(error) => Err(failed("shutdown.exe", error)),
        }
    }
}

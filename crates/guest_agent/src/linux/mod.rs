//! Linux.
//!
//! ```text
//!   disk_mount  share  smb  memory        what is asked for, made ready by the kernel
//!       │         │     │     │
//!   disk, contents, format   vsock        finding a disk, what is on it, formatting
//!       └────┬────┴──┬──┴─────┘
//!        filesystem  mounting             fsopen ... move_mount; once, and only where nothing is
//!                     │     │
//!                   target  book          places without links; what is ours
//! ```

mod contents;
mod disk;
mod disk_mount;
mod filesystem;
mod format;
mod freezing;
mod init;
mod memory;
mod mounting;
pub(crate) mod ports;
mod share;
mod smb;
mod target;
mod usage;
mod users;
mod vsock;

use std::fs::File;
use std::io;
use std::path::Path;

use guest_proto::{
    GuestKind, MountDisk, MountMemory, MountShare, MountSmb, Mounted, MountedThing, Refusal,
    Unmount, UnplugDisk, Usage,
};

use crate::book::Book;
use crate::system::System;
use disk::{Address, Devices};
use mounting::Places;

pub use init::be_init;

/// Where book is kept: in memory, as the mounts are.
const BOOK: &str = "/run/cvol-guest-agent.json";

/// A Linux system.
pub struct Linux {
    places: Places,
    devices: Devices,
}

impl Linux {
    /// This system, with its targets below `root` and book kept at `book`, where these are not the
    /// usual ones.
    ///
    /// # Errors
    /// Where the root cannot be opened.
    pub fn new(root: Option<&Path>, book: Option<&Path>) -> io::Result<Self> {
        Ok(Self {
            places: Places {
                root: File::open(root.unwrap_or(Path::new("/")))?,
                book: Book::open(book.unwrap_or(Path::new(BOOK))),
            },
            devices: Devices::new(Path::new("/sys"), Path::new("/dev")),
        })
    }
}

impl System for Linux {
    fn kind(&self) -> GuestKind {
        GuestKind::Linux
    }

    fn kernel(&self) -> String {
        let name = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        format!("{} {}", text(name.sysname()), text(name.release()))
    }

    fn mount_disk(&self, mount: &MountDisk) -> Result<Mounted, Refusal> {
        disk_mount::mount(&self.places, &self.devices, mount)
    }

    fn mount_share(&self, mount: &MountShare) -> Result<Mounted, Refusal> {
        share::mount(&self.places, mount)
    }

    fn mount_smb(&self, mount: &MountSmb) -> Result<Mounted, Refusal> {
        smb::mount(&self.places, mount)
    }

    fn mount_memory(&self, mount: &MountMemory) -> Result<Mounted, Refusal> {
        memory::mount(&self.places, mount)
    }

    fn unmount(&self, unmount: &Unmount) -> Result<(), Refusal> {
        // A file system whose writers wait cannot be written out.
        let _ = freezing::thaw(&self.places, &unmount.target);
        self.places.unmount(unmount)
    }

    fn unplug_disk(&self, unplug: &UnplugDisk) -> Result<(), Refusal> {
        self.devices.forget(Address {
            controller: unplug.controller,
            lun: unplug.lun,
        })
    }

    fn mounts(&self) -> Result<Vec<MountedThing>, Refusal> {
        Ok(self.places.mounts())
    }

    fn sync(&self) -> Result<(), Refusal> {
        rustix::fs::sync();
        Ok(())
    }

    fn freeze(&self, target: &str) -> Result<(), Refusal> {
        freezing::freeze(&self.places, target)
    }

    fn thaw(&self, target: &str) -> Result<(), Refusal> {
        freezing::thaw(&self.places, target)
    }

    fn usage(&self, target: &str) -> Result<Usage, Refusal> {
        usage::usage(&self.places.root, target)
    }

    fn power_off(&self) -> Result<(), Refusal> {
        init::power_off_soon()
    }
}

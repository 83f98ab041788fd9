//! Linux.

mod init;
pub(crate) mod ports;
mod target;
mod usage;
mod vsock;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use guest_proto::{
    ErrorKind, GuestKind, MountDisk, MountMemory, MountShare, MountSmb, Mounted, MountedThing,
    Refusal, Unmount, UnplugDisk, Usage,
};

use crate::refused::refusal;
use crate::system::System;

pub use init::be_init;

/// A Linux system.
pub struct Linux {
    /// What targets lie below.
    root: File,
    book: PathBuf,
}

impl Linux {
    /// This system, with its targets below `root` and book kept at `book`, where these are not the
    /// usual ones.
    ///
    /// # Errors
    /// Where the root cannot be opened.
    pub fn new(root: Option<&Path>, book: Option<&Path>) -> io::Result<Self> {
        Ok(Self {
            root: File::open(root.unwrap_or(Path::new("/")))?,
            book: book
                .unwrap_or(Path::new("/run/cvol-guest-agent.json"))
                .to_owned(),
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

    fn mount_disk(&self, _mount: &MountDisk) -> Result<Mounted, Refusal> {
        Err(refusal(ErrorKind::Unsupported, "disks"))
    }

    fn mount_share(&self, _mount: &MountShare) -> Result<Mounted, Refusal> {
        Err(refusal(ErrorKind::Unsupported, "shares"))
    }

    fn mount_smb(&self, _mount: &MountSmb) -> Result<Mounted, Refusal> {
        Err(refusal(ErrorKind::Unsupported, "smb"))
    }

    fn mount_memory(&self, _mount: &MountMemory) -> Result<Mounted, Refusal> {
        Err(refusal(ErrorKind::Unsupported, "memory"))
    }

    fn unmount(&self, _unmount: &Unmount) -> Result<(), Refusal> {
        Err(refusal(ErrorKind::Unsupported, "unmount"))
    }

    fn unplug_disk(&self, _unplug: &UnplugDisk) -> Result<(), Refusal> {
        Err(refusal(ErrorKind::Unsupported, "unplug"))
    }

    fn mounts(&self) -> Result<Vec<MountedThing>, Refusal> {
        Ok(Vec::new())
    }

    fn sync(&self) -> Result<(), Refusal> {
        rustix::fs::sync();
        Ok(())
    }

    fn freeze(&self, _target: &str) -> Result<(), Refusal> {
        Err(refusal(ErrorKind::Unsupported, "freeze"))
    }

    fn thaw(&self, _target: &str) -> Result<(), Refusal> {
        Err(refusal(ErrorKind::Unsupported, "thaw"))
    }

    fn usage(&self, target: &str) -> Result<Usage, Refusal> {
        usage::usage(&self.root, target)
    }

    fn power_off(&self) -> Result<(), Refusal> {
        init::power_off_soon()
    }
}

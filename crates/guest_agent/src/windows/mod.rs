//! Windows.

pub(crate) mod ports;

use guest_proto::{
    ErrorKind, GuestKind, MountDisk, MountMemory, MountShare, MountSmb, Mounted, MountedThing,
    Refusal, Unmount, UnplugDisk, Usage,
};

use crate::refused::refusal;
use crate::system::System;

/// A Windows system.
#[derive(Default)]
pub struct Windows;

impl Windows {
    /// This system.
    pub fn new() -> Self {
        Self
    }
}

fn unsupported<T>(what: &str) -> Result<T, Refusal> {
    let text = format!("the agent for Windows cannot do this: {what}");
    Err(refusal(ErrorKind::Unsupported, text))
}

impl System for Windows {
    fn kind(&self) -> GuestKind {
        GuestKind::Windows
    }

    fn kernel(&self) -> String {
        "Windows".to_owned()
    }

    fn mount_disk(&self, _mount: &MountDisk) -> Result<Mounted, Refusal> {
        unsupported("mount a disk")
    }

    fn mount_share(&self, _mount: &MountShare) -> Result<Mounted, Refusal> {
        unsupported("mount a share")
    }

    fn mount_smb(&self, _mount: &MountSmb) -> Result<Mounted, Refusal> {
        unsupported("mount a share")
    }

    fn mount_memory(&self, _mount: &MountMemory) -> Result<Mounted, Refusal> {
        unsupported("mount memory")
    }

    fn unmount(&self, _unmount: &Unmount) -> Result<(), Refusal> {
        unsupported("unmount")
    }

    fn unplug_disk(&self, _unplug: &UnplugDisk) -> Result<(), Refusal> {
        unsupported("unplug a disk")
    }

    fn mounts(&self) -> Result<Vec<MountedThing>, Refusal> {
        Ok(Vec::new())
    }

    fn sync(&self) -> Result<(), Refusal> {
        unsupported("write all out")
    }

    fn freeze(&self, _target: &str) -> Result<(), Refusal> {
        unsupported("freeze")
    }

    fn thaw(&self, _target: &str) -> Result<(), Refusal> {
        unsupported("thaw")
    }

    fn usage(&self, _target: &str) -> Result<Usage, Refusal> {
        unsupported("tell how full it is")
    }

    fn power_off(&self) -> Result<(), Refusal> {
        unsupported("end the machine")
    }
}

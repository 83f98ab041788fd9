//! The machine in memory: places of disks, shares, and the files that it may open.

use crate::guest::{GuestSystem, Hypervisor};
use crate::path::HostPath;
use crate::plan::Share;
use crate::sides::{DiskAttachment, Fault, FaultKind, Machine};
use crate::slots::Slot;

use super::{Answer, MountedSource, State, World, refused};

impl State {
    /// What a disk needs before it can be attached.
    fn check_opened(&self, disk: &DiskAttachment) -> Answer<()> {
        let key = disk.path.key();
        match self.platform.hypervisor {
            Hypervisor::Hcs(_) => match self.now.access.get(&key) {
                Some(write) if *write || disk.read_only => Ok(()),
                _ => refused(FaultKind::Denied, "the machine may not open the file"),
            },
            Hypervisor::Qemu => match self.now.exports.get(&disk.serial) {
                Some((file, read_only)) if *file == key && *read_only == disk.read_only => Ok(()),
                _ => refused(FaultKind::NotFound, "the disk is not served"),
            },
        }
    }

    fn lose_mounts_of(&mut self, what: &MountedSource) {
        let mounts = self.now.mounts.iter();
        let lost: Vec<String> = mounts
            .filter(|(_, mounted)| mounted.what == *what)
            .map(|(target, _)| target.clone())
            .collect();
        for target in lost {
            self.hurt(format!("what is mounted at {target} was taken away"));
        }
    }
}

impl Machine for World {
    fn grant_access(&self, path: &HostPath, write: bool) -> Result<(), Fault> {
        self.call(
            "grant-access",
            || path.to_string(),
            |state| {
                state.check_machine()?;
                let key = path.key();
                if !state.now.files.contains(&key) {
                    return refused(FaultKind::NotFound, format!("{path} is not there"));
                }
                state.now.access.insert(key, write);
                Ok(())
            },
        )
    }

    /// Access stands with the file: it is taken back whether the machine lives or not.
    fn revoke_access(&self, path: &HostPath) -> Result<(), Fault> {
        self.call(
            "revoke-access",
            || path.to_string(),
            |state| {
                let key = path.key();
                if state.now.disks.values().any(|(file, ..)| *file == key) {
                    state.hurt(format!("access to {path} was taken while it was attached"));
                }
                state.now.access.remove(&key);
                Ok(())
            },
        )
    }

    fn add_disk(&self, disk: &DiskAttachment) -> Result<(), Fault> {
        self.call(
            "add-disk",
            || disk.slot.to_string(),
            |state| {
                state.check_machine()?;
                let layout = state.platform.slot_layout();
                if disk.slot.controller >= layout.controllers || disk.slot.lun >= layout.luns {
                    return refused(FaultKind::Invalid, "the machine has no such place");
                }
                let wanted = (disk.path.key(), disk.serial.clone(), disk.read_only);
                match state.now.disks.get(&disk.slot) {
                    Some(there) if *there == wanted => return Ok(()),
                    Some(_) => return refused(FaultKind::AlreadyExists, "another disk is there"),
                    None => {}
                }
                let mut others = state.now.disks.values();
                if others.any(|(file, serial, _)| *file == wanted.0 || *serial == wanted.1) {
                    return refused(FaultKind::Busy, "the disk is attached at another place");
                }
                state.check_opened(disk)?;
                state.now.disks.insert(disk.slot, wanted);
                state.now.known_disks.insert(disk.slot);
                Ok(())
            },
        )
    }

    fn remove_disk(&self, slot: Slot, serial: &str) -> Result<(), Fault> {
        self.call(
            "remove-disk",
            || slot.to_string(),
            |state| {
                state.check_machine()?;
                match state.now.disks.get(&slot) {
                    None => return Ok(()),
                    Some((_, there, _)) if there != serial => {
                        state.hurt(format!(
                            "another disk than that at {slot} was to be removed"
                        ));
                        return refused(FaultKind::AlreadyExists, "another disk is there");
                    }
                    Some(_) => {}
                }
                state.lose_mounts_of(&MountedSource::Disk(slot));
                let is_linux = state.platform.guest == GuestSystem::Linux;
                if is_linux && state.now.known_disks.contains(&slot) {
                    state.hurt(format!("the guest still knew the disk at {slot}"));
                }
                state.now.known_disks.remove(&slot);
                state.now.disks.remove(&slot);
                Ok(())
            },
        )
    }

    fn add_share(&self, share: &Share) -> Result<(), Fault> {
        self.call(
            "add-share",
            || share.name.clone(),
            |state| {
                state.check_machine()?;
                if state.platform.transport() != Some(share.transport) {
                    return refused(FaultKind::Unsupported, "no such shares");
                }
                if !state.now.directories.contains(&share.path.key()) {
                    return refused(FaultKind::NotFound, format!("{} is not there", share.path));
                }
                let name = share.name.to_lowercase();
                match state.now.shares.get(&name) {
                    Some(there) if there == share => return Ok(()),
                    Some(_) => {
                        return refused(FaultKind::AlreadyExists, "another share is called so");
                    }
                    None => {}
                }
                state.now.shares.insert(name, share.clone());
                Ok(())
            },
        )
    }

    fn remove_share(&self, share: &Share) -> Result<(), Fault> {
        self.call(
            "remove-share",
            || share.name.clone(),
            |state| {
                state.check_machine()?;
                let name = share.name.to_lowercase();
                match state.now.shares.get(&name) {
                    None => return Ok(()),
                    Some(there) if there != share => {
                        state.hurt(format!(
                            "another share than that called {name} was to be removed"
                        ));
                        return refused(FaultKind::AlreadyExists, "another share is called so");
                    }
                    Some(_) => {}
                }
                state.lose_mounts_of(&MountedSource::Share(name.clone()));
                state.now.shares.remove(&name);
                Ok(())
            },
        )
    }
}

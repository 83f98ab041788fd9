//! The guest in memory: what is mounted where.

use crate::mount::SmbSource;
use crate::path::Target;
use crate::plan::Share;
use crate::sides::{Credentials, DiskMount, Fault, FaultKind, Guest, Unmounting};
use crate::slots::Slot;

use super::{Answer, Mounted, MountedSource, State, World, refused};

impl State {
    fn mount(&mut self, target: &Target, what: MountedSource, read_only: bool) -> Answer<()> {
        let mounted = Mounted {
            target: target.clone(),
            what,
            read_only,
        };
        for other in self.now.mounts.values() {
            if other.target.is_same_place(target) {
                return if *other == mounted {
                    Ok(())
                } else {
                    refused(FaultKind::AlreadyExists, "something else is mounted there")
                };
            }
            if other.target.lies_in(target) {
                let what = format!("it would hide {}", other.target);
                return refused(FaultKind::AlreadyExists, what);
            }
        }
        self.now.mounts.insert(target.to_string(), mounted);
        Ok(())
    }

    fn is_mounted(&self, what: &MountedSource) -> bool {
        self.now
            .mounts
            .values()
            .any(|mounted| mounted.what == *what)
    }
}

impl Guest for World {
    fn unplug_disk(&self, slot: Slot) -> Result<(), Fault> {
        self.call(
            "unplug-disk",
            || slot.to_string(),
            |state| {
                state.check_guest()?;
                if state.is_mounted(&MountedSource::Disk(slot)) {
                    return refused(FaultKind::Busy, "the disk is mounted");
                }
                state.now.known_disks.remove(&slot);
                Ok(())
            },
        )
    }

    fn mount_disk(&self, mount: &DiskMount) -> Result<(), Fault> {
        self.call(
            "mount-disk",
            || mount.target.to_string(),
            |state| {
                state.check_guest()?;
                let there = state.now.disks.get(&mount.slot);
                match there.filter(|_| state.now.known_disks.contains(&mount.slot)) {
                    Some((_, serial, read_only)) if *serial == mount.serial => {
                        if *read_only && !mount.read_only {
                            return refused(FaultKind::Denied, "the disk is read-only");
                        }
                    }
                    _ => return refused(FaultKind::NotFound, "no such disk came up"),
                }
                let what = MountedSource::Disk(mount.slot);
                state.mount(&mount.target, what, mount.read_only)
            },
        )
    }

    fn mount_share(&self, share: &Share, target: &Target) -> Result<(), Fault> {
        self.call(
            "mount-share",
            || target.to_string(),
            |state| {
                state.check_guest()?;
                let name = share.name.to_lowercase();
                if state.now.shares.get(&name) != Some(share) {
                    return refused(FaultKind::NotFound, "there is no such share");
                }
                state.mount(target, MountedSource::Share(name), share.read_only)
            },
        )
    }

    fn mount_smb(
        &self,
        source: &SmbSource,
        credentials: Option<&Credentials>,
        target: &Target,
        read_only: bool,
    ) -> Result<(), Fault> {
        self.call(
            "mount-smb",
            || target.to_string(),
            |state| {
                state.check_guest()?;
                if credentials.is_none() {
                    return refused(
                        FaultKind::Denied,
                        "the server lets nobody in without a name",
                    );
                }
                state.mount(target, MountedSource::Smb(source.unc()), read_only)
            },
        )
    }

    fn mount_memory(&self, target: &Target, size: u64) -> Result<(), Fault> {
        self.call(
            "mount-memory",
            || target.to_string(),
            |state| {
                state.check_guest()?;
                state.mount(target, MountedSource::Memory(size), false)
            },
        )
    }

    fn unmount(&self, target: &Target, how: Unmounting) -> Result<(), Fault> {
        self.call(
            "unmount",
            || target.to_string(),
            |state| {
                state.check_guest()?;
                let mut others = state.now.mounts.values();
                if let Some(inner) = others.find(|other| other.target.lies_in(target)) {
                    return refused(FaultKind::Busy, format!("{} lies in it", inner.target));
                }
                if how == Unmounting::Clean && state.busy.contains(&target.to_string()) {
                    return refused(FaultKind::Busy, "files of it are open");
                }
                let mounts = &mut state.now.mounts;
                mounts.retain(|_, mounted| !mounted.target.is_same_place(target));
                Ok(())
            },
        )
    }
}

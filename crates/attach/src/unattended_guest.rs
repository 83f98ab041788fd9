//! A guest that nobody here talks to: whoever runs the machine mounts in it himself.

use crate::mount::SmbSource;
use crate::path::Target;
use crate::plan::Share;
use crate::sides::{Credentials, DiskMount, Fault, Guest, Unmounting};
use crate::slots::Slot;

/// A guest that nobody here talks to. What is asked of it is taken for done by somebody else, who is told
/// what there is to do by [`guest_work`](crate::guest_work): mounting after attaching, unmounting before
/// detaching.
#[derive(Clone, Copy, Debug)]
pub struct UnattendedGuest;

impl Guest for UnattendedGuest {
    fn unplug_disk(&self, _slot: Slot) -> Result<(), Fault> {
        Ok(())
    }

    fn mount_disk(&self, _mount: &DiskMount) -> Result<(), Fault> {
        Ok(())
    }

    fn mount_share(&self, _share: &Share, _target: &Target) -> Result<(), Fault> {
        Ok(())
    }

    fn mount_smb(
        &self,
        _source: &SmbSource,
        _credentials: Option<&Credentials>,
        _target: &Target,
        _read_only: bool,
    ) -> Result<(), Fault> {
        Ok(())
    }

    fn mount_memory(&self, _target: &Target, _size: u64) -> Result<(), Fault> {
        Ok(())
    }

    fn unmount(&self, _target: &Target, _how: Unmounting) -> Result<(), Fault> {
        Ok(())
    }
}

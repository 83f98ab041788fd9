//! One action, as a call of one side.

use crate::plan::Action;
use crate::sides::{DiskAttachment, DiskMount, Fault, FaultKind, Unmounting};

use super::Operator;

/// Who is called for an action.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Host,
    Machine,
    Guest,
}

pub(super) fn side(action: &Action) -> Side {
    match action {
        Action::MakeDirectory(_)
        | Action::RemoveMadeDirectory(_)
        | Action::MakeImage { .. }
        | Action::RemoveImage(_)
        | Action::ServeDisk { .. }
        | Action::StopServing { .. }
        // Access stands with the file, and has to be taken back from a machine that is no more, too.
        | Action::RevokeAccess(_) => Side::Host,
        Action::GrantAccess { .. }
        | Action::AddDisk { .. }
        | Action::RemoveDisk { .. }
        | Action::AddShare(_)
        | Action::RemoveShare(_) => Side::Machine,
        Action::UnplugDisk { .. }
        | Action::MountDisk { .. }
        | Action::MountShare { .. }
        | Action::MountSmb { .. }
        | Action::MountMemory { .. }
        | Action::Unmount(_) => Side::Guest,
    }
}

impl Operator<'_> {
    /// Calls for an action once. `missing`: how many directories were missing before they were made.
    pub(super) fn call(
        &self,
        action: &Action,
        missing: Option<u32>,
        unmounting: Unmounting,
    ) -> Result<(), Fault> {
        match action {
            Action::MakeDirectory(path) => self.host.make_directory(path),
            Action::RemoveMadeDirectory(path) => match missing {
                None | Some(0) => Ok(()),
                Some(count) => self.host.remove_made_directories(path, count),
            },
            Action::MakeImage { path, size } => self.host.make_image(path, *size),
            Action::RemoveImage(path) => self.host.remove_image(path),
            Action::ServeDisk {
                path,
                serial,
                read_only,
            } => self.host.serve_disk(path, serial, *read_only),
            Action::StopServing { serial } => self.host.stop_serving(serial),
            Action::GrantAccess { path, write } => self.machine.grant_access(path, *write),
            Action::RevokeAccess(path) => self.machine.revoke_access(path),
            Action::AddDisk {
                slot,
                path,
                serial,
                read_only,
            } => self.machine.add_disk(&DiskAttachment {
                slot: *slot,
                path: path.clone(),
                serial: serial.clone(),
                read_only: *read_only,
            }),
            Action::RemoveDisk { slot, serial } => self.machine.remove_disk(*slot, serial),
            Action::AddShare(share) => self.machine.add_share(share),
            Action::RemoveShare(share) => self.machine.remove_share(share),
            Action::UnplugDisk { slot } => self.guest.unplug_disk(*slot),
            Action::Unmount(target) => self.guest.unmount(target, unmounting),
            mount => self.mount(mount),
        }
    }

    fn mount(&self, action: &Action) -> Result<(), Fault> {
        match action {
            Action::MountDisk {
                slot,
                serial,
                target,
                file_system,
                format,
                read_only,
            } => self.guest.mount_disk(&DiskMount {
                slot: *slot,
                serial: serial.clone(),
                target: target.clone(),
                file_system: *file_system,
                format: *format,
                read_only: *read_only,
            }),
            Action::MountShare { share, target } => self.guest.mount_share(share, target),
            Action::MountSmb {
                source,
                target,
                read_only,
            } => {
                let credentials = self.host.credentials(source)?;
                self.guest
                    .mount_smb(source, credentials.as_ref(), target, *read_only)
            }
            Action::MountMemory { target, size } => self.guest.mount_memory(target, *size),
            other => Err(Fault::new(
                FaultKind::Invalid,
                format!("to {other} is no mount"),
            )),
        }
    }
}

/// Whether a call that failed so may fare better later.
pub(super) fn may_pass(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Unanswered | FaultKind::Nonsense | FaultKind::Busy
    )
}

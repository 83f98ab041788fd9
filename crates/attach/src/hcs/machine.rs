//! A machine of Hyper-V, as plans are carried out on it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::guest::SchemaVersion;
use crate::path::HostPath;
use crate::plan::Share;
use crate::sides::{DiskAttachment, Fault, FaultKind, Machine};
use crate::slots::Slot;
use crate::vm_access::{AccessLists, grant, machine_identifier, revoke};

use super::compute_core::ComputeCore;
use super::requests::{disk_change, disk_removal, share_change};
use super::result::fault_of;
use super::schema::ModifySettingRequest;
use super::system::{HcsSystem, Operation, SystemState};

/// How long the service is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine by its identifier. It is opened for each call, so that one that was stopped and made again
/// under the same identifier is the one that is meant.
pub struct HcsMachine {
    core: Arc<dyn ComputeCore>,
    id: String,
    version: SchemaVersion,
    patience: Duration,
    lists: Option<Arc<dyn AccessLists>>,
    /// Changes that were given up and may come yet.
    given_up: Mutex<Vec<GivenUp>>,
}

/// A change that was given up, and how long it is still waited for before the next is begun.
struct GivenUp {
    operation: Operation,
    patience: Duration,
}

impl HcsMachine {
    /// The machine of this identifier, with documents of this version.
    pub fn new(core: Arc<dyn ComputeCore>, id: &str, version: SchemaVersion) -> Self {
        Self {
            core,
            id: id.to_owned(),
            version,
            patience: PATIENCE,
            lists: None,
            given_up: Mutex::default(),
        }
    }

    /// The same, which changes these lists where the library has no calls for access.
    #[must_use]
    pub fn with_access_lists(self, lists: Arc<dyn AccessLists>) -> Self {
        Self {
            lists: Some(lists),
            ..self
        }
    }

    /// The same, waiting so long for each call.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn modify(&self, what: &str, request: &ModifySettingRequest) -> Result<(), Fault> {
        let request = serde_json::to_string(request)
            .map_err(|error| Fault::new(FaultKind::Invalid, what).because(error))?;
        self.wait_for_changes(what)?;
        let system = HcsSystem::open(&self.core, &self.id)?;
        let changed = system.change(what, &request, self.patience);
        changed.map_err(|unchanged| {
            let given_up = unchanged.unended.map(|operation| GivenUp {
                operation,
                patience: self.patience,
            });
            self.given_up().extend(given_up);
            unchanged.fault
        })
    }

    fn given_up(&self) -> MutexGuard<'_, Vec<GivenUp>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is asked while a change that was given up may come yet: that nothing is there to be taken
    /// away would not say that nothing will be. It is waited for once more; later it is only looked at.
    fn wait_for_changes(&self, what: &str) -> Result<(), Fault> {
        let mut given_up = self.given_up();
        given_up.retain_mut(|change| {
            let patience = std::mem::take(&mut change.patience);
            !change.operation.ends_within(patience)
        });
        if given_up.is_empty() {
            return Ok(());
        }
        let id = &self.id;
        let told = format!("cannot {what}: an earlier request to {id} has not ended");
        Err(Fault::new(FaultKind::Unanswered, told))
    }
}

impl HcsMachine {
    /// The lists to be changed and whom they name, where the library has no calls for that.
    fn own_lists(&self) -> Result<Option<(&dyn AccessLists, String)>, Fault> {
        if self.core.has_access_calls() {
            return Ok(None);
        }
        let unsupported = |what: &str| Fault::new(FaultKind::Unsupported, what);
        let lists = self.lists.as_deref();
        let lists =
            lists.ok_or_else(|| unsupported("computecore.dll lets no machine open a file"))?;
        let identifier = machine_identifier(&self.id).ok_or_else(|| {
            unsupported(
                "computecore.dll of this host lets no machine open a file, and the identifier of one whose \
                 name is no GUID is known to the service alone",
            )
        })?;
        Ok(Some((lists, identifier)))
    }
}

/// What a host said of a list.
fn of_list(what: &str, error: io::Error) -> Fault {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => FaultKind::NotFound,
        io::ErrorKind::PermissionDenied => FaultKind::Denied,
        io::ErrorKind::Unsupported => FaultKind::Unsupported,
        _ => FaultKind::Failed,
    };
    Fault::new(kind, format!("cannot {what}")).because(error)
}

/// What is not there was taken away.
fn gone_already(removed: Result<(), Fault>) -> Result<(), Fault> {
    match removed {
        Err(fault) if fault.kind() == FaultKind::NotFound => Ok(()),
        removed => removed,
    }
}

impl Machine for HcsMachine {
    /// The service knows one kind of access, for reading and writing; what a disk may be used for is said
    /// when it is attached.
    fn grant_access(&self, path: &HostPath, write: bool) -> Result<(), Fault> {
        let what = format!("let the machine open {path}");
        if let Some((lists, identifier)) = self.own_lists()? {
            let granted = grant(lists, Path::new(path.as_str()), &identifier, write);
            return granted.map(drop).map_err(|error| of_list(&what, error));
        }
        let code = self.core.grant_vm_access(&self.id, path.as_str());
        if code.is_success() {
            return Ok(());
        }
        Err(fault_of(&what, code, None))
    }

    fn revoke_access(&self, path: &HostPath) -> Result<(), Fault> {
        if let Some((lists, identifier)) = self.own_lists()? {
            let what = format!("take the machine's access to {path} back");
            return match revoke(lists, Path::new(path.as_str()), &identifier) {
                // With the file went who may open it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                revoked => revoked.map(drop).map_err(|error| of_list(&what, error)),
            };
        }
        let code = self.core.revoke_vm_access(&self.id, path.as_str());
        // With the file went who may open it.
        if code.is_success() || code.kind() == FaultKind::NotFound {
            return Ok(());
        }
        // Nobody can use what is left for a machine that the service does not know any more.
        let opened = HcsSystem::open(&self.core, &self.id);
        if opened.is_err_and(|fault| fault.kind() == FaultKind::Gone) {
            return Ok(());
        }
        let what = format!("take the machine's access to {path} back");
        Err(fault_of(&what, code, None))
    }

    fn add_disk(&self, disk: &DiskAttachment) -> Result<(), Fault> {
        let what = format!("attach {} at {}", disk.path, disk.slot);
        let change = disk_change(self.version, disk.slot, disk.path.as_str(), disk.read_only);
        self.modify(&what, &change.add)
    }

    fn remove_disk(&self, slot: Slot, _serial: &str) -> Result<(), Fault> {
        let what = format!("detach the disk at {slot}");
        gone_already(self.modify(&what, &disk_removal(slot)))
    }

    /// The service does not list what a machine has, only whether it is there.
    fn has_disk(&self, _slot: Slot, _serial: &str) -> Result<Option<bool>, Fault> {
        let system = HcsSystem::open(&self.core, &self.id)?;
        if system.state(self.patience)? == SystemState::Stopped {
            let what = format!("the machine {} has stopped", self.id);
            return Err(Fault::new(FaultKind::Gone, what));
        }
        Ok(None)
    }

    fn add_share(&self, share: &Share) -> Result<(), Fault> {
        let what = format!("share {} as {}", share.path, share.name);
        self.modify(&what, &share_change(self.version, share).add)
    }

    fn remove_share(&self, share: &Share) -> Result<(), Fault> {
        let what = format!("end the share {}", share.name);
        gone_already(self.modify(&what, &share_change(self.version, share).remove))
    }
}

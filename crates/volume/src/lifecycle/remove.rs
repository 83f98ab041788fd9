//! Removing a volume: only a ready one, that nobody uses, and that is the one the row means.
//!
//! ```text
//!   image locked                 nobody uses it, nobody begins to
//!   row `deleting` + lock        committed, durable: from here on it is gone for all others
//!   folder renamed ID.removed    whoever finds it knows
//!   folder removed, durable
//!   row gone                     committed
//! ```

use super::claim::refuse_claims;
use crate::driver;
use crate::error::{Result, VolumeError};
use crate::faults;
use crate::name::VolumeName;
use crate::record::VolumeRecord;
use crate::state::{Trigger, VolumeState};
use crate::store::Store;
use crate::store::database::{Transaction, Unfinished};
use crate::store::folder::RESCUE_RECORD;
use crate::store::layers::LayerRows;
use crate::store::operation::Operation;
use crate::store::rescue;

impl Store {
    /// Removes a volume that nobody uses, with its snapshots. With `force`, one whose image or rescue record is missing
    /// or damaged goes too; a used one never does.
    ///
    /// # Errors
    /// `NotFound`, `InUse` (also while it is being created or removed elsewhere, and where other
    /// volumes stand on its snapshots), `Damaged` where
    /// the folder is not what the row means, `Io`. Where removing the files fails, the volume is
    /// gone for users, and the next process that opens the store goes on with it.
    pub fn remove(&self, name: &VolumeName, force: bool) -> Result<VolumeRecord> {
        let record = self.ready(name)?;
        self.remove_ready(record, force)
    }

    /// Removes the very volume of `record`, not another one that has its name by now.
    pub(super) fn remove_ready(&self, record: VolumeRecord, force: bool) -> Result<VolumeRecord> {
        match self.check_identity(&record) {
            Err(_) if force => {}
            result => result?,
        }
        // Told before locks are tried: whoever uses a clone holds those of what it stands on.
        self.database().write("removing a volume", |transaction| {
            refuse_dependents(transaction, &record)
        })?;
        let locks = driver::of(record.spec.kind()).lock(self, &record, force)?;
        let operation = self.begin_remove(&record)?;
        // Windows renames no folder with an open file in it. Who opens the image from here on finds
        // the row `deleting` and lets go again.
        drop(locks);
        faults::step("renaming the folder")?;
        self.folders().bury_volume_folder(record.id)?;
        self.clear(&Unfinished {
            id: record.id,
            state: VolumeState::Deleting,
            operation: operation.id(),
        })?;
        operation.end(self.folders());
        Ok(VolumeRecord {
            state: VolumeState::Deleting,
            ..record
        })
    }

    /// The record of a volume that is ready.
    pub(crate) fn ready(&self, name: &VolumeName) -> Result<VolumeRecord> {
        let record = self.get(name)?;
        match record.state {
            VolumeState::Ready => Ok(record),
            state => Err(VolumeError::Busy {
                name: record.name.as_str().to_owned(),
                state,
            }),
        }
    }

    fn begin_remove(&self, record: &VolumeRecord) -> Result<Operation> {
        faults::step("changing the row")?;
        self.database().write("removing a volume", |transaction| {
            refuse_dependents(transaction, record)?;
            let operation = Operation::begin(self.folders())?;
            let (from, trigger) = (VolumeState::Ready, Trigger::RemoveBegins);
            if transaction.advance(record.id, from, trigger, Some(operation.id()))? {
                return Ok(operation);
            }
            // Another process was faster.
            operation.end(self.folders());
            Err(match transaction.find(&record.name)? {
                Some(other) if other.id == record.id => VolumeError::Busy {
                    name: other.name.as_str().to_owned(),
                    state: other.state,
                },
                _ => crate::store::not_found(&record.name),
            })
        })
    }

    /// Checks that the folder holds the volume that the row means, by the rescue record in it.
    /// (Not by device and inode: a store that was restored from a backup has others.)
    fn check_identity(&self, record: &VolumeRecord) -> Result<()> {
        let damaged = |reason: &str| {
            VolumeError::damaged(format!("volumes/{}/{RESCUE_RECORD}", record.id), reason)
        };
        let folder = self.folders().open_volume_folder(record.id)?;
        let folder = folder.ok_or_else(|| damaged("the folder is missing"))?;
        match rescue::read(&folder)? {
            None => Err(damaged("it is missing")),
            Some(found) if found.record.id != record.id => Err(damaged("it is of another volume")),
            Some(_) => Ok(()),
        }
    }
}

/// Refuses to remove what other volumes stand on, or what is being worked on.
fn refuse_dependents(transaction: &Transaction<'_>, record: &VolumeRecord) -> Result<()> {
    refuse_claims(transaction, record)?;
    let dependents = transaction.dependents(record.id)?;
    if !dependents.is_empty() {
        let mut names: Vec<String> = dependents.iter().map(|it| it.volume.clone()).collect();
        names.dedup();
        return Err(VolumeError::HasDependents {
            name: record.name.as_str().to_owned(),
            dependents: names,
        });
    }
    if transaction.has_unfinished_layer(record.id)? {
        return Err(VolumeError::Overtaken {
            name: record.name.as_str().to_owned(),
        });
    }
    Ok(())
}

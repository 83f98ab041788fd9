//! Removing a volume: only a ready one, that nobody uses, and that is the one the row means.
//!
//! ```text
//!   image locked                 nobody uses it, nobody begins to
//!   row `deleting` + lock        committed, durable: from here on it is gone for all others
//!   folder renamed ID.removed    whoever finds it knows
//!   folder removed, durable
//!   row gone                     committed
//! ```

use vdisk::Access;

use super::open::lock_image;
use crate::error::{Result, VolumeError};
use crate::faults;
use crate::name::VolumeName;
use crate::record::VolumeRecord;
use crate::state::{Trigger, VolumeState};
use crate::store::Store;
use crate::store::database::Unfinished;
use crate::store::folder::RESCUE_RECORD;
use crate::store::operation::Operation;
use crate::store::rebuild::read_rescue_record;

impl Store {
    /// Removes a volume that nobody uses. With `force`, one whose image or rescue record is missing
    /// or damaged goes too; a used one never does.
    ///
    /// # Errors
    /// `NotFound`, `InUse` (also while it is being created or removed elsewhere), `Damaged` where
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
        let lock = match lock_image(self.folders(), &record, Access::ReadWrite) {
            Ok(lock) => Some(lock),
            Err(VolumeError::InUse { name, source }) => {
                return Err(VolumeError::InUse { name, source });
            }
            Err(_) if force => None,
            Err(error) => return Err(error),
        };
        let operation = self.begin_remove(&record)?;
        // Windows renames no folder with an open file in it. Who opens the image from here on finds
        // the row `deleting` and lets go again.
        drop(lock);
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
    pub(super) fn ready(&self, name: &VolumeName) -> Result<VolumeRecord> {
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
        match read_rescue_record(&folder)? {
            None => Err(damaged("it is missing")),
            Some(found) if found.id != record.id => Err(damaged("it is of another volume")),
            Some(_) => Ok(()),
        }
    }
}

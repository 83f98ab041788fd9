//! Taking and restoring snapshots: the head is frozen, or left, and a new one is made.
//!
//! ```text
//!   create                              restore
//!   head locked against writers         head locked against all, snapshot against removal
//!   row of a layer `creating` + lock    the same
//!   file of the layer, durable          the same
//!   one transaction: it is the head,    one transaction: it is the head, the old head is
//!     the old head has a name             `deleting`
//!   rescue record                       rescue record
//!                                       file of the old head removed, durable; its row gone
//! ```
//! Nothing is copied, so that both take the same time whatever the size. A crash before the one
//! transaction leaves the old state and a file that recovery removes; after it, the new state.

use blockio::FileAccess;
use uuid::Uuid;
use vdisk::{Access, MAX_DEPTH};

use super::claim::refuse_claims;
use super::create::unix_milliseconds;
use super::layer::{Dated, NewLayer, check_layered, no_snapshot};
use crate::error::{Result, VolumeError};
use crate::faults;
use crate::layer::{LayerRecord, LayerState, SnapshotName, SnapshotRecord, SnapshotState};
use crate::name::VolumeName;
use crate::record::VolumeRecord;
use crate::store::Store;
use crate::store::layers::LayerRows;
use crate::store::operation::Operation;

/// Most snapshots of a volume: their record must stay small.
const MAX_SNAPSHOTS: usize = 1000;

impl Store {
    /// Takes a snapshot of a volume that nobody writes: what it holds now can be read, cloned and
    /// restored under `VOLUME@SNAPSHOT` from now on.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `InUse`, `Unsupported` (a raw image, too many layers),
    /// `Damaged`, `NoSpace`, `Io`. On any error the volume is as it was.
    pub fn take_snapshot(
        &self,
        volume: &VolumeName,
        name: &SnapshotName,
    ) -> Result<SnapshotRecord> {
        self.take_snapshot_at(volume, name, None)
    }

    /// As [`Store::take_snapshot`]; with `reproducible` (seconds since 1970, `SOURCE_DATE_EPOCH`) the
    /// identifiers and times in the new image are derived from what it stands on.
    ///
    /// # Errors
    /// As for [`Store::take_snapshot`].
    pub fn take_snapshot_at(
        &self,
        volume: &VolumeName,
        name: &SnapshotName,
        reproducible: Option<u64>,
    ) -> Result<SnapshotRecord> {
        check_layered(&self.ready(volume)?)?;
        let (record, _lock) = self.lock_head_at_rest(volume)?;
        let snapshot = SnapshotRecord {
            name: name.clone(),
            layer: record.head,
            created_unix_ms: unix_milliseconds(),
            state: SnapshotState::Ready,
        };
        let parent = self.layer(record.head)?;
        let dated = Dated {
            epoch: reproducible,
            purpose: &format!("snapshot {name}"),
        };
        self.replace_head(&record, &parent, Some(&snapshot), dated)?;
        Ok(snapshot)
    }

    /// The snapshots of a volume, the oldest first.
    ///
    /// # Errors
    /// `NotFound`, `Damaged`, `Io`.
    pub fn snapshots(&self, volume: &VolumeName) -> Result<Vec<SnapshotRecord>> {
        let record = self.get(volume)?;
        self.database().snapshots(record.id)
    }

    /// Makes a volume that nobody uses what it was when the snapshot was taken. What was written
    /// since, and is in no other snapshot, is lost.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged`, `NoSpace`, `Io`. On any error the volume is as it was.
    pub fn restore_snapshot(
        &self,
        volume: &VolumeName,
        name: &SnapshotName,
    ) -> Result<SnapshotRecord> {
        let (_, snapshot) = self.usable_snapshot(volume, name)?;
        let (record, lock) = self.lock_head(volume, Access::ReadWrite)?;
        let parent = self.layer(snapshot.layer)?;
        // Against its removal; readers do not mind.
        let _frozen = self.lock_layer(&parent, record.disk()?.format(), FileAccess::ReadOnly)?;
        let again = self.database().find_snapshot(record.id, name)?;
        if again.as_ref() != Some(&snapshot) {
            return Err(no_snapshot(&record, name));
        }
        let old = self.layer(record.head)?;
        let dated = Dated {
            epoch: None,
            purpose: "restore",
        };
        let operation = self.replace_head(&record, &parent, None, dated)?;
        // Windows removes no open file. Who opens it from here on finds that it is no head.
        drop(lock);
        if let Some(operation) = operation {
            self.finish_deleting(&record, &old)?;
            operation.end(self.folders());
        }
        Ok(snapshot)
    }

    /// Makes a new head on `parent`. With a snapshot, that names the old head; without, the old head
    /// becomes `deleting`, and the operation goes on with the caller.
    fn replace_head(
        &self,
        record: &VolumeRecord,
        parent: &LayerRecord,
        snapshot: Option<&SnapshotRecord>,
        dated: Dated<'_>,
    ) -> Result<Option<Operation>> {
        let layer = LayerRecord {
            id: Uuid::new_v4(),
            volume: record.id,
            parent: Some(parent.id),
            born_as: None,
        };
        let new = NewLayer::new(&layer, parent, record.disk()?.format(), dated);
        let operation = self.begin_layer(record, &layer, snapshot)?;
        let made = self.make_and_switch(record, &new, snapshot, &operation);
        match made {
            Ok(()) if snapshot.is_none() => Ok(Some(operation)),
            Ok(()) => {
                operation.end(self.folders());
                Ok(None)
            }
            Err(error) => {
                self.undo_layer(record, &layer, operation);
                Err(error)
            }
        }
    }

    fn begin_layer(
        &self,
        record: &VolumeRecord,
        layer: &LayerRecord,
        snapshot: Option<&SnapshotRecord>,
    ) -> Result<Operation> {
        faults::step("adding the row of the layer")?;
        self.database().write("making a layer", |transaction| {
            // What serves the volume to a machine goes on with the head that it has.
            refuse_claims(transaction, record)?;
            if let Some(parent) = layer.parent
                && transaction.chain(parent)?.len() >= MAX_DEPTH
            {
                return Err(VolumeError::TooManyLayers {
                    name: record.name.as_str().to_owned(),
                    limit: MAX_DEPTH,
                });
            }
            if let Some(snapshot) = snapshot {
                if let Some(existing) = transaction.find_snapshot(record.id, &snapshot.name)? {
                    return Err(VolumeError::SnapshotExists {
                        volume: record.name.as_str().to_owned(),
                        existing: existing.name.to_string(),
                    });
                }
                if transaction.snapshots(record.id)?.len() >= MAX_SNAPSHOTS {
                    return Err(VolumeError::TooManyLayers {
                        name: record.name.as_str().to_owned(),
                        limit: MAX_SNAPSHOTS,
                    });
                }
            }
            let operation = Operation::begin(self.folders())?;
            transaction.insert_layer(layer, Some(operation.id()))?;
            Ok(operation)
        })
    }

    fn make_and_switch(
        &self,
        record: &VolumeRecord,
        new: &NewLayer<'_>,
        snapshot: Option<&SnapshotRecord>,
        operation: &Operation,
    ) -> Result<()> {
        let layer = new.layer;
        let made = self.make_layer(new)?;
        // A volume that is restored has the size that it had.
        let resized = match made.size == record.disk()?.size() {
            true => None,
            false => Some(VolumeRecord {
                spec: record.spec.with_size(made.size)?,
                ..record.clone()
            }),
        };
        faults::step("changing the head")?;
        self.database().write("changing the head", |transaction| {
            let moved = transaction.move_head(record.id, record.head, layer.id)?
                && transaction.move_layer(
                    layer.id,
                    LayerState::Creating,
                    LayerState::Ready,
                    None,
                )?;
            if !moved {
                return Err(VolumeError::Overtaken {
                    name: record.name.as_str().to_owned(),
                });
            }
            transaction.set_born_as(layer.id, made.data_identity)?;
            if let Some(resized) = &resized {
                transaction.replace(resized)?;
            }
            match snapshot {
                Some(snapshot) => transaction.insert_snapshot(record.id, snapshot)?,
                None => {
                    transaction.move_layer(
                        record.head,
                        LayerState::Ready,
                        LayerState::Deleting,
                        Some(operation.id()),
                    )?;
                }
            }
            transaction.set_stale(record.id, true)
        })?;
        // It has happened. Where the record cannot be written now, the next opening does it.
        if let Err(error) = self.refresh_rescue(record.id) {
            tracing::warn!(volume = %record.id, %error, "a rescue record stays stale");
        }
        Ok(())
    }

    /// Undoes a layer that was not made. Where that fails too, its row stays, and with the
    /// operation's lock free the next process that opens the store undoes it.
    pub(super) fn undo_layer(
        &self,
        record: &VolumeRecord,
        layer: &LayerRecord,
        operation: Operation,
    ) {
        let undone = record
            .disk()
            .and_then(|disk| self.remove_layer_files(layer, disk.format()))
            .and_then(|()| {
                self.database().write("undoing a layer", |transaction| {
                    transaction.delete_layer(layer.id)
                })
            });
        match undone {
            Ok(()) => operation.end(self.folders()),
            Err(error) => {
                tracing::warn!(layer = %layer.id, %error, "a failed layer stays to be undone");
            }
        }
    }

    /// Removes the files and then the row of a layer that is `deleting`.
    pub(super) fn finish_deleting(&self, record: &VolumeRecord, layer: &LayerRecord) -> Result<()> {
        self.remove_layer_files(layer, record.disk()?.format())?;
        faults::step("removing the row of the layer")?;
        self.database().write("removing a layer", |transaction| {
            transaction.delete_layer(layer.id)
        })
    }
}

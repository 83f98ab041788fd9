//! Removing snapshots, and freeing volumes of their base: layers that take in others.
//!
//! A snapshot whose layer nobody stands on is dropped. One with a layer of its own volume on it is
//! merged with that, the way that copies less:
//!
//! ```text
//!   up: the layer above takes in        down: the snapshot's layer takes in
//!   row of the layer above `merging`    row of the snapshot's layer `merging`, snapshot `removing`
//!   data copied                         data copied
//!   its image gets its new parent
//!   one transaction: new parent,        one transaction: it is the head,
//!     snapshot gone, its layer            snapshot gone, the layer above
//!     `deleting`                          `deleting`
//!   rescue record, file removed, row gone
//! ```
//! The volume reads the same in every state on the way. A crash on the way up costs nothing but the
//! work: the snapshot is as it was, and removing it again goes on. On the way down the snapshot is no
//! state of the volume any more from the first byte on; it is listed as `removing` until it is
//! removed again.

use blockio::{ByteCount, FileAccess, FileStorage};
use vdisk::{MergeSummary, OpenedParent, ParentNames, PullLevels};

use super::claim::refuse_claims;
use super::layer::{no_snapshot, shown};
use crate::error::{Result, VolumeError};
use crate::faults;
use crate::layer::{LayerRecord, LayerState, SnapshotName, SnapshotRecord};
use crate::name::VolumeName;
use crate::progress::{OnProgress, Progress, Stage};
use crate::record::VolumeRecord;
use crate::store::Store;
use crate::store::database::Transaction;
use crate::store::layers::LayerRows;
use crate::store::operation::Operation;

/// A snapshot that was removed, or a volume that was freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeOutcome {
    /// Bytes that were copied from one layer into another.
    pub copied: ByteCount,
}

/// What a snapshot that is to be removed is merged with.
struct Neighbours {
    record: VolumeRecord,
    snapshot: SnapshotRecord,
    layer: LayerRecord,
    above: LayerRecord,
}

impl Store {
    /// Removes a snapshot. What the volume and its other snapshots hold stays as it is; so where a
    /// layer stands on the snapshot's, the two are merged, which takes as long as copying the smaller
    /// one. May be called again after it was stopped or died.
    ///
    /// # Errors
    /// `NotFound`, `InUse` (also where clones or several layers stand on the snapshot),
    /// `Interrupted`, `Damaged`, `NoSpace`, `Io`.
    pub fn remove_snapshot(
        &self,
        volume: &VolumeName,
        name: &SnapshotName,
        progress: OnProgress<'_>,
    ) -> Result<MergeOutcome> {
        let record = self.ready(volume)?;
        record.disk()?;
        let snapshot = self.database().find_snapshot(record.id, name)?;
        let snapshot = snapshot.ok_or_else(|| no_snapshot(&record, name))?;
        let layer = self.layer(snapshot.layer)?;
        let above = self
            .database()
            .write("removing a snapshot", |transaction| {
                only_child(transaction, &record, &snapshot)
            })?;
        let Some(above) = above else {
            self.drop_snapshot(&record, &snapshot, &layer)?;
            return Ok(MergeOutcome::default());
        };
        let neighbours = Neighbours {
            record,
            snapshot,
            layer,
            above,
        };
        let summary = match self.goes_down(&neighbours)? {
            true => self.merge_down(&neighbours, progress)?,
            false => self.merge_up(&neighbours, progress)?,
        };
        Ok(MergeOutcome {
            copied: summary.copied,
        })
    }

    /// Removes a snapshot that nobody stands on.
    fn drop_snapshot(
        &self,
        record: &VolumeRecord,
        snapshot: &SnapshotRecord,
        layer: &LayerRecord,
    ) -> Result<()> {
        let format = record.disk()?.format();
        let lock = self.lock_layer(layer, format, FileAccess::ReadWrite)?;
        faults::step("removing the snapshot")?;
        let operation = self
            .database()
            .write("removing a snapshot", |transaction| {
                refuse_claims(transaction, record)?;
                let stands_on_it = only_child(transaction, record, snapshot)?.is_some();
                if stands_on_it || transaction.has_unfinished_layer(record.id)? {
                    return Err(overtaken(record));
                }
                let operation = Operation::begin(self.folders())?;
                let (from, to) = (LayerState::Ready, LayerState::Deleting);
                if !transaction.move_layer(layer.id, from, to, Some(operation.id()))? {
                    operation.end(self.folders());
                    return Err(overtaken(record));
                }
                transaction.delete_snapshot(layer.id)?;
                transaction.set_stale(record.id, true)?;
                Ok(operation)
            })?;
        // Windows removes no open file.
        drop(lock);
        self.refresh_rescue(record.id)?;
        self.finish_deleting(record, layer)?;
        operation.end(self.folders());
        Ok(())
    }

    /// Whether the snapshot's layer takes in the one above: that must be the head, since others are
    /// known to their children by what they are now, and hold less.
    fn goes_down(&self, it: &Neighbours) -> Result<bool> {
        if it.above.id != it.record.head {
            return Ok(false);
        }
        let format = it.record.disk()?.format();
        let facts = |layer: &LayerRecord| -> Result<vdisk::ImageInfo> {
            let storage = self.lock_layer(layer, format, FileAccess::ReadOnly)?;
            vdisk::info(&storage, Some(format)).map_err(self.of_layer(layer))
        };
        let (above, below) = (facts(&it.above)?, facts(&it.layer)?);
        // Once begun, there is no other way.
        let has_begun = it.snapshot.state == crate::layer::SnapshotState::Removing;
        let is_less = above.allocated < below.allocated || has_begun;
        Ok(is_less && above.virtual_size == below.virtual_size)
    }

    fn merge_up(&self, it: &Neighbours, progress: OnProgress<'_>) -> Result<MergeSummary> {
        let record = &it.record;
        let storage = self.lock_layer(&it.above, record.disk()?.format(), FileAccess::ReadWrite)?;
        let operation = self.begin_merge(record, &it.above, |transaction| {
            match only_child(transaction, record, &it.snapshot)? {
                Some(found) if found.id == it.above.id => Ok(()),
                _ => Err(overtaken(record)),
            }
        })?;
        let below = match it.layer.parent {
            Some(parent) => Some(self.layer(parent)?),
            None => None,
        };
        let levels = PullLevels::Nearest(1);
        let merged = self
            .pull(record, &it.above, storage, levels, below.as_ref(), progress)
            .and_then(|summary| {
                self.finish_up(it, below.as_ref(), &operation)?;
                Ok(summary)
            });
        let summary = match merged {
            Ok(summary) => summary,
            Err(error) => return Err(self.give_up_merge(record, &it.above, operation, error)),
        };
        self.refresh_rescue(record.id)?;
        self.finish_deleting(record, &it.layer)?;
        operation.end(self.folders());
        Ok(summary)
    }

    fn finish_up(
        &self,
        it: &Neighbours,
        below: Option<&LayerRecord>,
        operation: &Operation,
    ) -> Result<()> {
        faults::step("recording the merge")?;
        self.database().write("recording a merge", |transaction| {
            match only_child(transaction, &it.record, &it.snapshot)? {
                Some(found) if found.id == it.above.id => {}
                // A clone was made meanwhile: the snapshot stays, and nothing else stands on it.
                _ => return Err(overtaken(&it.record)),
            }
            transaction.set_parent(it.above.id, below.map(|below| below.id))?;
            transaction.move_layer(it.above.id, LayerState::Merging, LayerState::Ready, None)?;
            transaction.delete_snapshot(it.layer.id)?;
            let (from, to) = (LayerState::Ready, LayerState::Deleting);
            if !transaction.move_layer(it.layer.id, from, to, Some(operation.id()))? {
                return Err(overtaken(&it.record));
            }
            transaction.set_stale(it.record.id, true)
        })
    }

    fn merge_down(&self, it: &Neighbours, progress: OnProgress<'_>) -> Result<MergeSummary> {
        let (record, format) = (&it.record, it.record.disk()?.format());
        let above = self.lock_layer(&it.above, format, FileAccess::ReadWrite)?;
        let below = self.lock_layer(&it.layer, format, FileAccess::ReadWrite)?;
        let operation = self.begin_merge(record, &it.layer, |transaction| {
            match only_child(transaction, record, &it.snapshot)? {
                Some(found) if found.id == it.above.id => {}
                _ => return Err(overtaken(record)),
            }
            let current = transaction.volume(record.id)?;
            if current.map(|current| current.head) != Some(it.above.id) {
                return Err(overtaken(record));
            }
            // From here on it is no state of the volume.
            transaction.condemn_snapshot(it.layer.id)?;
            transaction.set_stale(record.id, true)
        })?;
        let merged = self
            .copy_down(it, above, below, progress)
            .and_then(|summary| {
                self.finish_down(it, &operation)?;
                Ok(summary)
            });
        let summary = match merged {
            Ok(summary) => summary,
            Err(error) => return Err(self.give_up_merge(record, &it.layer, operation, error)),
        };
        self.refresh_rescue(record.id)?;
        self.finish_deleting(record, &it.above)?;
        operation.end(self.folders());
        Ok(summary)
    }

    fn copy_down(
        &self,
        it: &Neighbours,
        above: FileStorage,
        below: FileStorage,
        progress: OnProgress<'_>,
    ) -> Result<MergeSummary> {
        let format = it.record.disk()?.format();
        self.refresh_rescue(it.record.id)?;
        faults::step("merging")?;
        let parent = OpenedParent {
            storage: Box::new(below),
            name: self.shown_layer(it.layer.id),
            gate: Box::new(self.gate_of(it.layer.id, format)?),
        };
        vdisk::merge_into_parent(Box::new(above), parent, format, &told(progress))
            .map_err(self.of_layer(&it.layer))
    }

    fn finish_down(&self, it: &Neighbours, operation: &Operation) -> Result<()> {
        faults::step("recording the merge")?;
        self.database().write("recording a merge", |transaction| {
            if !transaction.move_head(it.record.id, it.above.id, it.layer.id)? {
                return Err(overtaken(&it.record));
            }
            transaction.move_layer(it.layer.id, LayerState::Merging, LayerState::Ready, None)?;
            transaction.set_born_as(it.layer.id, None)?;
            transaction.delete_snapshot(it.layer.id)?;
            let (from, to) = (LayerState::Ready, LayerState::Deleting);
            if !transaction.move_layer(it.above.id, from, to, Some(operation.id()))? {
                return Err(overtaken(&it.record));
            }
            transaction.set_stale(it.record.id, true)
        })
    }

    /// Lets a volume that nobody uses take in what it has of other volumes, so that it stands on none
    /// any more. Its snapshots stay. May be called again after it was stopped or died.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Interrupted`, `Damaged`, `NoSpace`, `Io`.
    pub fn flatten(&self, volume: &VolumeName, progress: OnProgress<'_>) -> Result<MergeOutcome> {
        let record = self.ready(volume)?;
        record.disk()?;
        let mut copied = ByteCount(0);
        let layers = self.database().layers(record.id)?;
        for layer in layers {
            let Some(parent) = layer.parent else { continue };
            if self.layer(parent)?.volume == record.id {
                continue;
            }
            let storage =
                self.lock_layer(&layer, record.disk()?.format(), FileAccess::ReadWrite)?;
            let operation = self.begin_merge(&record, &layer, |_| Ok(()))?;
            let pulled = self.pull(&record, &layer, storage, PullLevels::All, None, progress);
            let merged = pulled.and_then(|summary| {
                self.settle_merge(&record, &layer)?;
                Ok(summary)
            });
            match merged {
                Ok(summary) => {
                    operation.end(self.folders());
                    copied = ByteCount(copied.get().saturating_add(summary.copied.get()));
                }
                Err(error) => return Err(self.give_up_merge(&record, &layer, operation, error)),
            }
        }
        Ok(MergeOutcome { copied })
    }

    /// Lets a layer take in what is below it, down to `below`.
    fn pull(
        &self,
        record: &VolumeRecord,
        layer: &LayerRecord,
        storage: FileStorage,
        levels: PullLevels,
        below: Option<&LayerRecord>,
        progress: OnProgress<'_>,
    ) -> Result<MergeSummary> {
        faults::step("merging")?;
        let format = record.disk()?.format();
        let gate = self.gate_of(layer.id, format)?;
        let names = match below {
            Some(below) => self.parent_names(layer.volume, below, format),
            None => ParentNames::default(),
        };
        vdisk::pull(
            Box::new(storage),
            format,
            &gate,
            levels,
            &names,
            &told(progress),
        )
        .map_err(self.of_layer(layer))
    }

    fn begin_merge(
        &self,
        record: &VolumeRecord,
        layer: &LayerRecord,
        also: impl FnOnce(&Transaction<'_>) -> Result<()>,
    ) -> Result<Operation> {
        faults::step("beginning the merge")?;
        self.database().write("beginning a merge", |transaction| {
            refuse_claims(transaction, record)?;
            // One merge at a time: between the moment an image has its new parent and that when its
            // row says so, nobody may take that parent away.
            if transaction.has_unfinished_layer(record.id)? {
                return Err(overtaken(record));
            }
            also(transaction)?;
            let operation = Operation::begin(self.folders())?;
            let (from, to) = (LayerState::Ready, LayerState::Merging);
            if !transaction.move_layer(layer.id, from, to, Some(operation.id()))? {
                operation.end(self.folders());
                return Err(overtaken(record));
            }
            Ok(operation)
        })
    }

    /// Ends a merge that failed; the error is that. Where it cannot be ended, its row stays for the
    /// next process that opens the store.
    fn give_up_merge(
        &self,
        record: &VolumeRecord,
        layer: &LayerRecord,
        operation: Operation,
        error: VolumeError,
    ) -> VolumeError {
        match self.settle_merge(record, layer) {
            Ok(()) => operation.end(self.folders()),
            Err(error) => {
                tracing::warn!(layer = %layer.id, %error, "a merge stays to be ended");
            }
        }
        error
    }

    /// Ends the merging of a layer, done or not: what it stands on now its image says.
    pub(crate) fn settle_merge(&self, record: &VolumeRecord, layer: &LayerRecord) -> Result<()> {
        faults::step("ending the merge")?;
        let format = record.disk()?.format();
        let storage = self.lock_layer(layer, format, FileAccess::ReadOnly)?;
        let state = vdisk::link_state(&storage, format).map_err(self.of_layer(layer))?;
        let gate = self.gate_of(layer.id, format)?;
        let parent = match &state.parent {
            None => None,
            Some(named) => Some(gate.find(named).map(|found| found.id).ok_or_else(|| {
                VolumeError::damaged(
                    format!("volumes/{}/{}", layer.volume, layer.file_name(format)),
                    "it stands on none of the layers below it",
                )
            })?),
        };
        self.database().write("ending a merge", |transaction| {
            transaction.set_parent(layer.id, parent)?;
            transaction.move_layer(layer.id, LayerState::Merging, LayerState::Ready, None)?;
            transaction.set_stale(record.id, true)
        })?;
        self.refresh_rescue(record.id)
    }

    /// A failure of the image of a layer.
    fn of_layer(&self, layer: &LayerRecord) -> impl Fn(vdisk::ImageError) -> VolumeError + use<'_> {
        let id = layer.id;
        move |source| match source {
            vdisk::ImageError::Cancelled => VolumeError::Interrupted,
            source => VolumeError::Image {
                name: self.shown_layer(id),
                source,
            },
        }
    }
}

/// The one layer that stands on a snapshot's, if any; refuses where there are more, or it is of
/// another volume.
fn only_child(
    transaction: &Transaction<'_>,
    record: &VolumeRecord,
    snapshot: &SnapshotRecord,
) -> Result<Option<LayerRecord>> {
    if transaction
        .snapshot_on(snapshot.layer)?
        .map(|found| found.name)
        != Some(snapshot.name.clone())
    {
        return Err(no_snapshot(record, &snapshot.name));
    }
    let children = transaction.children(snapshot.layer)?;
    match children.as_slice() {
        [] => Ok(None),
        [child] if child.layer.volume == record.id => Ok(Some(child.layer.clone())),
        _ => Err(VolumeError::HasDependents {
            name: shown(record, &snapshot.name),
            dependents: children.iter().map(ToString::to_string).collect(),
        }),
    }
}

fn overtaken(record: &VolumeRecord) -> VolumeError {
    VolumeError::Overtaken {
        name: record.name.as_str().to_owned(),
    }
}

/// The progress of an image as that of a volume.
fn told<'p>(
    progress: OnProgress<'p>,
) -> impl Fn(vdisk::Progress) -> std::ops::ControlFlow<()> + 'p {
    move |done| {
        progress(Progress {
            stage: Stage::Merging,
            bytes: done.done.get(),
            files: 0,
        })
    }
}

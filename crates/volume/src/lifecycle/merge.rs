//! Removing snapshots and freeing volumes of their base: layers that take in others.
//!
//! Every state on the way reads as before, so that a crash costs nothing but the work.

use crate::error::{Result, VolumeError};
use crate::layer::{LayerRecord, LayerState};
use crate::record::VolumeRecord;
use crate::store::Store;

impl Store {
    /// Ends the merging of a layer, done or not: what it stands on now its image says.
    pub(crate) fn settle_merge(&self, record: &VolumeRecord, layer: &LayerRecord) -> Result<()> {
        let format = record.spec.format();
        let storage = self.lock_layer(layer, format, blockio::FileAccess::ReadOnly)?;
        let failed = |source| VolumeError::Image {
            name: self.shown_layer(layer.id),
            source,
        };
        let state = vdisk::link_state(&storage, format).map_err(failed)?;
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
}

//! Where two states of volumes may differ: what the layers hold that only one of them stands on.

use blockio::{ByteRange, FileAccess};

use crate::error::{Result, VolumeError};
use crate::layer::VolumeRef;
use crate::store::Store;
use crate::store::layers::LayerRows;

impl Store {
    /// The ranges outside of which two volumes or snapshots are known to be alike, in order; `None`
    /// where nothing is known, since they share no layer. What the shared layers hold is not looked
    /// at, so that this costs what was written since, whatever the size.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged`, `Io`.
    pub fn may_differ(
        &self,
        before: &VolumeRef,
        after: &VolumeRef,
    ) -> Result<Option<Vec<ByteRange>>> {
        let (before, format) = self.layer_of(before)?;
        let (after, other_format) = self.layer_of(after)?;
        let (before, after) = {
            let database = self.database();
            (database.chain(before)?, database.chain(after)?)
        };
        let shared = before.iter().position(|layer| after.contains(layer));
        let Some(shared) = shared.filter(|_| format == other_format) else {
            return Ok(None);
        };
        let other = after
            .iter()
            .position(|layer| before.get(shared) == Some(layer));
        let own = before.iter().take(shared);
        let own = own.chain(after.iter().take(other.unwrap_or(after.len())));
        let mut ranges = Vec::new();
        for layer in own {
            let storage = self.lock_layer(layer, format, FileAccess::ReadOnly)?;
            let held = vdisk::held_ranges(Box::new(storage), format);
            ranges.extend(held.map_err(|source| VolumeError::Image {
                name: self.shown_layer(layer.id),
                source,
            })?);
        }
        ranges.sort_unstable_by_key(|range| range.start());
        Ok(Some(ranges))
    }
}

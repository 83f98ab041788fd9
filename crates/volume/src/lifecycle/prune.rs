//! Removing what nobody uses.

use super::PruneOutcome;
use crate::error::{Result, VolumeErrorKind};
use crate::filter::Filter;
use crate::state::VolumeState;
use crate::store::Store;

impl Store {
    /// Removes the ready volumes that pass and that nobody uses. With
    /// [`Filter::not_persistent_only`] these are the ones that were made with `persistent=false`,
    /// which is what a prune means where it is not told to take all.
    ///
    /// # Errors
    /// `Damaged`, `Io`. A volume that is used, or that somebody else removes meanwhile, is none.
    pub fn prune(&self, filter: &Filter) -> Result<PruneOutcome> {
        let mut outcome = PruneOutcome::default();
        for record in self.list(filter)? {
            if record.state != VolumeState::Ready {
                continue;
            }
            let (allocated, _) = self.image_sizes(&record)?;
            match self.remove_ready(record.clone(), false) {
                Ok(record) => {
                    outcome.removed.push(record);
                    outcome.reclaimed_bytes = outcome
                        .reclaimed_bytes
                        .saturating_add(allocated.unwrap_or(0));
                }
                Err(error) => match error.kind() {
                    VolumeErrorKind::InUse => outcome.in_use.push(record),
                    VolumeErrorKind::NotFound => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(outcome)
    }
}

//! Removing what nobody uses.

use super::PruneOutcome;
use crate::error::{Result, VolumeError, VolumeErrorKind};
use crate::filter::Filter;
use crate::record::VolumeRecord;
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
        let mut left = self.list(filter)?;
        left.retain(|record| record.state == VolumeState::Ready);
        loop {
            // Clones go before what they stand on, however deep; so what others stood on is tried
            // again as long as anything goes.
            let mut based_on = Vec::new();
            let before = outcome.removed.len();
            for record in left {
                if let Some(record) = self.prune_one(record, &mut outcome)? {
                    based_on.push(record);
                }
            }
            if based_on.is_empty() || outcome.removed.len() == before {
                outcome.in_use.extend(based_on);
                return Ok(outcome);
            }
            left = based_on;
        }
    }

    /// Removes one volume; gives it back if others stand on it.
    fn prune_one(
        &self,
        record: VolumeRecord,
        outcome: &mut PruneOutcome,
    ) -> Result<Option<VolumeRecord>> {
        let used = self.used_bytes(&record)?;
        match self.remove_ready(record.clone(), false) {
            Ok(record) => {
                outcome.removed.push(record);
                outcome.reclaimed_bytes = outcome.reclaimed_bytes.saturating_add(used.unwrap_or(0));
            }
            Err(VolumeError::HasDependents { .. }) => return Ok(Some(record)),
            Err(error) => match error.kind() {
                VolumeErrorKind::InUse => outcome.in_use.push(record),
                VolumeErrorKind::NotFound => {}
                _ => return Err(error),
            },
        }
        Ok(None)
    }
}

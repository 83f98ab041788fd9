//! Listing volumes: the rows and nothing else.

use crate::error::Result;
use crate::filter::Filter;
use crate::record::VolumeRecord;
use crate::state::VolumeState;
use crate::store::Store;

impl Store {
    /// The volumes that pass, by name. Without a condition on the state, the ready ones: a volume
    /// that is being made or removed is not there yet or any more.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn list(&self, filter: &Filter) -> Result<Vec<VolumeRecord>> {
        let mut records = self.database().all()?;
        records.retain(|record| {
            let wanted = filter.has_state() || record.state == VolumeState::Ready;
            wanted && filter.matches(record)
        });
        Ok(records)
    }
}

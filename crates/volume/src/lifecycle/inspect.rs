//! A record and what there is of the volume right now. Looking never waits and never changes a byte.

use super::VolumeDetails;
use crate::driver;
use crate::error::Result;
use crate::name::VolumeName;
use crate::store::Store;

impl Store {
    /// The record of a volume in whatever state, and what there is of it.
    ///
    /// # Errors
    /// `NotFound`, `Damaged` where the store is, `Io`. What is wrong with the image is told in the
    /// details.
    pub fn inspect(&self, name: &VolumeName) -> Result<VolumeDetails> {
        let record = self.get(name)?;
        Ok(VolumeDetails {
            backing: driver::of(record.spec.kind()).look(self, &record)?,
            base: self.base_name(&record)?,
            clones: self.clone_names(&record)?,
            claims: self.claims_on(record.id)?,
            layers: self.layers_of(&record)?,
            record,
        })
    }
}

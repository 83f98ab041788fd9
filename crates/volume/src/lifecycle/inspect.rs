//! A record and what its image says right now. Looking never waits and never changes a byte.

use blockio::FileAccess;

use super::open::{explain, try_lock_image};
use super::{ImageUse, VolumeDetails};
use crate::error::{Result, VolumeError};
use crate::name::VolumeName;
use crate::platform;
use crate::record::VolumeRecord;
use crate::state::VolumeState;
use crate::store::Store;
use crate::store::folder::ImageOpenError;

impl Store {
    /// The record of a volume in whatever state, and what its image says.
    ///
    /// # Errors
    /// `NotFound`, `Damaged` where the store is, `Io`. What is wrong with the image is told in the
    /// details.
    pub fn inspect(&self, name: &VolumeName) -> Result<VolumeDetails> {
        let record = self.get(name)?;
        let (allocated_bytes, file_length) = self.image_sizes(&record)?;
        let mut details = VolumeDetails {
            image_path: self
                .folders()
                .volume_file_path(record.id, &record.image_file_name()),
            image_use: ImageUse::Free,
            allocated_bytes,
            file_length,
            image: None,
            image_error: None,
            base: self.base_name(&record)?,
            clones: self.clone_names(&record)?,
            claims: self.claims_on(record.id)?,
            layers: self.layers_of(&record)?,
            record,
        };
        if details.record.state != VolumeState::Ready {
            details.image_use = ImageUse::InUse;
            return Ok(details);
        }
        let record = &details.record;
        let file = record.image_file_name();
        match try_lock_image(self.folders(), record.id, &file, FileAccess::ReadOnly) {
            Ok(storage) => match vdisk::info(&storage, Some(record.spec.format())) {
                Ok(info) => details.image = Some(info),
                Err(error) => details.image_error = Some(error.to_string()),
            },
            Err(error) => {
                details.image_use = match error {
                    ImageOpenError::InUse(_) => ImageUse::InUse,
                    ImageOpenError::Missing => ImageUse::Missing,
                    _ => ImageUse::Free,
                };
                details.image_error =
                    Some(explain(record.name.as_str(), record.id, &file, error).to_string());
            }
        }
        Ok(details)
    }

    /// Bytes that the image takes on the host, and its length; `None` where it is missing.
    pub(super) fn image_sizes(&self, record: &VolumeRecord) -> Result<(Option<u64>, Option<u64>)> {
        let (folder, file) = (record.id.to_string(), record.image_file_name());
        let found = platform::sizes_below(self.folders().volumes(), &folder, &file)
            .map_err(|error| VolumeError::host("looking at", folder, error))?;
        Ok((found.map(|found| found.0), found.map(|found| found.1)))
    }
}

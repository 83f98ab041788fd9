//! What the store knows of the layers of a volume: which there are, what names them, what they take.

use super::{Kinship, LayerDetails};
use crate::driver;
use crate::error::{Result, VolumeError};
use crate::name::VolumeName;
use crate::platform;
use crate::record::VolumeRecord;
use crate::store::Store;
use crate::store::folder;
use crate::store::layers::LayerRows;

impl Store {
    /// The layers of a volume, the lowest first; of several on one, the older first.
    ///
    /// # Errors
    /// `NotFound`, `Damaged`, `Io`.
    pub fn layers(&self, volume: &VolumeName) -> Result<Vec<LayerDetails>> {
        let record = self.get(volume)?;
        record.disk()?;
        self.layers_of(&record)
    }

    pub(super) fn layers_of(&self, record: &VolumeRecord) -> Result<Vec<LayerDetails>> {
        let (layers, snapshots) = {
            let database = self.database();
            (
                database.layers_and_states(record.id)?,
                database.snapshots(record.id)?,
            )
        };
        let folder = self.folders().open_volume_folder(record.id)?;
        let mut details = Vec::with_capacity(layers.len());
        for (layer, state) in layers {
            let file = layer.file_name(record.disk()?.format());
            let found = match &folder {
                Some(folder) => folder::metadata(folder, &file)?,
                None => None,
            };
            let found = found.filter(cap_std::fs::Metadata::is_file);
            let depth = self.database().chain(layer.id)?.len();
            let snapshot = snapshots.iter().find(|found| found.layer == layer.id);
            details.push((
                (depth, snapshot.map_or(u64::MAX, |it| it.created_unix_ms)),
                LayerDetails {
                    is_head: layer.id == record.head,
                    file: self.folders().volume_file_path(record.id, &file),
                    allocated_bytes: found.as_ref().map(platform::allocated_bytes),
                    file_length: found.as_ref().map(cap_std::fs::Metadata::len),
                    snapshot: snapshot.cloned(),
                    parent: layer.parent.map(|parent| self.shown_layer(parent)),
                    state,
                    layer,
                },
            ));
        }
        details.sort_by_key(|(order, _)| *order);
        Ok(details.into_iter().map(|(_, details)| details).collect())
    }

    /// What a volume stands on that is another volume's, `VOLUME@SNAPSHOT`.
    pub(super) fn base_name(&self, record: &VolumeRecord) -> Result<Option<String>> {
        let database = self.database();
        for layer in database.layers(record.id)? {
            let Some(parent) = layer.parent else { continue };
            let is_foreign = database
                .chain(parent)?
                .first()
                .is_some_and(|parent| parent.volume != record.id);
            if is_foreign {
                let name = database.name_of_layer(parent)?;
                return Ok(Some(name.unwrap_or_else(|| parent.to_string())));
            }
        }
        Ok(None)
    }

    /// The volumes that stand on snapshots of a volume.
    pub(super) fn clone_names(&self, record: &VolumeRecord) -> Result<Vec<String>> {
        let mut names: Vec<String> = self
            .database()
            .dependents(record.id)?
            .into_iter()
            .map(|dependent| dependent.volume)
            .collect();
        names.dedup();
        Ok(names)
    }

    /// What stands on what, of all volumes that have snapshots or a base.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn kinship(&self) -> Result<Kinship> {
        let database = self.database();
        Ok(Kinship {
            snapshots: database.snapshot_counts()?,
            bases: database.bases()?,
        })
    }

    /// Bytes that a volume takes on the host: all its images; `None` where its head is missing.
    ///
    /// # Errors
    /// `Damaged` where something else stands in its place, `Io`.
    pub fn used_bytes(&self, record: &VolumeRecord) -> Result<Option<u64>> {
        driver::of(record.spec.kind()).used_bytes(self, record)
    }

    /// Bytes that the image of a volume takes on the host, and its length; `None` where it is missing.
    pub(crate) fn image_sizes(&self, record: &VolumeRecord) -> Result<(Option<u64>, Option<u64>)> {
        let (folder, file) = (record.id.to_string(), record.image_file_name()?);
        let found = platform::sizes_below(self.folders().volumes(), &folder, &file)
            .map_err(|error| VolumeError::host("looking at", folder, error))?;
        Ok((found.map(|found| found.0), found.map(|found| found.1)))
    }

    /// Bytes that all images of a volume take on the host; `None` where its head is missing.
    pub(crate) fn image_bytes(&self, record: &VolumeRecord) -> Result<Option<u64>> {
        let (head, _) = self.image_sizes(record)?;
        // Whoever has its first layer as head has no other; so most volumes cost no query.
        if record.head == record.id {
            return Ok(head);
        }
        let Some(head) = head else { return Ok(None) };
        let others = self.layers_of(record)?;
        let others = others.iter().filter(|layer| !layer.is_head);
        let bytes = others.filter_map(|layer| layer.allocated_bytes);
        Ok(Some(bytes.fold(head, u64::saturating_add)))
    }
}

//! Snapshots and clones of the volumes of the store.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use blockio::ByteCount;
use volume::{
    CloneOutcome, CloneRequest, Kinship, LayerDetails, MergeOutcome, SnapshotRecord, SpecOptions,
    VolumeError, VolumeName, VolumeRecord, VolumeRef,
};

use crate::Engine;
use crate::error::{Error, Result};
use crate::progress::{Progress, ProgressFn};
use crate::volumes::{volume_name, volume_ref};

/// A clone to be made, as a front end asks for it.
#[derive(Clone, Debug, Default)]
pub struct CloneVolume {
    /// Its name.
    pub name: String,
    /// What it stands on: `VOLUME`, or `VOLUME@SNAPSHOT`.
    pub base: String,
    /// Option strings; `size` (not less than the base's) and `persistent` alone can be given.
    pub options: Vec<String>,
    /// Single options and their values, as from flags.
    pub settings: Vec<(&'static str, String)>,
    /// Labels to attach.
    pub labels: BTreeMap<String, String>,
    /// Seconds since 1970 (`SOURCE_DATE_EPOCH`): identifiers and times in the images that are made are
    /// then derived from the base.
    pub source_date_epoch: Option<u64>,
}

impl Engine {
    /// Takes the snapshot `VOLUME@SNAPSHOT` of a volume that nobody writes. With `source_date_epoch`
    /// (seconds since 1970) identifiers and times in the new image are derived from what it stands on.
    ///
    /// # Errors
    /// `InvalidArgument` (the name), `NotFound`, `AlreadyExists`, `InUse`, `Unsupported` (a raw
    /// image), `Damaged`, `NoSpace`, `Io`.
    pub fn take_snapshot(
        &self,
        name: &str,
        source_date_epoch: Option<u64>,
    ) -> Result<SnapshotRecord> {
        let (volume, snapshot) = snapshot_of(name)?;
        let store = self.store()?;
        Ok(store.take_snapshot_at(&volume, &snapshot, source_date_epoch)?)
    }

    /// Makes a volume what it was when the snapshot `VOLUME@SNAPSHOT` was taken.
    ///
    /// # Errors
    /// As for [`Engine::take_snapshot`].
    pub fn restore_snapshot(&self, name: &str) -> Result<SnapshotRecord> {
        let (volume, snapshot) = snapshot_of(name)?;
        Ok(self.store()?.restore_snapshot(&volume, &snapshot)?)
    }

    /// Removes the snapshot `VOLUME@SNAPSHOT`; the volume and its other snapshots hold what they held.
    /// Where a layer stands on it, the two are merged. May be called again after it was stopped.
    ///
    /// # Errors
    /// As for [`Engine::take_snapshot`]; `InUse` also where clones stand on it, `Interrupted`.
    pub fn remove_snapshot(&self, name: &str, progress: ProgressFn<'_>) -> Result<MergeOutcome> {
        let (volume, snapshot) = snapshot_of(name)?;
        let store = self.store()?;
        let total = store.get(&volume)?.disk()?.size();
        let removed = store.remove_snapshot(&volume, &snapshot, &told(total, progress));
        removed.map_err(stopped)
    }

    /// Lets a volume take in what it has of the volume that it stands on, and stand on it no more.
    /// May be called again after it was stopped.
    ///
    /// # Errors
    /// As for [`Engine::remove_snapshot`].
    pub fn flatten_volume(&self, name: &str, progress: ProgressFn<'_>) -> Result<MergeOutcome> {
        let volume = volume_name(name)?;
        let store = self.store()?;
        let total = store.get(&volume)?.disk()?.size();
        let flattened = store.flatten(&volume, &told(total, progress));
        flattened.map_err(stopped)
    }

    /// The layers of a volume, the lowest first, each with the snapshot that names it.
    ///
    /// # Errors
    /// `InvalidArgument` (the name), `NotFound`, `Damaged`, `Io`.
    pub fn list_layers(&self, volume: &str) -> Result<(VolumeRecord, Vec<LayerDetails>)> {
        let name = volume_name(volume)?;
        let record = self.store()?.get(&name)?;
        Ok((record, self.store()?.layers(&name)?))
    }

    /// What stands on what, of all volumes that have snapshots or a base.
    ///
    /// # Errors
    /// `Damaged`, `InUse`, `Io`.
    pub fn kinship(&self) -> Result<Kinship> {
        Ok(self.store()?.kinship()?)
    }

    /// Makes a volume that holds what its base does and shares its space.
    ///
    /// # Errors
    /// As for [`Engine::take_snapshot`].
    pub fn clone_volume(&self, request: &CloneVolume) -> Result<CloneOutcome> {
        let mut options =
            SpecOptions::parse(&request.options.join(",")).map_err(VolumeError::from)?;
        for (key, value) in &request.settings {
            options.add(key, value).map_err(VolumeError::from)?;
        }
        let request = CloneRequest {
            name: volume_name(&request.name)?,
            base: volume_ref(&request.base)?,
            options,
            labels: request.labels.clone(),
            reproducible: request.source_date_epoch,
        };
        Ok(self.store()?.clone_volume(&request)?)
    }
}

/// The progress of the store as that of the engine.
fn told<'p>(
    total: ByteCount,
    progress: ProgressFn<'p>,
) -> impl Fn(volume::Progress) -> ControlFlow<()> + 'p {
    move |done| {
        progress(Progress {
            done: ByteCount(done.bytes),
            total: Some(total),
            files: None,
        })
    }
}

fn stopped(error: VolumeError) -> Error {
    match error {
        VolumeError::Interrupted => Error::Interrupted,
        error => error.into(),
    }
}

/// The parts of `VOLUME@SNAPSHOT`.
pub(crate) fn snapshot_of(name: &str) -> Result<(VolumeName, volume::SnapshotName)> {
    match volume_ref(name)? {
        VolumeRef {
            volume,
            snapshot: Some(snapshot),
        } => Ok((volume, snapshot)),
        VolumeRef { volume, .. } => Err(Error::InvalidRequest {
            message: format!("\"{volume}\" names no snapshot: write it as {volume}@SNAPSHOT"),
        }),
    }
}

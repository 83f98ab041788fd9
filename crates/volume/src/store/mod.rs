//! The store: one folder with a database of volumes and a folder for each.

use std::path::Path;

use vdisk::{Access, ImageDisk};

use crate::error::{Result, VolumeError};
use crate::filter::Filter;
use crate::lifecycle::{CreateOutcome, CreateRequest, PruneOutcome, VolumeDetails};
use crate::name::VolumeName;
use crate::progress::OnProgress;
use crate::record::VolumeRecord;

/// A store of volumes, open. Cheap to open; may be shared by threads.
pub struct Store {}

/// Something the store did on its own when it was opened, for the user to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The database was missing and was rebuilt from the rescue records.
    Rebuilt(RebuildReport),
}

/// What a rebuild found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RebuildReport {
    /// Volumes that are whole and listed again.
    pub restored: Vec<String>,
    /// Folders that were left alone, each with the reason.
    pub left: Vec<(String, String)>,
}

impl Store {
    /// Opens the store in `root`, which is made where it does not exist, and completes or undoes
    /// what dead processes left.
    pub fn open(_root: &Path) -> Result<Self> {
        Err(VolumeError::Interrupted)
    }
    /// Rebuilds the database from the rescue records beside the images; the old one is set aside.
    pub fn rebuild(_root: &Path) -> Result<RebuildReport> {
        Err(VolumeError::Interrupted)
    }
    /// What opening the store did beyond opening it.
    pub fn notices(&self) -> &[Notice] {
        &[]
    }
    /// Makes a volume. On any error nothing is left of it.
    pub fn create(
        &self,
        _request: &CreateRequest,
        _progress: OnProgress<'_>,
    ) -> Result<CreateOutcome> {
        Err(VolumeError::Interrupted)
    }
    /// The record of a volume, in whatever state.
    pub fn get(&self, _name: &VolumeName) -> Result<VolumeRecord> {
        Err(VolumeError::Interrupted)
    }
    /// The record of a volume and what its image says.
    pub fn inspect(&self, _name: &VolumeName) -> Result<VolumeDetails> {
        Err(VolumeError::Interrupted)
    }
    /// The volumes that pass, by name.
    pub fn list(&self, _filter: &Filter) -> Result<Vec<VolumeRecord>> {
        Err(VolumeError::Interrupted)
    }
    /// Removes a volume that nobody uses. `force` removes a damaged one too (never a used one).
    pub fn remove(&self, _name: &VolumeName, _force: bool) -> Result<VolumeRecord> {
        Err(VolumeError::Interrupted)
    }
    /// Removes the ready volumes that pass and that nobody uses. For docker's meaning pass
    /// `filter.not_persistent_only()`; without it, all that pass.
    pub fn prune(&self, _filter: &Filter) -> Result<PruneOutcome> {
        Err(VolumeError::Interrupted)
    }
    /// Opens the disk of a ready volume; other writers (and, for writing, readers) are excluded.
    pub fn open_disk(&self, _name: &VolumeName, _access: Access) -> Result<Box<dyn ImageDisk>> {
        Err(VolumeError::Interrupted)
    }
}

//! Operations on the volumes of the store: what front ends ask for, checked and passed on.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use blockio::{ByteCount, Storage};
use vdisk::ImageFormat;
use volume::{
    CasePolicy, CreateOutcome, CreateRequest, DosNames, Filter, NamePolicy, PruneOutcome,
    SpecOptions, VolumeDetails, VolumeError, VolumeName, VolumeRecord,
};

use crate::Engine;
use crate::access;
use crate::error::{Error, Result};
use crate::progress::{Progress, ProgressFn};

/// A volume to be made, as a front end asks for it.
#[derive(Clone, Debug, Default)]
pub struct CreateVolume {
    /// Its name.
    pub name: String,
    /// Option strings such as `size=1G,fs=ntfs`; read as one, in this order.
    pub options: Vec<String>,
    /// Single options and their values, as from flags; an option may stand here or in a string.
    pub settings: Vec<(&'static str, String)>,
    /// A directory of the host to fill it from.
    pub from: Option<PathBuf>,
    /// A file of rules that say who may do what with which path.
    pub access_rules: Option<PathBuf>,
    /// Labels to attach.
    pub labels: BTreeMap<String, String>,
    /// Whether unreadable and changing files are left out and listed, instead of ending the build.
    pub keep_going: bool,
    /// What becomes of names that Windows cannot use.
    pub name_policy: NamePolicy,
    /// What becomes of names that differ in case only.
    pub case_policy: CasePolicy,
    /// Whether names have 8.3 partners; on FAT32 they always have.
    pub dos_names: DosNames,
    /// Whether extended attributes `user.*` of the source become named streams.
    pub xattr_streams: bool,
    /// Seconds since 1970; given, identifiers are derived from the input instead of drawn, and
    /// equal input gives equal bytes.
    pub source_date_epoch: Option<u64>,
}

impl Engine {
    /// Makes a volume, whole or not at all.
    ///
    /// # Errors
    /// `InvalidArgument` (name, options, labels), `AlreadyExists`, `NotFound` (the directory to
    /// fill from), `Unsupported`, `NoSpace`, `Interrupted`, `Io`.
    pub fn create_volume(
        &self,
        request: &CreateVolume,
        progress: ProgressFn<'_>,
    ) -> Result<CreateOutcome> {
        let request = checked(request)?;
        let report = |done: volume::Progress| {
            progress(Progress {
                done: ByteCount(done.bytes),
                total: None,
                files: Some(done.files),
            })
        };
        Ok(self.store()?.create(&request, &report)?)
    }

    /// The volumes that meet all conditions (`label=app=db`, `name=web`, ...), sorted by name.
    ///
    /// # Errors
    /// `InvalidArgument` (a condition), `Damaged`, `InUse`, `Io`.
    pub fn list_volumes(&self, conditions: &[String]) -> Result<Vec<VolumeRecord>> {
        let filter = filter(conditions)?;
        Ok(self.store()?.list(&filter)?)
    }

    /// Bytes that the image of a volume takes on the host; `None` where the image is missing, or
    /// cannot be looked at.
    ///
    /// # Errors
    /// `Damaged`, `InUse`, `Io` where the store cannot be opened.
    pub fn used_bytes(&self, volume: &VolumeRecord) -> Result<Option<ByteCount>> {
        let used = self.store()?.used_bytes(volume);
        Ok(used.ok().flatten().map(ByteCount))
    }

    /// A volume, and what its image says of itself.
    ///
    /// # Errors
    /// `InvalidArgument` (the name), `NotFound`, `Damaged`, `InUse`, `Io`.
    pub fn inspect_volume(&self, name: &str) -> Result<VolumeDetails> {
        Ok(self.store()?.inspect(&volume_name(name)?)?)
    }

    /// Removes a volume and its image; with `force`, also one that is damaged. One that is used is
    /// never removed.
    ///
    /// # Errors
    /// `InvalidArgument` (the name), `NotFound`, `InUse`, `Damaged`, `Io`.
    pub fn remove_volume(&self, name: &str, force: bool) -> Result<VolumeRecord> {
        Ok(self.store()?.remove(&volume_name(name)?, force)?)
    }

    /// The volumes that [`Engine::prune_volumes`] would remove, used or not.
    ///
    /// # Errors
    /// As for [`Engine::list_volumes`].
    pub fn prune_candidates(&self, conditions: &[String], all: bool) -> Result<Vec<VolumeRecord>> {
        Ok(self.store()?.list(&prune_filter(conditions, all)?)?)
    }

    /// Removes the volumes that are not persistent (with `all`: every volume), are not used and
    /// meet all conditions.
    ///
    /// # Errors
    /// As for [`Engine::list_volumes`].
    pub fn prune_volumes(&self, conditions: &[String], all: bool) -> Result<PruneOutcome> {
        Ok(self.store()?.prune(&prune_filter(conditions, all)?)?)
    }

    /// The format of a volume's image, as the store recorded it.
    pub(crate) fn volume_format(&self, name: &str) -> Result<ImageFormat> {
        Ok(self.store()?.get(&volume_name(name)?)?.spec.format())
    }

    /// The image of a volume, to be read.
    pub(crate) fn open_volume_storage(&self, name: &str) -> Result<Box<dyn Storage>> {
        let storage = self.store()?.open_image_file(&volume_name(name)?)?;
        Ok(Box::new(storage))
    }
}

fn checked(request: &CreateVolume) -> Result<CreateRequest> {
    let name = volume_name(&request.name)?;
    let mut options = SpecOptions::parse(&request.options.join(",")).map_err(VolumeError::from)?;
    for (key, value) in &request.settings {
        options.add(key, value).map_err(VolumeError::from)?;
    }
    let spec = options.build().map_err(VolumeError::from)?;
    if let Some(from) = &request.from {
        let metadata = fs::metadata(from).map_err(Error::host("read", from))?;
        if !metadata.is_dir() {
            return Err(Error::InvalidRequest {
                message: format!("{} is no directory", from.display()),
            });
        }
    }
    let mut checked = CreateRequest::new(name, spec);
    checked.from = request.from.clone();
    if let Some(file) = &request.access_rules {
        checked.access_rules = access::read_rules(file)?;
    }
    checked.labels = request.labels.clone();
    checked.keep_going = request.keep_going;
    checked.name_policy = request.name_policy;
    checked.case_policy = request.case_policy;
    checked.dos_names = request.dos_names;
    checked.xattr_streams = request.xattr_streams;
    checked.reproducible = request.source_date_epoch;
    Ok(checked)
}

fn volume_name(name: &str) -> Result<VolumeName> {
    Ok(VolumeName::parse(name).map_err(VolumeError::from)?)
}

fn filter(conditions: &[String]) -> Result<Filter> {
    Ok(Filter::parse(conditions).map_err(VolumeError::from)?)
}

fn prune_filter(conditions: &[String], all: bool) -> Result<Filter> {
    let filter = filter(conditions)?;
    Ok(if all {
        filter
    } else {
        filter.not_persistent_only()
    })
}

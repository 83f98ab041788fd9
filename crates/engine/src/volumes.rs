//! Operations on the volumes of the store: what front ends ask for, checked and passed on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use blockio::{ByteCount, Storage};
use secrecy::SecretString;
use vdisk::ImageFormat;
use volume::tar_tree::TarLayout;
use volume::{
    Backing, CasePolicy, CreateOutcome, CreateRequest, DosNames, FillFrom, Filter, NamePolicy,
    PruneOutcome, SpecOptions, TarInput, VolumeDetails, VolumeError, VolumeName, VolumeRecord,
    VolumeRef, VolumeSpec,
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
    /// What to fill it from.
    pub from: Option<VolumeSource>,
    /// How to take it; `None` to look.
    pub from_format: Option<SourceFormat>,
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
    /// What else identifiers of such a build are derived from; for a stream, whose content cannot
    /// count since it is read once only.
    pub seed: Option<String>,
    /// The password of a volume of an SMB server.
    pub password: Option<SecretString>,
    /// Whether that a server lets its user in is not tried out.
    pub unchecked: bool,
}

/// What a volume is filled from.
#[derive(Clone, Debug)]
pub enum VolumeSource {
    /// A directory, or a tar archive in a file.
    Path(PathBuf),
    /// A tar stream.
    Stream(TarInput),
}

/// How a source is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceFormat {
    /// As a directory.
    Directory,
    /// As a tar archive whose paths are those of the volume.
    Tar,
    /// As a tar archive that is a Windows layer of a container image.
    WindowsLayer,
}

impl CreateVolume {
    /// Whether the volume would need a password. Where its options cannot be read, that is told when it is
    /// made.
    pub fn needs_password(&self) -> bool {
        spec_of(self).is_ok_and(|spec| spec.smb().is_some())
    }
}

impl Engine {
    /// Makes a volume, whole or not at all.
    ///
    /// # Errors
    /// `InvalidArgument` (name, options, labels), `AlreadyExists`, `NotFound` (the directory or
    /// archive to fill from), `Damaged` (the archive), `Unsupported`, `NoSpace`, `Interrupted`, `Io`.
    pub fn create_volume(
        &self,
        request: &CreateVolume,
        progress: ProgressFn<'_>,
    ) -> Result<CreateOutcome> {
        let unchecked = request.unchecked;
        let mut request = checked(request)?;
        self.prepare(&request, unchecked)?;
        let disk = request.spec.disk();
        if disk.is_some_and(|disk| disk.file_system().is_made_by_system()) {
            request.formatter = self.system_formatter();
        }
        // Before a store is made for what cannot be.
        request.check()?;
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

    /// All claims on volumes, the oldest first.
    ///
    /// # Errors
    /// `Damaged`, `InUse`, `Io`.
    pub fn claims(&self) -> Result<Vec<volume::Claim>> {
        Ok(self.store()?.claims()?)
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

    /// Looks at what a volume without an image shall stand for: whether paths of the host may be
    /// mounted, and whether a server lets the user in.
    fn prepare(&self, request: &CreateRequest, unchecked: bool) -> Result<()> {
        match request.spec.backing() {
            Backing::Bind(bind) => {
                self.allowed_host_path(Path::new(bind.source()))?;
                Ok(())
            }
            Backing::Smb(smb) => match &request.password {
                Some(password) if !unchecked => self.try_login(smb, password),
                // That a password is missing is said where it would be kept.
                _ => Ok(()),
            },
            Backing::Disk(_) | Backing::Tmpfs(_) => Ok(()),
        }
    }

    /// The format of the image of a volume or snapshot, as the store recorded it.
    pub(crate) fn volume_format(&self, name: &str) -> Result<ImageFormat> {
        Ok(self
            .store()?
            .get(&volume_ref(name)?.volume)?
            .disk()?
            .format())
    }

    /// The change of a volume that a crash cut short. A snapshot has none: it was completed before.
    pub(crate) fn pending_change(&self, name: &str) -> Result<Option<volume::ChangeSet>> {
        match volume_ref(name)? {
            VolumeRef {
                snapshot: Some(_), ..
            } => Ok(None),
            VolumeRef { volume, .. } => Ok(self.store()?.pending_change(&volume)?),
        }
    }

    /// The image of a volume or snapshot, to be read.
    pub(crate) fn open_volume_storage(&self, name: &str) -> Result<Box<dyn Storage>> {
        let storage = self.store()?.open_image_file(&volume_ref(name)?)?;
        Ok(Box::new(storage))
    }
}

fn spec_of(request: &CreateVolume) -> Result<VolumeSpec> {
    let mut options = SpecOptions::parse(&request.options.join(",")).map_err(VolumeError::from)?;
    for (key, value) in &request.settings {
        options.add(key, value).map_err(VolumeError::from)?;
    }
    Ok(options.build().map_err(VolumeError::from)?)
}

pub(crate) fn checked(request: &CreateVolume) -> Result<CreateRequest> {
    let name = volume_name(&request.name)?;
    let spec = spec_of(request)?;
    let mut checked = CreateRequest::new(name, spec);
    if let Some(from) = &request.from {
        checked.from = Some(source(from, request.from_format)?);
    }
    checked.seed = request.seed.clone();
    checked.password = request.password.clone();
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

/// The source as the store takes it. A pipe or device that is named by a path can be read once, as a
/// stream; a directory stays a directory.
fn source(from: &VolumeSource, format: Option<SourceFormat>) -> Result<FillFrom> {
    let layout = match format {
        Some(SourceFormat::Tar) => TarLayout::Plain,
        Some(SourceFormat::WindowsLayer) => TarLayout::WindowsLayer,
        Some(SourceFormat::Directory) | None => TarLayout::Auto,
    };
    let wants_directory = format == Some(SourceFormat::Directory);
    let path = match from {
        VolumeSource::Stream(_) if wants_directory => {
            return Err(Error::InvalidRequest {
                message: "a stream is no directory".to_owned(),
            });
        }
        VolumeSource::Stream(input) => {
            let input = input.clone();
            return Ok(FillFrom::TarStream { input, layout });
        }
        VolumeSource::Path(path) => path,
    };
    let metadata = fs::metadata(path).map_err(Error::host("read", path))?;
    let is_wanted = format.is_none() || wants_directory == metadata.is_dir();
    if !is_wanted {
        let expected = if wants_directory {
            "no directory"
        } else {
            "a directory"
        };
        return Err(Error::InvalidRequest {
            message: format!("{} is {expected}", path.display()),
        });
    }
    if metadata.is_dir() {
        return Ok(FillFrom::Directory(path.clone()));
    }
    if metadata.is_file() {
        let path = path.clone();
        return Ok(FillFrom::TarFile { path, layout });
    }
    let file = fs::File::open(path).map_err(Error::host("read", path))?;
    Ok(FillFrom::TarStream {
        input: TarInput::new(Box::new(file)),
        layout,
    })
}

/// The name of a volume itself: a snapshot is named where one can be read alone.
pub(crate) fn volume_name(name: &str) -> Result<VolumeName> {
    if name.contains('@') && VolumeRef::parse(name).is_ok() {
        return Err(Error::InvalidRequest {
            message: format!("\"{name}\" is a snapshot, which can only be read"),
        });
    }
    Ok(VolumeName::parse(name).map_err(VolumeError::from)?)
}

/// A volume or a snapshot of one.
pub(crate) fn volume_ref(name: &str) -> Result<VolumeRef> {
    Ok(VolumeRef::parse(name).map_err(VolumeError::from)?)
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

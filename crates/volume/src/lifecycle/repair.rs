//! Repairing the structure of an image, of a volume or of none: under the lock of the image, with
//! the bytes that are replaced kept in a file beside it.
//!
//! ```text
//!   image locked                  nobody else reads or writes it
//!   backup of a dead process      the repair it holds is completed
//!   repair planned                in memory; the image is only read
//!   backup beside the image       durable, then its name: the repair has begun
//!   written to the image          durable
//! ```
//! The backup stays, so that the repair can be undone until somebody removes it.

use std::io;
use std::path::Path;

use blockio::{ByteOffset, FileAccess, FileStorage, Storage};
use cap_std::fs::Dir;
use vdisk::{
    Access, ImageError, ImageFormat, RepairBackup, RepairOptions, RepairPlan, RepairState,
    plan_repair,
};

use super::change::folder_of_image;
use super::open::lock_image;
use crate::error::{Result, VolumeError};
use crate::name::VolumeName;
use crate::platform;
use crate::record::VolumeRecord;
use crate::store::Store;
use crate::store::folder::{self, ImageOpenError};

/// What the name of a backup has more than that of its image.
pub(crate) const BACKUP_SUFFIX: &str = ".repair-backup";
/// What the name of a backup that is not whole yet has more.
const UNFINISHED_SUFFIX: &str = ".new";
/// Most backups that are kept beside one image.
const MAX_BACKUPS: u32 = 1000;

/// What a repair of an image did.
#[derive(Debug)]
pub struct RepairedImage {
    /// What was found, mended and left.
    pub plan: RepairPlan,
    /// Whether a repair that was cut short was completed first.
    pub completed_earlier: bool,
    /// The name of the file beside the image that holds the replaced bytes; `None` where none were.
    pub backup: Option<String>,
}

/// The backup of one image: a file beside it, opened beneath the handle of their folder.
struct Backup {
    folder: Dir,
    image: String,
}

impl Backup {
    fn name(&self) -> String {
        format!("{}{BACKUP_SUFFIX}", self.image)
    }

    fn host(&self, doing: &'static str) -> impl FnOnce(io::Error) -> VolumeError + use<> {
        let name = self.name();
        move |error| VolumeError::host(doing, name, error)
    }

    fn failed(&self, source: ImageError) -> VolumeError {
        VolumeError::Image {
            name: self.image.clone(),
            source,
        }
    }

    fn read(&self) -> Result<Option<RepairBackup>> {
        match folder::open_image(&self.folder, &self.name(), FileAccess::ReadOnly) {
            Ok(file) => {
                let backup = RepairBackup::read(&file).map_err(|error| self.failed(error))?;
                Ok(Some(backup))
            }
            Err(ImageOpenError::Missing) => Ok(None),
            Err(ImageOpenError::InUse(source)) => Err(VolumeError::InUse {
                name: self.name(),
                source,
            }),
            Err(ImageOpenError::Host(error)) => Err(self.host("opening")(error)),
            Err(ImageOpenError::Disk(error)) => Err(error.into()),
            Err(ImageOpenError::Folder(error)) => Err(error),
            Err(ImageOpenError::Link) => Err(VolumeError::damaged(
                self.name(),
                "not a file but a link or a folder",
            )),
        }
    }

    /// Writes the file; when this returns, it is there whole, after any crash.
    fn write(&self, backup: &RepairBackup) -> Result<()> {
        let bytes = backup.encode().map_err(|error| self.failed(error))?;
        let name = self.name();
        let unfinished = format!("{name}{UNFINISHED_SUFFIX}");
        // What a dead process did not finish holds nothing that was done.
        self.remove_file(&unfinished)?;
        let file = folder::create_image(&self.folder, &unfinished)?;
        file.write_at(&bytes, ByteOffset(0))?;
        // Its bytes before its name, and both before the first byte of the image is changed.
        file.sync()?;
        drop(file);
        folder::retry(|| self.folder.rename(&unfinished, &self.folder, &name))
            .map_err(self.host("renaming"))?;
        platform::sync_folder(&self.folder).map_err(self.host("making durable"))
    }

    fn remove_file(&self, name: &str) -> Result<()> {
        match folder::retry(|| self.folder.remove_file(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(self.host("removing")),
        }
    }

    fn remove(&self) -> Result<()> {
        self.remove_file(&self.name())?;
        platform::sync_folder(&self.folder).map_err(self.host("making durable"))
    }

    /// Gives the backup of an earlier repair a number, so that its name is free.
    fn set_aside(&self) -> Result<()> {
        let name = self.name();
        for number in 1..=MAX_BACKUPS {
            let aside = format!("{name}.{number}");
            if folder::metadata(&self.folder, &aside)?.is_none() {
                return folder::retry(|| self.folder.rename(&name, &self.folder, &aside))
                    .map_err(self.host("renaming"));
            }
        }
        Err(VolumeError::Request(
            "there are a thousand backups of repairs beside the image; remove some",
        ))
    }
}

/// Repairs an image that is locked already.
fn repair_locked(
    storage: &FileStorage,
    format: Option<ImageFormat>,
    backup: &Backup,
    options: RepairOptions,
) -> Result<RepairedImage> {
    let failed = |error| backup.failed(error);
    let mut completed_earlier = false;
    let mut is_taken = false;
    if let Some(earlier) = backup.read()? {
        match earlier.state(storage).map_err(failed)? {
            RepairState::Begun => {
                earlier.apply(storage).map_err(failed)?;
                (completed_earlier, is_taken) = (true, true);
            }
            RepairState::NotBegun => backup.remove()?,
            RepairState::Done | RepairState::ChangedSince(_) => is_taken = true,
        }
    }
    let plan = plan_repair(storage, format, options).map_err(failed)?;
    let Some(work) = &plan.backup else {
        return Ok(RepairedImage {
            plan,
            completed_earlier,
            backup: completed_earlier.then(|| backup.name()),
        });
    };
    if is_taken {
        backup.set_aside()?;
    }
    backup.write(work)?;
    work.apply(storage).map_err(failed)?;
    Ok(RepairedImage {
        completed_earlier,
        backup: Some(backup.name()),
        plan,
    })
}

fn undo_locked(storage: &FileStorage, backup: &Backup) -> Result<()> {
    let missing = || backup.host("opening")(io::Error::from(io::ErrorKind::NotFound));
    let earlier = backup.read()?.ok_or_else(missing)?;
    earlier
        .undo(storage)
        .map_err(|error| backup.failed(error))?;
    // The image is as it was, durably: nothing needs the backup any more.
    backup.remove()
}

impl Store {
    /// Repairs the image of a volume that nobody uses.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged` where the image is missing, `NoSpace`, `Unsupported`, `Io`.
    /// Damage that cannot be repaired is told in the plan.
    pub fn repair_image(&self, name: &VolumeName, options: RepairOptions) -> Result<RepairedImage> {
        let (storage, record) = self.lock_for_repair(name)?;
        let format = Some(record.disk()?.format());
        repair_locked(&storage, format, &self.backup(&record)?, options)
    }

    /// Undoes the last repair of the image of a volume.
    ///
    /// # Errors
    /// As for [`Store::repair_image`]; `NotFound` where there is no backup, `Damaged` where the image
    /// was changed since.
    pub fn undo_repair(&self, name: &VolumeName) -> Result<()> {
        let (storage, record) = self.lock_for_repair(name)?;
        undo_locked(&storage, &self.backup(&record)?)
    }

    /// How far a repair has come whose backup lies beside the image of a volume; `None` without one.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged`, `Io`.
    pub fn repair_state(&self, name: &VolumeName) -> Result<Option<RepairState>> {
        let record = self.ready(name)?;
        let backup = self.backup(&record)?;
        state_of(&backup, || {
            lock_image(self.folders(), &record, Access::ReadOnly)
        })
    }

    fn lock_for_repair(&self, name: &VolumeName) -> Result<(FileStorage, VolumeRecord)> {
        let (record, storage) = self.lock_head(name, Access::ReadWrite)?;
        Ok((storage, record))
    }

    fn backup(&self, record: &VolumeRecord) -> Result<Backup> {
        let folder = self.folders().open_volume_folder(record.id)?;
        let missing = || VolumeError::damaged(format!("volumes/{}", record.id), "it is missing");
        Ok(Backup {
            folder: folder.ok_or_else(missing)?,
            image: record.image_file_name()?,
        })
    }
}

fn state_of(
    backup: &Backup,
    image: impl FnOnce() -> Result<FileStorage>,
) -> Result<Option<RepairState>> {
    let Some(earlier) = backup.read()? else {
        return Ok(None);
    };
    let state = earlier.state(&image()?);
    state.map(Some).map_err(|error| backup.failed(error))
}

/// Repairs an image file that nobody uses.
///
/// # Errors
/// As for [`Store::repair_image`].
pub fn repair_image(
    image: &Path,
    format: Option<ImageFormat>,
    options: RepairOptions,
) -> Result<RepairedImage> {
    let (folder, name) = folder_of_image(image)?;
    let storage = FileStorage::open(image, FileAccess::ReadWrite)?;
    let backup = Backup {
        folder,
        image: name,
    };
    repair_locked(&storage, format, &backup, options)
}

/// Undoes the last repair of an image file.
///
/// # Errors
/// As for [`Store::undo_repair`].
pub fn undo_image_repair(image: &Path) -> Result<()> {
    let (folder, name) = folder_of_image(image)?;
    let storage = FileStorage::open(image, FileAccess::ReadWrite)?;
    let backup = Backup {
        folder,
        image: name,
    };
    undo_locked(&storage, &backup)
}

/// How far a repair has come whose backup lies beside an image file; `None` without one.
///
/// # Errors
/// `InUse`, `Damaged`, `Io`.
pub fn image_repair_state(image: &Path) -> Result<Option<RepairState>> {
    let Ok(full) = image.canonicalize() else {
        return Ok(None);
    };
    // Reading an image asks nothing of its folder unless there is something in it to be read.
    let Some(name) = full.file_name().and_then(|name| name.to_str()) else {
        return Ok(None);
    };
    let beside = full.with_file_name(format!("{name}{BACKUP_SUFFIX}"));
    if beside.symlink_metadata().is_err() {
        return Ok(None);
    }
    let (folder, name) = folder_of_image(image)?;
    let backup = Backup {
        folder,
        image: name,
    };
    state_of(&backup, || {
        Ok(FileStorage::open(image, FileAccess::ReadOnly)?)
    })
}

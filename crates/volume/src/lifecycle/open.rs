//! Opening the image of a volume, with the lock that keeps other writers out.

use std::time::Duration;

use blockio::{FileAccess, FileStorage};
use vdisk::{Access, ImageDisk};

use crate::error::{Result, VolumeError};
use crate::name::VolumeName;
use crate::record::VolumeRecord;
use crate::store::Store;
use crate::store::folder::{self, Folders, ImageOpenError};

/// How often a lock that somebody holds is tried: looking at a volume holds it for moments.
const ATTEMPTS: u32 = 5;
/// How long is waited between two tries.
const PAUSE: Duration = Duration::from_millis(20);

impl Store {
    /// Opens the image of a ready volume as a file, for reading only: for those who look at the
    /// image itself. Writers are kept out meanwhile.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged` (also where the image is missing), `Io`.
    pub fn open_image_file(&self, name: &VolumeName) -> Result<FileStorage> {
        let record = self.ready(name)?;
        lock_image(self.folders(), &record, Access::ReadOnly)
    }

    /// Opens the disk of a ready volume. For writing, everybody else is kept out; for reading,
    /// writers are. The format is the recorded one, never guessed from what a guest wrote.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged` (also where the image is missing), `Io`.
    pub fn open_disk(&self, name: &VolumeName, access: Access) -> Result<Box<dyn ImageDisk>> {
        let record = self.ready(name)?;
        let storage = lock_image(self.folders(), &record, access)?;
        // A removal takes the image's lock, then changes the row, then lets go: with the lock held
        // here, a row that is still ready stays so.
        if self.ready(name)?.id != record.id {
            return Err(crate::store::not_found(name));
        }
        vdisk::open(Box::new(storage), Some(record.spec.format()), access).map_err(|source| {
            VolumeError::Image {
                name: record.name.as_str().to_owned(),
                source,
            }
        })
    }
}

/// Opens and locks the image of a volume.
pub(super) fn lock_image(
    folders: &Folders,
    record: &VolumeRecord,
    access: Access,
) -> Result<FileStorage> {
    let access = match access {
        Access::ReadOnly => FileAccess::ReadOnly,
        Access::ReadWrite => FileAccess::ReadWrite,
    };
    let mut attempt = 1;
    loop {
        match try_lock_image(folders, record, access) {
            Err(ImageOpenError::InUse(_)) if attempt < ATTEMPTS => {
                attempt += 1;
                std::thread::sleep(PAUSE);
            }
            Ok(storage) => return Ok(storage),
            Err(error) => return Err(explain(record, error)),
        }
    }
}

/// Opens and locks the image of a volume if that is possible at once.
pub(super) fn try_lock_image(
    folders: &Folders,
    record: &VolumeRecord,
    access: FileAccess,
) -> std::result::Result<FileStorage, ImageOpenError> {
    let folder = folders
        .open_volume_folder(record.id)
        .map_err(ImageOpenError::Folder)?
        .ok_or(ImageOpenError::Missing)?;
    folder::open_image(&folder, record.image_file_name(), access)
}

/// The error for users.
pub(super) fn explain(record: &VolumeRecord, error: ImageOpenError) -> VolumeError {
    let file = record.image_file_name();
    let path = format!("volumes/{}/{file}", record.id);
    match error {
        ImageOpenError::InUse(source) => VolumeError::InUse {
            name: record.name.as_str().to_owned(),
            source,
        },
        ImageOpenError::Missing => VolumeError::damaged(path, "it is missing"),
        ImageOpenError::Link => VolumeError::damaged(path, "not a file but a link or a folder"),
        ImageOpenError::Host(error) => VolumeError::host("opening", path, error),
        ImageOpenError::Disk(error) => VolumeError::Disk(error),
        ImageOpenError::Folder(error) => error,
    }
}

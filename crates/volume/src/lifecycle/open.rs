//! Opening the image of a volume or snapshot, with the lock that keeps other writers out.

use std::io;
use std::path::Path;

use blockio::{ByteCount, ByteOffset, FileAccess, FileStorage, IoError, Operation};
use uuid::Uuid;
use vdisk::{Access, ImageDisk, ImageFormat, ParentGate};

use crate::error::{Result, VolumeError};
use crate::layer::VolumeRef;
use crate::platform;
use crate::record::VolumeRecord;
use crate::store::Store;
use crate::store::folder::{self, Folders, ImageOpenError};

impl Store {
    /// Opens the image of a ready volume or snapshot as a file, for reading only: for those who look at the
    /// image itself. Writers are kept out meanwhile.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged` (also where the image is missing), `Io`.
    pub fn open_image_file(&self, name: &VolumeRef) -> Result<FileStorage> {
        Ok(self.lock_to_read(name)?.1)
    }

    /// The gate to the layers that a volume or snapshot stands on.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged`, `Io`.
    pub fn parent_gate(&self, name: &VolumeRef) -> Result<Box<dyn ParentGate>> {
        let (layer, format) = self.layer_of(name)?;
        Ok(Box::new(self.gate_of(layer, format)?))
    }

    /// The layer that a reference leads to.
    pub(super) fn layer_of(&self, name: &VolumeRef) -> Result<(Uuid, ImageFormat)> {
        match &name.snapshot {
            None => {
                let record = self.ready(&name.volume)?;
                Ok((record.head, record.disk()?.format()))
            }
            Some(snapshot) => {
                let (record, snapshot) = self.usable_snapshot(&name.volume, snapshot)?;
                Ok((snapshot.layer, record.disk()?.format()))
            }
        }
    }

    /// Opens the layer that a reference leads to, for reading; with the lock held it stays that.
    fn lock_to_read(&self, name: &VolumeRef) -> Result<(Uuid, FileStorage)> {
        let Some(snapshot) = &name.snapshot else {
            let (record, storage) = self.lock_head(&name.volume, Access::ReadOnly)?;
            return Ok((record.head, storage));
        };
        let (record, found) = self.usable_snapshot(&name.volume, snapshot)?;
        let layer = self.layer(found.layer)?;
        let storage = self.lock_layer(&layer, record.disk()?.format(), FileAccess::ReadOnly)?;
        // It may have been removed between the row and the lock.
        let (_, again) = self.usable_snapshot(&name.volume, snapshot)?;
        match again.layer == found.layer {
            true => Ok((layer.id, storage)),
            false => Err(VolumeError::Overtaken {
                name: name.volume.as_str().to_owned(),
            }),
        }
    }

    /// Opens the disk of a ready volume or snapshot. For writing, everybody else is kept out; for reading,
    /// writers are. The format is the recorded one, never guessed from what a guest wrote.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged` (also where the image is missing), `Io`.
    pub fn open_disk(&self, name: &VolumeRef, access: Access) -> Result<Box<dyn ImageDisk>> {
        let format = self.layer_of(name)?.1;
        let (layer, storage) = match access {
            Access::ReadOnly => self.lock_to_read(name)?,
            Access::ReadWrite if name.snapshot.is_some() => {
                return Err(VolumeError::Request("a snapshot cannot be written"));
            }
            Access::ReadWrite => {
                let (record, storage) = self.lock_head(&name.volume, access)?;
                (record.head, storage)
            }
        };
        let gate = self.gate_of(layer, format)?;
        vdisk::open_chain(Box::new(storage), Some(format), access, &gate).map_err(|source| {
            VolumeError::Image {
                name: name.to_string(),
                source,
            }
        })
    }
}

/// Opens and locks the image of a volume.
pub(crate) fn lock_image(
    folders: &Folders,
    record: &VolumeRecord,
    access: Access,
) -> Result<FileStorage> {
    let access = match access {
        Access::ReadOnly => FileAccess::ReadOnly,
        Access::ReadWrite => FileAccess::ReadWrite,
    };
    let file = record.image_file_name()?;
    lock_file(folders, record.id, &file, access)
        .map_err(|error| explain(record.name.as_str(), record.id, &file, error))
}

/// Opens and locks an image in the folder of a volume; somebody who merely looks at it is waited for.
pub(super) fn lock_file(
    folders: &Folders,
    volume: Uuid,
    file: &str,
    access: FileAccess,
) -> std::result::Result<FileStorage, ImageOpenError> {
    let mut pauses = platform::lock_pauses();
    loop {
        match try_lock_image(folders, volume, file, access) {
            Err(ImageOpenError::InUse(source)) => match pauses.next() {
                Some(pause) => std::thread::sleep(pause),
                None => {
                    let path = folders.volume_file_path(volume, file);
                    return Err(ImageOpenError::InUse(held(&path).or(source)));
                }
            },
            result => return result,
        }
    }
}

/// Who holds a file, where the system tells.
fn held(path: &Path) -> Option<IoError> {
    let who = blockio::held_by(&blockio::holders(path))?;
    let source = io::Error::new(io::ErrorKind::ResourceBusy, who);
    let (offset, length) = (ByteOffset(0), ByteCount(0));
    Some(IoError::host(Operation::Open, offset, length, source))
}

/// Opens and locks an image in the folder of a volume if that is possible at once.
pub(crate) fn try_lock_image(
    folders: &Folders,
    volume: Uuid,
    file: &str,
    access: FileAccess,
) -> std::result::Result<FileStorage, ImageOpenError> {
    let folder = folders
        .open_volume_folder(volume)
        .map_err(ImageOpenError::Folder)?
        .ok_or(ImageOpenError::Missing)?;
    folder::open_image(&folder, file, access)
}

/// The error for users; `name` is what they call it.
pub(crate) fn explain(name: &str, volume: Uuid, file: &str, error: ImageOpenError) -> VolumeError {
    let path = format!("volumes/{volume}/{file}");
    match error {
        ImageOpenError::InUse(source) => VolumeError::InUse {
            name: name.to_owned(),
            source,
        },
        ImageOpenError::Missing => VolumeError::damaged(path, "it is missing"),
        ImageOpenError::Link => VolumeError::damaged(path, "not a file but a link or a folder"),
        ImageOpenError::Host(error) => VolumeError::host("opening", path, error),
        ImageOpenError::Disk(error) => VolumeError::Disk(error),
        ImageOpenError::Folder(error) => error,
    }
}

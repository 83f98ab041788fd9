//! Changing what is in a volume, or in an image that belongs to no store: under the lock of the
//! image, all of it or nothing.
//!
//! ```text
//!   image locked                  nobody else reads or writes it
//!   journal of a dead process     completed
//!   change made                   in memory; file data in free clusters
//!   journal beside the image      durable, and its name too: the change has happened
//!   written to the image          durable
//!   journal removed               durable
//! ```
//! Who only reads completes nothing: they see the image through what the journal holds.

use std::io;
use std::path::{Path, PathBuf};

use blockio::{ByteCount, ByteOffset, ByteRange, FileAccess, FileStorage, Storage};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use mkfs::change::{ChangeError, ChangeOptions, ChangeSet, Growth, VolumeChange, forget};
use vdisk::{Access, ImageDisk, ImageFormat, ParentGate};

use super::claim::Opener;
use crate::error::{Result, VolumeError};
use crate::name::VolumeName;
use crate::platform;
use crate::record::VolumeRecord;
use crate::store::Store;
use crate::store::folder;

/// What the name of a journal has more than that of its image.
pub(crate) const JOURNAL_SUFFIX: &str = ".change";

/// What is done with a volume that is open for changes.
pub type ChangeWork<'w, T> =
    &'w mut dyn FnMut(&mut VolumeChange<'_>) -> std::result::Result<T, ChangeError>;

/// The journal of an image: a file beside it, opened beneath the handle of their folder.
pub(super) struct Journal {
    folder: Dir,
    name: String,
}

impl Journal {
    fn host(&self, doing: &'static str) -> impl FnOnce(io::Error) -> VolumeError + use<> {
        let name = self.name.clone();
        move |error| VolumeError::host(doing, name, error)
    }

    pub(super) fn open(&self, access: FileAccess) -> Result<Option<FileStorage>> {
        match folder::open_image(&self.folder, &self.name, access) {
            Ok(storage) => Ok(Some(storage)),
            Err(folder::ImageOpenError::Missing) => Ok(None),
            Err(folder::ImageOpenError::InUse(source)) => Err(VolumeError::InUse {
                name: self.name.clone(),
                source,
            }),
            Err(folder::ImageOpenError::Host(error)) => Err(self.host("opening")(error)),
            Err(folder::ImageOpenError::Disk(error)) => Err(error.into()),
            Err(folder::ImageOpenError::Link) => Err(VolumeError::damaged(
                self.name.clone(),
                "not a file but a link or a folder",
            )),
            Err(folder::ImageOpenError::Folder(error)) => Err(error),
        }
    }

    /// The change that it holds, if any.
    fn pending(&self) -> Result<Option<ChangeSet>> {
        let Some(storage) = self.open(FileAccess::ReadOnly)? else {
            return Ok(None);
        };
        ChangeSet::read(&storage).map_err(|error| self.failed(error))
    }

    fn failed(&self, source: ChangeError) -> VolumeError {
        let name = self.name.trim_end_matches(JOURNAL_SUFFIX).to_owned();
        VolumeError::Change { name, source }
    }

    /// An empty journal whose name is durable.
    pub(super) fn create(&self) -> Result<FileStorage> {
        let storage = folder::create_image(&self.folder, &self.name)?;
        // A journal that nobody finds after a crash would be none.
        platform::sync_folder(&self.folder).map_err(self.host("making durable"))?;
        Ok(storage)
    }

    pub(super) fn remove(&self) -> Result<()> {
        match folder::retry(|| self.folder.remove_file(&self.name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result.map_err(self.host("removing"))?,
        }
        platform::sync_folder(&self.folder).map_err(self.host("making durable"))
    }
}

/// Opens an image that is locked already for writing; a change that was cut short is completed first.
fn open_locked(
    storage: Box<dyn Storage>,
    format: Option<ImageFormat>,
    gate: &dyn ParentGate,
    journal: &Journal,
    name: &str,
) -> Result<Box<dyn ImageDisk>> {
    let of_image = |source| VolumeError::Image {
        name: name.to_owned(),
        source,
    };
    if let Some(left) = journal.open(FileAccess::ReadOnly)?
        && let Some(growth) = Growth::read(&left)?
    {
        vdisk::undo_growth(&*storage, format, growth.from).map_err(of_image)?;
    }
    let disk = vdisk::open_chain(storage, format, Access::ReadWrite, gate);
    let mut disk = disk.map_err(of_image)?;
    if let Some(left) = journal.open(FileAccess::ReadWrite)? {
        settle(&mut *disk, &left, name)?;
        drop(left);
        journal.remove()?;
    }
    Ok(disk)
}

/// Completes the change that a journal holds, with the size of the disk that belongs to it; a disk
/// that grew for a change that never came gets its old size back.
fn settle(disk: &mut dyn ImageDisk, journal: &dyn Storage, name: &str) -> Result<()> {
    let of_change = |source| VolumeError::Change {
        name: name.to_owned(),
        source,
    };
    match ChangeSet::read(journal).map_err(of_change)? {
        Some(change) => {
            change.complete(disk).map_err(of_change)?;
            cut(disk, change.final_size(), name)?;
            tracing::info!(image = name, "completed a change that was cut short");
        }
        None => {
            if let Some(growth) = Growth::read(journal)?
                && disk.size() == growth.to
            {
                cut(disk, growth.from, name)?;
                tracing::info!(image = name, "undid a resize that was cut short");
            }
        }
    }
    forget(journal).map_err(|error| of_change(ChangeError::Recorded(error)))
}

/// Cuts a disk to `size`, where it is longer; what lies behind is nobody's.
pub(super) fn cut(disk: &mut dyn ImageDisk, size: ByteCount, name: &str) -> Result<()> {
    if size >= disk.size() {
        return Ok(());
    }
    let behind = ByteRange::between(ByteOffset(size.get()), ByteOffset(disk.size().get()));
    if let Some(behind) = behind {
        disk.discard(behind)?;
    }
    disk.resize(size).map_err(|source| VolumeError::Image {
        name: name.to_owned(),
        source,
    })
}

/// Changes the disk in an image that is locked already.
fn change_locked<T>(
    disk: Box<dyn ImageDisk>,
    journal: &Journal,
    name: &str,
    options: ChangeOptions,
    work: ChangeWork<'_, T>,
) -> Result<T> {
    let of_image = |source| VolumeError::Image {
        name: name.to_owned(),
        source,
    };
    let of_change = |source| VolumeError::Change {
        name: name.to_owned(),
        source,
    };
    let mut volume = VolumeChange::open(&*disk, options).map_err(of_change)?;
    let result = work(&mut volume).map_err(of_change)?;
    let change = volume.finish().map_err(of_change)?;
    if !change.is_empty() {
        let storage = journal.create()?;
        let committed = change.commit(&*disk, &storage);
        drop(storage);
        match committed {
            // The journal is what the next command goes on with.
            Err(error @ ChangeError::Recorded(_)) => return Err(of_change(error)),
            committed => {
                journal.remove()?;
                committed.map_err(of_change)?;
            }
        }
    }
    disk.close().map_err(of_image)?;
    Ok(result)
}

impl Store {
    /// Changes what is in a volume that nobody uses: all of it, or nothing.
    ///
    /// # Errors
    /// `NotFound` (the volume, or a path in it), `InUse`, `AlreadyExists`, `InvalidArgument`,
    /// `NoSpace`, `Unsupported`, `Damaged` (also where the volume was not unmounted cleanly),
    /// `Interrupted`, `Io`.
    pub fn change<T>(
        &self,
        name: &VolumeName,
        options: ChangeOptions,
        work: ChangeWork<'_, T>,
    ) -> Result<T> {
        let (record, disk) = self.open_head(name)?;
        let journal = self.journal(&record)?;
        change_locked(disk, &journal, record.name.as_str(), options, work)
    }

    /// Opens the head of a volume for writing. A change that a crash cut short is completed first.
    pub(super) fn open_head(
        &self,
        name: &VolumeName,
    ) -> Result<(VolumeRecord, Box<dyn ImageDisk>)> {
        self.open_head_for(name, Opener::Command)
    }

    fn open_head_for(
        &self,
        name: &VolumeName,
        opener: Opener<'_>,
    ) -> Result<(VolumeRecord, Box<dyn ImageDisk>)> {
        let (record, storage) = self.lock_head_for(name, Access::ReadWrite, opener)?;
        let format = record.disk()?.format();
        let gate = self.gate_of(record.head, format)?;
        let journal = self.journal(&record)?;
        let name = record.name.as_str();
        let disk = open_locked(Box::new(storage), Some(format), &gate, &journal, name)?;
        // A resize that a crash cut short, or a snapshot of another size.
        self.note_size(&record, disk.size())?;
        Ok((record, disk))
    }

    /// Completes what a crash left in the head of a volume: a change, and a log.
    pub(crate) fn complete_pending(&self, name: &VolumeName) -> Result<()> {
        let (record, disk) = self.open_head(name)?;
        disk.close().map_err(|source| VolumeError::Image {
            name: record.name.as_str().to_owned(),
            source,
        })
    }

    /// Whether there is a change of a volume that a crash cut short.
    pub(super) fn has_journal(&self, record: &VolumeRecord) -> Result<bool> {
        let journal = self.journal(record)?;
        Ok(folder::metadata(&journal.folder, &journal.name)?.is_some())
    }

    /// Opens the disk of a volume that nobody uses for reading and writing, for as long as the caller
    /// keeps it. A change that a crash cut short is completed first.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged`, `NoSpace`, `Io`.
    pub fn open_for_writing(&self, name: &VolumeName) -> Result<Box<dyn ImageDisk>> {
        Ok(self.open_head(name)?.1)
    }

    /// Opens the disk of a volume that a machine has claimed, for as long as the caller keeps it.
    /// For writing, a change that a crash cut short is completed first.
    ///
    /// # Errors
    /// `NotFound`, `InUse` (somebody else has it, or the machine has not claimed it like this),
    /// `Damaged`, `NoSpace`, `Io`.
    pub fn open_for_machine(
        &self,
        name: &VolumeName,
        access: Access,
        machine: &str,
    ) -> Result<Box<dyn ImageDisk>> {
        let opener = Opener::Machine(machine);
        if access == Access::ReadWrite {
            return Ok(self.open_head_for(name, opener)?.1);
        }
        let (record, storage) = self.lock_head_for(name, access, opener)?;
        let format = record.disk()?.format();
        let gate = self.gate_of(record.head, format)?;
        vdisk::open_chain(Box::new(storage), Some(format), access, &gate).map_err(|source| {
            VolumeError::Image {
                name: record.name.as_str().to_owned(),
                source,
            }
        })
    }

    /// The change of a volume that a crash cut short, for those who read.
    ///
    /// # Errors
    /// `NotFound`, `Damaged`, `Io`.
    pub fn pending_change(&self, name: &VolumeName) -> Result<Option<ChangeSet>> {
        self.journal(&self.ready(name)?)?.pending()
    }

    pub(super) fn journal(&self, record: &VolumeRecord) -> Result<Journal> {
        let folder = self.folders().open_volume_folder(record.id)?;
        let missing = || VolumeError::damaged(format!("volumes/{}", record.id), "it is missing");
        Ok(Journal {
            folder: folder.ok_or_else(missing)?,
            name: format!("{}{JOURNAL_SUFFIX}", record.image_file_name()?),
        })
    }
}

/// The folder of an image that belongs to no store, and the name of the image in it. A link to an
/// image has its companions where the image is, whatever it is called by.
pub(super) fn folder_of_image(image: &Path) -> Result<(Dir, String)> {
    let shown = image.display().to_string();
    let image = image
        .canonicalize()
        .map_err(|e| VolumeError::host("finding", shown.clone(), e))?;
    let (Some(folder), Some(name)) = (image.parent(), image.file_name()) else {
        return Err(VolumeError::Request("the path names no image file"));
    };
    let name = name
        .to_str()
        .ok_or(VolumeError::Request("the name of the image is not Unicode"))?;
    let folder = Dir::open_ambient_dir(folder, ambient_authority())
        .map_err(|error| VolumeError::host("opening the folder of", shown, error))?;
    Ok((folder, name.to_owned()))
}

/// The journal of an image that belongs to no store.
pub(super) fn journal_of(image: &Path) -> Result<Journal> {
    let (folder, name) = folder_of_image(image)?;
    Ok(Journal {
        folder,
        name: format!("{name}{JOURNAL_SUFFIX}"),
    })
}

/// Where the journal of an image stands, by its full path.
fn journal_path(image: PathBuf) -> Option<PathBuf> {
    let name = image.file_name()?.to_str()?;
    Some(image.with_file_name(format!("{name}{JOURNAL_SUFFIX}")))
}

/// Changes what is in an image that nobody uses: all of it, or nothing. `gate` leads to the parents of a
/// differencing one, which are only read.
///
/// # Errors
/// As for [`Store::change`].
pub fn change_image<T>(
    image: &Path,
    format: Option<ImageFormat>,
    gate: &dyn ParentGate,
    options: ChangeOptions,
    work: ChangeWork<'_, T>,
) -> Result<T> {
    let journal = journal_of(image)?;
    let name = image.display().to_string();
    let disk = open_image_for_writing(image, format, gate)?;
    change_locked(disk, &journal, &name, options, work)
}

/// Opens the disk in an image that nobody uses for reading and writing, with its parents, which `gate`
/// finds. A change that a crash cut short is completed first.
///
/// # Errors
/// As for [`Store::open_for_writing`]; for the parents, those of [`vdisk::open_chain`].
pub fn open_image_for_writing(
    image: &Path,
    format: Option<ImageFormat>,
    gate: &dyn ParentGate,
) -> Result<Box<dyn ImageDisk>> {
    let journal = journal_of(image)?;
    let name = image.display().to_string();
    let storage = FileStorage::open(image, FileAccess::ReadWrite)?;
    open_locked(Box::new(storage), format, gate, &journal, &name)
}

/// The change of an image that a crash cut short, for those who read.
///
/// # Errors
/// `Damaged`, `Io`.
pub fn pending_image_change(image: &Path) -> Result<Option<ChangeSet>> {
    // Reading an image asks nothing of its folder unless there is something in it to be read.
    let Some(journal) = image.canonicalize().ok().and_then(journal_path) else {
        return Ok(None);
    };
    match journal.symlink_metadata() {
        Ok(_) => journal_of(image)?.pending(),
        Err(_) => Ok(None),
    }
}

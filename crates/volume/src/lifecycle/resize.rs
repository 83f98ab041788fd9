//! Another size for a volume, or for an image that belongs to no store: the image, the partition
//! table, the last partition and its file system, all of it or nothing.
//!
//! ```text
//!   growing                          shrinking
//!     journal: the disk grows          change made: data moved to free clusters
//!     image grows                      journal: the change, and the size     <- has happened
//!     change made                      written to the image
//!     journal: the change  <- has      image is cut
//!     written to the image  happened   journal removed
//!     journal removed
//! ```
//! After a crash before it has happened the next command makes the image as long as it was; after a
//! crash later it goes on.

use std::ops::ControlFlow;
use std::path::Path;

use blockio::ByteCount;
use mkfs::change::{ChangeError, ChangeOptions, ChangeSet, Growth, forget};
use mkfs::resize::DiskResize;
use vdisk::{ImageDisk, ImageFormat, ParentGate};

use super::change::{Journal, cut, journal_of, open_image_for_writing};
use crate::error::{Result, VolumeError};
use crate::name::VolumeName;
use crate::record::VolumeRecord;
use crate::store::Store;

/// How a disk is to change.
#[derive(Clone, Copy, Debug)]
pub struct ResizeRequest {
    /// Its new size.
    pub size: NewSize,
    /// Leave the partition table and the file systems as they are.
    pub image_only: bool,
    /// Change nothing, only find out what would be done.
    pub dry_run: bool,
    /// How a volume is changed.
    pub options: ChangeOptions,
}

/// A size, or a difference to the one a disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewSize {
    /// So many bytes.
    Exactly(ByteCount),
    /// So many more.
    More(ByteCount),
    /// So many less.
    Less(ByteCount),
}

/// What was done, or would be.
#[derive(Clone, Debug)]
pub struct Resized {
    /// Bytes of the disk before and after.
    pub size: (ByteCount, ByteCount),
    /// What becomes of the last partition and its file system; `None` for the image alone.
    pub disk: Option<DiskResize>,
}

/// Is told bytes moved; `Break` ends the work, with nothing done.
pub type ResizeProgress<'p> = &'p dyn Fn(u64) -> ControlFlow<()>;

impl NewSize {
    fn of(self, size: ByteCount, sector: u64) -> Result<ByteCount> {
        let wanted = match self {
            Self::Exactly(wanted) => Some(wanted.get()),
            Self::More(more) => size.get().checked_add(more.get()),
            Self::Less(less) => size.get().checked_sub(less.get()),
        };
        let wanted = wanted.filter(|wanted| *wanted >= sector);
        let wanted = wanted.ok_or(VolumeError::Request(
            "the size is none that a disk can have",
        ))?;
        Ok(ByteCount(wanted.div_ceil(sector).saturating_mul(sector)))
    }
}

/// An image that is locked and has nothing left to be done.
struct Work<'w> {
    disk: Box<dyn ImageDisk>,
    journal: &'w Journal,
    name: &'w str,
    request: ResizeRequest,
    progress: ResizeProgress<'w>,
}

impl Work<'_> {
    fn of_image(&self) -> impl Fn(vdisk::ImageError) -> VolumeError + use<> {
        let name = self.name.to_owned();
        move |source| VolumeError::Image {
            name: name.clone(),
            source,
        }
    }

    fn of_change(&self) -> impl Fn(ChangeError) -> VolumeError + use<> {
        let name = self.name.to_owned();
        move |source| VolumeError::Change {
            name: name.clone(),
            source,
        }
    }

    fn run(mut self) -> Result<Resized> {
        let old = self.disk.size();
        let sector = self.disk.logical_sector_size().bytes();
        let new = self.request.size.of(old, sector)?;
        let of_image = self.of_image();
        // Before anything is recorded: what is recorded must be possible to complete.
        self.disk.allow_size(new).map_err(&of_image)?;
        let disk = match (self.request.image_only, self.request.dry_run) {
            (true, true) => None,
            (true, false) => {
                self.disk.resize(new).map_err(&of_image)?;
                None
            }
            (false, true) => {
                let plan = mkfs::resize::plan(&*self.disk, new);
                Some(plan.map_err(self.of_change())?)
            }
            (false, false) if new < old => Some(self.shrink(new)?),
            (false, false) => Some(self.grow(old, new)?),
        };
        self.disk.close().map_err(of_image)?;
        Ok(Resized {
            size: (old, new),
            disk,
        })
    }

    fn change(&self, size: ByteCount) -> Result<(DiskResize, ChangeSet)> {
        let progress = |bytes, _| (self.progress)(bytes);
        mkfs::resize::resize(&*self.disk, size, self.request.options, &progress)
            .map_err(self.of_change())
    }

    fn grow(&mut self, old: ByteCount, new: ByteCount) -> Result<DiskResize> {
        let (of_image, of_change) = (self.of_image(), self.of_change());
        // What cannot be done is said before anything is.
        mkfs::resize::plan(&*self.disk, new).map_err(&of_change)?;
        let storage = self.journal.create()?;
        let begun = match new == old {
            true => Ok(()),
            false => Growth { from: old, to: new }
                .record(&storage)
                .map_err(&of_change)
                // The image grows when the journal that says so is durable.
                .and_then(|()| self.disk.resize(new).map_err(&of_image)),
        };
        let made = begun.and_then(|()| self.change(new));
        let (plan, change) = match made {
            Ok(made) => made,
            Err(error) => {
                drop(storage);
                self.undo(old)?;
                return Err(error);
            }
        };
        if !change.is_empty()
            && let Err(error) = change.begin(&*self.disk, &storage)
        {
            if matches!(error, ChangeError::Recorded(_)) {
                // The journal is what the next command goes on with.
                return Err(of_change(error));
            }
            drop(storage);
            self.undo(old)?;
            return Err(of_change(error));
        }
        drop(storage);
        self.journal.remove()?;
        Ok(plan)
    }

    /// The image gets its old size back, and then the journal goes.
    fn undo(&mut self, old: ByteCount) -> Result<()> {
        cut(&mut *self.disk, old, self.name)?;
        self.journal.remove()
    }

    fn shrink(&mut self, new: ByteCount) -> Result<DiskResize> {
        let of_change = self.of_change();
        let (plan, change) = self.change(new)?;
        let storage = self.journal.create()?;
        if let Err(error) = change.begin(&*self.disk, &storage) {
            if !matches!(error, ChangeError::Recorded(_)) {
                drop(storage);
                self.journal.remove()?;
            }
            return Err(of_change(error));
        }
        // Nothing behind the end is anybody's, and the journal says how far the disk is to reach.
        cut(&mut *self.disk, new, self.name)?;
        forget(&storage).map_err(|error| of_change(ChangeError::Recorded(error)))?;
        drop(storage);
        self.journal.remove()?;
        Ok(plan)
    }
}

impl Store {
    /// Gives a volume another size, with the partition and the file system in it.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `InvalidArgument` (a size that does not fit what is there), `Damaged`
    /// (also where the volume was not unmounted cleanly), `Unsupported`, `NoSpace`, `Interrupted`,
    /// `Io`.
    pub fn resize(
        &self,
        name: &VolumeName,
        request: ResizeRequest,
        progress: ResizeProgress<'_>,
    ) -> Result<Resized> {
        let (record, disk) = self.open_head(name)?;
        let journal = self.journal(&record)?;
        let name = record.name.as_str();
        let new = request
            .size
            .of(disk.size(), disk.logical_sector_size().bytes())?;
        // What the specification of a volume may not say is refused before anything is done.
        record.spec.with_size(new)?;
        let work = Work {
            disk,
            journal: &journal,
            name,
            request,
            progress,
        };
        let resized = work.run()?;
        if !request.dry_run {
            self.note_size(&record, new)?;
        }
        Ok(resized)
    }

    /// Records the size that the disk of a volume has, whose image the caller has locked.
    pub(super) fn note_size(&self, record: &VolumeRecord, size: ByteCount) -> Result<()> {
        if record.disk()?.size() == size {
            return Ok(());
        }
        let noted = VolumeRecord {
            spec: record.spec.with_size(size)?,
            ..record.clone()
        };
        self.database().write("noting a size", |rows| {
            if rows.replace(&noted)? {
                rows.set_stale(record.id, true)?;
            }
            Ok(())
        })?;
        self.refresh_rescue(record.id)
    }
}

/// As [`Store::resize`], with an image file; `gate` leads to the parents of a differencing one,
/// which are only read.
///
/// # Errors
/// As for [`Store::resize`].
pub fn resize_image(
    image: &Path,
    format: Option<ImageFormat>,
    gate: &dyn ParentGate,
    request: ResizeRequest,
    progress: ResizeProgress<'_>,
) -> Result<Resized> {
    let journal = journal_of(image)?;
    let name = image.display().to_string();
    let disk = open_image_for_writing(image, format, gate)?;
    let work = Work {
        disk,
        journal: &journal,
        name: &name,
        request,
        progress,
    };
    work.run()
}

//! Compacting the image of a volume, or one that belongs to no store, under its lock: what its file
//! systems do not use and what is zero gives its space back.

use std::ops::ControlFlow;
use std::path::Path;

use blockio::Disk;
use mkfs::MkfsError;
use mkfs::used::UsedMap;
use vdisk::{CompactReport, CompactRequest, ImageDisk, ImageFormat, ParentGate};

use super::change::open_image_for_writing;
use crate::error::{Result, VolumeError};
use crate::name::VolumeName;
use crate::store::Store;

/// What a compaction found and won.
#[derive(Clone, Debug)]
pub struct Compacted {
    /// What the file systems use.
    pub used: UsedMap,
    /// What was won, or would be.
    pub report: CompactReport,
}

/// Is told bytes done and to do; `Break` ends the work early, with the image whole.
pub type CompactProgress<'p> = &'p dyn Fn(u64, u64) -> ControlFlow<()>;

/// What the file systems of a disk use; `name` is what errors call it.
///
/// # Errors
/// `Io`. What is damaged is no error, but used.
pub fn used_map(disk: &dyn Disk, name: &str) -> Result<UsedMap> {
    mkfs::used::used(disk).map_err(|error| match error {
        MkfsError::Disk(error) => VolumeError::Disk(error),
        source => VolumeError::Mkfs {
            name: name.to_owned(),
            source,
        },
    })
}

fn compact_disk(
    mut disk: Box<dyn ImageDisk>,
    name: &str,
    dry_run: bool,
    progress: CompactProgress<'_>,
) -> Result<Compacted> {
    let of_image = |source| VolumeError::Image {
        name: name.to_owned(),
        source,
    };
    let used = used_map(&*disk, name)?;
    let request = CompactRequest {
        unused: used.unused(),
        dry_run,
        progress: &|at| progress(at.done.get(), at.total.get()),
    };
    let compacted = disk.compact(&request);
    // Also after a failure: closing cuts the file to what was won so far.
    let closed = disk.close();
    let report = compacted.map_err(of_image)?;
    closed.map_err(of_image)?;
    Ok(Compacted { used, report })
}

impl Store {
    /// Gives back the space in the image of a volume that nobody uses; with `dry_run`, only finds out
    /// what that would be.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged`, `Unsupported` (a fixed image), `NoSpace`, `Interrupted`,
    /// `Io`. The disk in the image reads as before also after an error.
    pub fn compact(
        &self,
        name: &VolumeName,
        dry_run: bool,
        progress: CompactProgress<'_>,
    ) -> Result<Compacted> {
        let (record, disk) = self.open_head(name)?;
        compact_disk(disk, record.name.as_str(), dry_run, progress)
    }
}

/// As [`Store::compact`], with an image file; `gate` leads to the parents of a differencing one,
/// which are only read.
///
/// # Errors
/// As for [`Store::compact`].
pub fn compact_image(
    image: &Path,
    format: Option<ImageFormat>,
    gate: &dyn ParentGate,
    dry_run: bool,
    progress: CompactProgress<'_>,
) -> Result<Compacted> {
    let disk = open_image_for_writing(image, format, gate)?;
    compact_disk(disk, &image.display().to_string(), dry_run, progress)
}

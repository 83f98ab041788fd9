//! Another size for a volume or an image file, with the partition table, the last partition and its
//! file system.

use std::fs;

use blockio::{ByteCount, ByteOffset};
use volume::{NewSize, ResizeRequest, Resized};

use crate::Engine;
use crate::change::options;
use crate::compact::refuse_parent;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::progress::{Progress, ProgressFn};
use crate::volumes::volume_name;

/// How an image is to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResizeImage {
    /// The image.
    pub image: ImageReference,
    /// Its new size.
    pub size: NewSize,
    /// Leave the partition table and the file systems as they are.
    pub image_only: bool,
    /// Change nothing, only find out what would be done.
    pub dry_run: bool,
}

/// What was done, or would be.
#[derive(Clone, Debug)]
pub struct ResizedImage {
    /// The volume or image as the caller named it.
    pub name: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Bytes of the disk before and after.
    pub size: (ByteCount, ByteCount),
    /// What becomes of the last partition, or of the file system that fills the disk.
    pub partition: Option<ResizedPartition>,
    /// Bytes of the smallest disk that what is on it fits in, where that can be told.
    pub minimum: Option<ByteCount>,
    /// Whether Windows did it, which has the image open.
    pub by_system: bool,
}

/// A partition that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResizedPartition {
    /// Where it begins on the disk.
    pub start: ByteOffset,
    /// Its bytes before and after; before is not told of a file system without a partition.
    pub size: (Option<ByteCount>, ByteCount),
    /// The file system in it.
    pub file_system: String,
}

impl Engine {
    /// Gives a volume or image another size: all of it, or nothing. An image that is the parent of
    /// others is refused, as far as its children lie beside it.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `InvalidArgument` (a size that does not fit what is there; the smallest
    /// that does is named), `Damaged` (also where the volume was not unmounted cleanly),
    /// `Unsupported`, `NoSpace`, `Interrupted`, `Io`.
    pub fn resize(&self, resize: &ResizeImage, progress: ProgressFn<'_>) -> Result<ResizedImage> {
        let report = |done| {
            progress(Progress {
                done: ByteCount(done),
                total: None,
                files: None,
            })
        };
        let request = ResizeRequest {
            size: resize.size,
            image_only: resize.image_only,
            dry_run: resize.dry_run,
            options: options(),
        };
        let resized = match &resize.image {
            ImageReference::File(path) => {
                // A file that is not there is said so as by every other verb.
                fs::metadata(path).map_err(Error::host("open", path))?;
                refuse_parent(path, "resizing")?;
                let gate = self.gate(&resize.image)?;
                volume::resize_image(path, None, &*gate, request, &report)
            }
            ImageReference::Volume(name) => {
                if let Some((record, claim)) = self.host_claim(name)? {
                    return self.resize_mounted(resize, (&record, &claim), progress);
                }
                self.store()?.resize(&volume_name(name)?, request, &report)
            }
        };
        let resized = resized.map_err(|error| match error.kind() {
            volume::VolumeErrorKind::Interrupted => Error::Interrupted,
            _ => error.into(),
        })?;
        Ok(describe(resize, &resized))
    }
}

fn describe(resize: &ResizeImage, resized: &Resized) -> ResizedImage {
    let partition = resized.disk.as_ref().and_then(|disk| {
        let range = disk.new_range?;
        Some(ResizedPartition {
            start: range.start(),
            size: (disk.partition.map(|old| old.len()), range.len()),
            file_system: disk.file_system.to_string(),
        })
    });
    ResizedImage {
        name: resize.image.to_string(),
        dry_run: resize.dry_run,
        size: resized.size,
        partition,
        minimum: resized.disk.as_ref().and_then(|disk| disk.minimum),
        by_system: false,
    }
}

//! Checking the file systems in a volume or an image file.
//!
//! Invariant: the image is opened for reading only.

use std::sync::Arc;

use blockio::{ByteCount, ByteOffset, Disk};
use volume::VolumeReport;
use volume::browse::BrowseError;

use crate::Engine;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::progress::{Progress, ProgressFn};

/// What a check of the file systems of an image found.
#[derive(Clone, Debug)]
pub struct CheckedVolumes {
    /// The volume or image as the caller named it.
    pub name: String,
    /// Each file system that could be checked, in the order of the partition table.
    pub volumes: Vec<CheckedVolume>,
}

/// What a check of one file system found.
#[derive(Clone, Debug)]
pub struct CheckedVolume {
    /// Where its partition begins on the disk.
    pub start: ByteOffset,
    /// Bytes of the partition.
    pub size: ByteCount,
    /// The findings.
    pub report: VolumeReport,
}

impl CheckedVolumes {
    /// Whether nothing is wrong with any of them.
    pub fn is_clean(&self) -> bool {
        self.volumes.iter().all(|volume| volume.report.is_clean())
    }
}

impl Engine {
    /// Checks every NTFS and FAT32 file system in a volume or an image, and changes nothing; damage
    /// is a finding, not an error.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Unsupported` (no file system that can be checked), `Damaged` (the
    /// image, the partition table, or a file system beyond being walked), `Interrupted`, `Io`.
    pub fn check_volume(
        &self,
        image: &ImageReference,
        progress: ProgressFn<'_>,
    ) -> Result<CheckedVolumes> {
        let disk: Box<dyn Disk> = self.open_disk(image, None)?;
        let disk: Arc<dyn Disk> = Arc::from(disk);
        let report = |done, total| {
            progress(Progress {
                done: ByteCount(done),
                total: Some(ByteCount(total)),
                files: None,
            })
        };
        let checked = volume::fsck::check(&disk, &report).map_err(|source| match source {
            BrowseError::Interrupted => Error::Interrupted,
            source if source.kind() == volume::VolumeErrorKind::Interrupted => Error::Interrupted,
            source => Error::Browse {
                image: image.to_string(),
                source,
            },
        })?;
        let volumes = checked.into_iter().map(|checked| CheckedVolume {
            start: checked.range.start(),
            size: checked.range.len(),
            report: checked.report,
        });
        Ok(CheckedVolumes {
            name: image.to_string(),
            volumes: volumes.collect(),
        })
    }
}

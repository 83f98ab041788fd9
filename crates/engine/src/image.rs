//! Image files and the images of volumes, opened to be read: what every verb on images starts with.
//!
//! Invariant: nothing here opens an image for writing, so that no verb changes a byte of what it
//! looks at.

use std::fmt;
use std::path::{Path, PathBuf};

use blockio::{Disk, FileAccess, FileStorage, Storage};
use vdisk::{Access, CheckReport, ImageError, ImageFormat, ImageInfo, ParentGate, RepairState};
use volume::VolumeError;

use crate::Engine;
use crate::error::{Error, Result};
use crate::parents::PathGate;
use crate::volumes::volume_ref;

/// An image, as callers name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageReference {
    /// A file of the host.
    File(PathBuf),
    /// The image of a volume in the store.
    Volume(String),
}

/// What is known of an image without reading its disk.
#[derive(Debug)]
pub struct ImageDescription {
    /// The image as the caller named it.
    pub name: String,
    /// What its format says.
    pub info: ImageInfo,
    /// The images below a differencing one, the nearest first, as far as they could be found.
    pub chain: Vec<ChainLink>,
    /// Why the chain ends before its base, where it does.
    pub chain_error: Option<Error>,
}

/// An image below a differencing one.
#[derive(Debug)]
pub struct ChainLink {
    /// Its file.
    pub name: String,
    /// What its format says.
    pub info: ImageInfo,
    /// Why it is not what its child was made on, where it is not.
    pub mismatch: Option<String>,
}

/// What a check of an image found.
#[derive(Debug)]
pub struct CheckedImage {
    /// The image as the caller named it.
    pub name: String,
    /// The findings.
    pub report: CheckReport,
    /// The images below a differencing one, the nearest first, and what was found in each.
    pub parents: Vec<(String, CheckReport)>,
}

impl CheckedImage {
    /// Whether neither the image nor one below it breaks a rule.
    pub fn is_sound(&self) -> bool {
        let mut parents = self.parents.iter();
        self.report.is_sound() && parents.all(|(_, report)| report.is_sound())
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Volume(name) => name.fmt(f),
        }
    }
}

impl Engine {
    /// Describes an image; `format` is probed where it is not given.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged`, `Unsupported`, `Io`.
    pub fn describe_image(
        &self,
        image: &ImageReference,
        format: Option<ImageFormat>,
    ) -> Result<ImageDescription> {
        let name = image.to_string();
        let storage = self.open_storage(image)?;
        let format = self.format_of(image, format)?;
        let info = vdisk::info(&*storage, format).map_err(Error::image("read", &name))?;
        let mut chain = Vec::new();
        let gate = self.gate(image)?;
        let walked = vdisk::walk_chain(&*storage, info.format, &*gate, &mut |linked| {
            chain.push(ChainLink {
                info: vdisk::info(&*linked.storage, Some(info.format))?,
                name: linked.name,
                mismatch: linked.mismatch.map(|error| error.to_string()),
            });
            Ok(())
        });
        let chain_error = walked.err().map(Error::image("open the chain of", &name));
        Ok(ImageDescription {
            name,
            info,
            chain,
            chain_error,
        })
    }

    /// The gate to the parents of an image: of a file, those that lie in its folder or were given; of
    /// a volume, the layers of the store below it.
    pub(crate) fn gate(&self, image: &ImageReference) -> Result<Box<dyn ParentGate>> {
        match image {
            ImageReference::File(path) => {
                let gate = PathGate::new(path, self.config().parents());
                Ok(Box::new(
                    gate.map_err(Error::image("open", image.to_string()))?,
                ))
            }
            ImageReference::Volume(name) => Ok(self.store()?.parent_gate(&volume_ref(name)?)?),
        }
    }

    /// Checks the structure of an image, and of all below it, without changing a byte; damage is a finding, not an error.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged` where the file is no image of the format, `Io`.
    pub fn check_image(
        &self,
        image: &ImageReference,
        format: Option<ImageFormat>,
    ) -> Result<CheckedImage> {
        let name = image.to_string();
        let storage = self.open_storage(image)?;
        let format = self.format_of(image, format)?;
        let mut report = vdisk::check(&*storage, format).map_err(Error::image("check", &name))?;
        if self.repair_state(image)? == Some(RepairState::Begun) {
            let message = "a repair was cut short; `cvol check --repair` completes it";
            report.error("repair backup", None, message);
        }
        let mut parents = Vec::new();
        if report.is_sound() {
            let format = report.format;
            let gate = self.gate(image)?;
            let walked = vdisk::walk_chain(&*storage, format, &*gate, &mut |linked| {
                let mut below = vdisk::check(&*linked.storage, Some(format))?;
                if let Some(mismatch) = linked.mismatch {
                    below.absorb(mismatch)?;
                }
                parents.push((linked.name, below));
                Ok(())
            });
            match walked {
                Ok(()) => {}
                Err(
                    error @ (ImageError::ParentDenied { .. } | ImageError::Differencing { .. }),
                ) => report.note("parent", None, format!("not checked: {error}")),
                Err(error) => report
                    .absorb(error)
                    .map_err(Error::image("check the chain of", &name))?,
            }
        }
        Ok(CheckedImage {
            name,
            report,
            parents,
        })
    }

    /// Opens the disk in an image for reading. A change that a crash cut short is seen as complete.
    pub(crate) fn open_disk(
        &self,
        image: &ImageReference,
        format: Option<ImageFormat>,
    ) -> Result<Box<dyn Disk>> {
        let storage = self.open_storage(image)?;
        let format = self.format_of(image, format)?;
        let gate = self.gate(image)?;
        let disk = vdisk::open_chain(storage, format, Access::ReadOnly, &*gate)
            .map_err(Error::image("open", image.to_string()))?;
        // Looked for with the lock held: nobody begins or completes a change meanwhile.
        let pending = match image {
            ImageReference::File(path) => volume::pending_image_change(path)?,
            ImageReference::Volume(name) => self.pending_change(name)?,
        };
        let Some(change) = pending else {
            return Ok(disk);
        };
        let view = change
            .complete_view(disk)
            .map_err(|source| VolumeError::Change {
                name: image.to_string(),
                source,
            })?;
        Ok(Box::new(view))
    }

    /// How far a repair has come whose backup lies beside the image.
    pub(crate) fn repair_state(&self, image: &ImageReference) -> Result<Option<RepairState>> {
        Ok(match image {
            ImageReference::File(path) => volume::image_repair_state(path)?,
            ImageReference::Volume(name) => {
                let named = volume_ref(name)?;
                match named.snapshot {
                    // Nobody writes to a snapshot.
                    Some(_) => None,
                    None => self.store()?.repair_state(&named.volume)?,
                }
            }
        })
    }

    pub(crate) fn open_storage(&self, image: &ImageReference) -> Result<Box<dyn Storage>> {
        match image {
            ImageReference::File(path) => open_file(path),
            ImageReference::Volume(name) => self.open_volume_storage(name),
        }
    }

    /// The format to read an image as: what the caller says, else what the store knows of its
    /// volume, else (for a file) `None`, to be probed. A volume is never probed: a guest can write
    /// into a raw disk whatever looks like another format.
    pub(crate) fn format_of(
        &self,
        image: &ImageReference,
        given: Option<ImageFormat>,
    ) -> Result<Option<ImageFormat>> {
        match (given, image) {
            (Some(format), _) => Ok(Some(format)),
            (None, ImageReference::Volume(name)) => self.volume_format(name).map(Some),
            (None, ImageReference::File(_)) => Ok(None),
        }
    }
}

fn open_file(path: &Path) -> Result<Box<dyn Storage>> {
    let storage = FileStorage::open(path, FileAccess::ReadOnly)
        .map_err(Error::image("open", path.display().to_string()))?;
    Ok(Box::new(storage))
}

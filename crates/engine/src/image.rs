//! Image files and the images of volumes, opened to be read: what every verb on images starts with.
//!
//! Invariant: nothing here opens an image for writing, so that no verb changes a byte of what it
//! looks at.

use std::fmt;
use std::path::{Path, PathBuf};

use blockio::{FileAccess, FileStorage, Storage};
use vdisk::{Access, CheckReport, ImageDisk, ImageFormat, ImageInfo};

use crate::Engine;
use crate::error::{Error, Result};

/// An image, as callers name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageReference {
    /// A file of the host.
    File(PathBuf),
    /// The image of a volume in the store.
    Volume(String),
}

/// What is known of an image without reading its disk.
#[derive(Clone, Debug)]
pub struct ImageDescription {
    /// The image as the caller named it.
    pub name: String,
    /// What its format says.
    pub info: ImageInfo,
}

/// What a check of an image found.
#[derive(Debug)]
pub struct CheckedImage {
    /// The image as the caller named it.
    pub name: String,
    /// The findings.
    pub report: CheckReport,
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
        Ok(ImageDescription { name, info })
    }

    /// Checks the structure of an image without changing a byte; damage is a finding, not an error.
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
        let report = vdisk::check(&*storage, format).map_err(Error::image("check", &name))?;
        Ok(CheckedImage { name, report })
    }

    /// Opens the disk in an image for reading.
    pub(crate) fn open_disk(
        &self,
        image: &ImageReference,
        format: Option<ImageFormat>,
    ) -> Result<Box<dyn ImageDisk>> {
        let storage = self.open_storage(image)?;
        let format = self.format_of(image, format)?;
        vdisk::open(storage, format, Access::ReadOnly)
            .map_err(Error::image("open", image.to_string()))
    }

    fn open_storage(&self, image: &ImageReference) -> Result<Box<dyn Storage>> {
        match image {
            ImageReference::File(path) => open_file(path),
            ImageReference::Volume(name) => self.open_volume_storage(name),
        }
    }

    /// The format to read an image as: what the caller says, else what the store knows of its
    /// volume, else (for a file) `None`, to be probed. A volume is never probed: a guest can write
    /// into a raw disk whatever looks like another format.
    fn format_of(
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

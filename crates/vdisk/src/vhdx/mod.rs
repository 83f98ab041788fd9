//! VHDX images.

use blockio::Storage;

use crate::error::ImageError;
use crate::image::{Access, CreateOptions, ImageDisk};
use crate::info::ImageInfo;
use crate::report::CheckReport;

/// Creates an image.
pub(crate) fn create(
    _storage: Box<dyn Storage>,
    _options: &CreateOptions,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    Err(ImageError::unsupported("vhdx"))
}

/// Opens an image.
pub(crate) fn open(
    _storage: Box<dyn Storage>,
    _access: Access,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    Err(ImageError::unsupported("vhdx"))
}

/// Facts of an image, also of a differencing one.
pub(crate) fn info(_storage: &dyn Storage) -> Result<ImageInfo, ImageError> {
    Err(ImageError::unsupported("vhdx"))
}

/// Checks an image without changing it.
pub(crate) fn check(_storage: &dyn Storage) -> Result<CheckReport, ImageError> {
    Err(ImageError::unsupported("vhdx"))
}

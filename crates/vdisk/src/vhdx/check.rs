//! Checking an image without changing a byte.
use crate::error::ImageError;
use crate::image::ImageFormat;
use crate::report::CheckReport;
use blockio::Storage;
/// Checks an image without changing it.
pub(crate) fn check(storage: &dyn Storage) -> Result<CheckReport, ImageError> {
    let mut report = CheckReport::new(ImageFormat::Vhdx);
    match super::open::read_structure(storage) {
        Ok(_) => {}
        Err(e) => report.absorb(e)?,
    }
    Ok(report)
}

//! Fixed VHDs: the bytes of the disk with a footer behind them.

use blockio::Storage;

use super::footer::{Found, RULE};
use super::open;
use crate::error::ImageError;
use crate::flat::FlatDisk;
use crate::image::{Access, ImageDisk};

/// Opens a fixed VHD whose footer was found.
///
/// # Errors
/// `Damaged`, `ReadOnly`.
pub(super) fn open_found(
    storage: Box<dyn Storage>,
    access: Access,
    found: &Found,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    check_length(found)?;
    let info = open::describe(found, None, None);
    let stored = info.virtual_size.get();
    Ok(Box::new(FlatDisk::new(storage, access, info, stored)?))
}

/// Refuses a file that is too short for its disk.
///
/// # Errors
/// `Damaged`.
pub(super) fn check_length(found: &Found) -> Result<(), ImageError> {
    if found.footer.size.get() > found.data_limit {
        return Err(ImageError::damaged(
            RULE,
            format!(
                "fixed disk of {} in {} bytes of data",
                found.footer.size, found.data_limit
            ),
        ));
    }
    Ok(())
}

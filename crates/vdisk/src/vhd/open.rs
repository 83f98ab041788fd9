//! Opening and describing a VHD of any kind.

use blockio::{ByteCount, SectorSize, Storage};

use super::bat::Bat;
use super::dynamic::DynamicDisk;
use super::fixed;
use super::footer::{self, Found};
use super::locator;
use super::sparse::{self, Header};
use crate::error::ImageError;
use crate::image::{Access, ImageDisk, ImageFormat};
use crate::info::{ImageInfo, ImageKind, ParentInfo};

/// Opens a fixed or dynamic VHD.
///
/// # Errors
/// `NotAnImage`, `Damaged`, `Unsupported`, `Differencing`, `ReadOnly`, `Io`.
pub(crate) fn open(
    storage: Box<dyn Storage>,
    access: Access,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    let found = footer::find(&*storage)?;
    match found.footer.kind {
        ImageKind::Fixed => fixed::open_found(storage, access, &found),
        ImageKind::Dynamic | ImageKind::Differencing => {
            Ok(Box::new(DynamicDisk::open_found(storage, access, &found)?))
        }
    }
}

/// Facts of a VHD, also of a differencing one.
///
/// # Errors
/// `NotAnImage`, `Damaged`, `Unsupported`, `Io`.
pub(crate) fn info(storage: &dyn Storage) -> Result<ImageInfo, ImageError> {
    let found = footer::find(storage)?;
    if found.footer.kind == ImageKind::Fixed {
        fixed::check_length(&found)?;
        return Ok(describe(&found, None, None));
    }
    let header = sparse::read_header(storage, &found)?;
    let bat = Bat::load(storage, &header.layout)?;
    let parent = match found.footer.kind {
        ImageKind::Differencing => Some(locator::parent_info(storage, &header, found.file_length)?),
        ImageKind::Fixed | ImageKind::Dynamic => None,
    };
    Ok(describe(&found, Some((&header, &bat)), parent))
}

/// The error that refuses the data of a differencing disk: it names the parent.
///
/// # Errors
/// `Io` where the parent's name cannot be read.
pub(super) fn refuse_differencing(
    storage: &dyn Storage,
    header: &Header,
    found: &Found,
) -> Result<ImageError, ImageError> {
    let parent = locator::parent_info(storage, header, found.file_length)?;
    Ok(ImageError::Differencing {
        parent: parent.display_name(),
    })
}

/// What the structures say, in the common form.
pub(super) fn describe(
    found: &Found,
    blocks: Option<(&Header, &Bat)>,
    parent: Option<ParentInfo>,
) -> ImageInfo {
    let block_size = blocks.map(|(header, _)| ByteCount(header.layout.block_size));
    let allocated = blocks.map_or(found.footer.size, |(header, bat)| {
        let count = u64::try_from(bat.allocated().count()).unwrap_or(u64::MAX);
        ByteCount(count.saturating_mul(header.layout.block_size))
    });
    ImageInfo {
        format: ImageFormat::Vhd,
        kind: found.footer.kind,
        virtual_size: found.footer.size,
        logical_sector: SectorSize::B512,
        physical_sector: SectorSize::B512,
        block_size,
        allocated,
        file_length: ByteCount(found.file_length),
        ids: vec![("unique id", found.footer.unique_id.to_string())],
        creator: found.footer.creator.clone(),
        dirty_log: false,
        parent,
    }
}

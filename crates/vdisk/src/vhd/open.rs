//! Opening and describing a VHD of any kind.

use std::sync::Arc;

use blockio::{ByteCount, SectorSize, Storage};

use super::bat::Bat;
use super::child::Child;
use super::dynamic::DynamicDisk;
use super::fixed;
use super::footer::{self, Found};
use super::layer::link_facts;
use super::locator;
use super::sparse::{self, Header};
use crate::chain::{Chain, ChainDisk, open_parents};
use crate::error::ImageError;
use crate::gate::ParentGate;
use crate::image::{Access, ImageDisk, ImageFormat};
use crate::info::{ImageInfo, ImageKind, ParentInfo};
use crate::merge::Taker;

/// Opens a VHD with its parents.
///
/// # Errors
/// `NotAnImage`, `Damaged`, `Unsupported`, `ReadOnly`, `Io`, and those of the parents.
pub(crate) fn open(
    storage: Box<dyn Storage>,
    access: Access,
    gate: &dyn ParentGate,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    let found = footer::find(&*storage)?;
    match found.footer.kind {
        ImageKind::Fixed => fixed::open_found(storage, access, &found),
        ImageKind::Dynamic => Ok(Box::new(DynamicDisk::open_found(storage, access, &found)?)),
        ImageKind::Differencing => {
            let facts = link_facts(&*storage)?;
            let parents = open_parents(ImageFormat::Vhd, &facts, gate)?;
            let mut child = DynamicDisk::open_found(storage, access, &found)?;
            child.set_parent_info(facts.parent);
            if access == Access::ReadOnly {
                return Ok(Box::new(ChainDisk::new(Box::new(child), parents)));
            }
            child.child = Some(Child::new(Arc::new(Chain::new(parents))));
            Ok(Box::new(child))
        }
    }
}

/// Opens a child for writing whose parents are open and known to be the right ones.
pub(super) fn open_child(
    storage: Box<dyn Storage>,
    parents: Chain,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    let found = footer::find(&*storage)?;
    let facts = link_facts(&*storage)?;
    let mut child = DynamicDisk::open_found(storage, Access::ReadWrite, &found)?;
    child.set_parent_info(facts.parent);
    child.child = Some(Child::new(Arc::new(parents)));
    Ok(Box::new(child))
}

/// Opens a child to take in what others hold; where it holds nothing, `below` shows.
pub(crate) fn open_taker(
    storage: Box<dyn Storage>,
    below: Arc<Chain>,
) -> Result<Box<dyn Taker>, ImageError> {
    let found = footer::find(&*storage)?;
    let mut child = DynamicDisk::open_found(storage, Access::ReadWrite, &found)?;
    child.child = Some(Child::new(below));
    Ok(Box::new(child))
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

//! Opening images of a chain for writing, and giving them other parents, whatever their format.

use std::sync::Arc;

use blockio::Storage;
use uuid::Uuid;

use super::Chain;
use crate::child::ParentNames;
use crate::error::ImageError;
use crate::gate::OpenedParent;
use crate::image::{Access, ImageDisk, ImageFormat};
use crate::info::ParentInfo;
use crate::merge::Taker;
use crate::{vhd, vhdx};

fn raw_image() -> ImageError {
    ImageError::unsupported("raw image in a chain")
}

/// Opens a child to take in what others hold; where it holds nothing, `below` shows.
pub(crate) fn open_taker(
    format: ImageFormat,
    storage: Box<dyn Storage>,
    below: Arc<Chain>,
) -> Result<Box<dyn Taker>, ImageError> {
    match format {
        ImageFormat::Vhdx => vhdx::open_taker(storage, below),
        ImageFormat::Vhd => vhd::open_taker(storage, below),
        ImageFormat::Raw | ImageFormat::Qcow2 => Err(raw_image()),
    }
}

/// Opens a parent for writing; from its first write on it is known by `identity`, where the format
/// has such a thing.
pub(crate) fn open_into(
    format: ImageFormat,
    parent: OpenedParent,
    identity: Uuid,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    match format {
        ImageFormat::Vhdx => vhdx::open_as(parent.storage, &*parent.gate, identity),
        ImageFormat::Vhd => vhd::open(parent.storage, Access::ReadWrite, &*parent.gate),
        ImageFormat::Raw | ImageFormat::Qcow2 => Err(raw_image()),
    }
}

/// Gives a child another parent, known by an identifier and called by names; with `None`, it stands
/// alone from now on.
pub(crate) fn relink(
    format: ImageFormat,
    storage: Arc<dyn Storage>,
    parent: Option<(Uuid, &ParentNames)>,
) -> Result<(), ImageError> {
    if let Some((_, names)) = parent {
        crate::child::check_names(names)?;
    }
    match format {
        ImageFormat::Vhdx => {
            let parent = parent.map(|(linkage, names)| vhdx::parent_of(linkage, names));
            vhdx::relink(Box::new(storage), parent.as_ref())
        }
        ImageFormat::Vhd => vhd::relink(&*storage, parent),
        ImageFormat::Raw | ImageFormat::Qcow2 => Err(raw_image()),
    }
}

/// Tells a child both what its parent is known by and what it will be known by; nothing to do where
/// writing does not change that.
pub(crate) fn relink_twice(
    format: ImageFormat,
    storage: Arc<dyn Storage>,
    named: &ParentInfo,
    now: Uuid,
    soon: Uuid,
) -> Result<(), ImageError> {
    match format {
        ImageFormat::Vhdx => {
            let parent = ParentInfo {
                linkage: Some(now),
                linkage2: Some(soon),
                paths: named.paths.clone(),
            };
            vhdx::relink(Box::new(storage), Some(&parent))
        }
        _ => Ok(()),
    }
}

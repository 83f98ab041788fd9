//! Making a differencing image on a parent.
//!
//! The new child holds nothing, so that its disk is the parent's. From then on the parent must not
//! change: a VHDX child notices, since it remembers the parent's data write GUID; a VHD child
//! remembers the parent's unique id, which writing does not change.

use blockio::{ByteCount, SectorSize, Storage};
use uuid::Uuid;

use crate::chain::{Chain, open_layer, open_parents};
use crate::error::ImageError;
use crate::gate::OpenedParent;
use crate::ids::IdSource;
use crate::image::{ImageDisk, ImageFormat};
use crate::{vhd, vhdx};

/// What a new child is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildOptions {
    /// Size of the disk; `None` for the parent's. What is more than the parent's reads zero.
    pub size: Option<ByteCount>,
    /// Bytes in a block; `None` for what Windows would choose.
    pub block_size: Option<ByteCount>,
    /// What the child calls its parent.
    pub names: ParentNames,
    /// Where identifiers come from.
    pub ids: IdSource,
    /// Time of creation in seconds since 1970-01-01 UTC, for formats that record it.
    pub unix_time: u64,
}

/// What a child calls its parent: ways that Windows would go, in its own spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentNames {
    /// From the child's folder, such as `.\base.vhdx`.
    pub relative: Option<String>,
    /// From the top of a volume, such as `\\?\Volume{...}\images\base.vhdx`. VHDX only.
    pub volume: Option<String>,
    /// From a drive, such as `C:\images\base.vhdx`.
    pub absolute: Option<String>,
}

/// A child to be written, with what it needs to know of its parent.
pub(crate) struct NewChild<'a> {
    pub(crate) options: &'a ChildOptions,
    pub(crate) size: ByteCount,
    pub(crate) logical_sector: SectorSize,
    pub(crate) physical_sector: SectorSize,
    /// What the child remembers its parent by.
    pub(crate) linkage: Uuid,
}

/// Longest name of a parent, in UTF-16 units: what Windows opens at most.
const MAX_NAME_UNITS: usize = 32767;

/// Makes a child of `parent` in the empty `storage` and opens it for reading and writing.
///
/// # Errors
/// `InvalidOption` or `TooLarge` where the options do not fit the format or the parent, what opening
/// the parent and its parents fails with, `NoSpace`, `Io`.
pub fn create_child(
    storage: Box<dyn Storage>,
    format: ImageFormat,
    options: &ChildOptions,
    parent: OpenedParent,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    check_names(&options.names)?;
    if storage.len()?.get() != 0 {
        return Err(ImageError::invalid_option("storage", "it is not empty"));
    }
    if format == ImageFormat::Qcow2 {
        return Err(ImageError::unsupported(
            "making a qcow2 image on a backing file",
        ));
    }
    if format == ImageFormat::Raw {
        return Err(ImageError::invalid_option(
            "format",
            "a raw image has no place for a parent",
        ));
    }
    let facts = crate::chain::link_facts(format, &*parent.storage)?;
    let ancestors = open_parents(format, &facts, &*parent.gate)?;
    let layer = open_layer(format, parent.storage)?;
    let size = options.size.unwrap_or(facts.size);
    if size < facts.size {
        let reason = format!("{size} is less than the {} of the parent", facts.size);
        return Err(ImageError::invalid_option("size", reason));
    }
    let child = NewChild {
        options,
        size,
        logical_sector: facts.logical_sector,
        physical_sector: facts.physical_sector,
        linkage: facts.linkage,
    };
    let parents = Chain::new(std::iter::once(layer).chain(ancestors).collect());
    match format {
        ImageFormat::Vhdx => vhdx::create_child(storage, &child, parents),
        ImageFormat::Vhd | ImageFormat::Raw | ImageFormat::Qcow2 => {
            vhd::create_child(storage, &child, parents)
        }
    }
}

pub(crate) fn check_names(names: &ParentNames) -> Result<(), ImageError> {
    let all = [&names.relative, &names.volume, &names.absolute];
    let mut given = all.into_iter().flatten().peekable();
    if given.peek().is_none() {
        let reason = "the child would not know where it is";
        return Err(ImageError::invalid_option("name of the parent", reason));
    }
    for name in given {
        let units = name.encode_utf16().count();
        if units == 0 || units > MAX_NAME_UNITS || name.contains('\0') {
            let reason = format!("{units} UTF-16 units, or a zero among them");
            return Err(ImageError::invalid_option("name of the parent", reason));
        }
    }
    Ok(())
}

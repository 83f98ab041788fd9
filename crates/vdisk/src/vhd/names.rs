//! The names that a new child gives its parent, and where they stand in the file.
//!
//! As Windows lays it out: the absolute name (`W2ku`) at 4 KiB, then the table, then the relative
//! one (`W2ru`) with room for 64 KiB. The room is counted in bytes, as Windows does; the
//! specification says sectors.

use blockio::KIB;

use super::format::{RawLocator, SECTOR};
use super::sparse::{Layout, NO_LOCATOR};
use crate::child::ParentNames;
use crate::error::ImageError;

/// What the first name begins at, and names and table are aligned to.
const ALIGNMENT: u64 = 4 * KIB;
/// Room for a relative name.
const RELATIVE_SPACE: u64 = 64 * KIB;
/// UTF-16 units of the name in the header.
const HEADER_UNITS: usize = 256;

/// One name in the file.
pub(super) struct NamePlace {
    code: [u8; 4],
    pub(super) offset: u64,
    /// Bytes that are kept for it.
    pub(super) space: u64,
    pub(super) bytes: Vec<u8>,
}

/// Names of a parent, and where they go.
pub(super) struct NameBlock {
    names: Vec<NamePlace>,
    header_name: String,
}

/// The names of a new child and its layout, which they are a part of.
pub(super) struct NewNames {
    pub(super) layout: Layout,
    pub(super) names: NameBlock,
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

impl NewNames {
    /// Places the names around the table of a disk of `size` with blocks of `block_size`.
    ///
    /// # Errors
    /// `InvalidOption` where a relative name is too long.
    pub(super) fn lay_out(
        names: &ParentNames,
        size: u64,
        block_size: u64,
    ) -> Result<Self, ImageError> {
        let mut placed = Vec::new();
        let mut at = ALIGNMENT;
        if let Some(absolute) = &names.absolute {
            let bytes = utf16(absolute);
            let space = crate::bounds::buffer_len(&bytes).next_multiple_of(ALIGNMENT);
            placed.push(NamePlace {
                code: *b"W2ku",
                offset: at,
                space,
                bytes,
            });
            at += space;
        }
        let layout = Layout::new(size, block_size, at);
        if let Some(relative) = &names.relative {
            let bytes = utf16(relative);
            if crate::bounds::buffer_len(&bytes) > RELATIVE_SPACE - SECTOR {
                let reason = "a relative one must fit in 64 KiB";
                return Err(ImageError::invalid_option("name of the parent", reason));
            }
            placed.push(NamePlace {
                code: *b"W2ru",
                offset: layout.table_end().next_multiple_of(ALIGNMENT),
                space: RELATIVE_SPACE,
                bytes,
            });
        }
        Ok(Self {
            layout,
            names: NameBlock::new(placed, names),
        })
    }
}

impl NameBlock {
    fn new(placed: Vec<NamePlace>, names: &ParentNames) -> Self {
        let header_name = names.absolute.as_ref().or(names.relative.as_ref());
        Self {
            names: placed,
            header_name: header_name.cloned().unwrap_or_default(),
        }
    }

    /// Names one after another from `start` on, each in whole sectors.
    ///
    /// # Errors
    /// `InvalidOption` where a name is too long.
    pub(super) fn at(names: &ParentNames, start: u64) -> Result<Self, ImageError> {
        let given = [(*b"W2ku", &names.absolute), (*b"W2ru", &names.relative)];
        let mut placed = Vec::new();
        let mut at = start;
        for (code, name) in given {
            let Some(name) = name else { continue };
            let bytes = utf16(name);
            let space = crate::bounds::buffer_len(&bytes).next_multiple_of(SECTOR);
            if space > RELATIVE_SPACE {
                let reason = "it must fit in 64 KiB";
                return Err(ImageError::invalid_option("name of the parent", reason));
            }
            placed.push(NamePlace {
                code,
                offset: at,
                space,
                bytes,
            });
            at += space;
        }
        Ok(Self::new(placed, names))
    }

    /// First byte after the names.
    pub(super) fn end(&self) -> u64 {
        let ends = self.names.iter().map(|name| name.offset + name.space);
        ends.max().unwrap_or(0)
    }

    /// The name as it stands in the header: UTF-16, big-endian, cut to what there is room for.
    pub(super) fn header_name(&self) -> [u8; 512] {
        let mut name = [0; 512];
        let units = self.header_name.encode_utf16().take(HEADER_UNITS - 1);
        for (place, unit) in name.chunks_exact_mut(2).zip(units) {
            place.copy_from_slice(&unit.to_be_bytes());
        }
        name
    }

    /// The locators as they stand in the header.
    pub(super) fn locators(&self) -> [RawLocator; 8] {
        let mut locators = [NO_LOCATOR; 8];
        for (locator, name) in locators.iter_mut().zip(&self.names) {
            let count = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
            *locator = RawLocator {
                platform_code: name.code,
                platform_data_space: count(name.space).into(),
                platform_data_length: count(crate::bounds::buffer_len(&name.bytes)).into(),
                reserved: 0.into(),
                platform_data_offset: name.offset.into(),
            };
        }
        locators
    }

    /// The names and where they go.
    pub(super) fn places(&self) -> &[NamePlace] {
        &self.names
    }
}

//! The parent locator: what a differencing image says of its parent. Parsed, never followed.
//!
//! Invariant: the paths are bounded in number and length, and nothing here opens one.

use blockio::ByteOffset;
use uuid::Uuid;
use zerocopy::FromBytes;

use super::format::{ParentLocatorEntry, ParentLocatorHeader, VHDX_LOCATOR};
use crate::error::ImageError;
use crate::info::{ParentInfo, ParentPath};

const RULE: &str = "MS-VHDX 2.6.2.6";
/// Most pairs that are read; Windows writes five.
const MAX_PAIRS: u16 = 64;
/// The keys that hold a path, in the order in which Windows tries them.
const PATH_KEYS: [&str; 3] = ["relative_path", "volume_path", "absolute_win32_path"];

/// Reads a locator; `at` is where it stands in the file.
pub(super) fn decode(bytes: &[u8], at: ByteOffset) -> Result<ParentInfo, ImageError> {
    let damaged = |message: &str| ImageError::damaged_at(RULE, at, message);
    let (header, rest) = ParentLocatorHeader::ref_from_prefix(bytes)
        .map_err(|_| damaged("parent locator is too short"))?;
    let kind = Uuid::from(header.locator_type);
    if kind != VHDX_LOCATOR {
        return Err(ImageError::unsupported(format!(
            "parent locator of type {kind}"
        )));
    }
    let count = header.key_value_count.get();
    if count > MAX_PAIRS {
        return Err(damaged("parent locator has too many pairs"));
    }
    let mut pairs = Vec::new();
    let mut entries = rest.chunks_exact(size_of::<ParentLocatorEntry>());
    for _ in 0..count {
        let entry = entries
            .next()
            .and_then(|bytes| ParentLocatorEntry::ref_from_bytes(bytes).ok())
            .ok_or_else(|| damaged("parent locator is too short for its pairs"))?;
        let key = text(bytes, entry.key_offset.get(), entry.key_length.get());
        let value = text(bytes, entry.value_offset.get(), entry.value_length.get());
        match (key, value) {
            (Some(key), Some(value)) => pairs.push((key, value)),
            _ => return Err(damaged("pair of the parent locator lies outside it")),
        }
    }
    let value = |wanted: &str| {
        pairs
            .iter()
            .find(|(key, _)| key == wanted)
            .map(|(_, value)| value.clone())
    };
    // Windows writes a second linkage of zeros, which says nothing.
    let linkage = |key| {
        value(key)
            .and_then(|text| Uuid::try_parse(&text).ok())
            .filter(|id| !id.is_nil())
    };
    Ok(ParentInfo {
        linkage: linkage("parent_linkage"),
        linkage2: linkage("parent_linkage2"),
        paths: PATH_KEYS
            .into_iter()
            .filter_map(|kind| value(kind).map(|path| ParentPath { kind, path }))
            .collect(),
    })
}

fn text(bytes: &[u8], offset: u32, length: u16) -> Option<String> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::from(length))?;
    let units = bytes.get(start..end)?.chunks_exact(2);
    let units = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    Some(
        char::decode_utf16(units)
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect(),
    )
}

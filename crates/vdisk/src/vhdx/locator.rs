//! The parent locator: what a differencing image says of its parent. Parsed, never followed.
//!
//! Invariant: the paths are bounded in number and length, and nothing here opens one.

use blockio::ByteOffset;
use uuid::Uuid;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::format::{ParentLocatorEntry, ParentLocatorHeader, VHDX_LOCATOR};
use crate::error::ImageError;
use crate::info::{ParentInfo, ParentPath};

const RULE: &str = "MS-VHDX 2.6.2.6";
/// Most pairs that are read; Windows writes five.
const MAX_PAIRS: u16 = 64;
/// The key of the identifier that the parent had when its child was made.
const LINKAGE: &str = "parent_linkage";
/// The key of a second one, which a merge uses.
const LINKAGE2: &str = "parent_linkage2";
/// The key of the path from the child's folder.
pub(super) const RELATIVE_PATH: &str = "relative_path";
/// The key of the path from the top of a volume.
pub(super) const VOLUME_PATH: &str = "volume_path";
/// The key of the path from a drive.
pub(super) const ABSOLUTE_PATH: &str = "absolute_win32_path";
/// The keys that hold a path, in the order in which Windows tries them.
const PATH_KEYS: [&str; 3] = [RELATIVE_PATH, VOLUME_PATH, ABSOLUTE_PATH];

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
        linkage: linkage(LINKAGE),
        linkage2: linkage(LINKAGE2),
        paths: PATH_KEYS
            .into_iter()
            .filter_map(|kind| value(kind).map(|path| ParentPath { kind, path }))
            .collect(),
    })
}

/// The bytes of a locator, laid out as Windows does: pairs in the same order, each key in front of
/// its value, a second linkage of zeros.
pub(super) fn encode(parent: &ParentInfo) -> Result<Vec<u8>, ImageError> {
    let too_long = |_| ImageError::invalid_option("name of the parent", "too long for its field");
    let braced = |id: Option<Uuid>| format!("{{{}}}", id.unwrap_or(Uuid::nil()));
    let path = |kind: &'static str| {
        let path = parent.paths.iter().find(|path| path.kind == kind)?;
        Some((kind, path.path.clone()))
    };
    let pairs: Vec<(&str, String)> = [
        Some((LINKAGE, braced(parent.linkage))),
        path(ABSOLUTE_PATH),
        path(RELATIVE_PATH),
        path(VOLUME_PATH),
        Some((LINKAGE2, braced(parent.linkage2))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut header = ParentLocatorHeader::new_zeroed();
    header.locator_type = VHDX_LOCATOR.into();
    let count = u16::try_from(pairs.len()).map_err(too_long)?;
    header.key_value_count.set(count);
    let mut table = header.as_bytes().to_vec();
    let head = table.len() + pairs.len() * size_of::<ParentLocatorEntry>();
    let mut text = Vec::new();
    for (key, value) in pairs {
        let mut put = |word: &str| {
            let start = head + text.len();
            text.extend(word.encode_utf16().flat_map(u16::to_le_bytes));
            let length = head + text.len() - start;
            Ok::<_, std::num::TryFromIntError>((u32::try_from(start)?, u16::try_from(length)?))
        };
        let mut entry = ParentLocatorEntry::new_zeroed();
        let (offset, length) = put(key).map_err(too_long)?;
        entry.key_offset.set(offset);
        entry.key_length.set(length);
        let (offset, length) = put(&value).map_err(too_long)?;
        entry.value_offset.set(offset);
        entry.value_length.set(length);
        table.extend_from_slice(entry.as_bytes());
    }
    table.extend_from_slice(&text);
    Ok(table)
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

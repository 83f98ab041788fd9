//! What a differencing VHD says of its parent: the locators and the name in the header.
//!
//! All of it is advice of an untrusted file: lengths are bounded before they are believed, text is
//! decoded without loss of safety, and nothing here is ever opened.

use blockio::{ByteOffset, Storage};

use super::format::RawLocator;
use super::sparse::Header;
use crate::error::ImageError;
use crate::info::{ParentInfo, ParentPath};

/// Longest name that is read: what Windows can open, in UTF-16.
const MAX_NAME_BYTES: u32 = 64 * 1024;

/// How the text of a locator is encoded.
#[derive(Clone, Copy)]
enum Encoding {
    Utf16Le,
    Bytes,
}

/// Platform codes of VHD "Dynamic Disk Header Format", in the order they are to be tried:
/// relative before absolute, today's before yesterday's.
const PLATFORMS: [([u8; 4], &str, Encoding); 7] = [
    (*b"W2ru", "W2ru", Encoding::Utf16Le),
    (*b"W2ku", "W2ku", Encoding::Utf16Le),
    (*b"Wi2r", "Wi2r", Encoding::Bytes),
    (*b"Wi2k", "Wi2k", Encoding::Bytes),
    (*b"MacX", "MacX", Encoding::Bytes),
    (*b"Mac ", "Mac", Encoding::Bytes),
    (*b"prli", "prli", Encoding::Bytes),
];

/// Reads all names of the parent; those that lie outside the file or are too long are left out.
///
/// # Errors
/// `Io`.
pub(crate) fn parent_info(
    storage: &dyn Storage,
    header: &Header,
    file_length: u64,
) -> Result<ParentInfo, ImageError> {
    let mut paths = Vec::new();
    for (code, kind, encoding) in PLATFORMS {
        for locator in header.locators.iter().filter(|l| l.platform_code == code) {
            if let Some(bytes) = read_name(storage, locator, file_length)? {
                let path = decode(&bytes, encoding);
                paths.push(ParentPath { kind, path });
            }
        }
    }
    let name = utf16(
        header
            .parent_name
            .chunks_exact(2)
            .map(|b| u16::from_be_bytes([b[0], b[1]])),
    );
    if !name.is_empty() {
        paths.push(ParentPath {
            kind: "parent_unicode_name",
            path: name,
        });
    }
    Ok(ParentInfo {
        linkage: Some(header.parent_id),
        linkage2: None,
        paths,
    })
}

/// Whether a locator that is in use points to a name within the file.
pub(crate) fn is_sound(locator: &RawLocator, file_length: u64) -> bool {
    locator.platform_code == [0; 4] || bounds(locator, file_length).is_some()
}

/// First byte after the names of the parent that lie within the file, with the room that is kept for
/// them (in bytes, as Windows counts it; in sectors, as the specification says, it is too small to
/// matter).
pub(crate) fn names_end(header: &Header, file_length: u64) -> u64 {
    let used = header
        .locators
        .iter()
        .filter(|l| l.platform_code != [0; 4] && bounds(l, file_length).is_some());
    let end = |l: &RawLocator| {
        let length = l
            .platform_data_length
            .get()
            .max(l.platform_data_space.get());
        l.platform_data_offset
            .get()
            .saturating_add(u64::from(length))
    };
    used.map(end).max().unwrap_or(0).min(file_length)
}

fn bounds(locator: &RawLocator, file_length: u64) -> Option<(u64, usize)> {
    let len = locator.platform_data_length.get();
    let at = locator.platform_data_offset.get();
    let fits = at
        .checked_add(u64::from(len))
        .is_some_and(|end| end <= file_length);
    (fits && len <= MAX_NAME_BYTES).then(|| usize::try_from(len).ok().map(|len| (at, len)))?
}

fn read_name(
    storage: &dyn Storage,
    locator: &RawLocator,
    file_length: u64,
) -> Result<Option<Vec<u8>>, ImageError> {
    let Some((at, len)) = bounds(locator, file_length).filter(|(_, len)| *len != 0) else {
        return Ok(None);
    };
    let mut bytes = vec![0; len];
    storage.read_at(&mut bytes, ByteOffset(at))?;
    Ok(Some(bytes))
}

fn decode(bytes: &[u8], encoding: Encoding) -> String {
    match encoding {
        Encoding::Utf16Le => utf16(
            bytes
                .chunks_exact(2)
                .map(|b| u16::from_le_bytes([b[0], b[1]])),
        ),
        Encoding::Bytes => {
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        }
    }
}

fn utf16(units: impl Iterator<Item = u16>) -> String {
    let units = units.take_while(|unit| *unit != 0);
    char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

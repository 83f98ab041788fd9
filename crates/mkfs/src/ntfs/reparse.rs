//! Symbolic links as reparse points.
//!
//! Windows follows relative links with tag `SYMLINK`, in which backslashes separate names. A target
//! that this form cannot carry (absolute in the manner of Unix, with characters that are no part of
//! a Windows name, or not on the volume) is stored with tag `LX_SYMLINK`, the link of the Windows
//! Subsystem for Linux, which holds the text as it is. ntfs-3g shows both as the text that the source
//! had; of a `SYMLINK` it looks for the target and shows an error where that is missing.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, IntoBytes};

use super::format::{ReparseHeader, SymlinkHeader};
use super::narrow::{align8, to_u16};
use crate::error::MkfsError;

/// IO_REPARSE_TAG_SYMLINK ([MS-FSCC] 2.1.2.1).
const TAG_SYMLINK: u32 = 0xA000_000C;
/// IO_REPARSE_TAG_MOUNT_POINT ([MS-FSCC] 2.1.2.1).
const TAG_MOUNT_POINT: u32 = 0xA000_0003;
/// Bytes of the head of a junction's data: that of a link without its flags ([MS-FSCC] 2.1.2.5).
const JUNCTION_HEAD: usize = 8;
/// IO_REPARSE_TAG_LX_SYMLINK ([MS-FSCC] 2.1.2.1).
const TAG_LX_SYMLINK: u32 = 0xA000_001D;
/// The target is relative to the link.
const SYMLINK_RELATIVE: u32 = 1;
/// Version of LX_SYMLINK data; UTF-8 text follows.
const LX_SYMLINK_VERSION: u32 = 2;
/// In a tag: no GUID of the owner stands between head and data ([MS-FSCC] 2.1.2).
const TAG_IS_MICROSOFTS: u32 = 0x8000_0000;
const GUID_LENGTH: usize = 16;
/// Most bytes of reparse data with its head ([MS-FSCC] 2.1.2.2).
const MAX_LENGTH: usize = 16 * 1024;

const SLASH: u16 = 0x2F;
const BACKSLASH: u16 = 0x5C;
const COLON: u16 = 0x3A;

/// A reparse point: its tag and its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReparsePoint {
    pub tag: u32,
    pub value: Vec<u8>,
}

impl ReparsePoint {
    /// Whether Windows itself follows it.
    pub(super) const fn is_for_windows(&self) -> bool {
        self.tag == TAG_SYMLINK
    }
}

/// What a relative link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// A file of the volume.
    File,
    /// A directory of the volume.
    Directory,
    /// Another link of the volume.
    Link,
    /// Nothing on the volume, or nothing with exactly these names.
    Elsewhere,
}

/// Whether the data of a link or junction, head included, holds both of its names whole, in UTF-16
/// units. Data of other tags is as whole as its length says.
pub(super) fn has_whole_names(data: &[u8]) -> bool {
    let Ok((header, data)) = ReparseHeader::ref_from_prefix(data) else {
        return false;
    };
    let head = match header.tag.get() {
        TAG_SYMLINK => size_of::<SymlinkHeader>(),
        TAG_MOUNT_POINT => JUNCTION_HEAD,
        _ => return true,
    };
    let (Some(names), Some(places)) = (data.get(head..), data.first_chunk::<JUNCTION_HEAD>())
    else {
        return false;
    };
    let [s0, s1, s2, s3, p0, p1, p2, p3] = *places;
    [([s0, s1], [s2, s3]), ([p0, p1], [p2, p3])]
        .into_iter()
        .all(|(offset, length)| {
            let offset = usize::from(u16::from_le_bytes(offset));
            let length = usize::from(u16::from_le_bytes(length));
            offset % 2 == 0 && length % 2 == 0 && offset + length <= names.len()
        })
}

/// The reparse point whose data Windows handed out ([MS-FSCC] 2.1.2.2, 2.1.2.3). `None` where the
/// data is none: of the wrong length, too long, a link whose names stand outside it, or with a tag
/// that stands for no reparse point.
pub(super) fn raw(data: Vec<u8>) -> Option<ReparsePoint> {
    let (header, _) = ReparseHeader::ref_from_prefix(&data).ok()?;
    let tag = header.tag.get();
    let guid = if tag & TAG_IS_MICROSOFTS == 0 {
        GUID_LENGTH
    } else {
        0
    };
    let length = size_of::<ReparseHeader>() + guid + usize::from(header.length.get());
    let is_reserved = matches!(tag, 0 | 1);
    (length == data.len() && length <= MAX_LENGTH && !is_reserved && has_whole_names(&data))
        .then_some(ReparsePoint { tag, value: data })
}

/// The reparse point of a link to `target`, which is spelled with slashes. `None` where the target
/// cannot be stored.
pub(super) fn symlink(
    target: &[u16],
    destination: Destination,
) -> Result<Option<ReparsePoint>, MkfsError> {
    if target.is_empty() {
        return Ok(None);
    }
    let point = if is_windows_absolute(target) {
        let path = backslashed(target);
        let substitute: Vec<u16> = r"\??\".encode_utf16().chain(path.iter().copied()).collect();
        windows_symlink(&substitute, &path, 0)?
    } else if destination != Destination::Elsewhere && is_windows_relative(target) {
        let path = backslashed(target);
        windows_symlink(&path, &path, SYMLINK_RELATIVE)?
    } else {
        None
    };
    match point {
        Some(point) => Ok(Some(point)),
        None => unix_symlink(target),
    }
}

/// A drive letter, a colon and a slash.
fn is_windows_absolute(target: &[u16]) -> bool {
    matches!(target, [letter, COLON, SLASH, ..]
        if u8::try_from(*letter).is_ok_and(|letter| letter.is_ascii_alphabetic()))
}

/// Names that Windows can use, joined by single slashes.
fn is_windows_relative(target: &[u16]) -> bool {
    target
        .split(|unit| *unit == SLASH)
        .all(|name| !name.is_empty() && name.iter().all(|unit| is_name_unit(*unit)))
}

fn is_name_unit(unit: u16) -> bool {
    unit >= 0x20 && !br#"<>:"\|?*"#.iter().any(|byte| unit == u16::from(*byte))
}

fn backslashed(target: &[u16]) -> Vec<u16> {
    target
        .iter()
        .map(|unit| if *unit == SLASH { BACKSLASH } else { *unit })
        .collect()
}

/// `None` where the data would be too long.
fn windows_symlink(
    substitute: &[u16],
    print: &[u16],
    flags: u32,
) -> Result<Option<ReparsePoint>, MkfsError> {
    const HEADERS: usize = size_of::<ReparseHeader>() + size_of::<SymlinkHeader>();
    let (print_length, substitute_length) = (2 * print.len(), 2 * substitute.len());
    if HEADERS + print_length + substitute_length > MAX_LENGTH {
        return Ok(None);
    }
    let length = |bytes| to_u16(bytes, "a link of this length").map(U16::new);
    let header = SymlinkHeader {
        // The print name stands first, as Windows puts it.
        substitute_offset: length(print_length)?,
        substitute_length: length(substitute_length)?,
        print_offset: U16::ZERO,
        print_length: length(print_length)?,
        flags: U32::new(flags),
    };
    let mut data = header.as_bytes().to_vec();
    for unit in print.iter().chain(substitute) {
        data.extend_from_slice(&unit.to_le_bytes());
    }
    point(TAG_SYMLINK, &data).map(Some)
}

fn unix_symlink(target: &[u16]) -> Result<Option<ReparsePoint>, MkfsError> {
    let Ok(text) = String::from_utf16(target) else {
        return Ok(None);
    };
    let mut data = LX_SYMLINK_VERSION.to_le_bytes().to_vec();
    data.extend_from_slice(text.as_bytes());
    if size_of::<ReparseHeader>() + data.len() > MAX_LENGTH {
        return Ok(None);
    }
    point(TAG_LX_SYMLINK, &data).map(Some)
}

fn point(tag: u32, data: &[u8]) -> Result<ReparsePoint, MkfsError> {
    let header = ReparseHeader {
        tag: U32::new(tag),
        length: U16::new(to_u16(data.len(), "a link of this length")?),
        unused: U16::ZERO,
    };
    let mut value = Vec::with_capacity(align8(8 + data.len()));
    value.extend_from_slice(header.as_bytes());
    value.extend_from_slice(data);
    Ok(ReparsePoint { tag, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(target: &str) -> Option<ReparsePoint> {
        symlink(
            &target.encode_utf16().collect::<Vec<_>>(),
            Destination::File,
        )
        .unwrap()
    }

    #[test]
    fn an_absolute_windows_link_is_stored_as_windows_stores_it() {
        // `mklink a_link x:\a_directory\another_file` on a Windows 10 volume.
        let windows = "0c0000a08000000036003e00000036000000000078003a005c0061005f006400690072006500\
            630074006f00720079005c0061006e006f0074006800650072005f00660069006c0065005c003f003f005c00\
            78003a005c0061005f006400690072006500630074006f00720079005c0061006e006f007400680065007200\
            5f00660069006c006500";
        let point = link("x:/a_directory/another_file").unwrap();
        let ours: String = point.value.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(ours, windows);
    }

    #[test]
    fn relative_links_are_for_windows_and_others_for_unix() {
        for target in ["a", "../a b/c", "sub/dir", ".", "../..", "x/../../../y"] {
            let point = link(target).unwrap();
            assert_eq!(point.tag, TAG_SYMLINK, "{target}");
            assert_eq!(point.value[16..20], SYMLINK_RELATIVE.to_le_bytes());
        }
        for target in ["/etc/passwd", "a//b", "a/", "a:b", r"a\b", "/", "tab\t"] {
            let point = link(target).unwrap();
            assert_eq!(point.tag, TAG_LX_SYMLINK, "{target}");
            assert_eq!(point.value[12..], *target.as_bytes());
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_on_the_volume_keeps_its_text() {
        let target: Vec<u16> = "a/b".encode_utf16().collect();
        let point = symlink(&target, Destination::Elsewhere).unwrap().unwrap();
        assert_eq!(point.tag, TAG_LX_SYMLINK);
    }

    #[test]
    fn raw_data_must_be_as_long_as_it_says() {
        let microsoft = |length: u16, bytes: usize| {
            let mut data = 0xA000_0003_u32.to_le_bytes().to_vec();
            data.extend_from_slice(&length.to_le_bytes());
            data.resize(8 + bytes, 0);
            raw(data).map(|point| point.tag)
        };
        assert_eq!(microsoft(12, 12), Some(0xA000_0003));
        assert_eq!(microsoft(12, 13), None);
        assert_eq!(microsoft(16_376, 16_376), Some(0xA000_0003));
        assert_eq!(microsoft(16_377, 16_377), None);
        let guid = |bytes: usize| {
            let mut data = 0x0000_1234_u32.to_le_bytes().to_vec();
            data.extend_from_slice(&4_u32.to_le_bytes());
            data.resize(8 + bytes, 9);
            raw(data).map(|point| point.tag)
        };
        assert_eq!((guid(20), guid(4)), (Some(0x1234), None));
        assert_eq!(raw(vec![0; 24]), None);
        assert_eq!(raw(vec![0; 7]), None);
    }

    #[test]
    fn raw_links_hold_their_names() {
        for target in ["x:/a_directory/another_file", "a/b"] {
            let value = link(target).unwrap().value;
            assert!(raw(value.clone()).is_some());
            // Offsets and lengths of both names: past the end, and half a unit.
            for at in [8, 10, 12, 14] {
                for wrong in [[0xFE, 0x7F], [1, 0]] {
                    let mut value = value.clone();
                    value[at..at + 2].copy_from_slice(&wrong);
                    assert_eq!(raw(value), None, "{target} {at} {wrong:?}");
                }
            }
            let mut short = value[..16].to_vec();
            short[4] = 8;
            assert_eq!(raw(short), None);
        }
    }

    #[test]
    fn a_target_that_no_form_holds_is_none() {
        assert_eq!(link(""), None);
        assert_eq!(link(&"/x".repeat(9000)), None);
        assert_eq!(symlink(&[SLASH, 0xD800], Destination::File).unwrap(), None);
        // Too long twice over, but not once.
        assert_eq!(link(&"x".repeat(5000)).unwrap().tag, TAG_LX_SYMLINK);
    }
}

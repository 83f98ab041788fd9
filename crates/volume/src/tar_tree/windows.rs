//! What Windows knows of a file, as `backuptar` of go-winio writes it into PAX records: attributes,
//! security descriptors, links as reparse points.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mkfs::SecurityDescriptor;

use super::name::units_of;

/// IO_REPARSE_TAG_SYMLINK, _MOUNT_POINT, _LX_SYMLINK ([MS-FSCC] 2.1.2.1).
const TAG_SYMLINK: u32 = 0xA000_000C;
const TAG_MOUNT_POINT: u32 = 0xA000_0003;
const TAG_LX_SYMLINK: u32 = 0xA000_001D;
/// Set in tags that Microsoft gives out; others have a GUID behind the head.
const TAG_MICROSOFT: u32 = 0x8000_0000;
const HEAD_BYTES: usize = 8;
const GUID_BYTES: usize = 16;
/// Reparse data with its head ([MS-FSCC] 2.1.2.2).
const MAX_REPARSE_BYTES: usize = 16 * 1024;
const SYMLINK_RELATIVE: u32 = 1;
/// Distinct descriptors that are kept decoded: trees have few.
const MAX_KEPT: usize = 4096;

const SLASH: u16 = 0x2F;
const BACKSLASH: u16 = 0x5C;
const COLON: u16 = 0x3A;

/// FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_ENCRYPTED ([MS-FSCC] 2.6).
pub(crate) const ATTRIBUTE_DIRECTORY: u32 = 0x10;
pub(super) const ATTRIBUTE_ENCRYPTED: u32 = 0x4000;

/// Descriptors by the text they came in, so that a tree's few are decoded once.
#[derive(Debug, Default)]
pub(super) struct Descriptors(HashMap<Vec<u8>, SecurityDescriptor>);

impl Descriptors {
    /// The descriptor in base64.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn decode(&mut self, text: Vec<u8>) -> Result<SecurityDescriptor, String> {
        if let Some(known) = self.0.get(&text) {
            return Ok(known.clone());
        }
        let bytes = STANDARD
            .decode(&text)
            .map_err(|error| format!("its security descriptor is no base64: {error}"))?;
        let descriptor =
            SecurityDescriptor::from_bytes(&bytes).map_err(|error| error.to_string())?;
        if self.0.len() >= MAX_KEPT {
            self.0.clear();
        }
        self.0.insert(text, descriptor.clone());
        Ok(descriptor)
    }
}

/// Reparse data in base64, its head checked.
///
/// # Errors
/// What is wrong with it.
pub(super) fn reparse_data(text: &[u8]) -> Result<Vec<u8>, String> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| format!("its reparse data is no base64: {error}"))?;
    let is_sound = || {
        let tag = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
        let length = u16::from_le_bytes(bytes.get(4..6)?.try_into().ok()?);
        let head = if tag & TAG_MICROSOFT == 0 {
            HEAD_BYTES + GUID_BYTES
        } else {
            HEAD_BYTES
        };
        Some(tag != 0 && bytes.len() == head + usize::from(length))
    };
    if bytes.len() > MAX_REPARSE_BYTES || is_sound() != Some(true) {
        return Err("its reparse data is malformed".to_owned());
    }
    Ok(bytes)
}

/// The reparse data of a link to `target` (spelled with slashes or backslashes), as go-winio makes
/// it: the same name for people and for the system, but for the prefix of an absolute one.
///
/// # Errors
/// What is wrong with the target.
pub(crate) fn link_data(target: &[u16], is_mount_point: bool) -> Result<Vec<u8>, &'static str> {
    let print: Vec<u16> = target
        .iter()
        .map(|unit| if *unit == SLASH { BACKSLASH } else { *unit })
        .collect();
    if print.is_empty() || print.contains(&0) {
        return Err("its target is empty or holds a NUL");
    }
    let with_prefix = |prefix: &str, rest: &[u16]| -> Vec<u16> {
        prefix.encode_utf16().chain(rest.iter().copied()).collect()
    };
    let (substitute, is_relative) = match print.as_slice() {
        [BACKSLASH, BACKSLASH, 0x3F, BACKSLASH, rest @ ..] => (with_prefix(r"\??\", rest), false),
        [BACKSLASH, BACKSLASH, rest @ ..] => (with_prefix(r"\??\UNC\", rest), false),
        [letter, COLON, ..] if is_letter(*letter) => (with_prefix(r"\??\", &print), false),
        _ => (print.clone(), true),
    };
    let bytes_of = |units: &[u16]| -> Option<u16> { u16::try_from(2 * units.len()).ok() };
    let lengths = || Some((bytes_of(&substitute)?, bytes_of(&print)?));
    let (substitute_bytes, print_bytes) = lengths().ok_or("its target is too long")?;
    let mut data = Vec::new();
    for number in [
        0,
        substitute_bytes,
        substitute_bytes.saturating_add(2),
        print_bytes,
    ] {
        data.extend(number.to_le_bytes());
    }
    if !is_mount_point {
        let flags = if is_relative { SYMLINK_RELATIVE } else { 0 };
        data.extend(flags.to_le_bytes());
    }
    // Each name is counted, and ends with a NUL all the same.
    for unit in substitute.iter().chain(&[0]).chain(&print).chain(&[0]) {
        data.extend(unit.to_le_bytes());
    }
    let length = u16::try_from(data.len())
        .ok()
        .filter(|length| usize::from(*length) + HEAD_BYTES <= MAX_REPARSE_BYTES)
        .ok_or("its target is too long")?;
    let tag = if is_mount_point {
        TAG_MOUNT_POINT
    } else {
        TAG_SYMLINK
    };
    let mut bytes = tag.to_le_bytes().to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    Ok(bytes)
}

/// Where a link leads, as people write it, and whether it is a junction; `None` for reparse data that
/// is of no link. Relative targets have slashes.
pub(crate) fn link_of(data: &[u8]) -> Option<(Vec<u16>, bool)> {
    const LX_VERSION_BYTES: usize = 4;
    let tag = u32::from_le_bytes(*data.first_chunk()?);
    let body = data.get(HEAD_BYTES..)?;
    let (names_at, is_mount_point) = match tag {
        TAG_SYMLINK => (12, false),
        TAG_MOUNT_POINT => (8, true),
        TAG_LX_SYMLINK => {
            let (units, _) = units_of(body.get(LX_VERSION_BYTES..)?);
            return is_text(&units).then_some((units, false));
        }
        _ => return None,
    };
    let number = |at: usize| {
        let pair = body.get(at..at + 2)?;
        Some(usize::from(u16::from_le_bytes([pair[0], pair[1]])))
    };
    let name = |at: usize| -> Option<Vec<u16>> {
        let start = names_at + number(at)?;
        let bytes = body.get(start..start + number(at + 2)?)?;
        Some(
            bytes
                .chunks_exact(2)
                .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
                .collect(),
        )
    };
    let mut target = name(4)?;
    if target.is_empty() {
        target = name(0)?;
    }
    let is_relative = !is_mount_point && body.get(8).is_some_and(|flags| flags & 1 != 0);
    if is_relative {
        for unit in &mut target {
            if *unit == BACKSLASH {
                *unit = SLASH;
            }
        }
    }
    is_text(&target).then_some((target, is_mount_point))
}

/// Whether a target can be written into an archive.
fn is_text(target: &[u16]) -> bool {
    !target.is_empty() && !target.contains(&0)
}

fn is_letter(unit: u16) -> bool {
    u8::try_from(unit).is_ok_and(|letter| letter.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn links_are_encoded_as_go_winio_does() {
        // Offsets 0 and 8, lengths 6 and 6, flag 1, "a\b" twice with NULs.
        let expected = [
            0x0C, 0, 0, 0xA0, 28, 0, 0, 0, 0, 0, 6, 0, 8, 0, 6, 0, 1, 0, 0, 0, b'a', 0, b'\\', 0,
            b'b', 0, 0, 0, b'a', 0, b'\\', 0, b'b', 0, 0, 0,
        ];
        assert_eq!(link_data(&units("a/b"), false).unwrap(), expected);
        let junction = link_data(&units(r"C:\x"), true).unwrap();
        assert_eq!(junction[..4], TAG_MOUNT_POINT.to_le_bytes());
        let text: Vec<u16> = junction[16..]
            .chunks(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        assert_eq!(String::from_utf16_lossy(&text), "\\??\\C:\\x\0C:\\x\0");
        assert!(link_data(&[], false).is_err());
        assert!(link_data(&[0x61; 9000], false).is_err());
    }

    #[test]
    fn malformed_reparse_data_is_refused() {
        for bytes in [
            &b""[..],
            &[0; 8],
            &[0x0C, 0, 0, 0xA0, 1, 0, 0, 0],
            &[0x0C, 0, 0, 0x20, 0, 0, 0, 0],
        ] {
            assert!(reparse_data(STANDARD.encode(bytes).as_bytes()).is_err());
        }
        let good = [0x23, 0, 0, 0x80, 0, 0, 0, 0];
        assert_eq!(
            reparse_data(STANDARD.encode(good).as_bytes()).unwrap(),
            good
        );
    }
}

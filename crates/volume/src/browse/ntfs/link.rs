//! Reparse points that are links ([MS-FSCC] 2.1.2).

use super::super::error::{BrowseError, Result};

/// The largest reparse point ([MS-FSCC] 2.1.2.2: 16 KiB).
pub(super) const MAX_REPARSE_BYTES: u64 = 16 * 1024;

/// IO_REPARSE_TAG_SYMLINK.
pub(super) const TAG_SYMLINK: u32 = 0xA000_000C;
/// IO_REPARSE_TAG_MOUNT_POINT: a junction.
pub(super) const TAG_MOUNT_POINT: u32 = 0xA000_0003;
/// IO_REPARSE_TAG_LX_SYMLINK: a link of the Windows Subsystem for Linux.
pub(super) const TAG_LX_SYMLINK: u32 = 0xA000_001D;

/// Bytes before the data: tag, length, reserved.
const HEADER_BYTES: usize = 8;
const SYMLINK_FLAG_RELATIVE: u32 = 1;

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let pair = bytes.get(at..at + 2)?;
    Some(usize::from(u16::from_le_bytes([pair[0], pair[1]])))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_le_bytes)
}

/// Whether a reparse point is a link.
pub(super) fn is_link(reparse: &[u8]) -> bool {
    matches!(
        u32_at(reparse, 0),
        Some(TAG_SYMLINK | TAG_MOUNT_POINT | TAG_LX_SYMLINK)
    )
}

/// Where a link points: relative targets with `/`, others as they are stored.
pub(super) fn target(reparse: &[u8], path: &str) -> Result<String> {
    let damaged = || BrowseError::damaged(path, "its reparse point is cut short");
    let tag = u32_at(reparse, 0).ok_or_else(damaged)?;
    let data = reparse.get(HEADER_BYTES..).ok_or_else(damaged)?;
    match tag {
        TAG_SYMLINK => {
            let is_relative = u32_at(data, 8).ok_or_else(damaged)? & SYMLINK_FLAG_RELATIVE != 0;
            let target = path_of(data, 12).ok_or_else(damaged)?;
            Ok(if is_relative {
                target.replace('\\', "/")
            } else {
                target
            })
        }
        TAG_MOUNT_POINT => path_of(data, 8).ok_or_else(damaged),
        // A version, and the target as bytes.
        TAG_LX_SYMLINK => {
            let bytes = data.get(4..).ok_or_else(damaged)?;
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
        _ => Err(BrowseError::WrongKind {
            path: path.into(),
            expected: "a link",
        }),
    }
}

/// The name for people, or where there is none the one for the system, of a buffer of names that
/// begins at `buffer` ([MS-FSCC] 2.1.2.4, 2.1.2.5).
fn path_of(data: &[u8], buffer: usize) -> Option<String> {
    let names = data.get(buffer..)?;
    let name = |at: usize| {
        let start = u16_at(data, at)?;
        let len = u16_at(data, at + 2)?;
        let units: Vec<u16> = names
            .get(start..start + len)?
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        Some(String::from_utf16_lossy(&units))
    };
    let print = name(4)?;
    if !print.is_empty() {
        return Some(print);
    }
    let substitute = name(0)?;
    Some(
        substitute
            .strip_prefix("\\??\\")
            .unwrap_or(&substitute)
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symlink(substitute: &str, print: &str, flags: u32) -> Vec<u8> {
        let units =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let (substitute, print) = (units(substitute), units(print));
        let len = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap();
        let mut bytes = TAG_SYMLINK.to_le_bytes().to_vec();
        bytes.extend([0; 4]);
        for field in [0, len(&substitute), len(&substitute), len(&print)] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(flags.to_le_bytes());
        bytes.extend(substitute);
        bytes.extend(print);
        bytes
    }

    #[test]
    fn targets_are_read_as_people_write_them() {
        let cases = [
            (symlink("a\\b", "a\\b", 1), "a/b"),
            (symlink("..\\x", "", 1), "../x"),
            (symlink("\\??\\C:\\x", "C:\\x", 0), "C:\\x"),
            (symlink("\\??\\C:\\x", "", 0), "C:\\x"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(target(&bytes, "l").unwrap(), expected);
        }
        let mut lx = TAG_LX_SYMLINK.to_le_bytes().to_vec();
        lx.extend([0, 0, 0, 0, 2, 0, 0, 0]);
        lx.extend(b"../etc");
        assert_eq!(target(&lx, "l").unwrap(), "../etc");
    }

    #[test]
    fn every_cut_and_changed_byte_gives_an_answer() {
        let whole = symlink("a\\b", "a\\b", 1);
        for len in 0..whole.len() {
            assert!(target(&whole[..len], "l").is_err(), "{len}");
        }
        for place in 0..whole.len() {
            for value in [0, 0x7F, 0xFF] {
                let mut bytes = whole.clone();
                bytes[place] = value;
                drop(target(&bytes, "l"));
            }
        }
    }
}

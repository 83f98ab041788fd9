//! Names and paths: from the bytes of a tar stream to UTF-16 and back.
//!
//! What is not UTF-8 becomes U+F000 plus the byte, as in directories of the host; but an unpaired
//! surrogate, which names of Windows may hold and UTF-8 may not, is written as the three bytes that
//! UTF-8 would give it and read back from them, so that every name of a volume has its own bytes.

use super::format::BLOCK;

/// First of the 256 code units that stand for bytes that are not UTF-8.
const BYTE_AREA: u16 = 0xF000;
/// Directories between the root and an entry.
pub(super) const MAX_DEPTH: usize = 512;
/// Bytes of a path or target: 32,767 code units and more.
pub(super) const MAX_PATH_BYTES: usize = 256 * BLOCK;
/// What a layer of a container image begins a name with to say that it is gone.
const WHITEOUT: &[u8] = b".wh.";

/// The code units of a name, and whether bytes had to be mapped.
pub(crate) fn units_of(name: &[u8]) -> (Vec<u16>, bool) {
    let mut units = Vec::with_capacity(name.len());
    let mut is_mapped = false;
    let mut rest = name;
    while !rest.is_empty() {
        let valid = match std::str::from_utf8(rest) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or(""),
        };
        units.extend(valid.encode_utf16());
        rest = &rest[valid.len()..];
        if let Some(unit) = surrogate(rest) {
            units.push(unit);
            rest = &rest[3..];
        } else if let Some((byte, after)) = rest.split_first() {
            units.push(BYTE_AREA + u16::from(*byte));
            is_mapped = true;
            rest = after;
        }
    }
    (units, is_mapped)
}

/// The unpaired surrogate that three bytes spell.
fn surrogate(bytes: &[u8]) -> Option<u16> {
    match bytes {
        [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF, ..] => {
            Some(0xD000 | u16::from(second & 0x3F) << 6 | u16::from(third & 0x3F))
        }
        _ => None,
    }
}

/// The bytes of a name.
pub(crate) fn bytes_of(units: &[u16], bytes: &mut Vec<u8>) {
    for character in char::decode_utf16(units.iter().copied()) {
        match character {
            Ok(character) => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Err(error) => {
                let [high, low] = error.unpaired_surrogate().to_be_bytes();
                let middle = (high & 0x0F) << 2 | low >> 6;
                bytes.extend([0xED, 0x80 | middle, 0x80 | (low & 0x3F)]);
            }
        }
    }
}

/// A path taken apart: names without `.`, none of which climbs.
pub(super) fn components(path: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    if path.len() > MAX_PATH_BYTES {
        return Err("its path is too long");
    }
    if path.first() == Some(&b'/') {
        return Err("its path is absolute");
    }
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err("its path climbs out of the tree"),
            _ => names.push(name),
        }
    }
    if names.len() > MAX_DEPTH {
        return Err("it lies more than 512 directories deep");
    }
    Ok(names)
}

/// Whether a name tells of something that a lower layer loses.
pub(super) fn is_whiteout(name: &[u8]) -> bool {
    name.starts_with(WHITEOUT)
}

/// A path to be shown: not longer than people read.
pub(super) fn shown(path: &[u8]) -> String {
    const LONGEST: usize = 1024;
    let text = String::from_utf8_lossy(path.get(..LONGEST).unwrap_or(path));
    if path.len() > LONGEST {
        format!("{text}...")
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_survives_the_way_to_bytes_and_back() {
        let cases: [&[u16]; 6] = [
            &[0x61],
            &[0xD83D, 0xDE00],
            &[0xD83D],
            &[0x61, 0xDE00, 0xD83D],
            &[0xF0FF, 0xF03A, 0xFFFF],
            &[0xDC80, 0xDBFF],
        ];
        for units in cases {
            let mut bytes = Vec::new();
            bytes_of(units, &mut bytes);
            assert_eq!(units_of(&bytes), (units.to_vec(), false), "{units:X?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_mapped() {
        let cases: [(&[u8], &[u16]); 4] = [
            (b"a\xFF\xC3\xA4", &[0x61, 0xF0FF, 0xE4]),
            (b"\xED\xA0", &[0xF0ED, 0xF0A0]),
            (b"\xC3", &[0xF0C3]),
            (b"\xF5b", &[0xF0F5, 0x62]),
        ];
        for (bytes, units) in cases {
            assert_eq!(units_of(bytes), (units.to_vec(), true));
        }
    }

    #[test]
    fn paths_that_climb_are_refused() {
        for path in [&b"../a"[..], b"a/../b", b"..", b"/a", b"//"] {
            assert!(components(path).is_err(), "{path:?}");
        }
        assert_eq!(components(b"./a//b/.").unwrap(), [b"a", b"b"]);
        assert!(components(b"./").unwrap().is_empty());
        assert!(components(b"").unwrap().is_empty());
        assert!(components(&b"a/".repeat(MAX_DEPTH + 1)).is_err());
    }
}

//! `$AttrDef`: the types of attributes, the same on every volume since Windows 2000.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::format::AttributeDefinition;

const INDEXED: u32 = 0x02;
const RESIDENT: u32 = 0x40;
const NON_RESIDENT: u32 = 0x80;
const NO_LIMIT: u64 = u64::MAX;

/// Name, type, flags, least and most bytes.
const ROWS: [(&str, u32, u32, u64, u64); 15] = [
    ("$STANDARD_INFORMATION", 0x10, RESIDENT, 48, 72),
    ("$ATTRIBUTE_LIST", 0x20, NON_RESIDENT, 0, NO_LIMIT),
    ("$FILE_NAME", 0x30, RESIDENT | INDEXED, 68, 578),
    ("$OBJECT_ID", 0x40, RESIDENT, 0, 256),
    ("$SECURITY_DESCRIPTOR", 0x50, NON_RESIDENT, 0, NO_LIMIT),
    ("$VOLUME_NAME", 0x60, RESIDENT, 2, 256),
    ("$VOLUME_INFORMATION", 0x70, RESIDENT, 12, 12),
    ("$DATA", 0x80, 0, 0, NO_LIMIT),
    ("$INDEX_ROOT", 0x90, RESIDENT, 0, NO_LIMIT),
    ("$INDEX_ALLOCATION", 0xA0, NON_RESIDENT, 0, NO_LIMIT),
    ("$BITMAP", 0xB0, NON_RESIDENT, 0, NO_LIMIT),
    ("$REPARSE_POINT", 0xC0, NON_RESIDENT, 0, 16384),
    ("$EA_INFORMATION", 0xD0, RESIDENT, 8, 8),
    ("$EA", 0xE0, 0, 0, 65536),
    ("$LOGGED_UTILITY_STREAM", 0x100, NON_RESIDENT, 0, 65536),
];

/// The content of `$AttrDef`: the rows and an empty one.
pub(super) fn table() -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, kind, flags, min_size, max_size) in ROWS {
        let mut row = AttributeDefinition::new_zeroed();
        for (slot, unit) in row.name.iter_mut().zip(name.encode_utf16()) {
            *slot = U16::new(unit);
        }
        row.kind = U32::new(kind);
        row.flags = U32::new(flags);
        row.min_size = U64::new(min_size);
        row.max_size = U64::new(max_size);
        bytes.extend_from_slice(row.as_bytes());
    }
    bytes.extend_from_slice(AttributeDefinition::new_zeroed().as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_table_is_that_of_windows() {
        let bytes = table();
        assert_eq!(bytes.len(), 2560);
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            digest,
            "d7de5b1b2f79f45f235ceb1adbc46908ed64eae174eb90ed66aefe5f25165da3"
        );
    }
}

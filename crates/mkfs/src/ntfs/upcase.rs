//! `$UpCase`: the upper-case form of each UTF-16 code unit, by which names are compared.
//!
//! The table of Windows 7 to 11 is this: simple upper-case mapping of Unicode 5.1, where both
//! characters lie in the basic plane and the lower-case mapping leads back. It never changes: a
//! volume carries its own.

use std::borrow::Cow;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use super::format::UpcaseInfo;
use super::upcase_ranges::RANGES;

/// Bytes of the table.
pub(super) const UPCASE_SIZE: u64 = 0x2_0000;
/// The checksum of the table of Windows.
const WINDOWS_CRC: u64 = 0xDADC_7E77_6B1B_690C;
/// Polynomial of CRC-64/NVME, reflected.
const CRC_POLYNOMIAL: u64 = 0x9A6C_9329_AC4B_C9B5;

/// Code units of the table.
const UNITS: usize = 1 << 16;

/// The table of Windows.
static WINDOWS: [u16; UNITS] = windows();

const fn windows() -> [u16; UNITS] {
    let mut table = [0; UNITS];
    let (mut index, mut unit, mut range) = (0, 0_u16, 0);
    while index < UNITS {
        while range < RANGES.len() && RANGES[range].1 < unit {
            range += 1;
        }
        table[index] = unit;
        if range < RANGES.len() {
            let (first, _, step, distance) = RANGES[range];
            if unit >= first && (unit - first).is_multiple_of(step) {
                table[index] = unit.wrapping_add_signed(distance);
            }
        }
        index += 1;
        unit = unit.wrapping_add(1);
    }
    table
}

/// The upper-case table of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upcase {
    table: Cow<'static, [u16]>,
}

impl Default for Upcase {
    fn default() -> Self {
        Self::new()
    }
}

impl Upcase {
    /// The table of Windows.
    pub const fn new() -> Self {
        Self {
            table: Cow::Borrowed(&WINDOWS),
        }
    }

    /// The upper-case form of a code unit.
    pub fn of(&self, unit: u16) -> u16 {
        self.table[usize::from(unit)]
    }

    /// A volume's own table; `None` where it is no table of 65,536 units.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (units, rest) = bytes.as_chunks::<2>();
        let table: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        (rest.is_empty() && table.len() == UNITS).then_some(Self {
            table: Cow::Owned(table),
        })
    }

    /// The table as stored.
    pub fn to_bytes(&self) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            return Cow::Borrowed(self.table.as_bytes());
        }
        Cow::Owned(
            self.table
                .iter()
                .flat_map(|unit| unit.to_le_bytes())
                .collect(),
        )
    }
}

/// The value of `$UpCase:$Info` for the table of Windows: its checksum and the system it comes from.
pub(super) fn info() -> Vec<u8> {
    let info = UpcaseInfo {
        length: U64::new(0x20),
        crc: U64::new(WINDOWS_CRC),
        // Windows 10: the system whose table this is.
        os_major: U32::new(10),
        os_minor: U32::ZERO,
        os_build: U32::new(19041),
        unused: U32::ZERO,
    };
    info.as_bytes().to_vec()
}

pub(super) fn crc64(bytes: &[u8]) -> u64 {
    let mut table = [0_u64; 256];
    for (value, entry) in (0_u64..).zip(&mut table) {
        *entry = (0..8).fold(value, |crc, _| {
            (crc >> 1) ^ if crc & 1 == 0 { 0 } else { CRC_POLYNOMIAL }
        });
    }
    !bytes.iter().fold(!0_u64, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        table[usize::from(low ^ byte)] ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_table_is_that_of_windows() {
        let upcase = Upcase::new();
        let bytes = upcase.to_bytes();
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            digest,
            "41c26bc7a12bdaeb26025c93118697c7e3ef81ee048b00fe5cce2a472e0e0742"
        );
    }

    #[test]
    fn characters_without_a_way_back_keep_their_case() {
        let upcase = Upcase::new();
        for unit in [0xB5, 0x131, 0x17F, 0x345, 0x3C2, 0x3D0, 0x1E9B, 0x1FBE] {
            assert_eq!(upcase.of(unit), unit);
        }
        assert_eq!(upcase.of(0xFF), 0x178);
        assert_eq!(
            (0..=u16::MAX)
                .filter(|unit| upcase.of(*unit) != *unit)
                .count(),
            973
        );
    }

    #[test]
    fn the_checksum_is_that_of_windows() {
        assert_eq!(crc64(&Upcase::new().to_bytes()), WINDOWS_CRC);
        assert_eq!(info()[8..16], WINDOWS_CRC.to_le_bytes());
        assert_eq!(crc64(b"123456789"), 0xAE8B_1486_0A79_9888);
    }
}

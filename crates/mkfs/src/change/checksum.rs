//! CRC-64/NVME: tells a journal that was written whole from one that was not, and whether a piece
//! of a disk is still what it was.

/// Polynomial, reflected.
const POLYNOMIAL: u64 = 0x9A6C_9329_AC4B_C9B5;

static TABLE: [u64; 256] = table();

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    let mut value = 0_u64;
    while index < 256 {
        let mut crc = value;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 0 { 0 } else { POLYNOMIAL };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
        value += 1;
    }
    table
}

/// The checksum of bytes.
pub(super) fn crc64(bytes: &[u8]) -> u64 {
    !bytes.iter().fold(!0_u64, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        TABLE[usize::from(low ^ byte)] ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::crc64;

    #[test]
    fn the_check_value_of_the_catalogue_comes_out() {
        assert_eq!(crc64(b"123456789"), 0xAE8B_1486_0A79_9888);
    }
}

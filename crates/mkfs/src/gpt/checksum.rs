//! The CRC-32 of GPT headers and entry arrays ([UEFI] 4.2, the polynomial of ISO HDLC).

const POLYNOMIAL: u32 = 0xEDB8_8320;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut seed = 0_u32;
    let mut index = 0;
    while index < table.len() {
        let mut value = seed;
        let mut bit = 0;
        while bit < 8 {
            let carry = value & 1;
            value >>= 1;
            if carry == 1 {
                value ^= POLYNOMIAL;
            }
            bit += 1;
        }
        table[index] = value;
        index += 1;
        seed += 1;
    }
    table
}

/// The CRC-32 of the bytes of `parts`, one after another.
pub(super) fn crc32(parts: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in parts.iter().flat_map(|part| part.iter()) {
        let [low, ..] = crc.to_le_bytes();
        crc = TABLE[usize::from(low ^ byte)] ^ (crc >> 8);
    }
    !crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_of_the_catalogue_is_met() {
        assert_eq!(super::crc32(&[b"1234", b"56789"]), 0xCBF4_3926);
    }
}

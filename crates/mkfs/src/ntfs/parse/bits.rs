//! Bitmaps: looking for bits in pieces of them.

/// The length of the run of equal bits that begins with bit `from`, and whether they are set; zero
/// long past the end.
pub fn count_ones_from(bytes: &[u8], from: u64) -> (bool, u64) {
    let bit_at = |bit: u64| {
        let byte = usize::try_from(bit / 8).ok().and_then(|at| bytes.get(at))?;
        Some(byte >> (bit % 8) & 1 == 1)
    };
    let Some(is_set) = bit_at(from) else {
        return (false, 0);
    };
    let whole = if is_set { 0xFF } else { 0 };
    let mut bit = from;
    loop {
        let is_whole = bit.is_multiple_of(8)
            && usize::try_from(bit / 8)
                .ok()
                .and_then(|at| bytes.get(at))
                .is_some_and(|byte| *byte == whole);
        if is_whole {
            bit += 8;
        } else if bit_at(bit) == Some(is_set) {
            bit += 1;
        } else {
            return (is_set, bit - from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_bits_are_counted_across_bytes() {
        let bytes = [0b1111_0000, 0xFF, 0xFF, 0b0000_0001];
        assert_eq!(count_ones_from(&bytes, 0), (false, 4));
        assert_eq!(count_ones_from(&bytes, 4), (true, 21));
        assert_eq!(count_ones_from(&bytes, 25), (false, 7));
        assert_eq!(count_ones_from(&bytes, 32), (false, 0));
    }
}

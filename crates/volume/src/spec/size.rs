//! Sizes as people write them: a whole number and a unit, powers of 1024.

use blockio::{ByteCount, GIB, KIB, MIB, TIB};

/// Why a size was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SizeError {
    /// Nothing was written.
    #[error("a size is missing; write for example 20G")]
    Empty,
    /// It does not start with a digit, or holds a fraction or a sign.
    #[error("not a whole number; write for example 1536M instead of 1.5G")]
    NotANumber,
    /// The letters behind the number are no unit.
    #[error("unknown unit; use B, K, M, G or T (powers of 1024)")]
    Unit,
    /// It does not fit in 64 bits.
    #[error("too large")]
    Overflow,
}

/// Reads `20G`, `512MiB`, `4096`: digits, then nothing or one of `B K M G T`, the latter four also
/// as `KB`, `Ki` or `KiB`, in any case. All units are powers of 1024.
///
/// # Errors
/// What is wrong with the text; a number past 64 bits is an error, never wrapped.
pub fn parse_size(text: &str) -> Result<ByteCount, SizeError> {
    if text.is_empty() {
        return Err(SizeError::Empty);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() || unit.starts_with(['.', ',', '-', '+']) {
        return Err(SizeError::NotANumber);
    }
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "ki" | "kib" => KIB,
        "m" | "mb" | "mi" | "mib" => MIB,
        "g" | "gb" | "gi" | "gib" => GIB,
        "t" | "tb" | "ti" | "tib" => TIB,
        _ => return Err(SizeError::Unit),
    };
    let number: u64 = number.parse().map_err(|_| SizeError::Overflow)?;
    number
        .checked_mul(factor)
        .map(ByteCount)
        .ok_or(SizeError::Overflow)
}

/// The shortest exact form that [`parse_size`] reads back: `20G`, `1536M`, `4097`.
pub fn format_size(size: ByteCount) -> String {
    let bytes = size.get();
    let units = [(TIB, "T"), (GIB, "G"), (MIB, "M"), (KIB, "K")];
    match units
        .into_iter()
        .find(|(unit, _)| bytes != 0 && bytes.is_multiple_of(*unit))
    {
        Some((unit, letter)) => format!("{}{letter}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_powers_of_1024_in_any_case() {
        let cases = [
            ("0", 0),
            ("4096", 4096),
            ("512b", 512),
            ("4K", 4096),
            ("4kB", 4096),
            ("512MiB", 512 * MIB),
            ("20G", 20 * GIB),
            ("64t", 64 * TIB),
            ("2Gi", 2 * GIB),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Ok(ByteCount(bytes)), "{text}");
        }
    }

    #[test]
    fn a_size_that_overflows_or_is_none_is_refused() {
        let cases = [
            ("", SizeError::Empty),
            ("G", SizeError::NotANumber),
            ("-1", SizeError::NotANumber),
            ("+1", SizeError::NotANumber),
            ("1.5G", SizeError::NotANumber),
            ("0x10", SizeError::Unit),
            ("1 G", SizeError::Unit),
            ("1P", SizeError::Unit),
            ("1Gib.", SizeError::Unit),
            ("١", SizeError::NotANumber),
            ("18446744073709551616", SizeError::Overflow),
            ("18014398509481984K", SizeError::Overflow),
            ("16777216T", SizeError::Overflow),
            ("99999999999999999999999999T", SizeError::Overflow),
        ];
        for (text, error) in cases {
            assert_eq!(parse_size(text), Err(error), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_formatted_size_reads_back_the_same(bytes: u64, shift in 0u32..40) {
            let size = ByteCount(bytes >> shift << shift);
            proptest::prop_assert_eq!(parse_size(&format_size(size)), Ok(size));
        }
    }
}

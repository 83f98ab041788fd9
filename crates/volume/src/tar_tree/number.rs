//! Numbers in the heads and records of a tar stream.

use mkfs::NtTime;

/// The number in a field: octal digits between spaces and NULs or, where the first bit is set,
/// big-endian two's complement (GNU). `None` where it is neither, or out of range.
pub(super) fn field(bytes: &[u8]) -> Option<i64> {
    match bytes.first()? {
        first @ (0x80 | 0xFF) => {
            let fill: i128 = if *first == 0xFF { -1 } else { 0 };
            let mut value = fill;
            for byte in bytes.get(1..)? {
                value = value.checked_mul(256)?.checked_add(i128::from(*byte))?;
            }
            i64::try_from(value).ok()
        }
        _ => octal(bytes),
    }
}

fn octal(bytes: &[u8]) -> Option<i64> {
    let text = bytes.trim_ascii_start();
    let end = text
        .iter()
        .position(|byte| matches!(byte, 0 | b' '))
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if !rest.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(i64::from(digit))
    })
}

/// The number in a field that counts bytes.
pub(super) fn size(bytes: &[u8]) -> Option<u64> {
    u64::try_from(field(bytes)?).ok()
}

/// A number of a record: decimal digits alone.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A moment of a record: seconds since 1970, perhaps negative, perhaps with a fraction, of which
/// what is finer than a nanosecond is dropped.
pub(super) fn moment(text: &[u8]) -> Option<NtTime> {
    const DIGITS: usize = 9;
    const SECOND: i64 = 1_000_000_000;
    let (is_negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(dot) => (text.get(..dot)?, text.get(dot + 1..)?),
        None => (text, &[][..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    let mut nanoseconds = 0_i64;
    for place in 0..DIGITS {
        let digit = fraction.get(place).map_or(0, |digit| digit - b'0');
        nanoseconds = nanoseconds * 10 + i64::from(digit);
    }
    let (seconds, nanoseconds) = match (is_negative, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, SECOND - nanoseconds),
    };
    Some(NtTime::from_unix(
        seconds,
        u32::try_from(nanoseconds).unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_octal_or_binary() {
        let cases: [(&[u8], Option<i64>); 12] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"77777777777\0", Some(0o77_777_777_777)),
            (b"777777777777", Some(0o777_777_777_777)),
            (b"\0\0\0\0", Some(0)),
            (b"    ", Some(0)),
            (b"8", None),
            (b"12x", None),
            (b"12 3", None),
            (b"\x80\0\0\0\0\0\0\x01\0\0\0\0", Some(1 << 32)),
            (
                b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE",
                Some(-2),
            ),
            (b"\x80\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(field(bytes), expected, "{bytes:?}");
        }
        assert_eq!(size(b"\xFF\xFF\xFF\xFE"), None);
    }

    #[test]
    fn moments_keep_what_is_finer_than_a_second_and_come_before_1970_too() {
        let at = |seconds, nanoseconds| Some(NtTime::from_unix(seconds, nanoseconds));
        let cases: [(&[u8], Option<NtTime>); 9] = [
            (b"0", at(0, 0)),
            (b"1350244992.023960108", at(1_350_244_992, 23_960_108)),
            (b"1.5", at(1, 500_000_000)),
            (b"-1.5", at(-2, 500_000_000)),
            (b"-11644473600", at(-11_644_473_600, 0)),
            (b"1.", at(1, 0)),
            (b".5", None),
            (b"1.x", None),
            (b"", None),
        ];
        for (text, expected) in cases {
            assert_eq!(moment(text), expected, "{text:?}");
        }
    }
}

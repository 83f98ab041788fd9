//! Texts as functions of Windows have them: units of UTF-16 with a zero at their end.

/// A text for the system.
pub fn wide_text(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// A text of the system: the units up to the first zero, or all of them.
pub fn text_of_units(units: &[u16]) -> String {
    let length = units.iter().position(|unit| *unit == 0);
    let units = units.get(..length.unwrap_or(units.len()));
    String::from_utf16_lossy(units.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_as_it_went() {
        for text in ["", "C:\\v\\\u{dc}ber \u{1f600}.vhdx"] {
            assert_eq!(text_of_units(&wide_text(text)), text);
        }
        assert_eq!(text_of_units(&[0x61, 0, 0x62]), "a");
        assert_eq!(text_of_units(&[0x61, 0xd800]), "a\u{fffd}");
    }
}

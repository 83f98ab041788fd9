//! Values that several verbs read from their options, and the environment they honour.

use std::ffi::OsString;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use engine::{ByteCount, ImageFormat, Provisioning, parse_size};

use crate::failure::Failure;

/// The names of image formats.
pub(crate) fn image_format() -> impl TypedValueParser<Value = ImageFormat> {
    PossibleValuesParser::new(["vhdx", "vhd", "raw", "qcow2"])
        .try_map(|word| word.parse::<ImageFormat>())
}

/// The ways an image takes its space.
pub(crate) fn provisioning() -> impl TypedValueParser<Value = Provisioning> {
    PossibleValuesParser::new(["dynamic", "fixed"]).try_map(|word| word.parse::<Provisioning>())
}

/// A size such as `20G`.
pub(crate) fn size(text: &str) -> Result<ByteCount, String> {
    parse_size(text).map_err(|error| error.to_string())
}

/// A `KEY=VALUE` pair, or a key alone, whose value is then empty.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err("the key in front of the equals sign is missing".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// The moment that reproducible work is dated with: `SOURCE_DATE_EPOCH`, where it is set.
pub(crate) fn source_date_epoch() -> Result<Option<u64>, Failure> {
    read_epoch(std::env::var_os("SOURCE_DATE_EPOCH"))
}

fn read_epoch(value: Option<OsString>) -> Result<Option<u64>, Failure> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let seconds = value.to_str().and_then(|text| text.parse().ok());
    seconds.map(Some).ok_or_else(|| {
        Failure::usage(
            format!("SOURCE_DATE_EPOCH is {value:?}, which is no count of seconds"),
            "set it to seconds since 1970, as `date +%s` prints them, or unset it",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_a_count_of_seconds_or_an_error() {
        let read = |text: &str| read_epoch(Some(text.into()));
        assert_eq!(read("1700000000").unwrap(), Some(1_700_000_000));
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read_epoch(None).unwrap(), None);
        for wrong in ["now", "-1", "1.5", "99999999999999999999999"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pair_is_parted_at_the_first_equals_sign() {
        let owned = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(pair("a=b=c"), owned("a", "b=c"));
        assert_eq!(pair("a"), owned("a", ""));
        assert!(pair("=b").is_err());
    }
}

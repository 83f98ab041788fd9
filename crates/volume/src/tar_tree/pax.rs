//! PAX records: lines of `LENGTH KEY=VALUE`, where LENGTH counts the whole line (POSIX pax, "pax
//! Extended Header"). Values may hold any byte, line ends too.

use mkfs::NtTime;

use super::format::record;
use super::number;

/// What records say of a member, as far as it is of use here.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) modified: Option<NtTime>,
    pub(super) accessed: Option<NtTime>,
    pub(super) changed: Option<NtTime>,
    pub(super) created: Option<NtTime>,
    /// [MS-FSCC] 2.6.
    pub(super) attributes: Option<u32>,
    /// A self-relative descriptor in base64.
    pub(super) security: Option<Vec<u8>>,
    pub(super) security_text: Option<Vec<u8>>,
    pub(super) is_mount_point: bool,
    /// Reparse data in base64.
    pub(super) reparse: Option<Vec<u8>>,
    pub(super) sparse: SparseRecords,
    /// Extended attributes, which are not stored.
    pub(super) extended_attributes: bool,
}

/// What records say of holes, in the three ways of GNU tar.
#[derive(Clone, Debug, Default)]
pub(super) struct SparseRecords {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// Version 0.1: numbers between commas.
    pub(super) map: Option<Vec<u8>>,
    /// Version 0.0: a number a record.
    pub(super) numbers: Vec<u64>,
}

impl Records {
    /// Whether the member comes from a Windows file system.
    pub(super) fn is_windows(&self) -> bool {
        self.attributes.is_some()
            || self.security.is_some()
            || self.security_text.is_some()
            || self.is_mount_point
    }

    /// Adds the records in `bytes`; later ones take the place of earlier ones.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn add(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            let (key, value, rest) =
                split(bytes).ok_or_else(|| "its PAX records are malformed".to_owned())?;
            self.set(key, value)
                .ok_or_else(|| format!("its PAX record {} is malformed", shown(key)))?;
            bytes = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let Ok(key) = std::str::from_utf8(key) else {
            return Some(());
        };
        // An empty value takes back what was said before.
        let text = (!value.is_empty()).then(|| value.to_vec());
        match key {
            "path" => self.path = text,
            "linkpath" => self.link = text,
            "size" => self.size = number_of(value)?,
            "mtime" => self.modified = moment_of(value)?,
            "atime" => self.accessed = moment_of(value)?,
            "ctime" => self.changed = moment_of(value)?,
            record::CREATED => self.created = moment_of(value)?,
            record::ATTRIBUTES => {
                self.attributes = match number_of(value)? {
                    Some(number) => Some(u32::try_from(number).ok()?),
                    None => None,
                };
            }
            record::SECURITY => self.security = text,
            record::SECURITY_TEXT => self.security_text = text,
            record::MOUNT_POINT => self.is_mount_point = text.is_some(),
            record::REPARSE => self.reparse = text,
            "GNU.sparse.major" => self.sparse.major = number_of(value)?,
            "GNU.sparse.minor" => self.sparse.minor = number_of(value)?,
            "GNU.sparse.name" => self.sparse.path = text,
            "GNU.sparse.size" | "GNU.sparse.realsize" => self.sparse.size = number_of(value)?,
            "GNU.sparse.map" => self.sparse.map = text,
            "GNU.sparse.offset" | "GNU.sparse.numbytes" => {
                let is_offset = key == "GNU.sparse.offset";
                // Offsets and counts take turns.
                if self.sparse.numbers.len().is_multiple_of(2) != is_offset {
                    return None;
                }
                self.sparse.numbers.push(number::decimal(value)?);
            }
            _ => {
                self.extended_attributes |= key.starts_with(record::EXTENDED_ATTRIBUTE)
                    || key.starts_with("SCHILY.xattr.")
                    || key.starts_with("LIBARCHIVE.xattr.");
            }
        }
        Some(())
    }
}

#[allow(clippy::option_option)]
fn number_of(value: &[u8]) -> Option<Option<u64>> {
    if value.is_empty() {
        return Some(None);
    }
    number::decimal(value).map(Some)
}

#[allow(clippy::option_option)]
fn moment_of(value: &[u8]) -> Option<Option<NtTime>> {
    if value.is_empty() {
        return Some(None);
    }
    number::moment(value).map(Some)
}

/// The key and value of the first record, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    /// Digits of a length; more than any record has that is accepted.
    const MAX_DIGITS: usize = 8;
    let space = bytes
        .iter()
        .take(MAX_DIGITS + 1)
        .position(|byte| *byte == b' ')?;
    let length = usize::try_from(number::decimal(bytes.get(..space)?)?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((record.get(..equals)?, record.get(equals + 1..)?, rest))
}

fn shown(key: &[u8]) -> String {
    const LONGEST: usize = 64;
    String::from_utf8_lossy(key.get(..LONGEST).unwrap_or(key)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_line_ends_and_equal_signs() {
        let mut records = Records::default();
        records
            .add(b"15 path=a\nb=c\xFF\n27 MSWINDOWS.fileattr=0032\n")
            .unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a\nb=c\xFF"[..]));
        assert_eq!(records.attributes, Some(32));
        records.add(b"8 path=\n").unwrap();
        assert_eq!(records.path, None);
    }

    #[test]
    fn records_that_lie_about_their_length_are_errors() {
        let cases: [&[u8]; 10] = [
            b"x",
            b"6 a=b\n0",
            b"5 a=b\n",
            b"7 a=b\n",
            b"6 a:b\n",
            b"0 a=b\n",
            b"99999999999999999999 a=b\n",
            b"-6 a=b\n",
            b"30 MSWINDOWS.fileattr=ABCDEF\n",
            b"13 mtime=1.x\n\n",
        ];
        for bytes in cases {
            assert!(Records::default().add(bytes).is_err(), "{bytes:?}");
        }
    }
}

//! Access control lists ([MS-DTYP] 2.4.5).

use super::ace::{self, Ace};
use super::descriptor::DescriptorError;

/// Bytes of the head of a list.
const HEAD_BYTES: usize = 8;
/// ACL_REVISION, and ACL_REVISION_DS of a list with object entries.
const REVISION: u8 = 2;
const REVISION_OBJECTS: u8 = 4;

/// A list of entries, in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Acl {
    /// The entries.
    pub entries: Vec<Ace>,
}

/// A list in its place in a descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ListPart {
    /// Nothing is said.
    #[default]
    Absent,
    /// There is a list, and it is null: of a discretionary one, everybody may do everything.
    Null,
    /// There is a list; an empty discretionary one allows nobody anything.
    List(Acl),
}

impl ListPart {
    /// The entries, none where there is no list.
    pub fn entries(&self) -> &[Ace] {
        match self {
            Self::List(acl) => &acl.entries,
            Self::Absent | Self::Null => &[],
        }
    }
}

impl Acl {
    /// The list that bytes begin with. What its size says beyond its entries is skipped.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let cut_short = || DescriptorError::new("has a list that is cut short");
        let (
            &[
                revision,
                _,
                size_low,
                size_high,
                count_low,
                count_high,
                _,
                _,
            ],
            _,
        ) = bytes
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or_else(cut_short)?;
        if !(REVISION..=REVISION_OBJECTS).contains(&revision) {
            return Err(DescriptorError::new("has a list of an unknown revision"));
        }
        let size = usize::from(u16::from_le_bytes([size_low, size_high]));
        let mut rest = bytes.get(HEAD_BYTES..size).ok_or_else(cut_short)?;
        let count = u16::from_le_bytes([count_low, count_high]);
        let mut entries = Vec::new();
        // Each entry takes at least its head, so the size bounds the loop before the count does.
        for _ in 0..count {
            let size = rest
                .first_chunk::<{ ace::HEAD_BYTES }>()
                .map(|&[_, _, low, high]| usize::from(u16::from_le_bytes([low, high])))
                .ok_or_else(cut_short)?;
            if size < ace::HEAD_BYTES || size % ace::ALIGNMENT != 0 {
                return Err(DescriptorError::new("has an entry of a wrong size"));
            }
            let (entry, after) = rest.split_at_checked(size).ok_or_else(cut_short)?;
            entries.push(Ace::decode(entry)?);
            rest = after;
        }
        Ok(Self { entries })
    }

    /// Its bytes, as Windows stores them: no longer than the entries need.
    pub(super) fn encode(&self) -> Result<Vec<u8>, DescriptorError> {
        let too_long = || DescriptorError::new("has a list of more than 64 KiB");
        let with_objects = self.entries.iter().any(|entry| entry.kind.is_object());
        let revision = if with_objects {
            REVISION_OBJECTS
        } else {
            REVISION
        };
        let mut bytes = vec![revision, 0, 0, 0, 0, 0, 0, 0];
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.encode().ok_or_else(too_long)?);
            // Checked as it grows, so that no list of entries makes a buffer without bound.
            if bytes.len() > usize::from(u16::MAX) {
                return Err(too_long());
            }
        }
        let size = u16::try_from(bytes.len()).map_err(|_| too_long())?;
        let count = u16::try_from(self.entries.len()).map_err(|_| too_long())?;
        bytes[2..4].copy_from_slice(&size.to_le_bytes());
        bytes[4..6].copy_from_slice(&count.to_le_bytes());
        Ok(bytes)
    }
}

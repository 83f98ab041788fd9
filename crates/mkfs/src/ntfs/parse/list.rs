//! Attribute lists: which record holds each attribute of a file that does not fit one record.

use super::super::attribute::FileReference;
use super::super::format::AttributeListEntry;
use super::error::{ParseError, Structure};
use zerocopy::FromBytes;

/// Least bytes of an entry: its head without padding.
const MIN_ENTRY: usize = 26;

/// An entry of an attribute list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// Type of the attribute.
    pub kind: u32,
    /// Its name in UTF-16, little endian.
    pub name: Vec<u8>,
    /// First cluster that the attribute describes, where it is non-resident.
    pub first_vcn: u64,
    /// The record it stands in.
    pub record: FileReference,
    /// Its number there.
    pub instance: u16,
}

/// Reads the value of `$ATTRIBUTE_LIST`.
///
/// # Errors
/// `Damaged`.
pub fn list_entries(bytes: &[u8]) -> Result<Vec<ListEntry>, ParseError> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = u64::try_from(bytes.len() - rest.len()).unwrap_or(u64::MAX);
        let damaged = |reason: &str| ParseError::damaged(Structure::AttributeList, reason).at(at);
        let mut head = [0; size_of::<AttributeListEntry>()];
        let available = rest.len().min(head.len());
        head[..available].copy_from_slice(&rest[..available]);
        let entry = AttributeListEntry::read_from_bytes(&head)
            .map_err(|_| damaged("an entry is cut short"))?;
        let length = usize::from(entry.length.get());
        // An entry is at least as long as its head, so this ends.
        if length < MIN_ENTRY || length % 8 != 0 || length > rest.len() {
            return Err(damaged("the length of an entry is none"));
        }
        let (now, later) = rest.split_at(length);
        let name = match entry.name_length {
            0 => &[],
            units => {
                let start = usize::from(entry.name_offset);
                now.get(start..start + 2 * usize::from(units))
                    .ok_or_else(|| damaged("a name stands outside its entry"))?
            }
        };
        entries.push(ListEntry {
            kind: entry.kind.get(),
            name: name.to_vec(),
            first_vcn: entry.first_vcn.get(),
            record: FileReference::from_bits(entry.record.get()),
            instance: entry.instance.get(),
        });
        rest = later;
    }
    Ok(entries)
}

//! A file record: its head, its attributes, the end mark, and the update sequence over all.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use super::attribute::{Attribute, FileReference};
use super::format::{
    ATTRIBUTES_END, FIXUP_STRIDE, RECORD_IN_USE, RecordHeader, UPDATE_SEQUENCE_NUMBER,
};
use super::narrow::{align8, to_u16, to_u32, to_usize};
use crate::error::MkfsError;

/// The end mark and the four bytes after it.
const END_LENGTH: usize = 8;
const HEADER_LENGTH: usize = size_of::<RecordHeader>();

/// A record with its attributes, which stand in the order of their types.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub number: u64,
    pub sequence: u16,
    /// Flags besides "in use".
    pub flags: u16,
    /// Names of the file; none in extension records.
    pub links: u16,
    /// The base record, in an extension record.
    pub base: Option<FileReference>,
    pub attributes: Vec<Attribute>,
}

/// Bytes that attributes have in a record of `record_size` bytes.
pub(super) const fn attribute_room(record_size: usize) -> usize {
    record_size - first_attribute_offset(record_size) - END_LENGTH
}

const fn fixup_count(size: usize) -> usize {
    1 + size / FIXUP_STRIDE
}

const fn first_attribute_offset(record_size: usize) -> usize {
    (HEADER_LENGTH + 2 * fixup_count(record_size)).next_multiple_of(8)
}

impl Record {
    /// The record as it stands on disk, or `None` where its attributes do not fit.
    pub(super) fn encode(&self, record_size: u64) -> Result<Option<Vec<u8>>, MkfsError> {
        let size = to_usize(record_size, "a record of this size")?;
        let mut bytes = Vec::with_capacity(size);
        bytes.resize(first_attribute_offset(size), 0);
        let mut instance = 0;
        for attribute in &self.attributes {
            attribute.encode(instance, &mut bytes)?;
            instance += 1;
        }
        let used = align8(bytes.len()) + END_LENGTH;
        if used > size {
            return Ok(None);
        }
        bytes.extend_from_slice(&ATTRIBUTES_END.to_le_bytes());
        bytes.resize(size, 0);
        let header = RecordHeader {
            magic: *b"FILE",
            fixup_offset: U16::new(to_u16(HEADER_LENGTH, "a record of this size")?),
            fixup_count: U16::new(to_u16(fixup_count(size), "a record of this size")?),
            log_sequence_number: U64::ZERO,
            sequence: U16::new(self.sequence),
            links: U16::new(self.links),
            attributes_offset: U16::new(to_u16(
                first_attribute_offset(size),
                "a record of this size",
            )?),
            flags: U16::new(RECORD_IN_USE | self.flags),
            used: U32::new(to_u32(used, "a record of this size")?),
            allocated: U32::new(to_u32(size, "a record of this size")?),
            base: U64::new(self.base.map_or(0, FileReference::bits)),
            next_instance: U16::new(instance),
            number_high: U16::new(number_high(self.number)),
            number: U32::new(number_low(self.number)),
        };
        bytes[..HEADER_LENGTH].copy_from_slice(header.as_bytes());
        protect(&mut bytes, HEADER_LENGTH);
        Ok(Some(bytes))
    }

    /// The record of a file whose attributes are known to fit.
    pub(super) fn encode_whole(&self, record_size: u64) -> Result<Vec<u8>, MkfsError> {
        self.encode(record_size)?
            .ok_or(MkfsError::Unsupported("a file record of this length"))
    }
}

fn number_low(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn number_high(number: u64) -> u16 {
    let [.., e, f, _, _] = number.to_le_bytes();
    u16::from_le_bytes([e, f])
}

/// Moves the last word of every stride into the update sequence at `offset` and puts the update
/// sequence number in its place.
pub(super) fn protect(bytes: &mut [u8], offset: usize) {
    let number = UPDATE_SEQUENCE_NUMBER.to_le_bytes();
    bytes[offset..offset + 2].copy_from_slice(&number);
    for stride in 0..bytes.len() / FIXUP_STRIDE {
        let end = (stride + 1) * FIXUP_STRIDE;
        let word = [bytes[end - 2], bytes[end - 1]];
        bytes[end - 2..end].copy_from_slice(&number);
        let slot = offset + 2 + 2 * stride;
        bytes[slot..slot + 2].copy_from_slice(&word);
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::AttributeKind;
    use super::*;

    fn record(value: usize) -> Record {
        Record {
            number: 0x1_0002_0003,
            sequence: 1,
            flags: 0,
            links: 1,
            base: None,
            attributes: vec![Attribute::resident(AttributeKind::Data, vec![0xAB; value])],
        }
    }

    #[test]
    fn a_record_ends_with_a_mark_of_eight_bytes() {
        let bytes = record(3).encode(1024).unwrap().unwrap();
        assert_eq!(bytes.len(), 1024);
        assert_eq!(bytes[..8], *b"FILE\x30\0\x03\0");
        assert_eq!(
            bytes[0x14..0x20],
            [0x38, 0, 1, 0, 0x60, 0, 0, 0, 0, 4, 0, 0]
        );
        assert_eq!(bytes[0x2A..0x30], [1, 0, 3, 0, 2, 0]);
        assert_eq!(bytes[0x58..0x60], [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
    }

    #[test]
    fn the_words_at_the_strides_move_into_the_update_sequence() {
        let bytes = record(900).encode(1024).unwrap().unwrap();
        assert_eq!(bytes[0x30..0x36], [1, 0, 0xAB, 0xAB, 0, 0]);
        assert_eq!(
            (&bytes[510..512], &bytes[1022..]),
            (&[1, 0][..], &[1, 0][..])
        );
    }

    #[test]
    fn what_does_not_fit_is_said_to_and_what_just_fits_does() {
        let room = attribute_room(1024);
        assert_eq!(room, 1024 - 0x38 - 8);
        assert!(record(room - 24).encode(1024).unwrap().is_some());
        assert!(record(room - 23).encode(1024).unwrap().is_none());
        assert_eq!(record(3992).encode(4096).unwrap().unwrap()[0x14], 0x48);
    }
}

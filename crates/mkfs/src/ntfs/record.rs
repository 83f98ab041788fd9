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
pub(super) const HEADER_LENGTH: usize = size_of::<RecordHeader>();

/// What the head of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHead {
    pub number: u64,
    pub sequence: u16,
    /// Flags besides "in use".
    pub flags: u16,
    /// Names of the file; none in extension records.
    pub links: u16,
    /// The base record, in an extension record.
    pub base: Option<FileReference>,
}

/// A record with its attributes, which stand in the order of their types.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub head: RecordHead,
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

impl RecordHead {
    /// The head of a base record with one name.
    pub(super) const fn named(number: u64, sequence: u16, flags: u16) -> Self {
        Self {
            number,
            sequence,
            flags,
            links: 1,
            base: None,
        }
    }

    /// The reference of the record.
    pub(super) fn reference(&self) -> FileReference {
        FileReference::new(self.number, self.sequence)
    }

    /// The room of a record before its attributes, to which these are appended.
    pub(super) fn start(record_size: u64) -> Result<Vec<u8>, MkfsError> {
        let size = to_usize(record_size, "a record of this size")?;
        let mut bytes = Vec::with_capacity(size);
        bytes.resize(first_attribute_offset(size), 0);
        Ok(bytes)
    }

    /// Ends the record in which `instances` attributes were appended to what [`RecordHead::start`]
    /// gave: `None` where they do not fit.
    pub(super) fn seal(
        &self,
        mut bytes: Vec<u8>,
        instances: u16,
        record_size: u64,
    ) -> Result<Option<Vec<u8>>, MkfsError> {
        const WHAT: &str = "a record of this size";
        let size = to_usize(record_size, WHAT)?;
        let used = align8(bytes.len()) + END_LENGTH;
        if used > size {
            return Ok(None);
        }
        bytes.extend_from_slice(&ATTRIBUTES_END.to_le_bytes());
        bytes.resize(size, 0);
        let header = RecordHeader {
            magic: *b"FILE",
            fixup_offset: U16::new(to_u16(HEADER_LENGTH, WHAT)?),
            fixup_count: U16::new(to_u16(fixup_count(size), WHAT)?),
            log_sequence_number: U64::ZERO,
            sequence: U16::new(self.sequence),
            links: U16::new(self.links),
            attributes_offset: U16::new(to_u16(first_attribute_offset(size), WHAT)?),
            flags: U16::new(RECORD_IN_USE | self.flags),
            used: U32::new(to_u32(used, WHAT)?),
            allocated: U32::new(to_u32(size, WHAT)?),
            base: U64::new(self.base.map_or(0, FileReference::bits)),
            next_instance: U16::new(instances),
            number_high: U16::new(number_high(self.number)),
            number: U32::new(number_low(self.number)),
        };
        bytes[..HEADER_LENGTH].copy_from_slice(header.as_bytes());
        protect(&mut bytes, HEADER_LENGTH);
        Ok(Some(bytes))
    }
}

impl Record {
    /// The record as it stands on disk, or `None` where its attributes do not fit.
    pub(super) fn encode(&self, record_size: u64) -> Result<Option<Vec<u8>>, MkfsError> {
        let mut bytes = RecordHead::start(record_size)?;
        let mut instance = 0;
        for attribute in &self.attributes {
            attribute.encode(instance, &mut bytes)?;
            instance += 1;
        }
        self.head.seal(bytes, instance, record_size)
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

/// Puts the words at the ends of the strides back where they were before [`protect`]. `None` where
/// they are not as it leaves them.
pub(super) fn unprotect(bytes: &mut [u8], offset: usize) -> Option<()> {
    let number = [*bytes.get(offset)?, *bytes.get(offset + 1)?];
    for stride in 0..bytes.len() / FIXUP_STRIDE {
        let end = (stride + 1) * FIXUP_STRIDE;
        let slot = offset + 2 + 2 * stride;
        let word = [*bytes.get(slot)?, *bytes.get(slot + 1)?];
        let place = bytes.get_mut(end - 2..end)?;
        if *place != number {
            return None;
        }
        place.copy_from_slice(&word);
    }
    Some(())
}

/// Moves the last word of every stride into the update sequence at `offset` and puts the update
/// sequence number in its place.
pub(super) fn protect(bytes: &mut [u8], offset: usize) {
    protect_as(bytes, offset, UPDATE_SEQUENCE_NUMBER);
}

/// The same with a number for the update.
pub(super) fn protect_as(bytes: &mut [u8], offset: usize, update: u16) {
    let number = update.to_le_bytes();
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
            head: RecordHead::named(0x1_0002_0003, 1, 0),
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

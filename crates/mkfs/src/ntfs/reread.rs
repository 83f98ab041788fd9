//! A record that was put is read back and put anew: a file got more names after it was complete.
//!
//! Which file will have more names is known only when the tree ends. Files are not kept until then:
//! the few that get more are taken from the disk again, one at a time.

use zerocopy::FromBytes;
use zerocopy::little_endian::U64;

use blockio::ByteOffset;

use super::attribute::FileReference;
use super::build::Builder;
use super::directory::RecordNames;
use super::format::{ATTRIBUTES_END, AttributeHeader, AttributeKind, RECORD_IN_USE, RecordHeader};
use super::narrow::{to_u16, to_usize};
use super::record::{HEADER_LENGTH, RecordHead, unprotect};
use super::spread::{Part, Spread, When, sort_parts};
use crate::error::MkfsError;

impl Builder<'_, '_> {
    /// Gives every file that was put and then named again all its names.
    pub(super) fn finish_names(&mut self, names: &RecordNames) -> Result<(), MkfsError> {
        let mut records: Vec<u64> = self.renamed.drain().collect();
        records.sort_unstable();
        for number in records {
            let before = self.spreads.remove(&number);
            let (mut head, mut parts) = self.reread(number, before.as_ref())?;
            parts.retain(|part| !part.is_name());
            let mut links = 0_usize;
            for place in names.of(number) {
                let (parent, name, listing) = self.directories.listed_name(place);
                let parent = self.directories.get(parent).reference;
                let name = listing.file_name(parent, name).attribute()?;
                parts.extend(Part::of(&name, usize::MAX)?);
                links += 1;
            }
            head.links = to_u16(links, "a file of so many names")?;
            sort_parts(&mut parts, &self.upcase);
            self.put_parts(head, &parts, before, When::Late)?;
            self.flush_some_late()?;
        }
        Ok(())
    }

    /// The head of a file and its attributes, without the list of them.
    fn reread(
        &self,
        number: u64,
        spread: Option<&Spread>,
    ) -> Result<(RecordHead, Vec<Part>), MkfsError> {
        let (head, mut parts) = self.read_record(number)?;
        for extension in spread.into_iter().flat_map(|spread| &spread.extensions) {
            parts.extend(self.read_record(*extension)?.1);
        }
        parts.retain(|part| part.kind != AttributeKind::AttributeList.number());
        mark_pieces(&mut parts);
        Ok((head, parts))
    }

    fn read_record(&self, number: u64) -> Result<(RecordHead, Vec<Part>), MkfsError> {
        let mut bytes = self.mft.read(number)?;
        decode(number, &mut bytes).ok_or_else(|| MkfsError::Damaged {
            structure: "file record",
            offset: ByteOffset(number.saturating_mul(self.volume.geometry.record())),
            reason: "is not what was written there".into(),
        })
    }
}

/// What an encoded record holds; `None` where it is none.
fn decode(number: u64, bytes: &mut [u8]) -> Option<(RecordHead, Vec<Part>)> {
    unprotect(bytes, HEADER_LENGTH)?;
    let (header, _) = RecordHeader::ref_from_prefix(bytes).ok()?;
    if header.magic != *b"FILE" || header.flags.get() & RECORD_IN_USE == 0 {
        return None;
    }
    let head = RecordHead {
        number,
        sequence: header.sequence.get(),
        flags: header.flags.get() & !RECORD_IN_USE,
        links: header.links.get(),
        base: (header.base != U64::ZERO).then(|| FileReference::from_bits(header.base.get())),
    };
    let mut rest = bytes.get(usize::from(header.attributes_offset.get())..)?;
    let mut parts = Vec::new();
    while !rest.starts_with(&ATTRIBUTES_END.to_le_bytes()) {
        let part = decode_attribute(rest)?;
        rest = rest.get(part.bytes.len()..)?;
        parts.push(part);
    }
    Some((head, parts))
}

fn decode_attribute(bytes: &[u8]) -> Option<Part> {
    let (header, behind) = AttributeHeader::ref_from_prefix(bytes).ok()?;
    let length = to_usize(u64::from(header.length.get()), "an attribute").ok()?;
    if length < size_of::<AttributeHeader>() {
        return None;
    }
    let own = bytes.get(..length)?;
    let first_vcn = if header.non_resident == 0 {
        0
    } else {
        U64::ref_from_prefix(behind).ok()?.0.get()
    };
    let name = usize::from(header.name_offset.get());
    let name = own.get(name..name + 2 * usize::from(header.name_length))?;
    let (units, _) = name.as_chunks::<2>();
    Some(Part {
        kind: header.kind.get(),
        name: units.iter().map(|unit| u16::from_le_bytes(*unit)).collect(),
        first_vcn,
        is_piece: false,
        bytes: own.to_vec(),
    })
}

/// Marks the parts of attributes of which there are several.
fn mark_pieces(parts: &mut [Part]) {
    let several: Vec<(u32, Vec<u16>)> = parts
        .iter()
        .filter(|part| part.first_vcn > 0)
        .map(|part| (part.kind, part.name.clone()))
        .collect();
    for part in parts {
        part.is_piece = several
            .iter()
            .any(|(kind, name)| *kind == part.kind && *name == part.name);
    }
}

#[cfg(test)]
mod tests {
    use super::super::attribute::{Attribute, Stream};
    use super::super::record::Record;
    use super::super::runs::{Lcn, Run};
    use super::*;

    #[test]
    fn a_record_is_decoded_to_what_was_encoded() {
        let stream = Stream::dense(vec![Run::data(Lcn(700), 9)], 4096, 36_000);
        let attributes = vec![
            Attribute::resident(AttributeKind::FileName, vec![7; 90]),
            Attribute::resident(AttributeKind::Data, vec![3; 500]),
            Attribute::stream(AttributeKind::Data, "name", stream),
        ];
        let head = RecordHead::named(77, 1, 2);
        let record = Record { head, attributes };
        let mut bytes = record.encode(1024).unwrap().unwrap();
        let (decoded, parts) = decode(77, &mut bytes).unwrap();
        assert_eq!(decoded, head);
        let mut expected = Vec::new();
        for (instance, attribute) in (0_u8..).zip(&record.attributes) {
            let mut part = Part::of(attribute, 1000).unwrap();
            part[0].bytes[14] = instance;
            expected.extend(part);
        }
        assert_eq!(parts, expected);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        assert!(decode(1, &mut vec![0; 1024]).is_none());
        assert!(decode(1, &mut []).is_none());
        let attributes = vec![Attribute::resident(AttributeKind::Data, vec![3; 500])];
        let head = RecordHead::named(77, 1, 2);
        let whole = Record { head, attributes }.encode(1024).unwrap().unwrap();
        for at in [0x14, 0x15, 0x3C, 0x3D, 0x3F, 0x41, 510] {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xFF;
            assert!(decode(77, &mut bytes).is_none(), "{at:#x}");
        }
    }
}

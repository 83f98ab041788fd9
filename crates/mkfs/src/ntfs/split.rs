//! A file whose runs are more than its record holds: extension records and the attribute list that
//! names them.
//!
//! The base record keeps what describes the file; its data is cut into parts of consecutive clusters,
//! each in an extension record. Only sparse files with very many islands come to this.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use super::attribute::{Attribute, Body, FileReference, Stream};
use super::build::Builder;
use super::format::{AttributeKind, AttributeListEntry};
use super::narrow::{to_u16, to_usize};
use super::record::{Record, attribute_room};
use super::runs::{encode, total};
use super::stream::StreamBuilder;
use crate::error::MkfsError;

/// Head of a non-resident attribute without a name, with the total allocated size.
const STREAM_HEADER: usize = 72;
/// Most bytes of an attribute list that Windows accepts.
const MAX_LIST: usize = 256 * 1024;

impl Builder<'_, '_> {
    /// Puts a record whose last attribute is a stream of too many runs.
    pub(super) fn put_split(&mut self, mut base: Record) -> Result<(), MkfsError> {
        let record_size = self.volume.geometry.record();
        let room = attribute_room(to_usize(record_size, "a record of this size")?);
        let Some(Attribute {
            kind,
            name,
            body: Body::Stream(stream),
        }) = base.attributes.pop()
        else {
            return Err(MkfsError::Unsupported("a file record of this length"));
        };
        let base_reference = FileReference::new(base.number, base.sequence);
        let mut list = ListBuilder::default();
        for (instance, attribute) in (0_u16..).zip(&base.attributes) {
            // The list itself stands second and is numbered in between.
            let instance = instance + u16::from(instance > 0);
            list.push(attribute.kind, 0, base_reference, instance)?;
        }
        let mut extensions = Vec::new();
        for part in parts(&stream, room - STREAM_HEADER) {
            let number = self.mft.take();
            let first_vcn = part.first_vcn;
            let record = Record {
                number,
                sequence: 1,
                flags: 0,
                links: 0,
                base: Some(base_reference),
                attributes: vec![Attribute::stream(kind, name, part)],
            };
            list.push(kind, first_vcn, FileReference::new(number, 1), 0)?;
            extensions.push((number, record.encode_whole(record_size)?));
        }
        let list = self.list_attribute(&base, list.bytes, room)?;
        base.attributes.insert(1, list);
        let bytes = base.encode_whole(record_size)?;
        let space = &mut self.volume.space;
        self.mft.put(space, base.number, &bytes)?;
        for (number, bytes) in &extensions {
            self.mft.put(space, *number, bytes)?;
        }
        Ok(())
    }

    /// The attribute list: in the record where it fits.
    fn list_attribute(
        &mut self,
        base: &Record,
        list: Vec<u8>,
        room: usize,
    ) -> Result<Attribute, MkfsError> {
        let taken: usize = base.attributes.iter().map(Attribute::resident_bytes).sum();
        if taken + Attribute::resident_length("", list.len()) <= room {
            return Ok(Attribute::resident(AttributeKind::AttributeList, list));
        }
        let mut stream = StreamBuilder::default();
        stream.append(&mut self.volume, &list)?;
        let stream = stream.finish(&self.volume.geometry);
        Ok(Attribute::stream(AttributeKind::AttributeList, "", stream))
    }
}

#[derive(Default)]
struct ListBuilder {
    bytes: Vec<u8>,
}

impl ListBuilder {
    fn push(
        &mut self,
        kind: AttributeKind,
        first_vcn: u64,
        record: FileReference,
        instance: u16,
    ) -> Result<(), MkfsError> {
        const LENGTH: usize = size_of::<AttributeListEntry>();
        if self.bytes.len() + LENGTH > MAX_LIST {
            return Err(MkfsError::Unsupported("a file of so many pieces"));
        }
        let entry = AttributeListEntry {
            kind: U32::new(kind.number()),
            length: U16::new(to_u16(LENGTH, "an attribute list")?),
            name_length: 0,
            // Where the name would stand.
            name_offset: 0x1A,
            first_vcn: U64::new(first_vcn),
            record: U64::new(record.bits()),
            instance: U16::new(instance),
            padding: [0; 6],
        };
        self.bytes.extend_from_slice(entry.as_bytes());
        Ok(())
    }
}

/// Cuts a stream into parts whose encoded runs take at most `limit` bytes each.
fn parts(stream: &Stream, limit: usize) -> Vec<Stream> {
    // The whole attribute is a multiple of eight bytes long.
    let limit = limit / 8 * 8;
    let mut parts = Vec::new();
    let mut runs = stream.runs.as_slice();
    let mut first_vcn = 0;
    while !runs.is_empty() {
        let (_, count) = encode(runs, limit);
        // A run takes 17 bytes at most: one always fits.
        let (here, rest) = runs.split_at(count.max(1));
        parts.push(Stream {
            first_vcn,
            runs: here.to_vec(),
            ..*stream
        });
        first_vcn += total(here);
        runs = rest;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::super::runs::{Lcn, Run};
    use super::*;

    #[test]
    fn parts_follow_one_another_and_keep_every_run() {
        let runs: Vec<Run> = (0..1000)
            .flat_map(|i| [Run::hole(100), Run::data(Lcn(5000 + i), 1)])
            .collect();
        let stream = Stream {
            first_vcn: 0,
            runs: runs.clone(),
            allocated: 101_000 * 4096,
            size: 101_000 * 4096,
            initialized: 101_000 * 4096,
            sparse: Some(1000 * 4096),
        };
        let parts = parts(&stream, 880);
        assert!(parts.len() > 5);
        let mut vcn = 0;
        for part in &parts {
            assert_eq!(part.first_vcn, vcn);
            vcn += total(&part.runs);
            assert!(encode(&part.runs, usize::MAX).0.len() <= 880);
        }
        assert_eq!(parts.concat_runs(), runs);
    }

    trait ConcatRuns {
        fn concat_runs(&self) -> Vec<Run>;
    }

    impl ConcatRuns for Vec<Stream> {
        fn concat_runs(&self) -> Vec<Run> {
            self.iter().flat_map(|part| part.runs.clone()).collect()
        }
    }
}

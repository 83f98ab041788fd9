//! A file whose attributes do not fit its record: they are spread over extension records, and an
//! attribute list names them all.
//!
//! The base record keeps what describes the file, the root of an index, and what else fits; a stream
//! of very many runs is cut into parts of consecutive clusters, none of them in the base record.
//! Attributes stand in the order of type, name and first cluster, names of the file in that of their
//! bytes: within each record and in the list.

use std::cmp::Ordering;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use super::attribute::{Attribute, Body, FileReference, Stream};
use super::build::Builder;
use super::directory::compare;
use super::format::{AttributeKind, AttributeListEntry};
use super::narrow::{align8, to_u8, to_u16, to_usize};
use super::record::{RecordHead, attribute_room};
use super::runs::{Run, encode, total};
use super::stream::StreamBuilder;
use super::upcase::Upcase;
use crate::error::MkfsError;

/// Most bytes of an attribute list that Windows accepts.
const MAX_LIST: usize = 256 * 1024;
/// Bytes of a list that named streams may take: names of the file and pieces of its data need room too.
pub(super) const MAX_STREAM_ENTRIES: usize = 128 * 1024;
/// Bytes of a list that stays in the base record.
const MAX_RESIDENT_LIST: usize = 256;
/// Bytes of the attribute of a list in clusters: its head, and runs up to 32 bytes.
const LIST_STREAM_ROOM: usize = 64 + 32;
/// Where an attribute has its instance number.
const INSTANCE_OFFSET: usize = 14;
/// Where the value of a file name begins in its attribute.
const NAME_VALUE_OFFSET: usize = 24;

/// An attribute, or a part of one, as it stands in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub kind: u32,
    pub name: Vec<u16>,
    pub first_vcn: u64,
    /// Whether it is one of several parts.
    pub is_piece: bool,
    pub bytes: Vec<u8>,
}

impl Part {
    /// An attribute in as many parts as it needs where each may take `room` bytes.
    pub(super) fn of(attribute: &Attribute, room: usize) -> Result<Vec<Self>, MkfsError> {
        let Body::Stream(stream) = &attribute.body else {
            return Ok(vec![Self::whole(attribute, 0, false)?]);
        };
        if attribute.length() <= room {
            return Ok(vec![Self::whole(attribute, 0, false)?]);
        }
        let head = align8(stream.header_length() + 2 * attribute.name.len());
        pieces(stream, room.saturating_sub(head))
            .into_iter()
            .map(|piece| {
                let first_vcn = piece.first_vcn;
                let attribute = Attribute {
                    kind: attribute.kind,
                    name: attribute.name.clone(),
                    body: Body::Stream(piece),
                };
                Self::whole(&attribute, first_vcn, true)
            })
            .collect()
    }

    fn whole(attribute: &Attribute, first_vcn: u64, is_piece: bool) -> Result<Self, MkfsError> {
        let mut bytes = Vec::with_capacity(attribute.length());
        attribute.encode(0, &mut bytes)?;
        Ok(Self {
            kind: attribute.kind.number(),
            name: attribute.name.clone(),
            first_vcn,
            is_piece,
            bytes,
        })
    }

    /// Whether the part is one of the names of the file.
    pub(super) fn is_name(&self) -> bool {
        self.kind == AttributeKind::FileName.number()
    }

    fn order(&self, other: &Self, upcase: &Upcase) -> Ordering {
        let value = |part: &Self| part.bytes.get(NAME_VALUE_OFFSET..).map(<[u8]>::to_vec);
        self.kind
            .cmp(&other.kind)
            .then_with(|| compare(&self.name, &other.name, upcase))
            .then_with(|| {
                if self.is_name() {
                    value(self).cmp(&value(other))
                } else {
                    self.first_vcn.cmp(&other.first_vcn)
                }
            })
    }

    /// Bytes of its entry in the list.
    fn entry_length(&self) -> usize {
        align8(size_of::<AttributeListEntry>() + 2 * self.name.len())
    }
}

/// Sorts attributes as records have them.
pub(super) fn sort_parts(parts: &mut [Part], upcase: &Upcase) {
    parts.sort_by(|a, b| a.order(b, upcase));
}

/// Where the attributes of a spread file lie: what is needed to write it anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spread {
    /// Its extension records.
    pub extensions: Vec<u64>,
    /// The clusters of its list; none where the list lies in the base record.
    pub list: Vec<Run>,
}

/// When a record is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// In the order of numbers, while the tree arrives.
    Now,
    /// At the end.
    Late,
}

/// Which part lies in which record: the base has number zero, extensions are numbered from one.
struct Plan {
    places: Vec<usize>,
    extensions: usize,
    list_is_resident: bool,
}

fn plan(parts: &[Part], room: usize, list_has_clusters: bool) -> Result<Plan, MkfsError> {
    let list: usize = parts.iter().map(Part::entry_length).sum();
    if list > MAX_LIST {
        return Err(MkfsError::Unsupported("a file of so many pieces"));
    }
    let list_is_resident = !list_has_clusters && list <= MAX_RESIDENT_LIST;
    let list_room = if list_is_resident {
        Attribute::resident_length(0, list)
    } else {
        LIST_STREAM_ROOM
    };
    let stays = |part: &Part| {
        part.kind == AttributeKind::StandardInformation.number()
            || part.kind == AttributeKind::IndexRoot.number()
    };
    let mut taken = list_room;
    taken += parts
        .iter()
        .filter(|part| stays(part))
        .map(|part| part.bytes.len())
        .sum::<usize>();
    if taken > room {
        return Err(MkfsError::Unsupported("a file record of this length"));
    }
    let mut places = Vec::with_capacity(parts.len());
    let (mut extensions, mut in_extension) = (0, room);
    for part in parts {
        let length = part.bytes.len();
        if stays(part) {
            places.push(0);
        } else if !part.is_piece && taken + length <= room {
            taken += length;
            places.push(0);
        } else {
            if in_extension + length > room {
                extensions += 1;
                in_extension = 0;
            }
            in_extension += length;
            places.push(extensions);
        }
    }
    Ok(Plan {
        places,
        extensions,
        list_is_resident,
    })
}

impl Builder<'_, '_> {
    /// Bytes that attributes have in a record.
    pub(super) fn attribute_room(&self) -> Result<usize, MkfsError> {
        let size = to_usize(self.volume.geometry.record(), "a record of this size")?;
        Ok(attribute_room(size))
    }

    /// Puts a file of any number of attributes; `before` is where they lay when it was put before.
    /// What is returned says where they lie now, if not all in the base record.
    pub(super) fn put_parts(
        &mut self,
        head: RecordHead,
        parts: &[Part],
        before: Option<Spread>,
        when: When,
    ) -> Result<Option<Spread>, MkfsError> {
        let room = self.attribute_room()?;
        let length: usize = parts.iter().map(|part| part.bytes.len()).sum();
        if length <= room && before.is_none() {
            let all: Vec<&[u8]> = parts.iter().map(|part| part.bytes.as_slice()).collect();
            self.put_encoded(head, &all, when)?;
            return Ok(None);
        }
        let mut spread = before.unwrap_or_default();
        let plan = plan(parts, room, !spread.list.is_empty())?;
        while spread.extensions.len() < plan.extensions {
            spread.extensions.push(match when {
                When::Now => self.mft.take(),
                When::Late => self.mft.take_late(),
            });
        }
        let records: Vec<FileReference> = std::iter::once(head.reference())
            .chain(
                spread
                    .extensions
                    .iter()
                    .map(|number| FileReference::new(*number, 1)),
            )
            .collect();
        let list = list(parts, &plan, &records)?;
        let list = self.list_attribute(list, &plan, &mut spread)?;
        for (place, record) in records.iter().enumerate() {
            let here = parts
                .iter()
                .zip(&plan.places)
                .filter(|(_, at)| **at == place)
                .map(|(part, _)| part.bytes.as_slice());
            if place == 0 {
                // The list stands second.
                let mut all: Vec<&[u8]> = here.collect();
                all.insert(1.min(all.len()), &list);
                self.put_encoded(head, &all, when)?;
            } else {
                let extension = RecordHead {
                    links: 0,
                    base: Some(head.reference()),
                    ..RecordHead::named(record.record(), 1, 0)
                };
                let all: Vec<&[u8]> = here.collect();
                self.put_encoded(extension, &all, when)?;
            }
        }
        Ok(Some(spread))
    }

    fn put_encoded(
        &mut self,
        head: RecordHead,
        attributes: &[&[u8]],
        when: When,
    ) -> Result<(), MkfsError> {
        let record_size = self.volume.geometry.record();
        let mut bytes = RecordHead::start(record_size)?;
        let mut instance = 0_u16;
        for attribute in attributes {
            let start = bytes.len();
            bytes.extend_from_slice(attribute);
            let place = start + INSTANCE_OFFSET;
            bytes[place..place + 2].copy_from_slice(&instance.to_le_bytes());
            instance += 1;
        }
        let bytes = head
            .seal(bytes, instance, record_size)?
            .ok_or(MkfsError::Unsupported("a file record of this length"))?;
        match when {
            When::Now => self.mft.put(&mut self.volume.space, head.number, &bytes),
            When::Late => self.mft.put_late(head.number, bytes),
        }
    }

    /// The attribute of the list: in the record where the plan has it there, else in clusters, those
    /// it had before first.
    fn list_attribute(
        &mut self,
        list: Vec<u8>,
        plan: &Plan,
        spread: &mut Spread,
    ) -> Result<Vec<u8>, MkfsError> {
        let attribute = if plan.list_is_resident {
            Attribute::resident(AttributeKind::AttributeList, list)
        } else {
            let runs = std::mem::take(&mut spread.list);
            let mut stream = StreamBuilder::over(runs);
            stream.append(&mut self.volume, &list)?;
            let stream = stream.finish(&self.volume.geometry);
            spread.list.clone_from(&stream.runs);
            Attribute::stream(AttributeKind::AttributeList, "", stream)
        };
        let mut bytes = Vec::new();
        attribute.encode(0, &mut bytes)?;
        Ok(bytes)
    }
}

/// The value of the attribute list.
fn list(parts: &[Part], plan: &Plan, records: &[FileReference]) -> Result<Vec<u8>, MkfsError> {
    const WHAT: &str = "an attribute list";
    let mut next = vec![0_u16; records.len()];
    let mut bytes = Vec::new();
    for (part, place) in parts.iter().zip(&plan.places) {
        let instance = next[*place];
        // The list itself is numbered after the first attribute of the base record.
        next[*place] += if *place == 0 && instance == 0 { 2 } else { 1 };
        let length = part.entry_length();
        let entry = AttributeListEntry {
            kind: U32::new(part.kind),
            length: U16::new(to_u16(length, WHAT)?),
            name_length: to_u8(part.name.len(), WHAT)?,
            // Where the name stands, or would.
            name_offset: to_u8(size_of::<AttributeListEntry>(), WHAT)?,
            first_vcn: U64::new(part.first_vcn),
            record: U64::new(records[*place].bits()),
            instance: U16::new(instance),
        };
        let start = bytes.len();
        bytes.extend_from_slice(entry.as_bytes());
        for unit in &part.name {
            bytes.extend_from_slice(&unit.to_le_bytes());
        }
        bytes.resize(start + length, 0);
    }
    Ok(bytes)
}

/// Cuts a stream into pieces whose encoded runs take at most `limit` bytes each.
fn pieces(stream: &Stream, limit: usize) -> Vec<Stream> {
    // The whole attribute is a multiple of eight bytes long.
    let limit = limit / 8 * 8;
    let mut pieces = Vec::new();
    let mut runs = stream.runs.as_slice();
    let mut first_vcn = 0;
    while !runs.is_empty() {
        let (_, count) = encode(runs, limit);
        // A run takes 17 bytes at most: one always fits.
        let (here, rest) = runs.split_at(count.max(1));
        pieces.push(Stream {
            first_vcn,
            runs: here.to_vec(),
            ..*stream
        });
        first_vcn += total(here);
        runs = rest;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::runs::{Lcn, Run};
    use super::*;

    #[test]
    fn pieces_follow_one_another_and_keep_every_run() {
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
        let pieces = pieces(&stream, 880);
        assert!(pieces.len() > 5);
        let mut vcn = 0;
        for piece in &pieces {
            assert_eq!(piece.first_vcn, vcn);
            vcn += total(&piece.runs);
            assert!(encode(&piece.runs, usize::MAX).0.len() <= 880);
        }
        let all: Vec<Run> = pieces.iter().flat_map(|piece| piece.runs.clone()).collect();
        assert_eq!(all, runs);
    }

    fn part(kind: AttributeKind, name: &str, length: usize) -> Part {
        Part {
            kind: kind.number(),
            name: name.encode_utf16().collect(),
            first_vcn: 0,
            is_piece: false,
            bytes: vec![0; length],
        }
    }

    #[test]
    fn the_root_of_an_index_stays_and_what_does_not_fit_goes_in_order() {
        let parts = [
            part(AttributeKind::StandardInformation, "", 0x60),
            part(AttributeKind::FileName, "", 600),
            part(AttributeKind::FileName, "", 600),
            part(AttributeKind::FileName, "", 300),
            part(AttributeKind::IndexRoot, "$I30", 200),
        ];
        let plan = plan(&parts, 960, false).unwrap();
        assert_eq!(plan.places, [0, 1, 2, 0, 0]);
        assert_eq!(plan.extensions, 2);
        assert!(plan.list_is_resident);
    }

    #[test]
    fn streams_are_ordered_by_name_without_regard_to_case() {
        let upcase = Upcase::new();
        let mut parts = ["b", "A", "", "aa"].map(|name| part(AttributeKind::Data, name, 24));
        sort_parts(&mut parts, &upcase);
        let names: Vec<String> = parts
            .iter()
            .map(|part| String::from_utf16(&part.name).unwrap())
            .collect();
        assert_eq!(names, ["", "A", "aa", "b"]);
    }
}

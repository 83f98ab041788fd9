//! The attributes of a record: resident values and non-resident streams, encoded.

use std::cmp::Ordering;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::directory::compare;
use super::format::{
    ATTRIBUTE_SPARSE, AttributeHeader, AttributeKind, FileNameHeader, NonResidentHeader,
    ResidentHeader, StandardInformation, StandardInformation3,
};
use super::narrow::{align8, to_u8, to_u16, to_u32, wide};
use super::runs::{Run, encode, total};
use super::upcase::Upcase;
use crate::error::MkfsError;
use crate::tree::Times;

/// A file reference: record number in 48 bits, sequence number above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileReference(u64);

impl FileReference {
    /// The reference of a record by its number and sequence number.
    pub fn new(record: u64, sequence: u16) -> Self {
        Self(record | u64::from(sequence) << 48)
    }

    /// A reference as stored.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The record number alone.
    pub const fn record(self) -> u64 {
        self.0 & 0xFFFF_FFFF_FFFF
    }

    /// The sequence number alone.
    pub const fn sequence(self) -> u16 {
        let [.., low, high] = self.0.to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// The reference as stored.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// An attribute of a record.
#[derive(Clone, Debug)]
pub(super) struct Attribute {
    pub kind: AttributeKind,
    /// UTF-16 units; none for most.
    pub name: Vec<u16>,
    pub body: Body,
}

/// Where the value of an attribute lies.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// In the record.
    Resident(Vec<u8>),
    /// In clusters.
    Stream(Stream),
}

/// A value in clusters, or the part of it that one record describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    /// Number of the first cluster within the stream; not zero in extension records.
    pub first_vcn: u64,
    pub runs: Vec<Run>,
    /// Bytes of all clusters of the whole stream, holes counted.
    pub allocated: u64,
    pub size: u64,
    /// Bytes from the start that are valid; what follows reads as zeros.
    pub initialized: u64,
    /// Bytes of the clusters that are no holes, where the stream is sparse.
    pub sparse: Option<u64>,
}

impl Stream {
    /// A stream without holes.
    pub(super) fn dense(runs: Vec<Run>, cluster: u64, size: u64) -> Self {
        Self {
            first_vcn: 0,
            allocated: total(&runs) * cluster,
            runs,
            size,
            initialized: size,
            sparse: None,
        }
    }

    /// Bytes of the head of the attribute that describes the stream.
    pub(super) const fn header_length(&self) -> usize {
        // The total allocated size stands in the first part alone.
        if self.sparse.is_some() && self.first_vcn == 0 {
            72
        } else {
            64
        }
    }
}

impl Attribute {
    /// A resident attribute without a name.
    pub(super) fn resident(kind: AttributeKind, value: Vec<u8>) -> Self {
        Self::named_resident(kind, "", value)
    }

    /// A resident attribute.
    pub(super) fn named_resident(kind: AttributeKind, name: &str, value: Vec<u8>) -> Self {
        Self {
            kind,
            name: name.encode_utf16().collect(),
            body: Body::Resident(value),
        }
    }

    /// A non-resident attribute.
    pub(super) fn stream(kind: AttributeKind, name: &str, stream: Stream) -> Self {
        Self {
            kind,
            name: name.encode_utf16().collect(),
            body: Body::Stream(stream),
        }
    }

    /// Bytes that a resident attribute with a name of so many units takes in its record.
    pub(super) const fn resident_length(name_units: usize, value: usize) -> usize {
        (24 + 2 * name_units).next_multiple_of(8) + value.next_multiple_of(8)
    }

    /// Bytes the attribute takes in its record.
    pub(super) fn length(&self) -> usize {
        match &self.body {
            Body::Resident(value) => Self::resident_length(self.name.len(), value.len()),
            Body::Stream(stream) => {
                let (runs, _) = encode(&stream.runs, usize::MAX);
                align8(stream.header_length() + 2 * self.name.len()) + align8(runs.len())
            }
        }
    }

    /// The order of attributes in a record: by type and name, names of the file by their bytes.
    pub(super) fn order(&self, other: &Self, upcase: &Upcase) -> Ordering {
        self.kind
            .cmp(&other.kind)
            .then_with(|| match (&self.body, &other.body) {
                (Body::Resident(a), Body::Resident(b)) if self.kind == AttributeKind::FileName => {
                    a.cmp(b)
                }
                _ => compare(&self.name, &other.name, upcase),
            })
    }

    /// Bytes allocated and bytes of the value.
    pub(super) fn sizes(&self) -> (u64, u64) {
        match &self.body {
            Body::Resident(value) => (resident_allocated(value.len()), wide(value.len())),
            Body::Stream(stream) => (stream.sparse.unwrap_or(stream.allocated), stream.size),
        }
    }

    /// Whether the attribute is a stream with holes.
    pub(super) const fn is_sparse(&self) -> bool {
        matches!(&self.body, Body::Stream(stream) if stream.sparse.is_some())
    }

    /// Appends the attribute as it stands in a record.
    pub(super) fn encode(&self, instance: u16, out: &mut Vec<u8>) -> Result<(), MkfsError> {
        match &self.body {
            Body::Resident(value) => self.encode_resident(value, instance, out),
            Body::Stream(stream) => self.encode_stream(stream, instance, out),
        }
    }

    fn header(
        &self,
        length: usize,
        name_offset: usize,
        instance: u16,
    ) -> Result<AttributeHeader, MkfsError> {
        Ok(AttributeHeader {
            kind: U32::new(self.kind.number()),
            length: U32::new(to_u32(length, "an attribute of this length")?),
            non_resident: u8::from(matches!(self.body, Body::Stream(_))),
            name_length: to_u8(self.name.len(), "an attribute name of this length")?,
            name_offset: U16::new(to_u16(name_offset, "an attribute of this length")?),
            flags: U16::ZERO,
            instance: U16::new(instance),
        })
    }

    fn encode_resident(
        &self,
        value: &[u8],
        instance: u16,
        out: &mut Vec<u8>,
    ) -> Result<(), MkfsError> {
        let start = out.len();
        let value_offset = align8(24 + 2 * self.name.len());
        let length = value_offset + align8(value.len());
        out.extend_from_slice(self.header(length, 24, instance)?.as_bytes());
        let resident = ResidentHeader {
            value_length: U32::new(to_u32(value.len(), "an attribute of this length")?),
            value_offset: U16::new(to_u16(value_offset, "an attribute of this length")?),
            indexed: u8::from(self.kind == AttributeKind::FileName),
            unused: 0,
        };
        out.extend_from_slice(resident.as_bytes());
        self.push_name(out);
        out.resize(start + value_offset, 0);
        out.extend_from_slice(value);
        out.resize(start + length, 0);
        Ok(())
    }

    fn encode_stream(
        &self,
        stream: &Stream,
        instance: u16,
        out: &mut Vec<u8>,
    ) -> Result<(), MkfsError> {
        let start = out.len();
        let name_offset = stream.header_length();
        let runs_offset = align8(name_offset + 2 * self.name.len());
        let (runs, _) = encode(&stream.runs, usize::MAX);
        let length = runs_offset + align8(runs.len());
        let mut header = self.header(length, name_offset, instance)?;
        if stream.sparse.is_some() {
            header.flags = U16::new(ATTRIBUTE_SPARSE);
        }
        out.extend_from_slice(header.as_bytes());
        let is_first = stream.first_vcn == 0;
        let sized = |value| U64::new(if is_first { value } else { 0 });
        let clusters = total(&stream.runs);
        let non_resident = NonResidentHeader {
            first_vcn: U64::new(stream.first_vcn),
            // An empty stream ends before it begins.
            last_vcn: U64::new((stream.first_vcn + clusters).wrapping_sub(1)),
            runs_offset: U16::new(to_u16(runs_offset, "an attribute of this length")?),
            compression_unit: U16::ZERO,
            unused: U32::ZERO,
            allocated: sized(stream.allocated),
            size: sized(stream.size),
            initialized: sized(stream.initialized),
        };
        out.extend_from_slice(non_resident.as_bytes());
        if let (Some(total), true) = (stream.sparse, is_first) {
            out.extend_from_slice(&total.to_le_bytes());
        }
        self.push_name(out);
        out.resize(start + runs_offset, 0);
        out.extend_from_slice(&runs);
        out.resize(start + length, 0);
        Ok(())
    }

    fn push_name(&self, out: &mut Vec<u8>) {
        for unit in &self.name {
            out.extend_from_slice(&unit.to_le_bytes());
        }
    }
}

/// What a record says of its file in `$STANDARD_INFORMATION`. `version` is zero but for directories
/// with flags of their own.
pub(super) fn standard_information(
    times: &Times,
    attributes: u32,
    security: u32,
    version: u32,
) -> Attribute {
    let mut value = short_information(times, attributes, version);
    let mut more = StandardInformation3::new_zeroed();
    more.security = U32::new(security);
    value.extend_from_slice(more.as_bytes());
    Attribute::resident(AttributeKind::StandardInformation, value)
}

/// The same in the form of NTFS 1.2, for records with a security descriptor of their own.
pub(super) fn standard_information_1_2(times: &Times, attributes: u32, version: u32) -> Attribute {
    Attribute::resident(
        AttributeKind::StandardInformation,
        short_information(times, attributes, version),
    )
}

fn short_information(times: &Times, attributes: u32, version: u32) -> Vec<u8> {
    let mut head = StandardInformation::new_zeroed();
    head.created = U64::new(times.created.ticks());
    head.modified = U64::new(times.modified.ticks());
    head.changed = U64::new(times.changed.ticks());
    head.accessed = U64::new(times.accessed.ticks());
    head.attributes = U32::new(attributes);
    head.version = U32::new(version);
    // Room for what NTFS 3 has behind it.
    let mut value =
        Vec::with_capacity(size_of::<StandardInformation>() + size_of::<StandardInformation3>());
    value.extend_from_slice(head.as_bytes());
    value
}

/// A name of a file, with what a directory repeats of the file.
#[derive(Clone, Debug)]
pub(super) struct FileName<'a> {
    pub parent: FileReference,
    pub times: Times,
    pub allocated: u64,
    pub size: u64,
    pub attributes: u32,
    pub tag: u32,
    pub name: &'a [u16],
    pub name_space: u8,
}

impl FileName<'_> {
    /// Bytes of the value for a name of so many units.
    pub(super) const fn value_length(units: usize) -> usize {
        size_of::<FileNameHeader>() + 2 * units
    }

    /// Appends the value of `$FILE_NAME`, which is also the key of a directory's index.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), MkfsError> {
        let head = FileNameHeader {
            parent: U64::new(self.parent.bits()),
            created: U64::new(self.times.created.ticks()),
            modified: U64::new(self.times.modified.ticks()),
            changed: U64::new(self.times.changed.ticks()),
            accessed: U64::new(self.times.accessed.ticks()),
            allocated: U64::new(self.allocated),
            size: U64::new(self.size),
            attributes: U32::new(self.attributes),
            tag: U32::new(self.tag),
            name_length: to_u8(self.name.len(), "a name of more than 255 units")?,
            name_space: self.name_space,
        };
        out.extend_from_slice(head.as_bytes());
        for unit in self.name {
            out.extend_from_slice(&unit.to_le_bytes());
        }
        Ok(())
    }

    /// The name as an attribute of its record.
    pub(super) fn attribute(&self) -> Result<Attribute, MkfsError> {
        let mut value = Vec::with_capacity(Self::value_length(self.name.len()));
        self.encode(&mut value)?;
        Ok(Attribute::resident(AttributeKind::FileName, value))
    }
}

/// What a directory says of the space of a resident value.
pub(super) fn resident_allocated(value: usize) -> u64 {
    wide(align8(value))
}

#[cfg(test)]
mod tests {
    use super::super::runs::Lcn;
    use super::*;
    use crate::tree::NtTime;

    fn encoded(attribute: &Attribute, instance: u16) -> Vec<u8> {
        let mut out = Vec::new();
        attribute.encode(instance, &mut out).unwrap();
        out
    }

    #[test]
    fn streams_are_encoded_as_windows_encodes_them() {
        // $BadClus:$Bad of a Windows 10 volume, 751 clusters.
        let stream = Stream {
            first_vcn: 0,
            runs: vec![Run::hole(751)],
            allocated: 751 * 4096,
            size: 751 * 4096,
            initialized: 0,
            sparse: None,
        };
        let bytes = encoded(&Attribute::stream(AttributeKind::Data, "$Bad", stream), 1);
        assert_eq!(bytes.len(), 0x50);
        assert_eq!(
            bytes[..16],
            [0x80, 0, 0, 0, 0x50, 0, 0, 0, 1, 4, 0x40, 0, 0, 0, 1, 0]
        );
        assert_eq!(bytes[0x18..0x22], [0xEE, 2, 0, 0, 0, 0, 0, 0, 72, 0]);
        assert_eq!(
            bytes[0x40..],
            [
                0x24, 0, 0x42, 0, 0x61, 0, 0x64, 0, 2, 0xEF, 2, 0, 0, 0, 0, 0
            ]
        );
    }

    #[test]
    fn a_sparse_stream_says_how_much_it_occupies() {
        let stream = Stream {
            first_vcn: 0,
            runs: vec![Run::hole(16), Run::data(Lcn(100), 2)],
            allocated: 18 * 4096,
            size: 70_000,
            initialized: 70_000,
            sparse: Some(2 * 4096),
        };
        let bytes = encoded(&Attribute::stream(AttributeKind::Data, "", stream), 2);
        assert_eq!(bytes[12..14], [0, 0x80]);
        assert_eq!(bytes[0x20], 72);
        assert_eq!(bytes[0x40..0x48], 8192_u64.to_le_bytes());
        assert_eq!(bytes[0x48..], [1, 16, 0x11, 2, 100, 0, 0, 0]);
    }

    #[test]
    fn names_of_attributes_are_aligned() {
        let attribute = Attribute::named_resident(AttributeKind::Bitmap, "$I30", vec![1; 8]);
        let bytes = encoded(&attribute, 7);
        assert_eq!(bytes.len(), 0x28);
        assert_eq!(bytes.len(), Attribute::resident_length(4, 8));
        assert_eq!(bytes[20], 0x20);
    }

    #[test]
    fn a_file_name_is_marked_as_indexed() {
        let name: Vec<u16> = "$MFT".encode_utf16().collect();
        let file_name = FileName {
            parent: FileReference::new(5, 5),
            times: Times::all(NtTime::from_ticks(0x01D6_9FC2_FE6D_228B)),
            allocated: 0x4000,
            size: 0x4000,
            attributes: 6,
            tag: 0,
            name: &name,
            name_space: 3,
        };
        let bytes = encoded(&file_name.attribute().unwrap(), 3);
        assert_eq!(bytes.len(), 0x68);
        assert_eq!(bytes[0x16], 1);
        assert_eq!(bytes[0x18..0x20], [5, 0, 0, 0, 0, 0, 5, 0]);
        assert_eq!(
            bytes[0x18 + 0x40..0x18 + 0x4A],
            [4, 3, 0x24, 0, 0x4D, 0, 0x46, 0, 0x54, 0]
        );
    }
}

//! File records taken apart and put together: every attribute is kept, also of kinds that nobody
//! here knows.

use super::bytes::{array, length, put, u16_at, u32_at, u64_at, wide};
use crate::change::ChangeError;
use crate::ntfs::attribute::FileReference;
use crate::ntfs::narrow::{align8, to_u8, to_u16, to_u32};
use crate::ntfs::runs::{Lcn, Run, encode as encode_runs, push_joined, total};

/// Types of attributes ([MS-FSCC] names the streams they are).
pub(super) mod kind {
    pub(crate) const STANDARD_INFORMATION: u32 = 0x10;
    pub(crate) const ATTRIBUTE_LIST: u32 = 0x20;
    pub(crate) const FILE_NAME: u32 = 0x30;
    pub(crate) const OBJECT_ID: u32 = 0x40;
    pub(crate) const SECURITY_DESCRIPTOR: u32 = 0x50;
    pub(crate) const VOLUME_NAME: u32 = 0x60;
    pub(crate) const VOLUME_INFORMATION: u32 = 0x70;
    pub(crate) const DATA: u32 = 0x80;
    pub(crate) const INDEX_ROOT: u32 = 0x90;
    pub(crate) const INDEX_ALLOCATION: u32 = 0xA0;
    pub(crate) const BITMAP: u32 = 0xB0;
    pub(crate) const REPARSE_POINT: u32 = 0xC0;
    pub(crate) const LOGGED_STREAM: u32 = 0x100;
}

/// The attribute is compressed.
pub(super) const FLAG_COMPRESSED: u16 = 0x0001;
/// The attribute is encrypted.
pub(super) const FLAG_ENCRYPTED: u16 = 0x4000;
/// The attribute has holes.
pub(super) const FLAG_SPARSE: u16 = 0x8000;

const IN_USE: u16 = 1;
const END: u32 = 0xFFFF_FFFF;
/// Bytes of the end mark with what follows it.
pub(super) const END_LENGTH: usize = 8;
/// Runs of one attribute: a run takes two bytes at least, and attribute lists are bounded.
const MAX_RUNS: usize = 1 << 22;

/// A value in clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stream {
    /// First cluster of the part at hand; zero once the parts are joined.
    pub first_vcn: u64,
    pub runs: Vec<Run>,
    /// Bytes of all clusters, holes counted.
    pub allocated: u64,
    pub size: u64,
    pub initialized: u64,
    pub compression_unit: u16,
    /// Bytes of the clusters that are no holes, in a sparse or compressed stream.
    pub total_allocated: Option<u64>,
}

/// Where a value lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Resident(Vec<u8>),
    Stream(Stream),
}

/// An attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    pub kind: u32,
    pub name: Vec<u16>,
    pub flags: u16,
    /// Whether an index holds the value.
    pub indexed: u8,
    pub instance: u16,
    pub value: Value,
}

/// One record, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub log_sequence: u64,
    pub sequence: u16,
    pub links: u16,
    /// Flags without "in use".
    pub flags: u16,
    pub in_use: bool,
    pub base: u64,
    pub attributes: Vec<Attribute>,
}

/// Puts the words back that the update sequence of a structure protects.
pub(super) fn unprotect(bytes: &mut [u8]) -> Option<()> {
    let offset = usize::from(u16_at(bytes, 4)?);
    let count = usize::from(u16_at(bytes, 6)?);
    if count != bytes.len() / 512 + 1 || offset + 2 * count > 510 {
        return None;
    }
    let number: [u8; 2] = array(bytes, offset)?;
    for stride in 1..count {
        let end = stride * 512;
        if array(bytes, end - 2)? != number {
            return None;
        }
        let word: [u8; 2] = array(bytes, offset + 2 * stride)?;
        put(bytes, end - 2, &word);
    }
    Some(())
}

/// The runs of an encoded list, which begin at cluster zero; `None` where they contradict.
pub(super) fn decode_runs(mut bytes: &[u8], clusters: u64) -> Option<Vec<Run>> {
    let mut runs = Vec::new();
    let mut previous = 0_i64;
    loop {
        let (&sizes, rest) = bytes.split_first()?;
        if sizes == 0 {
            return Some(runs);
        }
        let (length_size, start_size) = (usize::from(sizes & 0xF), usize::from(sizes >> 4));
        let (length, rest) = rest.split_at_checked(length_size)?;
        let (start, rest) = rest.split_at_checked(start_size)?;
        let length = u64::try_from(signed(length)?).ok()?;
        if length == 0 || length > clusters.max(1 << 40) || runs.len() >= MAX_RUNS {
            return None;
        }
        let run = if start.is_empty() {
            Run::hole(length)
        } else {
            previous = previous.checked_add(signed(start)?)?;
            let lcn = u64::try_from(previous).ok()?;
            if lcn.checked_add(length)? > clusters {
                return None;
            }
            Run::data(Lcn(lcn), length)
        };
        runs.push(run);
        bytes = rest;
    }
}

fn signed(bytes: &[u8]) -> Option<i64> {
    let last = *bytes.last()?;
    let mut number = [if last & 0x80 == 0 { 0 } else { 0xFF }; 8];
    number.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(number))
}

impl Stream {
    /// A stream without holes.
    pub(super) fn dense(runs: Vec<Run>, cluster: u64, size: u64) -> Self {
        Self {
            allocated: total(&runs) * cluster,
            runs,
            size,
            initialized: size,
            ..Self::default()
        }
    }

    /// Where a byte lies on the volume and how many follow it there; `None` past the runs, the
    /// place is `None` in a hole.
    pub(super) fn locate(&self, offset: u64, cluster: u64) -> Option<(Option<u64>, u64)> {
        let mut start = 0;
        for run in &self.runs {
            let bytes = run.length.checked_mul(cluster)?;
            if offset < start + bytes {
                let inside = offset - start;
                return Some((
                    run.start.map(|Lcn(lcn)| lcn * cluster + inside),
                    bytes - inside,
                ));
            }
            start += bytes;
        }
        None
    }
}

impl Attribute {
    pub(super) fn resident(kind: u32, name: &[u16], value: Vec<u8>) -> Self {
        Self {
            kind,
            name: name.to_vec(),
            flags: 0,
            indexed: u8::from(kind == kind::FILE_NAME),
            instance: 0,
            value: Value::Resident(value),
        }
    }

    pub(super) fn stream(kind: u32, name: &[u16], stream: Stream) -> Self {
        let flags = if stream.total_allocated.is_some() {
            FLAG_SPARSE
        } else {
            0
        };
        Self {
            kind,
            name: name.to_vec(),
            flags,
            indexed: 0,
            instance: 0,
            value: Value::Stream(stream),
        }
    }

    /// The value in the record, where it is there.
    pub(super) fn resident_value(&self) -> Option<&Vec<u8>> {
        match &self.value {
            Value::Resident(value) => Some(value),
            Value::Stream(_) => None,
        }
    }

    /// Bytes of the value, and those allocated for it as directories show it.
    pub(super) fn sizes(&self) -> (u64, u64) {
        match &self.value {
            Value::Resident(value) => (wide(value.len()), wide(align8(value.len()))),
            Value::Stream(stream) => (
                stream.size,
                stream.total_allocated.unwrap_or(stream.allocated),
            ),
        }
    }

    fn header_length(&self, first_vcn: u64) -> usize {
        match &self.value {
            Value::Resident(_) => 24,
            // The total allocated size stands in the first part alone.
            Value::Stream(stream) if stream.total_allocated.is_some() && first_vcn == 0 => 72,
            Value::Stream(_) => 64,
        }
    }

    /// Bytes before the value or the runs.
    pub(super) fn value_offset(&self, first_vcn: u64) -> usize {
        align8(self.header_length(first_vcn) + 2 * self.name.len())
    }

    /// Bytes that the attribute takes in a record.
    pub(super) fn encoded_length(&self) -> usize {
        match &self.value {
            Value::Resident(value) => self.value_offset(0) + align8(value.len()),
            Value::Stream(stream) => {
                let (runs, _) = encode_runs(&stream.runs, usize::MAX);
                align8(self.value_offset(stream.first_vcn) + runs.len())
            }
        }
    }

    fn decode(bytes: &[u8], clusters: u64) -> Option<Self> {
        let non_resident = *bytes.get(8)?;
        let name_length = usize::from(*bytes.get(9)?);
        let name_offset = usize::from(u16_at(bytes, 10)?);
        let name = bytes.get(name_offset..)?.get(..2 * name_length)?;
        let name = name
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        let flags = u16_at(bytes, 12)?;
        let (value, indexed) = if non_resident == 0 {
            let size = length(u32_at(bytes, 16)?);
            let offset = usize::from(u16_at(bytes, 20)?);
            (
                Value::Resident(bytes.get(offset..)?.get(..size)?.to_vec()),
                *bytes.get(22)?,
            )
        } else {
            (Value::Stream(decode_stream(bytes, flags, clusters)?), 0)
        };
        Some(Self {
            kind: u32_at(bytes, 0)?,
            name,
            flags,
            indexed,
            instance: u16_at(bytes, 14)?,
            value,
        })
    }

    /// Appends the attribute as it stands in a record.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), ChangeError> {
        let what = "an attribute of this length";
        let start = out.len();
        let first_vcn = match &self.value {
            Value::Stream(stream) => stream.first_vcn,
            Value::Resident(_) => 0,
        };
        let name_offset = self.header_length(first_vcn);
        let value_offset = self.value_offset(first_vcn);
        let mut bytes = vec![0; value_offset];
        put(&mut bytes, 0, &self.kind.to_le_bytes());
        put(&mut bytes, 9, &[to_u8(self.name.len(), what)?]);
        put(&mut bytes, 10, &to_u16(name_offset, what)?.to_le_bytes());
        put(&mut bytes, 12, &self.flags.to_le_bytes());
        put(&mut bytes, 14, &self.instance.to_le_bytes());
        for (index, unit) in self.name.iter().enumerate() {
            put(&mut bytes, name_offset + 2 * index, &unit.to_le_bytes());
        }
        match &self.value {
            Value::Resident(value) => {
                put(&mut bytes, 16, &to_u32(value.len(), what)?.to_le_bytes());
                put(&mut bytes, 20, &to_u16(value_offset, what)?.to_le_bytes());
                put(&mut bytes, 22, &[self.indexed]);
                bytes.extend_from_slice(value);
            }
            Value::Stream(stream) => encode_stream(stream, value_offset, &mut bytes)?,
        }
        bytes.resize(align8(bytes.len()), 0);
        let whole = to_u32(bytes.len(), what)?;
        put(&mut bytes, 4, &whole.to_le_bytes());
        out.extend_from_slice(&bytes);
        debug_assert_eq!(out.len() - start, self.encoded_length());
        Ok(())
    }
}

fn decode_stream(bytes: &[u8], flags: u16, clusters: u64) -> Option<Stream> {
    let first_vcn = u64_at(bytes, 16)?;
    let last_vcn = u64_at(bytes, 24)?;
    let runs = decode_runs(bytes.get(usize::from(u16_at(bytes, 32)?)..)?, clusters)?;
    let length = total(&runs);
    if first_vcn.checked_add(length)? != last_vcn.wrapping_add(1) {
        return None;
    }
    let has_total = flags & (FLAG_SPARSE | FLAG_COMPRESSED) != 0 && first_vcn == 0;
    Some(Stream {
        first_vcn,
        runs,
        allocated: u64_at(bytes, 40)?,
        size: u64_at(bytes, 48)?,
        initialized: u64_at(bytes, 56)?,
        compression_unit: u16_at(bytes, 34)?,
        total_allocated: if has_total {
            Some(u64_at(bytes, 64)?)
        } else {
            None
        },
    })
}

fn encode_stream(
    stream: &Stream,
    runs_offset: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), ChangeError> {
    let (runs, _) = encode_runs(&stream.runs, usize::MAX);
    let last = (stream.first_vcn + total(&stream.runs)).wrapping_sub(1);
    put(bytes, 8, &[1]);
    put(bytes, 16, &stream.first_vcn.to_le_bytes());
    put(bytes, 24, &last.to_le_bytes());
    put(bytes, 32, &to_u16(runs_offset, "a run list")?.to_le_bytes());
    put(bytes, 34, &stream.compression_unit.to_le_bytes());
    // The sizes are those of the whole stream and stand in the first part alone.
    if stream.first_vcn == 0 {
        put(bytes, 40, &stream.allocated.to_le_bytes());
        put(bytes, 48, &stream.size.to_le_bytes());
        put(bytes, 56, &stream.initialized.to_le_bytes());
        if let Some(occupied) = stream.total_allocated {
            put(bytes, 64, &occupied.to_le_bytes());
        }
    }
    bytes.extend_from_slice(&runs);
    Ok(())
}

impl Record {
    /// Takes a record apart. `None` where it contradicts its format.
    pub(super) fn decode(mut bytes: Vec<u8>, clusters: u64) -> Option<Self> {
        if !bytes.starts_with(b"FILE") {
            return None;
        }
        unprotect(&mut bytes)?;
        let flags = u16_at(&bytes, 0x16)?;
        let used = length(u32_at(&bytes, 0x18)?);
        let mut rest = bytes
            .get(..used)?
            .get(usize::from(u16_at(&bytes, 0x14)?)..)?;
        let mut attributes = Vec::new();
        // Ends: each turn takes at least 24 bytes of the record.
        loop {
            let kind = u32_at(rest, 0)?;
            if kind == END {
                break;
            }
            let size = length(u32_at(rest, 4)?);
            if size < 24 {
                return None;
            }
            let (attribute, after) = rest.split_at_checked(size)?;
            attributes.push(Attribute::decode(attribute, clusters)?);
            rest = after;
        }
        Some(Self {
            log_sequence: u64_at(&bytes, 8)?,
            sequence: u16_at(&bytes, 0x10)?,
            links: u16_at(&bytes, 0x12)?,
            flags: flags & !IN_USE,
            in_use: flags & IN_USE != 0,
            base: u64_at(&bytes, 0x20)?,
            attributes,
        })
    }

    /// Where the first attribute stands.
    pub(super) const fn first_attribute(size: usize) -> usize {
        (0x30 + 2 * (size / 512 + 1)).next_multiple_of(8)
    }

    /// Bytes for attributes.
    pub(super) const fn room(size: usize) -> usize {
        size - Self::first_attribute(size) - END_LENGTH
    }

    /// The record as it stands on disk. Attributes are numbered in their order.
    pub(super) fn encode(&self, number: u64, size: usize) -> Result<Vec<u8>, ChangeError> {
        let what = "a file record of this length";
        let mut bytes = vec![0; Self::first_attribute(size)];
        for attribute in &self.attributes {
            attribute.encode(&mut bytes)?;
        }
        let used = bytes.len() + END_LENGTH;
        if used > size {
            return Err(ChangeError::Unsupported(what));
        }
        bytes.extend_from_slice(&END.to_le_bytes());
        bytes.resize(size, 0);
        let next_instance = self
            .attributes
            .iter()
            .map(|a| a.instance + 1)
            .max()
            .unwrap_or(0);
        put(&mut bytes, 0, b"FILE");
        put(&mut bytes, 4, &0x30_u16.to_le_bytes());
        put(&mut bytes, 6, &to_u16(size / 512 + 1, what)?.to_le_bytes());
        put(&mut bytes, 8, &self.log_sequence.to_le_bytes());
        put(&mut bytes, 0x10, &self.sequence.to_le_bytes());
        put(&mut bytes, 0x12, &self.links.to_le_bytes());
        put(
            &mut bytes,
            0x14,
            &to_u16(Self::first_attribute(size), what)?.to_le_bytes(),
        );
        put(
            &mut bytes,
            0x16,
            &(self.flags | u16::from(self.in_use)).to_le_bytes(),
        );
        put(&mut bytes, 0x18, &to_u32(used, what)?.to_le_bytes());
        put(&mut bytes, 0x1C, &to_u32(size, what)?.to_le_bytes());
        put(&mut bytes, 0x20, &self.base.to_le_bytes());
        put(&mut bytes, 0x28, &next_instance.to_le_bytes());
        let [a, b, c, d, e, f, ..] = number.to_le_bytes();
        put(&mut bytes, 0x2A, &[e, f]);
        put(&mut bytes, 0x2C, &[a, b, c, d]);
        crate::ntfs::record::protect(&mut bytes, 0x30);
        Ok(bytes)
    }
}

/// A reference of a record.
pub(super) fn reference(number: u64, sequence: u16) -> u64 {
    FileReference::new(number, sequence).bits()
}

/// The number of the record that a reference leads to.
pub(super) const fn record_of(reference: u64) -> u64 {
    reference & 0xFFFF_FFFF_FFFF
}

/// Joins the parts of a stream that several records describe.
pub(super) fn join(first: &mut Stream, part: Stream) -> Option<()> {
    if total(&first.runs) != part.first_vcn {
        return None;
    }
    for run in part.runs {
        push_joined(&mut first.runs, run);
    }
    Some(())
}

//! An attribute of a record: its head, its name, and the value or the description of its clusters.

use zerocopy::FromBytes;

use super::super::format::{
    ATTRIBUTE_COMPRESSED_MASK, ATTRIBUTE_SPARSE, AttributeHeader, NonResidentHeader, ResidentHeader,
};
use super::error::{ParseError, Structure};
use super::runs::Runs;

/// Types of attributes by their numbers.
pub mod kind {
    /// `$STANDARD_INFORMATION`.
    pub const STANDARD_INFORMATION: u32 = 0x10;
    /// `$ATTRIBUTE_LIST`.
    pub const ATTRIBUTE_LIST: u32 = 0x20;
    /// `$FILE_NAME`.
    pub const FILE_NAME: u32 = 0x30;
    /// `$OBJECT_ID`.
    pub const OBJECT_ID: u32 = 0x40;
    /// `$SECURITY_DESCRIPTOR`.
    pub const SECURITY_DESCRIPTOR: u32 = 0x50;
    /// `$VOLUME_NAME`.
    pub const VOLUME_NAME: u32 = 0x60;
    /// `$VOLUME_INFORMATION`.
    pub const VOLUME_INFORMATION: u32 = 0x70;
    /// `$DATA`.
    pub const DATA: u32 = 0x80;
    /// `$INDEX_ROOT`.
    pub const INDEX_ROOT: u32 = 0x90;
    /// `$INDEX_ALLOCATION`.
    pub const INDEX_ALLOCATION: u32 = 0xA0;
    /// `$BITMAP`.
    pub const BITMAP: u32 = 0xB0;
    /// `$REPARSE_POINT`.
    pub const REPARSE_POINT: u32 = 0xC0;
    /// `$EA_INFORMATION`.
    pub const EA_INFORMATION: u32 = 0xD0;
    /// `$EA`.
    pub const EA: u32 = 0xE0;
    /// `$LOGGED_UTILITY_STREAM`.
    pub const LOGGED_UTILITY_STREAM: u32 = 0x100;
}

/// An attribute as it stands in its record.
#[derive(Clone, Copy, Debug)]
pub struct AttributeView<'a> {
    /// Its type, one of [`kind`].
    pub kind: u32,
    /// Number that sets it apart in its record.
    pub instance: u16,
    /// Flags: compressed (low byte), encrypted (0x4000), sparse (0x8000).
    pub flags: u16,
    /// Its name in UTF-16, little endian; empty for most.
    pub name: &'a [u8],
    /// Bytes from the start of the record.
    pub offset: usize,
    /// Bytes in the record.
    pub length: usize,
    /// Its value.
    pub body: BodyView<'a>,
}

/// Where the value of an attribute lies.
#[derive(Clone, Copy, Debug)]
pub enum BodyView<'a> {
    /// In the record.
    Resident {
        /// The value.
        value: &'a [u8],
        /// Whether an index holds the value, as the attribute says.
        indexed: u8,
        /// Where the value begins, in bytes from the start of the attribute.
        value_offset: usize,
    },
    /// In clusters.
    NonResident(NonResidentView<'a>),
}

/// A value in clusters, or the part of it that this record describes.
#[derive(Clone, Copy, Debug)]
pub struct NonResidentView<'a> {
    /// First cluster of the value that is described here.
    pub first_vcn: u64,
    /// Last one.
    pub last_vcn: u64,
    /// Exponent of the clusters of a compression unit; zero without compression.
    pub compression_unit: u16,
    /// Bytes of all clusters, holes counted; in the first part alone.
    pub allocated: u64,
    /// Bytes of the value; in the first part alone.
    pub size: u64,
    /// Bytes that are valid; what follows reads as zeros. In the first part alone.
    pub initialized: u64,
    /// Bytes of the clusters that are no holes, where the attribute is sparse or compressed.
    pub total_allocated: Option<u64>,
    /// The encoded runs, up to the end of the attribute.
    pub runs: &'a [u8],
}

impl<'a> AttributeView<'a> {
    /// Reads the attribute at `offset` of a record's bytes in use.
    pub(super) fn parse(record: &'a [u8], offset: usize) -> Result<Self, ParseError> {
        let damaged = |reason: &str| {
            ParseError::damaged(Structure::Attribute, reason)
                .at(u64::try_from(offset).unwrap_or(u64::MAX))
        };
        let rest = record.get(offset..).unwrap_or_default();
        let Ok((header, _)) = AttributeHeader::ref_from_prefix(rest) else {
            return Err(damaged("it is cut short"));
        };
        let length = usize::try_from(header.length.get()).unwrap_or(usize::MAX);
        if length % 8 != 0 || length < size_of::<AttributeHeader>() + size_of::<ResidentHeader>() {
            return Err(damaged("its length is none"));
        }
        let bytes = rest
            .get(..length)
            .ok_or_else(|| damaged("it runs past the end of the record"))?;
        let name_start = usize::from(header.name_offset.get());
        let name = match header.name_length {
            0 => &[],
            units => bytes
                .get(name_start..name_start + 2 * usize::from(units))
                .ok_or_else(|| damaged("its name stands outside"))?,
        };
        let body_bytes = &bytes[size_of::<AttributeHeader>()..];
        let flags = header.flags.get();
        let body = match header.non_resident {
            0 => resident(bytes, body_bytes),
            1 => non_resident(bytes, body_bytes, flags),
            _ => Err("it is neither resident nor non-resident"),
        }
        .map_err(damaged)?;
        Ok(Self {
            kind: header.kind.get(),
            instance: header.instance.get(),
            flags,
            name,
            offset,
            length,
            body,
        })
    }

    /// The name in UTF-16 units.
    pub fn name_units(&self) -> Vec<u16> {
        units(self.name)
    }

    /// Whether it has this name, written the same way.
    pub fn is_named(&self, name: &str) -> bool {
        name.encode_utf16().eq(self
            .name
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]])))
    }

    /// Whether it is of this type and name.
    pub fn is(&self, kind: u32, name: &str) -> bool {
        self.kind == kind && self.is_named(name)
    }

    /// The value, where it is resident.
    pub fn value(&self) -> Option<&'a [u8]> {
        match self.body {
            BodyView::Resident { value, .. } => Some(value),
            BodyView::NonResident(_) => None,
        }
    }

    /// Whether its clusters hold compressed data.
    pub fn is_compressed(&self) -> bool {
        self.flags & ATTRIBUTE_COMPRESSED_MASK != 0
    }

    /// Whether its run list has holes, as it says.
    pub fn is_sparse(&self) -> bool {
        self.flags & ATTRIBUTE_SPARSE != 0
    }
}

impl<'a> NonResidentView<'a> {
    /// The runs, decoded and checked against a volume of so many clusters.
    pub fn runs(&self, clusters: u64) -> Runs<'a> {
        Runs::new(self.runs, clusters)
    }
}

/// Little-endian UTF-16 as units.
pub(super) fn units(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .collect()
}

fn resident<'a>(bytes: &'a [u8], body: &[u8]) -> Result<BodyView<'a>, &'static str> {
    let Ok((header, _)) = ResidentHeader::ref_from_prefix(body) else {
        return Err("it is cut short");
    };
    let start = usize::from(header.value_offset.get());
    let length = usize::try_from(header.value_length.get()).unwrap_or(usize::MAX);
    let value = start
        .checked_add(length)
        .and_then(|end| bytes.get(start..end))
        .ok_or("its value stands outside")?;
    Ok(BodyView::Resident {
        value,
        indexed: header.indexed,
        value_offset: start,
    })
}

fn non_resident<'a>(
    bytes: &'a [u8],
    body: &[u8],
    flags: u16,
) -> Result<BodyView<'a>, &'static str> {
    let Ok((header, rest)) = NonResidentHeader::ref_from_prefix(body) else {
        return Err("it is cut short");
    };
    let runs_offset = usize::from(header.runs_offset.get());
    let head = size_of::<AttributeHeader>() + size_of::<NonResidentHeader>();
    if runs_offset < head {
        return Err("its run list stands in its head");
    }
    let runs = bytes
        .get(runs_offset..)
        .ok_or("its run list stands outside")?;
    let first_vcn = header.first_vcn.get();
    let has_total = first_vcn == 0
        && runs_offset >= head + 8
        && flags & (ATTRIBUTE_SPARSE | ATTRIBUTE_COMPRESSED_MASK) != 0;
    let total = rest
        .first_chunk::<8>()
        .map(|bytes| u64::from_le_bytes(*bytes));
    Ok(BodyView::NonResident(NonResidentView {
        first_vcn,
        last_vcn: header.last_vcn.get(),
        compression_unit: header.compression_unit.get(),
        allocated: header.allocated.get(),
        size: header.size.get(),
        initialized: header.initialized.get(),
        total_allocated: total.filter(|_| has_total),
        runs,
    }))
}

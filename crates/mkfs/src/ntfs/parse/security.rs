//! `$Secure`: security descriptors by their numbers.

use zerocopy::FromBytes;

use super::super::format::SecurityEntryHeader;
use super::super::secure;
use super::MAX_DESCRIPTOR_BYTES;
use super::attribute::kind;
use super::error::{ParseError, Structure};
use super::index::Index;
use super::value::Value;
use super::volume::NtfsVolume;

/// Where a security descriptor stands in `$SDS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityEntry {
    /// The hash of the descriptor.
    pub hash: u32,
    /// Its number.
    pub id: u32,
    /// Bytes from the start of `$SDS`.
    pub offset: u64,
    /// Bytes of the entry's head and the descriptor.
    pub length: u32,
}

impl SecurityEntry {
    /// Bytes of the head of an entry.
    pub const HEAD: u64 = 20;

    /// Reads the head of an entry, or the data of one of the indexes; `None` where it is cut short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (header, _) = SecurityEntryHeader::ref_from_prefix(bytes).ok()?;
        Some(Self {
            hash: header.hash.get(),
            id: header.id.get(),
            offset: header.offset.get(),
            length: header.length.get(),
        })
    }
}

/// The hash of a security descriptor, over its 32-bit words.
pub fn descriptor_hash(descriptor: &[u8]) -> u32 {
    secure::hash(descriptor)
}

/// The security descriptors of a volume.
#[derive(Clone, Debug)]
pub struct SecurityStore {
    stream: Value,
    by_id: Index,
}

impl SecurityStore {
    /// Opens `$Secure`.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn open(volume: &NtfsVolume<'_>) -> Result<Self, ParseError> {
        const SECURE: u64 = 9;
        let file = volume.read_file(SECURE)?;
        let stream = file.value(volume, kind::DATA, "$SDS")?.ok_or_else(|| {
            ParseError::damaged(Structure::Security, "it has no descriptors").of_record(SECURE)
        })?;
        Ok(Self {
            stream,
            by_id: Index::open(volume, &file, "$SII")?,
        })
    }

    /// The stream of descriptors.
    pub fn stream(&self) -> &Value {
        &self.stream
    }

    /// The security descriptor of a number ([MS-DTYP] 2.4.6); `None` where there is none.
    ///
    /// # Errors
    /// `Damaged`, `Disk`.
    pub fn descriptor(
        &self,
        volume: &NtfsVolume<'_>,
        id: u32,
    ) -> Result<Option<Vec<u8>>, ParseError> {
        let Some(found) = self.by_id.find(volume, &id.to_le_bytes())? else {
            return Ok(None);
        };
        let damaged = |reason: &str| {
            ParseError::damaged(Structure::Security, format!("descriptor {id}: {reason}"))
        };
        let entry = found
            .view()?
            .data()
            .and_then(SecurityEntry::parse)
            .ok_or_else(|| damaged("its entry is cut short"))?;
        let length = u64::from(entry.length);
        if !(SecurityEntry::HEAD..=MAX_DESCRIPTOR_BYTES).contains(&length) {
            return Err(damaged("its length is none"));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.stream
            .read_exact_at(volume, &mut bytes, entry.offset)?;
        if SecurityEntry::parse(&bytes) != Some(entry) {
            return Err(damaged("another entry stands in its place").at(entry.offset));
        }
        let head = usize::try_from(SecurityEntry::HEAD).unwrap_or(bytes.len());
        Ok(Some(bytes.split_off(head)))
    }
}

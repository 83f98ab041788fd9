//! The tables of two levels that say where each cluster of the disk is.
//!
//! Invariant: tables of the second level are read when they are first needed, and so many of them are
//! kept that they take [`MAX_CACHED`] bytes at most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use blockio::{ByteOffset, Storage};

use super::format::{COMPRESSED, COPIED, OFFSET, ZERO};
use super::header::Header;
use crate::bounds::to_index;
use crate::error::ImageError;

/// The rule that errors name.
pub(super) const RULE: &str = "qcow2 cluster mapping";
/// Bytes of tables of the second level that are kept.
const MAX_CACHED: u64 = 16 * blockio::MIB;

/// Where a cluster of the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cluster {
    /// Nowhere: the backing file holds it, or it is zeros.
    Unallocated,
    /// It is zeros.
    Zero,
    /// At this byte of the file.
    Data(u64),
    /// Packed, in these bytes of the file.
    Packed { offset: u64, length: u64 },
}

/// The tables of an image.
pub(super) struct Tables {
    l1: Vec<u64>,
    cluster_bits: u32,
    version: u32,
    file_length: u64,
    l2: Mutex<HashMap<u64, Arc<[u64]>>>,
}

impl Tables {
    /// Reads the table of the first level.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn load(storage: &dyn Storage, header: &Header) -> Result<Self, ImageError> {
        Ok(Self {
            l1: read_entries(storage, header.l1_offset, header.l1_entries)?.to_vec(),
            cluster_bits: header.cluster_bits,
            version: header.version,
            file_length: header.file_length,
            l2: Mutex::default(),
        })
    }

    /// Entries of the first level, as they stand.
    pub(super) fn first_level(&self) -> &[u64] {
        &self.l1
    }

    fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Clusters that one table of the second level maps.
    pub(super) fn span(&self) -> u64 {
        self.cluster() / 8
    }

    /// Where cluster `number` of the disk is.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub(super) fn find(&self, storage: &dyn Storage, number: u64) -> Result<Cluster, ImageError> {
        let (first, second) = (number / self.span(), number % self.span());
        let Some(table) = self.second_level(storage, first)? else {
            return Ok(Cluster::Unallocated);
        };
        let entry = to_index(second).and_then(|index| table.get(index));
        self.decode(number, entry.copied().unwrap_or(0))
    }

    /// How many clusters from `number` on are in no table of the second level.
    pub(super) fn absent(&self, number: u64) -> u64 {
        let first = to_index(number / self.span()).unwrap_or(usize::MAX);
        let rest = self.l1.get(first..).unwrap_or_default();
        let absent = rest
            .iter()
            .take_while(|entry| **entry & OFFSET == 0)
            .count();
        let absent = u64::try_from(absent).unwrap_or(0);
        match absent {
            0 => 0,
            tables => (tables * self.span()).saturating_sub(number % self.span()),
        }
    }

    /// The table of the second level for entry `first`; `None` where there is none.
    pub(super) fn second_level(
        &self,
        storage: &dyn Storage,
        first: u64,
    ) -> Result<Option<Arc<[u64]>>, ImageError> {
        let entry = to_index(first).and_then(|index| self.l1.get(index));
        let offset = entry.copied().unwrap_or(0);
        let place = offset & OFFSET;
        if place == 0 {
            return Ok(None);
        }
        let end = place.checked_add(self.cluster());
        if offset & !(OFFSET | COPIED) != 0
            || !place.is_multiple_of(self.cluster())
            || end.is_none_or(|end| end > self.file_length)
        {
            let message = format!("entry {first} of the first level ({offset:#x}) is out of place");
            return Err(ImageError::damaged(RULE, message));
        }
        let mut cache = self.l2.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = cache.get(&first) {
            return Ok(Some(Arc::clone(table)));
        }
        let table = read_entries(storage, place, self.span())?;
        let limit = to_index((MAX_CACHED / self.cluster()).max(4)).unwrap_or(4);
        if cache.len() >= limit {
            cache.clear();
        }
        cache.insert(first, Arc::clone(&table));
        Ok(Some(table))
    }

    /// What an entry of the second level says.
    pub(super) fn decode(&self, number: u64, entry: u64) -> Result<Cluster, ImageError> {
        let damaged = || {
            let message = format!("entry of cluster {number} ({entry:#x}) is out of place");
            ImageError::damaged(RULE, message)
        };
        if entry & COMPRESSED != 0 {
            // The offset has fewer bits the larger clusters are; the rest counts sectors.
            let bits = 62 - (self.cluster_bits - 8);
            let offset = entry & ((1 << bits) - 1);
            let sectors = (entry & (COMPRESSED - 1)) >> bits;
            let length = (sectors + 1) * 512 - offset % 512;
            if offset == 0 || offset >= self.file_length || entry & COPIED != 0 {
                return Err(damaged());
            }
            let length = length.min(self.file_length - offset);
            return Ok(Cluster::Packed { offset, length });
        }
        let place = entry & OFFSET;
        if self.version >= 3 && entry & ZERO != 0 {
            return Ok(Cluster::Zero);
        }
        let known = OFFSET | COPIED;
        match place {
            _ if entry & !known != 0 => Err(damaged()),
            0 => Ok(Cluster::Unallocated),
            // The last cluster of a file may be cut short: what it lacks is zeros.
            _ if place.is_multiple_of(self.cluster()) && place < self.file_length => {
                Ok(Cluster::Data(place))
            }
            _ => Err(damaged()),
        }
    }
}

fn read_entries(storage: &dyn Storage, at: u64, count: u64) -> Result<Arc<[u64]>, ImageError> {
    let size = count.checked_mul(8).and_then(to_index);
    let size = size.ok_or_else(|| ImageError::damaged(RULE, "table beyond memory"))?;
    let mut bytes = vec![0; size];
    storage.read_at(&mut bytes, ByteOffset(at))?;
    let (entries, _) = bytes.as_chunks::<8>();
    Ok(entries
        .iter()
        .map(|entry| u64::from_be_bytes(*entry))
        .collect())
}

//! Clusters: given out in ascending order, and the table that chains them.

use blockio::{ByteCount, ByteOffset, Disk};

use super::format::{END_OF_CHAIN, FAT_COUNT, FIRST_CLUSTER, TABLE_MEDIA};
use super::geometry::Geometry;
use crate::error::MkfsError;

/// Bytes of the table that are made at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Clusters in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) first: u32,
    pub(super) count: u32,
    /// What the last of them points to.
    link: u32,
}

/// Gives out clusters and remembers how they are chained.
#[derive(Debug)]
pub(super) struct Clusters {
    geometry: Geometry,
    /// Ascending, without gaps, from the first cluster on.
    extents: Vec<Extent>,
    allocated: u32,
}

impl Clusters {
    /// All clusters are free.
    pub(super) fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            extents: Vec::new(),
            allocated: 0,
        }
    }

    /// Clusters given out.
    pub(super) fn allocated(&self) -> u32 {
        self.allocated
    }

    /// A chain for so many bytes; `None` for none.
    pub(super) fn allocate(&mut self, bytes: u64) -> Result<Option<Extent>, MkfsError> {
        let wanted = bytes.div_ceil(self.geometry.cluster_bytes());
        if wanted == 0 {
            return Ok(None);
        }
        let free = self.geometry.clusters - self.allocated;
        let count = u32::try_from(wanted)
            .ok()
            .filter(|count| *count <= free)
            .ok_or_else(|| self.no_space(wanted))?;
        let extent = Extent {
            first: FIRST_CLUSTER + self.allocated,
            count,
            link: END_OF_CHAIN,
        };
        self.allocated += count;
        self.extents.push(extent);
        Ok(Some(extent))
    }

    /// Makes the chain that ends with `head` go on with `tail`.
    pub(super) fn link(&mut self, head: Extent, tail: Extent) {
        let place = self
            .extents
            .binary_search_by_key(&head.first, |extent| extent.first);
        if let Some(extent) = place.ok().and_then(|index| self.extents.get_mut(index)) {
            extent.link = tail.first;
        }
    }

    fn no_space(&self, wanted: u64) -> MkfsError {
        let needed = (u64::from(self.allocated).saturating_add(wanted))
            .saturating_mul(self.geometry.cluster_bytes());
        MkfsError::NoSpace {
            needed: ByteCount(needed),
            available: self.geometry.capacity(),
        }
    }

    /// Writes both tables up to the last entry in use; behind it they are zeros, as the disk is.
    pub(super) fn write(&self, disk: &dyn Disk) -> Result<(), MkfsError> {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let mut written = 0;
        for entry in [TABLE_MEDIA, END_OF_CHAIN]
            .into_iter()
            .chain(self.extents.iter().flat_map(entries))
        {
            chunk.extend_from_slice(&entry.to_le_bytes());
            if chunk.len() >= CHUNK_BYTES {
                self.write_chunk(disk, &chunk, &mut written)?;
                chunk.clear();
            }
        }
        self.write_chunk(disk, &chunk, &mut written)
    }

    fn write_chunk(
        &self,
        disk: &dyn Disk,
        chunk: &[u8],
        written: &mut u64,
    ) -> Result<(), MkfsError> {
        for copy in 0..FAT_COUNT {
            let start = self.geometry.table_offset(copy).get();
            disk.write_at(chunk, ByteOffset(start + *written))?;
        }
        *written += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// The entries of an extent: each cluster points to the next, the last one to the link.
fn entries(extent: &Extent) -> impl Iterator<Item = u32> + use<> {
    let Extent { first, count, link } = *extent;
    (first + 1..first + count).chain(std::iter::once(link))
}

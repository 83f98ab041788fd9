//! How a disk is divided: cluster size, reserved sectors, size of the tables.

use blockio::{ByteCount, ByteOffset, Disk, GIB, KIB, MIB};

use super::format::{FAT_COUNT, FIRST_CLUSTER, MAX_CLUSTERS, MIN_CLUSTERS};
use crate::error::MkfsError;

/// Reserved sectors before padding ([FAT] BPB_RsvdSecCnt: 32 for FAT32).
const RESERVED_SECTORS: u64 = 32;
/// So many clusters more than the least keep off the border that some drivers place wrongly
/// ([FAT] "FAT Type Determination": stay at least 16 clusters away).
const BORDER_CLUSTERS: u64 = 16;
/// The largest cluster that every driver reads.
const MAX_CLUSTER_BYTES: u64 = 64 * KIB;
const TABLE_ENTRY_BYTES: u64 = 4;

/// The division of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) sector_bytes: u64,
    pub(super) total_sectors: u32,
    pub(super) sectors_per_cluster: u8,
    pub(super) reserved_sectors: u16,
    pub(super) fat_sectors: u32,
    /// Clusters of the data region.
    pub(super) clusters: u32,
}

impl Geometry {
    /// The division of `disk`, with clusters of the given size or those of Microsoft's table.
    pub(super) fn of(disk: &dyn Disk, cluster: Option<ByteCount>) -> Result<Self, MkfsError> {
        let size = disk.size();
        let sector_bytes = disk.logical_sector_size().bytes();
        let limit = u64::from(u32::MAX) * sector_bytes;
        if size.get() > limit {
            return Err(MkfsError::DiskTooLarge {
                what: "FAT32",
                limit: ByteCount(limit),
                actual: size,
            });
        }
        if let Some(cluster) = cluster {
            check_cluster(cluster, sector_bytes)?;
            return Self::with_cluster(size, sector_bytes, cluster.get());
        }
        let mut cluster = default_cluster(size).max(sector_bytes);
        // 4096-byte sectors start above the table's first row; smaller disks get smaller clusters.
        while cluster > sector_bytes && Self::with_cluster(size, sector_bytes, cluster).is_err() {
            cluster /= 2;
        }
        Self::with_cluster(size, sector_bytes, cluster)
    }

    fn with_cluster(size: ByteCount, sector_bytes: u64, cluster: u64) -> Result<Self, MkfsError> {
        let per_cluster = cluster / sector_bytes;
        let total = size.get() / sector_bytes;
        // The tables must hold an entry for each cluster of what they leave free:
        // f * sector / 4 >= (total - reserved - 2 f) / per_cluster + 2.
        let rest = total.saturating_sub(RESERVED_SECTORS);
        let fat_sectors = (TABLE_ENTRY_BYTES * (rest + u64::from(FIRST_CLUSTER) * per_cluster))
            .div_ceil(cluster + u64::from(FAT_COUNT) * TABLE_ENTRY_BYTES);
        let tables = u64::from(FAT_COUNT) * fat_sectors;
        // Clusters begin at a multiple of their size.
        let data_start = (RESERVED_SECTORS + tables).next_multiple_of(per_cluster);
        let clusters = total.saturating_sub(data_start) / per_cluster;
        let least = u64::from(MIN_CLUSTERS) + BORDER_CLUSTERS;
        if clusters < least {
            return Err(MkfsError::TooSmall {
                what: "FAT32 with this cluster size",
                needed: least_size(least, cluster, sector_bytes),
                actual: size,
            });
        }
        let too_many = || MkfsError::InvalidOption {
            option: "cluster size",
            reason: format!("clusters of {cluster} bytes are too small for a disk of {size}"),
        };
        let narrow = |value: u64| u32::try_from(value).map_err(|_| too_many());
        Ok(Self {
            sector_bytes,
            total_sectors: narrow(total)?,
            sectors_per_cluster: u8::try_from(per_cluster).map_err(|_| too_many())?,
            reserved_sectors: u16::try_from(data_start - tables).map_err(|_| too_many())?,
            fat_sectors: narrow(fat_sectors)?,
            clusters: narrow(clusters)
                .ok()
                .filter(|clusters| *clusters <= MAX_CLUSTERS)
                .ok_or_else(too_many)?,
        })
    }

    /// Bytes of a cluster.
    pub(super) fn cluster_bytes(&self) -> u64 {
        u64::from(self.sectors_per_cluster) * self.sector_bytes
    }

    /// The field of the boot sector.
    pub(super) fn bytes_per_sector(&self) -> u16 {
        // 512 or 4096.
        u16::try_from(self.sector_bytes).unwrap_or(512)
    }

    /// Where one of the tables begins.
    pub(super) fn table_offset(&self, copy: u8) -> ByteOffset {
        let before =
            u64::from(self.reserved_sectors) + u64::from(copy) * u64::from(self.fat_sectors);
        ByteOffset(before * self.sector_bytes)
    }

    /// Where a cluster begins; `cluster` is at least [`FIRST_CLUSTER`].
    pub(super) fn cluster_offset(&self, cluster: u32) -> ByteOffset {
        let data = self.table_offset(FAT_COUNT).get();
        ByteOffset(data + u64::from(cluster.saturating_sub(FIRST_CLUSTER)) * self.cluster_bytes())
    }

    /// Bytes of the data region.
    pub(super) fn capacity(&self) -> ByteCount {
        ByteCount(u64::from(self.clusters) * self.cluster_bytes())
    }
}

/// Microsoft's table for FAT32 ([FAT] "DskTableFAT32").
fn default_cluster(size: ByteCount) -> u64 {
    match size.get() {
        0..=0x1040_0000 => 512,
        bytes if bytes <= 8 * GIB => 4 * KIB,
        bytes if bytes <= 16 * GIB => 8 * KIB,
        bytes if bytes <= 32 * GIB => 16 * KIB,
        _ => 32 * KIB,
    }
}
const _: () = assert!(260 * MIB == 0x1040_0000);

fn check_cluster(cluster: ByteCount, sector_bytes: u64) -> Result<(), MkfsError> {
    let bytes = cluster.get();
    if bytes.is_power_of_two() && (sector_bytes..=MAX_CLUSTER_BYTES).contains(&bytes) {
        return Ok(());
    }
    Err(MkfsError::InvalidOption {
        option: "cluster size",
        reason: format!("{bytes} is not a power of two from {sector_bytes} to {MAX_CLUSTER_BYTES}"),
    })
}

/// A size that is enough for so many clusters.
fn least_size(clusters: u64, cluster: u64, sector_bytes: u64) -> ByteCount {
    let tables = 2 * ((clusters + 2) * TABLE_ENTRY_BYTES).next_multiple_of(sector_bytes);
    let before =
        (RESERVED_SECTORS * sector_bytes + tables + 2 * sector_bytes).next_multiple_of(cluster);
    ByteCount(before + clusters * cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockio::TIB;

    #[test]
    fn every_size_gets_enough_table_for_its_clusters() {
        for sector in [512, 4096] {
            for size in [
                270 * MIB,
                300 * MIB + 12_288,
                GIB,
                9 * GIB,
                20 * GIB,
                40 * GIB,
                TIB,
            ] {
                let size = ByteCount(size);
                let cluster = default_cluster(size).max(sector);
                let geometry = Geometry::with_cluster(size, sector, cluster).unwrap();
                let entries = u64::from(geometry.fat_sectors) * sector / 4;
                let clusters = u64::from(geometry.clusters);
                assert!(entries >= clusters + 2, "{size}");
                // Not much more than needed either.
                assert!(entries < clusters + 2 + 2 * sector, "{size}");
                let end = geometry.cluster_offset(geometry.clusters + 2).get();
                assert!(end <= size.get() && end + geometry.cluster_bytes() > size.get());
                assert!(geometry.cluster_offset(2).get().is_multiple_of(cluster));
            }
        }
    }

    #[test]
    fn the_size_that_an_error_asks_for_is_enough() {
        for (sector, cluster) in [(512, 512), (512, 4096), (4096, 4096), (512, 65_536)] {
            let error = Geometry::with_cluster(ByteCount(MIB), sector, cluster).unwrap_err();
            let MkfsError::TooSmall { needed, .. } = error else {
                panic!("{error}");
            };
            let needed = ByteCount(needed.get().next_multiple_of(sector));
            assert!(
                Geometry::with_cluster(needed, sector, cluster).is_ok(),
                "{needed}"
            );
        }
    }
}

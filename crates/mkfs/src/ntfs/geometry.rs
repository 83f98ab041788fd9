//! The sizes of a volume: sectors, clusters, records, and how the boot sector spells them.

use blockio::{ByteCount, Disk, GIB, KIB, MIB, TIB};

use crate::error::MkfsError;

/// The least partition that is formatted, in bytes.
const MIN_SIZE: u64 = 3 * MIB / 2;
/// Clusters a volume has at most: what Windows can address.
const MAX_CLUSTERS: u64 = 0xFFFF_FFFF;
const MAX_CLUSTER_SIZE: u64 = 2 * MIB;
/// Records are added to the master file table by so many, or by the cluster.
const RECORDS_PER_STEP: u64 = 64;

/// The sizes of a volume, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    sector: u64,
    partition_sectors: u64,
    cluster: u64,
    clusters: u64,
}

impl Geometry {
    /// The geometry of a volume on `disk`.
    ///
    /// # Errors
    /// `TooSmall`, `DiskTooLarge`, `InvalidOption` for a cluster size that does not fit the disk.
    pub(super) fn new(disk: &dyn Disk, cluster: Option<ByteCount>) -> Result<Self, MkfsError> {
        let size = disk.size().get();
        let sector = disk.logical_sector_size().bytes();
        if size < MIN_SIZE {
            return Err(MkfsError::TooSmall {
                what: "an NTFS volume",
                needed: ByteCount(MIN_SIZE),
                actual: ByteCount(size),
            });
        }
        let cluster = match cluster {
            Some(cluster) => checked_cluster_size(cluster.get(), sector)?,
            None => default_cluster_size(size).max(sector),
        };
        let partition_sectors = size / sector;
        let clusters = (partition_sectors - 1) / (cluster / sector);
        if clusters > MAX_CLUSTERS {
            return Err(MkfsError::DiskTooLarge {
                what: "an NTFS volume of this cluster size",
                limit: ByteCount(MAX_CLUSTERS * cluster),
                actual: ByteCount(size),
            });
        }
        Ok(Self {
            sector,
            partition_sectors,
            cluster,
            clusters,
        })
    }

    /// Bytes of a sector.
    pub(super) const fn sector(&self) -> u64 {
        self.sector
    }

    /// Bytes of a cluster.
    pub(super) const fn cluster(&self) -> u64 {
        self.cluster
    }

    /// Clusters of the volume.
    pub(super) const fn clusters(&self) -> u64 {
        self.clusters
    }

    /// Clusters that hold so many bytes.
    pub(super) const fn clusters_for(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.cluster)
    }

    /// Sectors without the last one of the partition, as the boot sector counts them.
    pub(super) const fn total_sectors(&self) -> u64 {
        self.partition_sectors - 1
    }

    /// Where the copy of the boot sector stands, in bytes.
    pub(super) const fn backup_boot_offset(&self) -> u64 {
        self.total_sectors() * self.sector
    }

    /// Bytes of a file record: 1 KiB, or a sector where that is larger.
    pub(super) const fn record(&self) -> u64 {
        if self.sector > KIB { self.sector } else { KIB }
    }

    /// Records by which the master file table grows.
    pub(super) const fn records_per_step(&self) -> u64 {
        let per_cluster = self.cluster / self.record();
        if per_cluster > RECORDS_PER_STEP {
            per_cluster
        } else {
            RECORDS_PER_STEP
        }
    }

    /// Bytes of `$MFTMirr`, the copy of the first records: four of them, or a cluster.
    pub(super) const fn mirror_size(&self) -> u64 {
        let four = 4 * self.record();
        if self.cluster > four {
            self.cluster
        } else {
            four
        }
    }

    /// Units in which an index block is numbered: clusters, or 512 bytes where clusters are larger
    /// than the block.
    pub(super) const fn units_per_index_block(&self) -> u64 {
        if self.cluster <= 4 * KIB {
            4 * KIB / self.cluster
        } else {
            8
        }
    }

    /// The cluster size as the boot sector has it.
    pub(super) fn cluster_size_code(&self) -> u8 {
        let sectors = self.cluster / self.sector;
        match u8::try_from(sectors) {
            Ok(sectors) if sectors <= 128 => sectors,
            _ => negated_exponent(sectors),
        }
    }

    /// A structure's size as the boot sector has it: clusters, or minus an exponent of two.
    pub(super) fn structure_size_code(&self, bytes: u64) -> u8 {
        if bytes < self.cluster {
            negated_exponent(bytes)
        } else {
            u8::try_from(bytes / self.cluster).unwrap_or(1)
        }
    }

    /// Bytes of the log: Windows accepts a small one on a volume of any size, and a new volume's
    /// log is written whole.
    pub(super) const fn log_size(&self) -> u64 {
        let volume = self.clusters * self.cluster;
        if volume > 64 * GIB {
            4 * MIB
        } else if volume > 11 * MIB / 4 {
            2 * MIB
        } else {
            // Down to a quarter of the least volume.
            256 * KIB
        }
    }
}

fn negated_exponent(power_of_two: u64) -> u8 {
    // At most 63, so the difference stays within a byte.
    u8::try_from(256 - power_of_two.ilog2()).unwrap_or(0)
}

fn checked_cluster_size(cluster: u64, sector: u64) -> Result<u64, MkfsError> {
    if !cluster.is_power_of_two() || cluster < sector || cluster > MAX_CLUSTER_SIZE {
        return Err(MkfsError::InvalidOption {
            option: "cluster size",
            reason: format!(
                "{cluster} is not a power of two from {sector} (a sector) to {MAX_CLUSTER_SIZE}"
            ),
        });
    }
    Ok(cluster)
}

/// The cluster size Windows chooses for a volume (Microsoft KB 140365).
fn default_cluster_size(volume: u64) -> u64 {
    let mut cluster = 4 * KIB;
    let mut limit = 16 * TIB;
    while volume > limit && cluster < MAX_CLUSTER_SIZE {
        cluster *= 2;
        limit = limit.saturating_mul(2);
    }
    cluster
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockio::{MemoryDisk, SectorSize};

    fn geometry(
        size: u64,
        sector: SectorSize,
        cluster: Option<u64>,
    ) -> Result<Geometry, MkfsError> {
        let disk = MemoryDisk::new(ByteCount(size), sector).unwrap();
        Geometry::new(&disk, cluster.map(ByteCount))
    }

    #[test]
    fn a_partition_has_the_clusters_windows_gives_it() {
        let parent = geometry(6016 * 512, SectorSize::B512, None).unwrap();
        assert_eq!(parent.total_sectors(), 0x177F);
        assert_eq!(parent.clusters(), 751);
        assert_eq!(parent.cluster_size_code(), 8);
        assert_eq!(parent.structure_size_code(1024), 0xF6);
        assert_eq!(parent.structure_size_code(4096), 1);
    }

    #[test]
    fn cluster_sizes_are_spelt_as_the_boot_sector_wants_them() {
        for (cluster, code, record, index) in [
            (512, 1, 2, 8),
            (4096, 8, 0xF6, 1),
            (65536, 128, 0xF6, 0xF4),
            (131_072, 0xF8, 0xF6, 0xF4),
            (2 << 20, 0xF4, 0xF6, 0xF4),
        ] {
            let geometry = geometry(32 << 20, SectorSize::B512, Some(cluster)).unwrap();
            assert_eq!(geometry.cluster_size_code(), code);
            assert_eq!(geometry.structure_size_code(1024), record);
            assert_eq!(geometry.structure_size_code(4096), index);
        }
    }

    #[test]
    fn the_default_cluster_grows_with_the_volume() {
        for (size, cluster) in [(1, 4), (16 * TIB, 4), (16 * TIB + 1, 8), (64 * TIB, 16)] {
            assert_eq!(default_cluster_size(size), cluster * KIB);
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for (size, sector, cluster) in [
            (MIB, SectorSize::B512, None),
            (4 * MIB, SectorSize::B512, Some(3000)),
            (4 * MIB, SectorSize::B4096, Some(512)),
            (4 * MIB, SectorSize::B512, Some(4 * MIB)),
        ] {
            assert!(geometry(size, sector, cluster).is_err());
        }
    }
}

//! The sizes and places of a volume as its boot sector has them, checked before they are believed.

use crate::change::{ChangeError, Overlay};
use crate::ntfs::format::BootSector;
use zerocopy::FromBytes;

const MAX_CLUSTER: u64 = 2 << 20;
const MAX_CLUSTERS: u64 = 0xFFFF_FFFF;

/// Sizes in bytes, places in clusters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub cluster: u64,
    pub clusters: u64,
    pub record: usize,
    pub index_block: usize,
    pub mft: u64,
}

impl Layout {
    pub(super) fn read(disk: &Overlay<'_>) -> Result<Self, ChangeError> {
        let damaged = |reason| ChangeError::damaged("the boot sector", 0, reason);
        if disk.size() < 512 {
            return Err(damaged("the partition is too small for one"));
        }
        let bytes = disk.read_vec(0, 512)?;
        let boot = BootSector::ref_from_bytes(&bytes).map_err(|_| damaged("it is cut short"))?;
        if boot.oem_id != *b"NTFS    " {
            return Err(damaged("it is not that of NTFS"));
        }
        let sector = u64::from(boot.sector_size.get());
        if !sector.is_power_of_two() || !(512..=4096).contains(&sector) {
            return Err(damaged("the sector size is impossible"));
        }
        let per_cluster = match boot.cluster_size {
            size @ 0..=0x80 => u64::from(size),
            size => 1_u64
                .checked_shl(u32::from(size.wrapping_neg()))
                .unwrap_or(0),
        };
        let cluster = sector.saturating_mul(per_cluster);
        if !cluster.is_power_of_two() || cluster > MAX_CLUSTER {
            return Err(damaged("the cluster size is impossible"));
        }
        if cluster < disk.sector() {
            return Err(ChangeError::Unsupported(
                "a cluster smaller than a sector of the disk",
            ));
        }
        let clusters = boot.total_sectors.get() / per_cluster;
        if clusters == 0
            || clusters > MAX_CLUSTERS
            || clusters.saturating_mul(cluster) > disk.size()
        {
            return Err(damaged("the volume does not fit its partition"));
        }
        let size = |code: u8| structure_size(code, cluster);
        let record = size(boot.record_size)
            .filter(|size| (512..=4096).contains(size))
            .ok_or_else(|| damaged("the size of file records is impossible"))?;
        let index_block = size(boot.index_block_size)
            .filter(|size| (512..=65_536).contains(size))
            .ok_or_else(|| damaged("the size of index blocks is impossible"))?;
        let mft = boot.mft.get();
        if mft >= clusters || boot.mft_mirror.get() >= clusters {
            return Err(damaged("the master file table lies past the end"));
        }
        Ok(Self {
            cluster,
            clusters,
            record,
            index_block,
            mft,
        })
    }

    /// Clusters that hold so many bytes.
    pub(super) const fn clusters_for(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.cluster)
    }

    /// Unit in which index blocks of so many bytes are numbered.
    pub(super) fn index_unit(&self, block: usize) -> u64 {
        if self.cluster <= u64::try_from(block).unwrap_or(0) {
            self.cluster
        } else {
            512
        }
    }
}

/// Clusters, or minus an exponent of two in bytes.
fn structure_size(code: u8, cluster: u64) -> Option<usize> {
    let size = match code {
        0..=0x7F => u64::from(code).checked_mul(cluster)?,
        _ => 1_u64.checked_shl(u32::from(code.wrapping_neg()))?,
    };
    let size = usize::try_from(size).ok()?;
    size.is_power_of_two().then_some(size)
}

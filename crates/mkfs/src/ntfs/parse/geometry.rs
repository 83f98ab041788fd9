//! What the boot sector says: sizes, and where the master file table begins.

use zerocopy::FromBytes;

use super::super::format::BootSector;
use super::super::runs::Lcn;
use super::error::{ParseError, Structure};
use super::{MAX_INDEX_BLOCK_BYTES, MAX_RECORD_BYTES};

const MAX_CLUSTER_BYTES: u64 = 2 * 1024 * 1024;
/// Clusters are numbered with 63 bits; more than this no disk of ours can have.
const MAX_SECTORS: u64 = 1 << 55;

/// The sizes of a volume as its boot sector has them, each in its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeGeometry {
    /// Bytes of a sector.
    pub sector: u64,
    /// Bytes of a cluster.
    pub cluster: u64,
    /// Sectors, the last one of the partition not counted.
    pub total_sectors: u64,
    /// Clusters.
    pub clusters: u64,
    /// Bytes of a file record.
    pub record: u64,
    /// Bytes of an index block.
    pub index_block: u64,
    /// Where the master file table begins.
    pub mft: Lcn,
    /// Where the copy of its first records begins.
    pub mft_mirror: Lcn,
    /// Serial number.
    pub serial: u64,
}

impl VolumeGeometry {
    /// Reads the first 512 bytes of a volume, or of the copy of its boot sector.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let damaged = |reason: &str| ParseError::damaged(Structure::BootSector, reason);
        let Ok((boot, _)) = BootSector::ref_from_prefix(bytes) else {
            return Err(damaged("it is cut short"));
        };
        if boot.oem_id != *b"NTFS    " {
            return Err(damaged("it does not name NTFS"));
        }
        let sector = u64::from(boot.sector_size.get());
        if !sector.is_power_of_two() || !(256..=4096).contains(&sector) {
            return Err(damaged("the sector size is none"));
        }
        let sectors = match boot.cluster_size {
            code @ 0x81.. => 1_u64.checked_shl(256 - u32::from(code)),
            code => Some(u64::from(code)),
        };
        let cluster = sectors
            .and_then(|sectors| sectors.checked_mul(sector))
            .filter(|cluster| cluster.is_power_of_two() && *cluster <= MAX_CLUSTER_BYTES)
            .ok_or_else(|| damaged("the cluster size is none"))?;
        let record = structure_size(boot.record_size, cluster)
            .filter(|size| (512..=MAX_RECORD_BYTES).contains(size))
            .ok_or_else(|| damaged("the size of file records is none"))?;
        let index_block = structure_size(boot.index_block_size, cluster)
            .filter(|size| (512..=MAX_INDEX_BLOCK_BYTES).contains(size))
            .ok_or_else(|| damaged("the size of index blocks is none"))?;
        let total_sectors = boot.total_sectors.get();
        let clusters = total_sectors / (cluster / sector).max(1);
        if total_sectors > MAX_SECTORS || clusters == 0 {
            return Err(damaged("the number of sectors is none"));
        }
        if boot.mft.get() >= clusters {
            return Err(damaged("the master file table lies outside the volume"));
        }
        Ok(Self {
            sector,
            cluster,
            total_sectors,
            clusters,
            record,
            index_block,
            mft: Lcn(boot.mft.get()),
            mft_mirror: Lcn(boot.mft_mirror.get()),
            serial: boot.serial.get(),
        })
    }

    /// Bytes in which the children of an index are numbered: clusters, or 512 bytes where clusters
    /// are larger than an index block of so many bytes.
    pub fn index_unit(&self, block: u64) -> u64 {
        if self.cluster <= block {
            self.cluster
        } else {
            512
        }
    }

    /// Where the copy of the boot sector stands, in bytes.
    pub fn backup_boot_offset(&self) -> u64 {
        self.total_sectors * self.sector
    }
}

/// A size as the boot sector has it: clusters, or minus an exponent of two in bytes.
fn structure_size(code: u8, cluster: u64) -> Option<u64> {
    let size = match code {
        0x80.. => 1_u64.checked_shl(256 - u32::from(code))?,
        clusters => u64::from(clusters).checked_mul(cluster)?,
    };
    size.is_power_of_two().then_some(size)
}

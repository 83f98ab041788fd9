//! Where things lie on a FAT32 volume, by its boot sector, checked before it is believed.

use zerocopy::FromBytes;

use crate::change::{ChangeError, Overlay, State};
use crate::fat32::format::{BootSector, FIRST_CLUSTER, MAX_CLUSTERS, MIN_CLUSTERS};

/// Entry 1 of the table says here that the volume was unmounted cleanly, and that the disk did not
/// fail ([FAT] "FAT Volume Initialization").
pub(super) const CLEAN: u32 = 0x0800_0000;
const NO_ERRORS: u32 = 0x0400_0000;
/// Where the boot sector says that the volume is in use, as Linux and Windows NT keep it.
const BOOT_STATE: usize = 0x41;

/// Sizes and places in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub cluster: u64,
    pub table: u64,
    pub table_bytes: u64,
    pub tables: u64,
    pub data: u64,
    /// One more than the number of the last cluster.
    pub end: u32,
    pub root: u32,
    pub fsinfo: Option<u64>,
    pub backup_boot: Option<u64>,
}

impl Layout {
    pub(super) fn read(disk: &Overlay<'_>, state: State) -> Result<Self, ChangeError> {
        let damaged = |reason| ChangeError::damaged("the boot sector", 0, reason);
        if disk.size() < 512 {
            return Err(damaged("the partition is too small for one"));
        }
        let bytes = disk.read_vec(0, 512)?;
        let boot = BootSector::ref_from_bytes(&bytes).map_err(|_| damaged("it is cut short"))?;
        let sector = u64::from(boot.bytes_per_sector.get());
        let per_cluster = u64::from(boot.sectors_per_cluster);
        if !sector.is_power_of_two() || !(512..=4096).contains(&sector) {
            return Err(damaged("the sector size is impossible"));
        }
        if !per_cluster.is_power_of_two() {
            return Err(damaged("the cluster size is impossible"));
        }
        if sector < disk.sector() {
            return Err(ChangeError::Unsupported(
                "a sector smaller than that of the disk",
            ));
        }
        if boot.version.get() != 0 || boot.fat_sectors_16.get() != 0 {
            return Err(ChangeError::Unsupported(
                "a FAT volume other than FAT32 of version 0",
            ));
        }
        if boot.extended_flags.get() & 0x80 != 0 {
            return Err(ChangeError::Unsupported(
                "a FAT32 volume with only one table in use",
            ));
        }
        let reserved = u64::from(boot.reserved_sectors.get());
        let (fat_sectors, tables) = (u64::from(boot.fat_sectors.get()), u64::from(boot.fat_count));
        let before = reserved + fat_sectors * tables;
        let total = match boot.total_sectors_16.get() {
            0 => u64::from(boot.total_sectors.get()),
            total => u64::from(total),
        };
        if total.saturating_mul(sector) > disk.size() || before >= total || tables == 0 {
            return Err(damaged("the volume does not fit its partition"));
        }
        let clusters = (total - before) / per_cluster;
        let fits = (clusters + 2) * 4 <= fat_sectors * sector;
        let clusters = u32::try_from(clusters)
            .ok()
            .filter(|count| *count <= MAX_CLUSTERS && fits);
        let clusters = clusters.ok_or_else(|| damaged("the table does not hold every cluster"))?;
        if clusters < MIN_CLUSTERS {
            return Err(ChangeError::Unsupported("a FAT volume other than FAT32"));
        }
        let end = FIRST_CLUSTER + clusters;
        let root = boot.root_cluster.get();
        if !(FIRST_CLUSTER..end).contains(&root) {
            return Err(damaged("the root directory lies past the end"));
        }
        let within = |number: u16| {
            let number = u64::from(number);
            (number > 0 && number < reserved).then_some(number * sector)
        };
        let layout = Self {
            cluster: per_cluster * sector,
            table: reserved * sector,
            table_bytes: fat_sectors * sector,
            tables,
            data: before * sector,
            end,
            root,
            fsinfo: within(boot.fsinfo_sector.get()),
            backup_boot: within(boot.backup_boot_sector.get()),
        };
        if state == State::Clean {
            layout.refuse_unclean(disk, bytes.get(BOOT_STATE).copied().unwrap_or(0))?;
        }
        Ok(layout)
    }

    fn refuse_unclean(&self, disk: &Overlay<'_>, boot_state: u8) -> Result<(), ChangeError> {
        let mut entry = [0; 4];
        disk.read(&mut entry, self.table + 4)?;
        let entry = u32::from_le_bytes(entry);
        if entry & CLEAN == 0 || boot_state & 1 != 0 {
            return Err(ChangeError::Unclean {
                reason: "it is marked as in use",
            });
        }
        if entry & NO_ERRORS == 0 || boot_state & 2 != 0 {
            return Err(ChangeError::Unclean {
                reason: "its disk failed",
            });
        }
        Ok(())
    }

    /// Where a cluster begins.
    pub(super) fn place(&self, cluster: u32) -> Result<u64, ChangeError> {
        if !(FIRST_CLUSTER..self.end).contains(&cluster) {
            let reason = "it leads to a cluster that there is not";
            return Err(ChangeError::damaged(
                "the allocation table",
                u64::from(cluster),
                reason,
            ));
        }
        Ok(self.data + u64::from(cluster - FIRST_CLUSTER) * self.cluster)
    }
}

//! The boot sector, its copy, and FSInfo with its copy.

use blockio::{ByteOffset, Disk};
use zerocopy::FromBytes;

use super::super::format::{
    BACKUP_BOOT_SECTOR, BootSector, EXTENDED_SIGNATURE, FIRST_CLUSTER, FSINFO_LEAD,
    FSINFO_STRUCTURE, FSINFO_TRAIL, FsInfo, MAX_CLUSTERS, MIN_CLUSTERS,
};
use crate::error::MkfsError;
use crate::findings::{VolumeFinding, VolumeReport};

/// FSInfo does not know how many clusters are free.
const UNKNOWN: u32 = 0xFFFF_FFFF;
/// Bit of `BS_Reserved1` that Windows sets while a volume is in use.
const DIRTY: u8 = 1;
/// Bit of `BPB_ExtFlags`: one table alone is kept up.
const ONE_TABLE: u16 = 0x80;

/// Where everything lies, each number in its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes.
    pub sector: u64,
    /// Sectors.
    pub cluster: u64,
    /// Sectors before the first table.
    pub reserved: u64,
    pub tables: u64,
    /// Sectors of a table.
    pub table: u64,
    /// Clusters.
    pub clusters: u32,
    pub root: u32,
    pub media: u8,
    pub fsinfo: u64,
    pub backup: u64,
    /// The only table that is kept up; none where all are.
    pub active: Option<u64>,
}

impl Layout {
    fn parse(bytes: &[u8], disk: u64) -> Result<Self, String> {
        let Ok((boot, _)) = BootSector::ref_from_prefix(bytes) else {
            return Err("it is cut short".into());
        };
        let fail = |text: &str| Err(text.to_owned());
        let sector = u64::from(boot.bytes_per_sector.get());
        if !matches!(sector, 512 | 1024 | 2048 | 4096) {
            return fail("the sector size is none");
        }
        let cluster = u64::from(boot.sectors_per_cluster);
        if !cluster.is_power_of_two() {
            return fail("the cluster size is none");
        }
        let (reserved, tables) = (
            u64::from(boot.reserved_sectors.get()),
            u64::from(boot.fat_count),
        );
        let table = u64::from(boot.fat_sectors.get());
        if reserved == 0 || !(1..=2).contains(&tables) || table == 0 {
            return fail("it has no table of clusters");
        }
        if boot.fat_sectors_16.get() != 0 || boot.root_entries_16.get() != 0 {
            return fail("it is not of FAT32");
        }
        let total = match boot.total_sectors_16.get() {
            0 => u64::from(boot.total_sectors.get()),
            short => u64::from(short),
        };
        if total * sector > disk {
            return Err(format!(
                "it tells of {total} sectors, the disk has {}",
                disk / sector
            ));
        }
        let clusters = total
            .checked_sub(reserved + tables * table)
            .map(|data| data / cluster)
            .and_then(|clusters| u32::try_from(clusters).ok())
            .filter(|clusters| *clusters > 0 && *clusters <= MAX_CLUSTERS);
        let Some(clusters) = clusters else {
            return fail("it leaves no room for clusters");
        };
        if (u64::from(clusters) + 2) * 4 > table * sector {
            return fail("the table has not an entry for each cluster");
        }
        let flags = boot.extended_flags.get();
        Ok(Self {
            sector,
            cluster,
            reserved,
            tables,
            table,
            clusters,
            root: boot.root_cluster.get(),
            media: boot.media,
            fsinfo: u64::from(boot.fsinfo_sector.get()),
            backup: u64::from(boot.backup_boot_sector.get()),
            active: (flags & ONE_TABLE != 0).then_some(u64::from(flags & 0xF)),
        })
    }

    /// Bytes of a cluster.
    pub(super) fn cluster_bytes(&self) -> u64 {
        self.cluster * self.sector
    }

    /// Whether a number is that of a cluster.
    pub(super) fn has(&self, cluster: u32) -> bool {
        (FIRST_CLUSTER..FIRST_CLUSTER + self.clusters).contains(&cluster)
    }

    /// Where a cluster lies, in bytes.
    pub(super) fn position(&self, cluster: u32) -> u64 {
        let data = self.reserved + self.tables * self.table;
        (data + u64::from(cluster.saturating_sub(FIRST_CLUSTER)) * self.cluster) * self.sector
    }
}

/// Whether sector 6 of `disk` is the copy of a boot sector of FAT32.
pub fn has_boot_copy(disk: &dyn Disk) -> bool {
    read_copy(disk, 512).is_some()
}

/// The copy of a boot sector, for sectors of so many bytes.
fn read_copy(disk: &dyn Disk, sector: u64) -> Option<(Layout, Vec<u8>)> {
    let bytes = read(disk, u64::from(BACKUP_BOOT_SECTOR) * sector).ok()??;
    let layout = Layout::parse(&bytes, disk.size().get()).ok()?;
    let is_boot = bytes.get(510..) == Some(&[0x55, 0xAA]);
    (is_boot && layout.sector == sector && layout.clusters >= MIN_CLUSTERS)
        .then_some((layout, bytes))
}

/// 512 bytes at a position; none past the end of the disk.
fn read(disk: &dyn Disk, position: u64) -> Result<Option<Vec<u8>>, MkfsError> {
    if position.saturating_add(512) > disk.size().get() {
        return Ok(None);
    }
    let mut bytes = vec![0; 512];
    disk.read_at(&mut bytes, ByteOffset(position))?;
    Ok(Some(bytes))
}

fn error(class: &'static str, message: impl Into<String>) -> VolumeFinding {
    VolumeFinding::error(class, message)
}

/// Reads the boot sector, or its copy where that cannot be.
pub(super) fn check(disk: &dyn Disk, report: &mut VolumeReport) -> Result<Layout, MkfsError> {
    let damaged = |reason: String| MkfsError::Damaged {
        structure: "boot sector",
        offset: ByteOffset(0),
        reason,
    };
    let Some(first) = read(disk, 0)? else {
        return Err(damaged("the disk is too small".into()));
    };
    let layout = match Layout::parse(&first, disk.size().get()) {
        Ok(layout) => layout,
        Err(reason) => {
            let Some((layout, _)) = read_copy(disk, 512).or_else(|| read_copy(disk, 4096)) else {
                return Err(damaged(reason));
            };
            let message = format!("boot sector: {reason}; its copy is used");
            report.add(error("boot-sector", message));
            layout
        }
    };
    check_fields(&first, &layout, report);
    check_copy(disk, &first, &layout, report)?;
    Ok(layout)
}

fn check_fields(first: &[u8], layout: &Layout, report: &mut VolumeReport) {
    let Ok((boot, _)) = BootSector::ref_from_prefix(first) else {
        return;
    };
    let mut field = |is_right: bool, what: &str| {
        if !is_right {
            report.add(error("boot-sector", format!("boot sector: {what}")));
        }
    };
    field(
        boot.signature == [0x55, 0xAA],
        "the mark at its end is missing",
    );
    field(
        matches!(boot.jump[0], 0xEB | 0xE9),
        "it does not begin with a jump",
    );
    field(
        boot.media == 0xF0 || boot.media >= 0xF8,
        "the media type is none",
    );
    field(boot.version.get() == 0, "the version is not known");
    field(
        layout.has(layout.root),
        "the root directory lies outside the volume",
    );
    field(
        layout.active.is_none_or(|active| active < layout.tables),
        "the table of clusters in use is none of those there are",
    );
    field(
        layout.clusters >= MIN_CLUSTERS,
        "there are too few clusters for FAT32",
    );
    field(
        layout.fsinfo > 0 && layout.fsinfo < layout.reserved,
        "FSInfo lies outside the reserved sectors",
    );
    field(
        boot.extended_signature == EXTENDED_SIGNATURE || boot.extended_signature == 0x28,
        "the mark before the serial number is missing",
    );
    if boot.reserved_1 & DIRTY != 0 {
        let message = "the boot sector says that the volume was not taken off in order";
        report.add(VolumeFinding::warning("volume-dirty", message));
    }
}

fn check_copy(
    disk: &dyn Disk,
    first: &[u8],
    layout: &Layout,
    report: &mut VolumeReport,
) -> Result<(), MkfsError> {
    /// Bytes that Windows changes in the first alone: `BS_Reserved1`.
    const CHANGING: usize = 65;
    if layout.backup == 0 || layout.backup == 0xFFFF {
        return Ok(());
    }
    let copy = if layout.backup < layout.reserved {
        read(disk, layout.backup * layout.sector)?
    } else {
        None
    };
    let Some(copy) = copy else {
        report.add(error(
            "boot-copy",
            "the copy of the boot sector lies outside the reserved sectors",
        ));
        return Ok(());
    };
    let differs = |at: &usize| *at != CHANGING && first.get(*at) != copy.get(*at);
    if let Some(at) = (0..512).find(differs) {
        let finding = error(
            "boot-copy",
            format!("the copy of the boot sector differs at byte {at}"),
        );
        report.add(finding.versus(
            format_args!("{:#04x}", first[at]),
            format_args!("{:#04x}", copy[at]),
        ));
    }
    Ok(())
}

/// FSInfo: its marks, and how many clusters it says are free.
pub(super) fn check_free(
    disk: &dyn Disk,
    layout: &Layout,
    free: u32,
    report: &mut VolumeReport,
) -> Result<(), MkfsError> {
    let Some(bytes) = read(disk, layout.fsinfo * layout.sector)? else {
        return Ok(());
    };
    let Ok((info, _)) = FsInfo::ref_from_prefix(&bytes) else {
        return Ok(());
    };
    let has_marks = info.lead_signature.get() == FSINFO_LEAD
        && info.structure_signature.get() == FSINFO_STRUCTURE
        && info.trail_signature.get() == FSINFO_TRAIL;
    if !has_marks {
        report.add(error("fsinfo", "FSInfo has not its marks"));
        return Ok(());
    }
    let count = info.free_count.get();
    if count != free && count != UNKNOWN {
        let finding = error("fsinfo-free", "FSInfo counts the free clusters wrongly");
        report.add(finding.versus(free, count));
    }
    let next = info.next_free.get();
    if next != UNKNOWN && next != 0 && !layout.has(next) {
        let finding = error(
            "fsinfo-next",
            "FSInfo names a next free cluster that is none",
        );
        report.add(finding.versus(format_args!("2 to {}", layout.clusters + 1), next));
    }
    Ok(())
}

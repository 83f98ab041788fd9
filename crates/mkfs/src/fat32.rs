//! FAT32, empty or filled from a tree in one pass.
//!
//! ```text
//!   boot sector, FSInfo, copies at sectors 6 and 7
//!   FAT 1, FAT 2          written last, up to the last cluster in use
//!   cluster 2             first cluster of the root directory
//!   data                  files in the order they come, each in one piece
//!   directories           written when all entries are known
//! ```
//!
//! Invariant: the disk reads as zeros at the start, so holes, tails and free clusters are not
//! written. Times are stored in UTC (FAT knows no zone).

mod alias;
mod build;
mod change;
mod entry;
mod format;
pub mod fsck;
mod geometry;
mod label;
mod output;
mod table;
mod time;
mod upcase;

use std::ops::ControlFlow;

use blockio::{ByteCount, ByteOffset, Disk};
use zerocopy::{FromZeros, IntoBytes};

use crate::error::MkfsError;
use crate::names::{CasePolicy, NamePolicy};
use crate::report::BuildReport;
use crate::tree::{NtTime, TreeSource};
use format::{BootSector, FsInfo};
use geometry::Geometry;
use label::Label;

pub(crate) use change::{Fat32Change, data_start};

/// The largest file, in bytes.
pub const MAX_FILE_BYTES: u64 = 0xFFFF_FFFF;

/// How the file system is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fat32Options {
    /// Label, at most 11 characters of ASCII; stored in upper case. Empty for none.
    pub label: String,
    /// Volume serial number.
    pub volume_id: u32,
    /// Time of the label and of what the source gives no time for.
    pub time: NtTime,
    /// What is done with names that Windows cannot use.
    pub name_policy: NamePolicy,
    /// What is done with names that differ in case only; [`CasePolicy::KeepBoth`] is no option.
    pub case_policy: CasePolicy,
    /// Cluster size; chosen by the size of the disk where it is not given.
    pub cluster_size: Option<ByteCount>,
    /// Sectors of the disk that stand before the partition.
    pub hidden_sectors: u32,
}

/// Makes a FAT32 file system on all of `disk` (a partition), filled from `tree` where there is one.
/// `progress` is told the bytes and files stored so far and may end the build.
///
/// # Errors
/// `InvalidOption` (also where the disk is too small or too large), `NoSpace` (before anything is
/// written where the source knows its totals), `TooLarge` naming the path of a file of 4 GiB or
/// more or of a directory of more than 65,536 slots, `InvalidName` under [`NamePolicy::Strict`],
/// `Source`, `Interrupted`, `Io`. The disk's content is undefined after an error.
pub fn format(
    disk: &dyn Disk,
    options: &Fat32Options,
    tree: Option<&mut dyn TreeSource>,
    progress: &dyn Fn(u64, u64) -> ControlFlow<()>,
) -> Result<BuildReport, MkfsError> {
    if options.case_policy == CasePolicy::KeepBoth {
        return Err(MkfsError::Unsupported(
            "a FAT32 file system that tells names apart by case",
        ));
    }
    let label = Label::parse(&options.label)?;
    let geometry = Geometry::of(disk, options.cluster_size)?;
    let mut builder = build::Builder::new(disk, geometry, options)?;
    if let Some(tree) = tree {
        builder.take_all(tree, progress)?;
    }
    let (report, allocated) = builder.finish(label.as_ref())?;
    write_boot(disk, &geometry, options, label.as_ref(), allocated)?;
    Ok(report)
}

/// Writes the boot sector, the FSInfo sector and their copies.
fn write_boot(
    disk: &dyn Disk,
    geometry: &Geometry,
    options: &Fat32Options,
    label: Option<&Label>,
    allocated: u32,
) -> Result<(), MkfsError> {
    let boot = boot_sector(geometry, options, label);
    let mut info = FsInfo::new_zeroed();
    info.lead_signature = format::FSINFO_LEAD.into();
    info.structure_signature = format::FSINFO_STRUCTURE.into();
    info.free_count = (geometry.clusters - allocated).into();
    info.next_free = (format::FIRST_CLUSTER + allocated).into();
    info.trail_signature = format::FSINFO_TRAIL.into();
    for copy in [0, format::BACKUP_BOOT_SECTOR] {
        let at =
            |sector: u16| ByteOffset((u64::from(copy) + u64::from(sector)) * geometry.sector_bytes);
        disk.write_at(boot.as_bytes(), at(0))?;
        disk.write_at(info.as_bytes(), at(format::FSINFO_SECTOR))?;
    }
    Ok(())
}

fn boot_sector(geometry: &Geometry, options: &Fat32Options, label: Option<&Label>) -> BootSector {
    let mut boot = BootSector::new_zeroed();
    boot.jump = [0xEB, 0x58, 0x90];
    boot.oem_name = *b"MSWIN4.1";
    boot.bytes_per_sector = geometry.bytes_per_sector().into();
    boot.sectors_per_cluster = geometry.sectors_per_cluster;
    boot.reserved_sectors = geometry.reserved_sectors.into();
    boot.fat_count = format::FAT_COUNT;
    boot.media = format::MEDIA_FIXED;
    boot.sectors_per_track = 63.into();
    boot.heads = 255.into();
    boot.hidden_sectors = options.hidden_sectors.into();
    boot.total_sectors = geometry.total_sectors.into();
    boot.fat_sectors = geometry.fat_sectors.into();
    boot.root_cluster = format::FIRST_CLUSTER.into();
    boot.fsinfo_sector = format::FSINFO_SECTOR.into();
    boot.backup_boot_sector = format::BACKUP_BOOT_SECTOR.into();
    boot.drive_number = 0x80;
    boot.extended_signature = format::EXTENDED_SIGNATURE;
    boot.volume_id = options.volume_id.into();
    boot.volume_label = label.map_or(*b"NO NAME    ", Label::bytes);
    boot.file_system_type = *b"FAT32   ";
    boot.signature = [0x55, 0xAA];
    boot
}

#[cfg(test)]
mod tests;

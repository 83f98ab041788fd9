//! The limits of formats and file systems, checked before anything is made.
//!
//! They are the outermost ones: what depends on the exact layout is checked once more by the
//! builders, whose error the caller sees all the same.

use blockio::{ByteCount, GIB, KIB, MIB, SectorSize, TIB};
use vdisk::{ImageFormat, Provisioning};

use super::disk::DiskSpec;
use super::error::SpecError;
use super::kind::{FileSystemKind, PartitionLayout};
use super::size::format_size;

/// Largest VHD that Windows accepts.
const VHD_MAX: ByteCount = ByteCount(2040 * GIB);
/// Largest VHDX ([MS-VHDX] 2.6.2.2).
const VHDX_MAX: ByteCount = ByteCount(64 * TIB);
/// Largest raw image: what 64-bit host files take with room to spare.
const RAW_MAX: ByteCount = ByteCount(64 * TIB);
/// Smallest disk without a file system.
const DISK_MIN: ByteCount = ByteCount(3 * MIB);
/// Smallest partition for NTFS.
const NTFS_MIN: ByteCount = ByteCount(8 * MIB);
/// Fewest clusters of FAT32 (Microsoft, FAT: General Overview of On-Disk Format, 1.03).
const FAT32_MIN_CLUSTERS: u64 = 65_525;
/// Most sectors of FAT32: the boot sector has 32 bits for them.
const FAT32_MAX_SECTORS: u64 = 0xFFFF_FFFF;
/// What a partition table with alignment takes at most.
const GPT_OVERHEAD: u64 = 2 * MIB;
/// Longest NTFS label in UTF-16 code units.
const NTFS_LABEL_MAX: usize = 32;
/// Longest FAT label in bytes.
const FAT_LABEL_MAX: usize = 11;
/// Characters that a FAT label cannot hold.
const FAT_LABEL_FORBIDDEN: &str = "\"*+,./:;<=>?[\\]|";

/// The first limit that a specification breaks.
pub(super) fn find_problem(spec: &DiskSpec) -> Option<SpecError> {
    check_size(spec)
        .and_then(|()| check_image(spec))
        .and_then(|()| check_made_by_system(spec))
        .and_then(|()| check_cluster(spec))
        .and_then(|()| check_file_system_size(spec))
        .and_then(|()| check_label(spec))
        .and_then(|()| check_acl(spec))
        .err()
}

fn check_size(spec: &DiskSpec) -> Result<(), SpecError> {
    let (format, max) = match spec.format {
        ImageFormat::Vhdx => ("VHDX", VHDX_MAX),
        ImageFormat::Vhd => ("VHD", VHD_MAX),
        // No specification asks for qcow2: see `parse::format_value`.
        ImageFormat::Raw | ImageFormat::Qcow2 => ("raw", RAW_MAX),
    };
    if spec.size > max {
        let [size, max] = [spec.size, max].map(format_size);
        let message = format!("{size} is more than the {max} that a {format} image can have");
        return Err(SpecError::of_option("size", message));
    }
    let sector = spec.sector.bytes();
    if !spec.size.get().is_multiple_of(sector) {
        let message = format!("{} is no multiple of the sector of {sector}", spec.size);
        return Err(SpecError::of_option("size", message));
    }
    Ok(())
}

fn check_image(spec: &DiskSpec) -> Result<(), SpecError> {
    if spec.sector == SectorSize::B4096 && spec.format != ImageFormat::Vhdx {
        let message = format!("4096 needs format=vhdx, a {} image has 512", spec.format);
        return Err(SpecError::of_option("sector", message));
    }
    let Some(block) = spec.block_size else {
        return Ok(());
    };
    let (min, max) = match spec.format {
        ImageFormat::Vhdx => (MIB, 256 * MIB),
        ImageFormat::Vhd => (512 * KIB, 2 * MIB),
        ImageFormat::Raw | ImageFormat::Qcow2 => {
            let message = "a raw image has no blocks; leave it out";
            return Err(SpecError::of_option("block", message));
        }
    };
    if spec.format == ImageFormat::Vhd && spec.provisioning == Provisioning::Fixed {
        let message = "a fixed VHD has no blocks; leave it out";
        return Err(SpecError::of_option("block", message));
    }
    power_of_two_between("block", block, ByteCount(min), ByteCount(max))
}

/// Whether the image is made without a partition table: its guest, or the system, divides it.
fn is_blank(spec: &DiskSpec) -> bool {
    spec.file_system == FileSystemKind::None || spec.file_system.is_made_by_system()
}

/// What the system formats is an image that Windows attaches, which it divides itself.
fn check_made_by_system(spec: &DiskSpec) -> Result<(), SpecError> {
    if !spec.file_system.is_made_by_system() {
        return Ok(());
    }
    if spec.partition == PartitionLayout::WholeDisk {
        let message = "the system makes a partition on what it formats; leave it out";
        return Err(SpecError::of_option("layout", message));
    }
    if spec.format == ImageFormat::Raw {
        let message = "Windows attaches images of format vhdx and vhd alone, to format them";
        return Err(SpecError::of_option("format", message));
    }
    Ok(())
}

fn check_file_system_size(spec: &DiskSpec) -> Result<(), SpecError> {
    let overhead = match spec.partition {
        PartitionLayout::Gpt if !is_blank(spec) => GPT_OVERHEAD,
        _ => 0,
    };
    let sector = spec.sector.bytes();
    let (what, min, max) = match spec.file_system {
        FileSystemKind::Ntfs => ("NTFS", NTFS_MIN.get(), u64::MAX),
        FileSystemKind::Fat32 => {
            // Two tables of 4 bytes a cluster, and 1 MiB for the reserved sectors with alignment.
            let cluster = spec.cluster_size.map_or(sector, ByteCount::get);
            let clusters = FAT32_MIN_CLUSTERS
                .saturating_mul(cluster)
                .saturating_add(8 * FAT32_MIN_CLUSTERS + MIB);
            ("FAT32", clusters, FAT32_MAX_SECTORS.saturating_mul(sector))
        }
        // What the system needs, the system says.
        FileSystemKind::None | FileSystemKind::Refs | FileSystemKind::ScratchLayer => {
            ("a disk", DISK_MIN.get(), u64::MAX)
        }
    };
    let min = ByteCount(
        min.saturating_add(overhead)
            .div_ceil(MIB)
            .saturating_mul(MIB),
    );
    if spec.size < min {
        let [size, min] = [spec.size, min].map(format_size);
        let message = format!("{size} is too small, {what} needs at least {min} here");
        return Err(SpecError::of_option("size", message));
    }
    if spec.size.get().saturating_sub(overhead) > max {
        let [size, limit] = [spec.size, ByteCount(max.saturating_add(sector))].map(format_size);
        let message = format!("{size} is too large, {what} holds less than {limit}");
        return Err(SpecError::of_option("size", message));
    }
    Ok(())
}

fn check_cluster(spec: &DiskSpec) -> Result<(), SpecError> {
    let Some(cluster) = spec.cluster_size else {
        return Ok(());
    };
    let max = match spec.file_system {
        FileSystemKind::Ntfs => 2 * MIB,
        FileSystemKind::Fat32 => 64 * KIB,
        FileSystemKind::None => {
            let message = "there are no clusters without a file system; leave it out";
            return Err(SpecError::of_option("cluster", message));
        }
        FileSystemKind::Refs | FileSystemKind::ScratchLayer => {
            let message = "the system chooses the clusters of what it formats; leave it out";
            return Err(SpecError::of_option("cluster", message));
        }
    };
    let min = ByteCount(spec.sector.bytes());
    power_of_two_between("cluster", cluster, min, ByteCount(max))
}

fn check_label(spec: &DiskSpec) -> Result<(), SpecError> {
    let label = &spec.label;
    if label.is_empty() {
        return Ok(());
    }
    let message = match spec.file_system {
        FileSystemKind::Ntfs | FileSystemKind::Refs
            if label.encode_utf16().count() > NTFS_LABEL_MAX =>
        {
            format!("longer than the {NTFS_LABEL_MAX} UTF-16 units that NTFS and ReFS hold")
        }
        FileSystemKind::ScratchLayer => {
            "the system gives a writable layer no label; leave it out".to_owned()
        }
        FileSystemKind::Fat32 if label.len() > FAT_LABEL_MAX => {
            format!("longer than the {FAT_LABEL_MAX} bytes that FAT32 holds")
        }
        FileSystemKind::Fat32 => {
            let wrong = |c: &char| !c.is_ascii() || FAT_LABEL_FORBIDDEN.contains(*c);
            match label.chars().find(wrong) {
                Some(found) => format!("holds {found:?}, which FAT32 does not allow"),
                None => return Ok(()),
            }
        }
        FileSystemKind::None => "there is no label without a file system; leave it out".to_owned(),
        FileSystemKind::Ntfs | FileSystemKind::Refs => return Ok(()),
    };
    Err(SpecError::of_option("label", message))
}

fn check_acl(spec: &DiskSpec) -> Result<(), SpecError> {
    let message = match spec.file_system {
        _ if spec.acl.is_none() => return Ok(()),
        FileSystemKind::Ntfs => return Ok(()),
        FileSystemKind::Fat32 => "FAT32 keeps no access control; use fs=ntfs, or leave it out",
        FileSystemKind::None => "there is no access control without a file system; leave it out",
        FileSystemKind::Refs | FileSystemKind::ScratchLayer => {
            "the system sets the access control of what it formats; leave it out"
        }
    };
    Err(SpecError::of_option("acl", message))
}

fn power_of_two_between(
    option: &'static str,
    value: ByteCount,
    min: ByteCount,
    max: ByteCount,
) -> Result<(), SpecError> {
    if value.get().is_power_of_two() && (min..=max).contains(&value) {
        return Ok(());
    }
    let [value, min, max] = [value, min, max].map(format_size);
    let message = format!("{value} is no power of two from {min} to {max}");
    Err(SpecError::of_option(option, message))
}

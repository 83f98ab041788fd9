//! Both boot sectors, and the way from them to the master file table. Where the first of each pair
//! is damaged, the check goes on with the second.

use blockio::{ByteOffset, Disk};
use zerocopy::FromBytes;

use super::super::format::BootSector;
use super::super::parse::{NtfsVolume, ParseError, Record, VolumeGeometry};
use crate::error::MkfsError;
use crate::findings::{VolumeFinding, VolumeReport};

/// Bytes from which Windows and other readers go on to the code.
const JUMPS: [u8; 2] = [0xEB, 0xE9];
const FIXED_DISK: u8 = 0xF8;

/// Opens the volume for a check.
pub(super) fn open<'d>(
    disk: &'d dyn Disk,
    report: &mut VolumeReport,
) -> Result<NtfsVolume<'d>, MkfsError> {
    let geometry = match NtfsVolume::read_geometry(disk, 0) {
        Ok(geometry) => geometry,
        Err(error) if error.is_of_disk() => return Err(error.into()),
        Err(error) => {
            let Some(geometry) = find_copy(disk) else {
                return Err(error.into());
            };
            report.add(VolumeFinding::error("boot-sector", error.to_string()));
            geometry
        }
    };
    check_sectors(disk, &geometry, report)?;
    let record = first_record(disk, &geometry, report)?;
    let volume = NtfsVolume::with_table(disk, geometry, &record)?;
    match volume.read_upcase() {
        Ok(upcase) => Ok(volume.with_upcase(upcase)),
        Err(error) if error.is_of_disk() => Err(error.into()),
        // The check of $UpCase says what is wrong with it.
        Err(_) => Ok(volume),
    }
}

/// Whether the last sector of `disk` is the copy of a boot sector of NTFS.
pub fn has_boot_copy(disk: &dyn Disk) -> bool {
    find_copy(disk).is_some()
}

/// The copy of the boot sector in the last sector of the disk.
fn find_copy(disk: &dyn Disk) -> Option<VolumeGeometry> {
    [512, 4096].into_iter().find_map(|sector| {
        let position = disk.size().get().checked_sub(sector)?;
        let geometry = NtfsVolume::read_geometry(disk, position).ok()?;
        (geometry.backup_boot_offset() == position).then_some(geometry)
    })
}

fn check_sectors(
    disk: &dyn Disk,
    geometry: &VolumeGeometry,
    report: &mut VolumeReport,
) -> Result<(), MkfsError> {
    let size = usize::try_from(geometry.sector).unwrap_or(512).max(512);
    let mut first = vec![0; size];
    disk.read_at(&mut first, ByteOffset(0))?;
    check_fields(&first, geometry, report);
    let backup = geometry.backup_boot_offset();
    let room = disk.size().get();
    if backup.saturating_add(geometry.sector) > room {
        let finding = VolumeFinding::error("boot-size", "the volume is longer than its partition");
        report.add(finding.versus(room / geometry.sector - 1, geometry.total_sectors));
        return Ok(());
    }
    if room - backup >= 2 * geometry.sector.max(4096) {
        let finding = VolumeFinding::note("boot-slack", "the partition is longer than the volume");
        report.add(finding.versus(room / geometry.sector - 1, geometry.total_sectors));
    }
    let mut copy = vec![0; size.min(usize::try_from(room - backup).unwrap_or(size))];
    disk.read_at(&mut copy, ByteOffset(backup))?;
    let differing = first.iter().zip(&copy).position(|(a, b)| a != b);
    if let Some(at) = differing {
        let message = format!("the copy of the boot sector differs from byte {at} on");
        report.add(VolumeFinding::error("boot-copy", message).versus(
            format_args!("{:#04x}", first[at]),
            format_args!("{:#04x}", copy[at]),
        ));
    }
    Ok(())
}

fn check_fields(bytes: &[u8], geometry: &VolumeGeometry, report: &mut VolumeReport) {
    let Ok((boot, _)) = BootSector::ref_from_prefix(bytes) else {
        return;
    };
    let mut field = |is_right: bool, what: &str| {
        if !is_right {
            report.add(VolumeFinding::error(
                "boot-sector",
                format!("boot sector: {what}"),
            ));
        }
    };
    field(
        boot.end_mark == [0x55, 0xAA],
        "the mark at its end is missing",
    );
    field(
        JUMPS.contains(&boot.jump[0]),
        "it does not begin with a jump",
    );
    field(
        boot.media == FIXED_DISK,
        "the media type is not that of a disk",
    );
    let unused = boot
        .unused1
        .iter()
        .chain(&boot.unused2)
        .chain(&boot.unused4);
    field(
        unused.chain(&boot.unused5).all(|byte| *byte == 0) && boot.unused3.get() == 0,
        "fields that must be zero are not",
    );
    field(
        boot.mft_mirror.get() < geometry.clusters && boot.mft_mirror.get() != boot.mft.get(),
        "the copy of the master file table lies outside the volume, or on the table",
    );
    field(
        boot.serial.get() != 0 || boot.oem_id == *b"NTFS    ",
        "it has no serial number",
    );
}

/// Record 0, or its copy.
fn first_record(
    disk: &dyn Disk,
    geometry: &VolumeGeometry,
    report: &mut VolumeReport,
) -> Result<Record, ParseError> {
    let usable = |cluster| {
        let record = NtfsVolume::read_first_record(disk, geometry, cluster)?;
        NtfsVolume::with_table(disk, geometry.clone(), &record)?;
        Ok::<_, ParseError>(record)
    };
    match usable(geometry.mft.0) {
        Err(error) if !error.is_of_disk() => {
            let copy = usable(geometry.mft_mirror.0).map_err(|_| ());
            let Ok(copy) = copy else {
                return Err(error);
            };
            let message = format!("{error}; its copy in $MFTMirr is used");
            report.add(VolumeFinding::error("mft-record", message).of(0));
            Ok(copy)
        }
        other => other,
    }
}

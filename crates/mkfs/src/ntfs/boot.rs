//! The boot sector and its copy. It carries no boot code of use: the volume starts no computer.

use blockio::{ByteOffset, Disk};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::format::BootSector;
use super::geometry::Geometry;
use super::narrow::to_usize;
use super::runs::Lcn;
use crate::error::MkfsError;

/// Over the fields to the code.
const JUMP: [u8; 3] = [0xEB, 0x52, 0x90];
/// Asks the firmware for the next boot device, then stops for good.
const CODE: [u8; 5] = [0xCD, 0x18, 0xF4, 0xEB, 0xFD];
const FIXED_DISK: u8 = 0xF8;

/// What the boot sector says besides the geometry.
pub(super) struct BootFacts {
    pub mft: Lcn,
    pub mft_mirror: Lcn,
    pub hidden_sectors: u32,
    pub serial: u64,
}

/// The boot sector, as long as a sector of the disk.
pub(super) fn boot_sector(geometry: &Geometry, facts: &BootFacts) -> Result<Vec<u8>, MkfsError> {
    let mut boot = BootSector::new_zeroed();
    boot.jump = JUMP;
    boot.oem_id = *b"NTFS    ";
    boot.sector_size = U16::new(u16::try_from(geometry.sector()).unwrap_or(512));
    boot.cluster_size = geometry.cluster_size_code();
    boot.media = FIXED_DISK;
    boot.sectors_per_track = U16::new(63);
    boot.heads = U16::new(255);
    boot.hidden_sectors = U32::new(facts.hidden_sectors);
    boot.signature = U32::new(0x0080_0080);
    boot.total_sectors = U64::new(geometry.total_sectors());
    boot.mft = U64::new(facts.mft.0);
    boot.mft_mirror = U64::new(facts.mft_mirror.0);
    boot.record_size = geometry.structure_size_code(geometry.record());
    boot.index_block_size = geometry.structure_size_code(4096);
    boot.serial = U64::new(facts.serial);
    boot.code[..CODE.len()].copy_from_slice(&CODE);
    boot.end_mark = [0x55, 0xAA];
    let mut sector = vec![0; to_usize(geometry.sector(), "a boot sector")?];
    sector[..512].copy_from_slice(boot.as_bytes());
    Ok(sector)
}

/// Writes both copies; the first one last, so that a volume cut short has no file system.
pub(super) fn write(
    disk: &dyn Disk,
    geometry: &Geometry,
    facts: &BootFacts,
) -> Result<(), MkfsError> {
    let sector = boot_sector(geometry, facts)?;
    disk.write_at(&sector, ByteOffset(geometry.backup_boot_offset()))?;
    disk.write_at(&sector, ByteOffset(0))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockio::{ByteCount, MemoryDisk, SectorSize};

    #[test]
    fn the_fields_stand_where_windows_puts_them() {
        let disk = MemoryDisk::new(ByteCount(6016 * 512), SectorSize::B512).unwrap();
        let geometry = Geometry::new(&disk, None).unwrap();
        let facts = BootFacts {
            mft: Lcn(250),
            mft_mirror: Lcn(2),
            hidden_sectors: 128,
            serial: 0x64AA_FEA2_AAFE_6FC2,
        };
        let sector = boot_sector(&geometry, &facts).unwrap();
        // The same partition as formatted by Windows 10, but for the geometry of tracks.
        let windows = [
            0xEB, 0x52, 0x90, 0x4E, 0x54, 0x46, 0x53, 0x20, 0x20, 0x20, 0x20, 0x00, 0x02, 0x08, 0,
            0, 0, 0, 0, 0, 0, 0xF8, 0, 0, 63, 0, 255, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0x80,
            0, 0x7F, 0x17, 0, 0, 0, 0, 0, 0, 0xFA, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
            0xF6, 0, 0, 0, 0x01, 0, 0, 0, 0xC2, 0x6F, 0xFE, 0xAA, 0xA2, 0xFE, 0xAA, 0x64, 0, 0, 0,
            0,
        ];
        assert_eq!(sector[..windows.len()], windows);
        assert_eq!(sector[510..], [0x55, 0xAA]);
    }
}

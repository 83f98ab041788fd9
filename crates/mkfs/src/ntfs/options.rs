//! What the caller chooses for a new volume.

use blockio::ByteCount;

use super::geometry::Geometry;
use crate::error::MkfsError;
use crate::names::{CasePolicy, NamePolicy};
use crate::tree::NtTime;

/// Longest label that Windows accepts, in UTF-16 units.
const MAX_LABEL_UNITS: usize = 32;

/// Whether names have partners of eight and three characters, for programs that know no others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DosNames {
    /// None, and Windows makes none on the volume: what `fsutil 8dot3name set 1` asks for, and the
    /// state of volumes that Windows 10 formats.
    #[default]
    Absent,
    /// Made as Windows makes them, and Windows goes on making them.
    Generated,
}

/// Options of a new NTFS volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NtfsOptions {
    /// Bytes of a cluster, a power of two from a sector to 2 MiB; `None` for the one that Windows
    /// chooses for a volume of this size.
    pub cluster_size: Option<ByteCount>,
    /// Label, at most 32 UTF-16 units.
    pub label: String,
    /// Serial number of the volume.
    pub serial: u64,
    /// Times of the system files, and of the root where the tree has none.
    pub time: NtTime,
    /// What is done with names that Windows cannot use.
    pub name_policy: NamePolicy,
    /// What is done with names that differ in case only.
    pub case_policy: CasePolicy,
    /// Whether names have 8.3 partners.
    pub dos_names: DosNames,
    /// First sector of the partition; zero where the volume is the whole disk.
    pub hidden_sectors: u64,
}

impl Default for NtfsOptions {
    fn default() -> Self {
        Self {
            cluster_size: None,
            label: String::new(),
            serial: 0,
            time: NtTime::UNIX_EPOCH,
            name_policy: NamePolicy::Map,
            case_policy: CasePolicy::Rename,
            dos_names: DosNames::Absent,
            hidden_sectors: 0,
        }
    }
}

impl NtfsOptions {
    /// The label in UTF-16 units.
    pub(super) fn label_units(&self) -> Result<Vec<u16>, MkfsError> {
        let units: Vec<u16> = self.label.encode_utf16().collect();
        let reason = if units.len() > MAX_LABEL_UNITS {
            "is longer than 32 UTF-16 units"
        } else if units.iter().any(|unit| *unit < 0x20) {
            "holds a control character"
        } else {
            return Ok(units);
        };
        Err(MkfsError::InvalidOption {
            option: "label",
            reason: reason.into(),
        })
    }

    /// The first sector as the boot sector has it: what does not fit in 32 bits is left out, for
    /// only code that starts from the volume would read it.
    pub(super) fn boot_hidden_sectors(&self) -> u32 {
        u32::try_from(self.hidden_sectors).unwrap_or(0)
    }

    /// The geometry on a disk.
    pub(super) fn geometry(&self, disk: &dyn blockio::Disk) -> Result<Geometry, MkfsError> {
        Geometry::new(disk, self.cluster_size)
    }
}

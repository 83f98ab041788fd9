//! The part of a specification that is about a disk: an image, its layout, its file system.

use std::fmt;

use blockio::{ByteCount, GIB, SectorSize};
use mkfs::SecurityDescriptor;
use vdisk::{ImageFormat, Provisioning};

use super::kind::{FileSystemKind, PartitionLayout};
use super::size::format_size;

/// Size of a volume that does not say one. It is dynamic, and so costs what is written into it.
pub const DEFAULT_SIZE: ByteCount = ByteCount(20 * GIB);

/// A disk in an image of the store. It passed the limits of its format and file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSpec {
    pub(super) size: ByteCount,
    pub(super) file_system: FileSystemKind,
    pub(super) format: ImageFormat,
    pub(super) provisioning: Provisioning,
    pub(super) partition: PartitionLayout,
    pub(super) block_size: Option<ByteCount>,
    pub(super) sector: SectorSize,
    pub(super) cluster_size: Option<ByteCount>,
    pub(super) label: String,
    pub(super) acl: Option<SecurityDescriptor>,
}

impl DiskSpec {
    /// Size of the disk in bytes.
    pub fn size(&self) -> ByteCount {
        self.size
    }

    /// The file system made in it.
    pub fn file_system(&self) -> FileSystemKind {
        self.file_system
    }

    /// Format of the image file.
    pub fn format(&self) -> ImageFormat {
        self.format
    }

    /// Whether space is taken when needed or from the start.
    pub fn provisioning(&self) -> Provisioning {
        self.provisioning
    }

    /// How the disk is divided.
    pub fn partition(&self) -> PartitionLayout {
        self.partition
    }

    /// Block size of a dynamic image; `None` for the format's own.
    pub fn block_size(&self) -> Option<ByteCount> {
        self.block_size
    }

    /// Logical sector size.
    pub fn sector(&self) -> SectorSize {
        self.sector
    }

    /// Cluster size of the file system; `None` for what Windows would choose.
    pub fn cluster_size(&self) -> Option<ByteCount> {
        self.cluster_size
    }

    /// Label of the file system; empty for none.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Who may do what with the root of the file system and, by inheritance, with what is below it;
    /// `None` for what Windows gives a new volume.
    pub fn acl(&self) -> Option<&SecurityDescriptor> {
        self.acl.as_ref()
    }

    /// [`DiskSpec::acl`] as SDDL.
    pub fn acl_sddl(&self) -> Option<String> {
        // It was made of SDDL, so that it has a text.
        self.acl.as_ref()?.to_sddl().ok()
    }

    /// The options that every disk has, `persistent` between them and the others.
    pub(super) fn write_options(
        &self,
        f: &mut fmt::Formatter<'_>,
        persistent: bool,
    ) -> fmt::Result {
        write!(
            f,
            "size={},fs={},format={},type={},layout={},sector={},persistent={persistent}",
            format_size(self.size),
            self.file_system,
            self.format,
            self.provisioning,
            self.partition,
            self.sector.bytes(),
        )?;
        if let Some(block_size) = self.block_size {
            write!(f, ",block={}", format_size(block_size))?;
        }
        if let Some(cluster_size) = self.cluster_size {
            write!(f, ",cluster={}", format_size(cluster_size))?;
        }
        if !self.label.is_empty() {
            write!(f, ",label={}", self.label)?;
        }
        if let Some(acl) = self.acl_sddl() {
            write!(f, ",acl={acl}")?;
        }
        Ok(())
    }
}

impl Default for DiskSpec {
    fn default() -> Self {
        Self {
            size: DEFAULT_SIZE,
            file_system: FileSystemKind::Ntfs,
            format: ImageFormat::Vhdx,
            provisioning: Provisioning::Dynamic,
            partition: PartitionLayout::Gpt,
            block_size: None,
            sector: SectorSize::B512,
            cluster_size: None,
            label: String::new(),
            acl: None,
        }
    }
}

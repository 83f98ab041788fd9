//! What a volume is to be: size, file system, image format, layout.
//!
//! ```text
//!   option string  --parse-->  SpecOptions  --build: defaults, limits-->  VolumeSpec
//! ```
//!
//! Invariant: a [`VolumeSpec`] passed the limits of its format and file system; its text form
//! (its `Display`) names every option and reads back as the same specification.

pub(crate) mod kind;
mod limits;
mod parse;
pub(crate) mod path;
pub(crate) mod size;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use blockio::{ByteCount, GIB, SectorSize};
use mkfs::SecurityDescriptor;
use vdisk::{ImageFormat, Provisioning};

pub use parse::{SpecError, SpecErrorKind, SpecOptions, fuzz_spec};

use kind::{FileSystemKind, PartitionLayout, VolumeKind};
use size::format_size;

/// Size of a volume that does not say one. It is dynamic, and so costs what is written into it.
pub const DEFAULT_SIZE: ByteCount = ByteCount(20 * GIB);

/// A checked specification of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    kind: VolumeKind,
    size: ByteCount,
    file_system: FileSystemKind,
    format: ImageFormat,
    provisioning: Provisioning,
    partition: PartitionLayout,
    block_size: Option<ByteCount>,
    sector: SectorSize,
    cluster_size: Option<ByteCount>,
    label: String,
    persistent: bool,
    acl: Option<SecurityDescriptor>,
}

impl VolumeSpec {
    /// Reads an option string such as `size=1G,fs=ntfs,persistent=true`; what it does not name has
    /// its default (20 GiB, NTFS in a dynamic VHDX with a GPT, persistent). The empty string is all
    /// defaults.
    ///
    /// # Errors
    /// [`SpecError`], which names the column and, where one is near, the right spelling.
    pub fn parse(options: &str) -> Result<Self, SpecError> {
        SpecOptions::parse(options)?.build()
    }

    /// What backs the volume.
    pub fn kind(&self) -> VolumeKind {
        self.kind
    }

    /// Size of the disk in bytes.
    pub fn size(&self) -> ByteCount {
        self.size
    }

    /// The same for a disk of another size.
    ///
    /// # Errors
    /// Where the format or the file system has no such size.
    pub fn with_size(&self, size: ByteCount) -> Result<Self, SpecError> {
        let spec = Self {
            size,
            ..self.clone()
        };
        match limits::find_problem(&spec) {
            Some(problem) => Err(problem),
            None => Ok(spec),
        }
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

    /// Whether the volume outlives what uses it: a prune takes volumes that are not.
    pub fn persistent(&self) -> bool {
        self.persistent
    }

    /// Who may do what with the root of the file system and, by inheritance, with what is below it;
    /// `None` for what Windows gives a new volume.
    pub fn acl(&self) -> Option<&SecurityDescriptor> {
        self.acl.as_ref()
    }

    /// [`VolumeSpec::acl`] as SDDL.
    pub fn acl_sddl(&self) -> Option<String> {
        // It was made of SDDL, so that it has a text.
        self.acl.as_ref()?.to_sddl().ok()
    }
}

impl Default for VolumeSpec {
    fn default() -> Self {
        Self {
            kind: VolumeKind::Vhd,
            size: DEFAULT_SIZE,
            file_system: FileSystemKind::Ntfs,
            format: ImageFormat::Vhdx,
            provisioning: Provisioning::Dynamic,
            partition: PartitionLayout::Gpt,
            block_size: None,
            sector: SectorSize::B512,
            cluster_size: None,
            label: String::new(),
            persistent: true,
            acl: None,
        }
    }
}

impl FromStr for VolumeSpec {
    type Err = SpecError;

    fn from_str(options: &str) -> Result<Self, SpecError> {
        Self::parse(options)
    }
}

/// The option string that [`VolumeSpec::parse`] reads back, every option named.
impl fmt::Display for VolumeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "kind={},size={},fs={},format={},type={},layout={},sector={},persistent={}",
            self.kind,
            format_size(self.size),
            self.file_system,
            self.format,
            self.provisioning,
            self.partition,
            self.sector.bytes(),
            self.persistent
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

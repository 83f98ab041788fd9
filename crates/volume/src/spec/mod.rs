//! What a volume is to be: what backs it, and of a disk its size, file system, format, layout.
//!
//! ```text
//!   option string  --parse-->  SpecOptions  --build: defaults, limits-->  VolumeSpec
//! ```
//!
//! Invariant: a [`VolumeSpec`] passed the limits of its format and file system; its text form
//! (its `Display`) names every option and reads back as the same specification.

mod backing;
mod disk;
mod error;
pub(crate) mod kind;
mod limits;
mod parse;
pub(crate) mod path;
pub(crate) mod share;
pub(crate) mod size;
#[cfg(test)]
mod tests;
mod values;
mod words;

use std::fmt;
use std::str::FromStr;

use blockio::ByteCount;

pub use backing::{Backing, BindSpec, DEFAULT_TEMPORARY_SIZE, SmbSpec, TmpfsSpec};
pub use disk::{DEFAULT_SIZE, DiskSpec};
pub use error::{SpecError, SpecErrorKind};
pub use parse::{SpecOptions, fuzz_spec};

use kind::VolumeKind;
use size::format_size;

/// A checked specification of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    backing: Backing,
    persistent: bool,
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
        self.backing.kind()
    }

    /// The same, with what only that kind has.
    pub fn backing(&self) -> &Backing {
        &self.backing
    }

    /// The disk, of a volume that has an image.
    pub fn disk(&self) -> Option<&DiskSpec> {
        match &self.backing {
            Backing::Disk(disk) => Some(disk),
            _ => None,
        }
    }

    /// The share, of a volume of an SMB server.
    pub fn smb(&self) -> Option<&SmbSpec> {
        match &self.backing {
            Backing::Smb(smb) => Some(smb),
            _ => None,
        }
    }

    /// How much it may hold; `None` where somebody else decides that.
    pub fn size(&self) -> Option<ByteCount> {
        match &self.backing {
            Backing::Disk(disk) => Some(disk.size),
            Backing::Tmpfs(memory) => Some(memory.size()),
            Backing::Bind(_) | Backing::Smb(_) => None,
        }
    }

    /// Where its content lies, of a volume whose content lies elsewhere: a path of the host, or
    /// `//server/share`.
    pub fn source(&self) -> Option<String> {
        match &self.backing {
            Backing::Bind(bind) => Some(bind.source().to_owned()),
            Backing::Smb(smb) => Some(smb.share.to_string()),
            Backing::Disk(_) | Backing::Tmpfs(_) => None,
        }
    }

    /// Whether no mount of it may write.
    pub fn read_only(&self) -> bool {
        match &self.backing {
            Backing::Bind(bind) => bind.read_only,
            Backing::Smb(smb) => smb.read_only,
            Backing::Disk(_) | Backing::Tmpfs(_) => false,
        }
    }

    /// The same for a disk of another size.
    ///
    /// # Errors
    /// Where there is no disk, or the format or the file system has no such size.
    pub fn with_size(&self, size: ByteCount) -> Result<Self, SpecError> {
        let Some(disk) = self.disk() else {
            let message = format!("a volume of kind {} has no disk", self.kind());
            return Err(SpecError::of_option("size", message));
        };
        let disk = DiskSpec {
            size,
            ..disk.clone()
        };
        match limits::find_problem(&disk) {
            Some(problem) => Err(problem),
            None => Ok(Self {
                backing: Backing::Disk(disk),
                persistent: self.persistent,
            }),
        }
    }

    /// Whether the volume outlives what uses it: a prune takes volumes that are not.
    pub fn persistent(&self) -> bool {
        self.persistent
    }
}

impl Default for VolumeSpec {
    fn default() -> Self {
        Self {
            backing: Backing::Disk(DiskSpec::default()),
            persistent: true,
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
        write!(f, "kind={},", self.kind())?;
        let persistent = self.persistent;
        match &self.backing {
            Backing::Disk(disk) => disk.write_options(f, persistent),
            Backing::Bind(bind) => {
                let read_only = bind.read_only;
                let source = words::field("source", bind.source());
                write!(f, "{source},readonly={read_only},persistent={persistent}")
            }
            Backing::Smb(smb) => {
                let SmbSpec {
                    share,
                    user,
                    read_only,
                } = smb;
                write!(f, "source={share},username={}", user.name())?;
                if let Some(domain) = user.domain() {
                    write!(f, ",domain={domain}")?;
                }
                write!(f, ",readonly={read_only},persistent={persistent}")
            }
            Backing::Tmpfs(memory) => {
                let size = format_size(memory.size());
                write!(f, "size={size},persistent={persistent}")
            }
        }
    }
}

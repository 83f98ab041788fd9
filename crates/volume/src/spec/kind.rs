//! The closed sets of a specification: what backs a volume, its file system, its layout.

use std::fmt;

/// What backs a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VolumeKind {
    /// An image file in the store (VHDX, VHD or raw).
    Vhd,
    /// A directory or file of the host.
    HostBind,
    /// A network share.
    SmbShare,
    /// Memory of the machine, gone with it.
    Tmpfs,
}

/// The file system made in a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileSystemKind {
    /// NTFS 3.1.
    Ntfs,
    /// FAT32.
    Fat32,
    /// ReFS, which only Windows makes.
    Refs,
    /// NTFS, as Windows makes the writable layer of a container.
    ScratchLayer,
    /// None: the disk is left blank.
    None,
}

/// How the disk is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartitionLayout {
    /// A GUID partition table with one basic data partition.
    Gpt,
    /// The file system starts at the first sector of the disk.
    WholeDisk,
}

impl VolumeKind {
    /// The word of the option string.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vhd => "vhd",
            Self::HostBind => "bind",
            Self::SmbShare => "smb",
            Self::Tmpfs => "tmpfs",
        }
    }

    /// The kind that a word of the option string names.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Vhd, Self::HostBind, Self::SmbShare, Self::Tmpfs]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

impl FileSystemKind {
    const ALL: [Self; 5] = [
        Self::Ntfs,
        Self::Fat32,
        Self::Refs,
        Self::ScratchLayer,
        Self::None,
    ];

    /// The word of the option string.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ntfs => "ntfs",
            Self::Fat32 => "fat32",
            Self::Refs => "refs",
            Self::ScratchLayer => "scratch",
            Self::None => "none",
        }
    }

    /// The file system that a word of the option string names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether the system of the host makes it, and nothing here does.
    pub const fn is_made_by_system(self) -> bool {
        matches!(self, Self::Refs | Self::ScratchLayer)
    }
}

impl PartitionLayout {
    /// The word of the option string.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gpt => "gpt",
            Self::WholeDisk => "disk",
        }
    }

    /// The layout that a word of the option string names.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Gpt, Self::WholeDisk]
            .into_iter()
            .find(|layout| layout.as_str() == word)
    }
}

impl fmt::Display for VolumeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for FileSystemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for PartitionLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

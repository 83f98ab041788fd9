//! What a container runtime asks for: a source that shall appear at a target in the guest.

use crate::path::{HostPath, Target};

/// The flags of `containerv_mount`, as its header numbers them.
pub mod mount_flag {
    /// A host directory.
    pub const BIND: u32 = 0x1;
    /// With what is mounted below it.
    pub const RECURSIVE: u32 = 0x2;
    /// Nothing can be changed through it.
    pub const READONLY: u32 = 0x4;
    /// The host directory is made where it is missing.
    pub const CREATE: u32 = 0x100;
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRequest {
    /// What is mounted.
    pub source: Source,
    /// Where it appears.
    pub target: Target,
    /// Whether nothing can be changed through it.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The file system in a disk image.
    Disk(DiskSource),
    /// A directory of the host.
    Directory {
        /// Where it is.
        path: HostPath,
        /// Whether it is made where it is missing.
        create: bool,
        /// The wish for what it is called on the way, where somebody has one.
        share_name: Option<String>,
    },
    /// A single file of the host.
    File {
        /// Where it is.
        path: HostPath,
    },
    /// A share of an SMB server, mounted by the guest.
    Smb(SmbSource),
    /// A file system that is gone after the tear-down.
    Temporary {
        /// How much it may hold, in bytes.
        size: u64,
        /// Where its image is made, for guests that cannot have one in memory.
        image: HostPath,
    },
}

/// A disk image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSource {
    /// Its file.
    pub path: HostPath,
    /// The files that it stands on, the nearest first, for a hypervisor that opens them itself.
    pub parents: Vec<HostPath>,
    /// What is on it; `None` where that is not known.
    pub file_system: Option<GuestFileSystem>,
    /// Whether the guest formats it when it holds nothing yet.
    pub format_on_first_use: bool,
    /// What the guest knows the disk by: at most 36 letters, digits and hyphens.
    pub serial: String,
}

/// A share of an SMB server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmbSource {
    /// The server.
    pub server: String,
    /// The share.
    pub share: String,
    /// The path in the share, without slashes at its ends; may be empty.
    pub path: String,
    /// Who logs in. The password never is part of a plan.
    pub user: Option<String>,
    /// What the host finds the password by, where it keeps one: an identifier of its own, which means
    /// nothing here.
    pub login: Option<String>,
}

/// File systems that guests mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuestFileSystem {
    /// NTFS.
    Ntfs,
    /// ReFS.
    Refs,
    /// FAT32.
    Fat32,
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

impl GuestFileSystem {
    /// Its name in lower case, as in options and as Linux calls its driver where that is one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ntfs => "ntfs",
            Self::Refs => "refs",
            Self::Fat32 => "fat32",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// The file system of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ntfs, Self::Refs, Self::Fat32, Self::Ext4, Self::Xfs]
            .into_iter()
            .find(|known| known.name() == name)
    }
}

impl SmbSource {
    /// Reads `//server/share[/path]` or the same with backslashes.
    ///
    /// # Errors
    /// What is wrong with it, for a message.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.replace('\\', "/");
        let rest = text
            .strip_prefix("//")
            .ok_or("it does not begin with // or \\\\")?;
        let (server, rest) = rest.split_once('/').ok_or("it names no share")?;
        let (share, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_matches('/');
        let allowed = |name: &str, more: &str| {
            let plain = |c: char| c.is_alphanumeric() || more.contains(c);
            !name.is_empty() && name.len() <= 255 && name.chars().all(plain)
        };
        // What a mount option or a command line could take for something else is no name.
        if !allowed(server, ".-_[]:") {
            return Err("its server has a character that names of hosts cannot have");
        }
        if !allowed(share, " ._-$") {
            return Err("its share has a character that names of shares cannot have");
        }
        if path.split('/').any(|name| matches!(name, ".." | ".")) || path.contains([',', '\0']) {
            return Err("its path leads upward or holds a comma");
        }
        Ok(Self {
            server: server.to_owned(),
            share: share.to_owned(),
            path: path.to_owned(),
            user: None,
            login: None,
        })
    }

    /// `\\server\share\path`.
    pub fn unc(&self) -> String {
        let mut unc = format!(r"\\{}\{}", self.server, self.share);
        if !self.path.is_empty() {
            unc.push('\\');
            unc.push_str(&self.path.replace('/', "\\"));
        }
        unc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_in_both_spellings_and_nothing_else_is() {
        for text in ["//srv/data/a/b/", r"\\srv\data\a\b"] {
            let share = SmbSource::parse(text).unwrap();
            assert_eq!(share.unc(), r"\\srv\data\a\b");
        }
        for text in [
            "/srv/data",
            "//srv",
            "///data",
            "//srv/",
            "//s,rv/d",
            "//srv/d/../e",
            "//srv/d/a,b",
        ] {
            assert!(SmbSource::parse(text).is_err(), "{text}");
        }
    }
}

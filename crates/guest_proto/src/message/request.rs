//! What the host asks for.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::session::Versions;

/// A request.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Request {
    /// Opens a conversation: what came before it is over.
    Hello(Hello),
    /// Waits for a disk and mounts what is on it.
    MountDisk(MountDisk),
    /// Mounts a directory of the host.
    MountShare(MountShare),
    /// Mounts a share of an SMB server.
    MountSmb(MountSmb),
    /// Mounts memory.
    MountMemory(MountMemory),
    /// Unmounts, once all that was written is out of the guest.
    Unmount(Unmount),
    /// Lets go of a disk that will be taken away.
    UnplugDisk(UnplugDisk),
    /// Lists what was mounted for the host and is still there, in the order of the targets.
    ListMounts {
        /// Only those behind this target.
        after: Option<String>,
    },
    /// Writes out all that any file system of the guest still holds.
    Sync,
    /// Writes out what the file system at a target still holds, and keeps all writers waiting.
    Freeze {
        /// Where it is mounted.
        target: String,
        /// After how long the guest lets them go by itself, whatever became of the host.
        thaw_after_seconds: u32,
    },
    /// Ends that.
    Thaw {
        /// Where it is mounted.
        target: String,
    },
    /// How full the file system at a target is.
    Usage {
        /// Where it is mounted.
        target: String,
    },
    /// Runs a command.
    Run(Run),
    /// Writes all out and ends the machine.
    PowerOff,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The versions it speaks.
    #[serde(flatten)]
    pub versions: Versions,
    /// What it calls itself, for the log of the guest.
    pub client: String,
}

/// File systems that a guest is asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileSystem {
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

/// A disk and where what is on it appears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountDisk {
    /// Its controller, from 0.
    pub controller: u8,
    /// Its number there.
    pub lun: u8,
    /// What the disk says it is; another disk at the place is not taken for it.
    pub serial: String,
    /// Where it appears.
    pub target: String,
    /// What is on it; `None` where that is for the guest to find out.
    pub file_system: Option<FileSystem>,
    /// Whether it is formatted where it holds nothing at all.
    #[serde(default)]
    pub format: bool,
    /// Whether it is mounted for reading only.
    #[serde(default)]
    pub read_only: bool,
    /// How long the guest waits for the disk to come.
    pub wait_seconds: u32,
}

/// How a directory of the host comes to the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum ShareTransport {
    /// virtiofs.
    VirtioFs {
        /// Its tag.
        tag: String,
    },
    /// Plan 9 over a device of virtio.
    Plan9Virtio {
        /// Its tag.
        tag: String,
    },
    /// Plan 9 over TCP.
    Plan9Tcp {
        /// The address of the server: no name, since not every guest can look one up.
        server: String,
        /// Its port.
        port: u16,
        /// What of it.
        tree: String,
    },
    /// Plan 9 over a socket of the hypervisor, from its host.
    Plan9Vsock {
        /// The port.
        port: u32,
        /// What of it.
        tree: String,
    },
    /// SMB over a bus of the hypervisor: Windows.
    VirtualSmb {
        /// The share as Windows spells it, `\\?\VMSMB\...`.
        unc: String,
    },
}

/// A directory of the host and where it appears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountShare {
    /// How it comes.
    pub transport: ShareTransport,
    /// The one file of it that appears at the target, where it is not all of it.
    pub only_file: Option<String>,
    /// Where it appears.
    pub target: String,
    /// Whether it is mounted for reading only.
    #[serde(default)]
    pub read_only: bool,
    /// How long the guest waits for the device of the share to come.
    #[serde(default)]
    pub wait_seconds: u32,
}

/// A share of an SMB server and where it appears.
#[derive(Clone, Serialize, Deserialize)]
pub struct MountSmb {
    /// The server: a name or an address.
    pub server: String,
    /// Its port; `None` for SMB's own.
    pub port: Option<u16>,
    /// The share.
    pub share: String,
    /// A path in the share, parted by `/`; may be empty.
    pub path: String,
    /// Who logs in.
    pub user: String,
    /// The domain, where there is one.
    pub domain: Option<String>,
    /// The password.
    pub password: Secret,
    /// Where it appears.
    pub target: String,
    /// Whether it is mounted for reading only.
    #[serde(default)]
    pub read_only: bool,
    /// Whether what is sent has to be encrypted.
    #[serde(default)]
    pub require_encryption: bool,
}

/// Memory and where it appears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountMemory {
    /// Where it appears.
    pub target: String,
    /// How much it may hold, in bytes.
    pub size: u64,
}

/// What is unmounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmount {
    /// Where it is mounted.
    pub target: String,
    /// Whether it is taken out of sight where it is in use: it ends once nobody uses it any more, and
    /// what was written by then may be lost.
    #[serde(default)]
    pub lazy: bool,
}

/// A disk that will be taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnplugDisk {
    /// Its controller, from 0.
    pub controller: u8,
    /// Its number there.
    pub lun: u8,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The program and its words; no shell reads them.
    pub arguments: Vec<String>,
    /// After how long it is killed.
    pub limit_seconds: u32,
    /// After how many bytes of output it is killed.
    pub limit_output: u64,
}

impl Request {
    /// The target that it is about, where it is about one.
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::MountDisk(mount) => Some(&mount.target),
            Self::MountShare(mount) => Some(&mount.target),
            Self::MountSmb(mount) => Some(&mount.target),
            Self::MountMemory(mount) => Some(&mount.target),
            Self::Unmount(unmount) => Some(&unmount.target),
            Self::Freeze { target, .. } | Self::Thaw { target } | Self::Usage { target } => {
                Some(target)
            }
            Self::Hello(_)
            | Self::UnplugDisk(_)
            | Self::ListMounts { .. }
            | Self::Sync
            | Self::Run(_)
            | Self::PowerOff => None,
        }
    }
}

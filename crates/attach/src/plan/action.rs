//! What can be done to the host, the machine and in the guest, and what undoes each of it.

use crate::guest::{GuestSystem, Platform};
use crate::mount::{GuestFileSystem, SmbSource};
use crate::path::{HostPath, Target};
use crate::slots::Slot;

/// How a directory of the host comes into the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShareTransport {
    /// Plan 9 over a socket of the hypervisor: HCS with a Linux guest.
    Plan9,
    /// SMB over a bus of the hypervisor: HCS with a Windows guest.
    VirtualSmb,
    /// virtiofs: QEMU with a Linux guest.
    VirtioFs,
}

/// A directory of the host, offered to the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// What the guest asks for.
    pub name: String,
    /// How it comes into the guest.
    pub transport: ShareTransport,
    /// The directory.
    pub path: HostPath,
    /// The one file of the directory that may be seen, if it is not all of it.
    pub only_file: Option<String>,
    /// Whether the guest can change nothing.
    pub read_only: bool,
}

impl Share {
    /// What of a Windows host can be seen through it: the directory, or the one file.
    pub(crate) fn windows_source(&self) -> String {
        match &self.only_file {
            Some(file) => format!("{}\\{file}", self.path.as_str().trim_end_matches('\\')),
            None => self.path.to_string(),
        }
    }
}

/// One thing that is done, to the host, the machine or in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a directory of the host, with those above it, where it is missing.
    MakeDirectory(HostPath),
    /// Remove a directory again if the step made it and it is empty.
    RemoveMadeDirectory(HostPath),
    /// Make the image of a temporary volume.
    MakeImage {
        /// Its file.
        path: HostPath,
        /// Bytes.
        size: u64,
    },
    /// Remove the image of a temporary volume.
    RemoveImage(HostPath),
    /// Let the machine open a file.
    GrantAccess {
        /// The file.
        path: HostPath,
        /// Whether it may write it.
        write: bool,
    },
    /// Take that back.
    RevokeAccess(HostPath),
    /// Serve a disk over NBD, for a hypervisor that does not read images of ours itself.
    ServeDisk {
        /// The image.
        path: HostPath,
        /// The name of the export.
        serial: String,
        /// Whether it can only be read.
        read_only: bool,
    },
    /// End that.
    StopServing {
        /// The name of the export.
        serial: String,
    },
    /// Give the machine a disk.
    AddDisk {
        /// Where.
        slot: Slot,
        /// The image.
        path: HostPath,
        /// What the guest knows the disk by.
        serial: String,
        /// Whether it can only be read.
        read_only: bool,
    },
    /// Take a disk from the machine.
    RemoveDisk {
        /// Where.
        slot: Slot,
        /// What the guest knows the disk by.
        serial: String,
    },
    /// Have the guest let go of a disk before it is taken: Linux keeps what it knows of it otherwise.
    UnplugDisk {
        /// Where.
        slot: Slot,
    },
    /// Offer a directory to the guest.
    AddShare(Share),
    /// End that.
    RemoveShare(Share),
    /// Mount the file system of a disk in the guest.
    MountDisk {
        /// Where the disk is.
        slot: Slot,
        /// What the guest knows the disk by.
        serial: String,
        /// Where it appears.
        target: Target,
        /// What is on it, where that is known.
        file_system: Option<GuestFileSystem>,
        /// Whether the guest formats it when it holds nothing.
        format: bool,
        /// Whether it is mounted for reading only.
        read_only: bool,
    },
    /// Mount a share in the guest.
    MountShare {
        /// The share.
        share: Share,
        /// Where it appears.
        target: Target,
    },
    /// Mount a share of an SMB server in the guest, with credentials over the channel to it.
    MountSmb {
        /// The share.
        source: SmbSource,
        /// Where it appears.
        target: Target,
        /// Whether it is mounted for reading only.
        read_only: bool,
    },
    /// Mount memory in the guest.
    MountMemory {
        /// Where it appears.
        target: Target,
        /// Bytes.
        size: u64,
    },
    /// Unmount in the guest.
    Unmount(Target),
}

/// What of a mount is built on what: undone from the last to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// Directories and images of the host.
    Made,
    /// What lets the machine get at them.
    Opened,
    /// Disks and shares of the machine.
    Attached,
    /// Mounts in the guest.
    Mounted,
}

impl Action {
    /// On what of the same mount it stands; `None` for what undoes something.
    pub(crate) fn layer(&self) -> Option<Layer> {
        match self {
            Self::MakeDirectory(_) | Self::MakeImage { .. } => Some(Layer::Made),
            Self::GrantAccess { .. } | Self::ServeDisk { .. } => Some(Layer::Opened),
            Self::AddDisk { .. } | Self::AddShare(_) => Some(Layer::Attached),
            Self::MountDisk { .. }
            | Self::MountShare { .. }
            | Self::MountSmb { .. }
            | Self::MountMemory { .. } => Some(Layer::Mounted),
            _ => None,
        }
    }

    /// Where it mounts something, if it does.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::MountDisk { target, .. }
            | Self::MountShare { target, .. }
            | Self::MountSmb { target, .. }
            | Self::MountMemory { target, .. }
            | Self::Unmount(target) => Some(target),
            _ => None,
        }
    }

    /// The image that it makes, opens or attaches, if it does.
    pub(crate) fn image(&self) -> Option<&HostPath> {
        match self {
            Self::MakeImage { path, .. }
            | Self::GrantAccess { path, .. }
            | Self::ServeDisk { path, .. }
            | Self::AddDisk { path, .. } => Some(path),
            _ => None,
        }
    }

    /// What undoes it, in order. Each of these may be done again without harm.
    pub(crate) fn undo(&self, platform: Platform) -> Vec<Self> {
        match self {
            Self::MakeDirectory(path) => vec![Self::RemoveMadeDirectory(path.clone())],
            Self::MakeImage { path, .. } => vec![Self::RemoveImage(path.clone())],
            Self::GrantAccess { path, .. } => vec![Self::RevokeAccess(path.clone())],
            Self::ServeDisk { serial, .. } => vec![Self::StopServing {
                serial: serial.clone(),
            }],
            Self::AddDisk { slot, serial, .. } => {
                let remove = Self::RemoveDisk {
                    slot: *slot,
                    serial: serial.clone(),
                };
                match platform.guest {
                    GuestSystem::Linux => vec![Self::UnplugDisk { slot: *slot }, remove],
                    GuestSystem::Windows => vec![remove],
                }
            }
            Self::AddShare(share) => vec![Self::RemoveShare(share.clone())],
            Self::MountDisk { target, .. }
            | Self::MountShare { target, .. }
            | Self::MountSmb { target, .. }
            | Self::MountMemory { target, .. } => vec![Self::Unmount(target.clone())],
            _ => Vec::new(),
        }
    }

    /// Whether it may be done again after an answer that never came, without being undone between.
    /// Mounting may: the agent answers for a target that has what is asked for without doing anything.
    pub(crate) fn may_be_repeated(&self) -> bool {
        !matches!(
            self,
            Self::MakeImage { .. }
                | Self::ServeDisk { .. }
                | Self::AddDisk { .. }
                | Self::AddShare(_)
        )
    }
}

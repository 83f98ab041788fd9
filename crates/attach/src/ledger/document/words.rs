//! Actions and hypervisors as documents have them, and back.

use serde::{Deserialize, Serialize};

use crate::guest::{GuestSystem, Hypervisor};
use crate::mount::{GuestFileSystem, SmbSource};
use crate::path::HostPath;
use crate::plan::{Action, Share, ShareTransport};
use crate::slots::Slot;

use super::{LedgerError, damaged, target, text};

/// `"qemu"`, or `{"hcs": "2.1"}`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum HypervisorWords {
    Qemu,
    Hcs(String),
}

impl HypervisorWords {
    pub(super) fn of(hypervisor: Hypervisor) -> Self {
        match hypervisor {
            Hypervisor::Qemu => Self::Qemu,
            Hypervisor::Hcs(version) => Self::Hcs(version.to_string()),
        }
    }

    pub(super) fn parse(self) -> Result<Hypervisor, LedgerError> {
        match self {
            Self::Qemu => Ok(Hypervisor::Qemu),
            Self::Hcs(version) => version
                .parse()
                .map(Hypervisor::Hcs)
                .map_err(|_| damaged("an unknown version of HCS documents")),
        }
    }
}

/// What can be done; what undoes it follows from it.
#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum ActionWords {
    MakeDirectory {
        path: String,
    },
    MakeImage {
        path: String,
        size: u64,
    },
    GrantAccess {
        path: String,
        write: bool,
    },
    ServeDisk {
        path: String,
        serial: String,
        read_only: bool,
    },
    AddDisk {
        controller: u8,
        lun: u8,
        path: String,
        serial: String,
        read_only: bool,
    },
    AddShare {
        name: String,
        transport: String,
        path: String,
        only_file: Option<String>,
        read_only: bool,
    },
    MountDisk {
        controller: u8,
        lun: u8,
        serial: String,
        target: String,
        file_system: Option<String>,
        format: bool,
        read_only: bool,
    },
    MountShare {
        name: String,
        target: String,
    },
    MountSmb {
        server: String,
        share: String,
        path: String,
        user: Option<String>,
        #[serde(default)]
        login: Option<String>,
        target: String,
        read_only: bool,
    },
    MountMemory {
        target: String,
        size: u64,
    },
    /// What only undoes something is never an entry, and refused when it is read.
    Unknown {},
}

impl ActionWords {
    pub(super) fn of(action: &Action) -> Self {
        match action {
            Action::MakeDirectory(path) => Self::MakeDirectory {
                path: path.to_string(),
            },
            Action::MakeImage { path, size } => Self::MakeImage {
                path: path.to_string(),
                size: *size,
            },
            Action::GrantAccess { path, write } => Self::GrantAccess {
                path: path.to_string(),
                write: *write,
            },
            Action::ServeDisk {
                path,
                serial,
                read_only,
            } => Self::ServeDisk {
                path: path.to_string(),
                serial: serial.clone(),
                read_only: *read_only,
            },
            Action::AddDisk {
                slot,
                path,
                serial,
                read_only,
            } => Self::AddDisk {
                controller: slot.controller,
                lun: slot.lun,
                path: path.to_string(),
                serial: serial.clone(),
                read_only: *read_only,
            },
            Action::AddShare(share) => Self::AddShare {
                name: share.name.clone(),
                transport: share.transport.name().to_owned(),
                path: share.path.to_string(),
                only_file: share.only_file.clone(),
                read_only: share.read_only,
            },
            mount => Self::of_mount(mount),
        }
    }

    fn of_mount(action: &Action) -> Self {
        match action {
            Action::MountDisk {
                slot,
                serial,
                target,
                file_system,
                format,
                read_only,
            } => Self::MountDisk {
                controller: slot.controller,
                lun: slot.lun,
                serial: serial.clone(),
                target: target.to_string(),
                file_system: file_system.map(|kind| kind.name().to_owned()),
                format: *format,
                read_only: *read_only,
            },
            Action::MountShare { share, target } => Self::MountShare {
                name: share.name.clone(),
                target: target.to_string(),
            },
            Action::MountSmb {
                source,
                target,
                read_only,
            } => Self::MountSmb {
                server: source.server.clone(),
                share: source.share.clone(),
                path: source.path.clone(),
                user: source.user.clone(),
                login: source.login.clone(),
                target: target.to_string(),
                read_only: *read_only,
            },
            Action::MountMemory { target, size } => Self::MountMemory {
                target: target.to_string(),
                size: *size,
            },
            _ => Self::Unknown {},
        }
    }

    /// The share that it adds, if it does.
    pub(super) fn share(&self) -> Result<Option<Share>, LedgerError> {
        let Self::AddShare {
            name,
            transport,
            path,
            only_file,
            read_only,
        } = self
        else {
            return Ok(None);
        };
        let transports = [
            ShareTransport::Plan9,
            ShareTransport::VirtualSmb,
            ShareTransport::VirtioFs,
        ];
        let known = transports
            .into_iter()
            .find(|known| known.name() == transport);
        Ok(Some(Share {
            name: name.clone(),
            transport: known.ok_or_else(|| damaged("a share over an unknown transport"))?,
            path: host_path(path)?,
            only_file: only_file.clone(),
            read_only: *read_only,
        }))
    }

    pub(super) fn parse(self, guest: GuestSystem, shares: &[Share]) -> Result<Action, LedgerError> {
        let added = self.share()?;
        Ok(match self {
            Self::MakeDirectory { path } => Action::MakeDirectory(host_path(&path)?),
            Self::MakeImage { path, size } => Action::MakeImage {
                path: host_path(&path)?,
                size,
            },
            Self::GrantAccess { path, write } => Action::GrantAccess {
                path: host_path(&path)?,
                write,
            },
            Self::ServeDisk {
                path,
                serial,
                read_only,
            } => Action::ServeDisk {
                path: host_path(&path)?,
                serial,
                read_only,
            },
            Self::AddDisk {
                controller,
                lun,
                path,
                serial,
                read_only,
            } => Action::AddDisk {
                slot: Slot { controller, lun },
                path: host_path(&path)?,
                serial,
                read_only,
            },
            Self::AddShare { .. } => {
                Action::AddShare(added.ok_or_else(|| damaged("a share that is none"))?)
            }
            mount => mount.parse_mount(guest, shares)?,
        })
    }

    fn parse_mount(self, guest: GuestSystem, shares: &[Share]) -> Result<Action, LedgerError> {
        Ok(match self {
            Self::MountDisk {
                controller,
                lun,
                serial,
                target: at,
                file_system,
                format,
                read_only,
            } => Action::MountDisk {
                slot: Slot { controller, lun },
                serial,
                target: target(&at, guest)?,
                file_system: file_system.as_deref().map(file_system_of).transpose()?,
                format,
                read_only,
            },
            Self::MountShare { name, target: at } => {
                let share = shares.iter().find(|share| share.name == name);
                Action::MountShare {
                    share: share
                        .cloned()
                        .ok_or_else(|| damaged("a mount of no share"))?,
                    target: target(&at, guest)?,
                }
            }
            Self::MountSmb {
                server,
                share,
                path,
                user,
                login,
                target: at,
                read_only,
            } => Action::MountSmb {
                source: SmbSource {
                    server,
                    share,
                    path,
                    user: user.map(text).transpose()?,
                    login: login.map(text).transpose()?,
                },
                target: target(&at, guest)?,
                read_only,
            },
            Self::MountMemory { target: at, size } => Action::MountMemory {
                target: target(&at, guest)?,
                size,
            },
            _ => return Err(damaged("an entry that does nothing")),
        })
    }
}

fn host_path(text: &str) -> Result<HostPath, LedgerError> {
    HostPath::parse(text).map_err(|error| damaged(error.to_string()))
}

fn file_system_of(name: &str) -> Result<GuestFileSystem, LedgerError> {
    GuestFileSystem::from_name(name).ok_or_else(|| damaged("an unknown file system"))
}

//! The plan: what will be done for a list of mounts, in order, and how each step is undone, before
//! anything is done.
//!
//! A plan is data. It is made from the requests and from what the hypervisor and the guest can do; what
//! a combination cannot do is refused by name here, so that nothing is half done for it. Steps of one
//! mount stand together, host before guest; a mount that lies in another comes after it, whatever the
//! order of the requests. Undoing goes backwards.

mod document;
mod rules;

use crate::guest::{GuestSystem, Hypervisor, Platform};
use crate::mount::{DiskSource, GuestFileSystem, MountRequest, SmbSource, Source};
use crate::path::{HostPath, Target};
use crate::slots::{Slot, SlotError, SlotLayout, Slots};

pub use document::{PlanDocument, StepDocument};

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

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which request it is for, by its place in the list.
    pub request: usize,
    /// What is done.
    pub action: Action,
    /// What undoes it, in order. Each of these may be done again without harm.
    pub undo: Vec<Action>,
    /// Whether the action may be done again after an answer that never came.
    pub may_be_repeated: bool,
}

/// What will be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For which machine.
    pub platform: Platform,
    /// The steps in their order.
    pub steps: Vec<Step>,
}

/// Why no plan can be made: which request, and what about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mount at {target} cannot be made: {reason}")]
pub struct PlanError {
    /// The place of the request in the list.
    pub request: usize,
    /// Its target.
    pub target: String,
    /// What is in the way.
    pub reason: PlanRefusal,
}

/// What is in the way of a mount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanRefusal {
    /// Another request has the same target.
    #[error("the mount {other} has the same target")]
    SameTarget {
        /// The place of the other request in the list, from 1, as people count.
        other: usize,
    },
    /// The hypervisor or the guest cannot do it.
    #[error("there is {what} with {platform}{instead}")]
    Unsupported {
        /// What cannot be done.
        what: &'static str,
        /// Where.
        platform: String,
        /// What would do, with what leads to it; may be empty.
        instead: &'static str,
    },
    /// The source is spelled for another system.
    #[error("{path} is no path of a {host} host")]
    ForeignPath {
        /// The source.
        path: String,
        /// What the host is.
        host: &'static str,
    },
    /// A file cannot be shared by itself where it is.
    #[error("{path} is no file in a directory")]
    NoFile {
        /// The source.
        path: String,
    },
    /// The name of the share is taken or none.
    #[error("the share name {name:?} {reason}")]
    ShareName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The serial of a disk is none.
    #[error("the serial {serial:?} is not made of at most 36 letters, digits and hyphens")]
    Serial {
        /// The serial.
        serial: String,
    },
    /// There is no place for its disk.
    #[error(transparent)]
    Slot(#[from] SlotError),
}

impl Plan {
    /// Plans mounts for a machine that has nothing attached yet.
    ///
    /// # Errors
    /// [`PlanError`] names the first request that cannot be met.
    pub fn new(platform: Platform, requests: &[MountRequest]) -> Result<Self, PlanError> {
        let mut slots = Slots::new(platform.slot_layout());
        Self::with_slots(platform, requests, &mut slots)
    }

    /// Plans mounts for a machine whose disks stand in `slots`; the disks of the plan are reserved
    /// there. After an error some may be: it is for the caller to plan on a copy.
    ///
    /// # Errors
    /// [`PlanError`] names the first request that cannot be met.
    pub fn with_slots(
        platform: Platform,
        requests: &[MountRequest],
        slots: &mut Slots,
    ) -> Result<Self, PlanError> {
        let mut planner = Planner {
            platform,
            slots,
            shares: Vec::new(),
            steps: Vec::new(),
        };
        for (index, request) in requests.iter().enumerate() {
            let fail = |reason| error(index, request, reason);
            let twin = requests[..index]
                .iter()
                .position(|other| other.target.is_same_place(&request.target));
            if let Some(other) = twin {
                return Err(fail(PlanRefusal::SameTarget { other: other + 1 }));
            }
            rules::check(platform, request).map_err(fail)?;
        }
        // Stable, so that the order of the requests decides among equals.
        let mut order: Vec<usize> = (0..requests.len()).collect();
        order.sort_by_key(|&index| requests[index].target.depth());
        for index in order {
            let request = &requests[index];
            planner
                .plan_one(index, request)
                .map_err(|reason| error(index, request, reason))?;
        }
        Ok(Self {
            platform,
            steps: planner.steps,
        })
    }

    /// All that undoes the plan, in order.
    pub fn undo(&self) -> Vec<Action> {
        let backwards = self.steps.iter().rev();
        backwards.flat_map(|step| step.undo.clone()).collect()
    }
}

fn error(index: usize, request: &MountRequest, reason: PlanRefusal) -> PlanError {
    PlanError {
        request: index,
        target: request.target.to_string(),
        reason,
    }
}

impl Platform {
    /// Where disks can be.
    pub fn slot_layout(self) -> SlotLayout {
        match self.guest {
            GuestSystem::Linux => SlotLayout::HYPER_V,
            GuestSystem::Windows => SlotLayout::FIRST_CONTROLLER,
        }
    }

    /// How directories of the host come into the guest, if they do.
    fn transport(self) -> Option<ShareTransport> {
        match (self.hypervisor, self.guest) {
            (Hypervisor::Hcs(_), GuestSystem::Linux) => Some(ShareTransport::Plan9),
            (Hypervisor::Hcs(_), GuestSystem::Windows) => Some(ShareTransport::VirtualSmb),
            (Hypervisor::Qemu, GuestSystem::Linux) => Some(ShareTransport::VirtioFs),
            (Hypervisor::Qemu, GuestSystem::Windows) => None,
        }
    }
}

struct Planner<'s> {
    platform: Platform,
    slots: &'s mut Slots,
    /// The shares so far.
    shares: Vec<Share>,
    steps: Vec<Step>,
}

type Planned = Result<(), PlanRefusal>;

impl Planner<'_> {
    fn plan_one(&mut self, index: usize, request: &MountRequest) -> Planned {
        let (target, read_only) = (&request.target, request.read_only);
        match &request.source {
            Source::Disk(disk) => self.disk(index, disk, target, read_only),
            Source::Directory {
                path,
                create,
                share_name,
            } => {
                if *create {
                    let undo = vec![Action::RemoveMadeDirectory(path.clone())];
                    self.step(index, Action::MakeDirectory(path.clone()), undo, true);
                }
                self.share(index, path, None, share_name.as_deref(), target, read_only)
            }
            Source::File { path } => {
                let no_file = || PlanRefusal::NoFile {
                    path: path.to_string(),
                };
                let (folder, name) = path.split().ok_or_else(no_file)?;
                let folder = HostPath::parse(folder).map_err(|_| no_file())?;
                self.share(index, &folder, Some(name), None, target, read_only)
            }
            Source::Smb(source) => {
                let action = Action::MountSmb {
                    source: source.clone(),
                    target: target.clone(),
                    read_only,
                };
                self.mount(index, action, target);
                Ok(())
            }
            Source::Temporary { size, image } => self.temporary(index, *size, image, target),
        }
    }

    fn disk(
        &mut self,
        index: usize,
        disk: &DiskSource,
        target: &Target,
        read_only: bool,
    ) -> Planned {
        let (_, slot) = self.slots.reserve(&disk.path.key(), read_only)?;
        if self.slots.must_attach(slot) {
            self.add_disk(index, disk, slot, read_only);
            // From here on, further mounts of the plan find it attached.
            self.slots.attached(slot)?;
        }
        let action = Action::MountDisk {
            slot,
            serial: disk.serial.clone(),
            target: target.clone(),
            file_system: disk.file_system,
            format: disk.format_on_first_use && !read_only,
            read_only,
        };
        self.mount(index, action, target);
        Ok(())
    }

    fn add_disk(&mut self, index: usize, disk: &DiskSource, slot: Slot, read_only: bool) {
        let (path, serial) = (disk.path.clone(), disk.serial.clone());
        match self.platform.hypervisor {
            Hypervisor::Hcs(_) => {
                let action = Action::GrantAccess {
                    path: path.clone(),
                    write: !read_only,
                };
                self.step(
                    index,
                    action,
                    vec![Action::RevokeAccess(path.clone())],
                    true,
                );
            }
            Hypervisor::Qemu => {
                let action = Action::ServeDisk {
                    path: path.clone(),
                    serial: serial.clone(),
                    read_only,
                };
                let undo = vec![Action::StopServing {
                    serial: serial.clone(),
                }];
                self.step(index, action, undo, false);
            }
        }
        let mut undo = Vec::new();
        if self.platform.guest == GuestSystem::Linux {
            undo.push(Action::UnplugDisk { slot });
        }
        undo.push(Action::RemoveDisk {
            slot,
            serial: serial.clone(),
        });
        let action = Action::AddDisk {
            slot,
            path,
            serial,
            read_only,
        };
        self.step(index, action, undo, false);
    }

    fn share(
        &mut self,
        index: usize,
        path: &HostPath,
        only_file: Option<&str>,
        wanted_name: Option<&str>,
        target: &Target,
        read_only: bool,
    ) -> Planned {
        let transport = self
            .platform
            .transport()
            .ok_or(rules::no_shares(self.platform))?;
        let key = path.key();
        let there = self.shares.iter().find(|share| {
            let same = share.path.key() == key && share.only_file.as_deref() == only_file;
            same && share.read_only == read_only
                && wanted_name.is_none_or(|name| name == share.name)
        });
        let share = match there {
            Some(share) => share.clone(),
            None => {
                let share = Share {
                    name: self.share_name(wanted_name)?,
                    transport,
                    path: path.clone(),
                    only_file: only_file.map(str::to_owned),
                    read_only,
                };
                self.shares.push(share.clone());
                let undo = vec![Action::RemoveShare(share.clone())];
                self.step(index, Action::AddShare(share.clone()), undo, false);
                share
            }
        };
        let action = Action::MountShare {
            share,
            target: target.clone(),
        };
        self.mount(index, action, target);
        Ok(())
    }

    /// The name that was wished for, if it is one and free; otherwise the next number. Numbers are
    /// what guests of Linux take for names of Plan 9 shares, since nothing else can be an option.
    fn share_name(&self, wanted: Option<&str>) -> Result<String, PlanRefusal> {
        let is_taken = |name: &str| {
            let mut shares = self.shares.iter();
            shares.any(|share| share.name.eq_ignore_ascii_case(name))
        };
        let Some(name) = wanted else {
            let free = (0..=self.shares.len()).map(|number| number.to_string());
            let mut free = free.filter(|name| !is_taken(name));
            return Ok(free.next().unwrap_or_default());
        };
        let refuse = |reason| PlanRefusal::ShareName {
            name: name.to_owned(),
            reason,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 36 || !name.chars().all(plain) {
            return Err(refuse("is not made of at most 36 letters, digits, _ and -"));
        }
        if is_taken(name) {
            return Err(refuse("is taken by another mount"));
        }
        Ok(name.to_owned())
    }

    fn temporary(&mut self, index: usize, size: u64, image: &HostPath, target: &Target) -> Planned {
        if self.platform.guest == GuestSystem::Linux {
            let action = Action::MountMemory {
                target: target.clone(),
                size,
            };
            self.mount(index, action, target);
            return Ok(());
        }
        let undo = vec![Action::RemoveImage(image.clone())];
        let action = Action::MakeImage {
            path: image.clone(),
            size,
        };
        self.step(index, action, undo, false);
        let disk = DiskSource {
            path: image.clone(),
            file_system: Some(GuestFileSystem::Ntfs),
            format_on_first_use: false,
            serial: format!("cvol-temporary-{index}"),
        };
        self.disk(index, &disk, target, false)
    }

    /// A mount in the guest. Asking again is safe: the agent answers for a target that has what is
    /// asked for without doing anything.
    fn mount(&mut self, index: usize, action: Action, target: &Target) {
        self.step(index, action, vec![Action::Unmount(target.clone())], true);
    }

    fn step(&mut self, request: usize, action: Action, undo: Vec<Action>, may_be_repeated: bool) {
        self.steps.push(Step {
            request,
            action,
            undo,
            may_be_repeated,
        });
    }
}

//! Turns requests into steps, given what the ledger of the machine says is there.

use crate::GuestSystem;
use crate::guest::{Hypervisor, Platform};
use crate::ledger::{Entry, EntryState, Ledger, MountState};
use crate::mount::{DiskSource, GuestFileSystem, MountRequest, Source};
use crate::path::{HostPath, Target};
use crate::slots::{Place, Slots};

use super::{Action, Held, Plan, PlanError, PlanRefusal, PlannedMount, Share, Step, rules};

type Planned = Result<(), PlanRefusal>;

pub(super) fn plan(ledger: &Ledger, requests: &[MountRequest]) -> Result<Plan, PlanError> {
    let platform = ledger.platform();
    for (index, request) in requests.iter().enumerate() {
        let fail = |reason| error(index, request, reason);
        let twin = requests[..index]
            .iter()
            .position(|other| other.target.is_same_place(&request.target));
        if let Some(other) = twin {
            return Err(fail(PlanRefusal::SameTarget { other: other + 1 }));
        }
        rules::check(platform, request).map_err(fail)?;
        check_target(ledger, &request.target).map_err(fail)?;
    }
    let mut planner = Planner {
        ledger,
        platform,
        slots: ledger.slots(),
        steps: Vec::new(),
        held: Vec::new(),
    };
    // Stable, so that the order of the requests decides among equals.
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|&index| requests[index].target.depth());
    for index in order {
        let request = &requests[index];
        planner
            .plan_one(index, request)
            .map_err(|reason| error(index, request, reason))?;
    }
    let mounts = requests.iter().map(|request| PlannedMount {
        target: request.target.clone(),
        read_only: request.read_only,
    });
    Ok(Plan {
        platform,
        steps: planner.steps,
        held: planner.held,
        mounts: mounts.collect(),
        revision: ledger.revision(),
    })
}

fn error(index: usize, request: &MountRequest, reason: PlanRefusal) -> PlanError {
    PlanError {
        request: index,
        target: request.target.to_string(),
        reason,
    }
}

/// Holds a target against the mounts that the machine has.
fn check_target(ledger: &Ledger, target: &Target) -> Planned {
    for (attachment, mount) in ledger.mounts() {
        let by = attachment.id;
        let other = || mount.target.to_string();
        let is_same = mount.target.is_same_place(target);
        let is_related = is_same || target.lies_in(&mount.target);
        if is_related && mount.state != MountState::There {
            return Err(PlanRefusal::Moving { what: other(), by });
        }
        if is_same {
            let target = other();
            return Err(PlanRefusal::TargetTaken { target, by });
        }
        if mount.target.lies_in(target) {
            let target = other();
            return Err(PlanRefusal::Hides { target, by });
        }
    }
    Ok(())
}

struct Planner<'l> {
    ledger: &'l Ledger,
    platform: Platform,
    slots: Slots,
    steps: Vec<Step>,
    held: Vec<Held>,
}

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
                self.check_made_directories(path)?;
                if *create {
                    self.make_directory(index, path);
                }
                self.share(index, path, None, share_name.as_deref(), target, read_only)
            }
            Source::File { path } => {
                let no_file = || PlanRefusal::NoFile {
                    path: path.to_string(),
                };
                let (folder, name) = path.split().ok_or_else(no_file)?;
                let folder = HostPath::parse(folder).map_err(|_| no_file())?;
                self.check_made_directories(&folder)?;
                self.share(index, &folder, Some(name), None, target, read_only)
            }
            Source::Smb(source) => {
                let action = Action::MountSmb {
                    source: source.clone(),
                    target: target.clone(),
                    read_only,
                };
                self.step(index, action);
                Ok(())
            }
            Source::Temporary { size, image } => self.temporary(index, *size, image, target),
        }
    }

    /// Refuses a directory that is being removed, or made by somebody else just now.
    fn check_made_directories(&self, path: &HostPath) -> Planned {
        for entry in self.ledger.entries() {
            let Action::MakeDirectory(made) = entry.action() else {
                continue;
            };
            if entry.state() != EntryState::Done && (path.lies_in(made) || path.key() == made.key())
            {
                return Err(PlanRefusal::Moving {
                    what: made.to_string(),
                    by: self.ledger.first_holder(entry),
                });
            }
        }
        Ok(())
    }

    fn make_directory(&mut self, index: usize, path: &HostPath) {
        let key = path.key();
        let is_same =
            |action: &Action| matches!(action, Action::MakeDirectory(made) if made.key() == key);
        if !self.use_what_is_there(index, is_same) {
            self.step(index, Action::MakeDirectory(path.clone()));
        }
    }

    /// Has the request use all steps and entries of a kind; false where there are none.
    fn use_what_is_there(&mut self, index: usize, is_same: impl Fn(&Action) -> bool) -> bool {
        let mut found = false;
        for step in self.steps.iter_mut().filter(|step| is_same(&step.action)) {
            found = true;
            if step.request != index && !step.also_for.contains(&index) {
                step.also_for.push(index);
            }
        }
        for entry in self.ledger.entries() {
            if entry.state() == EntryState::Done && is_same(entry.action()) {
                found = true;
                self.held.push(Held {
                    request: index,
                    entry: entry.id(),
                });
            }
        }
        found
    }

    fn disk(
        &mut self,
        index: usize,
        disk: &DiskSource,
        target: &Target,
        read_only: bool,
    ) -> Planned {
        let key = disk.path.key();
        let place = self.slots.place(&key, &disk.serial, read_only)?;
        if place.is_new {
            self.check_left_over(&disk.path, &disk.serial)?;
            self.add_disk(index, disk, &place, read_only)?;
        } else {
            self.use_disk(index, &key);
        }
        self.step(
            index,
            Action::MountDisk {
                slot: place.slot,
                serial: place.serial,
                target: target.clone(),
                file_system: disk.file_system,
                format: disk.format_on_first_use && !read_only,
                read_only,
            },
        );
        Ok(())
    }

    /// Has a request use a disk that is there or will be, with all that it takes.
    fn use_disk(&mut self, index: usize, key: &str) {
        let parents = self.parents_of(key);
        self.use_what_is_there(index, |action| match action {
            Action::GrantAccess { path, .. } => path.key() == key || parents.contains(&path.key()),
            action => action.image().is_some_and(|image| image.key() == key),
        });
    }

    /// The files that a disk was given access to beside its own: each disk of a mount is its only one, so
    /// all that its holders were given access to is of it.
    fn parents_of(&self, key: &str) -> Vec<String> {
        let is_disk =
            |action: &Action| matches!(action, Action::AddDisk { path, .. } if path.key() == key);
        let granted = |action: &Action| match action {
            Action::GrantAccess { path, .. } => Some(path.key()),
            _ => None,
        };
        let mut parents = Vec::new();
        for disk in self
            .ledger
            .entries()
            .iter()
            .filter(|it| is_disk(it.action()))
        {
            let of_it = self.ledger.entries().iter().filter(|entry| {
                let mut holders = entry.holders();
                holders.any(|holder| disk.holders().any(|other| other == holder))
            });
            parents.extend(of_it.filter_map(|entry| granted(entry.action())));
        }
        for disk in self.steps.iter().filter(|step| is_disk(&step.action)) {
            let of_it = self.steps.iter().filter(|step| {
                step.request == disk.request || step.also_for.contains(&disk.request)
            });
            parents.extend(of_it.filter_map(|step| granted(&step.action)));
        }
        parents
    }

    /// Refuses a disk that was detached, but whose export or access somebody has yet to take back.
    fn check_left_over(&self, path: &HostPath, serial: &str) -> Planned {
        let key = path.key();
        let is_left = |entry: &Entry| match entry.action() {
            // One that is there is of a disk that stands on this one.
            Action::GrantAccess { path, .. } => {
                path.key() == key && entry.state() != EntryState::Done
            }
            Action::ServeDisk { serial: other, .. } if other == serial => true,
            action => action.image().is_some_and(|image| image.key() == key),
        };
        self.refuse_moving(path, is_left)
    }

    /// Refuses a file of which an entry of the ledger is in the way.
    fn refuse_moving(&self, path: &HostPath, is_in_the_way: impl Fn(&Entry) -> bool) -> Planned {
        let mut entries = self.ledger.entries().iter();
        match entries.find(|entry| is_in_the_way(entry)) {
            Some(entry) => Err(PlanRefusal::Moving {
                what: path.to_string(),
                by: self.ledger.first_holder(entry),
            }),
            None => Ok(()),
        }
    }

    fn add_disk(
        &mut self,
        index: usize,
        disk: &DiskSource,
        place: &Place,
        read_only: bool,
    ) -> Planned {
        let (path, serial) = (disk.path.clone(), place.serial.clone());
        match self.platform.hypervisor {
            Hypervisor::Hcs(_) => {
                for parent in &disk.parents {
                    self.check_left_over_access(parent)?;
                    self.grant_access(index, parent, false);
                }
                self.grant_access(index, &path, !read_only);
            }
            Hypervisor::Qemu => self.step(
                index,
                Action::ServeDisk {
                    path: path.clone(),
                    serial: serial.clone(),
                    read_only,
                },
            ),
        }
        self.step(
            index,
            Action::AddDisk {
                slot: place.slot,
                path,
                serial,
                read_only,
            },
        );
        Ok(())
    }

    /// Refuses a file whose access somebody takes back or gives just now.
    fn check_left_over_access(&self, path: &HostPath) -> Planned {
        let key = path.key();
        self.refuse_moving(path, |entry| {
            let is_it =
                matches!(entry.action(), Action::GrantAccess { path, .. } if path.key() == key);
            is_it && entry.state() != EntryState::Done
        })
    }

    /// Access that the machine has for another disk is enough: there is one kind of it.
    fn grant_access(&mut self, index: usize, path: &HostPath, write: bool) {
        let key = path.key();
        let is_same = |action: &Action| matches!(action, Action::GrantAccess { path, .. } if path.key() == key);
        if !self.use_what_is_there(index, is_same) {
            let path = path.clone();
            self.step(index, Action::GrantAccess { path, write });
        }
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
        let is_same = |share: &Share| {
            let same = share.path.key() == key && share.only_file.as_deref() == only_file;
            same && share.read_only == read_only
                && wanted_name.is_none_or(|name| name == share.name)
        };
        let there = self.usable_shares().find(|share| is_same(share)).cloned();
        let share = match there {
            Some(share) => {
                let is_it =
                    |action: &Action| matches!(action, Action::AddShare(other) if *other == share);
                self.use_what_is_there(index, is_it);
                share
            }
            None => {
                let share = Share {
                    name: self.share_name(wanted_name)?,
                    transport,
                    path: path.clone(),
                    only_file: only_file.map(str::to_owned),
                    read_only,
                };
                self.step(index, Action::AddShare(share.clone()));
                share
            }
        };
        let target = target.clone();
        self.step(index, Action::MountShare { share, target });
        Ok(())
    }

    /// The shares that are there or will be; those that come or go by somebody else are left out.
    fn usable_shares(&self) -> impl Iterator<Item = &Share> {
        let settled = self.ledger.entries().iter();
        let settled = settled.filter(|entry| entry.state() == EntryState::Done);
        let actions = settled.map(Entry::action);
        actions
            .chain(self.steps.iter().map(|step| &step.action))
            .filter_map(|action| match action {
                Action::AddShare(share) => Some(share),
                _ => None,
            })
    }

    /// Whether a share of this name is there, comes or goes.
    fn is_share_name_taken(&self, name: &str) -> bool {
        let entries = self.ledger.entries().iter().map(Entry::action);
        let mut actions = entries.chain(self.steps.iter().map(|step| &step.action));
        actions.any(
            |action| matches!(action, Action::AddShare(share) if share.name.eq_ignore_ascii_case(name)),
        )
    }

    /// The name that was wished for, if it is one and free; otherwise the first number that is free.
    /// Numbers are what guests of Linux take for names of Plan 9 shares, since nothing else can be an
    /// option.
    fn share_name(&self, wanted: Option<&str>) -> Result<String, PlanRefusal> {
        let Some(name) = wanted else {
            let numbers = 0..=self.ledger.entries().len() + self.steps.len();
            let mut names = numbers.map(|number| number.to_string());
            let free = names.find(|name| !self.is_share_name_taken(name));
            return Ok(free.unwrap_or_default());
        };
        let refuse = |reason| PlanRefusal::ShareName {
            name: name.to_owned(),
            reason,
        };
        if !rules::is_share_name(name) {
            return Err(refuse("is not made of at most 36 letters, digits, _ and -"));
        }
        if self.is_share_name_taken(name) {
            return Err(refuse("is taken by another mount"));
        }
        Ok(name.to_owned())
    }

    fn temporary(&mut self, index: usize, size: u64, image: &HostPath, target: &Target) -> Planned {
        if self.platform.guest == GuestSystem::Linux {
            let target = target.clone();
            self.step(index, Action::MountMemory { target, size });
            return Ok(());
        }
        let key = image.key();
        if self.slots.disks().any(|(_, disk)| disk.key == key) {
            return Err(PlanRefusal::ImageTaken {
                path: image.to_string(),
            });
        }
        let action = Action::MakeImage {
            path: image.clone(),
            size,
        };
        self.step(index, action);
        let disk = DiskSource {
            path: image.clone(),
            parents: Vec::new(),
            file_system: Some(GuestFileSystem::Ntfs),
            format_on_first_use: false,
            serial: format!("cvol-temporary-{}", self.ledger.number_of(index)),
        };
        self.disk(index, &disk, target, false)
    }

    fn step(&mut self, request: usize, action: Action) {
        self.steps.push(Step {
            request,
            also_for: Vec::new(),
            undo: action.undo(self.platform),
            may_be_repeated: action.may_be_repeated(),
            action,
        });
    }
}

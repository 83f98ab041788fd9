//! Mounting and unmounting at targets, whatever it is that is mounted: what is asked for twice is done
//! once, nothing is put over a mount of others, and what was made for a mount goes with it.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use guest_proto::{ErrorKind, Mounted, MountedThing, Refusal, Unmount};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::filesystem;
use super::target::{self, Kind};
use super::users;
use crate::book::{Book, Entry};
use crate::refused::{failed, refusal};

/// How long a mount that is ended at any price is written out for.
const SYNC_LIMIT: Duration = Duration::from_secs(5);
/// How often a mount that is in use is tried again, and how long is waited in between.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(40);

/// A mount that is ready to be put at its target.
pub(super) struct Ready {
    /// It.
    pub(super) mount: OwnedFd,
    /// What the kernel calls it.
    pub(super) file_system: String,
    /// Of what.
    pub(super) source: String,
    /// Whether it was formatted for this.
    pub(super) formatted: bool,
}

/// What is asked for, as far as it is the same for all kinds of mounts.
pub(super) struct Wanted<'w> {
    /// Where.
    pub(super) target: &'w str,
    /// All that was asked for but the password.
    pub(super) asked: String,
    /// What is made where the target is missing.
    pub(super) kind: Kind,
    /// Whether nothing can be changed through it.
    pub(super) read_only: bool,
}

/// The root below which targets lie, and the book of what is mounted there.
pub(super) struct Places {
    pub(super) root: File,
    pub(super) book: Book,
}

impl Places {
    /// Puts at a target what `ready` makes, unless it is there already.
    pub(super) fn mount(
        &self,
        wanted: &Wanted<'_>,
        ready: impl FnOnce() -> Result<Ready, Refusal>,
    ) -> Result<Mounted, Refusal> {
        if let Some(there) = self.there(wanted)? {
            return Ok(there);
        }
        let ready = ready()?;
        if !wanted.read_only && filesystem::is_read_only(&ready.mount) {
            let text = format!(
                "{} can only be read: mount it for reading only",
                ready.source
            );
            return Err(refusal(ErrorKind::Denied, text));
        }
        let made = target::make(&self.root, wanted.target, wanted.kind)?;
        let put = self.put(wanted, &ready, &made);
        if let Err(refusal) = put {
            target::remove(&self.root, &made.made);
            return Err(refusal);
        }
        Ok(Mounted {
            target: wanted.target.to_owned(),
            file_system: ready.file_system,
            read_only: wanted.read_only,
            formatted: ready.formatted,
            was_there: false,
        })
    }

    fn put(&self, wanted: &Wanted<'_>, ready: &Ready, made: &target::Made) -> Result<(), Refusal> {
        let target = wanted.target;
        let place = target::mount_of(&made.place).map_err(|error| failed(target, error))?;
        if place.is_root {
            return Err(taken(target));
        }
        let mount = target::mount_of(&ready.mount).map_err(|error| failed(target, error))?;
        // Written down first: an agent that dies in between has noted a mount that is not there, and
        // never has one that is not noted.
        self.book.add(Entry {
            target: target.to_owned(),
            asked: wanted.asked.clone(),
            file_system: ready.file_system.clone(),
            source: ready.source.clone(),
            read_only: wanted.read_only,
            mount: mount.id,
            made: made.made.clone(),
        })?;
        filesystem::attach(&ready.mount, &made.place).map_err(|unmountable| {
            // A note of what is not there does no harm.
            let _ = self.book.remove(target);
            unmountable.refuse(&ready.source)
        })
    }

    /// The mount at a target, where it is just what is asked for; a refusal where it is another.
    fn there(&self, wanted: &Wanted<'_>) -> Result<Option<Mounted>, Refusal> {
        let target = wanted.target;
        let place = match target::find(&self.root, target) {
            Ok(place) => place,
            Err(refusal) if refusal.kind == ErrorKind::NotFound => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        let place = target::mount_of(&place).map_err(|error| failed(target, error))?;
        if !place.is_root {
            return Ok(None);
        }
        match self.book.find(target) {
            Some(entry) if entry.mount == place.id && entry.asked == wanted.asked => {
                Ok(Some(Mounted {
                    target: target.to_owned(),
                    file_system: entry.file_system,
                    read_only: entry.read_only,
                    formatted: false,
                    was_there: true,
                }))
            }
            _ => Err(taken(target)),
        }
    }

    /// Unmounts what the agent mounted at a target, and removes what it made for it.
    pub(super) fn unmount(&self, unmount: &Unmount) -> Result<(), Refusal> {
        let target = unmount.target.as_str();
        let entry = self.book.find(target);
        let place = match target::find(&self.root, target) {
            Ok(place) => Some(place),
            Err(refusal) if refusal.kind == ErrorKind::NotFound => None,
            // A place whose file system is gone or broken still is unmounted.
            Err(_) if entry.is_some() && unmount.lazy => None,
            Err(refusal) => return Err(refusal),
        };
        let here = place.as_ref().map(target::mount_of);
        let here = here.transpose().map_err(|error| failed(target, error))?;
        match (&entry, here.filter(|here| here.is_root)) {
            (Some(entry), Some(here)) if entry.mount == here.id => {
                if let Some(place) = place {
                    self.unmount_ours(place, unmount)?;
                }
            }
            (_, Some(_)) => {
                let text = format!("what is mounted at {target} was not mounted by this agent");
                return Err(refusal(ErrorKind::Denied, text));
            }
            (_, None) => {}
        }
        if let Some(entry) = entry {
            target::remove(&self.root, &entry.made);
            self.book.remove(target)?;
        }
        Ok(())
    }

    fn unmount_ours(&self, place: OwnedFd, unmount: &Unmount) -> Result<(), Refusal> {
        let target = unmount.target.as_str();
        let (folder, name) = target::parent(&self.root, target)?;
        // Written out before, since who unmounts lazily gets no word of what went wrong later.
        if unmount.lazy {
            sync_for_a_while(place);
        } else {
            let synced = reopened(&place).and_then(|opened| rustix::fs::syncfs(&opened));
            synced.map_err(|error| failed(format!("writing out {target}"), error))?;
            // An open place would keep its own mount busy.
            drop(place);
        }
        let path = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
        let mut flags = UnmountFlags::NOFOLLOW;
        flags.set(UnmountFlags::DETACH, unmount.lazy);
        match unmount_patiently(&path, flags) {
            Ok(()) => Ok(()),
            Err(Errno::BUSY) => {
                let text = format!("{target} is in use{}", users::of(&self.root, target));
                Err(refusal(ErrorKind::Busy, text))
            }
            Err(error) => Err(failed(format!("unmounting {target}"), error)),
        }
    }

    /// What is mounted and still is what was mounted.
    pub(super) fn mounts(&self) -> Vec<MountedThing> {
        let is_there = |entry: &Entry| {
            target::find(&self.root, &entry.target)
                .ok()
                .and_then(|place| target::mount_of(&place).ok())
                .is_some_and(|place| place.is_root && place.id == entry.mount)
        };
        let all = self.book.all().into_iter().filter(is_there);
        all.map(|entry| MountedThing {
            target: entry.target,
            file_system: entry.file_system,
            source: entry.source,
            read_only: entry.read_only,
        })
        .collect()
    }
}

/// What looks at a file system in passing, such as a process that is just being started, is gone in a
/// moment.
fn unmount_patiently(path: &str, flags: UnmountFlags) -> Result<(), Errno> {
    for _ in 0..LOOKS {
        match rustix::mount::unmount(path, flags) {
            Err(Errno::BUSY) => std::thread::sleep(BETWEEN_LOOKS),
            outcome => return outcome,
        }
    }
    rustix::mount::unmount(path, flags)
}

/// Writes out what can be in a bounded time: what is behind it may never answer.
fn sync_for_a_while(place: OwnedFd) {
    let (done, wait) = std::sync::mpsc::channel();
    let spawned = std::thread::Builder::new().spawn(move || {
        let _ = reopened(&place).and_then(|opened| rustix::fs::syncfs(&opened));
        let _ = done.send(());
    });
    if spawned.is_ok() {
        let _ = wait.recv_timeout(SYNC_LIMIT);
    }
}

fn taken(target: &str) -> Refusal {
    let text = format!("something else is mounted at {target}");
    refusal(ErrorKind::AlreadyExists, text)
}

/// A handle that can be worked with, of a place that was only found.
pub(super) fn reopened(place: &OwnedFd) -> Result<OwnedFd, Errno> {
    use rustix::fs::{Mode, OFlags};
    let stat = rustix::fs::fstat(place)?;
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
        flags |= OFlags::DIRECTORY;
        return rustix::fs::openat(place, ".", flags, Mode::empty());
    }
    let path = format!("/proc/self/fd/{}", place.as_raw_fd());
    rustix::fs::open(Path::new(&path), flags, Mode::empty())
}

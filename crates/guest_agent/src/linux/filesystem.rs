//! File systems made ready by the kernel and then put at a target: `fsopen`, `fsconfig`, `fsmount`,
//! `move_mount`.
//!
//! Each option goes to the kernel by itself, so that nothing in a value can become another option, and
//! a password stands in no list of words. A mount is known by its number before anybody can see it.

use std::os::fd::{AsFd, OwnedFd};

use guest_proto::{ErrorKind, Refusal};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::refused::{kind_of, refusal};

/// The longest value that the kernel takes for an option.
const MAX_VALUE: usize = 255;
/// How many lines of what the kernel says about a failure are told.
const MAX_LINES: usize = 4;

/// An option of a mount.
pub(super) enum Setting<'v> {
    /// A word by itself.
    Flag(&'static str),
    /// A word with a value.
    Value(&'static str, &'v str),
}

/// Why the kernel has not mounted.
#[derive(Debug)]
pub(super) struct Unmountable {
    /// Its error.
    pub(super) error: Errno,
    /// What it was doing.
    pub(super) doing: String,
    /// What it said about it.
    pub(super) said: String,
}

impl Unmountable {
    fn new(error: Errno, doing: impl Into<String>, context: Option<&OwnedFd>) -> Self {
        Self {
            error,
            doing: doing.into(),
            said: context.map(said).unwrap_or_default(),
        }
    }

    /// Whether the kernel has no such file system at all.
    pub(super) fn is_unknown(&self) -> bool {
        self.error == Errno::NODEV && self.doing == "opening"
    }

    /// The same as a refusal for what was to be mounted.
    pub(super) fn refuse(&self, what: &str) -> Refusal {
        self.refuse_as(kind_of(&self.error.into()), what)
    }

    /// The same as a refusal of a kind that is known better than from the error.
    pub(super) fn refuse_as(&self, kind: ErrorKind, what: &str) -> Refusal {
        let error = std::io::Error::from(self.error);
        let said = if self.said.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.said)
        };
        refusal(kind, format!("{what} cannot be mounted: {error}{said}"))
    }
}

/// What the kernel says about what went wrong last.
fn said(context: &OwnedFd) -> String {
    let mut lines = Vec::new();
    let mut line = [0; 512];
    while lines.len() < MAX_LINES {
        let Ok(length @ 1..) = rustix::io::read(context, &mut line) else {
            break;
        };
        let text = String::from_utf8_lossy(line.get(..length).unwrap_or_default()).into_owned();
        // A letter for how bad it is stands in front.
        let text = text.split_once(' ').map_or(text.as_str(), |(_, text)| text);
        lines.push(text.trim().to_owned());
    }
    lines.join("; ")
}

/// Has the kernel mount a file system where nobody sees it yet. Programs of it do not run with other
/// rights than their caller's, and device files in it are none.
pub(super) fn prepare(
    kind: &str,
    settings: &[Setting<'_>],
    read_only: bool,
) -> Result<OwnedFd, Unmountable> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|error| Unmountable::new(error, "opening", None))?;
    let failed = |error, doing: &str| Unmountable::new(error, doing, Some(&context));
    let read_only_flag = read_only.then_some(Setting::Flag("ro"));
    for setting in settings.iter().chain(&read_only_flag) {
        match setting {
            Setting::Flag(name) => fsconfig_set_flag(&context, *name),
            Setting::Value(_, value) if value.len() > MAX_VALUE => Err(Errno::NAMETOOLONG),
            Setting::Value(name, value) => fsconfig_set_string(&context, *name, *value),
        }
        .map_err(|error| {
            let (Setting::Flag(name) | Setting::Value(name, _)) = setting;
            failed(error, name)
        })?;
    }
    fsconfig_create(&context).map_err(|error| failed(error, "mounting"))?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, read_only);
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(|error| failed(error, "mounting"))
}

/// A second sight of a place, as a mount of its own.
pub(super) fn view(place: impl AsFd) -> Result<OwnedFd, Unmountable> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(place, "", flags).map_err(|error| Unmountable::new(error, "cloning", None))
}

/// Puts a mount at a place.
pub(super) fn attach(mount: &OwnedFd, place: &OwnedFd) -> Result<(), Unmountable> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", place, "", flags)
        .map_err(|error| Unmountable::new(error, "putting it there", None))
}

/// Whether the kernel mounts read-only where it was not asked to.
pub(super) fn is_read_only(mount: &OwnedFd) -> bool {
    rustix::fs::fstatvfs(mount)
        .is_ok_and(|facts| facts.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

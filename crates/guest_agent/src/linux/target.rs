//! Targets: places below the root, found and made without following a link.
//!
//! A link on the way to a target could lead anywhere in the guest, and elsewhere the next time it is
//! looked at; so a target with one is refused. What was opened is kept open and used as such.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use guest_proto::{ErrorKind, Refusal};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::refused::{failed, refusal};

/// What is made where a target is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// For whole file systems.
    Folder,
    /// For a file by itself.
    File,
}

/// A target that is there, and what was made for it.
pub(super) struct Made {
    /// The target.
    pub(super) place: OwnedFd,
    /// The targets that were made, the outer before the inner.
    pub(super) made: Vec<String>,
}

/// What a place is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MountOf {
    /// The number of the mount.
    pub(super) id: u64,
    /// Whether the place is the root of it.
    pub(super) is_root: bool,
}

/// The names on the way to a target.
fn names(target: &str) -> Result<Vec<&str>, Refusal> {
    let invalid = |reason: &str| {
        let text = format!("{target:?} {reason}");
        refusal(ErrorKind::Invalid, text)
    };
    let rest = target
        .strip_prefix('/')
        .ok_or_else(|| invalid("is no absolute path"))?;
    let names: Vec<&str> = rest.split('/').collect();
    if names.iter().any(|name| matches!(*name, "" | "." | "..")) {
        return Err(invalid("holds an empty name, `.` or `..`"));
    }
    Ok(names)
}

/// A target that has to be there.
pub(super) fn find(root: &File, target: &str) -> Result<OwnedFd, Refusal> {
    names(target)?;
    open(root, target, OFlags::PATH).map_err(|error| refused(target, error))
}

/// Opens a target that was checked.
fn open(root: &File, target: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let inside = target.trim_start_matches('/');
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(
        root,
        inside,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    )
}

fn refused(target: &str, error: Errno) -> Refusal {
    match error {
        Errno::LOOP => {
            let text = format!("there is a link on the way to {target}, which is not followed");
            refusal(ErrorKind::Invalid, text)
        }
        Errno::NOTDIR => {
            let text = format!("there is a file on the way to {target}");
            refusal(ErrorKind::Invalid, text)
        }
        error => failed(target, error),
    }
}

/// The folder that a target is in, and its name there.
pub(super) fn parent<'t>(root: &File, target: &'t str) -> Result<(OwnedFd, &'t str), Refusal> {
    let names = names(target)?;
    let name = names.last().copied().unwrap_or_default();
    let folder = target
        .get(..target.len() - name.len())
        .unwrap_or_default()
        .trim_matches('/');
    let folder = if folder.is_empty() { "." } else { folder };
    let opened = open(root, folder, OFlags::PATH | OFlags::DIRECTORY);
    Ok((opened.map_err(|error| refused(target, error))?, name))
}

/// Finds a target and makes what is missing of it.
pub(super) fn make(root: &File, target: &str, kind: Kind) -> Result<Made, Refusal> {
    let names = names(target)?;
    let (mut path, mut made) = (String::new(), Vec::new());
    let outcome = names.iter().enumerate().try_for_each(|(index, name)| {
        let is_last = index + 1 == names.len();
        let kind = if is_last { kind } else { Kind::Folder };
        path.push('/');
        path.push_str(name);
        if make_one(root, &path, kind)? {
            made.push(path.clone());
        }
        Ok(())
    });
    let place = outcome.and_then(|()| {
        let place = find(root, target)?;
        check_kind(&place, target, kind)?;
        Ok(place)
    });
    match place {
        Ok(place) => Ok(Made { place, made }),
        Err(refusal) => {
            remove(root, &made);
            Err(refusal)
        }
    }
}

/// Makes the last name of a path where it is missing; whether it was.
fn make_one(root: &File, path: &str, kind: Kind) -> Result<bool, Refusal> {
    match open(root, path, OFlags::PATH) {
        Ok(_) => return Ok(false),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(refused(path, error)),
    }
    let (folder, name) = parent(root, path)?;
    let made = match kind {
        Kind::Folder => rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o755)),
        Kind::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    };
    match made {
        Ok(()) => Ok(true),
        // Somebody else was quicker.
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(failed(format!("making {path}"), error)),
    }
}

fn check_kind(place: &OwnedFd, target: &str, kind: Kind) -> Result<(), Refusal> {
    let stat = rustix::fs::fstat(place).map_err(|error| failed(target, error))?;
    let is_folder = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
    let text = match (kind, is_folder) {
        (Kind::Folder, true) | (Kind::File, false) => return Ok(()),
        (Kind::Folder, false) => format!("{target} is no folder"),
        (Kind::File, true) => format!("{target} is a folder, and a file is to be mounted there"),
    };
    Err(refusal(ErrorKind::AlreadyExists, text))
}

/// Removes targets that were made for a mount, the inner before the outer, as far as nothing is in
/// them.
pub(super) fn remove(root: &File, made: &[String]) {
    for path in made.iter().rev() {
        let Ok((folder, name)) = parent(root, path) else {
            return;
        };
        let removed = rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR);
        let removed = match removed {
            Err(Errno::NOTDIR) => remove_empty_file(&folder, name),
            removed => removed,
        };
        if removed.is_err_and(|error| error != Errno::NOENT) {
            return;
        }
    }
}

/// A file that was made for a mount holds nothing; one that does was put there by somebody.
fn remove_empty_file(folder: &OwnedFd, name: &str) -> Result<(), Errno> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    if !is_file || stat.st_size != 0 {
        return Err(Errno::NOTEMPTY);
    }
    rustix::fs::unlinkat(folder, name, AtFlags::empty())
}

/// Which mount a place is in.
pub(super) fn mount_of(place: &OwnedFd) -> io::Result<MountOf> {
    // Asked of the kernel alone: what is behind the mount may be gone.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let facts = rustix::fs::statx(place, "", flags, StatxFlags::MNT_ID)?;
    Ok(MountOf {
        id: facts.stx_mnt_id,
        is_root: facts.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(outcome: Result<impl Sized, Refusal>) -> ErrorKind {
        outcome.map(drop).unwrap_err().kind
    }

    #[test]
    fn targets_are_made_and_only_what_was_made_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let root = File::open(folder.path()).unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        let made = make(&root, "/a/b/c", Kind::Folder).unwrap();
        assert_eq!(made.made, ["/a/b", "/a/b/c"]);
        let again = make(&root, "/a/b/c", Kind::Folder).unwrap();
        assert!(again.made.is_empty());
        std::fs::write(folder.path().join("a/b/kept"), "x").unwrap();
        remove(&root, &made.made);
        assert!(!folder.path().join("a/b/c").exists());
        assert!(folder.path().join("a/b/kept").exists());
        // Again, without harm.
        remove(&root, &made.made);
    }

    #[test]
    fn a_file_that_was_made_is_removed_only_while_it_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let root = File::open(folder.path()).unwrap();
        for (content, stays) in [("", false), ("x", true)] {
            let made = make(&root, "/f/file", Kind::File).unwrap();
            std::fs::write(folder.path().join("f/file"), content).unwrap();
            remove(&root, &made.made);
            assert_eq!(folder.path().join("f/file").exists(), stays);
        }
    }

    #[test]
    fn no_link_on_the_way_is_followed() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = File::open(folder.path()).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
        for target in ["/link", "/link/x", "/dangling", "/dangling/x"] {
            let outcome = make(&root, target, Kind::Folder);
            assert_eq!(kind_of(outcome), ErrorKind::Invalid, "{target}");
        }
        assert_eq!(outside.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_target_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = File::open(folder.path()).unwrap();
        for target in ["", "/", "a", "/a/../b", "/./a", "//a", "/a/"] {
            let outcome = make(&root, target, Kind::Folder);
            assert_eq!(kind_of(outcome), ErrorKind::Invalid, "{target:?}");
        }
        std::fs::write(folder.path().join("file"), "").unwrap();
        let outcome = make(&root, "/file", Kind::Folder);
        assert_eq!(kind_of(outcome), ErrorKind::AlreadyExists);
        let outcome = make(&root, "/file/x", Kind::Folder);
        assert_eq!(kind_of(outcome), ErrorKind::Invalid);
        assert_eq!(kind_of(find(&root, "/none")), ErrorKind::NotFound);
    }
}

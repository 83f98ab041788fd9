//! What a daemon sees of the host.
//!
//! Mounts are made in a mount namespace that a thread of ours has for itself; the daemon is started
//! from that thread and inherits it, and nobody else ever sees them. They go with the daemon, however
//! it ends.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::program::Program;
use super::{host, make_folder};
use crate::plan::Share;
use crate::sides::{Fault, FaultKind};

/// How what is shared is laid out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum View {
    /// The directory as it is.
    Directory(PathBuf),
    /// The directory, with all that is mounted in it, made read-only.
    ReadOnly(PathBuf),
    /// A folder in memory that holds the file alone.
    OnlyFile {
        folder: PathBuf,
        file: PathBuf,
        name: String,
        read_only: bool,
        /// Whether the daemon refuses writing itself.
        is_refused: bool,
    },
}

impl View {
    pub(super) fn choose(share: &Share, program: &Program, folder: &Path) -> Self {
        let source = PathBuf::from(share.path.as_str());
        match &share.only_file {
            Some(name) => Self::OnlyFile {
                folder: folder.to_owned(),
                file: source.join(name),
                name: name.clone(),
                read_only: share.read_only,
                is_refused: share.read_only && program.refuses_writing(),
            },
            None if share.read_only && !program.refuses_writing() => Self::ReadOnly(source),
            None => Self::Directory(source),
        }
    }

    /// What the daemon is to share.
    pub(super) fn root(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::ReadOnly(path) => path,
            Self::OnlyFile { folder, .. } => folder,
        }
    }

    /// Starts a daemon that sees it so.
    pub(super) fn spawn(&self, command: &mut Command) -> Result<Child, Fault> {
        let program = PathBuf::from(command.get_program());
        let mut spawn = move || -> Result<Child, Fault> {
            command.spawn().map_err(|e| host("start", &program, e))
        };
        match self {
            Self::Directory(_) => spawn(),
            Self::ReadOnly(path) => in_own_namespace(
                || read_only(path).map_err(|error| host("make read-only", path, error.into())),
                spawn,
            )?
            .ok_or_else(|| {
                Fault::new(
                    FaultKind::Unsupported,
                    format!(
                        "{} cannot be shared read-only: it takes root with a mount namespace, or a \
                         virtiofsd that knows --readonly",
                        path.display()
                    ),
                )
            }),
            Self::OnlyFile {
                folder,
                file,
                name,
                read_only,
                is_refused,
            } => {
                make_folder(folder)?;
                let mounted = in_own_namespace(
                    || {
                        mount_file(folder, file, name, *read_only)
                            .map_err(|error| host("lay out", file, error))
                    },
                    &mut spawn,
                )?;
                if let Some(child) = mounted {
                    return Ok(child);
                }
                if *read_only && !is_refused {
                    let what = format!(
                        "{} cannot be shared read-only by itself: it takes root with a mount \
                         namespace, or a virtiofsd that knows --readonly",
                        file.display()
                    );
                    return Err(Fault::new(FaultKind::Unsupported, what));
                }
                link_file(folder, file, name)?;
                spawn()
            }
        }
    }
}

/// Does something in a mount namespace of its own, then starts the daemon in it. `None` where this user
/// may not have one.
fn in_own_namespace(
    lay_out: impl FnOnce() -> Result<(), Fault> + Send,
    spawn: impl FnOnce() -> Result<Child, Fault> + Send,
) -> Result<Option<Child>, Fault> {
    let work = || -> Result<Option<Child>, Fault> {
        match unshare(CloneFlags::CLONE_NEWNS) {
            Err(Errno::EPERM) => return Ok(None),
            unshared => unshared.map_err(|error| {
                let what = "cannot make a mount namespace";
                Fault::new(FaultKind::Failed, what).because(error)
            })?,
        }
        // What is mounted here is seen here alone.
        let none: Option<&str> = None;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(none, "/", none, private, none)
            .map_err(|error| host("part the mounts of", Path::new("/"), error.into()))?;
        lay_out()?;
        spawn().map(Some)
    };
    // The namespace is the thread's: the rest of the process keeps its own.
    let done = std::thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|_| Err(Fault::new(FaultKind::Failed, "a thread of cvol failed")))
}

/// Makes a directory read-only, with all that is mounted below it.
fn read_only(path: &Path) -> nix::Result<()> {
    let none: Option<&str> = None;
    let whole = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(path), path, none, whole, none)?;
    let real = fs::canonicalize(path).map_err(|_| Errno::EIO)?;
    for (place, flags) in mounts_below(&real)? {
        let flags = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(none, &place, none, flags, none)?;
    }
    Ok(())
}

/// Every mount at or below a path, with the flags that a remount would lose.
fn mounts_below(path: &Path) -> nix::Result<Vec<(PathBuf, MsFlags)>> {
    const FLAGS: [(&str, MsFlags); 6] = [
        ("nosuid", MsFlags::MS_NOSUID),
        ("nodev", MsFlags::MS_NODEV),
        ("noexec", MsFlags::MS_NOEXEC),
        ("noatime", MsFlags::MS_NOATIME),
        ("nodiratime", MsFlags::MS_NODIRATIME),
        ("relatime", MsFlags::MS_RELATIME),
    ];
    // Of this thread, whose namespace is not that of the process.
    let text = fs::read_to_string("/proc/thread-self/mountinfo").map_err(|_| Errno::EIO)?;
    let mut mounts = Vec::new();
    for line in text.lines() {
        let mut fields = line.split(' ').skip(4);
        let (Some(place), Some(options)) = (fields.next(), fields.next()) else {
            continue;
        };
        let place = unescaped(place);
        if !place.starts_with(path) {
            continue;
        }
        let flags = options.split(',').filter_map(|option| {
            let known = FLAGS.iter().find(|(name, _)| *name == option);
            known.map(|(_, flag)| *flag)
        });
        mounts.push((place, flags.collect()));
    }
    Ok(mounts)
}

/// A path in the list of mounts, where some characters stand as `\` and three octal digits.
fn unescaped(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after
            .get(..3)
            .filter(|_| *byte == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match digits {
            Some(value) => {
                bytes.push(value);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// Lays a file out in a folder in memory that cannot be changed otherwise.
fn mount_file(folder: &Path, file: &Path, name: &str, is_read_only: bool) -> io::Result<()> {
    let none: Option<&str> = None;
    let limits = Some("size=4096,mode=755");
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("cvol"), folder, Some("tmpfs"), safe, limits)?;
    let place = folder.join(name);
    fs::File::create(&place)?;
    mount(Some(file), &place, none, MsFlags::MS_BIND, none)?;
    if is_read_only {
        read_only(&place)?;
    }
    let flags = safe | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(none, folder, none, flags, none)?;
    Ok(())
}

/// The same without mounts: a second name of the file, in a folder that a daemon without the rights of
/// root cannot write to.
fn link_file(folder: &Path, file: &Path, name: &str) -> Result<(), Fault> {
    let real = fs::canonicalize(file).map_err(|error| host("find", file, error))?;
    fs::hard_link(&real, folder.join(name)).map_err(|error| {
        let what = format!(
            "{} cannot be shared by itself: it takes root with a mount namespace, or a file of this \
             user on the file system of {}; share its directory instead",
            file.display(),
            folder.display()
        );
        Fault::new(FaultKind::Unsupported, what).because(error)
    })?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o500))
        .map_err(|error| host("protect", folder, error))
}

/// Removes the folder of a view; the file that it showed stays where it is.
pub(super) fn remove(folder: &Path) -> Result<(), Fault> {
    if fs::symlink_metadata(folder).is_err() {
        return Ok(());
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        .and_then(|()| fs::remove_dir_all(folder))
        .map_err(|error| host("remove", folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_mounts_are_read_with_their_escapes() {
        for (text, path) in [
            ("/a", "/a"),
            (r"/a\040b", "/a b"),
            (r"/a\134040", r"/a\040"),
            (r"/a\x", r"/a\x"),
        ] {
            assert_eq!(unescaped(text), Path::new(path));
        }
    }
}

//! The files of a store: everything below the root is opened beneath a handle, and no link is
//! followed, at the last component either.
//!
//! ```text
//!   root/                0700
//!     state.db           the database (with -wal and -shm while it is open)
//!     store.lock         held while the database is made
//!     reserve            room for the database on a host without any space; see `reserve.rs`
//!     secret.key         the key of kept passwords (`crate::secret`), with its lock
//!     locks/OPERATION    held by the process behind an operation while it lives
//!     volumes/
//!       ID/              a volume: image.vhdx (or .vhd, .raw) and volume.json, its rescue record;
//!                        secret, a sealed password, of one on an SMB server;
//!                        LAYER.vhdx for each layer that snapshots and restores made since
//!       ID.removed/      a volume being removed
//!     machines/          what is attached to machines; see `private.rs`
//! ```

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use blockio::{FileAccess, FileStorage, LockMode};
use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, Metadata, OpenOptions};
use uuid::Uuid;

use crate::error::{Result, VolumeError};
use crate::platform;
use crate::record::MAX_DOCUMENT_LENGTH;
use crate::secret::{KEY_FILE, LOCK_FILE};

/// The database.
pub(crate) const DATABASE: &str = "state.db";
/// The lock of whoever makes the database.
pub(crate) const STORE_LOCK: &str = "store.lock";
/// The file whose space the database gets on a host without any.
pub(crate) const RESERVE: &str = "reserve";
/// The folder of volumes.
pub(crate) const VOLUMES: &str = "volumes";
/// The folder of operation locks.
pub(crate) const LOCKS: &str = "locks";
/// The folder of machines, which whoever attaches keeps.
pub(crate) const MACHINES: &str = "machines";
/// The rescue record in a volume's folder.
pub(crate) const RESCUE_RECORD: &str = "volume.json";
/// What a file is called before it takes its name.
pub(crate) const TEMPORARY_SUFFIX: &str = ".new";
/// What the folder of a volume that is being removed ends with.
pub(crate) const REMOVED_SUFFIX: &str = ".removed";

/// How often something that may pass by itself is tried.
const ATTEMPTS: u32 = 25;
/// How long is waited between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// The open folders of a store.
pub(crate) struct Folders {
    /// The canonical path of the root, for SQLite and for messages.
    path: PathBuf,
    root: Dir,
    volumes: Dir,
    locks: Dir,
}

impl Folders {
    /// Opens the root, making it and the folders in it where they are missing.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let shown = root.display().to_string();
        let fail = |doing: &'static str| {
            let shown = shown.clone();
            move |error| VolumeError::host(doing, shown, error)
        };
        refuse_server(root)?;
        let existed = root.is_dir();
        platform::create_root(root).map_err(fail("making the folder"))?;
        let path = root.canonicalize().map_err(fail("finding the folder"))?;
        // A letter or a link may have led to one.
        refuse_server(&path)?;
        let root = Dir::open_ambient_dir(&path, ambient_authority());
        let root = root.map_err(fail("opening the folder"))?;
        let path = platform::plain_path(path);
        if metadata(&root, VOLUMES)?.is_none() {
            check_may_become_store(&root, &shown)?;
            if existed {
                platform::make_private(&root, &path).map_err(fail("changing the access to"))?;
            }
        }
        let volumes = open_or_make_folder(&root, VOLUMES)?;
        let locks = open_or_make_folder(&root, LOCKS)?;
        Ok(Self {
            path,
            root,
            volumes,
            locks,
        })
    }

    /// Whom the root is open to besides those it is for. Where that cannot be read, it is said nowhere:
    /// the store works all the same.
    pub(crate) fn open_to(&self) -> Vec<String> {
        platform::open_to(&self.path).unwrap_or_default()
    }

    /// Takes the root away from all others.
    pub(crate) fn make_private(&self) -> Result<()> {
        let path = &self.path;
        platform::make_private(&self.root, path).map_err(|error| {
            VolumeError::host("changing the access to", path.to_string_lossy(), error)
        })
    }

    /// The canonical path of the root.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The root.
    pub(crate) fn root(&self) -> &Dir {
        &self.root
    }

    /// The folder of volumes.
    pub(crate) fn volumes(&self) -> &Dir {
        &self.volumes
    }

    /// The folder of operation locks.
    pub(crate) fn locks(&self) -> &Dir {
        &self.locks
    }

    /// The path of a file of a volume, for other programs.
    pub(crate) fn volume_file_path(&self, id: Uuid, file: &str) -> PathBuf {
        self.path.join(VOLUMES).join(id.to_string()).join(file)
    }

    /// Makes the folder of a volume.
    pub(crate) fn make_volume_folder(&self, id: Uuid) -> Result<Dir> {
        let name = id.to_string();
        self.volumes
            .create_dir_with(&name, &platform::private_folder())
            .and_then(|()| self.volumes.open_dir_nofollow(&name))
            .map_err(|error| VolumeError::host("making the folder", name, error))
    }

    /// Opens the folder of a volume; `None` where there is none.
    pub(crate) fn open_volume_folder(&self, id: Uuid) -> Result<Option<Dir>> {
        open_folder(&self.volumes, &id.to_string())
    }

    /// Sets the folder of a volume aside, so that whoever finds it knows it is being removed.
    pub(crate) fn bury_volume_folder(&self, id: Uuid) -> Result<()> {
        let name = id.to_string();
        let buried = format!("{name}{REMOVED_SUFFIX}");
        let result = retry(|| self.volumes.rename(&name, &self.volumes, &buried));
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| VolumeError::host("renaming", name, error)),
        }
    }

    /// Removes what there is of a volume, and makes that durable.
    pub(crate) fn remove_volume_folders(&self, id: Uuid) -> Result<()> {
        let name = id.to_string();
        for name in [format!("{name}{REMOVED_SUFFIX}"), name] {
            self.remove_entry(&name)?;
        }
        // Before the row goes: a folder without a row would never be found again.
        self.sync_volumes()
    }

    /// Removes a folder in the folder of volumes, or whatever stands in its place. Links in it are
    /// removed, never followed.
    pub(crate) fn remove_entry(&self, name: &str) -> Result<()> {
        let Some(found) = metadata(&self.volumes, name)? else {
            return Ok(());
        };
        let result = retry(|| {
            if found.is_dir() {
                self.volumes.remove_dir_all(name)
            } else {
                self.volumes.remove_file_or_symlink(name)
            }
        });
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| VolumeError::host("removing", name, error)),
        }
    }

    /// Makes the entries of the folder of volumes durable.
    pub(crate) fn sync_volumes(&self) -> Result<()> {
        platform::sync_folder(&self.volumes)
            .map_err(|error| VolumeError::host("making durable", VOLUMES, error))
    }
}

/// Creates a new file for its owner alone, locked against all others.
pub(crate) fn create_image(folder: &Dir, name: &str) -> Result<FileStorage> {
    let mut options = new_file_options();
    options.read(true);
    platform::share(&mut options, LockMode::Exclusive);
    let file = folder
        .open_with(name, &options)
        .map_err(|error| VolumeError::host("creating", name, error))?;
    Ok(FileStorage::from_file(
        file.into_std(),
        FileAccess::ReadWrite,
    )?)
}

/// Opens and locks an image. The error is that of the host, for the caller to name the volume.
pub(crate) fn open_image(
    folder: &Dir,
    name: &str,
    access: FileAccess,
) -> std::result::Result<FileStorage, ImageOpenError> {
    let mode = match access {
        FileAccess::ReadOnly => LockMode::Shared,
        FileAccess::ReadWrite => LockMode::Exclusive,
    };
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(access == FileAccess::ReadWrite)
        .follow(FollowSymlinks::No);
    platform::share(&mut options, mode);
    platform::never_wait(&mut options);
    let file = match folder.open_with(name, &options) {
        Ok(file) => file,
        Err(error) if platform::is_sharing_violation(&error) => {
            return Err(ImageOpenError::InUse(None));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ImageOpenError::Missing);
        }
        Err(error) => {
            return Err(match metadata(folder, name) {
                Ok(Some(found)) if !found.is_file() => ImageOpenError::Link,
                _ => ImageOpenError::Host(error),
            });
        }
    };
    FileStorage::from_file(file.into_std(), access).map_err(|error| match error.kind() {
        blockio::IoErrorKind::InUse => ImageOpenError::InUse(Some(error)),
        _ => ImageOpenError::Disk(error),
    })
}

/// Why an image could not be opened.
pub(crate) enum ImageOpenError {
    /// Somebody holds it.
    InUse(Option<blockio::IoError>),
    /// It is not there.
    Missing,
    /// A link or a folder stands in its place.
    Link,
    /// The folder of the volume cannot be opened.
    Folder(VolumeError),
    /// The host refused.
    Host(io::Error),
    /// It is no file, or cannot be locked.
    Disk(blockio::IoError),
}

/// Writes a new file and makes its bytes durable.
pub(crate) fn write_new_file(folder: &Dir, name: &str, bytes: &[u8]) -> Result<()> {
    folder
        .open_with(name, &new_file_options())
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|error| VolumeError::host("writing", name, error))
}

/// Writes a small file under its name, whole: what was there before, or all of it.
pub(crate) fn replace_file(folder: &Dir, name: &str, bytes: &[u8]) -> Result<()> {
    let fail = |doing| move |error| VolumeError::host(doing, name, error);
    let temporary = format!("{name}{TEMPORARY_SUFFIX}");
    // Left by a process that died here.
    remove_file(folder, &temporary)?;
    write_new_file(folder, &temporary, bytes)?;
    retry(|| folder.rename(&temporary, folder, name)).map_err(fail("writing"))
}

/// Removes a file that may be gone already.
pub(crate) fn remove_file(folder: &Dir, name: &str) -> Result<()> {
    match retry(|| folder.remove_file(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|error| VolumeError::host("removing", name, error)),
    }
}

/// Reads at most `limit` bytes of a file; `None` where there is none.
pub(crate) fn read_bytes(folder: &Dir, name: &str, limit: usize) -> Result<Option<Vec<u8>>> {
    let result = open_existing(folder, name).and_then(|file| {
        let mut bytes = Vec::new();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(VolumeError::host("reading", name, error)),
    }
}

/// Reads a small file; `None` where there is none.
pub(crate) fn read_text(folder: &Dir, name: &str) -> Result<Option<String>> {
    let limit = u64::try_from(MAX_DOCUMENT_LENGTH).unwrap_or(u64::MAX);
    let result = open_existing(folder, name).and_then(|file| {
        let mut text = String::new();
        file.take(limit).read_to_string(&mut text)?;
        Ok(text)
    });
    match result {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(VolumeError::damaged(name, "not UTF-8"))
        }
        Err(error) => Err(VolumeError::host("reading", name, error)),
    }
}

/// Opens a file for reading and writing, following no link.
pub(crate) fn open_existing(folder: &Dir, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).follow(FollowSymlinks::No);
    platform::never_wait(&mut options);
    folder.open_with(name, &options)
}

/// Creates a file that must not exist, following no link.
pub(crate) fn create_new(folder: &Dir, name: &str) -> io::Result<File> {
    folder.open_with(name, new_file_options().read(true))
}

/// What stands under a name, links not followed; `None` for nothing.
pub(crate) fn metadata(folder: &Dir, name: &str) -> Result<Option<Metadata>> {
    match folder.symlink_metadata(name) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(VolumeError::host("looking at", name, error)),
    }
}

/// The names in a folder, as far as they are text (the store writes no others).
pub(crate) fn names(folder: &Dir, shown: &str) -> Result<Vec<String>> {
    let fail = |error| VolumeError::host("listing", shown, error);
    let mut names = Vec::new();
    for entry in folder.entries().map_err(fail)? {
        if let Ok(name) = entry.map_err(fail)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Tries again what may pass by itself (on Windows, while somebody else looks at a file).
pub(crate) fn retry<T>(mut action: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut attempt = 1;
    loop {
        match action() {
            Err(error) if attempt < ATTEMPTS && platform::is_transient(&error) => {
                attempt += 1;
                std::thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

fn new_file_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .follow(FollowSymlinks::No);
    platform::private_file(&mut options);
    options
}

pub(super) fn open_folder(parent: &Dir, name: &str) -> Result<Option<Dir>> {
    match parent.open_dir_nofollow(name) {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // Whatever the system says of a link or a file in its place, that is what it is.
        Err(error) => match metadata(parent, name)? {
            Some(found) if !found.is_dir() => Err(VolumeError::damaged(
                name,
                "not a folder but a link or a file",
            )),
            _ => Err(VolumeError::host("opening the folder", name, error)),
        },
    }
}

pub(super) fn open_or_make_folder(root: &Dir, name: &str) -> Result<Dir> {
    if let Some(folder) = open_folder(root, name)? {
        return Ok(folder);
    }
    match root.create_dir_with(name, &platform::private_folder()) {
        // Another process may make it at the same moment.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(VolumeError::host("making the folder", name, error));
        }
        _ => {}
    }
    open_folder(root, name)?
        .ok_or_else(|| VolumeError::damaged(name, "it vanished while the store was opened"))
}

/// Refuses a root on a server: the write-ahead mode of the database needs memory that all its users
/// share, and what keeps images apart is not promised beyond one host.
fn refuse_server(path: &Path) -> Result<()> {
    match platform::server_of(path) {
        None => Ok(()),
        Some(server) => Err(VolumeError::RemoteStore {
            root: path.to_string_lossy().into_owned(),
            server,
        }),
    }
}

/// Refuses a folder that holds other things: a store made there would hide among them.
fn check_may_become_store(root: &Dir, shown: &str) -> Result<()> {
    let ours = |name: &String| {
        [
            STORE_LOCK,
            RESERVE,
            VOLUMES,
            LOCKS,
            MACHINES,
            KEY_FILE,
            LOCK_FILE,
            "lost+found",
        ]
        .contains(&name.as_str())
            || name.starts_with(DATABASE)
    };
    match names(root, shown)?.into_iter().find(|name| !ours(name)) {
        None => Ok(()),
        Some(found) => Err(VolumeError::NotAStore {
            root: shown.to_owned(),
            found,
        }),
    }
}

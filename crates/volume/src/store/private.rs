//! Folders in a store for those who keep other things there than volumes: for their owner alone, opened
//! beneath the handle of the root, no link followed. What is in them this crate does not know.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;

use super::Store;
use super::folder::{self, MACHINES};
use crate::error::{Result, VolumeError};
use crate::platform;

/// A folder of a store.
pub struct PrivateFolder {
    folder: Dir,
    /// From the file system's root, for other programs and for messages.
    path: PathBuf,
}

/// A lock on a file that was taken. Let go of when it is dropped, and when the process dies.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl Store {
    /// The folder in which is kept what machines have, made where it is missing.
    ///
    /// # Errors
    /// `Damaged` where something else stands in its place, `Io`.
    pub fn machines_folder(&self) -> Result<PrivateFolder> {
        Ok(PrivateFolder {
            folder: folder::open_or_make_folder(self.folders().root(), MACHINES)?,
            path: self.root().join(MACHINES),
        })
    }
}

impl PrivateFolder {
    /// Its path, for other programs.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it; `None` where there is none.
    ///
    /// # Errors
    /// `Damaged` where a link or a file stands in its place, `Io`.
    pub fn existing_folder(&self, name: &str) -> Result<Option<Self>> {
        let found = folder::open_folder(&self.folder, checked(name)?)?;
        Ok(found.map(|folder| self.within(folder, name)))
    }

    /// A folder in it, made where it is missing; the name is durable.
    ///
    /// # Errors
    /// As for [`PrivateFolder::existing_folder`].
    pub fn folder(&self, name: &str) -> Result<Self> {
        let made = folder::open_or_make_folder(&self.folder, checked(name)?)?;
        self.sync(name)?;
        Ok(self.within(made, name))
    }

    fn within(&self, folder: Dir, name: &str) -> Self {
        Self {
            folder,
            path: self.path.join(name),
        }
    }

    /// The names in it, sorted.
    ///
    /// # Errors
    /// `Io`.
    pub fn names(&self) -> Result<Vec<String>> {
        folder::names(&self.folder, &self.path.display().to_string())
    }

    /// A file of at most `limit` bytes; `None` where there is none.
    ///
    /// # Errors
    /// `Damaged` for one that is longer, `Io`.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let read = folder::open_existing(&self.folder, checked(name)?)
            .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(VolumeError::host("reading", self.shown(name), error)),
            Ok(length) if u64::try_from(length).is_ok_and(|length| length > limit) => Err(
                VolumeError::damaged(self.shown(name), format!("it has more than {limit} bytes")),
            ),
            Ok(_) => Ok(Some(bytes)),
        }
    }

    /// Writes a file under its name, durably and whole: after a crash there is what was there before, or
    /// all of it. For one writer at a time.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        // Its bytes are durable before it takes the name, and the name before this returns.
        folder::replace_file(&self.folder, checked(name)?, bytes)?;
        self.sync(name)
    }

    /// Locks a file, made where it is missing; `None` where somebody holds it.
    ///
    /// # Errors
    /// `Io`.
    pub fn try_lock(&self, name: &str) -> Result<Option<FileLock>> {
        let fail = |error| VolumeError::host("locking", self.shown(name), error);
        let made = match folder::create_new(&self.folder, checked(name)?) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                folder::open_existing(&self.folder, name)
            }
            made => made,
        };
        let file = made.map_err(fail)?.into_std();
        match file.try_lock() {
            Ok(()) => Ok(Some(FileLock { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(fail(error)),
        }
    }

    /// Removes a file that may be gone already.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_file(&self, name: &str) -> Result<()> {
        folder::remove_file(&self.folder, checked(name)?)
    }

    /// Removes a folder in it with all that it holds, durably. Links in it are removed, never followed.
    /// It may be gone already.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_folder(&self, name: &str) -> Result<()> {
        match folder::retry(|| self.folder.remove_dir_all(checked_name(name)?)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => {
                removed.map_err(|e| VolumeError::host("removing", self.shown(name), e))?;
            }
        }
        self.sync(name)
    }

    fn sync(&self, name: &str) -> Result<()> {
        platform::sync_folder(&self.folder)
            .map_err(|error| VolumeError::host("making durable", self.shown(name), error))
    }

    fn shown(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

impl FileLock {
    /// Notes in the file who holds it, for those who wait: replaces what stood there, and need not
    /// survive anything.
    ///
    /// # Errors
    /// What the system says.
    pub fn note(&self, text: &str) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())
    }

    /// The file, for a process that shall hold the lock too: it is held as long as either lives.
    ///
    /// # Errors
    /// What the system says.
    pub fn share(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// A name, as opposed to a path.
fn checked(name: &str) -> Result<&str> {
    checked_name(name).map_err(|error| VolumeError::host("opening", name, error))
}

fn checked_name(name: &str) -> io::Result<&str> {
    if name.is_empty() || name == "." || name.contains("..") || name.contains(['/', '\\', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no name"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn files_are_replaced_whole_and_names_are_no_paths() {
        let root = TempDir::new().unwrap();
        let store = Store::open(root.path()).unwrap();
        let machines = store.machines_folder().unwrap();
        assert!(machines.existing_folder("web").unwrap().is_none());
        let web = machines.folder("web").unwrap();
        assert_eq!(web.read("ledger", 10).unwrap(), None);
        for content in ["one", "another"] {
            web.replace("ledger", content.as_bytes()).unwrap();
            assert_eq!(web.read("ledger", 10).unwrap().unwrap(), content.as_bytes());
        }
        web.read("ledger", 3).unwrap_err();
        assert_eq!(web.names().unwrap(), ["ledger"]);
        assert_eq!(machines.names().unwrap(), ["web"]);
        for name in ["", ".", "..", "a/b", "../x", "a\\b"] {
            machines.folder(name).err().unwrap();
            web.replace(name, b"").unwrap_err();
        }
        // Windows removes no folder that somebody has open.
        drop(web);
        machines.remove_folder("web").unwrap();
        machines.remove_folder("web").unwrap();
        assert!(machines.names().unwrap().is_empty());
    }

    #[test]
    fn a_lock_is_held_by_one_until_he_lets_go() {
        let root = TempDir::new().unwrap();
        let folder = Store::open(root.path()).unwrap().machines_folder().unwrap();
        let held = folder.try_lock("lock").unwrap().unwrap();
        assert!(folder.try_lock("lock").unwrap().is_none());
        let shared = held.share().unwrap();
        drop(held);
        assert!(folder.try_lock("lock").unwrap().is_none());
        drop(shared);
        assert!(folder.try_lock("lock").unwrap().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn folders_and_files_are_for_their_owner_alone_and_links_are_not_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let root = TempDir::new().unwrap();
        let machines = Store::open(root.path()).unwrap().machines_folder().unwrap();
        let web = machines.folder("web").unwrap();
        web.replace("ledger", b"x").unwrap();
        drop(web.try_lock("lock").unwrap());
        let mode = |path: &str| {
            let path = machines.path().join(path);
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(mode(""), 0o700);
        assert_eq!(mode("web"), 0o700);
        assert_eq!(mode("web/ledger"), 0o600);
        assert_eq!(mode("web/lock"), 0o600);
        symlink(root.path(), machines.path().join("link")).unwrap();
        machines.existing_folder("link").err().unwrap();
        symlink("/etc/hostname", web.path().join("name")).unwrap();
        web.read("name", 1 << 20).unwrap_err();
    }
}

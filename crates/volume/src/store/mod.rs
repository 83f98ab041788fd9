//! The store: one folder with a database of volumes and a folder for each.
//!
//! Opening is cheap: a connection, one indexed query for unfinished work, one look into the folder
//! of locks. Everything else is done when it is asked for.
//!
//! A store may be shared by threads, and a folder by processes. Locks, in the order they are taken:
//! 1. the lock of an image (remove, open),
//! 2. `database`, the mutex around the connection (never held while an image is written; a rescue
//!    record, which is small, is written within the transaction that says so),
//! 3. the write lock of SQLite,
//! 4. the lock file of an operation.
//!
//! The lock of kept passwords (`crate::secret`) is taken before all of them but the first.
//!
//! `store.lock` is held alone, while the database is made.

pub(crate) mod claims;
pub(crate) mod database;
mod examine;
pub(crate) mod folder;
pub(crate) mod gate;
pub(crate) mod layers;
pub(crate) mod operation;
mod private;
pub(crate) mod rebuild;
mod recover;
pub(crate) mod rescue;
pub(crate) mod reserve;
mod schema;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Result, VolumeError, VolumeErrorKind};
use crate::name::VolumeName;
use crate::record::VolumeRecord;
use crate::secret::KeySource;
use database::Database;
use folder::{DATABASE, Folders, STORE_LOCK};
use reserve::Reserve;
use schema::SCHEMA_VERSION;

pub use examine::{StoreClass, StoreCure, StoreFinding};
pub use private::{FileLock, PrivateFolder};
pub use rebuild::RebuildReport;

/// A store of volumes, open.
pub struct Store {
    folders: Folders,
    database: Mutex<Database>,
    notices: Vec<Notice>,
    /// Where the key of kept passwords is.
    pub(crate) key_source: KeySource,
    recovered: Recovered,
    /// The last field: it takes space again when the database is closed and has given back its own.
    _reserve: Reserve,
}

/// What opening the store finished of the work of dead processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Recovered {
    /// Volumes that were being made or removed.
    volumes: u64,
    /// Layers that were being made, merged or removed.
    layers: u64,
    /// Rescue records that were older than their rows.
    records: u64,
}

/// Something the store did on its own when it was opened, for the user to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The database was missing or damaged and was rebuilt from the rescue records.
    Rebuilt(RebuildReport),
    /// The folder lets others in than those it is for, who are named (Windows).
    OpenToOthers(Vec<String>),
}

impl Store {
    /// Opens the store in `root`, which is made where it does not exist, and completes or undoes
    /// what dead processes left. Where the database is missing or damaged, it is rebuilt from the
    /// rescue records of the volumes; a damaged one is kept under another name
    /// ([`Store::notices`] tells).
    ///
    /// # Errors
    /// `InvalidArgument` where `root` holds other things than a store, `Damaged`, `Unsupported` for
    /// a store of a newer version, `InUse` where others keep the database locked or work while it
    /// is damaged, `Io`.
    pub fn open(root: &Path) -> Result<Self> {
        let folders = Folders::open(root)?;
        let reserve = Reserve::prepare(&folders)?;
        let mut notices = Vec::new();
        let database = match open_database(&folders) {
            Ok(Some(database)) => database,
            Err(error) if !is_damage(&folders, &error)? => return Err(error),
            Ok(None) | Err(_) => {
                let (database, report) = make_database(&folders)?;
                if !report.is_empty() {
                    notices.push(Notice::Rebuilt(report));
                }
                database
            }
        };
        let others = folders.open_to();
        if !others.is_empty() {
            notices.push(Notice::OpenToOthers(others));
        }
        let mut store = Self {
            folders,
            database: Mutex::new(database),
            notices,
            key_source: KeySource::default(),
            recovered: Recovered::default(),
            _reserve: reserve,
        };
        store.recover()?;
        Ok(store)
    }

    /// Rebuilds the database from the rescue records beside the images. The old one is kept under
    /// another name.
    ///
    /// # Errors
    /// `InUse` while somebody works on a volume; as for [`Store::open`].
    pub fn rebuild(root: &Path) -> Result<RebuildReport> {
        let folders = Folders::open(root)?;
        let _alone = lock_store(&folders)?;
        let (_, report) = replace_database_locked(&folders)?;
        Ok(report)
    }

    /// What opening the store did beyond opening it.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// The canonical path of the store.
    pub fn root(&self) -> &Path {
        self.folders.path()
    }

    /// The record of a volume, in whatever state.
    ///
    /// # Errors
    /// `NotFound`, `Damaged`, `Io`.
    pub fn get(&self, name: &VolumeName) -> Result<VolumeRecord> {
        self.database().find(name)?.ok_or_else(|| not_found(name))
    }

    pub(crate) fn folders(&self) -> &Folders {
        &self.folders
    }

    /// The connection; a thread that panicked with it left at most a transaction that was undone.
    pub(crate) fn database(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn not_found(name: &VolumeName) -> VolumeError {
    VolumeError::NotFound {
        name: name.as_str().to_owned(),
    }
}

/// Opens a database that is complete; `None` where it is missing or still empty.
fn open_database(folders: &Folders) -> Result<Option<Database>> {
    match folder::metadata(folders.root(), DATABASE)? {
        None => return Ok(None),
        Some(found) if !found.is_file() => {
            return Err(VolumeError::damaged(DATABASE, "not a file"));
        }
        Some(_) => {}
    }
    let mut database = Database::open(folders.path())?;
    let version = database.version()?;
    if version == SCHEMA_VERSION && reserve::has_small_blocks(folders) {
        database.touch_shared_memory()?;
    }
    match version {
        0 => Ok(None),
        older if (1..SCHEMA_VERSION).contains(&older) => {
            database.upgrade()?;
            Ok(Some(database))
        }
        SCHEMA_VERSION => {
            // Opening reads next to nothing; this reads the schema and one index.
            database.unfinished()?;
            Ok(Some(database))
        }
        found => Err(VolumeError::NewerStore {
            found,
            known: SCHEMA_VERSION,
        }),
    }
}

/// Whether what opening the database met is damage of its file. What is no file at all (a link,
/// say) was put there by somebody, and is left for him to judge.
fn is_damage(folders: &Folders, error: &VolumeError) -> Result<bool> {
    let is_file = folder::metadata(folders.root(), DATABASE)?.is_some_and(|found| found.is_file());
    Ok(is_file && error.kind() == VolumeErrorKind::Damaged)
}

/// Makes the database, or makes it anew where it is damaged, with other processes that want to do the same kept waiting.
fn make_database(folders: &Folders) -> Result<(Database, RebuildReport)> {
    let _alone = lock_store(folders)?;
    match open_database(folders) {
        Ok(Some(database)) => Ok((database, RebuildReport::default())),
        Ok(None) => make_database_locked(folders),
        Err(error) if is_damage(folders, &error)? => {
            tracing::warn!(%error, "the database is damaged and is rebuilt");
            replace_database_locked(folders)
        }
        Err(error) => Err(error),
    }
}

fn replace_database_locked(folders: &Folders) -> Result<(Database, RebuildReport)> {
    let set_aside = rebuild::set_database_aside(folders)?;
    let (database, report) = make_database_locked(folders)?;
    let report = RebuildReport {
        set_aside,
        ..report
    };
    Ok((database, report))
}

fn make_database_locked(folders: &Folders) -> Result<(Database, RebuildReport)> {
    let (records, report) = rebuild::collect(folders)?;
    if folder::metadata(folders.root(), DATABASE)?.is_none() {
        // What a lost database left beside it would be taken for a part of the new one.
        rebuild::remove_leftovers(folders)?;
        // SQLite would make it readable for others. Only ever made new here: closing a second
        // handle of a database that is open drops SQLite's locks on Unix.
        folder::create_new(folders.root(), DATABASE)
            .map_err(|error| VolumeError::host("creating", DATABASE, error))?;
    }
    let mut database = Database::open(folders.path())?;
    database.initialise(&records)?;
    Ok((database, report))
}

/// Waits for the lock of the store; it is let go of when the file is dropped.
fn lock_store(folders: &Folders) -> Result<std::fs::File> {
    let fail = |error| VolumeError::host("locking", STORE_LOCK, error);
    let file = match folder::create_new(folders.root(), STORE_LOCK) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            folder::open_existing(folders.root(), STORE_LOCK)
        }
        result => result,
    };
    let file = file.map_err(fail)?.into_std();
    file.lock().map_err(fail)?;
    Ok(file)
}

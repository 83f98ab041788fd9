//! Operations: who works on a volume, and whether that process still lives.
//!
//! The process behind an operation holds the system's lock on the file `locks/OPERATION`; when it
//! dies, however it dies, the system lets go of it. A row of the database that names an operation
//! whose lock is free was left by a dead process.
//!
//! # Why no living operation is ever taken for dead
//! 1. The lock file is made and locked inside the transaction that writes the row, before it
//!    commits: a row that can be seen has its lock held.
//! 2. The file is removed after the transaction that finishes the row, while it is still locked:
//!    whoever gets the lock of a removed file finds no row with that operation any more, since
//!    operations are never used twice. So whoever gets a lock looks for the row again.
//! 3. A lock file without a row is removed inside a write transaction only, when no creator can
//!    stand between making the file and writing the row.
//! 4. A power loss may keep the row and lose the file. Then no process lives; the file is made
//!    again, inside a write transaction so that one process does it.

use std::fs::{File, TryLockError};
use std::io;

use uuid::Uuid;

use super::database::Database;
use super::folder::{self, Folders};
use crate::error::{Result, VolumeError};

/// An operation of this process: it lives as long as this value.
pub(crate) struct Operation {
    id: Uuid,
    _lock: File,
}

/// What was found of an operation that a row names.
enum Found {
    /// Its process lives.
    Alive,
    /// It is dead, and this is its lock.
    Dead(File),
    /// It has no lock file.
    NoFile,
}

impl Operation {
    /// Begins an operation. Called inside the transaction that writes its row.
    pub(crate) fn begin(folders: &Folders) -> Result<Self> {
        let id = Uuid::new_v4();
        let fail = |error| VolumeError::host("locking", format!("locks/{id}"), error);
        let file = folder::create_new(folders.locks(), &id.to_string()).map_err(fail)?;
        let file = file.into_std();
        // Waits for moments at most: a sweep that tries a free lock lets go of it at once.
        file.lock().map_err(fail)?;
        Ok(Self { id, _lock: file })
    }

    /// Its id, for the row.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// Ends the operation after its row is finished. Where the file cannot be removed now, the next
    /// sweep does it.
    pub(crate) fn end(self, folders: &Folders) {
        if let Err(error) = folders.locks().remove_file(self.id.to_string()) {
            tracing::debug!(operation = %self.id, %error, "lock file stays for the next sweep");
        }
    }

    /// Takes over an operation that a row names, if its process is dead. The caller looks for the
    /// row again before it acts.
    pub(crate) fn take_over(
        folders: &Folders,
        database: &mut Database,
        id: Uuid,
    ) -> Result<Option<Self>> {
        let found = match find(folders, id)? {
            Found::NoFile => {
                database.write("taking over an operation", |_| make_again(folders, id))?
            }
            found => found,
        };
        match found {
            Found::Dead(lock) => Ok(Some(Self { id, _lock: lock })),
            Found::Alive | Found::NoFile => Ok(None),
        }
    }
}

/// Makes a lost lock file again and locks it; somebody else may be faster.
fn make_again(folders: &Folders, id: Uuid) -> Result<Found> {
    let file = match folder::create_new(folders.locks(), &id.to_string()) {
        Ok(file) => file.into_std(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return find(folders, id),
        Err(error) => return Err(VolumeError::host("locking", format!("locks/{id}"), error)),
    };
    Ok(if try_lock(&file, id)? {
        Found::Dead(file)
    } else {
        Found::Alive
    })
}

/// Removes lock files that no row names and nobody holds, of all that were seen in `names` before
/// the rows were read.
pub(crate) fn sweep(folders: &Folders, database: &mut Database, names: &[String]) -> Result<()> {
    for name in names {
        let Some(id) = crate::record::parse_id(name) else {
            continue;
        };
        // Let go at once: a creator may be waiting for it inside its transaction.
        if !matches!(find(folders, id)?, Found::Dead(_)) {
            continue;
        }
        database.write("sweeping locks", |transaction| {
            if transaction.has_operation(id)? {
                return Ok(());
            }
            if let Found::Dead(_held) = find(folders, id)? {
                let removed = folders.locks().remove_file(name);
                if let Err(error) = removed {
                    tracing::debug!(operation = %id, %error, "a stray lock file stays");
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn find(folders: &Folders, id: Uuid) -> Result<Found> {
    match folder::open_existing(folders.locks(), &id.to_string()) {
        Ok(file) => {
            let file = file.into_std();
            Ok(if try_lock(&file, id)? {
                Found::Dead(file)
            } else {
                Found::Alive
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::NoFile),
        // On Windows a removed file answers like this until its last user closes it.
        Err(error) if crate::platform::is_transient(&error) => Ok(Found::Alive),
        Err(error) => Err(VolumeError::host("opening", format!("locks/{id}"), error)),
    }
}

/// Whether the lock was free, and is held now.
fn try_lock(file: &File, id: Uuid) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => {
            Err(VolumeError::host("locking", format!("locks/{id}"), error))
        }
    }
}

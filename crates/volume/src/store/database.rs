//! The database of a store: SQLite in write-ahead mode, one row a volume.
//!
//! `synchronous = FULL`: a transaction that committed is durable. Writers begin with
//! `BEGIN IMMEDIATE`, so that what they read is what they change. Waiting is left to SQLite, with
//! a generous limit.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};
use uuid::Uuid;

use super::folder::DATABASE;
use super::rescue::Rescue;
use super::schema::{self, SCHEMA_VERSION};
use crate::error::{Result, VolumeError};
use crate::name::VolumeName;
use crate::platform;
use crate::record::{VolumeRecord, parse_id};
use crate::state::{self, Trigger, VolumeState};

/// How long a process waits for others to finish with the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection to the database.
pub(crate) struct Database {
    connection: Connection,
}

/// A write transaction.
pub(crate) struct Transaction<'a> {
    connection: &'a Connection,
}

/// A volume that somebody works on, or did when he died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// The volume.
    pub(crate) id: Uuid,
    /// What was being done.
    pub(crate) state: VolumeState,
    /// The operation.
    pub(crate) operation: Uuid,
}

impl Database {
    /// Connects to the database in the canonical `root`; the file must exist.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        // NOFOLLOW refuses a link anywhere in the path; the root is canonical, so one can only have
        // been put there since.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let file = platform::database_path(root.join(DATABASE));
        let connection = match platform::DATABASE_SYSTEM {
            None => Connection::open_with_flags(file, flags),
            Some(system) => Connection::open_with_flags_and_vfs(file, flags, system),
        };
        let connection = connection.map_err(failed("opening it"))?;
        connection
            .busy_timeout(BUSY_TIMEOUT)
            .map_err(failed("setting it up"))?;
        connection
            .execute_batch("PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;")
            .map_err(failed("setting it up"))?;
        Ok(Self { connection })
    }

    /// The version of its schema; 0 for a database that is empty yet.
    pub(crate) fn version(&self) -> Result<i64> {
        self.connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(failed("reading its version"))
    }

    /// Changes nothing, in a transaction, by which all of the memory that processes share is written.
    ///
    /// SQLite makes sure of the space of each page of it with one byte. Where blocks of the host are
    /// smaller than a page, a host that is full at the wrong moment would kill the process with a
    /// signal when the rest of a page is written first.
    pub(crate) fn touch_shared_memory(&mut self) -> Result<()> {
        self.write("making sure of its memory", |transaction| {
            transaction
                .connection
                .pragma_update(None, "user_version", SCHEMA_VERSION)
                .map_err(failed("making sure of its memory"))
        })
    }

    /// Makes the schema and fills it with `volumes`, in one transaction.
    pub(crate) fn initialise(&mut self, volumes: &[Rescue]) -> Result<()> {
        let mode: String = self
            .connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
            .map_err(failed("setting its journal mode"))?;
        if mode != "wal" {
            tracing::debug!(%mode, "this host has no write-ahead mode");
        }
        self.write("making its schema", |transaction| {
            schema::upgrade(transaction.connection, 0).map_err(failed("making its schema"))?;
            for volume in volumes {
                transaction.insert_rescue(volume)?;
            }
            Ok(())
        })
    }

    /// What SQLite finds wrong with the file; nothing where it is whole.
    pub(crate) fn integrity(&self) -> Result<Vec<String>> {
        let fail = failed("checking it");
        let mut statement = self
            .connection
            .prepare("PRAGMA integrity_check(10)")
            .map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(fail)? {
            found.push(text(row, 0)?);
        }
        found.retain(|message| message != "ok");
        Ok(found)
    }

    /// Brings a database of an older version up to today's, in one transaction.
    pub(crate) fn upgrade(&mut self) -> Result<()> {
        self.write("bringing its schema up to date", |transaction| {
            // Read again: another process may have been faster.
            let from = transaction
                .connection
                .pragma_query_value(None, "user_version", |row| row.get(0))
                .map_err(failed("reading its version"))?;
            if from >= SCHEMA_VERSION {
                return Ok(());
            }
            schema::upgrade(transaction.connection, from)
                .map_err(failed("bringing its schema up to date"))
        })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs `action` in a transaction that keeps other writers out from its start; an error undoes
    /// all of it. When this returns `Ok`, it is durable.
    pub(crate) fn write<T>(
        &mut self,
        doing: &'static str,
        action: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed(doing))?;
        let value = action(&Transaction {
            connection: &transaction,
        })?;
        transaction.commit().map_err(failed(doing))?;
        Ok(value)
    }

    /// The volume of this name, in whatever state.
    pub(crate) fn find(&self, name: &VolumeName) -> Result<Option<VolumeRecord>> {
        find(&self.connection, name)
    }

    /// The volume of this id, in whatever state.
    pub(crate) fn volume(&self, id: Uuid) -> Result<Option<VolumeRecord>> {
        volume(&self.connection, id)
    }

    /// All volumes, by name.
    pub(crate) fn all(&self) -> Result<Vec<VolumeRecord>> {
        const QUERY: &str =
            "SELECT id, name_key, state, record, head FROM volume ORDER BY name_key";
        let mut statement = self.connection.prepare(QUERY).map_err(failed("listing"))?;
        let mut rows = statement.query([]).map_err(failed("listing"))?;
        let mut records = Vec::new();
        while let Some(row) = rows.next().map_err(failed("listing"))? {
            records.push(record_of(row)?);
        }
        Ok(records)
    }

    /// The volumes that are being worked on.
    pub(crate) fn unfinished(&self) -> Result<Vec<Unfinished>> {
        const QUERY: &str = "SELECT id, state, operation FROM volume WHERE operation IS NOT NULL";
        let fail = failed("looking for unfinished work");
        let mut statement = self.connection.prepare_cached(QUERY).map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(fail)? {
            let [id, state, operation] = [text(row, 0)?, text(row, 1)?, text(row, 2)?];
            found.push(Unfinished {
                id: parse_id(&id).ok_or_else(|| bad_row("its id is none"))?,
                state: VolumeState::from_word(&state)
                    .ok_or_else(|| bad_row("its state is none"))?,
                operation: parse_id(&operation).ok_or_else(|| bad_row("its operation is none"))?,
            });
        }
        Ok(found)
    }

    /// Whether the row of unfinished work still stands as it was.
    pub(crate) fn is_unfinished(&self, work: &Unfinished) -> Result<bool> {
        const QUERY: &str = "SELECT 1 FROM volume WHERE id = ?1 AND state = ?2 AND operation = ?3";
        self.connection
            .query_row(
                QUERY,
                params![
                    work.id.to_string(),
                    work.state.as_str(),
                    work.operation.to_string()
                ],
                |_| Ok(()),
            )
            .optional()
            .map(|row| row.is_some())
            .map_err(failed("looking for unfinished work"))
    }
}

impl Transaction<'_> {
    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }

    /// The volume of this id, in whatever state.
    pub(crate) fn volume(&self, id: Uuid) -> Result<Option<VolumeRecord>> {
        volume(self.connection, id)
    }

    /// The volume of this name, in whatever state.
    pub(crate) fn find(&self, name: &VolumeName) -> Result<Option<VolumeRecord>> {
        find(self.connection, name)
    }

    /// Adds a volume with its layers and snapshots, as its rescue record has them. The name must be
    /// free.
    pub(crate) fn insert_rescue(&self, rescue: &Rescue) -> Result<()> {
        self.insert(&rescue.record, Trigger::Rebuilt, None)?;
        for layer in &rescue.layers {
            self.insert_layer(layer, None)?;
        }
        for snapshot in &rescue.snapshots {
            self.insert_snapshot(rescue.record.id, snapshot)?;
        }
        Ok(())
    }

    /// Adds a volume by `trigger`. The name must be free.
    pub(crate) fn insert(
        &self,
        record: &VolumeRecord,
        trigger: Trigger,
        operation: Option<Uuid>,
    ) -> Result<()> {
        const STATEMENT: &str = "INSERT INTO volume (id, name_key, state, operation, record, head) \
                                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let state = target(None, trigger)?.ok_or_else(|| bad_row("it has no state"))?;
        let document = record
            .to_document()
            .map_err(|error| bad_row(error.to_string()))?;
        let values = params![
            record.id.to_string(),
            record.name.key(),
            state.as_str(),
            operation.map(|operation| operation.to_string()),
            document,
            record.head.to_string(),
        ];
        self.connection
            .execute(STATEMENT, values)
            .map_err(failed("adding a volume"))?;
        Ok(())
    }

    /// Moves a volume from `from` by `trigger`; `operation` is the new one, none where the new
    /// state is ready. `false` where the volume is not in `from` any more.
    pub(crate) fn advance(
        &self,
        id: Uuid,
        from: VolumeState,
        trigger: Trigger,
        operation: Option<Uuid>,
    ) -> Result<bool> {
        let volume = id;
        let id = id.to_string();
        let changed = match target(Some(from), trigger)? {
            Some(to) => self.connection.execute(
                "UPDATE volume SET state = ?3, operation = ?4 WHERE id = ?1 AND state = ?2",
                params![
                    id,
                    from.as_str(),
                    to.as_str(),
                    operation.map(|operation| operation.to_string())
                ],
            ),
            None => self.connection.execute(
                "DELETE FROM volume WHERE id = ?1 AND state = ?2",
                params![id, from.as_str()],
            ),
        };
        let is_changed = changed.map_err(failed("changing a volume"))? == 1;
        if is_changed && target(Some(from), trigger)?.is_none() {
            self.delete_layers(volume)?;
        }
        Ok(is_changed)
    }

    /// Gives a volume that is ready another document. `false` where it is not ready any more.
    pub(crate) fn replace(&self, record: &VolumeRecord) -> Result<bool> {
        let document = record
            .to_document()
            .map_err(|error| bad_row(error.to_string()))?;
        let changed = self.connection.execute(
            "UPDATE volume SET record = ?3 WHERE id = ?1 AND state = ?2",
            params![record.id.to_string(), VolumeState::Ready.as_str(), document],
        );
        Ok(changed.map_err(failed("changing a volume"))? == 1)
    }

    /// Whether a row names this operation.
    pub(crate) fn has_operation(&self, operation: Uuid) -> Result<bool> {
        self.connection
            .query_row(
                "SELECT 1 FROM volume WHERE operation = ?1 \
                 UNION ALL SELECT 1 FROM layer WHERE operation = ?1",
                [operation.to_string()],
                |_| Ok(()),
            )
            .optional()
            .map(|row| row.is_some())
            .map_err(failed("looking for an operation"))
    }
}

fn target(from: Option<VolumeState>, trigger: Trigger) -> Result<Option<VolumeState>> {
    state::next(from, trigger).map_err(|from| {
        let from = from.map_or("no volume", VolumeState::as_str);
        bad_row(format!("{trigger:?} is not possible from {from}"))
    })
}

/// The columns of a volume, for [`record_of`].
const VOLUME: &str = "id, name_key, state, record, head";

fn find(connection: &Connection, name: &VolumeName) -> Result<Option<VolumeRecord>> {
    let query = format!("SELECT {VOLUME} FROM volume WHERE name_key = ?1");
    first(connection, &query, &name.key())
}

fn volume(connection: &Connection, id: Uuid) -> Result<Option<VolumeRecord>> {
    let query = format!("SELECT {VOLUME} FROM volume WHERE id = ?1");
    first(connection, &query, &id.to_string())
}

fn first(connection: &Connection, query: &str, value: &str) -> Result<Option<VolumeRecord>> {
    let fail = failed("looking for a volume");
    let mut statement = connection.prepare_cached(query).map_err(fail)?;
    let mut rows = statement.query([value]).map_err(fail)?;
    match rows.next().map_err(fail)? {
        Some(row) => record_of(row).map(Some),
        None => Ok(None),
    }
}

/// The record of a row; its parts must agree.
fn record_of(row: &Row<'_>) -> Result<VolumeRecord> {
    let [id, name_key, state] = [text(row, 0)?, text(row, 1)?, text(row, 2)?];
    let damaged = |reason: String| {
        VolumeError::damaged(
            DATABASE,
            format!("the row of volume \"{name_key}\": {reason}"),
        )
    };
    let state =
        VolumeState::from_word(&state).ok_or_else(|| damaged("its state is none".to_owned()))?;
    let record = VolumeRecord::from_document(&text(row, 3)?, state).map_err(damaged)?;
    let head = id_of(&text(row, 4)?)?;
    if record.id.to_string() != id || record.name.key() != name_key {
        return Err(damaged("its record is of another volume".to_owned()));
    }
    Ok(VolumeRecord { head, ..record })
}

/// An id as it stands in a row.
pub(super) fn id_of(text: &str) -> Result<Uuid> {
    parse_id(text).ok_or_else(|| bad_row(format!("{text:?} is no id")))
}

pub(super) fn text(row: &Row<'_>, column: usize) -> Result<String> {
    row.get(column).map_err(failed("reading a row"))
}

pub(super) fn bad_row(reason: impl Into<String>) -> VolumeError {
    VolumeError::damaged(DATABASE, reason)
}

pub(super) fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> VolumeError + Copy {
    move |source| match source.sqlite_error_code() {
        // On a host without any space this comes first, and SQLite calls it a failure of the disk.
        _ if is_short_of_space(&source) => short_of_space(),
        Some(rusqlite::ErrorCode::DatabaseBusy) => VolumeError::DatabaseBusy {
            seconds: BUSY_TIMEOUT.as_secs(),
        },
        _ => VolumeError::Database { doing, source },
    }
}

/// That a host has not the space that opening the database takes.
pub(super) fn short_of_space() -> VolumeError {
    VolumeError::Host {
        doing: "making room beside",
        path: DATABASE.to_owned(),
        source: std::io::ErrorKind::StorageFull.into(),
    }
}

/// Whether the file of memory that processes share could not be made long enough.
fn is_short_of_space(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

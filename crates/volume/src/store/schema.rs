//! The schema of the database, and how an older one becomes today's.
//!
//! Version 1 had the table of volumes alone. Version 2 added layers and snapshots; each volume of
//! version 1 has one layer, which bears its id. Version 3 added claims, of which there were none
//! before.

use rusqlite::Connection;

/// The schema that this program writes.
pub(super) const SCHEMA_VERSION: i64 = 3;
/// "cvol", so that tools know the file.
const APPLICATION_ID: i64 = 0x6376_6F6C;

/// `operation` is null exactly where the state is `ready`; the partial index makes finding
/// unfinished work cheap however many volumes there are.
const VERSION_1: &str = "
CREATE TABLE volume (
    id        TEXT NOT NULL PRIMARY KEY,
    name_key  TEXT NOT NULL UNIQUE,
    state     TEXT NOT NULL CHECK (state IN ('creating', 'ready', 'deleting')),
    operation TEXT UNIQUE,
    record    TEXT NOT NULL,
    CHECK ((state = 'ready') = (operation IS NULL))
) STRICT;
CREATE INDEX volume_unfinished ON volume (operation) WHERE operation IS NOT NULL;
";

/// - `volume.head`: the layer that is read and written;
/// - `volume.stale`: the rescue record beside the images is older than these rows;
/// - `layer`: see [`crate::layer`]; several layers may be the work of one operation;
/// - `snapshot.layer`: the layer that it names, in the folder of the same volume.
const VERSION_2: &str = "
ALTER TABLE volume ADD COLUMN head TEXT NOT NULL DEFAULT '';
ALTER TABLE volume ADD COLUMN stale INTEGER NOT NULL DEFAULT 0 CHECK (stale IN (0, 1));
UPDATE volume SET head = id;
CREATE INDEX volume_stale ON volume (id) WHERE stale = 1;
CREATE TABLE layer (
    id        TEXT NOT NULL PRIMARY KEY,
    volume    TEXT NOT NULL,
    parent    TEXT,
    state     TEXT NOT NULL CHECK (state IN ('creating', 'ready', 'merging', 'deleting')),
    operation TEXT,
    born_as   TEXT,
    CHECK ((state = 'ready') = (operation IS NULL))
) STRICT;
INSERT INTO layer (id, volume, state) SELECT id, id, 'ready' FROM volume;
CREATE INDEX layer_of_volume ON layer (volume);
CREATE INDEX layer_on_parent ON layer (parent) WHERE parent IS NOT NULL;
CREATE INDEX layer_unfinished ON layer (operation) WHERE operation IS NOT NULL;
CREATE TABLE snapshot (
    volume          TEXT NOT NULL,
    name_key        TEXT NOT NULL,
    name            TEXT NOT NULL,
    layer           TEXT NOT NULL UNIQUE,
    created_unix_ms INTEGER NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('ready', 'removing')),
    PRIMARY KEY (volume, name_key)
) STRICT;
";

/// - `claim`: see [`crate::claim`]; `holder` is the machine, which may use a volume for several
///   attachments.
const VERSION_3: &str = "
CREATE TABLE claim (
    volume        TEXT NOT NULL,
    attachment    TEXT NOT NULL,
    holder        TEXT NOT NULL,
    owner         TEXT NOT NULL,
    mode          TEXT NOT NULL CHECK (mode IN ('reader', 'writer')),
    since_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (volume, attachment)
) STRICT;
CREATE INDEX claim_of_attachment ON claim (attachment);
";

/// Makes of a database of version `from` (0: empty) one of today; within a transaction.
pub(super) fn upgrade(connection: &Connection, from: i64) -> rusqlite::Result<()> {
    if from < 1 {
        connection.execute_batch(VERSION_1)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    if from < 2 {
        connection.execute_batch(VERSION_2)?;
    }
    if from < 3 {
        connection.execute_batch(VERSION_3)?;
    }
    connection.pragma_update(None, "user_version", SCHEMA_VERSION)
}

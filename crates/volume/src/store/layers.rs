//! The rows of layers and snapshots.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::database::{Database, Transaction, bad_row, failed, id_of, text};
use crate::error::Result;
use crate::layer::{LayerRecord, LayerState, SnapshotName, SnapshotRecord, SnapshotState};

/// A layer that somebody works on, or did when he died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnfinishedLayer {
    pub(crate) layer: LayerRecord,
    pub(crate) state: LayerState,
    pub(crate) operation: Uuid,
}

/// Who stands on a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependent {
    pub(crate) layer: LayerRecord,
    /// The volume that the layer belongs to, as its row has the name.
    pub(crate) volume: String,
    /// The snapshot that names the layer; `None` for the head.
    pub(crate) snapshot: Option<String>,
}

const LAYER: &str = "id, volume, parent, born_as";

fn layer_of(row: &Row<'_>) -> Result<LayerRecord> {
    let optional = |column| -> Result<Option<Uuid>> {
        let text: Option<String> = row.get(column).map_err(failed("reading a row"))?;
        text.map(|text| id_of(&text)).transpose()
    };
    Ok(LayerRecord {
        id: id_of(&text(row, 0)?)?,
        volume: id_of(&text(row, 1)?)?,
        parent: optional(2)?,
        born_as: optional(3)?,
    })
}

fn layers_where(connection: &Connection, condition: &str, value: &str) -> Result<Vec<LayerRecord>> {
    let fail = failed("looking for layers");
    let query = format!("SELECT {LAYER} FROM layer WHERE {condition} ORDER BY id");
    let mut statement = connection.prepare_cached(&query).map_err(fail)?;
    let mut rows = statement.query([value]).map_err(fail)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        found.push(layer_of(row)?);
    }
    Ok(found)
}

/// The layer and all below it, the layer first. A circle of damaged rows ends with the limit.
fn chain(connection: &Connection, layer: Uuid) -> Result<Vec<LayerRecord>> {
    const QUERY: &str = "
        WITH RECURSIVE chain (id, depth) AS (
            SELECT ?1, 0
            UNION ALL
            SELECT layer.parent, depth + 1 FROM layer JOIN chain ON layer.id = chain.id
            WHERE layer.parent IS NOT NULL AND depth < 1000
        )
        SELECT layer.id, layer.volume, layer.parent, layer.born_as
        FROM chain JOIN layer ON layer.id = chain.id ORDER BY depth";
    let fail = failed("looking for layers");
    let mut statement = connection.prepare_cached(QUERY).map_err(fail)?;
    let mut rows = statement.query([layer.to_string()]).map_err(fail)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        found.push(layer_of(row)?);
    }
    Ok(found)
}

/// Layers of other volumes that stand on layers of this one.
const ON_VOLUME: &str =
    "layer.parent IN (SELECT id FROM layer WHERE volume = ?1) AND layer.volume <> ?1";
const SNAPSHOT: &str = "name, layer, created_unix_ms, state";

fn snapshot_of(row: &Row<'_>) -> Result<SnapshotRecord> {
    let created: i64 = row.get(2).map_err(failed("reading a row"))?;
    Ok(SnapshotRecord {
        name: SnapshotName::parse(&text(row, 0)?).map_err(|error| bad_row(error.to_string()))?,
        layer: id_of(&text(row, 1)?)?,
        created_unix_ms: u64::try_from(created).unwrap_or(0),
        state: SnapshotState::from_word(&text(row, 3)?)
            .ok_or_else(|| bad_row("the state of a snapshot is none"))?,
    })
}

fn snapshots(connection: &Connection, volume: Uuid) -> Result<Vec<SnapshotRecord>> {
    let fail = failed("looking for snapshots");
    let query = format!(
        "SELECT {SNAPSHOT} FROM snapshot WHERE volume = ?1 ORDER BY created_unix_ms, name_key"
    );
    let mut statement = connection.prepare_cached(&query).map_err(fail)?;
    let mut rows = statement.query([volume.to_string()]).map_err(fail)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        found.push(snapshot_of(row)?);
    }
    Ok(found)
}

fn find_snapshot(
    connection: &Connection,
    volume: Uuid,
    name: &SnapshotName,
) -> Result<Option<SnapshotRecord>> {
    let fail = failed("looking for a snapshot");
    let query = format!("SELECT {SNAPSHOT} FROM snapshot WHERE volume = ?1 AND name_key = ?2");
    let mut statement = connection.prepare_cached(&query).map_err(fail)?;
    let mut rows = statement
        .query(params![volume.to_string(), name.key()])
        .map_err(fail)?;
    rows.next().map_err(fail)?.map(snapshot_of).transpose()
}

fn dependents(connection: &Connection, condition: &str, id: Uuid) -> Result<Vec<Dependent>> {
    let fail = failed("looking for dependents");
    let query = format!(
        "SELECT layer.id, layer.volume, layer.parent, layer.born_as,
                json_extract(volume.record, '$.name'), snapshot.name
         FROM layer JOIN volume ON volume.id = layer.volume
         LEFT JOIN snapshot ON snapshot.layer = layer.id
         WHERE {condition} ORDER BY volume.name_key, snapshot.name_key, layer.id"
    );
    let mut statement = connection.prepare_cached(&query).map_err(fail)?;
    let mut rows = statement.query([id.to_string()]).map_err(fail)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        found.push(Dependent {
            layer: layer_of(row)?,
            volume: text(row, 4)?,
            snapshot: row.get(5).map_err(fail)?,
        });
    }
    Ok(found)
}

/// What is asked of rows inside a transaction and outside of one.
pub(crate) trait LayerRows {
    /// What the rows are read through.
    fn rows(&self) -> &Connection;

    /// A layer and all below it, the layer first.
    fn chain(&self, layer: Uuid) -> Result<Vec<LayerRecord>> {
        chain(self.rows(), layer)
    }

    /// The layers of other volumes that stand on layers of a volume.
    fn dependents(&self, volume: Uuid) -> Result<Vec<Dependent>> {
        dependents(self.rows(), ON_VOLUME, volume)
    }

    /// The snapshots of a volume, the oldest first.
    fn snapshots(&self, volume: Uuid) -> Result<Vec<SnapshotRecord>> {
        snapshots(self.rows(), volume)
    }

    /// A snapshot of a volume.
    fn find_snapshot(&self, volume: Uuid, name: &SnapshotName) -> Result<Option<SnapshotRecord>> {
        find_snapshot(self.rows(), volume, name)
    }
}

impl LayerRows for Database {
    fn rows(&self) -> &Connection {
        self.connection()
    }
}

impl LayerRows for Transaction<'_> {
    fn rows(&self) -> &Connection {
        self.connection()
    }
}

impl Database {
    /// The layers of a volume.
    pub(crate) fn layers(&self, volume: Uuid) -> Result<Vec<LayerRecord>> {
        layers_where(self.connection(), "volume = ?1", &volume.to_string())
    }

    /// The layers of a volume and where each stands.
    pub(crate) fn layers_and_states(&self, volume: Uuid) -> Result<Vec<(LayerRecord, LayerState)>> {
        let fail = failed("looking for layers");
        let query = format!("SELECT {LAYER}, state FROM layer WHERE volume = ?1 ORDER BY id");
        let mut statement = self.connection().prepare_cached(&query).map_err(fail)?;
        let mut rows = statement.query([volume.to_string()]).map_err(fail)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(fail)? {
            let state = LayerState::from_word(&text(row, 4)?)
                .ok_or_else(|| bad_row("the state of a layer is none"))?;
            found.push((layer_of(row)?, state));
        }
        Ok(found)
    }

    /// How many snapshots each volume has that has any.
    pub(crate) fn snapshot_counts(&self) -> Result<BTreeMap<Uuid, u64>> {
        const QUERY: &str = "SELECT volume, count(*) FROM snapshot GROUP BY volume";
        let fail = failed("counting snapshots");
        let mut statement = self.connection().prepare_cached(QUERY).map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        let mut counts = BTreeMap::new();
        while let Some(row) = rows.next().map_err(fail)? {
            let count: i64 = row.get(1).map_err(fail)?;
            counts.insert(id_of(&text(row, 0)?)?, u64::try_from(count).unwrap_or(0));
        }
        Ok(counts)
    }

    /// What each volume that stands on another one stands on, `VOLUME@SNAPSHOT`.
    pub(crate) fn bases(&self) -> Result<BTreeMap<Uuid, String>> {
        const QUERY: &str = "
            SELECT layer.volume, json_extract(volume.record, '$.name') || '@' || snapshot.name
            FROM layer JOIN layer AS parent ON parent.id = layer.parent
            JOIN volume ON volume.id = parent.volume
            JOIN snapshot ON snapshot.layer = parent.id
            WHERE parent.volume <> layer.volume";
        let fail = failed("looking for bases");
        let mut statement = self.connection().prepare_cached(QUERY).map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        let mut bases = BTreeMap::new();
        while let Some(row) = rows.next().map_err(fail)? {
            bases.insert(id_of(&text(row, 0)?)?, text(row, 1)?);
        }
        Ok(bases)
    }

    /// The volume and the snapshot that a layer is known by: `VOLUME@SNAPSHOT`, or `VOLUME` for a
    /// head.
    pub(crate) fn name_of_layer(&self, layer: Uuid) -> Result<Option<String>> {
        let found = dependents(self.connection(), "layer.id = ?1", layer)?;
        Ok(found.first().map(Dependent::to_string))
    }

    /// Layers that are being worked on. Those of volumes that are being made or removed are theirs.
    pub(crate) fn unfinished_layers(&self) -> Result<Vec<UnfinishedLayer>> {
        const QUERY: &str = "SELECT id, volume, parent, born_as, state, operation FROM layer
                             WHERE operation IS NOT NULL ORDER BY operation";
        let fail = failed("looking for unfinished work");
        let mut statement = self.connection().prepare_cached(QUERY).map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(fail)? {
            found.push(UnfinishedLayer {
                layer: layer_of(row)?,
                state: LayerState::from_word(&text(row, 4)?)
                    .ok_or_else(|| bad_row("the state of a layer is none"))?,
                operation: id_of(&text(row, 5)?)?,
            });
        }
        Ok(found)
    }

    /// The volumes whose rescue records are older than their rows.
    pub(crate) fn stale_volumes(&self) -> Result<Vec<Uuid>> {
        let fail = failed("looking for unfinished work");
        let query = "SELECT id FROM volume WHERE stale = 1";
        let mut statement = self.connection().prepare_cached(query).map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(fail)? {
            found.push(id_of(&text(row, 0)?)?);
        }
        Ok(found)
    }
}

impl Transaction<'_> {
    /// The layers of a volume that are neither being made nor removed.
    pub(crate) fn lasting_layers(&self, volume: Uuid) -> Result<Vec<LayerRecord>> {
        let condition = "state IN ('ready', 'merging') AND volume = ?1";
        layers_where(self.connection(), condition, &volume.to_string())
    }

    /// The layers that stand on a layer.
    pub(crate) fn children(&self, layer: Uuid) -> Result<Vec<Dependent>> {
        dependents(self.connection(), "layer.parent = ?1", layer)
    }

    /// Whether a layer of the volume is being worked on.
    pub(crate) fn has_unfinished_layer(&self, volume: Uuid) -> Result<bool> {
        self.exists(
            "SELECT 1 FROM layer WHERE volume = ?1 AND operation IS NOT NULL",
            params![volume.to_string()],
        )
    }

    /// The snapshot that names a layer.
    pub(crate) fn snapshot_on(&self, layer: Uuid) -> Result<Option<SnapshotRecord>> {
        let fail = failed("looking for a snapshot");
        let query = format!("SELECT {SNAPSHOT} FROM snapshot WHERE layer = ?1");
        let mut statement = self.connection().prepare_cached(&query).map_err(fail)?;
        let mut rows = statement.query([layer.to_string()]).map_err(fail)?;
        rows.next().map_err(fail)?.map(snapshot_of).transpose()
    }

    /// Adds a layer; with an operation it is being made, else it is ready.
    pub(crate) fn insert_layer(&self, layer: &LayerRecord, operation: Option<Uuid>) -> Result<()> {
        let state = match operation {
            Some(_) => LayerState::Creating,
            None => LayerState::Ready,
        };
        self.execute(
            "INSERT INTO layer (id, volume, parent, born_as, state, operation)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                layer.id.to_string(),
                layer.volume.to_string(),
                layer.parent.map(|id| id.to_string()),
                layer.born_as.map(|id| id.to_string()),
                state.as_str(),
                operation.map(|id| id.to_string()),
            ],
        )?;
        Ok(())
    }

    /// Moves a layer from one state to another; `operation` is the new one. `false` where it is not
    /// in `from` any more.
    pub(crate) fn move_layer(
        &self,
        layer: Uuid,
        from: LayerState,
        to: LayerState,
        operation: Option<Uuid>,
    ) -> Result<bool> {
        let changed = self.execute(
            "UPDATE layer SET state = ?3, operation = ?4 WHERE id = ?1 AND state = ?2",
            params![
                layer.to_string(),
                from.as_str(),
                to.as_str(),
                operation.map(|id| id.to_string()),
            ],
        )?;
        Ok(changed == 1)
    }

    /// Forgets a layer, whose file is gone.
    pub(crate) fn delete_layer(&self, layer: Uuid) -> Result<()> {
        self.execute(
            "DELETE FROM layer WHERE id = ?1",
            params![layer.to_string()],
        )?;
        Ok(())
    }

    /// Records what a layer stands on now.
    pub(crate) fn set_parent(&self, layer: Uuid, parent: Option<Uuid>) -> Result<()> {
        self.execute(
            "UPDATE layer SET parent = ?2 WHERE id = ?1",
            params![layer.to_string(), parent.map(|id| id.to_string())],
        )?;
        Ok(())
    }

    /// Records what the image of a layer is known by when it was just made.
    pub(crate) fn set_born_as(&self, layer: Uuid, born_as: Option<Uuid>) -> Result<()> {
        self.execute(
            "UPDATE layer SET born_as = ?2 WHERE id = ?1",
            params![layer.to_string(), born_as.map(|id| id.to_string())],
        )?;
        Ok(())
    }

    /// Gives a ready volume another head. `false` where its head is not `from` any more.
    pub(crate) fn move_head(&self, volume: Uuid, from: Uuid, to: Uuid) -> Result<bool> {
        let changed = self.execute(
            "UPDATE volume SET head = ?3 WHERE id = ?1 AND head = ?2 AND state = 'ready'",
            params![volume.to_string(), from.to_string(), to.to_string()],
        )?;
        Ok(changed == 1)
    }

    /// Adds a snapshot. The name must be free.
    pub(crate) fn insert_snapshot(&self, volume: Uuid, snapshot: &SnapshotRecord) -> Result<()> {
        self.execute(
            "INSERT INTO snapshot (volume, name_key, name, layer, created_unix_ms, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                volume.to_string(),
                snapshot.name.key(),
                snapshot.name.as_str(),
                snapshot.layer.to_string(),
                i64::try_from(snapshot.created_unix_ms).unwrap_or(i64::MAX),
                snapshot.state.as_str(),
            ],
        )?;
        Ok(())
    }

    /// Records that a snapshot can only be removed from now on.
    pub(crate) fn condemn_snapshot(&self, layer: Uuid) -> Result<()> {
        self.execute(
            "UPDATE snapshot SET state = 'removing' WHERE layer = ?1",
            params![layer.to_string()],
        )?;
        Ok(())
    }

    /// Forgets the snapshot that names a layer.
    pub(crate) fn delete_snapshot(&self, layer: Uuid) -> Result<()> {
        self.execute(
            "DELETE FROM snapshot WHERE layer = ?1",
            params![layer.to_string()],
        )?;
        Ok(())
    }

    /// Forgets the layers and snapshots of a volume, whose folder is gone.
    pub(crate) fn delete_layers(&self, volume: Uuid) -> Result<()> {
        for statement in [
            "DELETE FROM snapshot WHERE volume = ?1",
            "DELETE FROM layer WHERE volume = ?1",
        ] {
            self.execute(statement, params![volume.to_string()])?;
        }
        Ok(())
    }

    /// Records whether the rescue record of a volume is older than its rows.
    pub(crate) fn set_stale(&self, volume: Uuid, stale: bool) -> Result<()> {
        self.execute(
            "UPDATE volume SET stale = ?2 WHERE id = ?1",
            params![volume.to_string(), i64::from(stale)],
        )?;
        Ok(())
    }

    fn execute(&self, statement: &str, values: &[&dyn rusqlite::ToSql]) -> Result<usize> {
        self.connection()
            .prepare_cached(statement)
            .and_then(|mut statement| statement.execute(values))
            .map_err(failed("changing layers"))
    }

    fn exists(&self, query: &str, values: &[&dyn rusqlite::ToSql]) -> Result<bool> {
        self.connection()
            .query_row(query, values, |_| Ok(()))
            .optional()
            .map(|row| row.is_some())
            .map_err(failed("looking for layers"))
    }
}

impl std::fmt::Display for Dependent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.snapshot {
            Some(snapshot) => write!(f, "{}@{snapshot}", self.volume),
            None => f.write_str(&self.volume),
        }
    }
}

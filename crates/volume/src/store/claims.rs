//! The rows of claims.

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::database::{Database, Transaction, bad_row, failed, id_of, text};
use crate::claim::{Claim, ClaimMode, Claimant};
use crate::error::Result;

const CLAIM: &str = "volume, attachment, holder, owner, mode, since_unix_ms";

fn claim_of(row: &Row<'_>) -> Result<Claim> {
    let since: i64 = row.get(5).map_err(failed("reading a row"))?;
    Ok(Claim {
        volume: id_of(&text(row, 0)?)?,
        claimant: Claimant {
            attachment: text(row, 1)?,
            holder: text(row, 2)?,
            owner: text(row, 3)?,
        },
        mode: ClaimMode::from_word(&text(row, 4)?)
            .ok_or_else(|| bad_row("the kind of a claim is none"))?,
        since_unix_ms: u64::try_from(since).unwrap_or(0),
    })
}

/// The claims that meet `condition`, the oldest first.
fn claims(connection: &Connection, condition: &str, value: &str) -> Result<Vec<Claim>> {
    let fail = failed("looking for claims");
    let query = format!(
        "SELECT {CLAIM} FROM claim WHERE {condition} ORDER BY since_unix_ms, attachment, volume"
    );
    let mut statement = connection.prepare_cached(&query).map_err(fail)?;
    let mut rows = statement.query([value]).map_err(fail)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        found.push(claim_of(row)?);
    }
    Ok(found)
}

impl Database {
    /// All claims.
    pub(crate) fn claims(&self) -> Result<Vec<Claim>> {
        claims(self.connection(), "?1 = ''", "")
    }

    /// The claims on a volume.
    pub(crate) fn claims_on(&self, volume: Uuid) -> Result<Vec<Claim>> {
        claims(self.connection(), "volume = ?1", &volume.to_string())
    }
}

impl Transaction<'_> {
    /// The claims on a volume.
    pub(crate) fn claims_on(&self, volume: Uuid) -> Result<Vec<Claim>> {
        claims(self.connection(), "volume = ?1", &volume.to_string())
    }

    /// Adds a claim; one that stands already keeps its time.
    pub(crate) fn insert_claim(&self, claim: &Claim) -> Result<()> {
        const STATEMENT: &str = "INSERT INTO claim (volume, attachment, holder, owner, mode, \
                                 since_unix_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                                 ON CONFLICT (volume, attachment) DO NOTHING";
        let values = params![
            claim.volume.to_string(),
            claim.claimant.attachment,
            claim.claimant.holder,
            claim.claimant.owner,
            claim.mode.as_str(),
            i64::try_from(claim.since_unix_ms).unwrap_or(i64::MAX),
        ];
        self.connection()
            .execute(STATEMENT, values)
            .map_err(failed("claiming a volume"))?;
        Ok(())
    }

    /// Removes the claims of an attachment, all or that on one volume; how many there were.
    pub(crate) fn delete_claims(&self, attachment: &str, volume: Option<Uuid>) -> Result<usize> {
        let connection = self.connection();
        let deleted = match volume {
            None => connection.execute("DELETE FROM claim WHERE attachment = ?1", [attachment]),
            Some(volume) => connection.execute(
                "DELETE FROM claim WHERE attachment = ?1 AND volume = ?2",
                params![attachment, volume.to_string()],
            ),
        };
        deleted.map_err(failed("releasing a claim"))
    }
}

//! A ledger as a document: what is kept on a disk between two commands.
//!
//! The document has a version, and one of another version, with a field too many, or that says what
//! cannot be is refused whole: who cannot read what is attached must not take it for free.

mod words;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::guest::{GuestSystem, Platform};
use crate::path::Target;

use super::{
    Attachment, AttachmentId, Entry, EntryId, EntryState, Ledger, Mount, MountId, MountState,
    NextUndo, Worker,
};
use words::{ActionWords, HypervisorWords};

/// The version that is written, and the newest that is read.
const VERSION: u32 = 1;
/// The longest document that is read, in bytes; 256 disks make a tenth of a megabyte.
const MAX_LENGTH: usize = 16 << 20;
/// The longest text in it, in characters.
const MAX_TEXT: usize = 40_000;

/// Why a document is no ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// It has another version.
    #[error("the ledger has version {found}, and versions up to {VERSION} are known here")]
    Version {
        /// The version it has.
        found: u64,
    },
    /// It is too long.
    #[error("the ledger has {length} bytes, which no ledger has")]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// It is no such document.
    #[error("the ledger cannot be read")]
    Syntax(#[source] serde_json::Error),
    /// It says what cannot be.
    #[error("the ledger is damaged: {what}")]
    Damaged {
        /// What it says.
        what: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerDocument {
    version: u32,
    hypervisor: HypervisorWords,
    guest: String,
    next: u64,
    revision: u64,
    attachments: Vec<AttachmentDocument>,
    entries: Vec<EntryDocument>,
}

/// Read first, so that a newer version is told as such and not by its new fields.
#[derive(Deserialize)]
struct VersionDocument {
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttachmentDocument {
    id: u64,
    owner: String,
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    mounts: Vec<MountDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MountDocument {
    id: u64,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    target: String,
    read_only: bool,
    state: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryDocument {
    id: u64,
    state: String,
    holders: BTreeSet<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    action: ActionWords,
}

fn damaged(what: impl Into<String>) -> LedgerError {
    LedgerError::Damaged { what: what.into() }
}

impl Ledger {
    /// The ledger as a document.
    ///
    /// # Errors
    /// `Syntax`, which texts and numbers never give.
    pub fn to_json(&self) -> Result<Vec<u8>, LedgerError> {
        let document = LedgerDocument {
            version: VERSION,
            hypervisor: HypervisorWords::of(self.platform.hypervisor),
            guest: self.platform.guest.to_string(),
            next: self.next,
            revision: self.revision,
            attachments: self
                .attachments
                .iter()
                .map(AttachmentDocument::of)
                .collect(),
            entries: self.entries.iter().map(EntryDocument::of).collect(),
        };
        serde_json::to_vec_pretty(&document).map_err(LedgerError::Syntax)
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`LedgerError`], for all that was not written by [`Ledger::to_json`].
    pub fn from_json(text: &[u8]) -> Result<Self, LedgerError> {
        if text.len() > MAX_LENGTH {
            return Err(LedgerError::Length { length: text.len() });
        }
        let version: VersionDocument = serde_json::from_slice(text).map_err(LedgerError::Syntax)?;
        if version.version != u64::from(VERSION) {
            return Err(LedgerError::Version {
                found: version.version,
            });
        }
        let document: LedgerDocument = serde_json::from_slice(text).map_err(LedgerError::Syntax)?;
        let platform = Platform {
            hypervisor: document.hypervisor.parse()?,
            guest: document
                .guest
                .parse()
                .map_err(|_| damaged("an unknown guest"))?,
        };
        let mut ledger = Self::new(platform);
        ledger.next = document.next;
        ledger.revision = document.revision;
        for attachment in document.attachments {
            ledger.attachments.push(attachment.parse(platform.guest)?);
        }
        // Shares first: mounts of them name them.
        let mut shares = Vec::new();
        for entry in &document.entries {
            shares.extend(entry.action.share()?);
        }
        for entry in document.entries {
            ledger.entries.push(entry.parse(platform.guest, &shares)?);
        }
        ledger.check().map_err(damaged)?;
        Ok(ledger)
    }
}

/// Reads arbitrary bytes as a ledger, and undoes all of it where it is one: for fuzzing. Says whether
/// that left nothing, or there was no ledger.
pub fn fuzz_document(data: &[u8]) -> bool {
    let Ok(mut ledger) = Ledger::from_json(data) else {
        return true;
    };
    ledger.bury(&|_| false);
    let all = ledger.mounts().map(|(_, mount)| mount.id).collect();
    let mut is_well = ledger.leave(&all).is_ok();
    let worker = Worker("fuzz".to_owned());
    let tried = BTreeSet::new();
    while let NextUndo::Entry(entry) = ledger.next_undo(&all, &tried, &|_| false) {
        is_well &= ledger.start_undo(entry, &worker).is_ok() && ledger.undone(entry).is_ok();
        if !is_well {
            return false;
        }
    }
    is_well && ledger.is_empty()
}

impl AttachmentDocument {
    fn of(attachment: &Attachment) -> Self {
        Self {
            id: attachment.id.0,
            owner: attachment.owner.clone(),
            since: attachment.since,
            worker: attachment.worker.as_ref().map(ToString::to_string),
            mounts: attachment.mounts.iter().map(MountDocument::of).collect(),
        }
    }

    fn parse(self, guest: GuestSystem) -> Result<Attachment, LedgerError> {
        let mounts = self.mounts.into_iter().map(|mount| mount.parse(guest));
        Ok(Attachment {
            id: AttachmentId(self.id),
            owner: text(self.owner)?,
            since: self.since,
            worker: self.worker.map(text).transpose()?.map(Worker),
            mounts: mounts.collect::<Result<_, _>>()?,
        })
    }
}

impl MountDocument {
    fn of(mount: &Mount) -> Self {
        Self {
            id: mount.id.0,
            source: mount.source.clone(),
            reference: mount.reference.clone(),
            target: mount.target.to_string(),
            read_only: mount.read_only,
            state: mount.state.name().to_owned(),
        }
    }

    fn parse(self, guest: GuestSystem) -> Result<Mount, LedgerError> {
        let states = [MountState::Coming, MountState::There, MountState::Leaving];
        let state = states.into_iter().find(|state| state.name() == self.state);
        Ok(Mount {
            id: MountId(self.id),
            source: text(self.source)?,
            reference: self.reference.map(text).transpose()?,
            target: target(&self.target, guest)?,
            read_only: self.read_only,
            state: state.ok_or_else(|| damaged("a mount in an unknown state"))?,
        })
    }
}

impl EntryDocument {
    fn of(entry: &Entry) -> Self {
        Self {
            id: entry.id.0,
            state: entry.state.name().to_owned(),
            holders: entry.holders.iter().map(|holder| holder.0).collect(),
            missing: entry.missing,
            worker: entry.worker.as_ref().map(ToString::to_string),
            fault: entry.fault.clone(),
            action: ActionWords::of(&entry.action),
        }
    }

    fn parse(
        self,
        guest: GuestSystem,
        shares: &[crate::plan::Share],
    ) -> Result<Entry, LedgerError> {
        let states = [
            EntryState::Planned,
            EntryState::Doing,
            EntryState::Done,
            EntryState::Undoing,
        ];
        let state = states.into_iter().find(|state| state.name() == self.state);
        Ok(Entry {
            id: EntryId(self.id),
            action: self.action.parse(guest, shares)?,
            state: state.ok_or_else(|| damaged("an entry in an unknown state"))?,
            holders: self.holders.into_iter().map(MountId).collect(),
            missing: self.missing,
            worker: self.worker.map(text).transpose()?.map(Worker),
            fault: self.fault.map(text).transpose()?,
        })
    }
}

/// A text of a length that was meant.
fn text(text: String) -> Result<String, LedgerError> {
    if text.chars().count() > MAX_TEXT {
        return Err(damaged("a text without end"));
    }
    Ok(text)
}

/// A target that is written as this program writes it.
fn target(text: &str, guest: GuestSystem) -> Result<Target, LedgerError> {
    let target = Target::parse(text, guest).map_err(|error| damaged(error.to_string()))?;
    if target.to_string() != text {
        return Err(damaged(format!("{text:?} is spelled in another way")));
    }
    Ok(target)
}

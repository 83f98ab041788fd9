//! The rescue record: what stands beside the images of a volume, so that the database can be made
//! again from the files alone.
//!
//! A volume of one layer that stands on nothing has the document of the volume itself. Where there
//! are more layers, a snapshot or a base, the record holds that document and them.
//!
//! The rows are the truth. They are changed first, together with a mark that the record is stale;
//! then the record is written, whole under its name, and the mark goes. All of it within one write
//! transaction, so that no older state is written over a newer one.

use cap_std::fs::Dir;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Store;
use super::database::Transaction;
use super::folder::{self, RESCUE_RECORD};
use crate::error::{Result, VolumeError};
use crate::faults;
use crate::layer::{LayerRecord, SnapshotName, SnapshotRecord, SnapshotState};
use crate::platform;
use crate::record::{MAX_DOCUMENT_LENGTH, VolumeRecord, parse_id};
use crate::state::VolumeState;
use crate::store::layers::LayerRows;

/// The version of the record that has layers.
const VERSION: u32 = 2;

/// All that the store knows of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rescue {
    pub(crate) record: VolumeRecord,
    pub(crate) layers: Vec<LayerRecord>,
    pub(crate) snapshots: Vec<SnapshotRecord>,
}

/// The record: the edge type that is written and read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    /// The document of the volume, as the database has it.
    volume: String,
    head: String,
    layers: Vec<LayerDocument>,
    snapshots: Vec<SnapshotDocument>,
    /// BLAKE3 of this document with this field empty, in hexadecimal.
    digest: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerDocument {
    id: String,
    parent: Option<String>,
    born_as: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotDocument {
    name: String,
    layer: String,
    created_unix_ms: u64,
    state: String,
}

/// The part of any record that says how to read the rest.
#[derive(Deserialize)]
struct Probe {
    version: u32,
}

impl Rescue {
    /// A volume whose first layer is its only one, or that has no image and so no layer.
    pub(crate) fn simple(record: VolumeRecord) -> Self {
        Self {
            layers: first_layers(&record),
            record,
            snapshots: Vec::new(),
        }
    }

    fn is_simple(&self) -> bool {
        self.snapshots.is_empty()
            && self.record.head == self.record.id
            && self.layers == first_layers(&self.record)
    }

    /// The text of the record.
    pub(crate) fn to_text(&self) -> Result<String> {
        let fail =
            |error: serde_json::Error| VolumeError::damaged(RESCUE_RECORD, error.to_string());
        let volume = self.record.to_document().map_err(fail)?;
        if self.is_simple() {
            return Ok(volume);
        }
        let text = |id: Uuid| id.to_string();
        let mut document = Document {
            version: VERSION,
            volume,
            head: text(self.record.head),
            layers: self
                .layers
                .iter()
                .map(|layer| LayerDocument {
                    id: text(layer.id),
                    parent: layer.parent.map(text),
                    born_as: layer.born_as.map(text),
                })
                .collect(),
            snapshots: self
                .snapshots
                .iter()
                .map(|snapshot| SnapshotDocument {
                    name: snapshot.name.to_string(),
                    layer: text(snapshot.layer),
                    created_unix_ms: snapshot.created_unix_ms,
                    state: snapshot.state.as_str().to_owned(),
                })
                .collect(),
            digest: String::new(),
        };
        document.digest = digest_of(&document).map_err(fail)?;
        serde_json::to_string_pretty(&document).map_err(fail)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// What is wrong with it, for a message.
    pub(crate) fn from_text(text: &str) -> std::result::Result<Self, String> {
        if text.len() > MAX_DOCUMENT_LENGTH {
            return Err(format!("longer than {MAX_DOCUMENT_LENGTH} bytes"));
        }
        let probe: Probe = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if probe.version != VERSION {
            return VolumeRecord::from_document(text, VolumeState::Ready).map(Self::simple);
        }
        let mut document: Document =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let digest = std::mem::take(&mut document.digest);
        if digest != digest_of(&document).map_err(|error| error.to_string())? {
            return Err("its digest does not match".to_owned());
        }
        let record = VolumeRecord::from_document(&document.volume, VolumeState::Ready)?;
        let layers: Vec<LayerRecord> = document
            .layers
            .iter()
            .map(|layer| {
                Ok(LayerRecord {
                    id: id_of(&layer.id)?,
                    volume: record.id,
                    parent: layer.parent.as_deref().map(id_of).transpose()?,
                    born_as: layer.born_as.as_deref().map(id_of).transpose()?,
                })
            })
            .collect::<std::result::Result<_, String>>()?;
        let snapshots = document
            .snapshots
            .iter()
            .map(|snapshot| {
                Ok(SnapshotRecord {
                    name: SnapshotName::parse(&snapshot.name).map_err(|e| e.to_string())?,
                    layer: id_of(&snapshot.layer)?,
                    created_unix_ms: snapshot.created_unix_ms,
                    state: SnapshotState::from_word(&snapshot.state)
                        .ok_or_else(|| "the state of a snapshot is none".to_owned())?,
                })
            })
            .collect::<std::result::Result<Vec<_>, String>>()?;
        let rescue = Self {
            record: VolumeRecord {
                head: id_of(&document.head)?,
                ..record
            },
            layers,
            snapshots,
        };
        rescue.check()?;
        Ok(rescue)
    }

    /// Whether head and snapshots are among the layers, each once.
    fn check(&self) -> std::result::Result<(), String> {
        let has = |id: Uuid| self.layers.iter().any(|layer| layer.id == id);
        let named = self.snapshots.iter().map(|snapshot| snapshot.layer);
        self.record.disk().map_err(|error| error.to_string())?;
        if !has(self.record.head) || !named.clone().all(has) {
            return Err("it names a layer that it does not have".to_owned());
        }
        let mut ids: Vec<Uuid> = self.layers.iter().map(|layer| layer.id).collect();
        let mut named: Vec<Uuid> = named.chain([self.record.head]).collect();
        let mut keys: Vec<String> = self.snapshots.iter().map(|s| s.name.key()).collect();
        ids.sort_unstable();
        named.sort_unstable();
        keys.sort_unstable();
        let is_double = ids.windows(2).any(|pair| pair[0] == pair[1])
            || named.windows(2).any(|pair| pair[0] == pair[1])
            || keys.windows(2).any(|pair| pair[0] == pair[1]);
        if is_double {
            return Err("it has a layer or snapshot twice".to_owned());
        }
        Ok(())
    }
}

/// The layers of a volume that nothing was done with.
fn first_layers(record: &VolumeRecord) -> Vec<LayerRecord> {
    let disk = record.spec.disk();
    disk.map(|_| LayerRecord::first(record.id, None))
        .into_iter()
        .collect()
}

fn id_of(text: &str) -> std::result::Result<Uuid, String> {
    parse_id(text).ok_or_else(|| format!("{text:?} is no id"))
}

fn digest_of(document: &Document) -> std::result::Result<String, serde_json::Error> {
    let bytes = serde_json::to_vec(document)?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

/// The rescue record in the folder of a volume; `None` where there is none.
pub(crate) fn read(folder: &Dir) -> Result<Option<Rescue>> {
    let Some(text) = folder::read_text(folder, RESCUE_RECORD)? else {
        return Ok(None);
    };
    Rescue::from_text(&text)
        .map(Some)
        .map_err(|reason| VolumeError::damaged(RESCUE_RECORD, reason))
}

impl Transaction<'_> {
    /// What the rows say of a volume, layers that are being made or removed left out; `None` where
    /// it is not there any more.
    pub(super) fn rescue(&self, volume: Uuid) -> Result<Option<Rescue>> {
        let Some(record) = self.volume(volume)? else {
            return Ok(None);
        };
        Ok(Some(Rescue {
            record,
            layers: self.lasting_layers(volume)?,
            snapshots: self.snapshots(volume)?,
        }))
    }
}

impl Store {
    /// Writes the rescue record of a volume anew, if it is stale.
    pub(crate) fn refresh_rescue(&self, volume: Uuid) -> Result<()> {
        faults::step("writing the rescue record")?;
        self.database()
            .write("writing a rescue record", |transaction| {
                let Some(rescue) = transaction.rescue(volume)? else {
                    return Ok(());
                };
                if rescue.record.state != VolumeState::Ready {
                    return transaction.set_stale(volume, false);
                }
                let text = rescue.to_text()?;
                let folder = self.folders().open_volume_folder(volume)?.ok_or_else(|| {
                    VolumeError::damaged(format!("volumes/{volume}"), "the folder is missing")
                })?;
                folder::replace_file(&folder, RESCUE_RECORD, text.as_bytes())?;
                // Before the mark goes: a record that a crash takes back would never be written again.
                platform::sync_folder(&folder).map_err(|error| {
                    VolumeError::host("making durable", volume.to_string(), error)
                })?;
                transaction.set_stale(volume, false)
            })
    }
}

//! What the store knows of a volume, and the document in which it is kept.
//!
//! The same document stands in the database (for speed) and beside the image (for rescue). It
//! carries a digest of itself: what does not match is damage, never believed.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Result, VolumeError};
use crate::labels::{self, Labels};
use crate::layer::layer_file_name;
use crate::name::VolumeName;
use crate::spec::{DiskSpec, VolumeSpec};
use crate::state::VolumeState;

/// The version of the document that this program writes.
const DOCUMENT_VERSION: u32 = 1;
/// The longest document that is read, in bytes: 64 labels of the longest kind, escaped, fit.
pub(crate) const MAX_DOCUMENT_LENGTH: usize = 1024 * 1024;

/// What a volume is known by as long as it is there, whatever its name.
pub type VolumeId = Uuid;

/// A volume as the store records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRecord {
    /// Its identity; the name of its folder.
    pub id: Uuid,
    /// Its name.
    pub name: VolumeName,
    /// What it is.
    pub spec: VolumeSpec,
    /// What its user attached to it.
    pub labels: Labels,
    /// When it was created, in milliseconds since 1970-01-01 UTC.
    pub created_unix_ms: u64,
    /// Where it stands; only a ready volume can be used.
    pub state: VolumeState,
    /// The layer that is read and written: its image, where it has one. See [`crate::SnapshotRecord`] for the others.
    pub head: Uuid,
}

/// The document: the edge type that is written and read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    id: String,
    name: String,
    spec: String,
    labels: Labels,
    created_unix_ms: u64,
    /// BLAKE3 of this document with this field empty, in hexadecimal.
    digest: String,
}

impl VolumeRecord {
    /// The disk of the volume.
    ///
    /// # Errors
    /// `Unsupported` where the volume has no image.
    pub fn disk(&self) -> Result<&DiskSpec> {
        self.spec.disk().ok_or_else(|| VolumeError::NoImage {
            name: self.name.as_str().to_owned(),
            kind: self.spec.kind(),
        })
    }

    /// The name of the file of its head, in its folder.
    pub(crate) fn image_file_name(&self) -> Result<String> {
        Ok(layer_file_name(self.id, self.head, self.disk()?.format()))
    }

    /// The document of this volume.
    pub(crate) fn to_document(&self) -> serde_json::Result<String> {
        let mut document = Document {
            version: DOCUMENT_VERSION,
            id: self.id.to_string(),
            name: self.name.as_str().to_owned(),
            spec: self.spec.to_string(),
            labels: self.labels.clone(),
            created_unix_ms: self.created_unix_ms,
            digest: String::new(),
        };
        document.digest = digest_of(&document)?;
        serde_json::to_string_pretty(&document)
    }

    /// Reads a document; the state is kept elsewhere, and so is the head: here it is the first layer.
    ///
    /// # Errors
    /// What is wrong with it, for a message.
    pub(crate) fn from_document(
        text: &str,
        state: VolumeState,
    ) -> std::result::Result<Self, String> {
        if text.len() > MAX_DOCUMENT_LENGTH {
            return Err(format!("longer than {MAX_DOCUMENT_LENGTH} bytes"));
        }
        let mut document: Document =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        if document.version != DOCUMENT_VERSION {
            return Err(format!("version {} is not known", document.version));
        }
        let digest = std::mem::take(&mut document.digest);
        let expected = digest_of(&document).map_err(|error| error.to_string())?;
        if digest != expected {
            return Err("its digest does not match".to_owned());
        }
        labels::check(&document.labels).map_err(|error| error.to_string())?;
        let id = parse_id(&document.id).ok_or_else(|| "its id is none".to_owned())?;
        Ok(Self {
            id,
            name: VolumeName::parse(&document.name).map_err(|error| error.to_string())?,
            spec: VolumeSpec::parse(&document.spec).map_err(|error| error.to_string())?,
            labels: document.labels,
            created_unix_ms: document.created_unix_ms,
            state,
            head: id,
        })
    }
}

/// Reads an id in the one form that the store writes: lower case, with hyphens.
pub fn parse_id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.to_string() == text).then_some(id)
}

fn digest_of(document: &Document) -> serde_json::Result<String> {
    let bytes = serde_json::to_vec(document)?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

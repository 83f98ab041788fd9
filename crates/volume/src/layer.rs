//! Layers and snapshots: of what a volume that was ever snapshotted or cloned consists.
//!
//! ```text
//!   base   image.vhdx      <- snapshot "s1"
//!     |
//!   layer  ID.vhdx         <- snapshot "s2"        (of the same volume, in its folder)
//!     |         \
//!   head   ID    \  image.vhdx                     (the head of a clone, in the clone's folder)
//! ```
//!
//! A layer is an image file; all but the lowest are differencing ones. A volume has one *head*, which
//! is read and written. A snapshot names a layer that nobody writes any more. Invariants:
//! - a layer that is anybody's parent, or that a snapshot names, is never opened for writing, but by
//!   the removal of that very snapshot;
//! - the head of a volume has no child and no snapshot;
//! - a layer lies in the folder of the volume it belongs to; its parent may be of another volume.
//!
//! # States of a layer
//!
//! | from     | trigger                                      | to       | on disk before the trigger          |
//! |----------|----------------------------------------------|----------|-------------------------------------|
//! | (none)   | a layer is to be made                        | creating | nothing                             |
//! | creating | its file is durable; it becomes the head     | ready    | the whole file                      |
//! | creating | that failed, or its process is dead          | (none)   | the file was removed                |
//! | ready    | it is to take in what lies below or above it | merging  | the whole file                      |
//! | merging  | that is done, failed, or its process is dead | ready    | a whole file, which reads as before |
//! | ready    | nothing needs it any more                    | deleting | the whole file                      |
//! | deleting | its file was removed, here or by recovery    | (none)   | nothing                             |
//!
//! All but `ready` carry the id of an operation, as the states of a volume do
//! ([`crate::VolumeState`]).

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;
use vdisk::ImageFormat;

use crate::name::{NameError, VolumeName};

/// The name of a snapshot, unique within its volume, kept as it was written. It follows the rules of
/// volume names, but that it may be a single letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName(String);

/// A volume, or a snapshot of one: `VOLUME` or `VOLUME@SNAPSHOT`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VolumeRef {
    /// The volume.
    pub volume: VolumeName,
    /// The snapshot; `None` for the volume as it is now.
    pub snapshot: Option<SnapshotName>,
}

/// Whether a snapshot can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SnapshotState {
    /// It can be read, cloned and restored.
    Ready,
    /// Its removal began and changed it; it can only be removed.
    Removing,
}

/// A snapshot as the store records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRecord {
    /// Its name.
    pub name: SnapshotName,
    /// The layer that it names.
    pub layer: Uuid,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub created_unix_ms: u64,
    /// Whether it can be used.
    pub state: SnapshotState,
}

/// Where a layer stands between nothing and nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerState {
    /// Its file is being made.
    Creating,
    /// Whole.
    Ready,
    /// Taking in what another layer holds; whole at every moment.
    Merging,
    /// Its file is being removed.
    Deleting,
}

/// A layer as the store records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRecord {
    /// Its identity. The first layer of a volume has that of the volume.
    pub id: Uuid,
    /// The volume that it belongs to, in whose folder it lies.
    pub volume: Uuid,
    /// The layer below it.
    pub parent: Option<Uuid>,
    /// What its image was to be known by when it was made, where that changes with every write: a
    /// layer that still has it was never written.
    pub born_as: Option<Uuid>,
}

impl SnapshotName {
    /// Checks a name.
    ///
    /// # Errors
    /// The first rule that the name breaks.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let is_letter = name.len() == 1 && name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !is_letter {
            VolumeName::parse(name)?;
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which names are unique: two names that differ in case only share it.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl VolumeRef {
    /// Reads `VOLUME` or `VOLUME@SNAPSHOT`.
    ///
    /// # Errors
    /// The first rule that a name breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (volume, snapshot) = match text.split_once('@') {
            Some((volume, snapshot)) => (volume, Some(SnapshotName::parse(snapshot)?)),
            None => (text, None),
        };
        Ok(Self {
            volume: VolumeName::parse(volume)?,
            snapshot,
        })
    }
}

impl From<VolumeName> for VolumeRef {
    fn from(volume: VolumeName) -> Self {
        Self {
            volume,
            snapshot: None,
        }
    }
}

impl FromStr for VolumeRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl fmt::Display for VolumeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.snapshot {
            None => self.volume.fmt(f),
            Some(snapshot) => write!(f, "{}@{snapshot}", self.volume),
        }
    }
}

impl SnapshotState {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Removing => "removing",
        }
    }

    /// The state that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Ready, Self::Removing]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

impl fmt::Display for SnapshotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl LayerState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Creating, Self::Ready, Self::Merging, Self::Deleting];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Merging => "merging",
            Self::Deleting => "deleting",
        }
    }

    /// The state that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl fmt::Display for LayerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl LayerRecord {
    /// The first layer of a volume, on `parent` where it is a clone.
    pub(crate) fn first(volume: Uuid, parent: Option<Uuid>) -> Self {
        Self {
            id: volume,
            volume,
            parent,
            born_as: None,
        }
    }

    /// The name of its file, in the folder of its volume.
    pub(crate) fn file_name(&self, format: ImageFormat) -> String {
        layer_file_name(self.volume, self.id, format)
    }
}

/// The name of the file of a layer, in the folder of its volume.
pub(crate) fn layer_file_name(volume: Uuid, layer: Uuid, format: ImageFormat) -> String {
    if layer == volume {
        format!("image.{format}")
    } else {
        format!("{layer}.{format}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_back_as_it_was_written() {
        for text in ["data", "data@s", "Data@before-upgrade.2"] {
            assert_eq!(VolumeRef::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_no_name_may_be_no_part_of_a_reference_may_be() {
        for text in [
            "",
            "@",
            "data@",
            "@s",
            "data@s@t",
            "data@../x",
            "d/x@s",
            "data@con",
            "c@s",
        ] {
            VolumeRef::parse(text).unwrap_err();
        }
    }

    #[test]
    fn states_read_back_from_their_words() {
        for state in LayerState::ALL {
            assert_eq!(LayerState::from_word(state.as_str()), Some(state));
        }
        for state in [SnapshotState::Ready, SnapshotState::Removing] {
            assert_eq!(SnapshotState::from_word(state.as_str()), Some(state));
        }
    }
}

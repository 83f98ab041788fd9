//! What can be done with volumes: one verb a file, each a method of [`crate::Store`].

mod access;
pub(crate) mod change;
mod claim;
mod clone;
pub(crate) mod compact;
mod create;
mod diff;
mod fill;
mod inspect;
mod layer;
mod layers;
mod list;
mod merge;
mod open;
mod prune;
mod remove;
pub(crate) mod repair;
pub(crate) mod resize;
mod snapshot;
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;

use mkfs::ntfs::DosNames;
use mkfs::security::AccessRules;
use mkfs::{BuildReport, CasePolicy, NamePolicy};
use uuid::Uuid;
use vdisk::ImageInfo;

use crate::claim::Claim;
use crate::labels::Labels;
use crate::layer::{LayerRecord, LayerState, SnapshotRecord};
use crate::name::VolumeName;
use crate::record::VolumeRecord;
use crate::spec::VolumeSpec;

pub use clone::{CloneOutcome, CloneRequest};
pub use merge::MergeOutcome;
pub use source::{FillFrom, TarInput};

/// A volume to be made.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// Its name.
    pub name: VolumeName,
    /// What it is to be.
    pub spec: VolumeSpec,
    /// What to fill it from; `None` to leave it empty.
    pub from: Option<FillFrom>,
    /// Who may do what with which path; NTFS only. See [`mkfs::security`].
    pub access_rules: AccessRules,
    /// Labels to attach.
    pub labels: Labels,
    /// Whether unreadable or changing files are left out and listed, instead of ending the build.
    pub keep_going: bool,
    /// What becomes of names that Windows cannot use.
    pub name_policy: NamePolicy,
    /// What becomes of names that differ in case only.
    pub case_policy: CasePolicy,
    /// Whether names have 8.3 partners; on FAT32 they always have.
    pub dos_names: DosNames,
    /// Whether extended attributes `user.*` of the source become named streams.
    pub xattr_streams: bool,
    /// Seconds since 1970 (`SOURCE_DATE_EPOCH`) for a build that can be repeated byte by byte.
    pub reproducible: Option<u64>,
    /// What else identifiers of such a build are derived from, where the source is a stream: it can
    /// be read once only, so that its content does not count.
    pub seed: Option<String>,
}

impl CreateRequest {
    /// An empty volume of this name and specification.
    pub fn new(name: VolumeName, spec: VolumeSpec) -> Self {
        Self {
            name,
            spec,
            from: None,
            access_rules: AccessRules::default(),
            labels: Labels::new(),
            keep_going: false,
            name_policy: NamePolicy::default(),
            case_policy: CasePolicy::default(),
            dos_names: DosNames::default(),
            xattr_streams: false,
            reproducible: None,
            seed: None,
        }
    }
}

/// A volume that was made.
#[derive(Clone, Debug)]
pub struct CreateOutcome {
    /// Its record.
    pub record: VolumeRecord,
    /// What was put into it; all zero for an empty volume.
    pub report: BuildReport,
    /// What was left out of the source or changed on the way from it, one line each, starting with
    /// the path.
    pub source_notes: Vec<String>,
}

/// Whether an image is used at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageUse {
    /// Nobody holds it open.
    Free,
    /// Somebody holds it open for writing, or in a way that forbids looking.
    InUse,
    /// It is not there: the store is damaged.
    Missing,
}

/// A record and what its image says.
#[derive(Clone, Debug)]
pub struct VolumeDetails {
    /// The record.
    pub record: VolumeRecord,
    /// Path of the image on the host, for other programs.
    pub image_path: PathBuf,
    /// Whether somebody uses it.
    pub image_use: ImageUse,
    /// Bytes that the image takes on the host; `None` where it is missing.
    pub allocated_bytes: Option<u64>,
    /// Length of the image file; `None` where it is missing.
    pub file_length: Option<u64>,
    /// What the image says of itself; `None` while it is used for writing or cannot be read.
    pub image: Option<ImageInfo>,
    /// Why `image` is missing, where it is.
    pub image_error: Option<String>,
    /// What it stands on that is another volume's, `VOLUME@SNAPSHOT`.
    pub base: Option<String>,
    /// The volumes that stand on its snapshots.
    pub clones: Vec<String>,
    /// Who has claimed it.
    pub claims: Vec<Claim>,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerDetails>,
}

/// What stands on what in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinship {
    /// How many snapshots a volume has, by its id; of those that have any.
    pub snapshots: BTreeMap<Uuid, u64>,
    /// The snapshot of another volume that a volume stands on, by its id.
    pub bases: BTreeMap<Uuid, String>,
}

/// A layer of a volume, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerDetails {
    /// Its record.
    pub layer: LayerRecord,
    /// Where it stands.
    pub state: LayerState,
    /// What it stands on: `VOLUME@SNAPSHOT`, or an id where nothing names that.
    pub parent: Option<String>,
    /// Whether it is what the volume reads and writes.
    pub is_head: bool,
    /// The snapshot that names it.
    pub snapshot: Option<SnapshotRecord>,
    /// Path of its file on the host.
    pub file: PathBuf,
    /// Bytes that the file takes on the host; `None` where it is missing.
    pub allocated_bytes: Option<u64>,
    /// Length of the file; `None` where it is missing.
    pub file_length: Option<u64>,
}

/// What a prune did.
#[derive(Clone, Debug, Default)]
pub struct PruneOutcome {
    /// The volumes it removed.
    pub removed: Vec<VolumeRecord>,
    /// The volumes it would have removed but that are used.
    pub in_use: Vec<VolumeRecord>,
    /// Bytes on the host that were given back.
    pub reclaimed_bytes: u64,
}

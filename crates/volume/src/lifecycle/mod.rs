//! What can be done with volumes: one verb a file, each a method of [`crate::Store`].

pub(crate) mod access;
pub(crate) mod change;
mod claim;
mod clone;
pub(crate) mod compact;
mod create;
mod diff;
pub(crate) mod fill;
mod inspect;
mod layer;
mod layers;
mod list;
mod merge;
pub(crate) mod open;
mod prune;
mod remove;
pub(crate) mod repair;
pub(crate) mod resize;
mod snapshot;
mod source;
mod system_format;

use std::collections::BTreeMap;
use std::path::PathBuf;

use mkfs::ntfs::DosNames;
use mkfs::security::AccessRules;
use mkfs::{BuildReport, CasePolicy, NamePolicy};
use secrecy::SecretString;
use uuid::Uuid;
use vdisk::ImageInfo;

use crate::claim::Claim;
use crate::driver;
use crate::error::Result;
use crate::labels::{self, Labels};
use crate::layer::{LayerRecord, LayerState, SnapshotRecord};
use crate::name::VolumeName;
use crate::record::VolumeRecord;
use crate::secret::SecretState;
use crate::spec::VolumeSpec;

pub use clone::{CloneOutcome, CloneRequest};
pub use create::fill_image;
pub use merge::MergeOutcome;
pub use source::{FillFrom, TarInput};
pub use system_format::{FormatFault, SystemFormatter};

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
    /// The password of a volume of an SMB server.
    pub password: Option<SecretString>,
    /// What formats images that only the system of the host can format, where it can.
    pub formatter: Option<SystemFormatter>,
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
            password: None,
            formatter: None,
        }
    }

    /// Whether it can be carried out as far as that is known without a store.
    ///
    /// # Errors
    /// `InvalidArgument`, `Unsupported`.
    pub fn check(&self) -> Result<()> {
        labels::check(&self.labels)?;
        driver::of(self.spec.kind()).check(self)
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

/// A record and what there is of the volume.
#[derive(Clone, Debug)]
pub struct VolumeDetails {
    /// The record.
    pub record: VolumeRecord,
    /// What backs it, looked at now.
    pub backing: BackingDetails,
    /// What it stands on that is another volume's, `VOLUME@SNAPSHOT`.
    pub base: Option<String>,
    /// The volumes that stand on its snapshots.
    pub clones: Vec<String>,
    /// Who has claimed it.
    pub claims: Vec<Claim>,
    /// Its layers, the lowest first; none where it has no image.
    pub layers: Vec<LayerDetails>,
}

/// What backs a volume, looked at.
#[derive(Clone, Debug)]
pub enum BackingDetails {
    /// An image.
    Image(ImageDetails),
    /// A path of the host.
    Host(HostSource),
    /// A share of an SMB server, and whether the password for it is there.
    Share(SecretState),
    /// Memory of whoever uses it.
    Memory,
}

/// An image, looked at.
#[derive(Clone, Debug)]
pub struct ImageDetails {
    /// Path of the image on the host, for other programs.
    pub path: PathBuf,
    /// Whether somebody uses it.
    pub image_use: ImageUse,
    /// Bytes that the image takes on the host; `None` where it is missing.
    pub allocated_bytes: Option<u64>,
    /// Length of the image file; `None` where it is missing.
    pub file_length: Option<u64>,
    /// What the image says of itself; `None` while it is used for writing or cannot be read.
    pub info: Option<ImageInfo>,
    /// Why `info` is missing, where it is.
    pub error: Option<String>,
}

/// What stands at a path of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostSource {
    /// A directory.
    Directory,
    /// A file.
    File,
    /// Something that cannot be mounted.
    Other,
    /// Nothing.
    Missing,
    /// It cannot be looked at, for this reason.
    Unreadable(String),
}

impl VolumeDetails {
    /// The image, of a volume that has one.
    pub fn image(&self) -> Option<&ImageDetails> {
        match &self.backing {
            BackingDetails::Image(image) => Some(image),
            _ => None,
        }
    }
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

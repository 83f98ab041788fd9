//! Volumes at rest: their names and specifications, the store that keeps them, their life cycle,
//! and looking into them.
//!
//! ```text
//!   name, labels, spec, filter      what users write, parsed once
//!            |
//!        lifecycle                  create, inspect, list, remove, prune, open
//!            |
//!          store                    folder + SQLite; one row and one folder a volume
//!          /    \
//!     vdisk      mkfs               image formats; partition tables and file systems
//!          \    /
//!         blockio
//! ```
//!
//! This crate knows no virtual machine. Everything below the root of a store is opened beneath its
//! handle, and no link is followed; no path is ever made from what a user wrote.

pub mod browse;
mod claim;
mod driver;
mod error;
pub mod export;
mod faults;
mod filter;
#[cfg(any(windows, test))]
mod folder_access;
pub mod fsck;
pub mod host_tree;
mod labels;
mod layer;
mod lifecycle;
mod name;
mod network;
mod platform;
mod progress;
mod record;
pub mod secret;
mod seed;
mod spec;
mod state;
mod store;
pub mod tar_tree;
mod timestamp;
mod tree_ahead;
pub mod volume_tree;

pub use claim::{Claim, ClaimMode, ClaimRequest, Claimant};
pub use error::{Result, VolumeError, VolumeErrorKind};
pub use filter::{Filter, FilterError};
pub use labels::{LabelError, Labels, MAX_LABEL_KEY, MAX_LABEL_VALUE, MAX_LABELS};
pub use layer::{LayerRecord, LayerState, SnapshotName, SnapshotRecord, SnapshotState, VolumeRef};
pub use lifecycle::change::{
    ChangeWork, change_image, open_image_for_writing, pending_image_change,
};
pub use lifecycle::compact::{CompactOptions, CompactProgress, Compacted, compact_image, used_map};
pub use lifecycle::repair::{RepairedImage, image_repair_state, repair_image, undo_image_repair};
pub use lifecycle::resize::{NewSize, ResizeProgress, ResizeRequest, Resized, resize_image};
pub use lifecycle::{
    BackingDetails, CloneOutcome, CloneRequest, CreateOutcome, CreateRequest, FillFrom,
    FormatFault, HostSource, ImageDetails, ImageUse, Kinship, LayerDetails, MergeOutcome,
    PruneOutcome, SystemFormatter, TarInput, VolumeDetails, fill_image,
};
pub use mkfs::change::{
    ChangeError, ChangeErrorKind, ChangeOptions, ChangeSet, ChangedDisk, FoundKind, PathNames,
    Removed, VolumeChange,
};
pub use mkfs::ntfs::DosNames;
pub use mkfs::resize::DiskResize;
pub use mkfs::security::{AccessRules, SddlErrorKind, Sid};
pub use mkfs::used::{PartUse, UsedMap};
pub use mkfs::{
    Attributes, BuildReport, CasePolicy, FindingSeverity, NamePolicy, NodeName, NtTime,
    SecurityDescriptor, TreeError, VolumeFinding, VolumeReport,
};
pub use name::{MAX_NAME_LENGTH, NameError, NameProblem, VolumeName, fuzz_name};
pub use network::{NetworkCalls, NetworkConnection, NetworkRefusal};
#[cfg(windows)]
pub use platform::network_of_system;
pub use platform::{file_rules, plain_path, set_file_rules};
pub use progress::{OnProgress, Progress, Stage, ignore_progress};
pub use record::{VolumeId, VolumeRecord, parse_id};
pub use spec::kind::{FileSystemKind, PartitionLayout, VolumeKind};
pub use spec::path::{PathError, VolumePath};
pub use spec::share::{SmbShare, SmbUser, parse_server};
pub use spec::size::{SizeError, format_size, parse_size};
pub use spec::{
    Backing, BindSpec, DEFAULT_SIZE, DEFAULT_TEMPORARY_SIZE, DiskSpec, SmbSpec, SpecError,
    SpecErrorKind, SpecOptions, TmpfsSpec, VolumeSpec, fuzz_spec,
};
pub use state::VolumeState;
pub use store::{
    FileLock, Notice, PrivateFolder, RebuildReport, Store, StoreClass, StoreCure, StoreFinding,
};
pub use timestamp::Timestamp;

//! cvol assembled: one object with an operation for each thing a front end can ask for.
//!
//! ```text
//!   cli   (daemon, capi)          front ends import this crate alone
//!     |
//!   Engine                        wiring.rs: what is put together
//!     |-- volumes.rs              create, list, inspect, remove, prune
//!     |-- place.rs, copy_out.rs   ls, cat, tree, cp: looking into a disk at rest
//!     |-- access.rs               acl: who may do what in a disk at rest; files of rules
//!     |-- image.rs, convert.rs    info, check, convert: image files and the images of volumes
//!     |-- fsck.rs                 fsck: the file systems in them
//!     |
//!   volume    vdisk    blockio
//! ```
//!
//! Errors carry a [`ErrorKind`], from which front ends map exit codes and status codes, and a
//! [`Subject`], from which they choose their advice. Plain types of the crates below are passed on
//! here where they are fit for front ends as they are.

#![forbid(unsafe_code)]

mod access;
mod config;
mod convert;
mod copy_out;
mod error;
mod fsck;
mod image;
mod place;
mod progress;
mod seed;
mod timestamp;
mod volumes;
mod wiring;

pub use access::Access;
pub use blockio::{ByteCount, ByteOffset, SectorSize};
pub use config::Config;
pub use convert::{ConvertImage, ConvertedImage};
pub use copy_out::{CopiedOut, CopyOut};
pub use error::{Error, ErrorKind, Result, Subject};
pub use fsck::{CheckedVolume, CheckedVolumes};
pub use image::{CheckedImage, ImageDescription, ImageReference};
pub use place::{Entry, EntryKind, Place, TreeStep};
pub use progress::{Progress, ProgressFn};
pub use timestamp::Timestamp;
pub use vdisk::{
    CheckReport, Finding, ImageFormat, ImageInfo, ImageKind, ParentInfo, ParentPath, Provisioning,
    Severity,
};
pub use volume::{
    BuildReport, CasePolicy, CreateOutcome, DosNames, FileSystemKind, FindingSeverity, ImageUse,
    NamePolicy, Notice, PartitionLayout, PruneOutcome, RebuildReport, VolumeDetails, VolumeFinding,
    VolumeRecord, VolumeReport, VolumeSpec, VolumeState, format_size, parse_size,
};
pub use volumes::CreateVolume;
pub use wiring::Engine;

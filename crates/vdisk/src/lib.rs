//! Disk images: VHDX, VHD and raw files as [`blockio::Disk`]s.
//!
//! ```text
//!            create / open / info / check        image.rs: one door for all formats
//!                  |
//!      probe ------+------------------+
//!                  |                  |
//!     vhdx/  BAT, log, regions   vhd/  footer, BAT      raw.rs     ImageDisk: a Disk with info
//!            |         |              |         |         |                   and close
//!            |       chain/  parents of differencing      |
//!            |               images, resolved once        |
//!            +------------------------+-------------------+
//!                                     |
//!                              blockio::Storage
//! ```
//!
//! [`convert`] copies between any two disks. A format opens no path: a parent that an image names
//! goes through a [`ParentGate`] that the caller supplies, and the default denies.
//! Bytes of an image never cause a panic, an unbounded allocation or an unbounded loop.

#![forbid(unsafe_code)]

mod bitmap_pages;
mod bounds;
mod chain;
mod child;
mod compact;
mod convert;
mod diff;
mod error;
mod flat;
mod gate;
mod ids;
mod image;
mod info;
mod link;
mod merge;
mod probe;
pub mod qcow2;
mod raw;
mod repair;
mod report;
mod resize;
mod salvage;
mod sectors;
pub mod vhd;
pub mod vhdx;

pub use chain::{Holder, LinkedImage, MAX_DEPTH, MapRun, map_image, walk_chain};
pub use child::{ChildOptions, ParentNames, create_child};
pub use compact::{CompactReport, CompactRequest};
pub use convert::{ConvertSummary, Progress, convert, convert_in_order};
pub use diff::{DIFF_UNIT, differences, held_ranges};
pub use error::{ImageError, ImageErrorKind, ParentMismatch};
pub use gate::{DenyAll, FileIdentity, OpenedParent, ParentGate};
pub use ids::IdSource;
pub use image::{
    Access, CreateOptions, ImageDisk, ImageFormat, Provisioning, UnknownName, check, create, info,
    open, open_chain,
};
pub use info::{ImageInfo, ImageKind, ParentInfo, ParentPath};
pub use link::{LinkState, link_state};
pub use merge::{
    MergeSummary, OnProgress, PullLevels, RebaseCheck, merge_into_parent, pull, rebase,
};
pub use probe::probe;
pub use repair::{
    Fix, RepairBackup, RepairOptions, RepairPlan, RepairState, fuzz_repair, plan_repair, remedy,
};
pub use report::{CheckReport, Finding, MAX_FINDINGS, Severity};
pub use resize::undo_growth;
pub use salvage::{LostRange, Salvage, SalvageOptions, SalvageReport};

//! Disks of this host: images that Windows itself attaches, with what virtdisk.dll does to them, and where
//! their volumes are mounted.
//!
//! ```text
//!   host_disk    sequences: mount, unmount, work on an image, have the system format one
//!       |
//!   HostDisks    the calls, each with the rules of the library          calls.rs
//!     /    \
//! library   double    of Windows, loaded when it is needed; in memory, for tests anywhere
//! ```
//!
//! A disk that is mounted outlives the process that mounted it, as one does that Explorer mounts, and ends
//! with the host's next start. Nothing is kept here of what is mounted: whoever asks knows.

mod calls;
pub mod double;
mod host_disk;
mod library;
mod result;
mod target;

pub use calls::{
    AttachDisk, DiskHandle, DiskInformation, DiskWork, FormatDisk, HostDisks, OpenDisk, WorkHandle,
    WorkProgress,
};
pub use host_disk::{
    HostMountOrder, HostMounted, HostUnmounted, Patience as DiskPatience, SystemFormat, WorkEnd,
    format_image, information_of, mount_on_host, unmount_from_host, work_on_image,
};
pub use library::{load_host_disks, load_host_disks_from};
pub use target::{HostTarget, HostTargetError};

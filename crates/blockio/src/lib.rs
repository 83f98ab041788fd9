//! The vocabulary of cvol's storage stack: units, the two traits everything else is built on, and
//! the implementations that know no format.
//!
//! ```text
//!   Disk      what a guest sees: fixed size, sectors, holes       (VHDX, VHD, raw, window, ...)
//!     |
//!   format    a crate above this one maps sectors to bytes
//!     |
//!   Storage   what a file is: growable bytes, sync, holes         (file, memory, simulated)
//! ```
//!
//! Concerns that cut across are disks that stand on a disk (a window, read-only, counted,
//! throttled). [`SimStorage`] is a storage on which each crash and fault can be tried.
//!
//! This crate imports nothing else of cvol and knows no format, no volume and no machine.

mod cursor;
mod disk;
mod error;
pub mod file;
mod forward;
mod memory;
mod range;
pub mod sim;
mod sparse;
mod storage;
mod units;
mod wrap;

pub use cursor::DiskCursor;
pub use disk::{BlockKind, BlockStatus, Disk};
pub use error::{IoError, IoErrorKind, Operation, Result};
pub use file::{
    FileAccess, FileDisk, FileHolder, FileStorage, LockMode, Patience, held_by, holders,
    replace_file, write_file_atomically,
};
pub use memory::{MemoryDisk, MemoryStorage};
pub use sim::{CrashPlan, CrashRecipe, CrashState, Fault, FaultTarget, SimStorage};
pub use sparse::SparseMemoryStorage;
pub use storage::{Extent, ExtentKind, Storage, ZeroMode};
pub use units::{ByteCount, ByteOffset, ByteRange, GIB, KIB, Lba, MIB, SectorSize, TIB};
pub use wrap::{Counted, DiskCounts, IoCount, Limits, ReadOnly, Throttled, Window};

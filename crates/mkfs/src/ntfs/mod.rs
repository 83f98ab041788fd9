//! NTFS 3.1, built in one pass on a disk that reads as zeros.
//!
//! ```text
//!   entries of the tree                      build: one entry at a time
//!     |  data ---------> stream, space       clusters in order of arrival, each file in one run
//!     |  record -------> file, record, mft   complete when the next entry comes, written by the mebibyte
//!     |  descriptor ---> secure              kept once, numbered
//!     '  name ---------> directory           kept until the end
//!   end of the tree
//!        links -> link, reparse             what they lead to is known now
//!        further names -> reread             the few files with several are put again
//!        names, sorted -> index              blocks of each directory, then its record
//!        system files -> system, secure, ... records, mirror, bitmaps
//!        boot sectors -> boot                last: a volume cut short is none
//!
//!   clusters:  boot | mirror | $UpCase | $AttrDef | log | records -> reserve | data -> | $Secure | $Bitmap
//! ```
//! The volume is in the form that Windows gives it at its first mount: version 3.1, security by
//! number, no 8.3 names (volume flag 0x80), the log empty.

mod attribute;
mod bitmap;
mod boot;
mod build;
mod change;
mod definitions;
mod directory;
mod dos_name;
mod file;
mod folder;
mod format;
pub mod fsck;
mod geometry;
mod index;
mod link;
mod log_file;
mod log_format;
mod mft;
mod named_stream;
mod naming;
mod narrow;
mod options;
pub mod parse;
mod record;
mod reparse;
mod reread;
mod runs;
mod secure;
mod security;
mod space;
mod spread;
mod stream;
mod system;
mod upcase;
mod upcase_ranges;

use std::ops::ControlFlow;

use blockio::Disk;

use crate::error::MkfsError;
use crate::report::BuildReport;
use crate::tree::TreeSource;

pub(crate) use change::{NtfsChange, visit_free};
pub use options::{DosNames, NtfsOptions};

/// Formats `disk` (a partition, or all of a disk) and fills the volume from `tree`. The disk must
/// read as zeros: where zeros belong nothing is written. `progress` is told the bytes of data and
/// the entries stored so far, and may ask to stop.
///
/// # Errors
/// `InvalidOption`, `TooSmall`, `DiskTooLarge` before anything is written; `NoSpace` before it where
/// the tree knows its totals; what the tree and the disk fail with; `Interrupted`. After an error
/// the disk holds no file system.
pub fn format(
    disk: &dyn Disk,
    options: &NtfsOptions,
    tree: Option<&mut dyn TreeSource>,
    progress: &dyn Fn(u64, u64) -> ControlFlow<()>,
) -> Result<BuildReport, MkfsError> {
    build::format(disk, options, tree, progress)
}

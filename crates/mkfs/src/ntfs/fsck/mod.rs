//! A check of an NTFS volume that changes nothing: what it holds against each rule that Windows
//! keeps, and the structures against each other.
//!
//! ```text
//!   boot          both boot sectors; the way to the master file table
//!     |
//!   records       every record once, in order: head, attributes, names, clusters
//!     |             -> facts (what a record says), clusters (who uses what)
//!   lists         files of several records
//!     |
//!   directories   every directory: tree, then each name against the facts
//!     |
//!   links         names against names; orphans; loops
//!     |
//!   system        mirror, $AttrDef, $UpCase, $BadClus, $LogFile, $Volume
//!   secure, views $Secure; $Reparse, $ObjId, $Quota
//!   clusters      against $Bitmap
//!     |
//!   paths         of what was found
//! ```
//! Memory grows with the records in use (about 80 bytes each) and the clusters in use (a bit each);
//! everything else is bounded by names in this folder. Damage is a finding; an error is returned
//! only where the way to the master file table is lost, or the disk fails.

mod attributes;
mod boot;
mod clusters;
mod context;
mod directories;
mod facts;
mod fuzz;
mod information;
mod kinds;
mod links;
mod lists;
mod log;
mod names;
mod paths;
mod quota;
mod records;
mod secure;
mod system;
mod tree;
mod views;

use std::ops::ControlFlow;

use blockio::Disk;

use crate::error::MkfsError;
use crate::findings::VolumeReport;
use crate::identify::FileSystem;

pub use boot::has_boot_copy;
pub use fuzz::fuzz_ntfs;

/// Checks the NTFS volume on `disk`, which is the partition alone. `progress` is told bytes of the
/// master file table done and to do (each part of it is come by twice), and may ask to stop.
///
/// # Errors
/// `Damaged` where neither boot sector or neither copy of the first record leads to the master file
/// table, `Interrupted`, `Io`.
pub fn check(
    disk: &dyn Disk,
    progress: &dyn Fn(u64, u64) -> ControlFlow<()>,
) -> Result<VolumeReport, MkfsError> {
    let mut report = VolumeReport::new(FileSystem::Ntfs);
    let volume = boot::open(disk, &mut report)?;
    let mut context = context::Context::new(&volume, report, progress);
    records::check(&mut context)?;
    lists::check(&mut context)?;
    directories::check(&mut context)?;
    links::check(&mut context)?;
    system::check(&mut context)?;
    secure::check(&mut context)?;
    views::check(&mut context)?;
    clusters::check(&mut context)?;
    context.tell_of_tallies();
    paths::fill_in(&mut context)?;
    Ok(context.report)
}

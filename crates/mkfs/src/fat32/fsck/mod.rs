//! A check of a FAT32 volume that changes nothing.
//!
//! ```text
//!   boot          boot sector, its copy, FSInfo
//!     |
//!   table         both copies of the table; which clusters are in use
//!     |
//!   directories   every directory and its names
//!     |
//!   chains        the clusters of each file, each used once
//! ```
//! Memory grows with the parts of the table that are in use; a directory is entered once, because
//! its clusters are.

mod boot;
mod chains;
mod directories;
mod long_names;
mod table;

use std::ops::ControlFlow;

use blockio::Disk;

use crate::error::MkfsError;
use crate::findings::{VolumeFinding, VolumeReport};
use crate::identify::FileSystem;
use boot::Layout;
use chains::Chains;
use table::Table;

pub use boot::has_boot_copy;

/// The state of a check.
struct Context<'d> {
    disk: &'d dyn Disk,
    layout: Layout,
    report: VolumeReport,
    table: Table,
    chains: Chains,
    progress: &'d dyn Fn(u64, u64) -> ControlFlow<()>,
}

impl Context<'_> {
    fn add(&mut self, finding: VolumeFinding) {
        self.report.add(finding);
    }

    /// Tells how many clusters were come by.
    fn tell(&self) -> Result<(), MkfsError> {
        let cluster = self.layout.cluster_bytes();
        let total = u64::from(self.table.used()) * cluster;
        match (self.progress)(u64::from(self.chains.come_by()) * cluster, total) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(MkfsError::Interrupted),
        }
    }
}

/// Checks the FAT32 volume on `disk`, which is the partition alone. `progress` is told bytes of
/// clusters done and to do, and may ask to stop.
///
/// # Errors
/// `Damaged` where neither boot sector says where the table and the data are, `Interrupted`, `Io`.
pub fn check(
    disk: &dyn Disk,
    progress: &dyn Fn(u64, u64) -> ControlFlow<()>,
) -> Result<VolumeReport, MkfsError> {
    let mut report = VolumeReport::new(FileSystem::Fat32);
    let layout = boot::check(disk, &mut report)?;
    report.clusters = u64::from(layout.clusters);
    report.cluster_size = layout.cluster_bytes();
    let table = table::read(disk, &layout, &mut report)?;
    let mut context = Context {
        disk,
        layout,
        report,
        table,
        chains: Chains::default(),
        progress,
    };
    directories::check(&mut context)?;
    context
        .chains
        .report_lost(&context.table, &mut context.report);
    context.report.used_clusters = u64::from(context.table.used());
    boot::check_free(
        disk,
        &context.layout,
        context.table.free(),
        &mut context.report,
    )?;
    Ok(context.report)
}

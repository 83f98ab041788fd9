//! Checking the tables of a qcow2 image: every cluster lies in the file, and no two parts of the disk
//! share one. Counts of references, which matter to writers alone, are not looked at.

use std::collections::BTreeSet;

use blockio::Storage;

use super::format::OFFSET;
use super::header::{Header, RULE, read_header};
use super::table::{self, Cluster, Tables};
use crate::error::ImageError;
use crate::image::ImageFormat;
use crate::report::CheckReport;

/// Most clusters of the file whose owner is remembered: 4 TiB in clusters of 64 KiB.
const MAX_REMEMBERED: usize = 1 << 26;

/// Checks an image without changing a byte.
///
/// # Errors
/// `NotAnImage`, `Unsupported`, `Io`.
pub(crate) fn check(storage: &dyn Storage) -> Result<CheckReport, ImageError> {
    let mut report = CheckReport::new(ImageFormat::Qcow2);
    let header = match read_header(storage) {
        Ok(header) => header,
        Err(error @ ImageError::Unsupported { .. }) => return Err(error),
        Err(error) => {
            report.absorb(error)?;
            return Ok(report);
        }
    };
    if header.corrupt {
        report.error(RULE, None, "the image is marked as damaged");
    }
    if header.dirty {
        report.note(
            RULE,
            None,
            "the image was not closed; its counts may be wrong",
        );
    }
    if header.snapshots > 0 {
        let message = format!("{} internal snapshots are not looked at", header.snapshots);
        report.note("qcow2 snapshots", None, message);
    }
    report.total_blocks = header.size.div_ceil(header.cluster());
    let tables = Tables::load(storage, &header)?;
    check_tables(storage, &header, &tables, &mut report)?;
    report.note(
        "qcow2 refcounts",
        None,
        "counts of references are not checked",
    );
    Ok(report)
}

fn check_tables(
    storage: &dyn Storage,
    header: &Header,
    tables: &Tables,
    report: &mut CheckReport,
) -> Result<(), ImageError> {
    // Clusters of the file that are in use, by their number.
    let mut owners: BTreeSet<u64> = BTreeSet::new();
    let mut claim = |report: &mut CheckReport, place: u64, what: &str| {
        let number = place / header.cluster();
        if owners.len() < MAX_REMEMBERED && !owners.insert(number) {
            let message = format!("{what} at {place:#x} shares space with something else");
            report.error(table::RULE, None, message);
        }
    };
    claim(report, 0, "header");
    for (first, entry) in (0_u64..).zip(tables.first_level()) {
        let second = match tables.second_level(storage, first) {
            Ok(Some(second)) => second,
            Ok(None) => continue,
            Err(error) => {
                report.absorb(error)?;
                continue;
            }
        };
        claim(report, entry & OFFSET, "table of the second level");
        let start = first * tables.span();
        for (number, entry) in (start..).zip(second.iter()) {
            match tables.decode(number, *entry) {
                Ok(Cluster::Data(place)) => {
                    report.allocated_blocks += 1;
                    claim(report, place, &format!("cluster {number}"));
                }
                Ok(Cluster::Packed { .. }) => report.allocated_blocks += 1,
                Ok(Cluster::Unallocated | Cluster::Zero) => {}
                Err(error) => report.absorb(error)?,
            }
        }
    }
    Ok(())
}

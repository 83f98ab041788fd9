//! Checking a VHD: everything that opening would refuse, all of it and not the first only, and
//! what opening forgives.

use blockio::{ByteCount, ByteOffset, Storage};

use super::bat::{self, Bat};
use super::fixed;
use super::footer::{self, Found, Place};
use super::format::{FEATURE_RESERVED, FOOTER_LEN, SECTOR};
use super::geometry;
use super::locator;
use super::sparse::{self, DATA_ALIGNMENT, Header, Layout};
use crate::error::ImageError;
use crate::image::ImageFormat;
use crate::info::ImageKind;
use crate::report::CheckReport;

/// Checks a VHD of any kind without changing a byte.
///
/// # Errors
/// `NotAnImage`, `Unsupported` for a kind or version that is not known, `Io`.
pub(crate) fn check(storage: &dyn Storage) -> Result<CheckReport, ImageError> {
    let mut report = CheckReport::new(ImageFormat::Vhd);
    match footer::find(storage) {
        Err(error) => absorb_damage(&mut report, error)?,
        Ok(found) => {
            check_footer(&mut report, &found);
            if found.footer.kind == ImageKind::Fixed {
                check_fixed(&mut report, &found)?;
            } else {
                check_start(&mut report, storage, &found)?;
                match sparse::read_header(storage, &found) {
                    Err(error) => absorb_damage(&mut report, error)?,
                    Ok(header) => check_blocks(&mut report, storage, &found, &header)?,
                }
            }
        }
    }
    Ok(report)
}

/// What cannot be read for what it is was not checked: that is told in the place of a report.
fn absorb_damage(report: &mut CheckReport, error: ImageError) -> Result<(), ImageError> {
    match error {
        ImageError::Unsupported { .. } => Err(error),
        error => report.absorb(error),
    }
}

fn check_footer(report: &mut CheckReport, found: &Found) {
    let footer = &found.footer;
    match found.place {
        Place::End => {}
        Place::OldEnd => report.note(
            footer::RULE,
            Some(ByteOffset(found.data_limit)),
            "footer of 511 bytes, as Virtual PC before 2004 wrote it",
        ),
        Place::Start => report.error(
            footer::RULE,
            Some(ByteOffset(found.file_length.saturating_sub(FOOTER_LEN))),
            "no good footer at the end; the copy at 0 stands in for it",
        ),
    }
    if footer.saved_state {
        report.note(footer::RULE, None, "the machine was in a saved state");
    }
    if footer.features & FEATURE_RESERVED == 0 {
        let message = format!("features {:#010x} lack the reserved bit", footer.features);
        report.note(footer::RULE, None, message);
    }
    // The largest geometry says that the disk has none that fits; QEMU writes it where it keeps a size.
    let has_geometry = footer.by_geometry != geometry::LARGEST_BYTES;
    if footer.size == footer.current_size && has_geometry && footer.by_geometry > footer.size.get()
    {
        let message = format!(
            "geometry of {} bytes is larger than the disk of {}",
            footer.by_geometry, footer.size
        );
        report.error(footer::RULE, None, message);
    }
    if !found.file_length.is_multiple_of(SECTOR) && found.place != Place::OldEnd {
        let message = format!(
            "file of {} bytes is not whole sectors long",
            found.file_length
        );
        report.note(footer::RULE, None, message);
    }
    if footer.size != footer.current_size {
        let message = format!(
            "disk of {} by its geometry, current size is {}",
            footer.size, footer.current_size
        );
        report.note(footer::RULE, None, message);
    }
}

fn check_fixed(report: &mut CheckReport, found: &Found) -> Result<(), ImageError> {
    if let Err(error) = fixed::check_length(found) {
        return report.absorb(error);
    }
    let used = found.footer.current_size.max(found.footer.size).get();
    leak(report, used, found.data_limit, 0);
    Ok(())
}

/// The copy of the footer at 0 must be that of the end.
fn check_start(
    report: &mut CheckReport,
    storage: &dyn Storage,
    found: &Found,
) -> Result<(), ImageError> {
    if footer::read(storage, 0, FOOTER_LEN)? != found.footer.bytes && found.place != Place::OldEnd {
        report.error(
            footer::RULE,
            Some(ByteOffset(0)),
            "copy of the footer at 0 differs from the footer at the end",
        );
    }
    Ok(())
}

fn check_blocks(
    report: &mut CheckReport,
    storage: &dyn Storage,
    found: &Found,
    header: &Header,
) -> Result<(), ImageError> {
    let layout = &header.layout;
    if header.has_stray_parent(found.footer.kind) {
        let at = found.footer.header_offset;
        // A child that took in all of its parents keeps their name in its header.
        let message = "header names a parent, but the footer says that the disk has none";
        report.note(sparse::RULE, Some(at), message);
    }
    let bat = Bat::load(storage, layout)?;
    report.total_blocks = found.footer.size.get().div_ceil(layout.block_size);
    report.allocated_blocks = u64::try_from(bat.allocated().count()).unwrap_or(u64::MAX);
    let mut sound = true;
    bat.violations(layout, found, |violation| {
        report.error(bat::RULE, Some(violation.at), violation.message);
        sound = false;
        true
    });
    if sound {
        check_space(report, found, layout, &bat);
    }
    let misaligned = bat
        .allocated()
        .filter(|(_, entry)| !layout.data_offset(*entry).is_multiple_of(DATA_ALIGNMENT))
        .count();
    if misaligned != 0 {
        let message = format!("data of {misaligned} blocks is not aligned to 4 KiB");
        report.note(bat::RULE, None, message);
    }
    if found.footer.kind == ImageKind::Differencing {
        let broken = |l: &&_| !locator::is_sound(l, found.file_length);
        for _ in header.locators.iter().filter(broken) {
            report.error(
                "VHD parent locator",
                None,
                "locator points outside the file or is too long",
            );
        }
    }
    Ok(())
}

/// Finds the space between blocks that nothing uses. Gaps shorter than the alignment of data are
/// part of the layout. In a differencing disk the names of the parent stand in gaps, so only what
/// lies behind the last block is counted there.
fn check_space(report: &mut CheckReport, found: &Found, layout: &Layout, bat: &Bat) {
    let floor = layout
        .table_end()
        .max(found.footer.header_offset.get() + super::format::HEADER_LEN);
    let end_of = |entry: u32| layout.data_offset(entry) + layout.block_size;
    if found.footer.kind == ImageKind::Differencing {
        if report.allocated_blocks != 0 {
            let end = bat.used_end(layout, floor);
            leak(report, end, found.data_limit, DATA_ALIGNMENT);
        }
        return;
    }
    let mut entries: Vec<u32> = bat.allocated().map(|(_, entry)| entry).collect();
    entries.sort_unstable();
    let mut end = floor;
    for entry in entries {
        leak(report, end, u64::from(entry) * SECTOR, DATA_ALIGNMENT);
        end = end_of(entry).max(end);
    }
    leak(report, end, found.data_limit, DATA_ALIGNMENT);
}

fn leak(report: &mut CheckReport, start: u64, end: u64, allowance: u64) {
    let len = end.saturating_sub(start);
    if len > allowance {
        report.leak(
            "VHD space",
            ByteOffset(start),
            ByteCount(len),
            format!("{len} bytes that nothing uses"),
        );
    }
}

//! `$LogFile`: never used, or clean, or with changes that are not on the volume yet.

use super::super::parse::{Value, unprotect};
use super::context::Context;
use super::system::{error, stream};
use crate::error::MkfsError;
use crate::findings::VolumeFinding;

const LOG: u64 = 2;
/// Bytes of a page of the log, and of a restart page.
const PAGE: u64 = 4096;
const CLEAN: u16 = 2;
const NOBODY: u16 = 0xFFFF;
/// What stands before is the head of a restart page, and counts updates.
const AFTER_FIXUP: usize = 0x30;

/// What a restart page says.
struct Restart {
    /// Number of the last record.
    current: u64,
    is_clean: bool,
    /// Major and minor.
    version: (u16, u16),
    /// Bytes of a page of the system that wrote it, and of a page of the log.
    pages: (u32, u32),
    /// Bits of a record's number that are no place.
    sequence_bits: u32,
    log_size: u64,
    has_client: bool,
}

/// The log is empty, or says that nothing is to be done.
pub(super) fn check(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    let Some(log) = stream(context, LOG, "log", "")? else {
        context.add(error(LOG, "log", "$LogFile has no data"));
        return Ok(());
    };
    if log.map().is_none() || log.size() < 16 * PAGE {
        context.add(
            error(LOG, "log", "$LogFile is too small")
                .versus(format_args!("{} bytes", 16 * PAGE), log.size()),
        );
        return Ok(());
    }
    let mut pages = Vec::new();
    for number in 0..2 {
        let mut page = vec![0; usize::try_from(PAGE).unwrap_or(0)];
        let read = log.read_exact_at(context.volume, &mut page, number * PAGE);
        if context.found("log", LOG, read)?.is_none() {
            return Ok(());
        }
        pages.push(page);
    }
    if pages.iter().flatten().all(|byte| *byte == 0xFF) {
        return Ok(());
    }
    let is_emptied = pages.iter().any(|page| has_unused_sector(page));
    let restarts: Vec<Restart> = pages.iter_mut().filter_map(|page| restart(page)).collect();
    if restarts.len() == 1 {
        context.add(match is_emptied {
            true => emptied(),
            false => {
                let message = "one of the two restart pages of the log is damaged";
                VolumeFinding::warning("log", message).of(LOG)
            }
        });
    }
    if let [first, second] = restarts.as_slice()
        && first.current == second.current
        && (first.pages != second.pages
            || pages[0].get(AFTER_FIXUP..) != pages[1].get(AFTER_FIXUP..))
    {
        let message = "the two restart pages of the log differ";
        context.add(error(LOG, "log", message));
    }
    // The later one counts; of two alike, the first.
    let Some(newest) = restarts.iter().rev().max_by_key(|restart| restart.current) else {
        context.add(error(LOG, "log", "the log begins with no restart page"));
        return Ok(());
    };
    if !newest.is_clean {
        let message = "the log holds changes that are not on the volume yet";
        context.add(VolumeFinding::warning("log-dirty", message).of(LOG));
        return Ok(());
    }
    check_sizes(context, newest);
    if newest.log_size > log.size() {
        let finding = error(LOG, "log", "the log says that it is longer than $LogFile");
        context.add(finding.versus(log.size(), newest.log_size));
    } else if newest.has_client && newest.version == (1, 1) {
        check_last_record(context, &log, newest)?;
    }
    Ok(())
}

/// Pages of a size that there is, and as many bits for places as the log needs: they count groups of
/// eight bytes.
fn check_sizes(context: &mut Context<'_, '_>, restart: &Restart) {
    let (system, own) = restart.pages;
    let is_page = |bytes: u32| bytes.is_power_of_two() && (4096..=65536).contains(&bytes);
    if !is_page(system) || !is_page(own) {
        let finding = error(
            LOG,
            "log",
            "the pages of the log have a size that there is not",
        );
        context.add(finding.versus("4096", format_args!("{system} and {own}")));
    }
    let places = u64::BITS - restart.log_size.leading_zeros();
    let expected = (u64::BITS + 3).saturating_sub(places);
    if restart.sequence_bits != expected {
        let message = "the log does not divide its numbers as its size asks for";
        context.add(error(LOG, "log", message).versus(expected, restart.sequence_bits));
    }
}

/// The last record stands where its number says. (Logs of later versions keep it in a copy.)
fn check_last_record(
    context: &mut Context<'_, '_>,
    log: &Value,
    restart: &Restart,
) -> Result<(), MkfsError> {
    let place = restart
        .current
        .checked_shl(restart.sequence_bits)
        .and_then(|place| place.checked_shr(restart.sequence_bits.saturating_sub(3)))
        .filter(|place| *place < log.size());
    let number = match place {
        Some(place) => {
            let mut page = vec![0; usize::try_from(PAGE).unwrap_or(0)];
            let read = log.read_exact_at(context.volume, &mut page, place / PAGE * PAGE);
            if context.found("log", LOG, read)?.is_none() {
                return Ok(());
            }
            if has_unused_sector(&page) {
                context.add(emptied());
                return Ok(());
            }
            let is_whole = page.starts_with(b"RCRD") && unprotect(&mut page).is_ok();
            let at = usize::try_from(place % PAGE).unwrap_or(0);
            is_whole.then(|| u64_at(&page, at)).flatten()
        }
        None => None,
    };
    if number != Some(restart.current) {
        let message = "the record with which the log ends is not where its number says";
        context.add(error(LOG, "log", message));
    }
    Ok(())
}

/// Whether somebody emptied a page, or began to: no page in use has such a sector.
fn has_unused_sector(page: &[u8]) -> bool {
    page.chunks(512)
        .any(|sector| sector.iter().all(|byte| *byte == 0xFF))
}

/// A driver (ntfs3 when it mounts) empties a clean log before it uses it.
fn emptied() -> VolumeFinding {
    let message = "whoever emptied the log, which is clean, did not come to the end";
    VolumeFinding::note("log-emptied", message).of(LOG)
}

/// What a restart page says; `None` where it is none.
fn restart(page: &mut [u8]) -> Option<Restart> {
    if !page.starts_with(b"RSTR") {
        return None;
    }
    unprotect(page).ok()?;
    let area = usize::from(u16_at(page, 0x18)?);
    let in_use = u16_at(page, area + 0x0C)?;
    let flags = u16_at(page, area + 0x0E)?;
    Some(Restart {
        current: u64_at(page, area)?,
        is_clean: in_use == NOBODY || flags & CLEAN != 0,
        version: (u16_at(page, 0x1C)?, u16_at(page, 0x1A)?),
        pages: (u32_at(page, 0x10)?, u32_at(page, 0x14)?),
        sequence_bits: u32_at(page, area + 0x10)?,
        log_size: u64_at(page, area + 0x18)?,
        has_client: in_use != NOBODY,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk::<8>()?))
}

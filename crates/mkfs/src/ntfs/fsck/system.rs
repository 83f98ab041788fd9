//! The files of the volume itself: there, and as Windows wants them.

use super::super::definitions;
use super::super::parse::{File, FileNameView, Upcase, Value, kind};
use super::super::upcase::{UPCASE_SIZE, crc64};
use super::context::Context;
use super::log;
use crate::error::MkfsError;
use crate::findings::VolumeFinding;

const MIRROR: u64 = 1;
const VOLUME: u64 = 3;
const DEFINITIONS: u64 = 4;
const BOOT: u64 = 7;
/// Bytes of the boot sector and the code behind it.
const BOOT_BYTES: u64 = 8192;
const BAD_CLUSTERS: u64 = 8;
const UPCASE: u64 = 10;
/// Records whose copies stand in `$MFTMirr`.
const MIRRORED: u64 = 4;
/// The files of the volume itself, by record.
const NAMES: [&str; 12] = [
    "$MFT", "$MFTMirr", "$LogFile", "$Volume", "$AttrDef", ".", "$Bitmap", "$Boot", "$BadClus",
    "$Secure", "$UpCase", "$Extend",
];
/// A table that differs from that of Windows in fewer letters than this is damaged; others are those
/// of other systems.
const MAX_DAMAGED_LETTERS: usize = 64;

/// Checks all of them.
pub(super) fn check(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    check_names(context);
    check_mirror(context)?;
    check_boot_file(context)?;
    log::check(context)?;
    check_volume(context)?;
    check_definitions(context)?;
    check_bad_clusters(context)?;
    check_upcase(context)
}

pub(super) fn error(record: u64, class: &'static str, message: impl Into<String>) -> VolumeFinding {
    VolumeFinding::error(class, message).of(record)
}

/// Each of them is in its record.
fn check_names(context: &mut Context<'_, '_>) {
    for (number, expected) in (0..).zip(NAMES) {
        let actual = context
            .volume
            .read_file(number)
            .and_then(|file| name(&file));
        match actual {
            Ok(Some(actual)) if actual == expected => {}
            Ok(Some(actual)) => {
                let finding = error(number, "system-file", "another file stands in its record");
                context.add(finding.versus(expected, actual.escape_debug()));
            }
            Ok(None) => {
                context.add(error(
                    number,
                    "system-file",
                    format!("{expected} has no name"),
                ));
            }
            Err(cause) => {
                let message = format!("{expected} cannot be read: {cause}");
                context.add(error(number, "system-file", message));
            }
        }
    }
}

fn name(file: &File) -> Result<Option<String>, super::super::parse::ParseError> {
    let attributes = file.attributes()?;
    let name = attributes
        .iter()
        .find(|(_, attribute)| attribute.kind == kind::FILE_NAME)
        .and_then(|(_, attribute)| FileNameView::parse(attribute.value()?))
        .map(|name| name.name_text());
    Ok(name)
}

/// A stream of a file of the volume; what is wrong with it is a finding.
pub(super) fn stream(
    context: &mut Context<'_, '_>,
    record: u64,
    class: &'static str,
    name: &str,
) -> Result<Option<Value>, MkfsError> {
    let volume = context.volume;
    let Ok(file) = volume.read_file(record) else {
        // Found before.
        return Ok(None);
    };
    let value = file.value(volume, kind::DATA, name);
    Ok(context.found(class, record, value)?.flatten())
}

/// `$MFTMirr` holds the same bytes as the first records.
fn check_mirror(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    let volume = context.volume;
    let geometry = volume.geometry();
    let size = usize::try_from(geometry.record).unwrap_or(0);
    let Some(mirror) = stream(context, MIRROR, "mirror", "")? else {
        context.add(error(MIRROR, "mirror", "$MFTMirr has no data"));
        return Ok(());
    };
    let starts_at = mirror
        .map()
        .and_then(|map| map.extents().first()?.run.start);
    if starts_at != Some(geometry.mft_mirror) {
        let message = "the boot sector and $MFTMirr name different places of the copy";
        context.add(error(MIRROR, "mirror", message));
    }
    let (mut record, mut copy) = (vec![0; size], vec![0; size]);
    for number in 0..MIRRORED {
        let offset = number * geometry.record;
        let read = volume.mft().read_exact_at(volume, &mut record, offset);
        let also = mirror.read_exact_at(volume, &mut copy, offset);
        let read = context.found("mft", 0, read)?;
        let also = context.found("mirror", MIRROR, also)?;
        if read.is_some() && also.is_some() && record != copy {
            let message = format!("the copy of record {number} in $MFTMirr differs from it");
            context.add(error(MIRROR, "mirror", message));
        }
    }
    Ok(())
}

/// `$Boot` is the beginning of the volume.
fn check_boot_file(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    let Some(boot) = stream(context, BOOT, "system-file", "")? else {
        context.add(error(BOOT, "system-file", "$Boot has no data"));
        return Ok(());
    };
    let starts_at = boot
        .map()
        .and_then(|map| map.extents().first()?.run.start)
        .map(|start| start.0);
    if starts_at != Some(0) || boot.size() != BOOT_BYTES {
        let finding = error(
            BOOT,
            "system-file",
            "$Boot is not the beginning of the volume",
        );
        let place = starts_at.map_or("nowhere".to_owned(), |start| format!("cluster {start}"));
        context.add(finding.versus(
            format_args!("{BOOT_BYTES} bytes from cluster 0 on"),
            format_args!("{} bytes from {place} on", boot.size()),
        ));
    }
    Ok(())
}

fn check_volume(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    /// Version 3.1, since Windows XP; 3.0 of Windows 2000 is the same in all that is checked here.
    const VERSIONS: [(u8, u8); 2] = [(3, 0), (3, 1)];
    /// Flags that Windows sets: dirty, to be upgraded, deleting a journal, modified by a check, no
    /// short names, and that something is to be repaired.
    const KNOWN: u16 = 0xC0BF;
    /// Windows sets this while it mends the volume.
    const CHECK_UNDERWAY: u16 = 0x4000;
    let state = context.volume.state();
    let Some(state) = context.found("volume", VOLUME, state)? else {
        return Ok(());
    };
    if !VERSIONS.contains(&state.version) {
        let finding = error(VOLUME, "volume", "the version of NTFS is not known");
        let (major, minor) = state.version;
        context.add(finding.versus("3.0 or 3.1", format_args!("{major}.{minor}")));
    }
    if state.is_dirty() {
        let message = "the volume was not taken off in order, or asks for a check";
        context.add(VolumeFinding::warning("volume-dirty", message).of(VOLUME));
    }
    if state.flags & CHECK_UNDERWAY != 0 {
        let message = "a check of the volume was cut short";
        context.add(VolumeFinding::warning("volume-dirty", message).of(VOLUME));
    }
    if state.flags & !KNOWN != 0 {
        let finding = error(VOLUME, "volume", "the volume has unknown flags");
        context.add(finding.versus(
            format_args!("{KNOWN:#x}"),
            format_args!("{:#x}", state.flags),
        ));
    }
    Ok(())
}

/// The table of attributes is the same on every volume.
fn check_definitions(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    let Some(value) = stream(context, DEFINITIONS, "attrdef", "")? else {
        context.add(error(DEFINITIONS, "attrdef", "$AttrDef has no data"));
        return Ok(());
    };
    let table = definitions::table();
    let mut actual = vec![0; table.len()];
    let read = value.read_at(context.volume, &mut actual, 0);
    let Some(read) = context.found("attrdef", DEFINITIONS, read)? else {
        return Ok(());
    };
    if actual[..read] != table[..] {
        let message = "the table of attributes is not that of Windows";
        context.add(error(DEFINITIONS, "attrdef", message));
    }
    Ok(())
}

/// `$BadClus:$Bad` is as long as the volume.
fn check_bad_clusters(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    let Some(bad) = stream(context, BAD_CLUSTERS, "bad-clusters", "$Bad")? else {
        context.add(error(
            BAD_CLUSTERS,
            "bad-clusters",
            "$BadClus has no stream $Bad",
        ));
        return Ok(());
    };
    let geometry = context.volume.geometry();
    let expected = geometry.clusters * geometry.cluster;
    let clusters = bad
        .map()
        .map_or(0, super::super::parse::StreamMap::clusters);
    if bad.size() != expected || clusters != geometry.clusters {
        let finding = error(
            BAD_CLUSTERS,
            "bad-clusters",
            "$BadClus:$Bad is not as long as the volume",
        );
        context.add(finding.versus(expected, bad.size()));
    }
    let held: u64 = bad.map().map_or(0, |map| {
        let extents = map.extents().iter();
        extents
            .filter(|extent| extent.run.start.is_some())
            .map(|extent| extent.run.length)
            .sum()
    });
    if held > 0 {
        let message = format!("{held} clusters are marked as bad");
        context.add(VolumeFinding::note("bad-clusters-found", message).of(BAD_CLUSTERS));
    }
    Ok(())
}

/// `$UpCase` is one of the tables there are, and `$Info` knows its checksum.
fn check_upcase(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    let Some(value) = stream(context, UPCASE, "upcase", "")? else {
        context.add(error(UPCASE, "upcase", "$UpCase has no data"));
        return Ok(());
    };
    let bytes = value.read_all(context.volume, UPCASE_SIZE);
    let Some(bytes) = context.found("upcase", UPCASE, bytes)? else {
        return Ok(());
    };
    if let Some(info) = stream(context, UPCASE, "upcase-info", "$Info")? {
        let info = info.read_all(context.volume, 1024);
        let Some(info) = context.found("upcase-info", UPCASE, info)? else {
            return Ok(());
        };
        let crc = info.get(8..).and_then(|rest| rest.first_chunk::<8>());
        let crc = crc.map_or(0, |crc| u64::from_le_bytes(*crc));
        let says = info
            .first_chunk::<4>()
            .map_or(0, |length| u32::from_le_bytes(*length));
        if info.len() != 0x20 || says != 0x20 {
            let finding = error(UPCASE, "upcase-info", "$Info has not its length");
            context.add(finding.versus(
                "0x20 twice",
                format_args!("{:#x}, and it says {says:#x}", info.len()),
            ));
        }
        if crc != crc64(&bytes) {
            let finding = error(
                UPCASE,
                "upcase-info",
                "$Info has not the checksum of $UpCase",
            );
            context.add(finding.versus(
                format_args!("{:#x}", crc64(&bytes)),
                format_args!("{crc:#x}"),
            ));
        }
    }
    let Some(table) = Upcase::from_bytes(&bytes) else {
        let finding = error(
            UPCASE,
            "upcase",
            "$UpCase has not one entry for each letter",
        );
        context.add(finding.versus(UPCASE_SIZE, bytes.len()));
        return Ok(());
    };
    let windows = Upcase::new();
    let differing: Vec<u16> = (0..=u16::MAX)
        .filter(|unit| table.of(*unit) != windows.of(*unit))
        .collect();
    let breaks_latin = differing.iter().any(|unit| *unit < 0x80);
    if let Some(first) = differing.first() {
        if breaks_latin || differing.len() < MAX_DAMAGED_LETTERS {
            let message = format!(
                "$UpCase differs from the table of Windows in {} letters, the first of them {first:#06x}",
                differing.len()
            );
            let finding = error(UPCASE, "upcase", message);
            context.add(finding.versus(
                format_args!("{:#06x}", windows.of(*first)),
                format_args!("{:#06x}", table.of(*first)),
            ));
        } else {
            let message = "$UpCase is the table of another system than Windows 7 to 11";
            context.add(VolumeFinding::note("upcase-other", message).of(UPCASE));
        }
    }
    Ok(())
}

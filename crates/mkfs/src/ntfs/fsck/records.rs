//! Every record of the master file table, once and in order.

use super::super::parse::{FileReference, FixupProblem, RecordView, Value, kind, unprotect};
use super::attributes;
use super::context::Context;
use super::facts::{Marks, RecordKind};
use crate::error::MkfsError;
use crate::findings::VolumeFinding;

/// Bytes of the table read at a time.
const CHUNK: u64 = 1 << 20;
/// Records whose sequence number is their own number.
const FIRST_OTHER: u64 = 16;
/// Flags that a record may have.
const KNOWN_FLAGS: u16 = 0xF;
/// Flag of a record of `$Extend`.
pub(super) const IN_EXTEND: u16 = 4;

/// Reads all records.
pub(super) fn check(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    let volume = context.volume;
    let size = volume.geometry().record;
    let count = volume.record_count();
    let limit = context.facts.limit();
    if limit < count {
        let finding = VolumeFinding::error("mft-size", "$MFT is longer than the volume");
        context.add(finding.of(0).versus(limit, count));
    }
    let bitmap = record_bitmap(context)?;
    let per_chunk = (CHUNK / size).max(8);
    let mut chunk = vec![0; usize::try_from(per_chunk * size).unwrap_or(0)];
    let mut bits = vec![0; usize::try_from(per_chunk / 8 + 1).unwrap_or(0)];
    let mut first = 0;
    while first < limit {
        let read = volume.mft().read_at(volume, &mut chunk, first * size);
        let Some(read) = context.found("mft", 0, read)? else {
            break;
        };
        let known = match &bitmap {
            Some(bitmap) => {
                let read = bitmap.read_at(volume, &mut bits, first / 8);
                context.found("mft-bitmap", 0, read)?.unwrap_or(0)
            }
            None => 0,
        };
        let stride = usize::try_from(size).unwrap_or(1);
        for (number, bytes) in (first..limit).zip(chunk[..read].chunks_exact_mut(stride)) {
            let index = usize::try_from((number - first) / 8).unwrap_or(usize::MAX);
            let bit = bits[..known]
                .get(index)
                .map(|byte| byte >> (number % 8) & 1 == 1);
            let is_known = bitmap.is_some();
            Place {
                number,
                bit: bit.unwrap_or(false),
                is_known,
            }
            .check(context, bytes)?;
        }
        first += per_chunk;
        context.tell(first.min(limit))?;
    }
    if let Some(bitmap) = bitmap {
        check_bitmap_end(context, &bitmap, limit)?;
    }
    Ok(())
}

/// `$MFT:$Bitmap`.
fn record_bitmap(context: &mut Context<'_, '_>) -> Result<Option<Value>, MkfsError> {
    let volume = context.volume;
    let file = volume.read_file(0);
    let bitmap = file.and_then(|file| file.value(volume, kind::BITMAP, ""));
    let Some(bitmap) = context.found("mft-bitmap", 0, bitmap)? else {
        return Ok(None);
    };
    match &bitmap {
        None => context.add(VolumeFinding::error("mft-bitmap", "$MFT has no bitmap").of(0)),
        Some(bitmap) if bitmap.size() * 8 < context.facts.limit() => {
            let finding = VolumeFinding::error(
                "mft-bitmap",
                "the bitmap of $MFT has not a bit for each record",
            );
            context.add(
                finding
                    .of(0)
                    .versus(context.facts.limit(), bitmap.size() * 8),
            );
        }
        Some(_) => {}
    }
    Ok(bitmap)
}

/// Bits behind the last record are clear: there are no records that could be in use.
fn check_bitmap_end(
    context: &mut Context<'_, '_>,
    bitmap: &Value,
    limit: u64,
) -> Result<(), MkfsError> {
    /// Bytes looked at behind the last record; more than a cluster is never ahead.
    const MAX_AHEAD: u64 = 64 * 1024;
    let mut bytes = vec![0; usize::try_from(MAX_AHEAD).unwrap_or(0)];
    let read = bitmap.read_at(context.volume, &mut bytes, limit / 8);
    let Some(read) = context.found("mft-bitmap", 0, read)? else {
        return Ok(());
    };
    let within = limit % 8;
    if let Some(first) = bytes.first_mut() {
        *first &= 0xFF << within;
    }
    if bytes[..read].iter().any(|byte| *byte != 0) {
        let finding = VolumeFinding::error(
            "mft-bitmap",
            "the bitmap of $MFT marks records behind the last",
        );
        context.add(finding.of(0));
    }
    Ok(())
}

/// A record, and what the bitmap says of it.
struct Place {
    number: u64,
    bit: bool,
    is_known: bool,
}

impl Place {
    fn check(&self, context: &mut Context<'_, '_>, bytes: &mut [u8]) -> Result<(), MkfsError> {
        let number = self.number;
        if !bytes.starts_with(b"FILE") {
            if self.bit {
                let magic = String::from_utf8_lossy(&bytes[..4])
                    .escape_debug()
                    .to_string();
                let finding =
                    VolumeFinding::error("record-signature", "a record in use has no magic number");
                context.add(finding.of(number).versus("FILE", magic));
            }
            return Ok(());
        }
        let in_use = bytes[0x16] & 1 == 1;
        if self.is_known && in_use != self.bit {
            let message = if in_use {
                "the record is in use, but free in the bitmap of $MFT"
            } else {
                "the record is free, but in use in the bitmap of $MFT"
            };
            context.add(VolumeFinding::error("mft-bitmap", message).of(number));
        }
        if !in_use {
            return Ok(());
        }
        if let Err(problem) = unprotect(bytes) {
            let message = format!("the record is torn: {problem}");
            context.add(VolumeFinding::error("record-fixup", message).of(number));
            if problem == FixupProblem::Sequence {
                return Ok(());
            }
        }
        match RecordView::new(number, bytes) {
            Ok(record) => check_record(context, record),
            Err(error) => context.add_damage("record-head", number, error),
        }
    }
}

fn check_record(context: &mut Context<'_, '_>, record: RecordView<'_>) -> Result<(), MkfsError> {
    check_head(context, record);
    let number = record.number();
    let owner = record.base().map_or(number, FileReference::record);
    let Some(facts) = context.facts.get_mut(number) else {
        return Ok(());
    };
    facts.sequence = record.sequence();
    facts.links = record.links();
    match record.base() {
        None => facts.kind = RecordKind::Base,
        Some(base) => {
            facts.kind = RecordKind::Extension;
            facts.parent = u32::try_from(base.record()).unwrap_or(u32::MAX);
            facts.parent_sequence = base.sequence();
        }
    }
    if record.is_directory() {
        facts.marks.set(Marks::DIRECTORY);
    }
    if record.has_view_index() {
        facts.marks.set(Marks::VIEW);
    }
    if record.flags() & IN_EXTEND != 0 {
        facts.marks.set(Marks::SYSTEM);
    }
    attributes::check(context, record, owner)
}

fn check_head(context: &mut Context<'_, '_>, record: RecordView<'_>) {
    let number = record.number();
    let size = context.volume.geometry().record;
    if let Some(own) = record.own_number().filter(|own| *own != number) {
        let finding = VolumeFinding::error("record-number", "the record says another number");
        context.add(finding.of(number).versus(number, own));
    }
    if u64::from(record.allocated()) != size {
        let finding = VolumeFinding::error("record-size", "the record says another size");
        context.add(finding.of(number).versus(size, record.allocated()));
    }
    // Where the update sequence ends; it moved up when the head grew.
    let strides = size / 512;
    let head = if record.own_number().is_some() {
        0x30
    } else {
        0x2A
    };
    let first = u64::from(record.attributes_offset());
    if first < head + 2 * (strides + 1) {
        let finding =
            VolumeFinding::error("record-head", "the attributes begin in the update sequence");
        context.add(finding.of(number).versus(head + 2 * (strides + 1), first));
    }
    let expected = match number {
        0 => Some(1),
        1..FIRST_OTHER => u16::try_from(number).ok(),
        _ => None,
    };
    if record.sequence() == 0 || expected.is_some_and(|sequence| sequence != record.sequence()) {
        let finding = VolumeFinding::error("record-sequence", "the sequence number is wrong");
        let expected = expected.map_or("any but 0".to_owned(), |number| number.to_string());
        context.add(finding.of(number).versus(expected, record.sequence()));
    }
    if record.flags() & !KNOWN_FLAGS != 0 {
        let finding = VolumeFinding::error("record-flags", "the record has unknown flags");
        context.add(
            finding
                .of(number)
                .versus("0 to 0xf", format_args!("{:#x}", record.flags())),
        );
    }
}

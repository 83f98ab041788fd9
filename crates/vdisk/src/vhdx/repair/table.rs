//! The entries of the block allocation table.
//!
//! First all claims to space are gathered, then each entry is judged: so no entry wins over another
//! because it stands before it. Space that two entries claim is left to both.

use std::collections::BTreeSet;

use blockio::{ByteCount, ByteOffset, ByteRange, MIB, Storage};

use super::super::bat::{Bat, BatEntry, BlockState, lies_in_file};
use super::super::format::HEADER_SECTION;
use super::super::geometry::{BlockIndex, EntryIndex, EntryRole};
use super::super::open::{Structure, fixed_space};
use super::super::space::{Run, SpaceMap};
use crate::error::{ImageError, readable};
use crate::repair::Repairs;
use crate::salvage::Suspects;

const RULE: &str = "MS-VHDX 2.5.1.1";
const RULE_BITMAP: &str = "MS-VHDX 2.5.1.2";

/// Repairs the entries.
pub(super) fn repair(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    structure: &Structure,
) -> Result<(), ImageError> {
    let Some(bat) = readable(Bat::new(structure.regions.bat, &structure.geometry))? else {
        return Ok(());
    };
    let claims = Claims::gather(draft, structure, &bat)?;
    let mut judge = Judge {
        draft,
        repairs,
        structure,
        bat: &bat,
        claims,
        file_end: structure.file_length,
    };
    bat.scan(draft, &structure.geometry, |index, raw| {
        judge.entry(index, raw)
    })?;
    let file_end = judge.file_end;
    if file_end > draft.len()?.get() {
        draft.set_len(ByteCount(file_end))?;
    }
    Ok(())
}

/// An entry with its reserved bits cleared; `None` where its state is unknown.
fn decode(raw: u64) -> Option<BatEntry> {
    BatEntry::decode(BatEntry::without_reserved_bits(raw))
}

/// The blocks that are not to be trusted: those whose place, or whose sector bitmap's place, another
/// entry claims too, and those whose bitmap is on the tables of the image.
pub(in super::super) fn suspects(
    draft: &dyn Storage,
    structure: &Structure,
) -> Result<Suspects, ImageError> {
    let geometry = &structure.geometry;
    let mut suspects = Suspects::default();
    let Some(bat) = readable(Bat::new(structure.regions.bat, geometry))? else {
        return Ok(suspects);
    };
    let claims = Claims::gather(draft, structure, &bat)?;
    bat.scan(draft, geometry, |index, raw| {
        let Some(EntryRole::Payload(block)) = geometry.role(index) else {
            return Ok(());
        };
        let Some(entry) = decode(raw).filter(|entry| entry.place().is_some()) else {
            return Ok(());
        };
        let mut runs = vec![payload_run(structure, raw)];
        if entry.state == BlockState::PartiallyPresent {
            let bitmap = bat.load(draft, geometry.bitmap_entry_of(block))?;
            runs.push(bitmap_run(bitmap));
        }
        let start = ByteOffset(block.0.saturating_mul(geometry.block_size));
        let range = ByteRange::new(start, ByteCount(geometry.block_bytes(block)));
        if runs.iter().any(|run| claims.fixed.touches(*run)) {
            suspects.lost.extend(range);
        } else if runs.iter().any(|run| claims.doubled.touches(*run)) {
            suspects.doubtful.extend(range);
        }
        Ok(())
    })?;
    Ok(suspects)
}

/// Who claims which space.
struct Claims {
    /// Header section, log, regions.
    fixed: SpaceMap,
    /// Space that several entries claim.
    doubled: SpaceMap,
    /// Chunks with a block that is partially present.
    partial_chunks: BTreeSet<u64>,
}

impl Claims {
    fn gather(draft: &dyn Storage, structure: &Structure, bat: &Bat) -> Result<Self, ImageError> {
        let mut claims = Self {
            fixed: fixed_space(&structure.regions),
            doubled: SpaceMap::default(),
            partial_chunks: BTreeSet::new(),
        };
        let mut claimed = SpaceMap::default();
        let geometry = &structure.geometry;
        bat.scan(draft, geometry, |index, raw| {
            let (run, bytes) = match (geometry.role(index), decode(raw)) {
                (Some(EntryRole::Payload(block)), Some(entry)) if entry.place().is_some() => {
                    if entry.state == BlockState::PartiallyPresent {
                        claims.partial_chunks.insert(block.0 / geometry.chunk_ratio);
                    }
                    (payload_run(structure, raw), geometry.block_bytes(block))
                }
                (Some(EntryRole::Bitmap(_)), _) if offset(raw) != 0 => (bitmap_run(raw), MIB),
                _ => return Ok(()),
            };
            let is_in_file = lies_in_file(run.offset(), bytes, structure.file_length);
            if is_in_file && !claims.fixed.touches(run) && !claimed.mark_used(run) {
                // Every entry that claims a part of this is in doubt, the earlier ones too.
                claims.doubled.cover(run);
                claimed.cover(run);
            }
            Ok(())
        })?;
        Ok(claims)
    }
}

fn offset(raw: u64) -> u64 {
    raw & !(MIB - 1)
}

fn payload_run(structure: &Structure, raw: u64) -> Run {
    Run {
        start: offset(raw) / MIB,
        length: structure.geometry.block_size / MIB,
    }
}

fn bitmap_run(raw: u64) -> Run {
    Run {
        start: offset(raw) / MIB,
        length: 1,
    }
}

struct Judge<'a> {
    draft: &'a dyn Storage,
    repairs: &'a mut Repairs,
    structure: &'a Structure,
    bat: &'a Bat,
    claims: Claims,
    /// Where the file has to end for the blocks that are kept.
    file_end: u64,
}

impl Judge<'_> {
    fn entry(&mut self, index: EntryIndex, raw: u64) -> Result<(), ImageError> {
        match self.structure.geometry.role(index) {
            Some(EntryRole::Payload(block)) => self.payload(index, block, raw),
            // It may be a bitmap, and the flag of a child what is damaged.
            _ if self.structure.metadata.has_stray_locator => Ok(()),
            Some(EntryRole::Bitmap(chunk)) => self.bitmap(index, chunk, raw),
            None => {
                let message = "lies behind the last block and is cleared";
                self.put(index, raw, 0, "MS-VHDX 2.5", message)
            }
        }
    }

    /// Replaces an entry.
    fn put(
        &mut self,
        index: EntryIndex,
        raw: u64,
        value: u64,
        rule: &'static str,
        message: &str,
    ) -> Result<(), ImageError> {
        let at = self.bat.entry_offset(index);
        self.draft.write_at(&value.to_le_bytes(), at)?;
        let message = format!(
            "entry {} of the block allocation table ({raw:#x}) {message}",
            index.0
        );
        self.repairs.fix(rule, Some(at), message);
        Ok(())
    }

    fn payload(
        &mut self,
        index: EntryIndex,
        block: BlockIndex,
        raw: u64,
    ) -> Result<(), ImageError> {
        let differencing = self.structure.metadata.parent.is_some();
        let Some(entry) = decode(raw) else {
            return self.give_up(index, block, raw, "has an unknown state");
        };
        let Some(place) = entry.place() else {
            let keeps_offset = matches!(entry.state, BlockState::Undefined | BlockState::Unmapped);
            let value = match keeps_offset {
                true => entry.encode(),
                false => BatEntry { offset: 0, ..entry }.encode(),
            };
            if value == raw {
                return Ok(());
            }
            return self.put(
                index,
                raw,
                value,
                RULE,
                "is cleared of what its state has not",
            );
        };
        let run = payload_run(self.structure, raw);
        let bytes = self.structure.geometry.block_bytes(block);
        if self.claims.fixed.touches(run) || place < HEADER_SECTION {
            return self.give_up(index, block, raw, "leads into the tables of the image");
        }
        if !lies_in_file(place, bytes, self.structure.file_length) {
            if place >= self.structure.file_length {
                return self.give_up(index, block, raw, "leads behind the end of the file");
            }
            return self.keep_part(index, block, raw, run);
        }
        if self.claims.doubled.touches(run) {
            return Ok(());
        }
        let value = match entry.state {
            // What is not in it may be its parent's.
            BlockState::PartiallyPresent if self.structure.metadata.has_stray_locator => raw,
            BlockState::PartiallyPresent if !differencing => BatEntry::present(place).encode(),
            _ => entry.encode(),
        };
        match value == raw {
            true => Ok(()),
            false => self.put(
                index,
                raw,
                value,
                RULE,
                "gets the only state and bits it can have",
            ),
        }
    }

    /// Makes a block zeros that cannot be read, if that may be.
    fn give_up(
        &mut self,
        index: EntryIndex,
        block: BlockIndex,
        raw: u64,
        reason: &str,
    ) -> Result<(), ImageError> {
        if !self.repairs.options.accept_loss {
            return Ok(());
        }
        let geometry = &self.structure.geometry;
        let start = block.0.saturating_mul(geometry.block_size);
        self.repairs.lose(start, geometry.block_bytes(block));
        let message = format!("{reason}: block {} becomes zeros", block.0);
        self.put(index, raw, BatEntry::ZERO.encode(), RULE, &message)
    }

    /// Lets the file grow over a block that was cut off: what is left of it stays.
    fn keep_part(
        &mut self,
        index: EntryIndex,
        block: BlockIndex,
        raw: u64,
        run: Run,
    ) -> Result<(), ImageError> {
        if !self.repairs.options.accept_loss || self.claims.doubled.touches(run) {
            return Ok(());
        }
        let geometry = &self.structure.geometry;
        let kept = self.structure.file_length.saturating_sub(run.offset());
        let start = block.0.saturating_mul(geometry.block_size);
        let lost = geometry.block_bytes(block).saturating_sub(kept);
        self.repairs.lose(start.saturating_add(kept), lost);
        let end = run.end().saturating_mul(MIB);
        self.file_end = self.file_end.max(end);
        let message = format!(
            "entry {} of the block allocation table ({raw:#x}): the file grows to {end} bytes over \
             what was cut off",
            index.0
        );
        let at = Some(ByteOffset(self.structure.file_length));
        self.repairs.fix(RULE, at, message);
        Ok(())
    }

    fn bitmap(&mut self, index: EntryIndex, chunk: u64, raw: u64) -> Result<(), ImageError> {
        if self.structure.metadata.parent.is_none() {
            let message = "is a sector bitmap without a parent and is cleared";
            return self.put(index, raw, 0, RULE_BITMAP, message);
        }
        let run = bitmap_run(raw);
        let value = BatEntry::present(run.offset()).encode();
        let is_good = lies_in_file(run.offset(), MIB, self.structure.file_length)
            && !self.claims.fixed.touches(run)
            && !self.claims.doubled.touches(run);
        match (is_good, self.claims.partial_chunks.contains(&chunk)) {
            (true, _) if raw == value => Ok(()),
            (true, true) => self.put(index, raw, value, RULE_BITMAP, "gets the state of a bitmap"),
            (_, false) => {
                let message = "is a sector bitmap that no block needs and is cleared";
                self.put(index, raw, 0, RULE_BITMAP, message)
            }
            (false, true) => Ok(()),
        }
    }
}

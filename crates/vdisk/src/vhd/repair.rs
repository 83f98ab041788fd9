//! Repairing a VHD, on a draft of its file.
//!
//! A dynamic disk has its footer twice; the header and the block allocation table stand there once.
//! A structure of which only the checksum or the cookie is wrong is believed where all else fits
//! together: the sizes, and every entry of the table.

use std::collections::BTreeSet;

use blockio::{ByteCount, ByteOffset, ByteRange, Storage};
use zerocopy::{FromBytes, IntoBytes};

use super::bat::{self, Bat};
use super::footer::{self, Found, Place};
use super::format::{
    FOOTER_COOKIE, FOOTER_LEN, HEADER_COOKIE, HEADER_LEN, RawFooter, RawHeader, SECTOR,
    UNALLOCATED, checksum,
};
use super::geometry::{Geometry, LARGEST_BYTES};
use super::sparse::{self, Layout, reserved_ranges};
use crate::bounds::to_index;
use crate::error::{ImageError, readable};
use crate::info::ImageKind;
use crate::repair::Repairs;
use crate::salvage::Suspects;

/// Repairs what can be repaired; returns the places that change whenever the image grows.
///
/// # Errors
/// `Io`.
pub(crate) fn repair(
    draft: &dyn Storage,
    repairs: &mut Repairs,
) -> Result<Vec<ByteRange>, ImageError> {
    repair_images(draft, repairs)?;
    let length = draft.len()?.get();
    let places = [0, length.saturating_sub(FOOTER_LEN)];
    let guard = |at| ByteRange::new(ByteOffset(at), ByteCount(FOOTER_LEN.min(length)));
    Ok(places.into_iter().filter_map(guard).collect())
}

fn repair_images(draft: &dyn Storage, repairs: &mut Repairs) -> Result<(), ImageError> {
    if readable(footer::find(draft))?.is_none() {
        repair_checksum(draft, repairs)?;
    }
    let Some(found) = readable(footer::find(draft))? else {
        return Ok(());
    };
    repair_geometry(draft, repairs, &found)?;
    if found.footer.kind == ImageKind::Fixed {
        return Ok(());
    }
    repair_header(draft, repairs, &found)?;
    // The geometry or the place of the header may have been mended.
    let Some(found) = readable(footer::find(draft))? else {
        return Ok(());
    };
    let Some(header) = readable(sparse::read_header(draft, &found))? else {
        return Ok(());
    };
    let end = repair_blocks(draft, repairs, &found, &header.layout)?;
    repair_footers(draft, repairs, &found, end)
}

/// The bytes of a footer with the right checksum.
pub(super) fn with_checksum(raw: &RawFooter) -> [u8; 512] {
    let mut raw = raw.clone();
    raw.checksum = checksum(raw.as_bytes(), raw.checksum.to_bytes()).into();
    let mut bytes = [0; 512];
    bytes.copy_from_slice(raw.as_bytes());
    bytes
}

/// Believes a footer whose checksum alone is wrong, where the rest of the file bears it out.
fn repair_checksum(draft: &dyn Storage, repairs: &mut Repairs) -> Result<(), ImageError> {
    let length = draft.len()?.get();
    let mut believed: Vec<(u64, [u8; 512])> = Vec::new();
    for at in [length.saturating_sub(FOOTER_LEN), 0] {
        if length < 2 * FOOTER_LEN {
            return Ok(());
        }
        let bytes = footer::read(draft, at, FOOTER_LEN)?;
        let Ok(raw) = RawFooter::read_from_bytes(&bytes) else {
            continue;
        };
        let mended = with_checksum(&raw);
        if raw.cookie == FOOTER_COOKIE && is_borne_out(draft, &mended, at)? {
            believed.push((at, mended));
        }
    }
    if believed.windows(2).any(|pair| pair[0].1 != pair[1].1) {
        // They differ, and nothing says which is right.
        return Ok(());
    }
    for (at, bytes) in believed {
        draft.write_at(&bytes, ByteOffset(at))?;
        let message = "checksum of the footer is corrected; the rest of the file bears it out";
        repairs.fix(footer::RULE, Some(ByteOffset(at)), message);
    }
    Ok(())
}

/// Whether the file is one that this footer describes.
fn is_borne_out(draft: &dyn Storage, bytes: &[u8; 512], at: u64) -> Result<bool, ImageError> {
    let file_length = draft.len()?.get();
    let Some(raw) = readable(footer::authentic(bytes, ByteOffset(at)))? else {
        return Ok(false);
    };
    let Some(footer) = readable(footer::interpret(&raw, ByteOffset(at)))? else {
        return Ok(false);
    };
    let data_limit = file_length.saturating_sub(FOOTER_LEN);
    if footer.kind == ImageKind::Fixed {
        let geometry = Geometry::of_sectors(footer.current_size.get() / SECTOR);
        let by_geometry = geometry.sectors() * SECTOR;
        let fits = footer.current_size.get() == data_limit && footer.by_geometry == by_geometry;
        return Ok(fits && at != 0);
    }
    let found = Found {
        footer,
        place: Place::End,
        data_limit,
        file_length,
    };
    is_sound(draft, &found)
}

/// Whether the header and all entries of the table make sense, and there are some.
pub(super) fn is_sound(draft: &dyn Storage, found: &Found) -> Result<bool, ImageError> {
    let Some(header) = readable(sparse::read_header(draft, found))? else {
        return Ok(false);
    };
    let bat = Bat::load(draft, &header.layout)?;
    let mut sound = bat.allocated().next().is_some();
    bat.violations(&header.layout, found, |_| {
        sound = false;
        false
    });
    Ok(sound)
}

/// Where the footer that counts stands.
fn footer_place(found: &Found) -> u64 {
    match found.place {
        Place::Start => 0,
        Place::End | Place::OldEnd => found.data_limit,
    }
}

/// Writes a footer over the one that counts, and over the copy of a disk with blocks.
fn write_footer(draft: &dyn Storage, found: &Found, raw: &RawFooter) -> Result<(), ImageError> {
    let bytes = with_checksum(raw);
    let length = match found.place {
        Place::OldEnd => 511,
        Place::End | Place::Start => 512,
    };
    draft.write_at(&bytes[..length], ByteOffset(footer_place(found)))?;
    if found.footer.kind != ImageKind::Fixed && found.place == Place::End {
        draft.write_at(&bytes, ByteOffset(0))?;
    }
    Ok(())
}

/// Computes the geometry of a disk that goes by its current size and has a geometry beyond it.
fn repair_geometry(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    found: &Found,
) -> Result<(), ImageError> {
    let footer = &found.footer;
    let is_larger = footer.by_geometry > footer.size.get();
    let is_told = footer.by_geometry != LARGEST_BYTES;
    if footer.size != footer.current_size || !is_larger || !is_told {
        return Ok(());
    }
    let Ok(mut raw) = RawFooter::read_from_bytes(&footer.bytes) else {
        return Ok(());
    };
    let geometry = Geometry::of_sectors(footer.size.get() / SECTOR);
    raw.cylinders = geometry.cylinders.into();
    raw.heads = geometry.heads;
    raw.sectors_per_track = geometry.sectors_per_track;
    write_footer(draft, found, &raw)?;
    let message = format!("geometry of a disk of {} is computed anew", footer.size);
    repairs.fix(footer::RULE, Some(ByteOffset(footer_place(found))), message);
    Ok(())
}

/// Finds the header again where the footer leads past it, and believes one whose cookie or checksum
/// alone is wrong.
fn repair_header(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    found: &Found,
) -> Result<(), ImageError> {
    if readable(sparse::read_header(draft, found))?.is_some() {
        return Ok(());
    }
    let mut elsewhere = found.clone();
    elsewhere.footer.header_offset = ByteOffset(FOOTER_LEN);
    if readable(sparse::read_header(draft, &elsewhere))?.is_some() {
        let Ok(mut raw) = RawFooter::read_from_bytes(&found.footer.bytes) else {
            return Ok(());
        };
        raw.data_offset = FOOTER_LEN.into();
        write_footer(draft, found, &raw)?;
        let message = "footer leads to the dynamic disk header again";
        repairs.fix(footer::RULE, Some(ByteOffset(footer_place(found))), message);
        return Ok(());
    }
    let at = found.footer.header_offset;
    let mut bytes = [0; 1024];
    let end = at.get().checked_add(HEADER_LEN);
    if end.is_none_or(|end| end > found.file_length) {
        return Ok(());
    }
    draft.read_at(&mut bytes, at)?;
    let Ok(mut raw) = RawHeader::read_from_bytes(&bytes) else {
        return Ok(());
    };
    raw.cookie = HEADER_COOKIE;
    raw.checksum = checksum(raw.as_bytes(), raw.checksum.to_bytes()).into();
    draft.write_at(raw.as_bytes(), at)?;
    if is_sound(draft, found)? {
        let message = "cookie and checksum of the header are corrected; its table bears it out";
        repairs.fix(sparse::RULE, Some(at), message);
        return Ok(());
    }
    draft.write_at(&bytes, at)?;
    Ok(())
}

/// Gives up blocks that cannot be read, where that may be; returns where the footer has to stand at
/// the earliest.
fn repair_blocks(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    found: &Found,
    layout: &Layout,
) -> Result<u64, ImageError> {
    let bat = Bat::load(draft, layout)?;
    let claims = Claims::of(found, layout, &bat);
    let differencing = found.footer.kind == ImageKind::Differencing;
    let mut end_of_data = 0;
    for (block, entry) in bat.allocated() {
        let start = u64::from(entry) * SECTOR;
        let data = layout.data_offset(entry);
        let end = data + layout.block_size;
        let over = claims.is_over_tables(start, end);
        let is_whole = end <= found.data_limit && !over;
        // A child has no way to say that a block is zeros: its parent would show through.
        if is_whole
            || claims.doubled.contains(&block)
            || differencing
            || !repairs.options.accept_loss
        {
            end_of_data = end_of_data.max(match start < found.data_limit {
                true => end,
                false => 0,
            });
            continue;
        }
        let disk = block * layout.block_size;
        let at = ByteOffset(layout.table_offset + block * 4);
        if over || start >= found.data_limit {
            draft.write_at(&UNALLOCATED.to_be_bytes(), at)?;
            repairs.lose(disk, layout.block_size);
            let message = format!("block {block} at {start:#x} has no place and becomes zeros");
            repairs.fix(bat::RULE, Some(at), message);
            continue;
        }
        // The block was cut off: what is left of it stays, its bitmap says that all of it counts.
        let kept = found.data_limit.saturating_sub(data);
        let bitmap = vec![0xff; to_index(layout.bitmap_size).unwrap_or(0)];
        draft.write_at(&bitmap, ByteOffset(start))?;
        let rest = ByteRange::between(ByteOffset(found.data_limit.max(data)), ByteOffset(end));
        if let Some(old_footer) = rest.and_then(|rest| {
            rest.intersect(ByteRange::new(
                ByteOffset(found.data_limit),
                ByteCount(FOOTER_LEN),
            )?)
        }) {
            draft.zero(old_footer, blockio::ZeroMode::KeepAllocated)?;
        }
        end_of_data = end_of_data.max(end);
        repairs.lose(disk + kept, layout.block_size - kept);
        let message = format!("block {block} was cut off: the file grows over what is missing");
        repairs.fix(bat::RULE, Some(at), message);
    }
    Ok(end_of_data)
}

/// The blocks that are not to be trusted: those that share their place, and those whose place is on
/// the tables of the image (which a child alone keeps).
pub(super) fn suspects(
    draft: &dyn Storage,
    found: &Found,
    layout: &Layout,
) -> Result<Suspects, ImageError> {
    let bat = Bat::load(draft, layout)?;
    let claims = Claims::of(found, layout, &bat);
    let mut suspects = Suspects::default();
    for (block, entry) in bat.allocated() {
        let disk = block * layout.block_size;
        let length = found
            .footer
            .size
            .get()
            .saturating_sub(disk)
            .min(layout.block_size);
        let Some(range) = ByteRange::new(ByteOffset(disk), ByteCount(length)) else {
            continue;
        };
        let end = layout.data_offset(entry) + layout.block_size;
        if claims.is_over_tables(u64::from(entry) * SECTOR, end) {
            suspects.lost.push(range);
        } else if claims.doubled.contains(&block) {
            suspects.doubtful.push(range);
        }
    }
    Ok(suspects)
}

/// What claims which part of the file.
struct Claims {
    /// What the tables and the footer's copy take, from and to.
    tables: [(ByteOffset, ByteOffset); 3],
    /// Blocks that share space with another one, those left out that are where no block can be.
    doubled: BTreeSet<u64>,
}

impl Claims {
    fn of(found: &Found, layout: &Layout, bat: &Bat) -> Self {
        let mut claims = Self {
            tables: reserved_ranges(found, layout),
            doubled: BTreeSet::new(),
        };
        let end = |entry: u32| layout.data_offset(entry) + layout.block_size;
        let is_placed = |entry: u32| !claims.is_over_tables(u64::from(entry) * SECTOR, end(entry));
        let placed = bat.allocated().filter(|(_, entry)| is_placed(*entry));
        let mut places: Vec<(u32, u64)> = placed.map(|(block, entry)| (entry, block)).collect();
        places.sort_unstable();
        let mut doubled = BTreeSet::new();
        // The block that reaches furthest of those before.
        let mut furthest: Option<(u64, u64)> = None;
        for (entry, block) in places {
            let end = end(entry);
            if let Some((reach, owner)) = furthest
                && u64::from(entry) * SECTOR < reach
            {
                doubled.extend([owner, block]);
            }
            if furthest.is_none_or(|(reach, _)| end > reach) {
                furthest = Some((end, block));
            }
        }
        claims.doubled = doubled;
        claims
    }

    fn is_over_tables(&self, start: u64, end: u64) -> bool {
        let mut ranges = self.tables.iter();
        ranges.any(|(from, to)| start < to.get() && from.get() < end)
    }
}

/// Makes the footer stand at the end of the file and its copy at the start.
fn repair_footers(
    draft: &dyn Storage,
    repairs: &mut Repairs,
    found: &Found,
    end_of_data: u64,
) -> Result<(), ImageError> {
    let bytes = footer::find(draft).map_or(found.footer.bytes, |found| found.footer.bytes);
    let length = draft.len()?.get();
    let place = match found.place {
        Place::OldEnd if end_of_data <= found.data_limit => return Ok(()),
        Place::End | Place::OldEnd => found.data_limit,
        // Where a footer stood that is damaged now; else behind all there is.
        Place::Start => match length.checked_sub(FOOTER_LEN) {
            Some(at) if end_of_data <= at && was_footer(draft, at)? => at,
            _ => length.next_multiple_of(SECTOR),
        },
    };
    if end_of_data > place && !repairs.options.accept_loss {
        // A footer would stand in a block that is cut off.
        return Ok(());
    }
    let place = place.max(end_of_data);
    let at_end = footer_at(draft, place)?;
    if at_end != Some(bytes) {
        draft.write_at(&bytes, ByteOffset(place))?;
        let message = "footer is written at the end";
        repairs.fix(footer::RULE, Some(ByteOffset(place)), message);
    }
    if footer::read(draft, 0, FOOTER_LEN)? != bytes {
        draft.write_at(&bytes, ByteOffset(0))?;
        let message = "copy of the footer at the start is written again";
        repairs.fix(footer::RULE, Some(ByteOffset(0)), message);
    }
    Ok(())
}

fn footer_at(draft: &dyn Storage, at: u64) -> Result<Option<[u8; 512]>, ImageError> {
    match at
        .checked_add(FOOTER_LEN)
        .is_some_and(|end| ByteOffset(end) <= end_of(draft))
    {
        true => footer::read(draft, at, FOOTER_LEN).map(Some),
        false => Ok(None),
    }
}

fn end_of(draft: &dyn Storage) -> ByteOffset {
    ByteOffset(draft.len().map_or(0, ByteCount::get))
}

/// Whether the bytes at `at` look like a footer that was damaged: most of its cookie is there, or all
/// that a footer holds behind its fields, zeros, with something in front of them.
fn was_footer(draft: &dyn Storage, at: u64) -> Result<bool, ImageError> {
    let bytes = footer::read(draft, at, FOOTER_LEN)?;
    let (head, reserved) = bytes.split_at(85);
    let matching = head
        .iter()
        .zip(&FOOTER_COOKIE)
        .filter(|(a, b)| a == b)
        .count();
    let is_bare = reserved.iter().all(|byte| *byte == 0) && head.iter().any(|byte| *byte != 0);
    Ok(matching >= FOOTER_COOKIE.len() / 2 || is_bare)
}

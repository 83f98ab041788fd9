//! Finding the regions of an image whose region tables are lost.
//!
//! Invariant: a region counts as found only where exactly one place in the file can be it.

use blockio::{ByteCount, ByteOffset, ByteRange, ExtentKind, MIB, Storage};

use super::bat::{Bat, BatEntry, BlockState, lies_in_file};
use super::format::METADATA_SIGNATURE;
use super::geometry::{EntryRole, Geometry};
use super::metadata::{Metadata, read_metadata};
use super::space::{Run, SpaceMap};
use crate::error::{ImageError, readable};

/// The regions that were found.
pub(super) struct FoundRegions {
    pub(super) bat: ByteRange,
    pub(super) metadata: ByteRange,
}

/// Finds metadata and block allocation table; `log` is where neither is. `None` where one of them
/// is found nowhere or in several places.
///
/// # Errors
/// `Io`.
pub(super) fn find_regions(
    storage: &dyn Storage,
    log: ByteRange,
) -> Result<Option<FoundRegions>, ImageError> {
    let Some((metadata, facts)) = find_metadata(storage)? else {
        return Ok(None);
    };
    let geometry = Geometry::new(&facts);
    let differencing = facts.parent.is_some();
    let bat = find_bat(storage, &geometry, differencing, &[log, metadata])?;
    Ok(bat.map(|bat| FoundRegions { bat, metadata }))
}

/// The only region that holds metadata which make sense.
pub(super) fn find_metadata(
    storage: &dyn Storage,
) -> Result<Option<(ByteRange, Metadata)>, ImageError> {
    let mut found = None;
    let mut several = false;
    each_mebibyte(storage, &mut |at| {
        let mut signature = [0; METADATA_SIGNATURE.len()];
        storage.read_at(&mut signature, ByteOffset(at))?;
        let Some(region) = ByteRange::new(ByteOffset(at), ByteCount(MIB)) else {
            return Ok(());
        };
        if signature == METADATA_SIGNATURE
            && let Some(metadata) = readable(read_metadata(storage, region))?
        {
            several |= found.is_some();
            found = Some((region, metadata));
        }
        Ok(())
    })?;
    Ok(found.filter(|_| !several))
}

/// The only place whose entries all lead to blocks in the file that share no byte.
pub(super) fn find_bat(
    storage: &dyn Storage,
    geometry: &Geometry,
    differencing: bool,
    taken: &[ByteRange],
) -> Result<Option<ByteRange>, ImageError> {
    let length = geometry.padded_entries().saturating_mul(8).max(1);
    let length = ByteCount(length.next_multiple_of(MIB));
    let file_length = storage.len()?.get();
    let mut found = None;
    let mut several = false;
    each_mebibyte(storage, &mut |at| {
        let region = ByteRange::new(ByteOffset(at), length)
            .filter(|region| region.end().get() <= file_length)
            .filter(|region| taken.iter().all(|other| region.intersect(*other).is_none()));
        if let Some(region) = region
            && is_table(storage, region, geometry, differencing, taken)?
        {
            several |= found.is_some();
            found = Some(region);
        }
        Ok(())
    })?;
    Ok(found.filter(|_| !several))
}

/// Whether the bytes of `region` can be the block allocation table.
fn is_table(
    storage: &dyn Storage,
    region: ByteRange,
    geometry: &Geometry,
    differencing: bool,
    taken: &[ByteRange],
) -> Result<bool, ImageError> {
    let Some(bat) = readable(Bat::new(region, geometry))? else {
        return Ok(false);
    };
    let file_length = storage.len()?.get();
    let mut map = SpaceMap::default();
    for range in taken
        .iter()
        .chain([&region])
        .filter(|range| !range.is_empty())
    {
        map.mark_used(Run::covering(*range));
    }
    let mut placed = 0_u64;
    let no = || ImageError::damaged("MS-VHDX 2.5", "not a block allocation table");
    let scanned = bat.scan(storage, geometry, |index, raw| {
        let entry = BatEntry::decode(raw).ok_or_else(no)?;
        let (bytes, mebibytes) = match (geometry.role(index), entry.state) {
            (Some(EntryRole::Payload(_)), BlockState::PartiallyPresent) if !differencing => {
                return Err(no());
            }
            (Some(EntryRole::Payload(block)), _) if entry.place().is_some() => {
                (geometry.block_bytes(block), geometry.block_size / MIB)
            }
            (Some(EntryRole::Bitmap(_)), BlockState::FullyPresent) if differencing => (MIB, 1),
            (_, BlockState::FullyPresent | BlockState::PartiallyPresent) => return Err(no()),
            (Some(EntryRole::Payload(_)), _) if entry.offset == 0 => return Ok(()),
            _ => return Err(no()),
        };
        let run = Run {
            start: entry.offset / MIB,
            length: mebibytes,
        };
        if !lies_in_file(entry.offset, bytes, file_length) || !map.mark_used(run) {
            return Err(no());
        }
        placed += 1;
        Ok(())
    });
    Ok(readable(scanned)?.is_some() && placed > 0)
}

/// Visits the start of every mebibyte behind the header section that holds data on the host.
fn each_mebibyte(
    storage: &dyn Storage,
    visit: &mut dyn FnMut(u64) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let end = storage.len()?.get() / MIB * MIB;
    let mut at = MIB;
    while at < end {
        let Some(rest) = ByteRange::between(ByteOffset(at), ByteOffset(end)) else {
            break;
        };
        let extent = storage.extent_at(rest)?;
        let stop = extent.range.end().get();
        if extent.kind == ExtentKind::Hole && stop >= at.saturating_add(MIB) {
            at = stop / MIB * MIB;
            continue;
        }
        visit(at)?;
        at = at.saturating_add(MIB);
    }
    Ok(())
}

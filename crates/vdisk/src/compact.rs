//! Compaction: an image gives back the space of what is zero, and of what the caller says that
//! nobody uses, in place.
//!
//! Invariant: a byte of the disk outside the ranges named as unused reads after a compaction, and
//! after a crash at any point of it, as it did before; a byte within them reads as before or zero.

use std::ops::ControlFlow;

use blockio::{
    ByteCount, ByteOffset, ByteRange, Extent, ExtentKind, KIB, MIB, Operation, Storage, ZeroMode,
};

use crate::bounds::{checked_range, to_index};
use crate::convert::{Progress, is_zero};
use crate::error::ImageError;

/// Zeros are looked for in units of this many bytes, which is also what hosts keep holes in.
const UNIT: u64 = 4 * KIB;
/// Shorter runs of zeros in a block that stays are left alone: a hole costs the host more.
const MIN_HOLE: u64 = 32 * KIB;
/// Bytes read at once.
pub(crate) const STEP: u64 = MIB;
/// Bytes read first where the first byte that is not zero ends the search.
const FIRST_LOOK: u64 = 4 * KIB;
/// Whether holes are made in blocks that stay. Windows does not open images that are sparse files.
pub(crate) const MAKES_HOLES: bool = cfg!(unix);

/// What a compaction may take, and whom it tells.
pub struct CompactRequest<'a> {
    /// Ranges of the disk that nobody uses, ascending and apart; whatever they hold may go.
    pub unused: &'a [ByteRange],
    /// Only find out what would be won.
    pub dry_run: bool,
    /// Read all that is used, and make holes of the zeros in blocks that stay. Without it a block is
    /// read until it turns out to hold something, and holes are made of what nobody uses alone.
    pub scan_zeros: bool,
    /// Is told bytes looked at and moved, and to look at and move; `Break` ends the compaction
    /// early, with the image whole.
    pub progress: &'a dyn Fn(Progress) -> ControlFlow<()>,
}

/// What a compaction won, or would win.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Length of the file before.
    pub length_before: ByteCount,
    /// Length of the file after.
    pub length_after: ByteCount,
    /// Bytes that the host kept for the file before: its length without its holes.
    pub stored_before: ByteCount,
    /// Bytes that the host keeps for the file after.
    pub stored_after: ByteCount,
    /// Blocks with a place in the file before; 0 where the image has no blocks.
    pub blocks_before: u64,
    /// Blocks with a place in the file after.
    pub blocks_after: u64,
    /// Blocks that were moved towards the start of the file.
    pub blocks_moved: u64,
    /// Blocks that hold nothing and keep their space: in a VHD child, which has no other way to say
    /// that they are zeros, where the parent shows something.
    pub blocks_kept: u64,
}

impl CompactRequest<'_> {
    /// Whether zeros in parts of blocks that stay are looked for.
    pub(crate) fn makes_holes_of_zeros(&self) -> bool {
        self.scan_zeros && MAKES_HOLES
    }

    pub(crate) fn tell(&self, done: u64, total: u64) -> Result<(), ImageError> {
        let progress = Progress {
            done: ByteCount(done),
            total: ByteCount(total),
        };
        match (self.progress)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ImageError::Cancelled),
        }
    }

    /// The parts of the disk from `start` to `end`, each with whether it is used.
    pub(crate) fn parts(&self, start: u64, end: u64) -> Vec<(u64, u64, bool)> {
        let first = self.unused.partition_point(|r| r.end().get() <= start);
        let mut parts = Vec::new();
        let mut at = start;
        for range in self.unused.get(first..).unwrap_or_default() {
            let from = range.start().get().clamp(at, end);
            let to = range.end().get().clamp(from, end);
            if from > at {
                parts.push((at, from, true));
            }
            if to > from {
                parts.push((from, to, false));
            }
            at = to;
            if at >= end {
                return parts;
            }
        }
        if at < end {
            parts.push((at, end, true));
        }
        parts
    }
}

/// Runs of a file that need not be stored, joined and cut to what a hole can be.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    runs: Vec<(u64, u64)>,
}

impl Holes {
    /// Adds a run behind all that were added before.
    pub(crate) fn add(&mut self, start: u64, end: u64) {
        match self.runs.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ if start < end => self.runs.push((start, end)),
            _ => {}
        }
    }

    /// The runs that are long enough, in whole units.
    pub(crate) fn worth_it(&self) -> impl Iterator<Item = ByteRange> + '_ {
        self.runs.iter().filter_map(|(start, end)| {
            let (start, end) = (start.next_multiple_of(UNIT), end / UNIT * UNIT);
            ByteRange::between(ByteOffset(start), ByteOffset(end))
                .filter(|range| range.len().get() >= MIN_HOLE)
        })
    }
}

/// Looks at a run of a file that is in use: whether all of it is zero. Zeros go to `holes`; where
/// that is not asked for, looking ends with the first byte that is not zero.
pub(crate) fn look_for_zeros(
    storage: &dyn Storage,
    start: u64,
    end: u64,
    mut holes: Option<&mut Holes>,
    buffer: &mut Vec<u8>,
) -> Result<bool, ImageError> {
    let mut all_zero = true;
    let mut at = start;
    // Most blocks hold something at once: it would be a waste to read all of them.
    let mut step = match holes {
        Some(_) => STEP,
        None => FIRST_LOOK,
    };
    while at < end {
        let Some(rest) = ByteRange::between(ByteOffset(at), ByteOffset(end)) else {
            break;
        };
        let extent = storage.extent_at(rest)?;
        let stop = extent.range.end().get().clamp(at + 1, end);
        if extent.kind == ExtentKind::Hole {
            if let Some(holes) = holes.as_deref_mut() {
                holes.add(at, stop);
            }
            at = stop;
            continue;
        }
        while at < stop {
            // Cut at multiples, so that units of the file are looked at whole.
            let to = stop.min((at / step + 1) * step);
            buffer.resize(to_index(to - at).unwrap_or(0), 0);
            storage.read_at(buffer, ByteOffset(at))?;
            all_zero &= note_zeros(buffer, at, holes.as_deref_mut());
            if !all_zero && holes.is_none() {
                return Ok(false);
            }
            step = STEP.min(step * 4);
            at = to;
        }
    }
    Ok(all_zero)
}

fn note_zeros(bytes: &[u8], start: u64, mut holes: Option<&mut Holes>) -> bool {
    let mut all_zero = true;
    let mut at = start;
    let mut rest = bytes;
    while !rest.is_empty() {
        let to_boundary = UNIT - at % UNIT;
        let length = to_index(to_boundary).unwrap_or(1).min(rest.len());
        let (unit, after) = rest.split_at(length);
        let end = at.saturating_add(crate::bounds::buffer_len(unit));
        if !is_zero(unit) {
            all_zero = false;
        } else if let Some(holes) = holes.as_deref_mut() {
            holes.add(at, end);
        }
        at = end;
        rest = after;
    }
    all_zero
}

/// Bytes that the host keeps for a range of a file.
///
/// # Errors
/// Of the storage.
pub(crate) fn stored_in(storage: &dyn Storage, start: u64, end: u64) -> Result<u64, ImageError> {
    let mut stored = 0;
    let mut at = start;
    while let Some(rest) = ByteRange::between(ByteOffset(at), ByteOffset(end)) {
        if rest.is_empty() {
            break;
        }
        let extent = storage.extent_at(rest)?;
        let length = extent.range.len().get().clamp(1, end - at);
        if extent.kind == ExtentKind::Data {
            stored += length;
        }
        at += length;
    }
    Ok(stored)
}

/// What stands in the place that a run is copied to, which nobody else uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Zeros: what the host does not keep is not copied.
    Zeros,
    /// Anything, in the file: what the host does not keep becomes a hole there.
    Anything,
    /// Anything, and all of it is written.
    Written,
}

/// Copies a run of a file to another place in it.
pub(crate) fn copy_in_file(
    storage: &dyn Storage,
    from: u64,
    to: u64,
    length: u64,
    target: Target,
) -> Result<(), ImageError> {
    let end = from.saturating_add(length);
    let mut at = from;
    while let Some(rest) = ByteRange::between(ByteOffset(at), ByteOffset(end)) {
        if rest.is_empty() {
            break;
        }
        let place = to.saturating_add(at - from);
        let extent = match target {
            Target::Written => Extent {
                range: rest,
                kind: ExtentKind::Data,
            },
            _ => storage.extent_at(rest)?,
        };
        match (extent.kind, target) {
            (ExtentKind::Hole, Target::Zeros) => {}
            (ExtentKind::Hole, _) => {
                let length = extent.range.len().get();
                let limit = ByteCount(u64::MAX);
                let hole = checked_range(Operation::Zero, ByteOffset(place), length, limit)?;
                storage.zero(hole, ZeroMode::Punch)?;
            }
            (ExtentKind::Data, _) => storage.copy_within(extent.range, ByteOffset(place))?,
        }
        at = extent.range.end().get().max(at + 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockio::MemoryStorage;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::between(ByteOffset(start), ByteOffset(end)).unwrap()
    }

    #[test]
    fn a_stretch_of_the_disk_is_cut_into_used_and_unused() {
        let unused = [range(10, 20), range(20, 25), range(40, 100)];
        let request = CompactRequest {
            unused: &unused,
            dry_run: true,
            scan_zeros: false,
            progress: &|_| ControlFlow::Continue(()),
        };
        assert_eq!(request.parts(0, 5), [(0, 5, true)]);
        assert_eq!(
            request.parts(5, 50),
            [
                (5, 10, true),
                (10, 20, false),
                (20, 25, false),
                (25, 40, true),
                (40, 50, false)
            ]
        );
        assert_eq!(request.parts(50, 60), [(50, 60, false)]);
        assert_eq!(request.parts(90, 110), [(90, 100, false), (100, 110, true)]);
    }

    #[test]
    fn zeros_in_units_are_found_and_short_ones_left() {
        let mut bytes = vec![0; 256 * 1024];
        bytes[100] = 1;
        bytes[80 * 1024] = 1;
        bytes[100 * 1024] = 1;
        let storage = MemoryStorage::from_bytes(bytes);
        let mut holes = Holes::default();
        let end = 256 * KIB;
        let mut buffer = Vec::new();
        let zero = look_for_zeros(&storage, 0, end, Some(&mut holes), &mut buffer).unwrap();
        assert!(!zero);
        let found: Vec<_> = holes.worth_it().collect();
        let expected = [range(4 * KIB, 80 * KIB), range(104 * KIB, end)];
        assert_eq!(found, expected);
        let zero = look_for_zeros(&storage, 4 * KIB, 80 * KIB, None, &mut buffer).unwrap();
        assert!(zero);
    }
}

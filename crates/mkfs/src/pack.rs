//! Packing: what a file system holds in image blocks that are nearly empty moves into free clusters
//! of blocks that are nearly full, so that an image can give the emptied blocks up.
//!
//! ```text
//!   UsedMap, blocks of the image      which blocks hold how much
//!        |
//!   PackPlan                          those that cost least are left, as long as the others have room
//!        |
//!   ChangeSet                         data copied to free clusters; the records that name them
//! ```
//! NTFS and FAT32 are packed, and only where their own record of free clusters is believed
//! ([`crate::used`]). Blocks that hold anything else besides stay, and so do those with what cannot
//! move: on NTFS the first and the last of the partition (the boot sector and its copy), on FAT32
//! those with the boot sectors and the tables.

use std::ops::ControlFlow;

use blockio::{BlockKind, ByteCount, ByteOffset, ByteRange, Disk};

use crate::change::{ChangeError, ChangeOptions, ChangeSet, Meter, Overlay, State};
use crate::fat32::Fat32Change;
use crate::identify::FileSystem;
use crate::ntfs::NtfsChange;
use crate::used::{PartUse, UsedMap};

/// Blocks that are left are worth it as long as the others are longer than what is used by more than
/// one part in so many.
const GOOD_ENOUGH: u64 = 100;
/// Most bytes that must stay free in the blocks that are kept: room for records that grow, and for
/// pieces too short to be of use.
const MAX_MARGIN: u64 = 1 << 20;
/// A block that lies behind the end that the file comes to have is copied whole if it stays, which is
/// cheaper than to move so much of a file system: as cheap as one part in so many of it.
const WHOLE_BLOCK: u64 = 2;
/// Most blocks of an image that are looked at.
const MAX_BLOCKS: u64 = 1 << 26;

/// What of one partition moves where, in bytes of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PartPlan {
    range: ByteRange,
    file_system: FileSystem,
    leave: Vec<ByteRange>,
    into: Vec<ByteRange>,
}

/// Which blocks are emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackPlan {
    parts: Vec<PartPlan>,
    moved: u64,
    blocks: u64,
}

/// A block that a file system has to itself.
#[derive(Clone, Copy, Debug)]
struct Block {
    number: u64,
    used: u64,
    stays: bool,
    /// Where it stands in the file.
    place: u64,
}

/// Where a byte of the disk stands in the file of its image, if it has a place there.
pub type PlaceOf<'p> = &'p dyn Fn(ByteOffset) -> blockio::Result<Option<ByteOffset>>;

impl PackPlan {
    /// Finds the blocks that are worth emptying on `disk`, whose image keeps blocks of `block_size`, each
    /// where `place_of` tells.
    ///
    /// # Errors
    /// `Disk`.
    pub fn new(
        disk: &dyn Disk,
        used: &UsedMap,
        block_size: ByteCount,
        place_of: PlaceOf<'_>,
    ) -> Result<Self, ChangeError> {
        let mut plan = Self {
            parts: Vec::new(),
            moved: 0,
            blocks: 0,
        };
        let size = block_size.get();
        if size == 0 || disk.size().get() / size > MAX_BLOCKS {
            return Ok(plan);
        }
        for part in used.parts() {
            if part.left_alone.is_some() {
                continue;
            }
            let Some(fixed) = fixed_in(disk, part)? else {
                continue;
            };
            let blocks = blocks_of((disk, place_of), used, part.range, &fixed, size)?;
            let leave = choose(&blocks, size);
            if leave.is_empty() {
                continue;
            }
            plan.add(used, part, &blocks, &leave, size);
        }
        Ok(plan)
    }

    fn add(&mut self, used: &UsedMap, part: &PartUse, blocks: &[Block], leave: &[u64], size: u64) {
        let range = part.range;
        let block = |number: u64| {
            ByteRange::between(ByteOffset(number * size), ByteOffset((number + 1) * size))
        };
        let leaves = |number: &u64| leave.binary_search(number).is_ok();
        let kept = blocks
            .iter()
            .map(|block| block.number)
            .filter(|b| !leaves(b));
        let into = kept
            .filter_map(block)
            .flat_map(|block| free_in(used, block))
            .filter_map(|free| free.intersect(range))
            .collect();
        let left = blocks.iter().filter(|block| leaves(&block.number));
        self.moved += left.map(|block| block.used).sum::<u64>();
        self.blocks += u64::try_from(leave.len()).unwrap_or(u64::MAX);
        self.parts.push(PartPlan {
            range,
            file_system: part.file_system,
            leave: leave.iter().filter_map(|number| block(*number)).collect(),
            into,
        });
    }

    /// Whether nothing is worth moving.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Bytes that move, at most.
    pub fn moved(&self) -> ByteCount {
        ByteCount(self.moved)
    }

    /// Blocks that nothing is in afterwards.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Ranges of the disk that nothing is in afterwards, ascending.
    pub fn emptied(&self) -> impl Iterator<Item = ByteRange> + '_ {
        let left = self.parts.iter().flat_map(|part| &part.leave);
        left.copied()
    }

    /// About what nobody will use when the plan was carried out, ascending and apart: what it empties,
    /// and what is free now but for as much as moves.
    pub fn unused_after(&self, used: &UsedMap) -> Vec<ByteRange> {
        let unused = used.unused().iter().copied();
        let mut free: Vec<ByteRange> = self.emptied().chain(unused).collect();
        free.sort_unstable_by_key(|range| range.start());
        let mut coming = self.moved;
        let mut taken = Vec::new();
        for range in self.parts.iter().flat_map(|part| &part.into) {
            let length = coming.min(range.len().get());
            coming -= length;
            taken.extend(ByteRange::new(range.start(), ByteCount(length)));
        }
        taken.sort_unstable_by_key(|range| range.start());
        without(&joined(free), &taken)
    }

    /// All that is to be written on `disk`, of which nothing has changed since the plan was made.
    /// Data is copied to free clusters at once, which changes nothing. `progress` is told the bytes
    /// copied.
    ///
    /// # Errors
    /// `NoSpace` where what moves has no room after all, `Unclean`, `Unsupported`, `Damaged`,
    /// `Interrupted`, `Disk`.
    pub fn change(
        &self,
        disk: &dyn Disk,
        options: ChangeOptions,
        progress: &dyn Fn(u64, u64) -> ControlFlow<()>,
    ) -> Result<ChangeSet, ChangeError> {
        let mut pieces = ChangeSet::nothing(disk);
        for part in &self.parts {
            let base = part.range.start().get();
            let within = |ranges: &[ByteRange]| -> Vec<(u64, u64)> {
                let from_base = |at: ByteOffset| at.get().saturating_sub(base);
                let moved = ranges
                    .iter()
                    .map(|r| (from_base(r.start()), from_base(r.end())));
                moved.collect()
            };
            let overlay = Overlay::new(disk, part.range);
            let (leave, into) = (within(&part.leave), within(&part.into));
            let meter = &mut Meter::new(progress);
            let change = match part.file_system {
                FileSystem::Fat32 => {
                    let mut volume = Fat32Change::open(overlay, options, State::Clean)?;
                    volume.evacuate(&leave, &into, meter)?;
                    volume.finish()?
                }
                _ => {
                    let mut volume = NtfsChange::open(overlay, options, State::Clean)?;
                    volume.evacuate(&leave, &into, meter)?;
                    volume.finish()?
                }
            };
            pieces = pieces.joined(change);
        }
        Ok(pieces)
    }
}

/// What of a partition cannot move, in bytes of the disk; `None` where it is not packed.
fn fixed_in(disk: &dyn Disk, part: &PartUse) -> Result<Option<Vec<ByteRange>>, ChangeError> {
    let (start, end) = (part.range.start(), part.range.end());
    match part.file_system {
        FileSystem::Ntfs => {
            // The boot sector is in the first cluster of a partition, its copy in the last sector.
            let boot = ByteRange::new(start, ByteCount(1));
            let copy = end.get().checked_sub(1).map(ByteOffset);
            let copy = copy.and_then(|last| ByteRange::between(last, end));
            Ok(Some(boot.into_iter().chain(copy).collect()))
        }
        FileSystem::Fat32 => {
            match crate::fat32::data_start(&Overlay::new(disk, part.range)) {
                Ok(data) => Ok(ByteRange::new(start, data).map(|tables| vec![tables])),
                Err(ChangeError::Disk(error)) => Err(error.into()),
                // Of a shape that is not changed: it is compacted as it lies.
                Err(_) => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// The blocks that lie in a partition whole and have space in the image; those with anything of
/// `fixed` stay.
fn blocks_of(
    (disk, place_of): (&dyn Disk, PlaceOf<'_>),
    used: &UsedMap,
    range: ByteRange,
    fixed: &[ByteRange],
    size: u64,
) -> Result<Vec<Block>, ChangeError> {
    let (first, end) = (range.start().get().div_ceil(size), range.end().get() / size);
    let mut blocks = Vec::new();
    for number in first..end {
        let block = ByteRange::between(ByteOffset(number * size), ByteOffset((number + 1) * size));
        let Some(block) = block else { continue };
        if !has_data(disk, block)? {
            continue;
        }
        let free: u64 = free_in(used, block).map(|range| range.len().get()).sum();
        blocks.push(Block {
            number,
            used: size.saturating_sub(free),
            stays: fixed.iter().any(|fixed| fixed.intersect(block).is_some()),
            place: place_of(block.start())?.map_or(0, ByteOffset::get),
        });
    }
    Ok(blocks)
}

fn has_data(disk: &dyn Disk, block: ByteRange) -> Result<bool, ChangeError> {
    let mut rest = Some(block);
    while let Some(range) = rest.filter(|range| !range.is_empty()) {
        let status = disk.block_status(range)?;
        if status.kind == BlockKind::Data {
            return Ok(true);
        }
        rest = ByteRange::between(status.range.end(), block.end());
    }
    Ok(false)
}

/// What nobody uses in a part of the disk.
fn free_in(used: &UsedMap, within: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
    let unused = used.unused();
    let first = unused.partition_point(|range| range.end() <= within.start());
    let near = unused.get(first..).unwrap_or_default().iter();
    near.take_while(move |range| range.start() < within.end())
        .filter_map(move |range| range.intersect(within))
}

/// Numbers, ascending, of the blocks to be emptied: those first that cost least to be left, as long as
/// the others have room for what is in them and are not nearly full. How many that are does not hang on
/// their order.
fn choose(blocks: &[Block], size: u64) -> Vec<u64> {
    let used: u64 = blocks.iter().map(|block| block.used).sum();
    let mut kept = u64::try_from(blocks.len()).unwrap_or(u64::MAX);
    let enough = used.saturating_add(used / GOOD_ENOUGH);
    // So many blocks stay, and those from this place on move if they do.
    let mut places: Vec<u64> = blocks.iter().map(|block| block.place).collect();
    places.sort_unstable();
    let border = usize::try_from(enough.div_ceil(size)).unwrap_or(usize::MAX);
    let border = places.get(border).copied().unwrap_or(u64::MAX);
    let cost = |block: &Block| match block.used {
        0 => 0,
        used if block.place < border => used.saturating_add(size / WHOLE_BLOCK),
        used => used,
    };
    let mut order: Vec<&Block> = blocks.iter().filter(|block| !block.stays).collect();
    order.sort_by_key(|block| (cost(block), std::cmp::Reverse(block.place)));
    // Free in the blocks that are kept, and what is to come there.
    let mut room: u64 = blocks.iter().map(|block| size - block.used.min(size)).sum();
    let mut coming = 0_u64;
    let margin = size.min(MAX_MARGIN);
    let mut left = Vec::new();
    for block in order {
        let (room_after, coming_after) = (
            room.saturating_sub(size.saturating_sub(block.used)),
            coming.saturating_add(block.used),
        );
        let is_worth_it = block.used == 0 || kept.saturating_mul(size) > enough;
        if !is_worth_it || coming_after.saturating_add(margin) > room_after {
            break;
        }
        (room, coming) = (room_after, coming_after);
        kept -= 1;
        left.push(block.number);
    }
    if coming == 0 {
        // What is empty already has nothing that could move.
        left.clear();
    }
    left.sort_unstable();
    left
}

/// The same bytes in ranges that are apart, of ranges in ascending order.
fn joined(ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    let mut joined: Vec<ByteRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start() <= last.end() => {
                let both = ByteRange::between(last.start(), last.end().max(range.end()));
                *last = both.unwrap_or(*last);
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// What of `ranges` is not in `taken`; both ascending and apart.
fn without(ranges: &[ByteRange], taken: &[ByteRange]) -> Vec<ByteRange> {
    let mut left = Vec::new();
    let mut push = |from, to| left.extend(ByteRange::between(from, to).filter(|r| !r.is_empty()));
    for range in ranges {
        let mut at = range.start();
        let first = taken.partition_point(|taken| taken.end() <= range.start());
        for taken in taken.get(first..).unwrap_or_default() {
            if taken.start() >= range.end() {
                break;
            }
            push(at, taken.start().max(at));
            at = at.max(taken.end());
        }
        push(at.min(range.end()), range.end());
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 32 << 20;

    fn blocks(parts: &[u64]) -> Vec<Block> {
        let numbered = (0..).zip(parts);
        let made = numbered.map(|(number, percent)| Block {
            number,
            used: SIZE / 100 * percent,
            stays: number == 0,
            place: number * SIZE,
        });
        made.collect()
    }

    #[test]
    fn the_emptiest_blocks_are_left_as_long_as_the_others_have_room() {
        assert_eq!(choose(&blocks(&[1, 100, 50, 40, 0, 30]), SIZE), [3, 4, 5]);
        // Nothing would move.
        assert!(choose(&blocks(&[1, 100, 0, 0]), SIZE).is_empty());
        // Nothing is won.
        assert!(choose(&blocks(&[100, 100, 100, 60]), SIZE).is_empty());
        assert!(choose(&[], SIZE).is_empty());
        // The first block takes what the others hold.
        assert_eq!(choose(&blocks(&[1, 2, 3, 4]), SIZE), [1, 2, 3]);
    }

    /// A volume that was thinned evenly left its emptiest blocks, wherever they stood; the others were
    /// filled, and those at the end of the file then moved a second time, whole.
    #[test]
    fn blocks_at_the_end_of_the_file_are_left_before_others_that_hold_a_little_less() {
        let thinned = blocks(&[1, 26, 24, 25, 23, 26, 25, 24]);
        assert_eq!(choose(&thinned, SIZE), [2, 3, 4, 5, 6, 7]);
        // Where the file has them the other way round, the last two are in their place.
        let mut turned = thinned;
        turned
            .iter_mut()
            .for_each(|block| block.place = (10 - block.number) * SIZE);
        assert_eq!(choose(&turned, SIZE), [1, 2, 3, 4, 5, 7]);
        // What is full there is copied more cheaply as a block.
        assert_eq!(choose(&blocks(&[1, 10, 100, 10, 100]), SIZE), [1, 3]);
    }

    #[test]
    fn blocks_that_are_full_enough_stay_where_they_are() {
        let full: Vec<u64> = vec![99; 400];
        let left = choose(&blocks(&full), SIZE);
        assert!(left.len() < 4, "{left:?}");
    }

    #[test]
    fn what_is_taken_is_cut_out_of_what_is_free() {
        let ranges = |list: &[(u64, u64)]| -> Vec<ByteRange> {
            let made = list.iter().map(|(start, end)| {
                ByteRange::between(ByteOffset(*start), ByteOffset(*end)).unwrap()
            });
            made.collect()
        };
        let free = joined(ranges(&[(0, 10), (5, 20), (20, 30), (40, 50)]));
        assert_eq!(free, ranges(&[(0, 30), (40, 50)]));
        let left = without(&free, &ranges(&[(0, 5), (10, 12), (25, 45)]));
        assert_eq!(left, ranges(&[(5, 10), (12, 25), (45, 50)]));
    }
}

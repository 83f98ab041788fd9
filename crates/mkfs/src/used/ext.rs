//! Free blocks of ext2, ext3 and ext4, after the kernel's description of the layout on disk
//! (Documentation/filesystems/ext4: "Super Block", "Block Group Descriptors", "Block and Inode
//! Bitmaps", "Layout").
//!
//! Only what is known to keep its free blocks in block bitmaps is believed, when it was unmounted
//! cleanly. A group whose bitmap was never written (`BLOCK_UNINIT`) uses its copies of the
//! superblock and descriptors. What holds bitmaps and inode tables, of whichever group, is used
//! whatever a bitmap says.

use blockio::{ByteOffset, ByteRange, Disk};

use crate::change::ChangeError;
use crate::ntfs::parse::count_ones_from;

const SUPERBLOCK: u64 = 1024;
/// `s_state`: unmounted cleanly; errors were found.
const STATE_VALID: u64 = 1;
const STATE_ERRORS: u64 = 2;
/// `s_feature_compat`: backups of the superblock stand in two groups alone.
const COMPAT_SPARSE_SUPER2: u64 = 0x200;
/// `s_feature_incompat`: the journal must be replayed.
const INCOMPAT_RECOVER: u64 = 0x4;
const INCOMPAT_64BIT: u64 = 0x80;
/// `s_feature_incompat` that leave block bitmaps as they are: file types, extents, 64 bits, multiple
/// mount protection, flexible groups, inodes for attributes, data in directories, checksum seeds,
/// large directories, inline data, encryption, case folding.
const INCOMPAT_KNOWN: u64 = 0x2
    | 0x40
    | 0x80
    | 0x100
    | 0x200
    | 0x400
    | 0x1000
    | 0x2000
    | 0x4000
    | 0x8000
    | 0x1_0000
    | 0x2_0000;
const RO_COMPAT_SPARSE_SUPER: u64 = 0x1;
const RO_COMPAT_BIGALLOC: u64 = 0x200;
/// `s_feature_ro_compat` that leave block bitmaps as they are: sparse superblocks, large files, huge
/// files, checksums of descriptors, many links, extra inode space, quotas, checksums of metadata,
/// read-only, project quotas, verity.
const RO_COMPAT_KNOWN: u64 =
    0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x400 | 0x1000 | 0x2000 | 0x8000;
/// Features that make descriptors say whether bitmaps were written.
const RO_COMPAT_CHECKSUMS: u64 = 0x10 | 0x400;
/// `bg_flags`: the block bitmap was never written.
const BLOCK_UNINIT: u64 = 0x2;
/// Most groups: those of 16 TiB in blocks of 4 KiB, and more than there are on disks of 64 TiB.
const MAX_GROUPS: u64 = 1 << 20;

struct Volume<'d> {
    disk: &'d dyn Disk,
    range: ByteRange,
    block: u64,
    blocks: u64,
    first_block: u64,
    per_group: u64,
    groups: u64,
    descriptor: u64,
    /// Blocks of all descriptors with the room reserved for more.
    descriptor_blocks: u64,
    inode_table_blocks: u64,
    sparse: Backups,
    has_flags: bool,
}

/// Which groups hold copies of the superblock.
enum Backups {
    All,
    Powers,
    Two(u64, u64),
}

/// Calls `visit` with the start and end, in bytes of the partition, of runs of free blocks, in order.
///
/// # Errors
/// `Unclean`, `Damaged`, `Unsupported`, `Disk`.
pub(super) fn visit_free(
    disk: &dyn Disk,
    range: ByteRange,
    visit: &mut dyn FnMut(u64, u64),
) -> Result<(), ChangeError> {
    let volume = Volume::open(disk, range)?;
    let descriptors = volume.descriptors()?;
    let kept = volume.structures(&descriptors)?;
    for group in 0..volume.groups {
        let start = volume.first_block + group * volume.per_group;
        let end = (start + volume.per_group).min(volume.blocks);
        let mut free = Vec::new();
        volume.free_in(group, &descriptors, start, end, &mut free)?;
        for (from, to) in free {
            without(&kept, from, to, &mut |from, to| {
                visit(from * volume.block, to * volume.block);
            });
        }
    }
    Ok(())
}

/// Calls `visit` for the parts of `from..to` that no range of `kept` (sorted, joined) touches.
fn without(kept: &[(u64, u64)], from: u64, to: u64, visit: &mut dyn FnMut(u64, u64)) {
    let first = kept.partition_point(|(_, end)| *end <= from);
    let mut at = from;
    for (start, end) in kept.get(first..).unwrap_or_default() {
        if *start >= to {
            break;
        }
        if *start > at {
            visit(at, *start);
        }
        at = at.max(*end);
    }
    if at < to {
        visit(at, to);
    }
}

fn damaged(reason: &'static str) -> ChangeError {
    ChangeError::damaged("the ext file system", SUPERBLOCK, reason)
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let field = bytes.get(at..at + length).unwrap_or_default();
    field
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Refuses what is not known to keep free blocks where they are looked for.
fn refuse(superblock: &[u8]) -> Result<(), ChangeError> {
    let unclean = |reason| Err(ChangeError::Unclean { reason });
    let state = number(superblock, 0x3A, 2);
    let incompat = number(superblock, 0x60, 4);
    let ro_compat = number(superblock, 0x64, 4);
    if number(superblock, 0x4C, 4) == 0 {
        return Err(ChangeError::Unsupported("an ext file system of revision 0"));
    }
    if incompat & INCOMPAT_RECOVER != 0 {
        return unclean("its journal holds changes that are not done");
    }
    if state & STATE_VALID == 0 || state & STATE_ERRORS != 0 {
        return unclean("it was not unmounted cleanly, or errors were found in it");
    }
    if ro_compat & RO_COMPAT_BIGALLOC != 0 {
        return Err(ChangeError::Unsupported(
            "an ext file system with clusters of blocks",
        ));
    }
    if incompat & !INCOMPAT_KNOWN != 0 || ro_compat & !RO_COMPAT_KNOWN != 0 {
        return Err(ChangeError::Unsupported(
            "an ext file system with features that are not known",
        ));
    }
    Ok(())
}

impl<'d> Volume<'d> {
    fn open(disk: &'d dyn Disk, range: ByteRange) -> Result<Self, ChangeError> {
        if range.len().get() < 2 * SUPERBLOCK {
            return Err(damaged("the partition is too small for one"));
        }
        let mut superblock = vec![0; 1024];
        let at = range.start().get().saturating_add(SUPERBLOCK);
        disk.read_at(&mut superblock, ByteOffset(at))?;
        refuse(&superblock)?;
        let field = |at, length| number(&superblock, at, length);
        let is_wide = field(0x60, 4) & INCOMPAT_64BIT != 0;
        let shift = field(0x18, 4);
        let block = 1024_u64
            .checked_shl(u32::try_from(shift).unwrap_or(u32::MAX))
            .filter(|block| shift <= 6 && *block >= 1024)
            .ok_or_else(|| damaged("its block size cannot be"))?;
        let high = if is_wide { field(0x150, 4) } else { 0 };
        let blocks = field(0x4, 4) | high << 32;
        let (first_block, per_group) = (field(0x14, 4), field(0x20, 4));
        let per_group_inodes = field(0x28, 4);
        let inode_size = field(0x58, 2);
        let descriptor = if is_wide { field(0xFE, 2) } else { 32 };
        let is_possible = first_block == u64::from(block == 1024)
            && per_group > 0
            && per_group <= block * 8
            && blocks > first_block
            && blocks
                .checked_mul(block)
                .is_some_and(|end| end <= range.len().get())
            && (32..=1024).contains(&descriptor)
            && descriptor.is_power_of_two()
            && (!is_wide || descriptor >= 64)
            && inode_size.is_power_of_two()
            && (128..=block).contains(&inode_size)
            && per_group_inodes > 0
            && per_group_inodes <= block * 8;
        if !is_possible {
            return Err(damaged("its superblock says what cannot be"));
        }
        let groups = (blocks - first_block).div_ceil(per_group);
        if groups > MAX_GROUPS {
            return Err(damaged("it has too many groups"));
        }
        let table = (groups * descriptor).div_ceil(block);
        let sparse = match (field(0x5C, 4), field(0x64, 4)) {
            (compat, _) if compat & COMPAT_SPARSE_SUPER2 != 0 => {
                Backups::Two(field(0x24C, 4), field(0x250, 4))
            }
            (_, ro) if ro & RO_COMPAT_SPARSE_SUPER != 0 => Backups::Powers,
            _ => Backups::All,
        };
        Ok(Self {
            disk,
            range,
            block,
            blocks,
            first_block,
            per_group,
            groups,
            descriptor,
            descriptor_blocks: table + field(0xCE, 2),
            inode_table_blocks: (per_group_inodes * inode_size).div_ceil(block),
            sparse,
            has_flags: field(0x64, 4) & RO_COMPAT_CHECKSUMS != 0,
        })
    }

    fn read_block(&self, block: u64, bytes: &mut [u8]) -> Result<(), ChangeError> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let at = block
            .checked_mul(self.block)
            .filter(|at| at.saturating_add(length) <= self.range.len().get())
            .ok_or_else(|| damaged("a structure lies outside the partition"))?;
        let at = self.range.start().get().saturating_add(at);
        Ok(self.disk.read_at(bytes, ByteOffset(at))?)
    }

    /// All descriptors, which stand behind the superblock.
    fn descriptors(&self) -> Result<Vec<u8>, ChangeError> {
        // Bounded: a descriptor of at most 1 KiB for each of at most a million groups, and no more
        // than the partition holds.
        let length = self.groups * self.descriptor;
        if length > self.range.len().get() {
            return Err(damaged("its descriptors do not fit the partition"));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.read_block(self.first_block + 1, &mut bytes)?;
        Ok(bytes)
    }

    fn field(&self, descriptors: &[u8], group: u64, low: usize, high: usize) -> u64 {
        let at = usize::try_from(group * self.descriptor).unwrap_or(usize::MAX - 4096);
        let low = number(descriptors, at + low, 4);
        match self.descriptor >= 64 {
            true => low | number(descriptors, at + high, 4) << 32,
            false => low,
        }
    }

    /// Blocks that hold bitmaps and inode tables, sorted and joined.
    fn structures(&self, descriptors: &[u8]) -> Result<Vec<(u64, u64)>, ChangeError> {
        let mut kept = Vec::new();
        for group in 0..self.groups {
            let block_bitmap = self.field(descriptors, group, 0x0, 0x20);
            let inode_bitmap = self.field(descriptors, group, 0x4, 0x24);
            let inodes = self.field(descriptors, group, 0x8, 0x28);
            let table_end = inodes.saturating_add(self.inode_table_blocks);
            for block in [block_bitmap, inode_bitmap, inodes] {
                if block < self.first_block || block >= self.blocks {
                    return Err(damaged("a bitmap or inode table lies outside it"));
                }
            }
            if table_end > self.blocks {
                return Err(damaged("an inode table lies outside it"));
            }
            kept.push((block_bitmap, block_bitmap + 1));
            kept.push((inode_bitmap, inode_bitmap + 1));
            kept.push((inodes, table_end));
        }
        kept.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (start, end) in kept {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => joined.push((start, end)),
            }
        }
        Ok(joined)
    }

    /// Runs of free blocks of a group, in order.
    fn free_in(
        &self,
        group: u64,
        descriptors: &[u8],
        start: u64,
        end: u64,
        free: &mut Vec<(u64, u64)>,
    ) -> Result<(), ChangeError> {
        let at = usize::try_from(group * self.descriptor).unwrap_or(usize::MAX - 4096);
        let flags = number(descriptors, at + 0x12, 2);
        if self.has_flags && flags & BLOCK_UNINIT != 0 {
            let copies = match self.has_backup(group) {
                true => 1 + self.descriptor_blocks,
                false => 0,
            };
            let from = start.saturating_add(copies).min(end);
            if from < end {
                free.push((from, end));
            }
            return Ok(());
        }
        let mut bitmap = vec![0; usize::try_from(self.block).unwrap_or(0)];
        self.read_block(self.field(descriptors, group, 0x0, 0x20), &mut bitmap)?;
        let count = end - start;
        let mut bit = 0;
        while bit < count {
            let (is_used, length) = count_ones_from(&bitmap, bit);
            // Ends: a bit that is there begins a run of one at least.
            let stop = (bit + length.max(1)).min(count);
            if !is_used && length > 0 {
                free.push((start + bit, start + stop));
            }
            bit = stop;
        }
        Ok(())
    }

    fn has_backup(&self, group: u64) -> bool {
        let is_power_of = |base: u64| {
            let mut power = base;
            while power < group {
                power = power.saturating_mul(base);
            }
            power == group
        };
        match self.sparse {
            Backups::All => true,
            Backups::Powers => group < 2 || [3, 5, 7].into_iter().any(is_power_of),
            Backups::Two(first, second) => group == 0 || group == first || group == second,
        }
    }
}

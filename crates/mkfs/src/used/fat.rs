//! Free clusters of FAT12, FAT16 and FAT32, after Microsoft's "FAT32 File System Specification"
//! 1.03 ([FAT]).
//!
//! The first table is believed where all tables are alike and the volume says that it was unmounted
//! cleanly. Whatever lies outside the data region is used.

use blockio::{ByteOffset, ByteRange, Disk};

use crate::change::ChangeError;

/// Bytes of a table that are looked at at once, a multiple of three for FAT12.
const PIECE: u64 = 3 << 18;
/// Most bytes of a FAT12 table, which is read at once: 4,084 clusters and two entries.
const MAX_FAT12: u64 = 6 * 1024 + 512;

/// Width of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Bits12,
    Bits16,
    Bits32,
}

struct Layout {
    width: Width,
    cluster: u64,
    clusters: u64,
    table: u64,
    table_bytes: u64,
    tables: u64,
    data: u64,
}

/// Calls `visit` with the start and end, in bytes of the partition, of runs of free clusters, in order.
///
/// # Errors
/// `Unclean`, `Damaged`, `Unsupported`, `Disk`.
pub(super) fn visit_free(
    disk: &dyn Disk,
    range: ByteRange,
    visit: &mut dyn FnMut(u64, u64),
) -> Result<(), ChangeError> {
    let read = |at: u64, length: u64| -> Result<Vec<u8>, ChangeError> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let offset = range.start().get().saturating_add(at);
        disk.read_at(&mut bytes, ByteOffset(offset))?;
        Ok(bytes)
    };
    if range.len().get() < 512 {
        return Err(damaged("the partition is too small for one"));
    }
    let boot = read(0, 512)?;
    let layout = layout(&boot, range.len().get())?;
    refuse_unclean(&layout, &boot, &read(layout.table, 8)?)?;
    let per_piece = match layout.width {
        Width::Bits12 => MAX_FAT12,
        _ => PIECE,
    };
    let needed = layout
        .entry_offset(layout.clusters + 2)
        .min(layout.table_bytes);
    let mut at = 0;
    let mut run: Option<u64> = None;
    while at < needed {
        let length = per_piece.min(needed - at);
        let piece = read(layout.table + at, length)?;
        for table in 1..layout.tables {
            if read(layout.table + table * layout.table_bytes + at, length)? != piece {
                return Err(damaged("its tables differ"));
            }
        }
        let (first, last) = layout.entries_in(at, length);
        for number in first.max(2)..last.min(layout.clusters + 2) {
            let is_free = layout.entry(&piece, number, first) == Some(0);
            match (run, is_free) {
                (None, true) => run = Some(number),
                (Some(start), false) => {
                    visit(layout.place(start), layout.place(number));
                    run = None;
                }
                _ => {}
            }
        }
        at += length;
    }
    if let Some(start) = run {
        visit(layout.place(start), layout.place(layout.clusters + 2));
    }
    Ok(())
}

fn damaged(reason: &'static str) -> ChangeError {
    ChangeError::damaged("the FAT file system", 0, reason)
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let field = bytes.get(at..at + length).unwrap_or_default();
    field
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// [FAT] "Boot Sector and BPB", "FAT Type Determination".
fn layout(boot: &[u8], size: u64) -> Result<Layout, ChangeError> {
    let either = |short: u64, long: u64| if short == 0 { long } else { short };
    let sector = number(boot, 11, 2);
    let per_cluster = number(boot, 13, 1);
    let reserved = number(boot, 14, 2);
    let tables = number(boot, 16, 1);
    let root_sectors = (number(boot, 17, 2) * 32).div_ceil(sector.max(1));
    let fat_sectors = either(number(boot, 22, 2), number(boot, 36, 4));
    let total = either(number(boot, 19, 2), number(boot, 32, 4));
    let is_possible = sector.is_power_of_two()
        && (512..=4096).contains(&sector)
        && per_cluster.is_power_of_two()
        && reserved > 0
        && (1..=2).contains(&tables)
        && fat_sectors > 0;
    if !is_possible {
        return Err(damaged("its boot sector says what cannot be"));
    }
    let before = reserved + fat_sectors * tables + root_sectors;
    let data_sectors = total.saturating_sub(before);
    let clusters = data_sectors / per_cluster;
    let width = match clusters {
        0..4085 => Width::Bits12,
        4085..65_525 => Width::Bits16,
        _ => Width::Bits32,
    };
    // On FAT32 the high bits may say that one table alone counts.
    if width == Width::Bits32 && number(boot, 40, 2) & 0x80 != 0 {
        return Err(ChangeError::Unsupported(
            "a FAT32 volume with only one table in use",
        ));
    }
    if (width == Width::Bits32) != (number(boot, 22, 2) == 0) {
        return Err(damaged(
            "its boot sector contradicts its number of clusters",
        ));
    }
    let layout = Layout {
        width,
        cluster: per_cluster * sector,
        clusters,
        table: reserved * sector,
        table_bytes: fat_sectors * sector,
        tables,
        data: before * sector,
    };
    let is_whole = clusters > 0
        && total.saturating_mul(sector) <= size
        && layout.entry_offset(clusters + 2) <= layout.table_bytes;
    match is_whole {
        true => Ok(layout),
        false => Err(damaged("it does not fit its partition or its table")),
    }
}

/// [FAT] "FAT Volume Initialization"; and the flags in the boot sector, which Windows NT keeps.
fn refuse_unclean(layout: &Layout, boot: &[u8], table: &[u8]) -> Result<(), ChangeError> {
    let (state_at, clean, no_errors) = match layout.width {
        Width::Bits12 => (37, true, true),
        Width::Bits16 => {
            let entry = number(table, 2, 2);
            (37, entry & 0x8000 != 0, entry & 0x4000 != 0)
        }
        Width::Bits32 => {
            let entry = number(table, 4, 4);
            (65, entry & 0x0800_0000 != 0, entry & 0x0400_0000 != 0)
        }
    };
    let state = number(boot, state_at, 1);
    if !clean || state & 1 != 0 {
        return Err(ChangeError::Unclean {
            reason: "it is marked as in use",
        });
    }
    if !no_errors || state & 2 != 0 {
        return Err(ChangeError::Unclean {
            reason: "its disk failed",
        });
    }
    Ok(())
}

impl Layout {
    /// Where the entry of a cluster begins in the table, in whole bytes.
    fn entry_offset(&self, cluster: u64) -> u64 {
        match self.width {
            Width::Bits12 => (cluster * 3).div_ceil(2),
            Width::Bits16 => cluster * 2,
            Width::Bits32 => cluster * 4,
        }
    }

    /// The entries that stand whole in a piece of the table.
    fn entries_in(&self, at: u64, length: u64) -> (u64, u64) {
        match self.width {
            Width::Bits12 => (at * 2 / 3, (at + length) * 2 / 3),
            Width::Bits16 => (at / 2, (at + length) / 2),
            Width::Bits32 => (at / 4, (at + length) / 4),
        }
    }

    /// The entry of a cluster, in a piece whose first entry is that of `first`.
    fn entry(&self, piece: &[u8], cluster: u64, first: u64) -> Option<u64> {
        let index = cluster.checked_sub(first)?;
        let (at, length) = match self.width {
            Width::Bits12 => (index * 3 / 2, 2),
            Width::Bits16 => (index * 2, 2),
            Width::Bits32 => (index * 4, 4),
        };
        let at = usize::try_from(at).ok()?;
        piece.get(at..at + length)?;
        let value = number(piece, at, length);
        Some(match self.width {
            Width::Bits12 if index % 2 == 1 => value >> 4,
            Width::Bits12 => value & 0xFFF,
            Width::Bits16 => value,
            Width::Bits32 => value & 0x0FFF_FFFF,
        })
    }

    fn place(&self, cluster: u64) -> u64 {
        self.data + (cluster - 2) * self.cluster
    }
}

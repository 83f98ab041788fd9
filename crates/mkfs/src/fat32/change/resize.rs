//! Another size for a volume.
//!
//! A smaller volume keeps its tables; clusters behind its end move before it. A larger one has
//! room in its tables for some more clusters; beyond that the tables become longer, by as many whole
//! clusters as are needed at the start of the data. What was in those moves, and every cluster has
//! a number that is less by so many: all chains and all directories name others than before. The
//! data themselves stay where they are.
//!
//! Clusters are moved by copying them to free ones, which the old state does not look at; the new
//! tables and directories are the change.

use std::collections::{BTreeMap, BTreeSet};

use blockio::ByteCount;
use zerocopy::{FromBytes, IntoBytes};

use super::Fat32Change;
use super::clusters::MASK;
use super::layout::CLEAN;
use crate::change::{ChangeError, Meter};
use crate::fat32::format::{
    ATTRIBUTE_DIRECTORY, ATTRIBUTE_LABEL, BootSector, FIRST_CLUSTER, MAX_CLUSTERS, MIN_CLUSTERS,
    SLOT_BYTES, ShortEntry,
};

pub(super) const BAD: u32 = 0x0FFF_FFF7;
const FREE_SLOT: u8 = 0xE5;
/// Bytes of a table that are looked at at once.
const STEP: u64 = 1 << 20;
/// Where FSInfo says how many clusters are free; where to look for one follows.
const FREE_COUNT: u64 = 488;

/// Where things are in sectors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    sector: u64,
    per_cluster: u64,
    reserved: u64,
    tables: u64,
    table: u64,
    total: u64,
    clusters: u64,
}

impl Shape {
    fn data(&self) -> u64 {
        self.reserved + self.tables * self.table
    }

    pub(super) fn of(boot: &BootSector) -> Self {
        let mut shape = Self {
            sector: u64::from(boot.bytes_per_sector.get()),
            per_cluster: u64::from(boot.sectors_per_cluster),
            reserved: u64::from(boot.reserved_sectors.get()),
            tables: u64::from(boot.fat_count),
            table: u64::from(boot.fat_sectors.get()),
            total: match boot.total_sectors_16.get() {
                0 => u64::from(boot.total_sectors.get()),
                total => u64::from(total),
            },
            clusters: 0,
        };
        shape.clusters = (shape.total - shape.data()) / shape.per_cluster;
        shape
    }

    /// The shape for so many sectors, and by how many clusters the data begin later.
    fn with_total(self, total: u64) -> Option<(Self, u64)> {
        let clusters = total.checked_sub(self.data())? / self.per_cluster;
        let needed = ((clusters + 2) * 4).div_ceil(self.sector);
        let shift = (self.tables * needed.saturating_sub(self.table)).div_ceil(self.per_cluster);
        let data = self.data() + shift * self.per_cluster;
        let table = (data - self.reserved) / self.tables;
        let (table, reserved) = match shift {
            0 => (self.table, self.reserved),
            _ => (table, data - table * self.tables),
        };
        let clusters = total.checked_sub(data)? / self.per_cluster;
        let shape = Self {
            reserved,
            table,
            total,
            clusters,
            ..self
        };
        Some((shape, shift))
    }

    /// Bytes of a cluster.
    pub(super) const fn cluster(&self) -> u64 {
        self.per_cluster * self.sector
    }

    pub(super) fn place(&self, cluster: u64) -> u64 {
        (self.data() + (cluster - 2) * self.per_cluster) * self.sector
    }
}

/// What each cluster in use is called from now on.
pub(super) struct Renaming {
    pub(super) shift: u64,
    pub(super) moved: BTreeMap<u64, u64>,
}

impl Renaming {
    pub(super) fn name(&self, cluster: u64) -> u64 {
        let moved = self.moved.get(&cluster).copied();
        moved.unwrap_or_else(|| cluster.saturating_sub(self.shift))
    }
}

fn damaged(cluster: u64, reason: &'static str) -> ChangeError {
    ChangeError::damaged("the allocation table", cluster, reason)
}

impl Fat32Change<'_> {
    pub(super) fn boot(&self) -> Result<BootSector, ChangeError> {
        let bytes = self.disk.read_vec(0, 512)?;
        BootSector::read_from_bytes(&bytes)
            .map_err(|_| ChangeError::damaged("the boot sector", 0, "it is cut short"))
    }

    /// Calls `visit` with each cluster and its entry in the first table.
    pub(super) fn each_entry(
        &self,
        visit: &mut dyn FnMut(u64, u32) -> Result<(), ChangeError>,
    ) -> Result<(), ChangeError> {
        let end = u64::from(self.layout.end) * 4;
        let mut at = u64::from(FIRST_CLUSTER) * 4;
        while at < end {
            let length = STEP.min(end - at);
            let bytes = self
                .disk
                .read_vec(self.layout.table + at, usize::try_from(length).unwrap_or(0))?;
            for (number, entry) in (at / 4..).zip(bytes.chunks_exact(4)) {
                let entry = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
                visit(number, entry)?;
            }
            at += length;
        }
        Ok(())
    }

    /// Bytes of the smallest partition that what is on the volume fits in.
    pub(crate) fn minimum(&mut self) -> Result<u64, ChangeError> {
        let shape = Shape::of(&self.boot()?);
        let mut used = 0_u64;
        self.each_entry(&mut |_, entry| {
            used += u64::from(entry & MASK != 0);
            Ok(())
        })?;
        let clusters = used.max(u64::from(MIN_CLUSTERS));
        Ok((shape.data() + clusters * shape.per_cluster) * shape.sector)
    }

    /// Lets the volume fill a partition of `bytes`, of which the overlay holds as much as it needs.
    pub(crate) fn resize(&mut self, bytes: u64, meter: &mut Meter<'_>) -> Result<(), ChangeError> {
        let old = Shape::of(&self.boot()?);
        let total = bytes / old.sector;
        if total == old.total {
            return Ok(());
        }
        let minimum = self.minimum()?;
        if bytes < minimum {
            return Err(ChangeError::BelowMinimum {
                minimum: ByteCount(minimum),
            });
        }
        let is_possible = |shape: &Shape| {
            shape.total <= u64::from(u32::MAX)
                && shape.clusters <= u64::from(MAX_CLUSTERS)
                && shape.reserved <= u64::from(u16::MAX)
        };
        let (new, shift) = old
            .with_total(total)
            .filter(|(shape, _)| is_possible(shape))
            .ok_or(ChangeError::Unsupported("a FAT32 volume of this size"))?;
        let first_sector = self.disk.read_vec(self.layout.table, 512)?;
        let renaming = self.make_room(&old, &new, shift, meter)?;
        let mut used = 0;
        if shift == 0 && renaming.moved.is_empty() {
            self.each_entry(&mut |_, entry| {
                used += u64::from(entry & MASK != 0);
                Ok(())
            })?;
            self.clear_new_entries(&old, &new)?;
        } else {
            self.rename_in_directories(&old, &new, &renaming)?;
            used = self.write_tables(&old, &new, &renaming)?;
        }
        self.write_heads(&new, &renaming, used)?;
        let mut guard = first_sector;
        if let Some(entry) = guard.get_mut(4..8) {
            let value = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]) & !CLEAN;
            entry.copy_from_slice(&value.to_le_bytes());
        }
        let size = usize::try_from(self.disk.sector()).unwrap_or(512);
        let mut sector = self.disk.read_unchanged(self.layout.table, size)?;
        if let Some(start) = sector.get_mut(..guard.len()) {
            start.copy_from_slice(&guard);
        }
        // The table where it was: whoever looks meanwhile looks there.
        self.guard = Some((self.layout.table, sector));
        Ok(())
    }

    /// Copies what lies where it cannot stay to free clusters, and says what clusters are called.
    fn make_room(
        &mut self,
        old: &Shape,
        new: &Shape,
        shift: u64,
        meter: &mut Meter<'_>,
    ) -> Result<Renaming, ChangeError> {
        // Old numbers of clusters that stay clusters: not in the longer tables, not behind the end.
        let first = 2 + shift;
        let end = 2 + shift + new.clusters;
        let (mut homeless, mut free) = (Vec::new(), Vec::new());
        self.each_entry(&mut |cluster, entry| {
            let stays = cluster >= first && cluster < end;
            match entry & MASK {
                0 if stays => free.push(cluster),
                BAD if !stays && cluster < first => {
                    return Err(ChangeError::Unsupported(
                        "a bad cluster where the tables must grow",
                    ));
                }
                0 | BAD => {}
                _ if !stays => homeless.push(cluster),
                _ => {}
            }
            Ok(())
        })?;
        // What is added comes first, in one piece.
        let added = (2 + old.clusters).max(first)..end;
        let mut targets = added.chain(free);
        let mut moved = BTreeMap::new();
        let size = usize::try_from(old.per_cluster * old.sector).unwrap_or(0);
        for cluster in homeless {
            let target = targets.next().ok_or(ChangeError::NoSpace {
                needed: ByteCount(old.per_cluster * old.sector),
                available: ByteCount(0),
            })?;
            let bytes = self.disk.read_vec(old.place(cluster), size)?;
            self.disk.write_data(&bytes, old.place(target))?;
            moved.insert(cluster, target - shift);
            meter.bytes += old.per_cluster * old.sector;
            if meter.tell().is_break() {
                return Err(ChangeError::Interrupted);
            }
        }
        Ok(Renaming { shift, moved })
    }

    /// Entries for clusters that are added, which the tables had no use for.
    fn clear_new_entries(&mut self, old: &Shape, new: &Shape) -> Result<(), ChangeError> {
        for table in 0..old.tables {
            let start = self.layout.table + table * self.layout.table_bytes;
            let (mut at, end) = ((2 + old.clusters) * 4, (2 + new.clusters) * 4);
            while at < end {
                let length = STEP.min(end - at);
                let zeros = vec![0; usize::try_from(length).unwrap_or(0)];
                let bytes = self.disk.read_vec(start + at, zeros.len())?;
                if bytes != zeros {
                    self.disk.write(&zeros, start + at)?;
                }
                at += length;
            }
        }
        Ok(())
    }

    /// Goes through all directories; each slot that names a cluster names it by its new number.
    pub(super) fn rename_in_directories(
        &mut self,
        old: &Shape,
        new: &Shape,
        renaming: &Renaming,
    ) -> Result<(), ChangeError> {
        let size = usize::try_from(old.per_cluster * old.sector).unwrap_or(0);
        let mut seen = BTreeSet::new();
        let mut waiting = vec![self.layout.root];
        // Ends: each directory is gone through once, and there are no more than clusters.
        while let Some(first) = waiting.pop() {
            if !seen.insert(first) {
                continue;
            }
            let most = u64::from(self.layout.end);
            for cluster in self.clusters.chain(&self.disk, first, most)? {
                let cluster = u64::from(cluster);
                let mut bytes = self.disk.read_unchanged(old.place(cluster), size)?;
                let before = bytes.clone();
                for slot in bytes.chunks_exact_mut(SLOT_BYTES) {
                    self.rename_in_slot(slot, renaming, &mut waiting)?;
                }
                if bytes != before || renaming.moved.contains_key(&cluster) {
                    self.disk.write(&bytes, new.place(renaming.name(cluster)))?;
                }
            }
        }
        Ok(())
    }

    fn rename_in_slot(
        &self,
        slot: &mut [u8],
        renaming: &Renaming,
        waiting: &mut Vec<u32>,
    ) -> Result<(), ChangeError> {
        let Ok(entry) = ShortEntry::mut_from_bytes(slot) else {
            return Ok(());
        };
        // A label, which a piece of a long name counts as, too.
        let is_other = entry.attributes & ATTRIBUTE_LABEL != 0;
        if matches!(entry.name[0], 0 | FREE_SLOT) || is_other {
            return Ok(());
        }
        let high = u32::from(entry.cluster_high.get());
        let first = (high & 0x0FFF) << 16 | u32::from(entry.cluster_low.get());
        if first == 0 {
            return Ok(());
        }
        self.layout.place(first)?;
        let is_dots = entry.name[0] == b'.';
        if entry.attributes & ATTRIBUTE_DIRECTORY != 0 && !is_dots {
            waiting.push(first);
        }
        let renamed = u32::try_from(renaming.name(u64::from(first)))
            .map_err(|_| damaged(u64::from(first), "it has too many clusters"))?;
        let [a, b, c, d] = renamed.to_le_bytes();
        entry.cluster_low = u16::from_le_bytes([a, b]).into();
        entry.cluster_high = u16::from_le_bytes([c, d]).into();
        Ok(())
    }

    /// Writes all tables anew; how many clusters are in use.
    fn write_tables(
        &mut self,
        old: &Shape,
        new: &Shape,
        renaming: &Renaming,
    ) -> Result<u64, ChangeError> {
        let bytes = new.table * new.sector;
        let entries = usize::try_from(bytes / 4).unwrap_or(0);
        // As long as the table on the disk, which lies within the partition.
        let mut table = vec![0_u32; entries];
        let head = self.disk.read_unchanged(self.layout.table, 8)?;
        for (slot, entry) in table.iter_mut().zip(head.chunks_exact(4)) {
            *slot = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
        }
        let mut used = 0;
        let end = 2 + new.clusters;
        self.each_entry(&mut |cluster, entry| {
            let value = entry & MASK;
            if value == 0 {
                return Ok(());
            }
            let name = renaming.name(cluster);
            if value == BAD && name >= end {
                // Behind the end of the volume it is bad no more.
                return Ok(());
            }
            let next = match value {
                BAD.. => value,
                1 => return Err(damaged(cluster, "an entry leads nowhere")),
                next if u64::from(next) >= 2 + old.clusters => {
                    return Err(damaged(cluster, "it leads to a cluster that there is not"));
                }
                next => u32::try_from(renaming.name(u64::from(next)))
                    .map_err(|_| damaged(cluster, "it has too many clusters"))?,
            };
            used += 1;
            let slot = usize::try_from(name).ok().and_then(|at| table.get_mut(at));
            let slot = slot.ok_or_else(|| damaged(cluster, "the new table is too short"))?;
            *slot = (entry & !MASK) | next;
            Ok(())
        })?;
        let encoded: Vec<u8> = table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        for copy in 0..new.tables {
            let start = (new.reserved + copy * new.table) * new.sector;
            self.disk.write(&encoded, start)?;
        }
        Ok(used)
    }

    /// Has the boot sector at `at` name another first cluster of the root directory.
    pub(super) fn write_root(&mut self, root: u32, at: u64) -> Result<(), ChangeError> {
        let place = u64::try_from(std::mem::offset_of!(BootSector, root_cluster)).unwrap_or(0);
        self.disk.write(&root.to_le_bytes(), at + place)
    }

    /// Both boot sectors, and FSInfo with its copy.
    fn write_heads(
        &mut self,
        new: &Shape,
        renaming: &Renaming,
        used: u64,
    ) -> Result<(), ChangeError> {
        let impossible = || ChangeError::Unsupported("a FAT32 volume of this size");
        let narrow = |value: u64| u32::try_from(value).map_err(|_| impossible());
        let mut boot = self.boot()?;
        boot.reserved_sectors = u16::try_from(new.reserved)
            .map_err(|_| impossible())?
            .into();
        boot.fat_sectors = narrow(new.table)?.into();
        boot.total_sectors_16 = 0.into();
        boot.total_sectors = narrow(new.total)?.into();
        boot.root_cluster = narrow(renaming.name(u64::from(self.layout.root)))?.into();
        let info = self.layout.fsinfo;
        let free = narrow(new.clusters.saturating_sub(used))?;
        let copies = [Some(0), self.layout.backup_boot].into_iter().flatten();
        for at in copies {
            // All of the parameters; the code behind them may differ between the copies.
            let length = std::mem::offset_of!(BootSector, drive_number);
            self.disk.write(&boot.as_bytes()[..length], at)?;
            let Some(info) = info else { continue };
            let place = at + info;
            let is_one = self.disk.read_vec(place, 4)? == 0x4161_5252_u32.to_le_bytes();
            if is_one && place + 512 <= new.reserved * new.sector {
                let fields = [free.to_le_bytes(), FIRST_CLUSTER.to_le_bytes()].concat();
                self.disk.write(&fields, place + FREE_COUNT)?;
            }
        }
        Ok(())
    }
}

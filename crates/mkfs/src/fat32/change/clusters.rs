//! The allocation table: chains read, made and given back.
//!
//! Invariant: what this change frees is not given out again before the change is complete, so that
//! file data, which is written at once, never lands on anything that the old state still needs.

use std::collections::HashSet;

use blockio::ByteCount;

use super::layout::{CLEAN, Layout};
use crate::change::{ChangeError, Overlay};
use crate::fat32::format::{END_OF_CHAIN, FIRST_CLUSTER};

/// The bits of an entry; the four above belong to nobody.
pub(super) const MASK: u32 = 0x0FFF_FFFF;
/// From here on an entry ends a chain.
const LAST: u32 = 0x0FFF_FFF8;
/// Entries read at a time when free ones are looked for.
const CHUNK: u32 = 4096;

/// Clusters that lie one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub first: u32,
    pub count: u32,
}

/// The clusters of the volume.
pub(super) struct Clusters {
    layout: Layout,
    freed: HashSet<u32>,
    cursor: u32,
    /// How many more are free than when the change began.
    pub balance: i64,
}

impl Clusters {
    pub(super) fn new(layout: Layout, cursor: u32) -> Self {
        let cursor = if (FIRST_CLUSTER..layout.end).contains(&cursor) {
            cursor
        } else {
            FIRST_CLUSTER
        };
        Self {
            layout,
            freed: HashSet::new(),
            cursor,
            balance: 0,
        }
    }

    fn get(&self, disk: &Overlay<'_>, cluster: u32) -> Result<u32, ChangeError> {
        let mut entry = [0; 4];
        disk.read(&mut entry, self.layout.table + 4 * u64::from(cluster))?;
        Ok(u32::from_le_bytes(entry) & MASK)
    }

    /// Sets an entry in every table; the four high bits belong to nobody and stay.
    pub(super) fn set(
        &self,
        disk: &mut Overlay<'_>,
        cluster: u32,
        value: u32,
    ) -> Result<(), ChangeError> {
        for table in 0..self.layout.tables {
            let at = self.layout.table + table * self.layout.table_bytes + 4 * u64::from(cluster);
            let mut entry = [0; 4];
            disk.read(&mut entry, at)?;
            let entry = (u32::from_le_bytes(entry) & !MASK) | (value & MASK);
            disk.write(&entry.to_le_bytes(), at)?;
        }
        Ok(())
    }

    /// The clusters of a chain, at most so many.
    pub(super) fn chain(
        &self,
        disk: &Overlay<'_>,
        first: u32,
        most: u64,
    ) -> Result<Vec<u32>, ChangeError> {
        let damaged = |cluster: u32, reason| {
            ChangeError::damaged("the allocation table", u64::from(cluster), reason)
        };
        let mut chain = Vec::new();
        let mut at = first;
        loop {
            self.layout.place(at)?;
            if u64::try_from(chain.len()).unwrap_or(u64::MAX) >= most {
                return Err(damaged(at, "a chain is too long, or leads in a ring"));
            }
            chain.push(at);
            match self.get(disk, at)? {
                LAST.. => return Ok(chain),
                0 | 1 => return Err(damaged(at, "a chain leads to a free cluster")),
                next => at = next,
            }
        }
    }

    /// Gives a chain back.
    pub(super) fn give(&mut self, disk: &mut Overlay<'_>, first: u32) -> Result<(), ChangeError> {
        for cluster in self.chain(disk, first, u64::from(self.layout.end))? {
            self.set(disk, cluster, 0)?;
            self.freed.insert(cluster);
            self.balance += 1;
        }
        Ok(())
    }

    /// The first stretch of free clusters in `from..to`, at most `most` long.
    fn next_free(
        &self,
        disk: &Overlay<'_>,
        from: u32,
        to: u32,
        most: u32,
    ) -> Result<Option<Run>, ChangeError> {
        let mut found: Option<Run> = None;
        let mut at = from;
        while at < to {
            let count = CHUNK.min(to - at);
            let bytes = usize::try_from(count * 4).unwrap_or(0);
            let entries = disk.read_vec(self.layout.table + 4 * u64::from(at), bytes)?;
            for entry in entries.chunks_exact(4) {
                let value = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]) & MASK;
                let is_free = value == 0 && !self.freed.contains(&at);
                match (&mut found, is_free) {
                    (Some(run), true) => run.count += 1,
                    (Some(_), false) => return Ok(found),
                    (None, true) => {
                        found = Some(Run {
                            first: at,
                            count: 1,
                        })
                    }
                    (None, false) => {}
                }
                if found.is_some_and(|run| run.count >= most) {
                    return Ok(found);
                }
                at += 1;
            }
        }
        Ok(found)
    }

    /// Takes a chain of `count` clusters: in one piece where there is one.
    pub(super) fn take(
        &mut self,
        disk: &mut Overlay<'_>,
        count: u64,
    ) -> Result<Vec<Run>, ChangeError> {
        let wanted = u32::try_from(count).unwrap_or(u32::MAX);
        let mut runs = Vec::new();
        let mut free = 0_u64;
        'search: for (from, to) in [(self.cursor, self.layout.end), (FIRST_CLUSTER, self.cursor)] {
            let mut at = from;
            while let Some(run) = self.next_free(disk, at, to, wanted)? {
                at = run.first + run.count;
                if run.count >= wanted {
                    runs = vec![run];
                    free = count;
                    break 'search;
                }
                free += u64::from(run.count);
                runs.push(run);
            }
        }
        if free < count {
            return Err(ChangeError::NoSpace {
                needed: ByteCount(count.saturating_mul(self.layout.cluster)),
                available: ByteCount(free.saturating_mul(self.layout.cluster)),
            });
        }
        // The longest first, so that the file has few pieces.
        runs.sort_by_key(|run| std::cmp::Reverse(run.count));
        let mut left = wanted;
        runs.retain_mut(|run| {
            run.count = run.count.min(left);
            left -= run.count;
            run.count > 0
        });
        let clusters: Vec<u32> = runs
            .iter()
            .flat_map(|run| run.first..run.first + run.count)
            .collect();
        for (index, cluster) in clusters.iter().enumerate() {
            let next = clusters.get(index + 1).copied().unwrap_or(END_OF_CHAIN);
            self.set(disk, *cluster, next)?;
            self.balance -= 1;
        }
        if let Some(last) = clusters.last() {
            self.cursor = if last + 1 < self.layout.end {
                last + 1
            } else {
                FIRST_CLUSTER
            };
        }
        Ok(runs)
    }

    /// Makes a chain longer by one cluster; returns its number.
    pub(super) fn extend(&mut self, disk: &mut Overlay<'_>, last: u32) -> Result<u32, ChangeError> {
        let new = self.take(disk, 1)?.first().map_or(0, |run| run.first);
        self.set(disk, last, new)?;
        Ok(new)
    }

    /// Where the next free cluster may be, for others.
    pub(super) const fn cursor(&self) -> u32 {
        self.cursor
    }

    /// The sectors of the tables that say that the volume is in use.
    pub(super) fn guards(&self, disk: &Overlay<'_>) -> Result<Vec<(u64, Vec<u8>)>, ChangeError> {
        let size = usize::try_from(disk.sector()).unwrap_or(512);
        (0..self.layout.tables)
            .map(|table| {
                let start = self.layout.table + table * self.layout.table_bytes;
                let mut sector = disk.read_vec(start, size)?;
                let entry =
                    u32::from_le_bytes([sector[4], sector[5], sector[6], sector[7]]) & !CLEAN;
                sector[4..8].copy_from_slice(&entry.to_le_bytes());
                Ok((start, sector))
            })
            .collect()
    }
}

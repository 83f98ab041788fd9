//! Clusters that leave ranges of a volume, whose size stays as it is.
//!
//! They are copied to free ones, which the old state does not look at. The change is what leads to
//! them: entries of the tables, and of directories.

use std::collections::BTreeMap;

use blockio::ByteCount;

use super::Fat32Change;
use super::clusters::MASK;
use super::layout::Layout;
use super::resize::{BAD, Renaming, Shape};
use crate::change::{ChangeError, Meter, Overlay, State};
use crate::fat32::format::FIRST_CLUSTER;

/// Bytes that are copied at once.
const STEP: u64 = 1 << 20;

/// Clusters that lie one after another, before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    from: u64,
    to: u64,
    count: u64,
}

/// Numbers of the clusters that lie whole in ranges of the partition, which ascend and are apart.
fn clusters_in(shape: &Shape, ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let cluster = shape.cluster();
    let first = shape.place(u64::from(FIRST_CLUSTER));
    let number = |bytes: u64| u64::from(FIRST_CLUSTER) + bytes / cluster;
    let whole = ranges.iter().map(|(start, end)| {
        let start = start.saturating_sub(first).next_multiple_of(cluster);
        (number(start), number(end.saturating_sub(first)))
    });
    whole.filter(|(start, end)| start < end).collect()
}

fn is_in(ranges: &[(u64, u64)], cluster: u64) -> bool {
    let first = ranges.partition_point(|range| range.1 <= cluster);
    ranges.get(first).is_some_and(|range| range.0 <= cluster)
}

/// Pairs of clusters, joined where both go on.
fn stretches(pairs: impl Iterator<Item = (u64, u64)>, most: u64) -> Vec<Stretch> {
    let mut joined: Vec<Stretch> = Vec::new();
    for (from, to) in pairs {
        match joined.last_mut() {
            Some(last)
                if last.count < most
                    && last.from + last.count == from
                    && last.to + last.count == to =>
            {
                last.count += 1;
            }
            _ => joined.push(Stretch { from, to, count: 1 }),
        }
    }
    joined
}

/// Bytes of the partition before its first cluster: nothing of them can move.
///
/// # Errors
/// `Damaged`, `Unsupported`, `Disk`.
pub(crate) fn data_start(disk: &Overlay<'_>) -> Result<ByteCount, ChangeError> {
    Ok(ByteCount(Layout::read(disk, State::Any)?.data))
}

impl Fat32Change<'_> {
    /// Moves what is in the ranges `leave` to free clusters in the ranges `into`; all are ascending
    /// and apart, in bytes of the partition, and counted inward to whole clusters.
    pub(crate) fn evacuate(
        &mut self,
        leave: &[(u64, u64)],
        into: &[(u64, u64)],
        meter: &mut Meter<'_>,
    ) -> Result<(), ChangeError> {
        let shape = Shape::of(&self.boot()?);
        let (leave, into) = (clusters_in(&shape, leave), clusters_in(&shape, into));
        let (mut homeless, mut free) = (Vec::new(), Vec::new());
        self.each_entry(&mut |cluster, entry| {
            match entry & MASK {
                0 if is_in(&into, cluster) => free.push(cluster),
                // A bad one holds nothing, and stays where it is.
                0 | BAD => {}
                _ if is_in(&leave, cluster) => homeless.push(cluster),
                _ => {}
            }
            Ok(())
        })?;
        if free.len() < homeless.len() {
            let bytes = |clusters: &[u64]| {
                let count = u64::try_from(clusters.len()).unwrap_or(u64::MAX);
                ByteCount(count.saturating_mul(shape.cluster()))
            };
            return Err(ChangeError::NoSpace {
                needed: bytes(&homeless),
                available: bytes(&free),
            });
        }
        let pairs = homeless.iter().copied().zip(free.iter().copied());
        for stretch in stretches(pairs.clone(), STEP.div_ceil(shape.cluster())) {
            self.copy_clusters(&shape, stretch, meter)?;
        }
        let renaming = Renaming {
            shift: 0,
            moved: pairs.collect(),
        };
        self.rename_in_directories(&shape, &shape, &renaming)?;
        self.rename_in_tables(&renaming)?;
        self.move_root(&renaming)
    }

    fn copy_clusters(
        &mut self,
        shape: &Shape,
        stretch: Stretch,
        meter: &mut Meter<'_>,
    ) -> Result<(), ChangeError> {
        let length = stretch.count * shape.cluster();
        let size = usize::try_from(length).unwrap_or(0);
        let bytes = self.disk.read_vec(shape.place(stretch.from), size)?;
        self.disk.write_data(&bytes, shape.place(stretch.to))?;
        meter.bytes += length;
        match meter.tell().is_break() {
            true => Err(ChangeError::Interrupted),
            false => Ok(()),
        }
    }

    /// Entries of clusters that moved, and of those that lead to them.
    fn rename_in_tables(&mut self, renaming: &Renaming) -> Result<(), ChangeError> {
        let mut changes = BTreeMap::new();
        let narrow = |cluster: u64| u32::try_from(cluster).unwrap_or(0);
        self.each_entry(&mut |cluster, entry| {
            let value = entry & MASK;
            let next = match value {
                0 | 1 | BAD.. => value,
                next => narrow(renaming.name(u64::from(next))),
            };
            let name = renaming.name(cluster);
            if name != cluster {
                changes.entry(narrow(cluster)).or_insert(0);
            }
            if value != 0 && (name != cluster || next != value) {
                changes.insert(narrow(name), next);
            }
            Ok(())
        })?;
        for (cluster, value) in changes {
            self.clusters.set(&mut self.disk, cluster, value)?;
        }
        Ok(())
    }

    /// The boot sectors name the first cluster of the root directory.
    fn move_root(&mut self, renaming: &Renaming) -> Result<(), ChangeError> {
        let root = renaming.name(u64::from(self.layout.root));
        if root == u64::from(self.layout.root) {
            return Ok(());
        }
        let root = u32::try_from(root).unwrap_or(0);
        for at in [Some(0), self.layout.backup_boot].into_iter().flatten() {
            self.write_root(root, at)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_before_and_after_is_copied_at_once() {
        let pairs = [(10, 2), (11, 3), (12, 5), (13, 6), (20, 7), (21, 8)];
        let stretch = |from, to, count| Stretch { from, to, count };
        assert_eq!(
            stretches(pairs.into_iter(), 2),
            [stretch(10, 2, 2), stretch(12, 5, 2), stretch(20, 7, 2)]
        );
        assert_eq!(stretches([(1, 5), (2, 6), (3, 7)].into_iter(), 2).len(), 2);
    }

    #[test]
    fn ranges_hold_what_lies_between_their_ends() {
        let ranges = [(2, 4), (7, 8)];
        let inside: Vec<u64> = (0..10).filter(|number| is_in(&ranges, *number)).collect();
        assert_eq!(inside, [2, 3, 7]);
    }
}

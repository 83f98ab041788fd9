//! The runs that units of a chain's disk were resolved into.
//!
//! Invariant: the number of runs is bounded, however the layers are scattered; a part of the cache
//! that is full is emptied and filled anew.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Bytes of the disk that are resolved at once: the block of a differencing image by Windows.
pub(super) const UNIT: u64 = 2 * 1024 * 1024;
/// Parts with a lock of their own.
const SHARDS: u64 = 64;
/// Most runs in one part; a run takes 24 bytes, so that the cache takes at most 24 MiB.
const MAX_RUNS: usize = 16 * 1024;

/// Where bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// They are zeros.
    Zero,
    /// In the file of a layer, from this byte on.
    Layer {
        /// The layer's number, the youngest is 0.
        layer: u32,
        /// Byte offset in its file.
        at: u64,
    },
}

/// Bytes that are found together; they end where the next run of the unit begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Offset on the disk.
    start: u64,
    source: Source,
}

impl Source {
    pub(super) fn in_layer(number: usize, at: u64) -> Self {
        Self::Layer {
            // A chain has at most `MAX_DEPTH` layers.
            layer: u32::try_from(number).unwrap_or(u32::MAX),
            at,
        }
    }

    /// The source of the byte `distance` further on.
    fn after(self, distance: u64) -> Self {
        match self {
            Self::Zero => Self::Zero,
            Self::Layer { layer, at } => Self::Layer {
                layer,
                at: at.saturating_add(distance),
            },
        }
    }
}

impl Run {
    pub(super) fn new(start: u64, source: Source) -> Self {
        Self { start, source }
    }
}

/// The runs in the order of the disk, neighbours joined; a run of nothing marks the end at `end`.
pub(super) fn in_order(mut runs: Vec<Run>, start: u64, end: u64) -> Vec<Run> {
    runs.sort_unstable_by_key(|run| run.start);
    runs.dedup_by(|next, run| run.source.after(next.start - run.start) == next.source);
    if runs.is_empty() {
        runs.push(Run::new(start, Source::Zero));
    }
    runs.push(Run::new(end, Source::Zero));
    runs.shrink_to_fit();
    runs
}

/// Where the byte at `at` is by the runs of its unit, and how many bytes follow it there.
pub(super) fn lookup(runs: &[Run], unit: u64, at: u64) -> (Source, u64) {
    let next = runs.partition_point(|run| run.start <= at);
    let end = runs
        .get(next)
        .map_or((unit + 1).saturating_mul(UNIT), |run| run.start);
    let run = next.checked_sub(1).and_then(|found| runs.get(found));
    let source = run.map_or(Source::Zero, |run| run.source.after(at - run.start));
    (source, end.saturating_sub(at).max(1))
}

#[derive(Default)]
struct Shard {
    units: HashMap<u64, Arc<[Run]>>,
    runs: usize,
}

/// The cache of one chain.
pub(super) struct RunCache {
    shards: Vec<RwLock<Shard>>,
}

impl Default for RunCache {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default());
        Self {
            shards: shards.collect(),
        }
    }
}

impl RunCache {
    fn shard(&self, unit: u64) -> Option<&RwLock<Shard>> {
        crate::bounds::to_index(unit % SHARDS).and_then(|shard| self.shards.get(shard))
    }

    /// Where the byte at `at` is, if its unit was resolved before.
    pub(super) fn find(&self, unit: u64, at: u64) -> Option<(Source, u64)> {
        let shard = self.shard(unit)?;
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        let runs = shard.units.get(&unit)?;
        Some(lookup(runs, unit, at))
    }

    pub(super) fn insert(&self, unit: u64, runs: Vec<Run>) {
        let Some(shard) = self.shard(unit) else {
            return;
        };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.runs.saturating_add(runs.len()) > MAX_RUNS {
            *shard = Shard::default();
        }
        shard.runs = shard.runs.saturating_add(runs.len());
        if let Some(old) = shard.units.insert(unit, runs.into()) {
            shard.runs = shard.runs.saturating_sub(old.len());
        }
    }

    /// Runs that are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let runs = |shard: &RwLock<Shard>| shard.read().unwrap().runs;
        self.shards.iter().map(runs).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_in_its_run_and_neighbours_are_joined() {
        let layer = |layer, at| Source::Layer { layer, at };
        let runs = vec![
            Run::new(UNIT + 2048, Source::Zero),
            Run::new(UNIT, layer(1, 4096)),
            Run::new(UNIT + 512, layer(1, 4608)),
            Run::new(UNIT + 1024, layer(0, 512)),
        ];
        let runs = in_order(runs, UNIT, 2 * UNIT);
        assert_eq!(runs.len(), 4);
        assert_eq!(lookup(&runs, 1, UNIT), (layer(1, 4096), 1024));
        assert_eq!(lookup(&runs, 1, UNIT + 700), (layer(1, 4796), 324));
        assert_eq!(lookup(&runs, 1, UNIT + 1024), (layer(0, 512), 1024));
        assert_eq!(lookup(&runs, 1, 2 * UNIT - 1), (Source::Zero, 1));
    }

    #[test]
    fn the_cache_keeps_a_bounded_number_of_runs() {
        let cache = RunCache::default();
        for unit in 0..2000 {
            let start = unit * UNIT;
            let runs = (0..4096).map(|n| Run::new(start + n * 512, Source::in_layer(1, n * 7919)));
            cache.insert(unit, in_order(runs.collect(), start, start + UNIT));
            assert!(cache.find(unit, start).is_some());
        }
        assert!(cache.len() <= 64 * MAX_RUNS, "{}", cache.len());
    }
}

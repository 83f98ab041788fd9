//! The table of clusters: both copies compared, and the one in force kept in pages.

use blockio::{ByteOffset, Disk};

use super::super::format::FIRST_CLUSTER;
use super::boot::Layout;
use crate::error::MkfsError;
use crate::findings::{VolumeFinding, VolumeReport};

/// Entries of a page.
const PAGE: usize = 16 * 1024;
/// Bits of an entry that count.
const MASK: u32 = 0x0FFF_FFFF;
/// The cluster is bad.
const BAD: u32 = 0x0FFF_FFF7;
/// Bits of entry 1: taken off in order, and no error met.
const CLEAN: u32 = 0x0800_0000;
const NO_ERROR: u32 = 0x0400_0000;

/// What an entry says of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Free,
    Next(u32),
    End,
    Bad,
    /// A number that is no cluster.
    Invalid(u32),
}

/// The table; pages of zeros are not kept.
pub(super) struct Table {
    pages: Vec<Option<Box<[u32]>>>,
    clusters: u32,
    used: u32,
}

impl Table {
    /// Clusters in use, bad ones counted.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// Clusters free.
    pub(super) fn free(&self) -> u32 {
        self.clusters - self.used
    }

    /// The clusters there are.
    pub(super) fn clusters(&self) -> std::ops::Range<u32> {
        FIRST_CLUSTER..FIRST_CLUSTER + self.clusters
    }

    /// Whether a page of entries holds none in use, and the number behind it.
    pub(super) fn empty_until(&self, cluster: u32) -> Option<u32> {
        let page = usize::try_from(cluster).ok()? / PAGE;
        match self.pages.get(page) {
            Some(Some(_)) => None,
            _ => u32::try_from((page + 1) * PAGE).ok(),
        }
    }

    /// What the table says of a cluster.
    pub(super) fn link(&self, cluster: u32) -> Link {
        let index = usize::try_from(cluster).unwrap_or(usize::MAX);
        let value = self
            .pages
            .get(index / PAGE)
            .and_then(|page| page.as_ref()?.get(index % PAGE))
            .copied()
            .unwrap_or(0);
        match value & MASK {
            0 => Link::Free,
            BAD => Link::Bad,
            0x0FFF_FFF8.. => Link::End,
            next if self.clusters().contains(&next) => Link::Next(next),
            other => Link::Invalid(other),
        }
    }
}

/// Reads the table in force and compares the others with it.
pub(super) fn read(
    disk: &dyn Disk,
    layout: &Layout,
    report: &mut VolumeReport,
) -> Result<Table, MkfsError> {
    let in_force = layout.active.unwrap_or(0).min(layout.tables - 1);
    let entries = usize::try_from(layout.clusters + FIRST_CLUSTER).unwrap_or(0);
    let mut table = Table {
        pages: Vec::new(),
        clusters: layout.clusters,
        used: 0,
    };
    let (mut bytes, mut other) = (vec![0; 4 * PAGE], vec![0; 4 * PAGE]);
    let place = |copy: u64| (layout.reserved + copy * layout.table) * layout.sector;
    let mut first = 0;
    while first < entries {
        let count = 4 * PAGE.min(entries - first);
        let offset = 4 * u64::try_from(first).unwrap_or(u64::MAX);
        disk.read_at(&mut bytes[..count], ByteOffset(place(in_force) + offset))?;
        if layout.active.is_none() {
            for copy in 1..layout.tables {
                disk.read_at(&mut other[..count], ByteOffset(place(copy) + offset))?;
                compare(first, &bytes[..count], &other[..count], report);
            }
        }
        let (words, _) = bytes[..count].as_chunks::<4>();
        let page: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let head = usize::try_from(FIRST_CLUSTER)
            .unwrap_or(0)
            .saturating_sub(first);
        let used = page
            .iter()
            .skip(head)
            .filter(|value| **value & MASK != 0)
            .count();
        table.used += u32::try_from(used).unwrap_or(0);
        let is_kept = page.iter().any(|value| *value != 0);
        table.pages.push(is_kept.then(|| page.into_boxed_slice()));
        first += PAGE;
    }
    check_head(&table, layout, report);
    check_entries(&table, report);
    Ok(table)
}

fn compare(first: usize, bytes: &[u8], other: &[u8], report: &mut VolumeReport) {
    if bytes == other {
        return;
    }
    let (words, _) = bytes.as_chunks::<4>();
    let (others, _) = other.as_chunks::<4>();
    for (index, (word, other)) in (first..).zip(words.iter().zip(others)) {
        let (word, other) = (u32::from_le_bytes(*word), u32::from_le_bytes(*other));
        // In the first two entries Windows notes the state of the volume in one copy before the
        // other; the upper bits of all are nobody's.
        if index >= 2 && (word ^ other) & MASK != 0 {
            let message = format!("the copies of the table differ in cluster {index}");
            report.add(
                VolumeFinding::error("fat-copy", message)
                    .versus(format_args!("{word:#x}"), format_args!("{other:#x}")),
            );
        }
    }
}

fn check_head(table: &Table, layout: &Layout, report: &mut VolumeReport) {
    let entry = |index: usize| {
        let first = table.pages.first().and_then(Option::as_ref);
        first.and_then(|page| page.get(index)).copied().unwrap_or(0)
    };
    let expected = 0x0FFF_FF00 | u32::from(layout.media);
    if entry(0) & MASK != expected {
        let finding =
            VolumeFinding::error("fat-head", "the table does not begin with the media type");
        report.add(finding.versus(
            format_args!("{expected:#x}"),
            format_args!("{:#x}", entry(0) & MASK),
        ));
    }
    if entry(1) & CLEAN == 0 || entry(1) & NO_ERROR == 0 {
        let message = "the table says that the volume was not taken off in order, or met errors";
        report.add(VolumeFinding::warning("volume-dirty", message));
    }
}

fn check_entries(table: &Table, report: &mut VolumeReport) {
    let mut bad = 0_u32;
    let mut cluster = FIRST_CLUSTER;
    while cluster < table.clusters().end {
        if let Some(next) = table.empty_until(cluster) {
            cluster = next;
            continue;
        }
        match table.link(cluster) {
            Link::Invalid(value) => {
                let message = format!("the table leads from cluster {cluster} to none");
                report.add(
                    VolumeFinding::error("fat-entry", message)
                        .versus("a cluster or an end", format_args!("{value:#x}")),
                );
            }
            Link::Bad => bad += 1,
            _ => {}
        }
        cluster += 1;
    }
    if bad > 0 {
        let message = format!("{bad} clusters are marked as bad");
        report.add(VolumeFinding::note("bad-clusters-found", message));
    }
}

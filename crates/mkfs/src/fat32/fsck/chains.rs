//! Chains of clusters: each cluster belongs to one file, and each one in use to some.

use super::super::format::FIRST_CLUSTER;
use super::Context;
use super::table::{Link, Table};
use crate::findings::{VolumeFinding, VolumeReport};

/// Clusters whose marks are kept in one piece.
const PAGE: usize = 64 * 512;

/// Which clusters were come by.
#[derive(Default)]
pub(super) struct Chains {
    pages: Vec<Option<Box<[u64; PAGE / 64]>>>,
    come_by: u32,
}

/// A chain, as far as it could be followed.
pub(super) struct Chain {
    pub clusters: Vec<u32>,
    /// Clusters, those that are not kept counted.
    pub length: u64,
}

impl Chains {
    /// Clusters come by so far.
    pub(super) fn come_by(&self) -> u32 {
        self.come_by
    }

    fn place(cluster: u32) -> (usize, usize, u64) {
        let index = usize::try_from(cluster).unwrap_or(0);
        (index / PAGE, index % PAGE / 64, 1 << (cluster % 64))
    }

    fn has(&self, cluster: u32) -> bool {
        let (page, word, bit) = Self::place(cluster);
        let page = self.pages.get(page).and_then(Option::as_ref);
        page.is_some_and(|page| page[word] & bit != 0)
    }

    /// Marks a cluster; false where it was marked.
    fn mark(&mut self, cluster: u32) -> bool {
        let (page, word, bit) = Self::place(cluster);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| Box::new([0; PAGE / 64]));
        let is_new = page[word] & bit == 0;
        page[word] |= bit;
        self.come_by += u32::from(is_new);
        is_new
    }

    /// Clusters in use that no chain from a directory leads to.
    pub(super) fn report_lost(&self, table: &Table, report: &mut VolumeReport) {
        let (mut clusters, mut chains) = (0_u64, 0_u64);
        let mut first = None;
        let mut led_to = std::collections::HashSet::new();
        let mut lost = Vec::new();
        let mut cluster = FIRST_CLUSTER;
        while cluster < table.clusters().end {
            if let Some(next) = table.empty_until(cluster) {
                cluster = next;
                continue;
            }
            let link = table.link(cluster);
            if !matches!(link, Link::Free | Link::Bad) && !self.has(cluster) {
                clusters += 1;
                first.get_or_insert(cluster);
                // How many chains there are is counted of the first alone.
                if lost.len() < 1 << 20 {
                    lost.push(cluster);
                    if let Link::Next(next) = link {
                        led_to.insert(next);
                    }
                }
            }
            cluster += 1;
        }
        chains += lost
            .iter()
            .filter(|cluster| !led_to.contains(cluster))
            .map(|_| 1)
            .sum::<u64>();
        if let Some(first) = first {
            let message = format!(
                "{clusters} clusters in use belong to no file, in {} chains, the first at cluster {first}",
                chains.max(1)
            );
            let finding = VolumeFinding::error("chain-lost", message).of(u64::from(first));
            report.add(finding);
        }
    }
}

/// Follows the chain that begins with a cluster; keeps at most so many of its clusters.
pub(super) fn follow(context: &mut Context<'_>, path: &str, first: u32, keep: usize) -> Chain {
    let mut chain = Chain {
        clusters: Vec::new(),
        length: 0,
    };
    let error = |class, message: String| {
        VolumeFinding::error(class, message)
            .of(u64::from(first))
            .at(path)
    };
    let mut cluster = first;
    // Each step marks a cluster that was not marked, so this ends.
    loop {
        if !context.layout.has(cluster) {
            let message = format!("it leads to cluster {cluster}, which is none");
            context.add(error("chain-outside", message));
            return chain;
        }
        let link = context.table.link(cluster);
        if matches!(link, Link::Free | Link::Bad) {
            let what = if link == Link::Bad { "bad" } else { "free" };
            let message = format!("cluster {cluster} belongs to it, but is {what} in the table");
            context.add(error("chain-free", message));
            return chain;
        }
        if !context.chains.mark(cluster) {
            let is_own = chain.clusters.contains(&cluster)
                || is_in_own(context, first, cluster, chain.length);
            let (class, message) = if is_own {
                (
                    "chain-loop",
                    format!("its chain comes back to cluster {cluster}"),
                )
            } else {
                (
                    "chain-cross",
                    format!("cluster {cluster} belongs to another file too"),
                )
            };
            context.add(error(class, message));
            return chain;
        }
        chain.length += 1;
        if chain.clusters.len() < keep {
            chain.clusters.push(cluster);
        }
        match link {
            Link::Next(next) => cluster = next,
            // A number that is no cluster was found in the table; it ends the chain.
            _ => return chain,
        }
    }
}

/// Whether a cluster is among the first so many of a chain.
fn is_in_own(context: &Context<'_>, first: u32, wanted: u32, length: u64) -> bool {
    let mut cluster = first;
    for _ in 0..length {
        if cluster == wanted {
            return true;
        }
        match context.table.link(cluster) {
            Link::Next(next) => cluster = next,
            _ => return false,
        }
    }
    false
}

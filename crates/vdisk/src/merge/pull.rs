//! Pull: a child takes in what its next parents hold.

use std::sync::Arc;

use blockio::{ByteOffset, Storage};

use super::take::{Shown, Taking, shown};
use super::{MergeSummary, OnProgress, Taker};
use crate::chain::{Chain, Held, Layer, link_facts, open_parents, open_taker, relink};
use crate::child::ParentNames;
use crate::error::ImageError;
use crate::gate::ParentGate;
use crate::image::ImageFormat;

/// How many parents are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullLevels {
    /// So many, at least one: the nearest.
    Nearest(usize),
    /// All: the child then stands alone.
    All,
}

/// Lets a child take in what its next parents hold, and stand on the parent below them, which it
/// calls `names`. What its disk reads does not change, and neither does what its own children know
/// it by. Where it stops or crashes, the child reads the same and still stands on its old parent; a
/// second call goes on.
///
/// # Errors
/// `InvalidOption` where the child has no parent, what opening the parents fails with, `Cancelled`,
/// `NoSpace`, `Io`.
pub fn pull(
    child: Box<dyn Storage>,
    format: ImageFormat,
    gate: &dyn ParentGate,
    levels: PullLevels,
    names: &ParentNames,
    progress: OnProgress<'_>,
) -> Result<MergeSummary, ImageError> {
    let storage: Arc<dyn Storage> = Arc::from(child);
    let facts = link_facts(format, &*storage)?;
    if facts.parent.is_none() {
        return Err(ImageError::invalid_option("child", "it has no parent"));
    }
    let mut upper = open_parents(format, &facts, gate)?;
    let count = match levels {
        PullLevels::All => upper.len(),
        PullLevels::Nearest(count) => count.clamp(1, upper.len()),
    };
    let lower = upper.split_off(count);
    let linkage = lower.first().map(|layer| layer.linkage());
    let stands_alone = lower.is_empty();
    let below = Arc::new(Chain::new(lower));
    let taker = open_taker(format, Box::new(storage.clone()), below.clone())?;
    let taken = take_in(&*taker, &upper, &below, progress).and_then(|summary| {
        if stands_alone {
            taker.seal()?;
        }
        Ok(summary)
    });
    // Also of one that failed: what it took in is as good as what it did not.
    let closed = taker.close();
    let summary = taken?;
    closed?;
    // Only now: until here the child stood on its old parent, which shows the same.
    relink(format, storage, linkage.map(|linkage| (linkage, names)))?;
    Ok(summary)
}

fn take_in(
    child: &dyn Taker,
    upper: &[Box<dyn Layer>],
    below: &Chain,
    progress: OnProgress<'_>,
) -> Result<MergeSummary, ImageError> {
    let mut taking = Taking::new(child, below, progress);
    let mut at = 0;
    while at < taking.size() {
        taking.report(at)?;
        let absent = absent_at(upper, at)?.min(taking.size() - at);
        if absent > 0 {
            at = at.saturating_add(absent);
            continue;
        }
        let end = at.saturating_add(taking.piece(at));
        while at < end {
            let (held, length) = child.held_at(at, end - at)?;
            if held != Held::Parent {
                at = at.saturating_add(length);
                continue;
            }
            let (shown, length) = shown(upper, at, length)?;
            match shown {
                Shown::By(number, place) => {
                    if let Some(layer) = upper.get(number) {
                        taking.take(at, length, |bytes| {
                            layer.read_file(bytes, ByteOffset(place))
                        })?;
                    }
                }
                Shown::Zero => taking.take_zeros(at, length)?,
                Shown::Below => {}
            }
            at = at.saturating_add(length.max(1));
        }
    }
    taking.finish()
}

/// Bytes from `at` on that none of the layers holds, by what is known without looking at each block.
fn absent_at(layers: &[Box<dyn Layer>], at: u64) -> Result<u64, ImageError> {
    let mut shortest = u64::MAX;
    for layer in layers {
        if at >= layer.size().get() {
            // It shows zeros there, which may have to hide what is below.
            return Ok(0);
        }
        shortest = shortest
            .min(layer.absent_at(at)?)
            .min(layer.size().get() - at);
    }
    Ok(shortest)
}

//! Rebase: a child gets another parent.

use std::sync::Arc;

use blockio::{ByteCount, Storage};

use super::take::Taking;
use super::{MergeSummary, OnProgress, Taker};
use crate::bounds::{buffer_len, to_index};
use crate::chain::{
    Chain, Held, LinkFacts, check_fit, link_facts, open_layer, open_parents, open_parents_of,
    open_taker, relink,
};
use crate::child::ParentNames;
use crate::error::ImageError;
use crate::gate::{OpenedParent, ParentGate};
use crate::image::ImageFormat;

/// Two disks are compared in units of this many bytes.
const UNIT: usize = 4096;
/// Most bytes that are compared at once.
const PIECE: u64 = 1 << 20;

/// How the new parent is held against the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebaseCheck {
    /// What the new one does not show as the old one does comes into the child, whose disk reads as
    /// before.
    Compare,
    /// The caller vouches that the new one shows what the child needs; the old one is not asked for.
    Trust,
}

/// Gives a child another parent, which it calls `names`. A parent that is the old one by its
/// identity, and merely lies elsewhere, is not compared with it.
///
/// # Errors
/// `InvalidOption` where the child has no parent, `ParentMismatch` where the new one cannot be one
/// (its sector size, its size), `ParentLoop`, what opening the parents fails with, `Cancelled`,
/// `NoSpace`, `Io`.
pub fn rebase(
    child: Box<dyn Storage>,
    format: ImageFormat,
    gate: &dyn ParentGate,
    new: OpenedParent,
    names: &ParentNames,
    check: RebaseCheck,
    progress: OnProgress<'_>,
) -> Result<MergeSummary, ImageError> {
    let storage: Arc<dyn Storage> = Arc::from(child);
    let facts = link_facts(format, &*storage)?;
    let Some(named) = facts.parent.clone() else {
        return Err(ImageError::invalid_option("child", "it has no parent"));
    };
    let new_facts = link_facts(format, &*new.storage)?;
    check_fit(&new.name, &facts, &new_facts)?;
    let identity = gate.identity();
    if identity.is_some() && identity == new.gate.identity() {
        return Err(ImageError::ParentLoop { parent: new.name });
    }
    // The whole new chain is opened, whatever is compared: it must be there, and must not lead back.
    let ancestors = open_parents_of(format, &new_facts, &*new.gate, identity)?;
    let linkage = new_facts.linkage;
    let layer = open_layer(format, new.storage)?;
    let below = Arc::new(Chain::new(
        std::iter::once(layer).chain(ancestors).collect(),
    ));
    let is_same = named.linkage == Some(linkage) || named.linkage2 == Some(linkage);
    let summary = match check {
        RebaseCheck::Compare if !is_same => {
            compare(&storage, format, &facts, gate, &below, progress)?
        }
        _ => MergeSummary::default(),
    };
    relink(format, storage, Some((linkage, names)))?;
    Ok(summary)
}

fn compare(
    storage: &Arc<dyn Storage>,
    format: ImageFormat,
    facts: &LinkFacts,
    gate: &dyn ParentGate,
    below: &Arc<Chain>,
    progress: OnProgress<'_>,
) -> Result<MergeSummary, ImageError> {
    let old = Chain::new(open_parents(format, facts, gate)?);
    let taker = open_taker(format, Box::new(storage.clone()), below.clone())?;
    let taken = take_differences(&*taker, &old, below, progress);
    // Also of one that failed: it still stands on the old parent and reads as before.
    let closed = taker.close();
    let summary = taken?;
    closed?;
    Ok(summary)
}

fn take_differences(
    child: &dyn Taker,
    old: &Chain,
    below: &Chain,
    progress: OnProgress<'_>,
) -> Result<MergeSummary, ImageError> {
    let mut taking = Taking::new(child, below, progress);
    let piece = to_index(PIECE).unwrap_or(UNIT);
    let (mut was, mut is) = (vec![0; piece], vec![0; piece]);
    let mut at = 0;
    while at < taking.size() {
        taking.report(at)?;
        let left = taking.size() - at;
        let (old_kind, old_length) = old.status(at, left)?;
        let (new_kind, new_length) = below.status(at, left)?;
        // Cut to whole units: what the host says of holes may end within a sector.
        let end = at.saturating_add(old_length.min(new_length));
        let end = end.max(at + 1).next_multiple_of(wide_unit());
        let alike = (end - at).min(left);
        let are_zero = old_kind.reads_zero() && new_kind.reads_zero();
        if are_zero && alike > wide_unit() {
            at = at.saturating_add(alike - wide_unit());
            continue;
        }
        let (held, length) = child.held_at(at, alike.min(PIECE))?;
        if held == Held::Parent {
            let count = to_index(length).unwrap_or(0);
            let (was, is) = (&mut was[..count], &mut is[..count]);
            old.read(was, at)?;
            below.read(is, at)?;
            take_units(&mut taking, at, was, is)?;
        }
        at = at.saturating_add(length.max(1));
    }
    taking.finish()
}

fn wide_unit() -> u64 {
    buffer_len(&[0; UNIT])
}

/// Takes in the runs of units that differ.
fn take_units(
    taking: &mut Taking<'_>,
    start: u64,
    was: &[u8],
    is: &[u8],
) -> Result<(), ImageError> {
    let differ = |from: usize| {
        let to = (from + UNIT).min(was.len());
        was[from..to] != is[from..to]
    };
    let mut from = 0;
    while from < was.len() {
        let mut to = from;
        while to < was.len() && differ(to) {
            to = (to + UNIT).min(was.len());
        }
        if to > from {
            let bytes = &was[from..to];
            let at = start.saturating_add(buffer_len(&was[..from]));
            taking.take(at, ByteCount(buffer_len(bytes)).get(), |buffer| {
                buffer.copy_from_slice(bytes);
                Ok(())
            })?;
            from = to;
        } else {
            from = (from + UNIT).min(was.len());
        }
    }
    Ok(())
}

//! Down: a parent takes in what its child holds.

use std::sync::Arc;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, MIB, Storage};

use super::{MergeSummary, OnProgress};
use crate::bounds::{buffer_len, to_index};
use crate::chain::{Held, Layer, check_link, link_facts, open_into, open_layer, relink_twice};
use crate::convert::{Progress, is_zero};
use crate::error::ImageError;
use crate::gate::OpenedParent;
use crate::ids::IdSource;
use crate::image::{ImageDisk, ImageFormat};

/// Most bytes that are copied at once.
const PIECE: u64 = 32 * MIB;
/// After so many bytes the parent is made durable.
const FLUSH_EVERY: u64 = 256 * MIB;

/// Lets a parent, open for writing, take in what its child holds. Afterwards the parent reads as the
/// child does, and the child can be removed. What else stands on the parent is lost by it: the caller
/// knows that nothing does. Where it stops or crashes, the child reads the same, and a second call
/// does the rest; what the parent alone reads is then neither old nor new.
///
/// # Errors
/// `InvalidOption` where the child's disk is larger, `ParentMismatch` where they do not belong
/// together, `Cancelled`, `NoSpace`, `Io`.
pub fn merge_into_parent(
    child: Box<dyn Storage>,
    parent: OpenedParent,
    format: ImageFormat,
    progress: OnProgress<'_>,
) -> Result<MergeSummary, ImageError> {
    let child: Arc<dyn Storage> = Arc::from(child);
    let facts = link_facts(format, &*child)?;
    let named = facts.parent.clone();
    let named = named.ok_or_else(|| ImageError::invalid_option("child", "it has no parent"))?;
    let of_parent = link_facts(format, &*parent.storage)?;
    check_link(&parent.name, &facts, &named, &of_parent)?;
    if facts.size > of_parent.size {
        let reason = format!(
            "its disk of {} is larger than the parent's of {}",
            facts.size, of_parent.size
        );
        return Err(ImageError::invalid_option("child", reason));
    }
    // Before the parent is written, and durable: from its first write on it is known by this.
    let identity = IdSource::Random.guid("data write after a merge");
    relink_twice(format, child.clone(), &named, of_parent.linkage, identity)?;
    let layer = open_layer(format, Box::new(child))?;
    let target = open_into(format, parent, identity)?;
    let copied = copy(&*layer, &*target, progress);
    let closed = target.close();
    let summary = copied?;
    closed?;
    Ok(summary)
}

fn copy(
    child: &dyn Layer,
    parent: &dyn ImageDisk,
    progress: OnProgress<'_>,
) -> Result<MergeSummary, ImageError> {
    let total = child.size();
    let (mut at, mut copied, mut unflushed) = (0, 0_u64, 0_u64);
    let mut buffer = Vec::new();
    while at < total.get() {
        let done = ByteCount(at);
        if progress(Progress { done, total }).is_break() {
            return Err(ImageError::Cancelled);
        }
        let left = total.get() - at;
        let absent = child.absent_at(at)?.min(left);
        if absent > 0 {
            at = at.saturating_add(absent);
            continue;
        }
        let (held, length) = child.held_at(at, left.min(PIECE))?;
        let range = ByteRange::new(ByteOffset(at), ByteCount(length));
        match (held, range) {
            (Held::File(place), _) => {
                buffer.resize(to_index(length).unwrap_or(0), 0);
                child.read_file(&mut buffer, ByteOffset(place))?;
                match range.filter(|_| is_zero(&buffer)) {
                    Some(range) => zero(parent, range)?,
                    None => {
                        parent.write_at(&buffer, ByteOffset(at))?;
                        copied = copied.saturating_add(buffer_len(&buffer));
                    }
                }
                unflushed = unflushed.saturating_add(length);
            }
            (Held::Zero, Some(range)) => {
                zero(parent, range)?;
                unflushed = unflushed.saturating_add(length);
            }
            _ => {}
        }
        if unflushed >= FLUSH_EVERY {
            parent.flush()?;
            unflushed = 0;
        }
        at = at.saturating_add(length.max(1));
    }
    parent.flush()?;
    Ok(MergeSummary {
        copied: ByteCount(copied),
    })
}

/// Zeros a range that does not read zero already; whole blocks give back their space.
fn zero(parent: &dyn Disk, range: ByteRange) -> Result<(), ImageError> {
    let mut rest = range;
    while !rest.is_empty() {
        let status = parent.block_status(rest)?;
        if !status.kind.reads_zero() {
            parent.discard(status.range)?;
        }
        let Some(next) = ByteRange::between(status.range.end(), rest.end()) else {
            break;
        };
        rest = next;
    }
    Ok(())
}

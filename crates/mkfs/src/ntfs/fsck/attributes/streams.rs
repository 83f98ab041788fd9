//! Values in clusters: their runs, their sizes, and how they are compressed or sparse.

use super::super::super::parse::{AttributeView, NonResidentView, kind};
use super::super::clusters::clusters as in_words;
use super::super::context::Context;
use super::super::facts::Marks;
use super::super::information;
use super::super::kinds::text;
use super::{BAD_CLUSTERS, COMPRESSION_METHODS, ENCRYPTED, LZNT1, Scan};
use crate::findings::VolumeFinding;

/// Exponent of two of the clusters that are compressed together.
const COMPRESSION_UNIT: u16 = 4;

impl Scan<'_> {
    /// A value in clusters, or a part of it.
    pub(super) fn stream(
        &self,
        context: &mut Context<'_, '_>,
        attribute: &AttributeView<'_>,
        body: &NonResidentView<'_>,
    ) {
        let geometry = context.volume.geometry();
        let (clusters, cluster) = (geometry.clusters, geometry.cluster);
        let (mut length, mut held) = (0_u64, 0_u64);
        let mut has_holes = false;
        for run in body.runs(clusters) {
            let run = match run {
                Ok(run) => run,
                Err(problem) => {
                    let message = format!("{}: {problem}", text(attribute));
                    return self.error(context, "runs", message);
                }
            };
            length += run.length;
            if run.start.is_some() {
                held += run.length;
            } else {
                has_holes = true;
            }
            if let Some((first, count)) = context.clusters.mark(run) {
                let message = format!(
                    "{} also {}",
                    in_words(first, count),
                    "of another file or stream"
                );
                self.error(
                    context,
                    "cluster-double",
                    format!("{}: {message}", text(attribute)),
                );
            }
        }
        let last = body.first_vcn.wrapping_add(length).wrapping_sub(1);
        if body.last_vcn != last {
            let finding = VolumeFinding::error(
                "attribute-vcn",
                format!(
                    "the last cluster of {} is not that of its runs",
                    text(attribute)
                ),
            );
            let (last, says) = (last.cast_signed(), body.last_vcn.cast_signed());
            context.add(finding.of(self.record.number()).versus(last, says));
        }
        let may_have_holes = attribute.is_sparse()
            || attribute.is_compressed()
            || (self.owner == BAD_CLUSTERS && attribute.is_named("$Bad"));
        if has_holes && !may_have_holes {
            let message = format!("{} has holes, but is not sparse", text(attribute));
            self.error(context, "runs-hole", message);
        }
        if body.first_vcn == 0 {
            self.compression(context, attribute, body);
            self.sizes(context, attribute, body);
            if attribute.kind == kind::DATA
                && attribute.name.is_empty()
                && let Some(facts) = context.facts.get_mut(self.owner)
            {
                facts.size = body.size;
                facts.allocated = body.total_allocated.unwrap_or(body.allocated);
            }
            if attribute.kind == kind::REPARSE_POINT {
                self.distant_reparse(context, body, cluster);
            }
        }
        let has_list = context
            .facts
            .get(self.owner)
            .is_some_and(|facts| facts.marks.has(Marks::LIST));
        if !has_list && self.record.base().is_none() {
            check_whole(
                context,
                &Whole {
                    record: self.record.number(),
                    what: text(attribute),
                    allocated: body.allocated,
                    total_allocated: body.total_allocated,
                    length,
                    held,
                    is_first: body.first_vcn == 0,
                },
            );
        }
    }

    /// How a stream is compressed or sparse: by units of 16 clusters or none, and with room in its head
    /// for the space that it takes.
    fn compression(
        &self,
        context: &mut Context<'_, '_>,
        attribute: &AttributeView<'_>,
        body: &NonResidentView<'_>,
    ) {
        let is_right = match body.compression_unit {
            0 => !attribute.is_compressed(),
            COMPRESSION_UNIT => true,
            _ => false,
        };
        if !is_right || attribute.flags & COMPRESSION_METHODS > LZNT1 {
            let message = format!("{} is compressed in an unknown way", text(attribute));
            return self.error(context, "attribute-flags", message);
        }
        let is_encrypted = attribute.flags & ENCRYPTED != 0;
        if is_encrypted
            && self
                .file_attributes
                .is_some_and(|attributes| attributes & information::ENCRYPTED == 0)
        {
            let message = format!("{} is encrypted, but the file is not", text(attribute));
            self.error(context, "attribute-flags", message);
        }
        let is_plain = !attribute.is_sparse() && !attribute.is_compressed() && !is_encrypted;
        if is_plain && body.compression_unit != 0 {
            let message = format!(
                "{} has units of compression, but is neither compressed nor sparse",
                text(attribute)
            );
            let finding = VolumeFinding::warning("attribute-flags", message);
            context.add(finding.of(self.record.number()));
        }
        let is_smaller = attribute.is_sparse() || attribute.is_compressed();
        if is_smaller && body.total_allocated.is_none() {
            let message = format!("{} does not say how much space it takes", text(attribute));
            self.error(context, "attribute-flags", message);
        }
    }

    /// Sizes stand in the order valid, size, allocated.
    fn sizes(
        &self,
        context: &mut Context<'_, '_>,
        attribute: &AttributeView<'_>,
        body: &NonResidentView<'_>,
    ) {
        let number = self.record.number();
        if body.initialized > body.size {
            let finding = VolumeFinding::error(
                "size-initialized",
                format!("more bytes of {} are valid than it has", text(attribute)),
            );
            context.add(finding.of(number).versus(body.size, body.initialized));
        }
        if body.size > body.allocated {
            let finding = VolumeFinding::error(
                "size-allocated",
                format!("{} is longer than its clusters", text(attribute)),
            );
            context.add(finding.of(number).versus(body.allocated, body.size));
        }
        let cluster = context.volume.geometry().cluster;
        if !body.allocated.is_multiple_of(cluster) {
            let message = format!("the space of {} is not in clusters", text(attribute));
            self.error(context, "size-allocated", message);
        }
    }

    /// A reparse point in clusters; only its head is read.
    fn distant_reparse(
        &self,
        context: &mut Context<'_, '_>,
        body: &NonResidentView<'_>,
        cluster: u64,
    ) {
        let first = body.runs(context.volume.geometry().clusters).next();
        let Some(Ok(run)) = first else {
            return;
        };
        let Some(start) = run.start else {
            return;
        };
        let mut head = [0; 8];
        let size = usize::try_from(body.size).unwrap_or(usize::MAX);
        match context.volume.read(&mut head, start.0 * cluster) {
            Ok(()) => self.reparse(context, &head, size),
            Err(error) => self.error(context, "reparse", error.to_string()),
        }
    }
}

/// A stream of which all parts are known.
pub(in super::super) struct Whole {
    pub record: u64,
    pub what: String,
    pub allocated: u64,
    pub total_allocated: Option<u64>,
    /// Clusters of all parts; and without holes.
    pub length: u64,
    pub held: u64,
    pub is_first: bool,
}

/// Compares the sizes of a stream with its clusters.
pub(in super::super) fn check_whole(context: &mut Context<'_, '_>, whole: &Whole) {
    let cluster = context.volume.geometry().cluster;
    if !whole.is_first {
        let message = format!("the first part of {} is missing", whole.what);
        return context.add(VolumeFinding::error("attribute-vcn", message).of(whole.record));
    }
    let allocated = whole.length.saturating_mul(cluster);
    if whole.allocated != allocated {
        let message = format!("the space of {} is not that of its runs", whole.what);
        let finding = VolumeFinding::error("size-allocated", message).of(whole.record);
        context.add(finding.versus(allocated, whole.allocated));
    }
    let held = whole.held.saturating_mul(cluster);
    if let Some(total) = whole.total_allocated.filter(|total| *total != held) {
        let message = format!(
            "the space that {} takes is not that of its runs",
            whole.what
        );
        let finding = VolumeFinding::error("size-total", message).of(whole.record);
        context.add(finding.versus(held, total));
    }
}

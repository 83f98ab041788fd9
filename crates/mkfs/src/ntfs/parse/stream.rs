//! A value in clusters: where each of its bytes lies.

use super::super::format::{ATTRIBUTE_COMPRESSED_MASK, ATTRIBUTE_ENCRYPTED};
use super::super::runs::Run;
use super::attribute::{AttributeView, NonResidentView};
use super::error::{ParseError, Structure};

/// A run and the cluster of the value that it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Cluster within the value.
    pub vcn: u64,
    /// The clusters, or a hole.
    pub run: Run,
}

/// The clusters of a value, gathered from all records that describe it.
#[derive(Clone, Debug)]
pub struct StreamMap {
    extents: Vec<Extent>,
    /// The first cluster that is not described yet.
    next_vcn: u64,
    /// Bytes of all clusters, holes counted, as the first record says.
    pub allocated: u64,
    /// Bytes of the value.
    pub size: u64,
    /// Bytes that are valid; what follows reads as zeros.
    pub initialized: u64,
    /// Bytes of the clusters that are no holes, where the first record says so.
    pub total_allocated: Option<u64>,
    /// Flags of the attribute: compressed, encrypted, sparse.
    pub flags: u16,
    /// Exponent of the clusters of a compression unit; zero without compression.
    pub compression_unit: u16,
}

impl StreamMap {
    /// The map of the first part of a value.
    ///
    /// # Errors
    /// `Damaged` where it is not the first part, or its sizes or runs are none.
    pub(super) fn first(
        attribute: &AttributeView<'_>,
        body: &NonResidentView<'_>,
        clusters: u64,
    ) -> Result<Self, ParseError> {
        let mut map = Self {
            extents: Vec::new(),
            next_vcn: 0,
            allocated: body.allocated,
            size: body.size,
            initialized: body.initialized,
            total_allocated: body.total_allocated,
            flags: attribute.flags,
            compression_unit: body.compression_unit,
        };
        if map.size > i64::MAX.unsigned_abs() || map.initialized > map.size {
            return Err(ParseError::damaged(Structure::Stream, "its sizes are none"));
        }
        map.append(body, clusters)?;
        Ok(map)
    }

    /// Adds the next part.
    ///
    /// # Errors
    /// `Damaged` where it does not follow the last one, or its runs are none.
    pub(super) fn append(
        &mut self,
        body: &NonResidentView<'_>,
        clusters: u64,
    ) -> Result<(), ParseError> {
        let damaged = |reason: String| ParseError::damaged(Structure::Runs, reason);
        if body.first_vcn != self.next_vcn {
            return Err(damaged(format!(
                "it begins with cluster {} instead of {}",
                body.first_vcn, self.next_vcn
            )));
        }
        for run in body.runs(clusters) {
            let run = run.map_err(|problem| damaged(problem.to_string()))?;
            self.extents.push(Extent {
                vcn: self.next_vcn,
                run,
            });
            self.next_vcn += run.length;
        }
        if body.last_vcn.wrapping_add(1) != self.next_vcn {
            return Err(damaged(format!(
                "it ends with cluster {} instead of {}",
                self.next_vcn.wrapping_sub(1),
                body.last_vcn
            )));
        }
        Ok(())
    }

    /// The runs in order.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Clusters described.
    pub fn clusters(&self) -> u64 {
        self.next_vcn
    }

    /// Whether its clusters hold compressed data.
    pub fn is_compressed(&self) -> bool {
        self.flags & ATTRIBUTE_COMPRESSED_MASK != 0
    }

    /// Whether its clusters hold encrypted data.
    pub fn is_encrypted(&self) -> bool {
        self.flags & ATTRIBUTE_ENCRYPTED != 0
    }

    /// Where a byte lies on the volume (none in a hole), and how many bytes follow it in the same
    /// run; `None` past the clusters described.
    pub fn locate(&self, offset: u64, cluster: u64) -> Option<(Option<u64>, u64)> {
        let vcn = offset / cluster;
        let index = self
            .extents
            .partition_point(|extent| extent.vcn <= vcn)
            .checked_sub(1)?;
        let extent = self.extents.get(index)?;
        let within = offset - extent.vcn * cluster;
        let left = (extent.run.length * cluster).checked_sub(within)?;
        if left == 0 {
            return None;
        }
        let position = extent.run.start.map(|start| start.0 * cluster + within);
        Some((position, left))
    }
}

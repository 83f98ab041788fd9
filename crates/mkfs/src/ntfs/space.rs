//! Which clusters are taken: an allocator for a builder that only moves forward.
//!
//! ```text
//!   | fixed | reserve of the master file table | data            |
//!   0       table_end ->                       data_end ->       clusters
//! ```
//! The reserve is only a choice of where data begins. When the data reaches the end of the volume it
//! goes on in the far part of the reserve; when the table has filled the reserve it takes data space.

use blockio::{ByteCount, GIB};

use super::geometry::Geometry;
use super::runs::{Lcn, Run, push_joined};
use crate::error::MkfsError;
use crate::tree::TreeTotals;

/// The reserve is an eighth of the volume, as with Windows, but no more bytes than this.
const MAX_RESERVE: u64 = 4 * GIB;
/// Clusters of a reserve that is given to data whole, not in parts.
const SMALL_RESERVE: u64 = 256;

/// The clusters of a volume: taken from the front, never given back.
#[derive(Debug)]
pub(super) struct Space {
    cluster: u64,
    clusters: u64,
    fixed_end: u64,
    table_end: u64,
    reserve_end: u64,
    data_end: u64,
    /// Where the area that data is taken from ends; all clusters behind it are taken.
    data_limit: u64,
    table_start: u64,
}

impl Space {
    /// All clusters free.
    pub(super) const fn new(geometry: &Geometry) -> Self {
        Self {
            cluster: geometry.cluster(),
            clusters: geometry.clusters(),
            fixed_end: 0,
            table_end: 0,
            reserve_end: 0,
            data_end: 0,
            data_limit: geometry.clusters(),
            table_start: 0,
        }
    }

    /// Takes clusters for a structure whose size is known from the start. Only before
    /// [`Space::reserve_table`].
    pub(super) fn take_fixed(&mut self, bytes: u64) -> Result<Run, MkfsError> {
        let length = bytes.div_ceil(self.cluster);
        if length > self.clusters - self.fixed_end {
            return Err(self.no_space(length));
        }
        let start = Lcn(self.fixed_end);
        self.fixed_end += length;
        Ok(Run::data(start, length))
    }

    /// Sets room aside for the master file table; data begins after it.
    pub(super) fn reserve_table(
        &mut self,
        least_bytes: u64,
        record_size: u64,
        totals: Option<TreeTotals>,
    ) {
        let free = self.clusters - self.fixed_end;
        let expected = totals.map_or(0, |totals| {
            let entries = totals.entries.saturating_add(totals.entries / 16);
            entries
                .saturating_mul(record_size)
                .saturating_add(least_bytes)
        });
        let volume = self.clusters * self.cluster;
        let bytes = (volume / 8).min(MAX_RESERVE).max(least_bytes).max(expected);
        self.table_start = self.fixed_end;
        self.table_end = self.fixed_end;
        self.reserve_end = self.fixed_end + bytes.div_ceil(self.cluster).min(free);
        self.data_end = self.reserve_end;
    }

    /// Takes clusters for data: one run, or two where the end of the volume lies between.
    pub(super) fn take(&mut self, length: u64) -> Result<Vec<Run>, MkfsError> {
        let area = self.data_limit - self.data_end;
        let reserve = self.reserve_end - self.table_end;
        if length > area + reserve {
            return Err(self.no_space(length));
        }
        let mut runs = Vec::with_capacity(1);
        let here = length.min(area);
        push_joined(&mut runs, Run::data(Lcn(self.data_end), here));
        self.data_end += here;
        let rest = length - here;
        if rest > 0 {
            // A large part at once, so that what is taken piece by piece stays together.
            let part = if reserve < SMALL_RESERVE {
                reserve
            } else {
                reserve / 4 * 3
            };
            self.data_limit = self.reserve_end;
            self.reserve_end -= part.max(rest);
            self.data_end = self.reserve_end + rest;
            push_joined(&mut runs, Run::data(Lcn(self.reserve_end), rest));
        }
        Ok(runs)
    }

    /// Takes clusters for the master file table, which are to follow its last ones if they can. Where
    /// its reserve is full, `step` clusters are taken at once if there are so many.
    pub(super) fn take_table(&mut self, length: u64, step: u64) -> Result<Vec<Run>, MkfsError> {
        let here = length.min(self.reserve_end - self.table_end);
        let mut runs = Vec::with_capacity(1);
        push_joined(&mut runs, Run::data(Lcn(self.table_end), here));
        self.table_end += here;
        if here < length {
            let rest = length - here;
            let more = self.take(rest.max(step)).or_else(|_| self.take(rest))?;
            for run in more {
                push_joined(&mut runs, run);
            }
        }
        Ok(runs)
    }

    /// The runs of clusters in use, ascending.
    pub(super) fn used(&self) -> [(u64, u64); 3] {
        [
            (0, self.table_end),
            (self.reserve_end, self.data_end),
            (self.data_limit, self.clusters),
        ]
    }

    /// First cluster of the reserve.
    pub(super) const fn table_start(&self) -> Lcn {
        Lcn(self.table_start)
    }

    /// Refuses a tree of which even the least it takes is more than there is.
    pub(super) fn check_totals(
        &self,
        totals: &TreeTotals,
        record_size: u64,
    ) -> Result<(), MkfsError> {
        // Small files lie in their records, so that data and records may share the same bytes.
        let needed = totals
            .entries
            .saturating_mul(record_size)
            .max(totals.data.get());
        let available = (self.clusters - self.fixed_end) * self.cluster;
        if needed > available {
            return Err(MkfsError::NoSpace {
                needed: ByteCount(needed),
                available: ByteCount(available),
            });
        }
        Ok(())
    }

    fn no_space(&self, more: u64) -> MkfsError {
        let used: u64 = self.used().iter().map(|(start, end)| end - start).sum();
        let content = used.saturating_sub(self.fixed_end).saturating_add(more);
        MkfsError::NoSpace {
            needed: ByteCount(content.saturating_mul(self.cluster)),
            available: ByteCount((self.clusters - self.fixed_end) * self.cluster),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockio::{MemoryDisk, SectorSize};

    /// 4095 clusters of 4 KiB, ten of them fixed, 100 reserved.
    fn space() -> Space {
        let disk = MemoryDisk::new(ByteCount(16 << 20), SectorSize::B512).unwrap();
        let geometry = Geometry::new(&disk, None).unwrap();
        let mut space = Space::new(&geometry);
        space.take_fixed(10 * 4096).unwrap();
        space.reserve_table(0, 1024, None);
        assert_eq!(space.reserve_end, 10 + 512);
        space
    }

    #[test]
    fn data_begins_after_the_reserve_and_ends_in_it() {
        let mut space = space();
        assert_eq!(space.take(3573 - 5).unwrap(), [Run::data(Lcn(522), 3568)]);
        assert_eq!(space.take_table(12, 0).unwrap(), [Run::data(Lcn(10), 12)]);
        // Of 500 clusters left of the reserve, three quarters become data space.
        assert_eq!(
            space.take(7).unwrap(),
            [Run::data(Lcn(4090), 5), Run::data(Lcn(147), 2)]
        );
        assert_eq!(space.used(), [(0, 22), (147, 149), (522, 4095)]);
        assert_eq!(space.take(373).unwrap(), [Run::data(Lcn(149), 373)]);
        assert_eq!(space.take(125).unwrap(), [Run::data(Lcn(22), 125)]);
        assert!(matches!(space.take(1), Err(MkfsError::NoSpace { .. })));
        assert!(space.take_table(1, 9).is_err());
    }

    #[test]
    fn a_table_past_its_reserve_goes_on_in_data_space() {
        let mut space = space();
        space.take(1).unwrap();
        assert_eq!(
            space.take_table(515, 0).unwrap(),
            [Run::data(Lcn(10), 512), Run::data(Lcn(523), 3)]
        );
        assert_eq!(space.used(), [(0, 522), (522, 526), (4095, 4095)]);
    }

    #[test]
    fn what_cannot_fit_is_refused_with_both_sizes() {
        let space = space();
        let totals = TreeTotals {
            entries: 3,
            data: ByteCount(17 << 20),
        };
        let error = space.check_totals(&totals, 1024).unwrap_err();
        let MkfsError::NoSpace { needed, available } = error else {
            panic!("{error}");
        };
        assert_eq!((needed.get(), available.get()), (17 << 20, 4085 * 4096));
    }
}

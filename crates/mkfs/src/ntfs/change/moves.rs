//! Clusters that change their place: what lies in ranges that shall be left moves to free clusters
//! elsewhere.
//!
//! Clusters are moved by copying them to free ones, which the old state does not look at, and
//! naming those in the records: that is the change. Where the master file table itself moves, all
//! records are looked for, and written, at its new place from then on.

use std::collections::BTreeSet;

use super::bytes::{narrow, wide};
use super::record::{Attribute, Record, Stream, Value, kind, record_of};
use super::resize::{BAD_CLUSTERS, BITMAP, STEP};
use super::table::MFT;
use super::volume::Volume;
use crate::change::{ChangeError, Meter};
use crate::ntfs::runs::{Lcn, Run, push_joined};

const MIRROR: u64 = 1;

/// Ranges of clusters, ascending and apart, that nothing shall be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaving(Vec<(u64, u64)>);

impl Leaving {
    /// All clusters from `end` on.
    pub(super) fn behind(end: u64) -> Self {
        Self(vec![(end, u64::MAX)])
    }

    /// These ranges, each from its first cluster to the one behind its last, ascending and apart.
    pub(super) fn ranges(ranges: Vec<(u64, u64)>) -> Self {
        Self(ranges)
    }

    /// Cuts a run where ranges begin and end; each piece with whether it has to leave.
    fn cut(&self, run: Run) -> Vec<(Run, bool)> {
        let Some(Lcn(start)) = run.start else {
            return vec![(run, false)];
        };
        let end = start + run.length;
        let piece = |from: u64, to: u64| Run::data(Lcn(from), to - from);
        let mut pieces = Vec::new();
        let mut at = start;
        let first = self.0.partition_point(|range| range.1 <= start);
        for (from, to) in self.0.get(first..).unwrap_or_default() {
            if *from >= end {
                break;
            }
            if *from > at {
                pieces.push((piece(at, *from), false));
                at = *from;
            }
            let to = (*to).min(end);
            pieces.push((piece(at, to), true));
            at = to;
        }
        if at < end {
            pieces.push((piece(at, end), false));
        }
        pieces
    }

    fn touches(&self, run: Run) -> bool {
        run.start.is_some_and(|Lcn(start)| {
            let first = self.0.partition_point(|range| range.1 <= start);
            let range = self.0.get(first);
            range.is_some_and(|(from, _)| *from < start + run.length)
        })
    }

    fn touches_stream(&self, stream: &Stream) -> bool {
        stream.runs.iter().any(|run| self.touches(*run))
    }
}

impl Volume<'_> {
    /// Moves all that is in the ranges elsewhere; where that can be is for the caller to have said to
    /// [`super::space::Space`]. The boot sectors may name old places of the table afterwards.
    pub(super) fn move_away(
        &mut self,
        leaving: &Leaving,
        meter: &mut Meter<'_>,
    ) -> Result<(), ChangeError> {
        // The table and the bitmap first: through them all else is found and noted.
        let mut files: Vec<u64> = vec![MFT, BITMAP];
        files.extend(self.files_in(leaving)?);
        for number in files {
            self.move_file(number, leaving, meter)?;
            if number == BITMAP {
                let moved = self.file(BITMAP)?.stream(kind::DATA, &[])?.clone();
                self.space.moved(moved);
            }
        }
        self.mirror = self.loaded(MIRROR)?.stream(kind::DATA, &[])?.clone();
        Ok(())
    }

    /// Files of which any record names clusters in the ranges, but for the table and the bitmap.
    fn files_in(&self, leaving: &Leaving) -> Result<BTreeSet<u64>, ChangeError> {
        let mut files = BTreeSet::new();
        for number in 0..self.record_count()? {
            let byte = self.record_bits.get(narrow(number / 8)).copied();
            if byte.unwrap_or(0) >> (number % 8) & 1 == 0 {
                continue;
            }
            // Records that are in use by the bitmap alone were never written by some systems.
            let Some(record) =
                Record::decode(self.read_record_bytes(number)?, self.layout.clusters)
            else {
                continue;
            };
            let reaches = |attribute: &Attribute| match &attribute.value {
                Value::Stream(stream) => leaving.touches_stream(stream),
                Value::Resident(_) => false,
            };
            if record.in_use && record.attributes.iter().any(reaches) {
                let owner = match record.base {
                    0 => number,
                    base => record_of(base),
                };
                files.insert(owner);
            }
        }
        for number in [MFT, BITMAP, BAD_CLUSTERS] {
            files.remove(&number);
        }
        Ok(files)
    }

    fn move_file(
        &mut self,
        number: u64,
        leaving: &Leaving,
        meter: &mut Meter<'_>,
    ) -> Result<(), ChangeError> {
        let mut file = self.take_file(number)?;
        let mut moved = false;
        let mut result = Ok(());
        for attribute in &mut file.attributes {
            if let Value::Stream(stream) = &mut attribute.value {
                match self.move_stream(stream, leaving, meter) {
                    Ok(did) => moved |= did,
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                }
            }
        }
        // A list of attributes in clusters is written anew with the records, elsewhere.
        moved |= matches!(&file.list, Some(Value::Stream(list)) if leaving.touches_stream(list));
        file.is_dirty |= moved;
        self.put_file(file);
        result
    }

    /// Copies the clusters of a stream that lie in the ranges to free ones.
    fn move_stream(
        &mut self,
        stream: &mut Stream,
        leaving: &Leaving,
        meter: &mut Meter<'_>,
    ) -> Result<bool, ChangeError> {
        if !leaving.touches_stream(stream) {
            return Ok(false);
        }
        let mut runs = Vec::new();
        for run in &stream.runs {
            for (piece, leaves) in leaving.cut(*run) {
                if !leaves {
                    push_joined(&mut runs, piece);
                    continue;
                }
                let mut from = piece;
                for target in self.space.take(&self.disk, piece.length, None)? {
                    let (part, rest) = from.split(target.length);
                    self.copy_clusters(part, target, meter)?;
                    push_joined(&mut runs, target);
                    from = rest.unwrap_or(Run::hole(0));
                }
                self.space.give(&self.disk, &[piece])?;
            }
        }
        stream.runs = runs;
        Ok(true)
    }

    fn copy_clusters(
        &mut self,
        from: Run,
        to: Run,
        meter: &mut Meter<'_>,
    ) -> Result<(), ChangeError> {
        let (Some(Lcn(from)), Some(Lcn(start)), length) = (from.start, to.start, to.length) else {
            return Ok(());
        };
        let cluster = self.layout.cluster;
        let mut done = 0;
        while done < length * cluster {
            let count = narrow((length * cluster - done).min(STEP));
            let bytes = self.disk.read_vec(from * cluster + done, count)?;
            self.disk.write_data(&bytes, start * cluster + done)?;
            done += wide(count);
            meter.bytes += wide(count);
            if meter.tell().is_break() {
                return Err(ChangeError::Interrupted);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_cut_where_ranges_begin_and_end() {
        let leaving = Leaving::ranges(vec![(10, 20), (30, 40), (40, 50)]);
        let cut = |start, length| {
            let pieces = leaving.cut(Run::data(Lcn(start), length));
            let shown = pieces.into_iter().map(|(run, leaves)| {
                let Lcn(start) = run.start.unwrap();
                (start, run.length, leaves)
            });
            shown.collect::<Vec<_>>()
        };
        assert_eq!(cut(0, 10), [(0, 10, false)]);
        assert_eq!(cut(12, 3), [(12, 3, true)]);
        assert_eq!(
            cut(5, 40),
            [
                (5, 5, false),
                (10, 10, true),
                (20, 10, false),
                (30, 10, true),
                (40, 5, true)
            ]
        );
        assert_eq!(cut(45, 10), [(45, 5, true), (50, 5, false)]);
        assert_eq!(leaving.cut(Run::hole(9)), [(Run::hole(9), false)]);
        assert!(!leaving.touches(Run::data(Lcn(20), 10)));
        assert!(leaving.touches(Run::data(Lcn(19), 1)));
        assert!(Leaving::behind(7).touches(Run::data(Lcn(0), 8)));
    }
}

//! Which clusters are in use: a bit for each, in pieces that are kept only where they are neither
//! empty nor full; and their comparison with `$Bitmap`.

use super::super::parse::{Lcn, Run, count_ones_from, kind};
use super::context::Context;
use crate::error::MkfsError;
use crate::findings::VolumeFinding;

/// Record of `$Bitmap`.
const BITMAP: u64 = 6;
/// Words of a piece.
const WORDS: usize = 512;
/// Clusters of a piece.
const PIECE: u64 = 64 * 512;
/// Bytes of a piece.
const PIECE_BYTES: usize = 8 * WORDS;

#[derive(Clone, Default)]
enum Piece {
    #[default]
    Empty,
    Full,
    Bits(Box<[u64; WORDS]>),
}

/// The clusters in use.
pub(super) struct ClusterMap {
    pieces: Vec<Piece>,
    clusters: u64,
    used: u64,
}

impl ClusterMap {
    /// No cluster of so many in use; no more than the disk has room for.
    pub(super) fn new(clusters: u64) -> Self {
        Self {
            pieces: Vec::new(),
            clusters,
            used: 0,
        }
    }

    /// Clusters in use.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Marks a run as in use; returns the first cluster that was already, and how many were.
    pub(super) fn mark(&mut self, run: Run) -> Option<(u64, u64)> {
        let Lcn(start) = run.start?;
        let end = (start + run.length).min(self.clusters);
        let mut double: Option<(u64, u64)> = None;
        let mut at = start;
        while at < end {
            let index = usize::try_from(at / PIECE).ok()?;
            let stop = end.min((at / PIECE + 1) * PIECE);
            if self.pieces.len() <= index {
                self.pieces.resize(index + 1, Piece::Empty);
            }
            let piece = self.pieces.get_mut(index)?;
            let (first, count) = mark_in(piece, at % PIECE, stop - at);
            self.used += stop - at - count;
            if count > 0 {
                let first = at / PIECE * PIECE + first;
                double = Some(double.map_or((first, count), |(f, c)| (f, c + count)));
            }
            at = stop;
        }
        double
    }

    /// The bytes of a piece as `$Bitmap` has them.
    fn piece_bytes(&self, index: u64, out: &mut [u8; PIECE_BYTES]) {
        let piece = usize::try_from(index)
            .ok()
            .and_then(|index| self.pieces.get(index));
        match piece {
            None | Some(Piece::Empty) => out.fill(0),
            Some(Piece::Full) => out.fill(0xFF),
            Some(Piece::Bits(words)) => {
                let (chunks, _) = out.as_chunks_mut::<8>();
                for (chunk, word) in chunks.iter_mut().zip(words.iter()) {
                    *chunk = word.to_le_bytes();
                }
            }
        }
    }
}

/// Marks bits of a piece; the first that was marked already and how many were.
fn mark_in(piece: &mut Piece, start: u64, count: u64) -> (u64, u64) {
    match piece {
        Piece::Full => return (start, count),
        Piece::Empty if count == PIECE => {
            *piece = Piece::Full;
            return (0, 0);
        }
        Piece::Empty => *piece = Piece::Bits(Box::new([0; WORDS])),
        Piece::Bits(_) => {}
    }
    let Piece::Bits(words) = piece else {
        return (0, 0);
    };
    let (mut first, mut double) = (0, 0);
    let mut bit = start;
    while bit < start + count {
        let within = bit % 64;
        let length = (64 - within).min(start + count - bit);
        let mask = (u64::MAX >> (64 - length)) << within;
        let Some(word) = usize::try_from(bit / 64)
            .ok()
            .and_then(|at| words.get_mut(at))
        else {
            break;
        };
        let already = *word & mask;
        if already != 0 {
            if double == 0 {
                first = bit - within + u64::from(already.trailing_zeros());
            }
            double += u64::from(already.count_ones());
        }
        *word |= mask;
        bit += length;
    }
    (first, double)
}

/// Compares what is in use with `$Bitmap`.
pub(super) fn check(context: &mut Context<'_, '_>) -> Result<(), MkfsError> {
    context.report.used_clusters = context.clusters.used();
    let volume = context.volume;
    let file = volume.read_file(BITMAP);
    let value = file.and_then(|file| file.value(volume, kind::DATA, ""));
    let Some(value) = context.found("bitmap", BITMAP, value)? else {
        return Ok(());
    };
    let Some(value) = value else {
        context.add(VolumeFinding::error("bitmap", "$Bitmap has no data").of(BITMAP));
        return Ok(());
    };
    if value.map().is_none() {
        let finding = VolumeFinding::error("bitmap", "$Bitmap is resident, which Windows refuses");
        context.add(finding.of(BITMAP));
    }
    let clusters = context.report.clusters;
    let needed = clusters.div_ceil(8);
    if value.size() < needed || value.size() > needed.next_multiple_of(8).saturating_add(64) {
        let finding =
            VolumeFinding::error("bitmap-size", "$Bitmap has not one bit for each cluster");
        context.add(finding.of(BITMAP).versus(
            format_args!("{} bytes", needed.next_multiple_of(8)),
            value.size(),
        ));
        if value.size() < needed {
            return Ok(());
        }
    }
    let mut ours = [0; PIECE_BYTES];
    let mut theirs = [0; PIECE_BYTES];
    let mut spans = Spans::default();
    for index in 0..clusters.div_ceil(PIECE) {
        let offset = index * u64::try_from(PIECE_BYTES).unwrap_or(0);
        let read = value.read_at(volume, &mut theirs, offset);
        let Some(read) = context.found("bitmap", BITMAP, read)? else {
            return Ok(());
        };
        theirs[read..].fill(0xFF);
        context.clusters.piece_bytes(index, &mut ours);
        let first = index * PIECE;
        let count = PIECE.min(clusters - first);
        if ours[..] != theirs[..] {
            spans.compare(&ours, &theirs, first, count);
        }
        if count < PIECE || index + 1 == clusters.div_ceil(PIECE) {
            check_tail(context, &theirs[..read], count);
        }
    }
    spans.report(context);
    Ok(())
}

/// The bits behind the last cluster are set, so that nobody takes them.
fn check_tail(context: &mut Context<'_, '_>, bytes: &[u8], clusters: u64) {
    let bits = u64::try_from(bytes.len()).unwrap_or(0) * 8;
    if clusters >= bits {
        return;
    }
    let (is_set, length) = count_ones_from(bytes, clusters);
    if !is_set || length < bits - clusters {
        let finding = VolumeFinding::error(
            "bitmap-tail",
            "$Bitmap has clear bits behind the last cluster of the volume",
        );
        context.add(finding.of(BITMAP));
    }
}

/// Runs of clusters whose bits differ, joined across pieces.
#[derive(Default)]
struct Spans {
    lost: Vec<(u64, u64)>,
    unmarked: Vec<(u64, u64)>,
}

/// Runs that are reported one by one.
const MAX_SPANS: usize = 100_000;

impl Spans {
    fn compare(&mut self, ours: &[u8], theirs: &[u8], first: u64, count: u64) {
        let (ours, _) = ours.as_chunks::<8>();
        let (theirs, _) = theirs.as_chunks::<8>();
        let mut bit = first;
        for (ours, theirs) in ours.iter().zip(theirs) {
            let (ours, theirs) = (u64::from_le_bytes(*ours), u64::from_le_bytes(*theirs));
            let left = (first + count).saturating_sub(bit);
            let mask = if left >= 64 {
                u64::MAX
            } else {
                (1 << left) - 1
            };
            Self::push(&mut self.lost, bit, theirs & !ours & mask);
            Self::push(&mut self.unmarked, bit, ours & !theirs & mask);
            bit += 64;
        }
    }

    fn push(spans: &mut Vec<(u64, u64)>, bit: u64, mut word: u64) {
        while word != 0 && spans.len() < MAX_SPANS {
            let start = u64::from(word.trailing_zeros());
            let length = u64::from((word >> start).trailing_ones());
            match spans.last_mut() {
                Some((last, count)) if *last + *count == bit + start => *count += length,
                _ => spans.push((bit + start, length)),
            }
            if start + length >= 64 {
                break;
            }
            word &= u64::MAX << (start + length);
        }
    }

    fn report(self, context: &mut Context<'_, '_>) {
        for (start, count) in self.unmarked {
            let message = format!("{} in use, but free in $Bitmap", clusters(start, count));
            context.add(VolumeFinding::error("bitmap-unmarked", message).of(BITMAP));
        }
        for (start, count) in self.lost {
            let message = format!(
                "{} taken in $Bitmap, but of no file",
                clusters(start, count)
            );
            context.add(VolumeFinding::warning("bitmap-lost", message).of(BITMAP));
        }
    }
}

/// Clusters in words.
pub(super) fn clusters(start: u64, count: u64) -> String {
    if count == 1 {
        format!("cluster {start} is")
    } else {
        format!("clusters {start} to {} are", start + count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_used_twice_are_seen() {
        let mut map = ClusterMap::new(200_000);
        assert_eq!(map.mark(Run::data(Lcn(10), 100_000)), None);
        assert_eq!(map.mark(Run::data(Lcn(100_010), 5)), None);
        assert_eq!(map.mark(Run::hole(5)), None);
        assert_eq!(map.mark(Run::data(Lcn(100_014), 5)), Some((100_014, 1)));
        assert_eq!(map.mark(Run::data(Lcn(0), 200_000)), Some((10, 100_009)));
        assert_eq!(map.used(), 200_000);
    }

    #[test]
    fn differences_are_joined_across_words() {
        let mut spans = Spans::default();
        let mut ours = [0; 32];
        ours[7] = 0x80;
        ours[8] = 0x03;
        ours[31] = 0xFF;
        spans.compare(&ours, &[0; 32], 1000, 250);
        assert_eq!(spans.unmarked, [(1063, 3), (1248, 2)]);
        assert_eq!(spans.lost, []);
    }
}

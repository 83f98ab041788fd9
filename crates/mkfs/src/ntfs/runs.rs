//! Runs of clusters and their encoding, the mapping pairs of a non-resident attribute.
//!
//! A pair is a byte with the sizes of two numbers, the length of the run, and its start as the signed
//! distance from the start of the last run that was no hole; a hole has no start. A zero byte ends
//! the list.

use std::ops::Range;

/// The number of a cluster of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lcn(pub u64);

/// A run of clusters, or of a hole where `start` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First cluster on the volume.
    pub start: Option<Lcn>,
    /// Clusters.
    pub length: u64,
}

impl Run {
    /// A run of clusters.
    pub const fn data(start: Lcn, length: u64) -> Self {
        Self {
            start: Some(start),
            length,
        }
    }

    /// The first clusters of the run, at most so many, and the rest.
    pub(super) fn split(self, length: u64) -> (Self, Option<Self>) {
        if length >= self.length {
            return (self, None);
        }
        let first = Self { length, ..self };
        let rest = Self {
            start: self.start.map(|Lcn(lcn)| Lcn(lcn + length)),
            length: self.length - length,
        };
        (first, Some(rest))
    }

    /// A run without clusters.
    pub const fn hole(length: u64) -> Self {
        Self {
            start: None,
            length,
        }
    }
}

/// Adds a run to a list, joined with the last one where they touch.
pub(super) fn push_joined(runs: &mut Vec<Run>, run: Run) {
    if run.length == 0 {
        return;
    }
    if let Some(last) = runs.last_mut() {
        let touches = match (last.start, run.start) {
            (Some(last_start), Some(start)) => last_start.0 + last.length == start.0,
            (None, None) => true,
            _ => false,
        };
        if touches {
            last.length += run.length;
            return;
        }
    }
    runs.push(run);
}

/// The sum of all lengths, holes counted.
pub(super) fn total(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.length).sum()
}

/// Encodes runs until the next one would pass `limit` bytes (the end mark counted). Returns the
/// bytes with the end mark and how many runs they hold. The first run is counted from cluster zero.
pub(super) fn encode(runs: &[Run], limit: usize) -> (Vec<u8>, usize) {
    let mut bytes = Vec::with_capacity(limit.min(16));
    let mut previous = 0_i64;
    let mut count = 0;
    for run in runs {
        let before = bytes.len();
        let start = run.start.map(|lcn| lcn.0.cast_signed());
        push_pair(&mut bytes, run.length, start.map(|start| start - previous));
        if bytes.len() + 1 > limit {
            bytes.truncate(before);
            break;
        }
        previous = start.unwrap_or(previous);
        count += 1;
    }
    bytes.push(0);
    (bytes, count)
}

fn push_pair(bytes: &mut Vec<u8>, length: u64, distance: Option<i64>) {
    let length = length.cast_signed().to_le_bytes();
    let length = significant(&length);
    let distance_bytes = distance.unwrap_or(0).to_le_bytes();
    let distance = distance.map_or([].as_slice(), |_| significant(&distance_bytes));
    // Both are one to eight bytes.
    let sizes = (distance.len() << 4) | length.len();
    bytes.push(u8::try_from(sizes).unwrap_or(0));
    bytes.extend_from_slice(length);
    bytes.extend_from_slice(distance);
}

/// The bytes of a little-endian signed number without those its sign implies.
fn significant(bytes: &[u8; 8]) -> &[u8] {
    let fill = if bytes[7] & 0x80 == 0 { 0 } else { 0xFF };
    let mut len = 8;
    while len > 1 && bytes[len - 1] == fill && (bytes[len - 2] ^ fill) & 0x80 == 0 {
        len -= 1;
    }
    &bytes[..len]
}

/// The run list of a file whose areas lie one after another in `taken`.
pub(super) fn with_holes(taken: &[Run], areas: &[Range<u64>], total: u64) -> Vec<Run> {
    let mut runs = Vec::with_capacity(2 * areas.len());
    let mut taken = taken.iter().copied();
    let mut current = taken.next();
    let mut position = 0;
    for area in areas {
        push_joined(&mut runs, Run::hole(area.start - position));
        let mut wanted = area.end - area.start;
        while let (Some(run), true) = (current, wanted > 0) {
            let (piece, rest) = run.split(wanted);
            wanted -= piece.length;
            push_joined(&mut runs, piece);
            current = rest.or_else(|| taken.next());
        }
        position = area.end;
    }
    push_joined(&mut runs, Run::hole(total - position));
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_encoded_as_windows_encodes_them() {
        // $MFT, $LogFile and $BadClus:$Bad of a volume formatted by Windows 10.
        let cases: [(&[Run], &[u8]); 3] = [
            (
                &[Run::data(Lcn(250), 4), Run::data(Lcn(639), 60)],
                &[0x21, 0x04, 0xFA, 0x00, 0x21, 0x3C, 0x85, 0x01, 0],
            ),
            (
                &[Run::data(Lcn(254), 384), Run::data(Lcn(121), 128)],
                &[
                    0x22, 0x80, 0x01, 0xFE, 0x00, 0x22, 0x80, 0x00, 0x7B, 0xFF, 0,
                ],
            ),
            (&[Run::hole(751)], &[0x02, 0xEF, 0x02, 0]),
        ];
        for (runs, bytes) in cases {
            assert_eq!(encode(runs, usize::MAX), (bytes.to_vec(), runs.len()));
        }
    }

    #[test]
    fn a_list_is_cut_between_runs() {
        let runs = [
            Run::data(Lcn(250), 4),
            Run::hole(9),
            Run::data(Lcn(639), 60),
        ];
        assert_eq!(encode(&runs, 10).1, 2);
        assert_eq!(encode(&runs, 11).1, 3);
        assert_eq!(encode(&runs, 6), (vec![0x21, 0x04, 0xFA, 0x00, 0], 1));
    }

    #[test]
    fn numbers_keep_their_sign() {
        for (value, len) in [
            (0_i64, 1),
            (127, 1),
            (128, 2),
            (-128, 1),
            (-129, 2),
            (1 << 40, 6),
        ] {
            assert_eq!(significant(&value.to_le_bytes()).len(), len, "{value}");
        }
    }

    #[test]
    fn runs_that_touch_are_joined() {
        let mut runs = Vec::new();
        push_joined(&mut runs, Run::data(Lcn(5), 2));
        push_joined(&mut runs, Run::data(Lcn(7), 0));
        push_joined(&mut runs, Run::data(Lcn(7), 3));
        push_joined(&mut runs, Run::hole(1));
        push_joined(&mut runs, Run::hole(1));
        push_joined(&mut runs, Run::data(Lcn(1), 1));
        assert_eq!(
            runs,
            [Run::data(Lcn(5), 5), Run::hole(2), Run::data(Lcn(1), 1)]
        );
        assert_eq!(total(&runs), 8);
    }
}

//! Run lists, decoded pair by pair and checked against the volume.

use super::super::runs::{Lcn, Run};

/// What is wrong with a run list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunProblem {
    /// A pair is cut short, or the list has no end mark.
    Cut,
    /// A number has more than eight bytes, or a run no length.
    Length,
    /// A run lies outside the volume.
    Outside,
}

impl std::fmt::Display for RunProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cut => "the run list has no end",
            Self::Length => "a run has no length",
            Self::Outside => "a run lies outside the volume",
        })
    }
}

/// The runs of a list, in order; ends after the first problem.
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    rest: &'a [u8],
    clusters: u64,
    previous: u64,
    vcn: u64,
    is_done: bool,
}

impl<'a> Runs<'a> {
    /// The runs that `bytes` encode, on a volume of so many clusters.
    pub fn new(bytes: &'a [u8], clusters: u64) -> Self {
        Self {
            rest: bytes,
            clusters,
            previous: 0,
            vcn: 0,
            is_done: false,
        }
    }

    fn step(&mut self) -> Result<Option<Run>, RunProblem> {
        let (&sizes, rest) = self.rest.split_first().ok_or(RunProblem::Cut)?;
        if sizes == 0 {
            return Ok(None);
        }
        let (length_size, start_size) = (usize::from(sizes & 0xF), usize::from(sizes >> 4));
        if !(1..=8).contains(&length_size) || start_size > 8 {
            return Err(RunProblem::Length);
        }
        let length_bytes = rest.get(..length_size).ok_or(RunProblem::Cut)?;
        let start_bytes = rest
            .get(length_size..length_size + start_size)
            .ok_or(RunProblem::Cut)?;
        self.rest = &rest[length_size + start_size..];
        let length = u64::try_from(signed(length_bytes))
            .ok()
            .filter(|length| *length > 0)
            .ok_or(RunProblem::Length)?;
        // Streams are at most 2^63 bytes long; the clusters of one never reach that number.
        self.vcn = self
            .vcn
            .checked_add(length)
            .filter(|vcn| *vcn < 1 << 55)
            .ok_or(RunProblem::Outside)?;
        if start_size == 0 {
            return Ok(Some(Run::hole(length)));
        }
        let start = self
            .previous
            .checked_add_signed(signed(start_bytes))
            .ok_or(RunProblem::Outside)?;
        let is_inside = start
            .checked_add(length)
            .is_some_and(|end| end <= self.clusters);
        if !is_inside {
            return Err(RunProblem::Outside);
        }
        self.previous = start;
        Ok(Some(Run::data(Lcn(start), length)))
    }
}

impl Iterator for Runs<'_> {
    type Item = Result<Run, RunProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let step = self.step().transpose();
        self.is_done = !matches!(step, Some(Ok(_)));
        step
    }
}

/// A little-endian signed number of at most eight bytes.
fn signed(bytes: &[u8]) -> i64 {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut wide = [if negative { 0xFF } else { 0 }; 8];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    i64::from_le_bytes(wide)
}

#[cfg(test)]
mod tests {
    use super::super::super::runs::encode;
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded() {
        let runs = [
            Run::data(Lcn(5000), 4),
            Run::hole(300),
            Run::data(Lcn(17), 1 << 20),
            Run::data(Lcn(0), 1),
        ];
        let (bytes, _) = encode(&runs, usize::MAX);
        let decoded: Result<Vec<Run>, _> = Runs::new(&bytes, 1 << 21).collect();
        assert_eq!(decoded, Ok(runs.to_vec()));
    }

    #[test]
    fn lists_that_lie_end_with_a_problem() {
        for (bytes, problem) in [
            (&[][..], RunProblem::Cut),
            (&[0x11, 5], RunProblem::Cut),
            (&[0x11, 5, 5], RunProblem::Cut),
            (&[0x10, 5, 0], RunProblem::Length),
            (&[0x19, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 0], RunProblem::Length),
            (&[0x11, 0, 5, 0], RunProblem::Length),
            (&[0x11, 0xFF, 5, 0], RunProblem::Length),
            (&[0x11, 10, 95, 0], RunProblem::Outside),
            (&[0x11, 10, 0xFF, 0], RunProblem::Outside),
            (
                &[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0],
                RunProblem::Outside,
            ),
        ] {
            let last = Runs::new(bytes, 100).last();
            assert_eq!(last, Some(Err(problem)), "{bytes:?}");
        }
    }
}

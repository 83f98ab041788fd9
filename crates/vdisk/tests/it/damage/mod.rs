//! Damages done to images on purpose: a row for each class that a check must find.
//!
//! The rows know the bytes of the formats and nothing of the code under test. The tests of the
//! command do the same damages to files and ask other programs what they think of the result.

pub(crate) mod vhd;
pub(crate) mod vhdx;

use blockio::{ByteCount, ByteOffset, Storage};

/// The image that a damage is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// Closed in order.
    Clean,
    /// As a crash leaves it, with a log.
    Dirty,
    /// Blocks of 256 MiB, so that there is an entry for a sector bitmap.
    Wide,
    /// Without a block.
    Empty,
    /// Fixed.
    Fixed,
    /// Differencing, with blocks that are partially present.
    Child,
}

/// What becomes of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is repaired and nothing is lost.
    Repaired,
    /// It is repaired where the loss is accepted, and left as it is where it is not.
    GivenUp,
    /// It is named and never touched.
    Named,
    /// It breaks no rule; nothing is done.
    Harmless,
}

/// A damage.
pub(crate) struct Damage {
    pub(crate) name: &'static str,
    pub(crate) sample: Sample,
    pub(crate) break_it: fn(&dyn Storage),
    /// Words of the finding.
    pub(crate) finding: &'static str,
    pub(crate) outcome: Outcome,
}

pub(crate) const fn damage(
    name: &'static str,
    sample: Sample,
    break_it: fn(&dyn Storage),
    finding: &'static str,
    outcome: Outcome,
) -> Damage {
    Damage {
        name,
        sample,
        break_it,
        finding,
        outcome,
    }
}

pub(crate) fn put(file: &dyn Storage, at: u64, bytes: &[u8]) {
    file.write_at(bytes, ByteOffset(at)).unwrap();
}

pub(crate) fn get<const N: usize>(file: &dyn Storage, at: u64) -> [u8; N] {
    let mut bytes = [0; N];
    file.read_at(&mut bytes, ByteOffset(at)).unwrap();
    bytes
}

pub(crate) fn flip(file: &dyn Storage, at: u64) {
    let [byte] = get(file, at);
    put(file, at, &[byte ^ 0x40]);
}

pub(crate) fn length(file: &dyn Storage) -> u64 {
    file.len().unwrap().get()
}

pub(crate) fn cut(file: &dyn Storage, length: u64) {
    file.set_len(ByteCount(length)).unwrap();
}

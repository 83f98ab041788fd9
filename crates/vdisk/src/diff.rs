//! Where two disks differ.

use std::ops::ControlFlow;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, Storage};

use crate::bounds::{buffer_len, to_index};
use crate::chain::{Held, open_layer};
use crate::convert::Progress;
use crate::error::ImageError;
use crate::image::ImageFormat;
use crate::merge::OnProgress;

/// Disks are compared in units of this many bytes.
pub const DIFF_UNIT: u64 = 4096;
/// Most bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// The ranges of a disk that an image holds itself, in order, as data or as zeros: what may differ
/// from its parent's. Ranges that follow each other are joined.
///
/// # Errors
/// What opening and reading the image fails with.
pub fn held_ranges(
    storage: Box<dyn Storage>,
    format: ImageFormat,
) -> Result<Vec<ByteRange>, ImageError> {
    let layer = open_layer(format, storage)?;
    let size = layer.size().get();
    let mut ranges: Vec<ByteRange> = Vec::new();
    let mut at = 0;
    while at < size {
        let absent = layer.absent_at(at)?.min(size - at);
        if absent > 0 {
            at = at.saturating_add(absent);
            continue;
        }
        let (held, length) = layer.held_at(at, size - at)?;
        if held != Held::Parent {
            push(&mut ranges, at, at.saturating_add(length));
        }
        at = at.saturating_add(length.max(1));
    }
    Ok(ranges)
}

fn push(ranges: &mut Vec<ByteRange>, start: u64, end: u64) {
    let (start, end) = (ByteOffset(start), ByteOffset(end));
    let joined = ranges
        .last()
        .filter(|last| last.end() >= start)
        .and_then(|last| ByteRange::between(last.start(), end.max(last.end())));
    match (joined, ByteRange::between(start, end)) {
        (Some(joined), _) => {
            ranges.pop();
            ranges.push(joined);
        }
        (None, Some(range)) => ranges.push(range),
        (None, None) => {}
    }
}

/// Shows the ranges in which two disks differ, in order, in units of [`DIFF_UNIT`]; ranges that follow
/// each other are one. What lies behind the end of the smaller disk is held against zeros. With
/// `within`, whose ranges are in order, nothing outside of them is looked at.
///
/// # Errors
/// `Cancelled` where `progress` or `visit` stops it, `Io`.
pub fn differences(
    before: &dyn Disk,
    after: &dyn Disk,
    within: Option<&[ByteRange]>,
    progress: OnProgress<'_>,
    visit: &mut dyn FnMut(ByteRange) -> ControlFlow<()>,
) -> Result<(), ImageError> {
    let size = before.size().max(after.size());
    let all = ByteRange::new(ByteOffset(0), size);
    let whole: Vec<ByteRange> = all.into_iter().collect();
    let mut comparison = Comparison {
        before,
        after,
        size: size.get(),
        open: None,
        visit,
    };
    let mut done = 0;
    for range in within.unwrap_or(&whole) {
        // Whole units, each looked at once.
        let start = (range.start().get() / DIFF_UNIT * DIFF_UNIT).max(done);
        let end = range
            .end()
            .get()
            .next_multiple_of(DIFF_UNIT)
            .min(size.get());
        let mut at = start;
        while at < end {
            let told = Progress {
                done: ByteCount(at),
                total: size,
            };
            if progress(told).is_break() {
                return Err(ImageError::Cancelled);
            }
            at = comparison.step(at, end)?;
        }
        done = done.max(end);
    }
    comparison.end()
}

struct Comparison<'a> {
    before: &'a dyn Disk,
    after: &'a dyn Disk,
    size: u64,
    /// A range that differs and may go on.
    open: Option<(u64, u64)>,
    visit: &'a mut dyn FnMut(ByteRange) -> ControlFlow<()>,
}

impl Comparison<'_> {
    /// Compares from `at` on, `end` at most; how far it came.
    fn step(&mut self, at: u64, end: u64) -> Result<u64, ImageError> {
        let (was_zero, was_length) = zero_run(self.before, at, end)?;
        let (is_zero, is_length) = zero_run(self.after, at, end)?;
        let alike = was_length.min(is_length) / DIFF_UNIT * DIFF_UNIT;
        if was_zero && is_zero && alike > 0 {
            return Ok(at + alike);
        }
        let length = (end - at).min(PIECE);
        let was = read(self.before, at, length)?;
        let is = read(self.after, at, length)?;
        let unit = to_index(DIFF_UNIT).unwrap_or(1);
        let mut offset = at;
        for (was, is) in was.chunks(unit).zip(is.chunks(unit)) {
            let next = offset + buffer_len(was);
            if was != is {
                self.differ(offset, next)?;
            }
            offset = next;
        }
        Ok(at + length)
    }

    fn differ(&mut self, start: u64, end: u64) -> Result<(), ImageError> {
        match self.open {
            Some((first, last)) if last == start => self.open = Some((first, end)),
            _ => {
                self.end()?;
                self.open = Some((start, end));
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ImageError> {
        let Some((start, end)) = self.open.take() else {
            return Ok(());
        };
        let end = end.min(self.size);
        match ByteRange::between(ByteOffset(start), ByteOffset(end)).map(|it| (self.visit)(it)) {
            Some(ControlFlow::Break(())) => Err(ImageError::Cancelled),
            _ => Ok(()),
        }
    }
}

/// Whether a disk reads zero at `at`, and up to where that is known; behind its end it does.
fn zero_run(disk: &dyn Disk, at: u64, end: u64) -> Result<(bool, u64), ImageError> {
    let size = disk.size().get();
    if at >= size {
        return Ok((true, end - at));
    }
    let Some(range) = ByteRange::between(ByteOffset(at), ByteOffset(end.min(size))) else {
        return Ok((false, end - at));
    };
    let status = disk.block_status(range)?;
    let length = status.range.len().get().max(1);
    let to_its_end = at.saturating_add(length) >= size;
    // A last part of a unit counts as a whole one: what follows is zeros.
    let length = if to_its_end { end - at } else { length };
    Ok((status.kind.reads_zero(), length))
}

fn read(disk: &dyn Disk, at: u64, length: u64) -> Result<Vec<u8>, ImageError> {
    let mut bytes = vec![0; to_index(length).unwrap_or(0)];
    let there = disk.size().get().saturating_sub(at).min(length);
    let there = to_index(there).unwrap_or(0);
    if there > 0 {
        disk.read_at(&mut bytes[..there], ByteOffset(at))?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use blockio::SparseMemoryStorage;

    use super::*;
    use crate::image::{CreateOptions, ImageDisk, create};

    fn disk(size: u64, written: &[(u64, usize)]) -> Box<dyn ImageDisk> {
        let storage = Arc::new(SparseMemoryStorage::default());
        let options = CreateOptions::new(ByteCount(size));
        let disk = create(Box::new(storage), ImageFormat::Vhdx, &options).unwrap();
        for (at, length) in written {
            disk.write_at(&vec![7; *length], ByteOffset(*at)).unwrap();
        }
        disk
    }

    fn found(
        before: &dyn Disk,
        after: &dyn Disk,
        within: Option<&[(u64, u64)]>,
    ) -> Vec<(u64, u64)> {
        let range = |(start, end): &(u64, u64)| {
            ByteRange::between(ByteOffset(*start), ByteOffset(*end)).unwrap()
        };
        let within: Option<Vec<ByteRange>> = within.map(|all| all.iter().map(range).collect());
        let mut found = Vec::new();
        let go_on = |_| ControlFlow::Continue(());
        let visit = &mut |range: ByteRange| {
            found.push((range.start().get(), range.end().get()));
            ControlFlow::Continue(())
        };
        differences(before, after, within.as_deref(), &go_on, visit).unwrap();
        found
    }

    #[test]
    fn what_differs_is_joined_and_what_is_alike_left_out() {
        let before = disk(8 << 20, &[(0, 100), (2 << 20, 10_000), (5 << 20, 1)]);
        let after = disk(
            8 << 20,
            &[(0, 100), (2 << 20, 4096), ((1 << 20) - 1, 2), (5 << 20, 1)],
        );
        let mib = 1 << 20;
        let expected = [(mib - 4096, mib + 4096), (2 * mib + 4096, 2 * mib + 12288)];
        assert_eq!(found(&*before, &*after, None), expected);
        assert_eq!(
            found(&*before, &*after, Some(&[(mib, mib + 1)])),
            [(mib, mib + 4096)]
        );
        assert_eq!(found(&*before, &*before, None), []);
        // Ranges that share a unit look at it once.
        let shared = [(mib - 10, mib + 1), (mib + 100, mib + 200)];
        assert_eq!(found(&*before, &*after, Some(&shared)), [expected[0]]);
    }

    #[test]
    fn what_one_disk_has_behind_the_end_of_the_other_is_held_against_zeros() {
        let small = disk((4 << 20) + 512, &[(0, 10)]);
        let large = disk(6 << 20, &[(0, 10), (5 << 20, 4096)]);
        assert_eq!(found(&*small, &*large, None), [(5 << 20, (5 << 20) + 4096)]);
        assert_eq!(found(&*large, &*small, None), [(5 << 20, (5 << 20) + 4096)]);
        let full = disk((4 << 20) + 512, &[(0, 10), (4 << 20, 512)]);
        assert_eq!(found(&*full, &*small, None), [(4 << 20, (4 << 20) + 512)]);
    }
}

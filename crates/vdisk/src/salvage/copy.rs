//! Copying a disk of which parts cannot be read.

use std::ops::ControlFlow;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, IoErrorKind, MIB, Operation};

use super::Salvage;
use crate::bounds::{buffer_len, checked_range, to_index};
use crate::convert::{Progress, is_zero};
use crate::error::ImageError;

/// Bytes that are read at once where all is well.
const CHUNK: u64 = MIB;
/// Smallest piece that is tried by itself where the host fails: a sector of a disk.
const SECTOR: u64 = 512;
/// Smallest piece that is tried where the image is at fault: no format loses less at once.
const PIECE: u64 = 64 * 1024;
/// Most ranges that are listed one by one.
const MAX_LISTED: usize = 100_000;

/// A range of the disk that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRange {
    /// The bytes; they read as zeros in the copy.
    pub range: ByteRange,
    /// Why they could not be read.
    pub reason: &'static str,
}

/// What was saved, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Bytes of the disk.
    pub total: ByteCount,
    /// Bytes that were read and written; the rest is zero or lost.
    pub copied: ByteCount,
    /// What could not be read, in the order of the disk.
    pub lost: Vec<LostRange>,
    /// Bytes that could not be read, also those that are not listed.
    pub lost_bytes: ByteCount,
    /// What was read, but is claimed by another part of the image as well.
    pub doubtful: Vec<ByteRange>,
}

impl SalvageReport {
    /// Whether every byte of the disk was read and none is in doubt.
    pub fn is_whole(&self) -> bool {
        self.lost_bytes.get() == 0 && self.doubtful.is_empty()
    }

    fn lose(&mut self, range: ByteRange, reason: &'static str) {
        self.lost_bytes = ByteCount(self.lost_bytes.get().saturating_add(range.len().get()));
        let is_full = self.lost.len() >= MAX_LISTED;
        match self.lost.last_mut() {
            Some(last) if last.range.end() == range.start() && last.reason == reason => {
                let joined = ByteRange::between(last.range.start(), range.end());
                last.range = joined.unwrap_or(last.range);
            }
            _ if is_full => {}
            _ => self.lost.push(LostRange { range, reason }),
        }
    }
}

impl Salvage {
    /// Copies all that can be read to `target`, which reads zero everywhere and is at least as large
    /// as the disk; `progress` may stop it.
    ///
    /// # Errors
    /// `TooLarge`, `Cancelled`, and what writing fails with; a failure to read is none.
    pub fn copy_to(
        &self,
        target: &dyn Disk,
        progress: &dyn Fn(Progress) -> ControlFlow<()>,
    ) -> Result<SalvageReport, ImageError> {
        let total = self.disk().size();
        if total > target.size() {
            return Err(ImageError::TooLarge {
                size: total,
                limit: target.size(),
            });
        }
        let mut lost = self.lost.clone();
        lost.sort_by_key(|range| range.start());
        let mut copy = Copy {
            salvage: self,
            target,
            lost,
            buffer: vec![0; to_index(CHUNK).unwrap_or(0)],
            report: SalvageReport {
                total,
                lost_bytes: ByteCount(self.unlisted),
                doubtful: self.doubtful.clone(),
                ..SalvageReport::default()
            },
        };
        let mut at = 0;
        while at < total.get() {
            let done = ByteCount(at);
            if progress(Progress { done, total }).is_break() {
                return Err(ImageError::Cancelled);
            }
            at = copy.step(at, total)?;
        }
        let report = copy.report;
        // The copy counts once it is durable.
        target.flush()?;
        Ok(report)
    }
}

struct Copy<'a> {
    salvage: &'a Salvage,
    target: &'a dyn Disk,
    /// Ranges known to be lost, by their start.
    lost: Vec<ByteRange>,
    buffer: Vec<u8>,
    report: SalvageReport,
}

impl Copy<'_> {
    /// Deals with what begins at `at`; where it ends.
    fn step(&mut self, at: u64, total: ByteCount) -> Result<u64, ImageError> {
        let rest = checked_range(Operation::Status, ByteOffset(at), total.get() - at, total)?;
        // The lost ranges behind `at`, of which the first decides.
        let next = self
            .lost
            .partition_point(|range| range.end() <= rest.start());
        let known = self.lost.get(next).and_then(|range| range.intersect(rest));
        let mut end = total.get();
        if let Some(known) = known {
            if known.start() == rest.start() {
                self.report.lose(known, "the image gives it no place");
                return Ok(known.end().get());
            }
            end = known.start().get();
        }
        if let Ok((is_missing, length)) = self.salvage.missing_at(at) {
            end = end.min(at.saturating_add(length.max(1)));
            if is_missing {
                let range = checked_range(Operation::Status, rest.start(), end - at, total)?;
                self.report.lose(range, "its parent is not there");
                return Ok(end);
            }
        }
        let free = checked_range(Operation::Status, rest.start(), end - at, total)?;
        let disk = self.salvage.disk();
        if let Ok(status) = disk.block_status(free) {
            let run_end = status.range.end().get();
            if status.kind.reads_zero() && run_end > at {
                return Ok(run_end);
            }
            end = end.min(run_end.max(at + 1));
        }
        end = end.min((at / CHUNK + 1) * CHUNK);
        let chunk = checked_range(Operation::Read, rest.start(), end - at, total)?;
        self.read(chunk)?;
        Ok(end)
    }

    /// Copies a piece; one that cannot be read is halved until its parts can, or are too small.
    fn read(&mut self, first: ByteRange) -> Result<(), ImageError> {
        let mut open = vec![first];
        while let Some(piece) = open.pop() {
            let length = piece.len().get();
            let buffer = &mut self.buffer[..to_index(length).unwrap_or(0)];
            let error = match self.salvage.disk().read_at(buffer, piece.start()) {
                Ok(()) => {
                    if !is_zero(buffer) {
                        self.target.write_at(buffer, piece.start())?;
                        let copied = self.report.copied.get() + buffer_len(buffer);
                        self.report.copied = ByteCount(copied);
                    }
                    continue;
                }
                Err(error) => error,
            };
            let of_host = error.kind() == IoErrorKind::Host;
            let smallest = if of_host { SECTOR } else { PIECE };
            // Halves at multiples of a sector; the piece that was last read ends on one.
            let half = (length / 2).next_multiple_of(SECTOR);
            let halves = (
                ByteRange::new(piece.start(), ByteCount(half)),
                piece.start().checked_add(ByteCount(half)),
            );
            match halves {
                (Some(front), Some(middle)) if length > smallest && half < length => {
                    open.extend(ByteRange::between(middle, piece.end()));
                    open.push(front);
                }
                _ => self.report.lose(piece, reason(error.kind())),
            }
        }
        Ok(())
    }
}

fn reason(kind: IoErrorKind) -> &'static str {
    match kind {
        IoErrorKind::Host => "the host cannot read it",
        IoErrorKind::OutOfRange => "the file ends before it",
        IoErrorKind::Damaged => "the tables that lead to it are damaged",
        _ => "it cannot be read",
    }
}

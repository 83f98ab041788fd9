//! A change in the making: what is written is kept in memory, in pieces of one sector, and seen by
//! every later read; the disk below stays as it is.
//!
//! File data is the exception: it goes to the disk at once, but only to clusters that were free
//! before the change began, so that a change that never happens leaves nothing that anybody sees. What it
//! took of the host's space is then given back.

use std::collections::BTreeMap;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk};

use super::ChangeError;
use super::journal::{ChangeSet, Piece};

/// Bytes of structures that one change may write.
const MAX_BYTES: u64 = 512 << 20;

/// A partition with changes that are not on the disk yet.
pub(crate) struct Overlay<'d> {
    disk: &'d dyn Disk,
    range: ByteRange,
    /// Bytes of a piece: a sector, which is written whole or not at all.
    piece: u64,
    /// By number of the piece within the partition.
    pieces: BTreeMap<u64, Box<[u8]>>,
    ahead: Ahead<'d>,
}

/// File data on the disk ahead of the change that it belongs to. Dropped before the change is whole, it
/// is given back: a host that ran out of space for it would else stay without.
struct Ahead<'d> {
    disk: &'d dyn Disk,
    ranges: Vec<ByteRange>,
}

impl Ahead<'_> {
    fn note(&mut self, start: ByteOffset, length: usize) {
        let length = ByteCount(wide(length));
        if let Some(last) = self.ranges.last_mut()
            && last.end() == start
            && let Some(longer) = last
                .len()
                .get()
                .checked_add(length.get())
                .and_then(|length| ByteRange::new(last.start(), ByteCount(length)))
        {
            *last = longer;
        } else {
            self.ranges.extend(ByteRange::new(start, length));
        }
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        for range in self.ranges.drain(..) {
            // It is free space either way; the error that ended the change is the one to tell.
            let _ = self.disk.discard(range);
        }
    }
}

impl<'d> Overlay<'d> {
    /// The partition `range` of `disk`, unchanged.
    pub(crate) fn new(disk: &'d dyn Disk, range: ByteRange) -> Self {
        Self {
            disk,
            range,
            piece: disk.logical_sector_size().bytes(),
            pieces: BTreeMap::new(),
            ahead: Ahead {
                disk,
                ranges: Vec::new(),
            },
        }
    }

    /// Bytes of the partition.
    pub(crate) fn size(&self) -> u64 {
        self.range.len().get()
    }

    /// Bytes of a logical sector.
    pub(crate) fn sector(&self) -> u64 {
        self.piece
    }

    fn below(&self, offset: u64, length: usize) -> Result<ByteOffset, ChangeError> {
        let length = wide(length);
        offset
            .checked_add(length)
            .filter(|end| *end <= self.size())
            .and_then(|_| self.range.start().checked_add(ByteCount(offset)))
            .ok_or_else(|| ChangeError::damaged("the file system", offset, "it leads past its end"))
    }

    /// Reads through the changes.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), ChangeError> {
        let below = self.below(offset, buffer.len())?;
        let end = offset + wide(buffer.len());
        if buffer.is_empty() {
            return Ok(());
        }
        let (first, last) = (offset / self.piece, (end - 1) / self.piece);
        let covered = self.pieces.range(first..=last).count();
        if wide(covered) < last - first + 1 {
            self.disk.read_at(buffer, below)?;
        }
        for (number, bytes) in self.pieces.range(first..=last) {
            let start = number * self.piece;
            let (from, to) = (start.max(offset), (start + self.piece).min(end));
            buffer[narrow(from - offset)..narrow(to - offset)]
                .copy_from_slice(&bytes[narrow(from - start)..narrow(to - start)]);
        }
        Ok(())
    }

    /// Reads into a new buffer; the caller has bounded the length.
    pub(crate) fn read_vec(&self, offset: u64, length: usize) -> Result<Vec<u8>, ChangeError> {
        let mut buffer = vec![0; length];
        self.read(&mut buffer, offset)?;
        Ok(buffer)
    }

    /// Reads what is on the disk, not what it becomes; the caller has bounded the length.
    pub(crate) fn read_unchanged(
        &self,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, ChangeError> {
        let mut buffer = vec![0; length];
        let below = self.below(offset, length)?;
        self.disk.read_at(&mut buffer, below)?;
        Ok(buffer)
    }

    /// Changes a structure.
    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) -> Result<(), ChangeError> {
        self.below(offset, bytes.len())?;
        let end = offset + wide(bytes.len());
        let mut at = offset;
        while at < end {
            let number = at / self.piece;
            let start = number * self.piece;
            let to = (start + self.piece).min(end);
            if !self.pieces.contains_key(&number) {
                if wide(self.pieces.len()) * self.piece >= MAX_BYTES {
                    return Err(ChangeError::TooMuch {
                        limit: ByteCount(MAX_BYTES),
                    });
                }
                let mut piece = vec![0; narrow(self.piece)];
                // A piece that is written whole need not be read.
                if at != start || to != start + self.piece {
                    let below = self.below(start, piece.len())?;
                    self.disk.read_at(&mut piece, below)?;
                }
                self.pieces.insert(number, piece.into_boxed_slice());
            }
            if let Some(piece) = self.pieces.get_mut(&number) {
                piece[narrow(at - start)..narrow(to - start)]
                    .copy_from_slice(&bytes[narrow(at - offset)..narrow(to - offset)]);
            }
            at = to;
        }
        Ok(())
    }

    /// Writes file data to clusters that were free before the change began.
    pub(crate) fn write_data(&mut self, bytes: &[u8], offset: u64) -> Result<(), ChangeError> {
        let below = self.below(offset, bytes.len())?;
        // Noted first: a write that fails may have taken space too.
        self.ahead.note(below, bytes.len());
        self.disk.write_at(bytes, below)?;
        Ok(())
    }

    /// The change as a whole. `guards` are sectors of the partition as they shall be while the
    /// change is being applied: they say that the volume is not to be trusted.
    pub(crate) fn into_change_set(
        mut self,
        guards: Vec<(u64, Vec<u8>)>,
    ) -> Result<ChangeSet, ChangeError> {
        let start = self.range.start().get();
        let mut during = BTreeMap::new();
        for (offset, bytes) in guards {
            let number = offset / self.piece;
            if !self.pieces.contains_key(&number) {
                let piece = self.read_vec(number * self.piece, narrow(self.piece))?;
                self.pieces.insert(number, piece.into_boxed_slice());
            }
            during.insert(number, bytes.into_boxed_slice());
        }
        let mut pieces = Vec::new();
        let mut before = vec![0; narrow(self.piece)];
        let mut is_changed = false;
        for (number, after) in self.pieces {
            let offset = ByteOffset(start + number * self.piece);
            self.disk.read_at(&mut before, offset)?;
            let during = during.remove(&number);
            let differs = *before != *after;
            is_changed |= differs;
            if differs || during.is_some() {
                pieces.push(Piece::new(offset, &before, after, during));
            }
        }
        if !is_changed {
            pieces.clear();
        }
        self.ahead.ranges.clear();
        Ok(ChangeSet::new(self.disk.size(), self.piece, pieces))
    }
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// A length that is known to be that of a buffer.
fn narrow(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

//! A disk that serves small reads from large ones: records, index blocks and small files lie beside
//! each other, and each read of an image costs a call of the host.

use std::sync::{Mutex, PoisonError};

use std::sync::Arc;

use blockio::{
    BlockStatus, ByteCount, ByteOffset, ByteRange, Disk, IoError, IoErrorKind, Operation, Result,
    SectorSize,
};

/// What is read at once, and at which positions.
const PIECE_BYTES: u64 = 128 * 1024;
/// Pieces that are kept.
const PIECES: usize = 32;
/// Reads from this size on go past the pieces.
const LARGE_BYTES: usize = 64 * 1024;

/// The disk, read only.
pub(crate) struct Ahead {
    disk: Arc<dyn Disk>,
    pieces: Mutex<Pieces>,
}

#[derive(Default)]
struct Pieces {
    kept: Vec<Piece>,
    clock: u64,
}

struct Piece {
    number: u64,
    bytes: Vec<u8>,
    used: u64,
}

impl Ahead {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            pieces: Mutex::new(Pieces::default()),
        }
    }

    /// Copies from a piece, up to its end; returns the bytes copied.
    fn copy_piece(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let number = offset / PIECE_BYTES;
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.clock += 1;
        let clock = pieces.clock;
        let found = pieces.kept.iter().position(|piece| piece.number == number);
        let index = match found {
            Some(index) => index,
            None => pieces.read(&*self.disk, number)?,
        };
        let Some(piece) = pieces.kept.get_mut(index) else {
            return Ok(0);
        };
        piece.used = clock;
        let start = usize::try_from(offset % PIECE_BYTES).unwrap_or(usize::MAX);
        let from = piece.bytes.get(start..).unwrap_or_default();
        let count = from.len().min(buf.len());
        buf[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }
}

impl Pieces {
    /// Reads a piece in the place of the one not used for longest; returns where it is kept.
    fn read(&mut self, disk: &dyn Disk, number: u64) -> Result<usize> {
        let start = number.saturating_mul(PIECE_BYTES);
        let size = disk.size().get().saturating_sub(start).min(PIECE_BYTES);
        let index = if self.kept.len() < PIECES {
            self.kept.push(Piece {
                number: u64::MAX,
                bytes: Vec::new(),
                used: 0,
            });
            self.kept.len() - 1
        } else {
            let oldest = self
                .kept
                .iter()
                .enumerate()
                .min_by_key(|(_, piece)| piece.used);
            oldest.map_or(0, |(index, _)| index)
        };
        if let Some(piece) = self.kept.get_mut(index) {
            // A failed read must leave no piece behind that says it is whole.
            piece.number = u64::MAX;
            piece.bytes.resize(usize::try_from(size).unwrap_or(0), 0);
            disk.read_at(&mut piece.bytes, ByteOffset(start))?;
            piece.number = number;
        }
        Ok(index)
    }
}

impl Disk for Ahead {
    fn size(&self) -> ByteCount {
        self.disk.size()
    }

    fn logical_sector_size(&self) -> SectorSize {
        self.disk.logical_sector_size()
    }

    fn physical_sector_size(&self) -> SectorSize {
        self.disk.physical_sector_size()
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        if buf.len() >= LARGE_BYTES {
            return self.disk.read_at(buf, offset);
        }
        let mut done = 0;
        while done < buf.len() {
            let at = u64::try_from(done)
                .ok()
                .and_then(|done| offset.get().checked_add(done))
                .filter(|at| *at < self.size().get());
            let Some(at) = at else {
                // The disk below says what is wrong with such a read.
                return self.disk.read_at(buf, offset);
            };
            let count = self.copy_piece(&mut buf[done..], at)?;
            if count == 0 {
                return self.disk.read_at(buf, offset);
            }
            done += count;
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        let len = ByteCount(u64::try_from(buf.len()).unwrap_or(u64::MAX));
        Err(read_only(Operation::Write, offset, len))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn discard(&self, range: ByteRange) -> Result<()> {
        Err(read_only(Operation::Discard, range.start(), range.len()))
    }

    fn write_zeroes(&self, range: ByteRange) -> Result<()> {
        Err(read_only(Operation::Zero, range.start(), range.len()))
    }

    fn block_status(&self, range: ByteRange) -> Result<BlockStatus> {
        self.disk.block_status(range)
    }
}

fn read_only(operation: Operation, offset: ByteOffset, len: ByteCount) -> IoError {
    IoError::new(IoErrorKind::ReadOnly, operation, offset, len)
}

//! What each request does to the disk, and what is replied.
//!
//! A flush that is answered covers every change that was answered before it was asked for: the disk
//! promises that of its own flush, and a change is answered only after the disk has taken it.

use std::sync::{Mutex, PoisonError};

use blockio::{BlockKind, ByteCount, ByteOffset, ByteRange, Disk, IoError, IoErrorKind};
use zerocopy::IntoBytes;

use crate::export::Export;
use crate::format::{StatusDescriptor, command, command_flag, error_number, state};
use crate::handshake::{Agreement, BASE_ALLOCATION_ID, MAX_REQUEST_LENGTH};
use crate::incoming::Request;
use crate::reply::{Position, Replies};

/// From this length on a read looks for holes first, in bytes.
const LOOKS_FOR_HOLES: u32 = 64 * 1024;
/// Shorter holes are sent as zeros, in bytes.
const SHORTEST_HOLE: u64 = 4096;
/// Runs of block status in one reply; the protocol lets a server say less than was asked.
const MAX_RUNS: usize = 4096;
/// Zeros that are written at a time where no hole may come of it.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A refusal: the number of the protocol, and why.
struct Failure {
    number: u32,
    message: String,
}

type Outcome = Result<(), Failure>;

impl Failure {
    fn new(number: u32, message: impl Into<String>) -> Self {
        Self {
            number,
            message: message.into(),
        }
    }
}

impl From<IoError> for Failure {
    fn from(error: IoError) -> Self {
        let number = match error.kind() {
            IoErrorKind::NoSpace => error_number::ENOSPC,
            IoErrorKind::ReadOnly => error_number::EPERM,
            IoErrorKind::OutOfRange | IoErrorKind::Unsupported => error_number::EINVAL,
            _ => error_number::EIO,
        };
        tracing::warn!(%error, "a request failed");
        Self::new(number, error.to_string())
    }
}

/// Requests of one client to one export.
pub(crate) struct Answerer<'d> {
    disk: &'d dyn Disk,
    agreement: Agreement,
    /// Where there were no holes when the disk was last asked. It may be out of date: zeros are then
    /// sent as data, which is as right.
    dense: Mutex<Option<ByteRange>>,
}

impl<'d> Answerer<'d> {
    pub(crate) fn new(export: &Export<'d>, agreement: Agreement) -> Self {
        Self {
            disk: export.disk(),
            agreement,
            dense: Mutex::new(None),
        }
    }

    /// Carries a request out and adds its reply.
    pub(crate) fn answer(&self, request: &Request, payload: &[u8], replies: &mut Replies) {
        let start = replies.mark();
        let Err(failure) = self.carry_out(request, payload, replies) else {
            return;
        };
        // Whatever a half-done read has laid out is taken back: nothing of it was sent.
        replies.rewind(start);
        if self.agreement.structured_replies {
            replies.error_chunk(request.cookie, failure.number, &failure.message);
        } else {
            replies.simple(request.cookie, failure.number);
        }
    }

    fn carry_out(&self, request: &Request, payload: &[u8], replies: &mut Replies) -> Outcome {
        check_flags(request)?;
        let range = self.range_of(request)?;
        match request.command {
            command::READ => return self.read(request, range, replies),
            command::BLOCK_STATUS => return self.block_status(request, range, replies),
            command::FLUSH => self.disk.flush()?,
            command::WRITE => {
                self.check_writable()?;
                self.disk.write_at(payload, range.start())?;
            }
            command::TRIM => {
                self.check_writable()?;
                self.disk.discard(range)?;
            }
            command::WRITE_ZEROES => {
                self.check_writable()?;
                self.write_zeroes(range, request.flags & command_flag::NO_HOLE != 0)?;
            }
            _ => return Err(Failure::new(error_number::EINVAL, "no such command")),
        }
        if request.flags & command_flag::FUA != 0 && request.command != command::FLUSH {
            self.disk.flush()?;
        }
        replies.simple(request.cookie, 0);
        Ok(())
    }

    /// The range of a request, which must lie on the disk.
    fn range_of(&self, request: &Request) -> Result<ByteRange, Failure> {
        let (start, length) = (
            ByteOffset(request.offset),
            ByteCount(u64::from(request.length)),
        );
        ByteRange::new(start, length)
            .filter(|range| range.end().get() <= self.disk.size().get())
            .ok_or_else(|| {
                let number = match request.command {
                    command::WRITE | command::WRITE_ZEROES => error_number::ENOSPC,
                    _ => error_number::EINVAL,
                };
                Failure::new(number, "past the end of the disk")
            })
    }

    fn check_writable(&self) -> Outcome {
        if self.disk.is_read_only() {
            return Err(Failure::new(error_number::EPERM, "the disk is read-only"));
        }
        Ok(())
    }

    fn write_zeroes(&self, range: ByteRange, occupied: bool) -> Outcome {
        if !occupied {
            return Ok(self.disk.write_zeroes(range)?);
        }
        let mut at = range.start().get();
        while at < range.end().get() {
            let rest = usize::try_from(range.end().get() - at).unwrap_or(usize::MAX);
            let length = rest.min(ZEROS.len());
            self.disk.write_at(&ZEROS[..length], ByteOffset(at))?;
            at += u64::try_from(length).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    fn read(&self, request: &Request, range: ByteRange, replies: &mut Replies) -> Outcome {
        if request.length > MAX_REQUEST_LENGTH {
            let message = format!("at most {MAX_REQUEST_LENGTH} bytes are read at a time");
            return Err(Failure::new(error_number::EOVERFLOW, message));
        }
        if !self.agreement.structured_replies {
            replies.simple(request.cookie, 0);
            return self.read_into(range, replies);
        }
        let whole = request.flags & command_flag::DF != 0;
        if range.is_empty() {
            replies.nothing_chunk(request.cookie);
            return Ok(());
        }
        if whole || request.length < LOOKS_FOR_HOLES || self.is_dense(range) {
            let start = range.start().get();
            replies.data_chunk(request.cookie, Position::Last, start, request.length);
            return self.read_into(range, replies);
        }
        let pieces = self.pieces(range)?;
        for (index, (piece, is_hole)) in pieces.iter().enumerate() {
            let position = if index + 1 == pieces.len() {
                Position::Last
            } else {
                Position::Inner
            };
            let (start, length) = (piece.start().get(), short_length(*piece)?);
            if *is_hole {
                replies.hole_chunk(request.cookie, position, start, length);
            } else {
                replies.data_chunk(request.cookie, position, start, length);
                self.read_into(*piece, replies)?;
            }
        }
        Ok(())
    }

    fn read_into(&self, range: ByteRange, replies: &mut Replies) -> Outcome {
        let length = usize::try_from(range.len().get()).unwrap_or(usize::MAX);
        Ok(self.disk.read_at(replies.room(length), range.start())?)
    }

    /// Whether a range is known to hold no holes. The disk is asked about what lies behind the range
    /// too: asking may cost a host as much for a little as for a lot.
    fn is_dense(&self, range: ByteRange) -> bool {
        let mut dense = self.dense.lock().unwrap_or_else(PoisonError::into_inner);
        if dense.is_some_and(|dense| dense.intersect(range) == Some(range)) {
            return true;
        }
        let ahead = ByteRange::between(range.start(), ByteOffset(self.disk.size().get()));
        let found = ahead.and_then(|ahead| self.disk.block_status(ahead).ok());
        // A failure is met again, and told, when the range is cut into pieces.
        let found = found.filter(|found| !found.kind.reads_zero());
        *dense = found.map(|found| found.range);
        dense.is_some_and(|dense| dense.intersect(range) == Some(range))
    }

    /// The range cut into what has to be sent and what reads as zeros, in turn.
    fn pieces(&self, range: ByteRange) -> Result<Vec<(ByteRange, bool)>, Failure> {
        let mut pieces: Vec<(ByteRange, bool)> = Vec::new();
        let mut rest = range;
        while !rest.is_empty() {
            let found = self.disk.block_status(rest)?;
            let end = found.range.end();
            let is_hole = found.kind.reads_zero() && found.range.len().get() >= SHORTEST_HOLE;
            match pieces.last_mut() {
                Some((last, was_hole)) if *was_hole == is_hole => {
                    *last = between(last.start(), end)?;
                }
                _ => pieces.push((between(rest.start(), end)?, is_hole)),
            }
            rest = advanced(rest, end)?;
        }
        Ok(pieces)
    }

    fn block_status(&self, request: &Request, range: ByteRange, replies: &mut Replies) -> Outcome {
        if !self.agreement.base_allocation {
            let message = "base:allocation was not agreed on";
            return Err(Failure::new(error_number::EINVAL, message));
        }
        if range.is_empty() {
            return Err(Failure::new(error_number::EINVAL, "of no bytes"));
        }
        let one = request.flags & command_flag::REQ_ONE != 0;
        let runs = self.runs(range, if one { 1 } else { MAX_RUNS })?;
        let length = 4 + runs.len() * size_of::<StatusDescriptor>();
        replies.status_chunk(request.cookie, u32::try_from(length).unwrap_or(u32::MAX));
        replies.push(&BASE_ALLOCATION_ID.to_be_bytes());
        for (run, kind) in runs {
            let state = match kind {
                BlockKind::Data => 0,
                BlockKind::Zero => state::ZERO,
                BlockKind::Hole => state::ZERO | state::HOLE,
            };
            let descriptor = StatusDescriptor {
                length: short_length(run)?.into(),
                state: state.into(),
            };
            replies.push(descriptor.as_bytes());
        }
        Ok(())
    }

    /// Runs from the start of a range, neighbours of one kind joined, at most `limit`.
    fn runs(&self, range: ByteRange, limit: usize) -> Result<Vec<(ByteRange, BlockKind)>, Failure> {
        let mut runs: Vec<(ByteRange, BlockKind)> = Vec::new();
        let mut rest = range;
        while !rest.is_empty() {
            let found = self.disk.block_status(rest)?;
            let end = found.range.end();
            let is_full = runs.len() == limit;
            match runs.last_mut() {
                Some((last, kind)) if *kind == found.kind => *last = between(last.start(), end)?,
                _ if is_full => break,
                _ => runs.push((between(rest.start(), end)?, found.kind)),
            }
            rest = advanced(rest, end)?;
        }
        Ok(runs)
    }
}

/// A range from one offset to another.
fn between(start: ByteOffset, end: ByteOffset) -> Result<ByteRange, Failure> {
    ByteRange::between(start, end)
        .ok_or_else(|| Failure::new(error_number::EIO, "the disk told a status of another place"))
}

/// What is left of `rest` from `end` on, which must be less.
fn advanced(rest: ByteRange, end: ByteOffset) -> Result<ByteRange, Failure> {
    if end <= rest.start() {
        return Err(Failure::new(error_number::EIO, "the disk told no status"));
    }
    between(end, rest.end())
}

/// The length of a part of a request, which has 32 bits.
fn short_length(range: ByteRange) -> Result<u32, Failure> {
    u32::try_from(range.len().get())
        .map_err(|_| Failure::new(error_number::EIO, "the disk told a status of another place"))
}

/// Refuses flags that mean nothing for a command. [NBD] Command flags.
fn check_flags(request: &Request) -> Outcome {
    let own = match request.command {
        command::READ => command_flag::DF,
        command::WRITE_ZEROES => command_flag::NO_HOLE,
        command::BLOCK_STATUS => command_flag::REQ_ONE,
        _ => 0,
    };
    if request.flags & !(own | command_flag::FUA) != 0 {
        let message = format!("flags {:#x} are not known", request.flags);
        return Err(Failure::new(error_number::EINVAL, message));
    }
    Ok(())
}

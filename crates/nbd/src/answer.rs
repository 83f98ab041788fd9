//! What each request does to the disk, and what is replied.
//!
//! A flush that is answered covers every change that was answered before it was asked for: the disk
//! promises that of its own flush, and a change is answered only after the disk has taken it.

use blockio::{BlockKind, ByteCount, ByteOffset, ByteRange, Disk, IoError, IoErrorKind};
use zerocopy::IntoBytes;

use crate::export::Export;
use crate::format::{StatusDescriptor, command, command_flag, error_number, state};
use crate::handshake::{Agreement, BASE_ALLOCATION_ID, MAX_REQUEST_LENGTH};
use crate::incoming::Request;
use crate::reply::Replies;

/// Shorter runs of zeros are sent as they are, in bytes.
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
}

impl<'d> Answerer<'d> {
    pub(crate) fn new(export: &Export<'d>, agreement: Agreement) -> Self {
        Self {
            disk: export.disk(),
            agreement,
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
        let mark = replies.mark();
        let start = range.start().get();
        replies.data_chunk(request.cookie, start, request.length);
        self.read_into(range, replies)?;
        // Looked at here and not asked of the disk before: some hosts search a whole file for each
        // such question.
        let is_long = range.len().get() >= SHORTEST_HOLE;
        if is_long && !whole && is_zero(replies.last(request.length)) {
            replies.rewind(mark);
            replies.hole_chunk(request.cookie, start, request.length);
        }
        Ok(())
    }

    fn read_into(&self, range: ByteRange, replies: &mut Replies) -> Outcome {
        let length = usize::try_from(range.len().get()).unwrap_or(usize::MAX);
        Ok(self.disk.read_at(replies.room(length), range.start())?)
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

fn is_zero(bytes: &[u8]) -> bool {
    bytes
        .chunks(ZEROS.len())
        .all(|piece| piece == &ZEROS[..piece.len()])
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

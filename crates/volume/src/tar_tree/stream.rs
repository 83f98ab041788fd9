//! The bytes of a tar stream in order, and where in them the content of a member lies.
//!
//! Invariant: memory is one buffer; what is taken whole has a bound that the caller names.

use std::io::{self, Read};

use super::format::{BLOCK, BLOCK_BYTES};

/// Bytes read at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// The stream, at the head of a member or in its content.
pub(super) struct Stream {
    input: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the content of this member that were not read yet.
    left: u64,
    /// Bytes between that content and the next head.
    padding: u64,
    /// Counts members, so that a reader of an earlier one is told from that of this one.
    member: u64,
}

/// Carries "the stream ended early" to where the path is known.
#[derive(Debug, thiserror::Error)]
#[error("the archive ends early")]
pub(super) struct EndsEarly;

fn ends_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, EndsEarly)
}

impl Stream {
    pub(super) fn new(input: Box<dyn Read + Send>) -> Self {
        Self {
            input,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            left: 0,
            padding: 0,
            member: 0,
        }
    }

    /// The number of the member at hand.
    pub(super) fn member(&self) -> u64 {
        self.member
    }

    /// Bytes of its content that were not read yet.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The next block; `None` where the stream ended before it.
    pub(super) fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut done = 0;
        while done < BLOCK {
            if self.start == self.end && !self.fill()? {
                return if done == 0 {
                    Ok(None)
                } else {
                    Err(ends_early())
                };
            }
            let count = (self.end - self.start).min(BLOCK - done);
            block[done..done + count].copy_from_slice(&self.buffer[self.start..self.start + count]);
            self.start += count;
            done += count;
        }
        Ok(Some(block))
    }

    /// The head just read is followed by `size` bytes of content.
    pub(super) fn begin(&mut self, size: u64) {
        self.member += 1;
        self.left = size;
        self.padding = (BLOCK_BYTES - size % BLOCK_BYTES) % BLOCK_BYTES;
    }

    /// Reads of the content; 0 at its end alone.
    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).map_or(out.len(), |left| left.min(out.len()));
        if room == 0 {
            return Ok(0);
        }
        let count = if self.start < self.end {
            let count = room.min(self.end - self.start);
            out[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
            self.start += count;
            count
        } else if room >= self.buffer.len() {
            // Large pieces need not pass through the buffer.
            read_some(&mut *self.input, &mut out[..room])?
        } else {
            self.fill()?;
            let count = room.min(self.end - self.start);
            out[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
            self.start += count;
            count
        };
        if count == 0 {
            return Err(ends_early());
        }
        self.left = self.left.saturating_sub(to_u64(count));
        Ok(count)
    }

    /// All of the content that is left; `None` where it is more than `limit` bytes.
    pub(super) fn take(&mut self, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(size) = usize::try_from(self.left)
            .ok()
            .filter(|size| *size <= limit)
        else {
            return Ok(None);
        };
        let mut bytes = vec![0; size];
        let mut done = 0;
        while done < size {
            done += self.read(&mut bytes[done..])?;
        }
        Ok(Some(bytes))
    }

    /// Passes over what is left of the content, to the next head.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let mut left = self.left.checked_add(self.padding).ok_or_else(ends_early)?;
        while left > 0 {
            if self.start == self.end && !self.fill()? {
                return Err(ends_early());
            }
            let count = usize::try_from(left).map_or(self.end - self.start, |left| {
                left.min(self.end - self.start)
            });
            self.start += count;
            left -= to_u64(count);
        }
        self.left = 0;
        self.padding = 0;
        Ok(())
    }

    /// Reads up to `limit` bytes of what comes after the archive, so that whoever writes the stream
    /// is not cut off and a compressed one is checked to its end.
    pub(super) fn drain(&mut self, limit: u64) -> io::Result<()> {
        let mut done = 0;
        while done < limit {
            done += to_u64(self.end - self.start);
            self.start = self.end;
            if !self.fill()? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads into the empty buffer; `false` at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        self.start = 0;
        self.end = read_some(&mut *self.input, &mut self.buffer)?;
        Ok(self.end > 0)
    }
}

fn read_some(input: &mut dyn Read, out: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(out) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

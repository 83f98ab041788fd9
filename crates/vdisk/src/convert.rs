//! Copying a disk into another, whatever formats they have: what is known or found to be zero is
//! not written, so that sparse stays sparse both ways.
//!
//! The calling thread asks the source which ranges hold data and hands those out in chunks;
//! workers read, look for zeros and write. Memory is bounded: a buffer a worker and a short queue.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, KIB, MIB, Operation};

use crate::bounds::{buffer_len, checked_range, to_index};
use crate::error::ImageError;

/// Data is read and written in pieces of at most this many bytes, cut at multiples of it.
const CHUNK: u64 = MIB;
/// Threads that copy: while some wait for the source or for the host's lock of the target, others
/// go on.
const WORKERS: usize = 4;
/// Chunks that wait for a worker.
const QUEUE: usize = 8;
/// Zeros are looked for in units of this many bytes.
const ZERO_UNIT: usize = 4096;
/// Shorter runs of zeros are copied like data: splitting a write costs more than it saves.
const MIN_ZERO_RUN: u64 = 32 * KIB;

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the disk dealt with, holes included.
    pub done: ByteCount,
    /// Bytes of the disk.
    pub total: ByteCount,
}

/// What a copy did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvertSummary {
    /// Bytes of the disk.
    pub total: ByteCount,
    /// Bytes that were written to the target; the rest read zero and were not.
    pub written: ByteCount,
}

/// What the workers share.
struct Shared<'a> {
    source: &'a dyn Disk,
    target: &'a dyn Disk,
    done: AtomicU64,
    written: AtomicU64,
    stop: AtomicBool,
    /// Held to write: the host lets one write to a file at a time, and waiting for its lock burns
    /// processor time where waiting for this one sleeps.
    writing: Mutex<()>,
    failure: Mutex<Option<ImageError>>,
}

/// Copies all of `source` to `target` and flushes it; what the target has behind the source's size
/// reads zero afterwards. The target need not be empty, but is fastest when it is.
///
/// `progress` is called in the calling thread, often; [`ControlFlow::Break`] stops the copy.
///
/// # Errors
/// `TooLarge` where the source does not fit, `Cancelled`, or what reading and writing fail with;
/// what the target holds then is unspecified.
pub fn convert(
    source: &dyn Disk,
    target: &dyn Disk,
    progress: &dyn Fn(Progress) -> ControlFlow<()>,
) -> Result<ConvertSummary, ImageError> {
    copy_with(WORKERS, source, target, progress)
}

/// As [`convert`], but writes in the order of the disk: a target then gives out its blocks in that
/// order too, and the same source makes the same image, byte by byte.
///
/// # Errors
/// As for [`convert`].
pub fn convert_in_order(
    source: &dyn Disk,
    target: &dyn Disk,
    progress: &dyn Fn(Progress) -> ControlFlow<()>,
) -> Result<ConvertSummary, ImageError> {
    copy_with(1, source, target, progress)
}

fn copy_with(
    workers: usize,
    source: &dyn Disk,
    target: &dyn Disk,
    progress: &dyn Fn(Progress) -> ControlFlow<()>,
) -> Result<ConvertSummary, ImageError> {
    let total = source.size();
    if total > target.size() {
        return Err(ImageError::TooLarge {
            size: total,
            limit: target.size(),
        });
    }
    let shared = Shared {
        source,
        target,
        done: AtomicU64::new(0),
        written: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        writing: Mutex::new(()),
        failure: Mutex::new(None),
    };
    let (sender, receiver) = sync_channel(QUEUE);
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| shared.work(&receiver));
        }
        let send = |chunk| {
            // Workers take chunks until the sender is gone, also after a failure.
            let _ = sender.send(chunk);
            let done = ByteCount(shared.done.load(Ordering::Relaxed));
            progress(Progress { done, total })
        };
        if let Err(error) = shared.hand_out(total, &send) {
            shared.fail(error);
        }
        drop(sender);
    });
    let failure = shared
        .failure
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = failure {
        return Err(error);
    }
    // The copy counts once it is durable.
    target.flush()?;
    let _ = progress(Progress { done: total, total });
    Ok(ConvertSummary {
        total,
        written: ByteCount(shared.written.into_inner()),
    })
}

impl Shared<'_> {
    /// Walks the source; holes are dealt with here, data is sent to the workers.
    fn hand_out(
        &self,
        total: ByteCount,
        send: &dyn Fn(ByteRange) -> ControlFlow<()>,
    ) -> Result<(), ImageError> {
        let end = total.get();
        let mut at = 0;
        // Data that was found and not sent yet; it ends at `at`.
        let mut data_start = 0;
        while at < end && !self.stop.load(Ordering::Relaxed) {
            let rest = range(at, end, total)?;
            let status = self.source.block_status(rest)?;
            let run_end = status.range.end().get().clamp(at + 1, end);
            if status.kind.reads_zero() && run_end - at >= MIN_ZERO_RUN {
                self.send_chunks(data_start, at, total, true, send)?;
                zero(self.target, range(at, run_end, total)?)?;
                self.done.fetch_add(run_end - at, Ordering::Relaxed);
                data_start = run_end;
            } else {
                data_start = self.send_chunks(data_start, run_end, total, false, send)?;
            }
            at = run_end;
        }
        self.send_chunks(data_start, at, total, true, send)?;
        let size = self.target.size();
        if end < size.get() {
            zero(self.target, range(end, size.get(), size)?)?;
        }
        Ok(())
    }

    /// Sends `[start, end)` in chunks; the last, unless it is `complete`, waits for what follows.
    /// Returns the start of what waits.
    fn send_chunks(
        &self,
        start: u64,
        end: u64,
        total: ByteCount,
        complete: bool,
        send: &dyn Fn(ByteRange) -> ControlFlow<()>,
    ) -> Result<u64, ImageError> {
        let mut at = start;
        while at < end && !self.stop.load(Ordering::Relaxed) {
            let boundary = (at / CHUNK + 1) * CHUNK;
            if boundary > end && !complete {
                break;
            }
            let chunk_end = boundary.min(end);
            if send(range(at, chunk_end, total)?).is_break() {
                return Err(ImageError::Cancelled);
            }
            at = chunk_end;
        }
        Ok(at)
    }

    fn work(&self, chunks: &Mutex<Receiver<ByteRange>>) {
        let mut buf = vec![0; to_index(CHUNK).unwrap_or(0)];
        loop {
            let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(chunk) = next else {
                return;
            };
            if self.stop.load(Ordering::Relaxed) {
                continue;
            }
            if let Err(error) = self.copy(chunk, &mut buf) {
                self.fail(error);
            }
            self.done.fetch_add(chunk.len().get(), Ordering::Relaxed);
        }
    }

    /// Keeps the first failure and stops the copy.
    fn fail(&self, error: ImageError) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }

    fn copy(&self, chunk: ByteRange, buf: &mut [u8]) -> Result<(), ImageError> {
        let len = to_index(chunk.len().get())
            .unwrap_or(buf.len())
            .min(buf.len());
        let buf = &mut buf[..len];
        self.source.read_at(buf, chunk.start())?;
        let mut at = 0;
        while at < buf.len() {
            let run = Run::at(buf, at);
            let bytes = &buf[at..run.end];
            let offset = ByteOffset(chunk.start().get() + buffer_len(&buf[..at]));
            if run.is_zero {
                let end = offset.get() + buffer_len(bytes);
                zero(self.target, range(offset.get(), end, self.target.size())?)?;
            } else {
                let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
                self.target.write_at(bytes, offset)?;
                self.written.fetch_add(buffer_len(bytes), Ordering::Relaxed);
            }
            at = run.end;
        }
        Ok(())
    }
}

/// A run of a buffer that is worth to be treated as one.
struct Run {
    end: usize,
    is_zero: bool,
}

impl Run {
    /// The run that begins at `start`: zeros of at least [`MIN_ZERO_RUN`] (or to the end of the
    /// buffer, where it began with them), or everything up to such zeros.
    fn at(buf: &[u8], start: usize) -> Self {
        let zeros = zeros_at(buf, start);
        if is_long(buf, start, zeros) {
            return Self {
                end: zeros,
                is_zero: true,
            };
        }
        let mut at = zeros.max(start);
        loop {
            at = (at + ZERO_UNIT).min(buf.len());
            let zeros = zeros_at(buf, at);
            if at == buf.len() || is_long(buf, at, zeros) {
                return Self {
                    end: at,
                    is_zero: false,
                };
            }
            at = zeros;
            if at == buf.len() {
                return Self {
                    end: at,
                    is_zero: false,
                };
            }
        }
    }
}

/// Where the zeros that begin at `start` end, in whole units.
fn zeros_at(buf: &[u8], start: usize) -> usize {
    buf[start..]
        .chunks(ZERO_UNIT)
        .take_while(|unit| is_zero(unit))
        .fold(start, |end, unit| end + unit.len())
}

fn is_long(buf: &[u8], start: usize, end: usize) -> bool {
    let whole = start == 0 && end == buf.len();
    whole || buffer_len(&buf[start..end]) >= MIN_ZERO_RUN
}

fn range(start: u64, end: u64, size: ByteCount) -> Result<ByteRange, ImageError> {
    let len = end.saturating_sub(start);
    Ok(checked_range(
        Operation::Status,
        ByteOffset(start),
        len,
        size,
    )?)
}

/// Makes the range read zero where it does not already; gives its space back.
fn zero(target: &dyn Disk, range: ByteRange) -> Result<(), ImageError> {
    let mut rest = range;
    while !rest.is_empty() {
        let status = target.block_status(rest)?;
        if !status.kind.reads_zero() {
            target.discard(status.range)?;
        }
        let end = status.range.end().max(ByteOffset(rest.start().get() + 1));
        let Some(next) = ByteRange::between(end, rest.end()) else {
            break;
        };
        rest = next;
    }
    Ok(())
}

/// Whether all bytes are zero. Fast on zeros (whole words at a time) and on data (it stops early).
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (pieces, tail) = bytes.as_chunks::<128>();
    let zero_piece = |piece: &[u8; 128]| {
        let (words, _) = piece.as_chunks::<8>();
        words
            .iter()
            .fold(0, |any, word| any | u64::from_ne_bytes(*word))
            == 0
    };
    pieces.iter().all(zero_piece) && tail.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_anywhere_is_not_zero() {
        for len in [1, 7, 127, 128, 129, 4096] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            for at in 0..len {
                bytes[at] = 1;
                assert!(!is_zero(&bytes), "{at} of {len}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn short_runs_of_zeros_stay_with_their_data() {
        let unit = ZERO_UNIT;
        let mut buf = vec![1; 64 * unit];
        buf[2 * unit..5 * unit].fill(0);
        buf[20 * unit..40 * unit].fill(0);
        let mut runs = Vec::new();
        let mut at = 0;
        while at < buf.len() {
            let run = Run::at(&buf, at);
            runs.push((run.end / unit, run.is_zero));
            at = run.end;
        }
        assert_eq!(runs, [(20, false), (40, true), (64, false)]);
        let zeros = vec![0; 1000];
        assert!(
            Run::at(&zeros, 0).is_zero,
            "a chunk of zeros is zero, however short"
        );
    }
}

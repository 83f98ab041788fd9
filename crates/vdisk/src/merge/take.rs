//! Taking in: the pieces that a child copies from layers below it.

use blockio::{ByteCount, ByteOffset, ByteRange, MIB};

use super::{MergeSummary, OnProgress, Taker};
use crate::bounds::{buffer_len, to_index};
use crate::chain::{Chain, Held, Layer};
use crate::convert::{Progress, is_zero};
use crate::error::ImageError;

/// A block that is written whole costs no bitmap; blocks up to this size are.
const MAX_PIECE: u64 = 32 * MIB;
/// After so many bytes what was taken in is made durable, so that a crash costs no more than that.
const FLUSH_EVERY: u64 = 256 * MIB;

/// Who of several layers shows a run of the disk.
pub(super) enum Shown {
    /// The layer of this number, at this byte of its file.
    By(usize, u64),
    /// Nobody: it is zeros.
    Zero,
    /// None of them, but what is below.
    Below,
}

/// Who of `layers`, the youngest first, shows the byte at `at`, and how many of the next `length`
/// bytes are shown alike.
pub(super) fn shown(
    layers: &[Box<dyn Layer>],
    at: u64,
    length: u64,
) -> blockio::Result<(Shown, u64)> {
    let mut length = length;
    for (number, layer) in layers.iter().enumerate() {
        let size = layer.size().get();
        if at >= size {
            // Behind its end, which is behind the end of all below it.
            return Ok((Shown::Zero, length));
        }
        let (held, run) = layer.held_at(at, length.min(size - at))?;
        length = run;
        match held {
            Held::File(place) => return Ok((Shown::By(number, place), length)),
            Held::Zero => return Ok((Shown::Zero, length)),
            Held::Parent => {}
        }
    }
    Ok((Shown::Below, length))
}

/// A child that takes in, and how far it is.
pub(super) struct Taking<'a> {
    pub(super) child: &'a dyn Taker,
    /// What shows through the child where it holds nothing, once it is done.
    pub(super) below: &'a Chain,
    progress: OnProgress<'a>,
    /// Bytes that are dealt with at once.
    piece: u64,
    buffer: Vec<u8>,
    copied: u64,
    unflushed: u64,
}

impl<'a> Taking<'a> {
    pub(super) fn new(child: &'a dyn Taker, below: &'a Chain, progress: OnProgress<'a>) -> Self {
        let block = child.info().block_size.map_or(MIB, ByteCount::get);
        Self {
            child,
            below,
            progress,
            piece: block.min(MAX_PIECE),
            buffer: Vec::new(),
            copied: 0,
            unflushed: 0,
        }
    }

    /// Size of the child's disk.
    pub(super) fn size(&self) -> u64 {
        Layer::size(self.child).get()
    }

    /// Tells how far the work is.
    pub(super) fn report(&self, at: u64) -> Result<(), ImageError> {
        let done = ByteCount(at);
        let total = ByteCount(self.size());
        match (self.progress)(Progress { done, total }).is_break() {
            true => Err(ImageError::Cancelled),
            false => Ok(()),
        }
    }

    /// How many bytes are dealt with at once from `at` on: to the end of a piece.
    pub(super) fn piece(&self, at: u64) -> u64 {
        (self.piece - at % self.piece).min(self.size() - at)
    }

    /// Takes in `length` bytes at `at`, which the child does not hold and `read` gives.
    pub(super) fn take(
        &mut self,
        at: u64,
        length: u64,
        read: impl FnOnce(&mut [u8]) -> blockio::Result<()>,
    ) -> Result<(), ImageError> {
        let count = to_index(length).unwrap_or(0);
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(count.max(buffer.len()), 0);
        let bytes = &mut buffer[..count];
        read(bytes)?;
        if is_zero(bytes) {
            self.take_zeros(at, length)?;
        } else {
            self.child.write_at(bytes, ByteOffset(at))?;
            self.copied = self.copied.saturating_add(buffer_len(bytes));
            self.flush_now_and_then(length)?;
        }
        self.buffer = buffer;
        Ok(())
    }

    /// Takes in zeros, which the child does not hold; nothing where they show anyway.
    pub(super) fn take_zeros(&mut self, at: u64, length: u64) -> Result<(), ImageError> {
        if self.below.reads_zero(at, length)? {
            return Ok(());
        }
        if let Some(range) = ByteRange::new(ByteOffset(at), ByteCount(length)) {
            self.child.write_zeroes(range)?;
        }
        self.flush_now_and_then(length)
    }

    fn flush_now_and_then(&mut self, length: u64) -> Result<(), ImageError> {
        self.unflushed = self.unflushed.saturating_add(length);
        if self.unflushed >= FLUSH_EVERY {
            self.child.flush()?;
            self.unflushed = 0;
        }
        Ok(())
    }

    /// Makes what was taken in durable.
    pub(super) fn finish(&mut self) -> Result<MergeSummary, ImageError> {
        self.child.flush()?;
        Ok(MergeSummary {
            copied: ByteCount(self.copied),
        })
    }
}

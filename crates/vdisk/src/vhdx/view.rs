//! The file as it is after the replay of its log, without changing it.
//!
//! A reader of a dirty image looks through the log: everything above this file sees the bytes and
//! the length that a replay would give. A writer replays for real and has no overlay.

use blockio::{
    ByteCount, ByteOffset, ByteRange, Extent, ExtentKind, IoError, IoErrorKind, Operation, Result,
    Storage, ZeroMode,
};

use super::format::{index, wide};
use super::log::replay::Overlay;

/// A storage seen through the log that waits to be replayed on it, if there is one.
pub(super) struct View<S> {
    storage: S,
    overlay: Option<Overlay>,
}

impl<S: Storage> View<S> {
    pub(super) fn new(storage: S, overlay: Option<Overlay>) -> Self {
        Self { storage, overlay }
    }

    pub(super) fn into_overlay(self) -> Option<Overlay> {
        self.overlay
    }

    fn refuse_writes(&self, operation: Operation, offset: ByteOffset, length: u64) -> Result<()> {
        // Writing under an overlay would be undone by the replay that has yet to come.
        match self.overlay {
            None => Ok(()),
            Some(_) => Err(IoError::new(
                IoErrorKind::ReadOnly,
                operation,
                offset,
                ByteCount(length),
            )),
        }
    }
}

impl<S: Storage> Storage for View<S> {
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        let Some(overlay) = &self.overlay else {
            return self.storage.read_at(buf, offset);
        };
        let length = wide(buf.len());
        let end = offset.get().checked_add(length);
        if end.is_none_or(|end| end > overlay.file_length()) {
            return Err(IoError::new(
                IoErrorKind::OutOfRange,
                Operation::Read,
                offset,
                ByteCount(length),
            ));
        }
        let stored = self.storage.len()?.get().saturating_sub(offset.get());
        let (from_file, beyond) = buf.split_at_mut(buf.len().min(index(stored)));
        if !from_file.is_empty() {
            self.storage.read_at(from_file, offset)?;
        }
        beyond.fill(0);
        overlay.apply_to_buffer(buf, offset.get());
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        self.refuse_writes(Operation::Write, offset, wide(buf.len()))?;
        self.storage.write_at(buf, offset)
    }

    fn sync(&self) -> Result<()> {
        self.storage.sync()
    }

    fn len(&self) -> Result<ByteCount> {
        match &self.overlay {
            None => self.storage.len(),
            Some(overlay) => Ok(ByteCount(overlay.file_length())),
        }
    }

    fn set_len(&self, len: ByteCount) -> Result<()> {
        self.refuse_writes(Operation::Resize, ByteOffset(len.get()), 0)?;
        self.storage.set_len(len)
    }

    fn zero(&self, range: ByteRange, mode: ZeroMode) -> Result<()> {
        self.refuse_writes(Operation::Zero, range.start(), range.len().get())?;
        self.storage.zero(range, mode)
    }

    fn extent_at(&self, range: ByteRange) -> Result<Extent> {
        let Some(overlay) = &self.overlay else {
            return self.storage.extent_at(range);
        };
        if range.is_empty() || range.end().get() > overlay.file_length() {
            return Err(IoError::new(
                IoErrorKind::OutOfRange,
                Operation::Status,
                range.start(),
                range.len(),
            ));
        }
        let kind = |range, kind| Ok(Extent { range, kind });
        if overlay.changes(range) {
            return kind(range, ExtentKind::Data);
        }
        let stored = ByteRange::between(ByteOffset(0), ByteOffset(self.storage.len()?.get()));
        match stored.and_then(|stored| range.intersect(stored)) {
            None => kind(range, ExtentKind::Hole),
            Some(in_file) if in_file.start() == range.start() => self.storage.extent_at(in_file),
            Some(_) => kind(range, ExtentKind::Data),
        }
    }

    fn copy_within(&self, range: ByteRange, to: ByteOffset) -> Result<()> {
        self.refuse_writes(Operation::Write, to, range.len().get())?;
        self.storage.copy_within(range, to)
    }

    fn is_read_only(&self) -> bool {
        self.overlay.is_some() || self.storage.is_read_only()
    }
}

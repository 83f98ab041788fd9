//! A file of which parts cannot be read: zeros stand in for them, until errors are wanted.
//!
//! While the structures of an image are looked for, one bad sector must not hide the second copy of
//! what stood there. Once data is read, zeros would be a lie.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use blockio::{
    ByteCount, ByteOffset, ByteRange, Extent, IoError, IoErrorKind, Operation, Result, Storage,
    ZeroMode,
};

use crate::bounds::buffer_len;

/// Smallest piece that is tried by itself.
const SECTOR: usize = 512;

/// The file; clones share it.
#[derive(Clone)]
pub(super) struct Lenient {
    storage: Arc<dyn Storage>,
    strict: Arc<AtomicBool>,
}

impl Lenient {
    pub(super) fn new(storage: Box<dyn Storage>) -> Self {
        Self {
            storage: Arc::from(storage),
            strict: Arc::new(AtomicBool::new(false)),
        }
    }

    /// From now on a failure to read is one.
    pub(super) fn be_strict(&self) {
        self.strict.store(true, Ordering::Release);
    }

    fn refuse<T>(operation: Operation) -> Result<T> {
        let (offset, length) = (ByteOffset(0), ByteCount(0));
        Err(IoError::new(
            IoErrorKind::ReadOnly,
            operation,
            offset,
            length,
        ))
    }
}

impl Storage for Lenient {
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        match self.storage.read_at(buf, offset) {
            Err(error)
                if error.kind() == IoErrorKind::Host && !self.strict.load(Ordering::Acquire) => {}
            result => return result,
        }
        let mut at = offset.get();
        for piece in buf.chunks_mut(SECTOR) {
            if self.storage.read_at(piece, ByteOffset(at)).is_err() {
                piece.fill(0);
            }
            at = at.saturating_add(buffer_len(piece));
        }
        Ok(())
    }

    fn write_at(&self, _buf: &[u8], _offset: ByteOffset) -> Result<()> {
        Self::refuse(Operation::Write)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> Result<ByteCount> {
        self.storage.len()
    }

    fn set_len(&self, _len: ByteCount) -> Result<()> {
        Self::refuse(Operation::Resize)
    }

    fn zero(&self, _range: ByteRange, _mode: ZeroMode) -> Result<()> {
        Self::refuse(Operation::Zero)
    }

    fn extent_at(&self, range: ByteRange) -> Result<Extent> {
        self.storage.extent_at(range)
    }

    fn is_read_only(&self) -> bool {
        true
    }
}

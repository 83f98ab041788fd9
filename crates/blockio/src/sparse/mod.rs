//! A storage in memory that keeps only the pages that were written, for images of many TiB.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::{Operation, Result};
use crate::range::{buffer_len, check_status, checked, reachable};
use crate::storage::{Extent, Storage, ZeroMode};
use crate::units::{ByteCount, ByteOffset, ByteRange};

mod pages;

pub(crate) use pages::{PAGE, PAGE_BYTES, Page, PageMap};

/// Growable bytes in memory, of which only the written pages of 4 KiB occupy any; the rest is one
/// hole. A clone costs little and shares the pages that neither side changes.
#[derive(Default)]
pub struct SparseMemoryStorage {
    pages: RwLock<PageMap>,
}

impl SparseMemoryStorage {
    /// A storage that holds `bytes`; whole pages of zeros become holes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut pages = PageMap::default();
        let mut position = 0;
        for piece in bytes.chunks(PAGE) {
            if piece.iter().any(|byte| *byte != 0) {
                pages.write(position, piece);
            }
            position += buffer_len(piece).get();
        }
        pages.set_len(position);
        Self::from_pages(pages)
    }

    pub(crate) fn from_pages(pages: PageMap) -> Self {
        Self {
            pages: RwLock::new(pages),
        }
    }

    /// A copy of all bytes; `None` where they do not fit into memory.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let pages = self.pages();
        let len = usize::try_from(pages.len()).ok()?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).ok()?;
        bytes.resize(len, 0);
        pages.read(0, &mut bytes);
        Some(bytes)
    }

    /// How many bytes of memory the written pages occupy.
    pub fn allocated(&self) -> ByteCount {
        ByteCount(self.pages().allocated())
    }

    /// Whether both hold the same bytes, whatever of them is a hole.
    pub fn same_bytes(&self, other: &Self) -> bool {
        // A copy, not two guards: both may be the same storage.
        let other = other.pages().clone();
        self.pages().same_bytes(&other)
    }

    pub(crate) fn pages(&self) -> RwLockReadGuard<'_, PageMap> {
        self.pages.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn pages_mut(&self) -> RwLockWriteGuard<'_, PageMap> {
        self.pages.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for SparseMemoryStorage {
    fn clone(&self) -> Self {
        Self::from_pages(self.pages().clone())
    }
}

impl std::fmt::Debug for SparseMemoryStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pages = self.pages();
        f.debug_struct("SparseMemoryStorage")
            .field("len", &pages.len())
            .field("allocated", &pages.allocated())
            .finish()
    }
}

impl Storage for SparseMemoryStorage {
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<()> {
        let pages = self.pages();
        checked(Operation::Read, offset, buffer_len(buf), pages.count())?;
        pages.read(offset.get(), buf);
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<()> {
        reachable(Operation::Write, offset, buffer_len(buf))?;
        self.pages_mut().write(offset.get(), buf);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> Result<ByteCount> {
        Ok(self.pages().count())
    }

    fn set_len(&self, len: ByteCount) -> Result<()> {
        reachable(Operation::Resize, ByteOffset(len.get()), ByteCount(0))?;
        self.pages_mut().set_len(len.get());
        Ok(())
    }

    fn zero(&self, range: ByteRange, _mode: ZeroMode) -> Result<()> {
        let mut pages = self.pages_mut();
        checked(Operation::Zero, range.start(), range.len(), pages.count())?;
        pages.zero(range.start().get(), range.end().get());
        Ok(())
    }

    fn extent_at(&self, range: ByteRange) -> Result<Extent> {
        let pages = self.pages();
        check_status(range, pages.count())?;
        Ok(pages.extent(range))
    }

    fn is_read_only(&self) -> bool {
        false
    }
}

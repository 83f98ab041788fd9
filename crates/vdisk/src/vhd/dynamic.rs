//! A dynamic or differencing disk that is open: reading and writing through the block allocation table.
//!
//! Blocks that have a place are read and written without any lock: a table entry changes once,
//! from none to a place, and a block never moves or goes away, except in a compaction, which has the
//! disk for itself. Giving a block its place is the business of [`Space`]. Sector bitmaps are written full and not consulted: in a dynamic disk
//! a sector of a block that was never written is zero in the file as well (Windows, Virtual PC and
//! QEMU write them full too; they carry meaning in differencing disks only: see `child`).
//!
//! Lock order: 1. `commit`, 2. `space`. No lock is held while data is read or written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use blockio::{
    BlockKind, BlockStatus, ByteCount, ByteOffset, ByteRange, Disk, ExtentKind, IoError,
    IoErrorKind, Operation, SectorSize, Storage, ZeroMode,
};
use uuid::Uuid;

use super::bat::Bat;
use super::child::{Bitmaps, Child};
use super::footer::{self, Found};
use super::layer::{READER_BITMAPS, WRITER_BITMAPS};
use super::locator;
use super::open;
use super::space::Space;
use super::sparse::{self, Layout};
use crate::bitmap_pages::BitmapPages;
use crate::bounds::{buffer_len, checked_range, checked_status, to_index};
use crate::compact::{CompactReport, CompactRequest};
use crate::convert::is_zero;
use crate::error::ImageError;
use crate::image::{Access, ImageDisk};
use crate::info::{ImageInfo, ImageKind, ParentInfo};

/// An open dynamic VHD.
pub(crate) struct DynamicDisk {
    pub(super) storage: Box<dyn Storage>,
    pub(super) layout: Layout,
    pub(super) bat: Bat,
    /// Whether blocks have a parent behind them.
    pub(super) is_differencing: bool,
    /// Sector bitmaps of a differencing disk, by block.
    pub(super) bitmaps: BitmapPages,
    /// The parents of a differencing disk that is open for writing; a reader is a layer of a chain
    /// itself.
    pub(super) child: Option<Child>,
    pub(super) unique_id: Uuid,
    read_only: bool,
    pub(super) size: ByteCount,
    /// Facts that do not change while the disk is open, but for its size.
    pub(super) info: ImageInfo,
    /// Set by the first failure after which the file's state is not known; never cleared.
    poisoned: AtomicBool,
    /// Held by the one flush that publishes table entries.
    commit: Mutex<()>,
    /// Where blocks may go, and which are not published yet.
    space: Mutex<Space>,
}

/// A part of a request that lies within one block.
pub(super) struct Piece {
    pub(super) block: u64,
    /// Bytes into the block.
    pub(super) within: u64,
    pub(super) len: usize,
}

impl DynamicDisk {
    /// Opens a dynamic VHD whose footer was found; checks the whole table before a byte is believed.
    ///
    /// # Errors
    /// `Damaged`, `Unsupported`, `ReadOnly`, `Io`.
    pub(super) fn open_found(
        storage: Box<dyn Storage>,
        access: Access,
        found: &Found,
    ) -> Result<Self, ImageError> {
        if access == Access::ReadWrite && storage.is_read_only() {
            return Err(ImageError::ReadOnly);
        }
        let layout = sparse::read_header(&*storage, found)?.layout;
        let bat = Bat::load(&*storage, &layout)?;
        let mut violation = None;
        bat.violations(&layout, found, |first| {
            violation = Some(first);
            false
        });
        if let Some(violation) = violation {
            return Err(violation.into_error());
        }
        Self::build(storage, access, found, bat)
    }

    /// Opens a damaged VHD for reading, whatever its table says.
    ///
    /// # Errors
    /// `Damaged`, `Unsupported`, `Io`.
    pub(super) fn open_unchecked(
        storage: Box<dyn Storage>,
        found: &Found,
    ) -> Result<Self, ImageError> {
        let layout = sparse::read_header(&*storage, found)?.layout;
        let bat = Bat::load(&*storage, &layout)?;
        Self::build(storage, Access::ReadOnly, found, bat)
    }

    fn build(
        storage: Box<dyn Storage>,
        access: Access,
        found: &Found,
        bat: Bat,
    ) -> Result<Self, ImageError> {
        let header = sparse::read_header(&*storage, found)?;
        let layout = header.layout;
        let start_is_good =
            footer::read(&*storage, 0, super::format::FOOTER_LEN)? == found.footer.bytes;
        let names_end = match found.footer.kind {
            ImageKind::Differencing => locator::names_end(&header, found.file_length),
            ImageKind::Fixed | ImageKind::Dynamic => 0,
        };
        let space = Space::new(&layout, &bat, found, start_is_good, names_end);
        Ok(Self {
            info: open::describe(found, Some((&header, &bat)), None),
            size: found.footer.size,
            unique_id: found.footer.unique_id,
            read_only: access == Access::ReadOnly,
            is_differencing: found.footer.kind == ImageKind::Differencing,
            bitmaps: BitmapPages::new(match access {
                Access::ReadOnly => READER_BITMAPS,
                Access::ReadWrite => WRITER_BITMAPS,
            }),
            child: None,
            storage,
            layout,
            bat,
            poisoned: AtomicBool::new(false),
            commit: Mutex::new(()),
            space: Mutex::new(space),
        })
    }

    /// What the disk says of its parent, for those who ask for facts.
    pub(super) fn set_parent_info(&mut self, parent: Option<ParentInfo>) {
        self.info.parent = parent;
    }

    pub(super) fn space(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part of `[at, at + len)` that lies within the block of `at`.
    pub(super) fn piece(&self, at: u64, len: usize) -> Piece {
        let within = at % self.layout.block_size;
        let left = to_index(self.layout.block_size - within).unwrap_or(usize::MAX);
        Piece {
            block: at / self.layout.block_size,
            within,
            len: len.min(left),
        }
    }

    /// Where the data of a block begins in the file, if it has a place.
    pub(super) fn data_offset(&self, block: u64) -> Option<u64> {
        let entry = self.bat.get(block)?;
        Some(self.layout.data_offset(entry))
    }

    fn check_write(
        &self,
        operation: Operation,
        offset: ByteOffset,
        len: u64,
    ) -> Result<ByteRange, IoError> {
        let range = checked_range(operation, offset, len, self.size)?;
        let refuse = |kind| Err(IoError::new(kind, operation, offset, ByteCount(len)));
        if self.read_only {
            return refuse(IoErrorKind::ReadOnly);
        }
        if self.poisoned.load(Ordering::Acquire) {
            return refuse(IoErrorKind::Poisoned);
        }
        Ok(range)
    }

    /// Where the data of a block begins; gives it a place first where it has none.
    pub(super) fn data_offset_for_write(&self, block: u64) -> Result<u64, IoError> {
        if let Some(offset) = self.data_offset(block) {
            return Ok(offset);
        }
        let mut space = self.space();
        // Another thread may have been faster.
        if let Some(offset) = self.data_offset(block) {
            return Ok(offset);
        }
        let entry = space
            .allocate(&*self.storage, &self.layout, block, self.is_differencing)
            .inspect_err(|_| self.poison_if(space.is_lost()))?;
        // Still under the lock: a flush that sees the entry also sees that it is not published.
        self.bat.set(block, entry);
        Ok(self.layout.data_offset(entry))
    }

    pub(super) fn poison_if(&self, lost: bool) {
        if lost {
            self.poisoned.store(true, Ordering::Release);
        }
    }

    fn zero(&self, range: ByteRange, mode: ZeroMode) -> Result<(), IoError> {
        let (mut at, end) = (range.start().get(), range.end().get());
        while at < end {
            let within = at % self.layout.block_size;
            let len = (self.layout.block_size - within).min(end - at);
            if let Some(child) = &self.child {
                let part = checked_range(Operation::Zero, ByteOffset(at), len, self.size)?;
                self.zero_child(child, part, mode)?;
                at += len;
                continue;
            }
            // A block without a place is zero already; one with a place keeps it.
            if let Some(data) = self.data_offset(at / self.layout.block_size) {
                let limit = ByteCount(u64::MAX);
                let file = checked_range(Operation::Zero, ByteOffset(data + within), len, limit)?;
                self.storage.zero(file, mode)?;
            }
            at += len;
        }
        Ok(())
    }

    /// Makes everything durable: data first, then the table entries that lead to it.
    fn commit(&self) -> Result<(), IoError> {
        let _commit = self.commit.lock().unwrap_or_else(PoisonError::into_inner);
        if self.poisoned.load(Ordering::Acquire) {
            return Err(IoError::new(
                IoErrorKind::Poisoned,
                Operation::Flush,
                ByteOffset(0),
                self.size,
            ));
        }
        let batch = self.space().take_unpublished();
        let bitmaps = self.take_bitmaps();
        let published = self.publish(&batch, &bitmaps);
        // Nothing is known of earlier writes after a failure here.
        self.poison_if(published.is_err());
        published
    }

    fn publish(
        &self,
        batch: &std::collections::BTreeSet<u64>,
        bitmaps: &Bitmaps,
    ) -> Result<(), IoError> {
        // Data, new bitmaps and the footer at its new place must be on disk before a table entry
        // or a bit leads to them: a crash must not show the file's earlier bytes in a block.
        self.storage.sync()?;
        if batch.is_empty() && bitmaps.writes.is_empty() {
            return Ok(());
        }
        // In no order with the table: without its entry a bitmap is not looked at, and without
        // these bits a block shows its parent.
        for (at, bytes) in &bitmaps.writes {
            self.storage.write_at(bytes, *at)?;
        }
        self.bitmaps_written(bitmaps);
        for (at, bytes) in self.space().table_sectors(&self.layout, &self.bat, batch) {
            self.storage.write_at(&bytes, at)?;
        }
        // The entries and bits themselves: only now is what the caller wrote sure to be found again.
        self.storage.sync()
    }
}

impl Disk for DynamicDisk {
    fn size(&self) -> ByteCount {
        self.size
    }

    fn logical_sector_size(&self) -> SectorSize {
        SectorSize::B512
    }

    fn physical_sector_size(&self) -> SectorSize {
        SectorSize::B512
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> Result<(), IoError> {
        checked_range(Operation::Read, offset, buffer_len(buf), self.size)?;
        let (mut at, mut rest) = (offset.get(), buf);
        while !rest.is_empty() {
            let piece = self.piece(at, rest.len());
            let (head, tail) = rest.split_at_mut(piece.len);
            match (&self.child, self.data_offset(piece.block)) {
                (Some(child), _) => self.read_child(child, &piece, head)?,
                (None, Some(data)) => self
                    .storage
                    .read_at(head, ByteOffset(data + piece.within))?,
                (None, None) => head.fill(0),
            }
            at += buffer_len(head);
            rest = tail;
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> Result<(), IoError> {
        self.check_write(Operation::Write, offset, buffer_len(buf))?;
        let (mut at, mut rest) = (offset.get(), buf);
        while !rest.is_empty() {
            let piece = self.piece(at, rest.len());
            let (head, tail) = rest.split_at(piece.len);
            if let Some(child) = &self.child {
                self.write_child(child, &piece, head)?;
            } else if self.data_offset(piece.block).is_some() || !is_zero(head) {
                // Zeros need no place: a block without one reads zero.
                let data = self.data_offset_for_write(piece.block)?;
                self.storage
                    .write_at(head, ByteOffset(data + piece.within))?;
            }
            at += buffer_len(head);
            rest = tail;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), IoError> {
        if self.read_only {
            return Ok(());
        }
        self.commit()
    }

    fn discard(&self, range: ByteRange) -> Result<(), IoError> {
        let range = self.check_write(Operation::Discard, range.start(), range.len().get())?;
        self.zero(range, ZeroMode::Punch)
    }

    fn write_zeroes(&self, range: ByteRange) -> Result<(), IoError> {
        let range = self.check_write(Operation::Zero, range.start(), range.len().get())?;
        self.zero(range, ZeroMode::KeepAllocated)
    }

    fn block_status(&self, range: ByteRange) -> Result<BlockStatus, IoError> {
        checked_status(range, self.size)?;
        let (start, limit) = (range.start().get(), range.end().get());
        let block_size = self.layout.block_size;
        let block = start / block_size;
        let end_of = |block: u64| ((block + 1) * block_size).min(limit);
        let status = |end: u64, kind| -> Result<BlockStatus, IoError> {
            let range = checked_range(Operation::Status, range.start(), end - start, self.size)?;
            Ok(BlockStatus { range, kind })
        };
        if let Some(child) = &self.child {
            let (kind, length) = self.child_status(child, start, limit - start)?;
            return status(start + length, kind);
        }
        let Some(data) = self.data_offset(block) else {
            let mut last = block;
            while end_of(last) < limit && self.bat.get(last + 1).is_none() {
                last += 1;
            }
            return status(end_of(last), BlockKind::Hole);
        };
        let at = ByteOffset(data + start % block_size);
        let limit = ByteCount(u64::MAX);
        let file = checked_range(Operation::Status, at, end_of(block) - start, limit)?;
        let extent = self.storage.extent_at(file)?;
        let kind = match extent.kind {
            ExtentKind::Data => BlockKind::Data,
            ExtentKind::Hole => BlockKind::Hole,
        };
        status(start + extent.range.len().get(), kind)
    }
}

impl ImageDisk for DynamicDisk {
    fn close(self: Box<Self>) -> Result<(), ImageError> {
        if self.read_only {
            return Ok(());
        }
        self.commit()?;
        self.space().mend_start(&*self.storage)?;
        // Everything is published; the room in front of the footer may go.
        self.space().trim(&*self.storage)?;
        Ok(())
    }

    fn resize(&mut self, size: ByteCount) -> Result<(), ImageError> {
        self.resize_disk(size)
    }

    fn allow_size(&self, size: ByteCount) -> Result<(), ImageError> {
        self.checked_size(size)
    }

    fn place_of(&self, offset: ByteOffset) -> blockio::Result<Option<ByteOffset>> {
        let (block, within) = (
            offset.get() / self.layout.block_size,
            offset.get() % self.layout.block_size,
        );
        Ok(self
            .data_offset(block)
            .map(|place| ByteOffset(place + within)))
    }

    fn compact(&mut self, request: &CompactRequest<'_>) -> Result<CompactReport, ImageError> {
        self.compact_blocks(request)
    }

    fn info(&self) -> ImageInfo {
        let mut info = self.info.clone();
        let blocks = u64::try_from(self.bat.allocated().count()).unwrap_or(u64::MAX);
        info.allocated = ByteCount(blocks.saturating_mul(self.layout.block_size));
        info.file_length = ByteCount(self.space().file_length());
        info
    }
}

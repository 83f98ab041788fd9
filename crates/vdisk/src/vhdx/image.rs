//! An open image: what its parts share, and the [`Disk`] that a guest sees.
//!
//! Order of locks: 1 the lock of a block, then `bitmap_growth`, 2 `round`, 3 `session`,
//! 4 `transaction`, 5 the space map.
//! `round` is never held over input or output; `session` is, by the one thread that commits, which
//! takes no block lock. Reads and writes of blocks that are present take lock 1, shared, and no
//! other.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use blockio::{
    BlockStatus, ByteCount, ByteOffset, ByteRange, Disk, IoError, IoErrorKind, MIB, Operation,
    SectorSize, Storage,
};

use super::bat::{Bat, BatEntry, BlockState, lies_in_file};
use super::commit::{Round, Transaction};
use super::format::wide;
use super::geometry::{BlockIndex, Geometry};
use super::metadata::Metadata;
use super::region::Regions;
use super::session::Session;
use super::space::Space;
use super::view::View;
use crate::bitmap_pages::BitmapPages;
use crate::chain::Chain;
use crate::compact::{CompactReport, CompactRequest};
use crate::error::ImageError;
use crate::image::ImageDisk;
use crate::info::ImageInfo;

/// Locks that the blocks share among them; two blocks rarely meet on one.
pub(super) const LOCK_SHARDS: u64 = 256;

/// An open VHDX image; of a differencing one, the part of the chain that is in this file.
pub(super) struct VhdxImage {
    pub(super) storage: View<Box<dyn Storage>>,
    pub(super) metadata: Metadata,
    pub(super) geometry: Geometry,
    pub(super) regions: Regions,
    pub(super) creator: String,
    pub(super) bat: Bat,
    /// The parents of a differencing image that is open for writing; a reader is a layer of a chain
    /// itself.
    pub(super) parents: Option<Arc<Chain>>,
    /// Pages of the sector bitmaps.
    pub(super) bitmaps: BitmapPages,
    /// Held while a chunk gets its bitmap.
    pub(super) bitmap_growth: Mutex<()>,
    /// Whether the image was opened for writing.
    pub(super) writable: bool,
    /// Whether space that was given up goes back to the host with the commit that gave it up. Not
    /// while the image is compacted, which uses most of it again or cuts it off.
    pub(super) punches_released: bool,
    /// Whether a reader looks through a log that waits for its replay.
    pub(super) dirty_log: bool,
    /// Lock 1: guards the entry of a block; held shared while its payload is read or written.
    pub(super) blocks: Vec<RwLock<()>>,
    /// Lock 2: which commit runs and which is done.
    pub(super) round: Mutex<Round>,
    pub(super) round_done: Condvar,
    /// Lock 3: headers and log.
    pub(super) session: Mutex<Session>,
    /// Lock 4: what the next commit has to write.
    pub(super) transaction: Mutex<Transaction>,
    /// Lock 5 within.
    pub(super) space: Space,
    /// [`Gate`] as a number, so that writers pass it without a lock.
    pub(super) gate: AtomicU8,
    /// Set by the first failure to write metadata; nothing is written afterwards.
    pub(super) poisoned: AtomicBool,
    /// Bytes of the file. Grows under the lock of the session's growth only.
    pub(super) file_length: AtomicU64,
    /// Guards growing the file.
    pub(super) growth: Mutex<()>,
    /// Bytes the file is known to have after any crash.
    pub(super) stable_length: AtomicU64,
    /// Payload blocks that have a place in the file.
    pub(super) allocated_blocks: AtomicU64,
    /// Bytes of the file that the host last said to be data; kept where nobody writes, since some
    /// hosts search to the end of the file each time they are asked.
    pub(super) known_data: Mutex<Option<ByteRange>>,
}

/// Whether the session has begun to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// The file is as it was opened.
    Closed,
    /// Headers and log say that the file is being written.
    Open,
}

/// A lock whose holder panicked guards data that every operation leaves whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VhdxImage {
    pub(super) fn gate(&self) -> Gate {
        match self.gate.load(Ordering::Acquire) {
            0 => Gate::Closed,
            _ => Gate::Open,
        }
    }

    pub(super) fn set_gate(&self, gate: Gate) {
        let value = match gate {
            Gate::Closed => 0,
            Gate::Open => 1,
        };
        self.gate.store(value, Ordering::Release);
    }

    /// The lock that guards a block.
    pub(super) fn block_lock(&self, block: BlockIndex) -> &RwLock<()> {
        &self.blocks[super::format::index(block.0 % LOCK_SHARDS)]
    }

    /// The entry of a block, checked.
    pub(super) fn entry(&self, block: BlockIndex) -> blockio::Result<BatEntry> {
        let raw = self
            .bat
            .load(&self.storage, self.geometry.entry_of(block))?;
        let error = |message: String| {
            ImageError::damaged("MS-VHDX 2.5.1.1", message).into_io(
                Operation::Read,
                ByteOffset(block.0.saturating_mul(self.geometry.block_size)),
                ByteCount(self.geometry.block_bytes(block)),
            )
        };
        let entry = BatEntry::decode(raw)
            .ok_or_else(|| error(format!("entry {raw:#x} of block {} is malformed", block.0)))?;
        if entry.state == BlockState::PartiallyPresent && self.metadata.parent.is_none() {
            return Err(error(format!(
                "block {} is partially present in an image without a parent",
                block.0
            )));
        }
        let length = self.geometry.block_bytes(block);
        let file_length = self.file_length.load(Ordering::Acquire);
        match entry.place() {
            Some(place) if !lies_in_file(place, length, file_length) => Err(error(format!(
                "block {} at {place:#x} lies outside the file of {file_length} bytes",
                block.0
            ))),
            _ => Ok(entry),
        }
    }

    /// Mebibytes of a block in the file.
    pub(super) fn block_mebibytes(&self) -> u64 {
        self.geometry.block_size / MIB
    }

    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Refuses an operation that does not lie within the disk.
    pub(super) fn checked_range(
        &self,
        operation: Operation,
        offset: ByteOffset,
        length: u64,
    ) -> blockio::Result<ByteRange> {
        ByteRange::new(offset, ByteCount(length))
            .filter(|range| range.end().get() <= self.geometry.disk_size)
            .ok_or_else(|| {
                IoError::new(
                    IoErrorKind::OutOfRange,
                    operation,
                    offset,
                    ByteCount(length),
                )
            })
    }

    /// Lets a change pass: the image is writable and not poisoned, and its session has begun.
    pub(super) fn pass_gate(&self, operation: Operation, range: ByteRange) -> blockio::Result<()> {
        let refuse = |kind| Err(IoError::new(kind, operation, range.start(), range.len()));
        if !self.writable {
            return refuse(IoErrorKind::ReadOnly);
        }
        if self.is_poisoned() {
            return refuse(IoErrorKind::Poisoned);
        }
        match self.gate() {
            Gate::Open => Ok(()),
            Gate::Closed => self
                .begin_session()
                .map_err(|error| error.into_io(operation, range.start(), range.len())),
        }
    }
}

impl Disk for VhdxImage {
    fn size(&self) -> ByteCount {
        ByteCount(self.geometry.disk_size)
    }

    fn logical_sector_size(&self) -> SectorSize {
        self.metadata.logical_sector
    }

    fn physical_sector_size(&self) -> SectorSize {
        self.metadata.physical_sector
    }

    fn is_read_only(&self) -> bool {
        !self.writable
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> blockio::Result<()> {
        let range = self.checked_range(Operation::Read, offset, wide(buf.len()))?;
        self.read_range(buf, range)
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> blockio::Result<()> {
        let range = self.checked_range(Operation::Write, offset, wide(buf.len()))?;
        self.write_range(buf, range)
    }

    fn flush(&self) -> blockio::Result<()> {
        self.flush_session()
            .map_err(|error| error.into_io(Operation::Flush, ByteOffset(0), ByteCount(0)))
    }

    fn discard(&self, range: ByteRange) -> blockio::Result<()> {
        let range = self.checked_range(Operation::Discard, range.start(), range.len().get())?;
        self.discard_range(range)
    }

    fn write_zeroes(&self, range: ByteRange) -> blockio::Result<()> {
        let range = self.checked_range(Operation::Zero, range.start(), range.len().get())?;
        self.zero_range(range)
    }

    fn block_status(&self, range: ByteRange) -> blockio::Result<BlockStatus> {
        let range = self
            .checked_range(Operation::Status, range.start(), range.len().get())
            .and_then(|range| match range.is_empty() {
                false => Ok(range),
                true => Err(IoError::new(
                    IoErrorKind::OutOfRange,
                    Operation::Status,
                    range.start(),
                    range.len(),
                )),
            })?;
        self.status_of(range)
    }
}

impl ImageDisk for VhdxImage {
    fn close(self: Box<Self>) -> Result<(), ImageError> {
        self.end_session()
    }

    fn place_of(&self, offset: ByteOffset) -> blockio::Result<Option<ByteOffset>> {
        let segment = self.geometry.first_segment(offset.get(), 1);
        let place = self.entry(segment.block)?.place();
        Ok(place.map(|place| ByteOffset(place.saturating_add(segment.within))))
    }

    fn compact(&mut self, request: &CompactRequest<'_>) -> Result<CompactReport, ImageError> {
        self.compact_blocks(request)
    }

    fn resize(&mut self, size: ByteCount) -> Result<(), ImageError> {
        self.resize_disk(size.get())
    }

    fn allow_size(&self, size: ByteCount) -> Result<(), ImageError> {
        self.checked_size(size.get()).map(drop)
    }

    fn info(&self) -> ImageInfo {
        self.describe()
    }
}

//! A differencing disk that is open for writing: sectors come into its blocks one by one, and their
//! bits say which have.
//!
//! VHD has no log, so the order of writes keeps a crash harmless. A new block's bitmap is all clear
//! in the file before the block has its entry in the table, and a bit is set in the file only in a
//! flush, after the sync that makes its sector durable. So a crash leaves each sector as it was or
//! as it was written: a block without its entry is the parent's, a bit that is lost shows the
//! parent, and neither ever shows what the space held before.
//!
//! Lock order: 0. a block, then those of [`DynamicDisk`], then `changed`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use blockio::{
    BlockKind, ByteCount, ByteOffset, ByteRange, ExtentKind, IoError, Operation, Storage, ZeroMode,
};

use super::dynamic::{DynamicDisk, Piece};
use super::format::SECTOR;
use crate::bitmap_pages::assign;
use crate::bounds::{buffer_len, checked_range, to_index};
use crate::chain::{Chain, Held};
use crate::sectors::write_whole_sectors;

/// Locks that the blocks share among them.
const LOCK_SHARDS: u64 = 64;

/// What a disk has besides when it is a child that is written.
pub(super) struct Child {
    pub(super) parents: Arc<Chain>,
    blocks: Vec<RwLock<()>>,
    /// Blocks whose bitmap in memory is ahead of the file's; each is pinned once for being in here.
    changed: Mutex<BTreeSet<u64>>,
}

/// Bitmaps as they stood at one moment, to be written.
pub(super) struct Bitmaps {
    blocks: BTreeSet<u64>,
    pub(super) writes: Vec<(ByteOffset, Vec<u8>)>,
}

impl Child {
    pub(super) fn new(parents: Arc<Chain>) -> Self {
        Self {
            parents,
            blocks: (0..LOCK_SHARDS).map(|_| RwLock::default()).collect(),
            changed: Mutex::default(),
        }
    }

    fn lock(&self, block: u64) -> &RwLock<()> {
        let shard = to_index(block % LOCK_SHARDS).unwrap_or(0);
        &self.blocks[shard]
    }

    fn changed(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DynamicDisk {
    fn start_of(&self, piece: &Piece) -> u64 {
        piece.block * self.layout.block_size + piece.within
    }

    pub(super) fn read_child(
        &self,
        child: &Child,
        piece: &Piece,
        buf: &mut [u8],
    ) -> Result<(), IoError> {
        let _block = shared(child.lock(piece.block));
        self.read_held(child, self.start_of(piece), buf)
    }

    /// Reads a part of one block, whose lock the caller holds.
    fn read_held(&self, child: &Child, start: u64, buf: &mut [u8]) -> Result<(), IoError> {
        let (mut at, mut rest) = (start, buf);
        while !rest.is_empty() {
            let (held, length) = self.held(at, buffer_len(rest))?;
            let length = to_index(length).unwrap_or(usize::MAX).min(rest.len());
            let (part, after) = rest.split_at_mut(length);
            match held {
                Held::File(place) => self.storage.read_at(part, ByteOffset(place))?,
                Held::Zero => part.fill(0),
                Held::Parent => child.parents.read(part, at)?,
            }
            at += buffer_len(part);
            rest = after;
        }
        Ok(())
    }

    pub(super) fn write_child(
        &self,
        child: &Child,
        piece: &Piece,
        buf: &[u8],
    ) -> Result<(), IoError> {
        let start = self.start_of(piece);
        {
            let _block = shared(child.lock(piece.block));
            if let (Held::File(place), length) = self.held(start, buffer_len(buf))?
                && length == buffer_len(buf)
            {
                return self.storage.write_at(buf, ByteOffset(place));
            }
        }
        let _block = exclusive(child.lock(piece.block));
        let data = self.data_offset_for_write(piece.block)?;
        let block_start = start - piece.within;
        write_whole_sectors(
            buf,
            piece.within,
            SECTOR,
            &|buf, at| self.read_held(child, block_start + at, buf),
            &|buf, at| self.storage.write_at(buf, ByteOffset(data + at)),
        )?;
        let end = piece.within + buffer_len(buf);
        self.set_bits(
            child,
            piece.block,
            data,
            piece.within / SECTOR,
            end.div_ceil(SECTOR),
        )
    }

    /// Sets bits in memory. The sectors were written, and the caller holds the block's lock.
    fn set_bits(
        &self,
        child: &Child,
        block: u64,
        data: u64,
        from: u64,
        to: u64,
    ) -> Result<(), IoError> {
        let mut changed = child.changed();
        let pin = !changed.contains(&block);
        let load = || self.load_bitmap(data);
        self.bitmaps
            .change(block, pin, load, |words| assign(words, from, to, true))?;
        changed.insert(block);
        Ok(())
    }

    /// Makes a part of one block zero. Nothing of the parent may be seen there again.
    pub(super) fn zero_child(
        &self,
        child: &Child,
        range: ByteRange,
        mode: ZeroMode,
    ) -> Result<(), IoError> {
        let (mut at, end) = (range.start().get(), range.end().get());
        while at < end {
            let (held, length) = {
                let block = at / self.layout.block_size;
                let _block = shared(child.lock(block));
                let (held, length) = self.held(at, end - at)?;
                if let Held::File(place) = held {
                    self.storage.zero(file_range(place, length)?, mode)?;
                }
                (held, length)
            };
            if held == Held::Parent && !child.parents.reads_zero(at, length)? {
                self.hide_parent(child, at, length, mode)?;
            }
            at += length;
        }
        Ok(())
    }

    /// Brings sectors of zeros into the file, where the parent has something to show. Whole sectors
    /// are zeroed by the host, parts of them are written.
    fn hide_parent(
        &self,
        child: &Child,
        start: u64,
        length: u64,
        mode: ZeroMode,
    ) -> Result<(), IoError> {
        let end = start + length;
        let (first, last) = (start.next_multiple_of(SECTOR), end / SECTOR * SECTOR);
        let edges = match first < last {
            true => [(start, first), (last, end)],
            false => [(start, end), (end, end)],
        };
        for (from, to) in edges {
            let zeros = vec![0; to_index(to - from).unwrap_or(0)];
            let mut written = 0;
            while written < zeros.len() {
                let piece = self.piece(from + buffer_len(&zeros[..written]), zeros.len() - written);
                let part = &zeros[written..written + piece.len];
                self.write_child(child, &piece, part)?;
                written += piece.len;
            }
        }
        if first >= last {
            return Ok(());
        }
        let block = first / self.layout.block_size;
        let within = first % self.layout.block_size;
        let _block = exclusive(child.lock(block));
        let data = self.data_offset_for_write(block)?;
        self.storage
            .zero(file_range(data + within, last - first)?, mode)?;
        let from = within / SECTOR;
        self.set_bits(child, block, data, from, from + (last - first) / SECTOR)
    }

    /// The kind of the byte at `start`, and how many of the next `length` bytes are of it.
    pub(super) fn child_status(
        &self,
        child: &Child,
        start: u64,
        length: u64,
    ) -> Result<(BlockKind, u64), IoError> {
        let absent = self.absent_bytes(start).min(length);
        if absent > 0 {
            return child.parents.status(start, absent);
        }
        let (held, length) = self.held(start, length)?;
        match held {
            Held::Zero => Ok((BlockKind::Hole, length)),
            Held::Parent => child.parents.status(start, length),
            Held::File(place) => {
                let extent = self.storage.extent_at(file_range(place, length)?)?;
                let kind = match extent.kind {
                    ExtentKind::Data => BlockKind::Data,
                    ExtentKind::Hole => BlockKind::Hole,
                };
                Ok((kind, extent.range.len().get().clamp(1, length)))
            }
        }
    }

    /// Makes every block that has a place whole: zeros where nobody holds a sector, all bits set.
    pub(super) fn seal_blocks(&self, child: &Child) -> Result<(), IoError> {
        for block in 0..self.bat.len() {
            let Some(data) = self.data_offset(block) else {
                continue;
            };
            let _block = exclusive(child.lock(block));
            let start = block * self.layout.block_size;
            // Behind the end of a disk that fills its last block in part nothing shows; the bits
            // there are set all the same, as in a disk that never had a parent.
            let (mut at, end) = (start, start + self.layout.block_size);
            while at < end {
                let (held, length) = self.held(at, end - at)?;
                if held == Held::Parent {
                    let within = at - start;
                    let range = file_range(data + within, length)?;
                    self.storage.zero(range, ZeroMode::KeepAllocated)?;
                    let from = within / SECTOR;
                    self.set_bits(child, block, data, from, from + length.div_ceil(SECTOR))?;
                }
                at += length;
            }
        }
        Ok(())
    }

    /// The bitmaps that changed, as they stand now: all their sectors were written before.
    pub(super) fn take_bitmaps(&self) -> Bitmaps {
        let Some(child) = &self.child else {
            return Bitmaps {
                blocks: BTreeSet::new(),
                writes: Vec::new(),
            };
        };
        let mut changed = child.changed();
        let blocks = std::mem::take(&mut *changed);
        let length = to_index(self.layout.bitmap_size).unwrap_or(0);
        let encode = |block: &u64| {
            let data = self.data_offset(*block)?;
            let words = self.bitmaps.copy(*block).into_iter();
            let mut bytes: Vec<u8> = words
                .flat_map(|word| word.reverse_bits().to_be_bytes())
                .collect();
            bytes.resize(length, 0);
            Some((ByteOffset(data - self.layout.bitmap_size), bytes))
        };
        // Under the lock: bits of sectors that are written from here on are not in these bytes.
        let writes = blocks.iter().filter_map(encode).collect();
        Bitmaps { blocks, writes }
    }

    /// The bitmaps stand in the file.
    pub(super) fn bitmaps_written(&self, bitmaps: &Bitmaps) {
        for block in &bitmaps.blocks {
            self.bitmaps.unpin(*block);
        }
    }
}

fn file_range(at: u64, length: u64) -> Result<ByteRange, IoError> {
    let limit = ByteCount(u64::MAX);
    checked_range(Operation::Zero, ByteOffset(at), length, limit)
}

fn shared(lock: &RwLock<()>) -> std::sync::RwLockReadGuard<'_, ()> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn exclusive(lock: &RwLock<()>) -> std::sync::RwLockWriteGuard<'_, ()> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

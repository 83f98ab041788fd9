//! A new image: clusters are given out in the order in which they are first written; tables, counts
//! and at last the header are written when the disk is flushed.
//!
//! Invariant: a file without a header is no image. So nothing here has to be written in an order until
//! the first flush; from then on the old tables stay as they are until the header leads to new ones.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use blockio::{
    BlockKind, BlockStatus, ByteCount, ByteOffset, ByteRange, Disk, Operation, SectorSize, Storage,
    ZeroMode,
};
use zerocopy::{FromZeros, IntoBytes};

use super::format::{COPIED, MAGIC, MAX_DISK, RawHeader};
use crate::bounds::{buffer_len, checked_range, checked_status, to_index};
use crate::error::ImageError;
use crate::image::{CreateOptions, ImageDisk, ImageFormat, Provisioning};
use crate::info::{ImageInfo, ImageKind};

/// Bytes of a cluster: what QEMU makes.
const CLUSTER: u64 = 64 * 1024;
/// Bits of [`CLUSTER`].
const CLUSTER_BITS: u32 = 16;
/// Entries of a table of the second level.
const ENTRIES: u64 = CLUSTER / 8;
/// A count of references has 16 bits.
const REFCOUNT_ORDER: u32 = 4;
/// Counts in one block of them.
const COUNTS: u64 = CLUSTER / 2;

/// A new image, open for writing.
struct Writer {
    storage: Box<dyn Storage>,
    size: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Places of the clusters of the disk, by table of the second level.
    tables: BTreeMap<u64, Vec<u64>>,
    /// Clusters of the file that are given out, the header's among them.
    next: u64,
    /// Clusters that former tables took.
    abandoned: Vec<std::ops::Range<u64>>,
    /// Whether the file leads to all that was written.
    is_published: bool,
}

/// Creates an image in the empty `storage`.
///
/// # Errors
/// `InvalidOption`, `TooLarge`, `Io`.
pub(crate) fn create(
    storage: Box<dyn Storage>,
    options: &CreateOptions,
) -> Result<Box<dyn ImageDisk>, ImageError> {
    let size = options.size.get();
    options.check_sectors_of_512("a qcow2 image does not record it, so it is 512 bytes")?;
    if size > MAX_DISK {
        return Err(ImageError::TooLarge {
            size: options.size,
            limit: ByteCount(MAX_DISK),
        });
    }
    if options.block_size.is_some_and(|size| size.get() != CLUSTER) {
        let reason = "clusters of qcow2 images are made of 64 KiB";
        return Err(ImageError::invalid_option("block size", reason));
    }
    if storage.len()?.get() != 0 {
        return Err(ImageError::invalid_option("storage", "it is not empty"));
    }
    let writer = Writer {
        storage,
        size,
        state: Mutex::new(State {
            next: 1,
            ..State::default()
        }),
    };
    if options.provisioning == Provisioning::Fixed {
        let mut state = writer.state();
        for number in 0..size.div_ceil(CLUSTER) {
            state.place_or_claim(number);
        }
        let end = state.next * CLUSTER;
        drop(state);
        writer.storage.set_len(ByteCount(end))?;
        let data = ByteRange::between(ByteOffset(CLUSTER), ByteOffset(end));
        if let Some(data) = data {
            writer.storage.zero(data, ZeroMode::KeepAllocated)?;
        }
    }
    writer.flush()?;
    Ok(Box::new(writer))
}

impl State {
    /// Where cluster `number` of the disk is, if it has a place.
    fn place(&self, number: u64) -> Option<u64> {
        let table = self.tables.get(&(number / ENTRIES))?;
        let place = *table.get(to_index(number % ENTRIES)?)?;
        (place != 0).then_some(place)
    }

    /// Where it is; it gets a place where it has none.
    fn place_or_claim(&mut self, number: u64) -> u64 {
        let fresh = self.next * CLUSTER;
        let entries = to_index(ENTRIES).unwrap_or(0);
        let table = self
            .tables
            .entry(number / ENTRIES)
            .or_insert_with(|| vec![0; entries]);
        let Some(place) = to_index(number % ENTRIES).and_then(|index| table.get_mut(index)) else {
            return fresh;
        };
        if *place == 0 {
            *place = fresh;
            self.next += 1;
            self.is_published = false;
        }
        *place
    }

    /// Takes clusters in one piece for tables.
    fn claim(&mut self, clusters: u64) -> u64 {
        let place = self.next * CLUSTER;
        self.next += clusters;
        place
    }
}

impl Writer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes tables and counts behind all data, and the header that leads to them.
    fn publish(&self, state: &mut State) -> blockio::Result<()> {
        let former = state.next;
        let l1_entries = self.size.div_ceil(CLUSTER).div_ceil(ENTRIES);
        let l1_offset = state.claim((l1_entries * 8).div_ceil(CLUSTER));
        let mut l1 = vec![0; to_index(l1_entries).unwrap_or(0)];
        let places: Vec<u64> = state.tables.keys().copied().collect();
        for first in places {
            let at = state.claim(1);
            if let Some(entry) = to_index(first).and_then(|index| l1.get_mut(index)) {
                *entry = at | COPIED;
            }
            let table = state
                .tables
                .get(&first)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let marked = table
                .iter()
                .map(|place| if *place == 0 { 0 } else { place | COPIED });
            self.storage.write_at(&bytes_of(marked), ByteOffset(at))?;
        }
        self.storage
            .write_at(&bytes_of(l1.into_iter()), ByteOffset(l1_offset))?;
        let (refcount_offset, refcount_clusters) = self.write_counts(state)?;
        let end = state.next * CLUSTER;
        self.storage.set_len(ByteCount(end))?;
        // Tables and data before the header that leads to them.
        self.storage.sync()?;
        let header = self.header(l1_entries, l1_offset, refcount_offset, refcount_clusters);
        self.storage.write_at(header.as_bytes(), ByteOffset(0))?;
        // Whoever waits for the flush is told now.
        self.storage.sync()?;
        state.abandoned.push(former..state.next);
        state.is_published = true;
        Ok(())
    }

    /// Writes the counts of references: one for each cluster, none for those of former tables.
    fn write_counts(&self, state: &mut State) -> blockio::Result<(u64, u32)> {
        // Blocks and table count themselves: their number grows until it is enough for itself.
        let (mut blocks, mut table) = (1, 1);
        loop {
            let total = state.next + blocks + table;
            let needed = total.div_ceil(COUNTS);
            let needed_table = (needed * 8).div_ceil(CLUSTER);
            if needed <= blocks && needed_table <= table {
                break;
            }
            (blocks, table) = (blocks.max(needed), table.max(needed_table));
        }
        let table_at = state.claim(table);
        let blocks_at = state.claim(blocks);
        let abandoned = &state.abandoned;
        let count = |cluster: u64| {
            let is_used = cluster < state.next;
            let is_former = abandoned.iter().any(|range| range.contains(&cluster));
            u16::from(is_used && !is_former)
        };
        for block in 0..blocks {
            let first = block * COUNTS;
            let counts = (first..first + COUNTS).flat_map(|cluster| count(cluster).to_be_bytes());
            let bytes: Vec<u8> = counts.collect();
            self.storage
                .write_at(&bytes, ByteOffset(blocks_at + block * CLUSTER))?;
        }
        let entries = (0..blocks).map(|block| blocks_at + block * CLUSTER);
        self.storage
            .write_at(&bytes_of(entries), ByteOffset(table_at))?;
        // At most a hundred clusters: the largest disk has 2^30.
        Ok((table_at, u32::try_from(table).unwrap_or(u32::MAX)))
    }

    fn header(
        &self,
        l1_entries: u64,
        l1_offset: u64,
        refcount_offset: u64,
        refcount_clusters: u32,
    ) -> RawHeader {
        let mut raw = RawHeader::new_zeroed();
        raw.magic = MAGIC;
        raw.version = 3.into();
        raw.cluster_bits = CLUSTER_BITS.into();
        raw.size = self.size.into();
        raw.l1_size = u32::try_from(l1_entries).unwrap_or(u32::MAX).into();
        raw.l1_offset = l1_offset.into();
        raw.refcount_offset = refcount_offset.into();
        raw.refcount_clusters = refcount_clusters.into();
        raw.refcount_order = REFCOUNT_ORDER.into();
        raw.header_length = 104.into();
        raw
    }

    /// Calls `piece` for each part of a range that lies in one cluster: its number, the offset in it
    /// and the bytes.
    fn pieces(
        range: ByteRange,
        mut piece: impl FnMut(u64, u64, u64) -> blockio::Result<()>,
    ) -> blockio::Result<()> {
        let (mut at, end) = (range.start().get(), range.end().get());
        while at < end {
            let within = at % CLUSTER;
            let length = (CLUSTER - within).min(end - at);
            piece(at / CLUSTER, within, length)?;
            at += length;
        }
        Ok(())
    }

    fn zero_range(&self, operation: Operation, range: ByteRange) -> blockio::Result<()> {
        let (start, length) = (range.start(), range.len().get());
        let range = checked_range(operation, start, length, ByteCount(self.size))?;
        Self::pieces(range, |number, within, length| {
            let Some(place) = self.state().place(number) else {
                return Ok(());
            };
            // Behind the end of the file nothing was written yet. The file is never made longer here: by
            // the time that is done somebody else may have written there.
            let end = self.storage.len()?.get().min(place + within + length);
            let start = ByteOffset(place + within);
            match ByteRange::between(start, ByteOffset(end)) {
                Some(in_file) => self.storage.zero(in_file, ZeroMode::Punch),
                None => Ok(()),
            }
        })
    }
}

/// The entries as they stand in the file, filled to whole clusters.
fn bytes_of(entries: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.flat_map(u64::to_be_bytes).collect();
    let cluster = to_index(CLUSTER).unwrap_or(1);
    bytes.resize(bytes.len().next_multiple_of(cluster), 0);
    bytes
}

impl Disk for Writer {
    fn size(&self) -> ByteCount {
        ByteCount(self.size)
    }

    fn logical_sector_size(&self) -> SectorSize {
        SectorSize::B512
    }

    fn physical_sector_size(&self) -> SectorSize {
        SectorSize::B4096
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> blockio::Result<()> {
        let range = checked_range(Operation::Read, offset, buffer_len(buf), self.size())?;
        let stored = self.storage.len()?.get();
        let mut rest = buf;
        Self::pieces(range, |number, within, length| {
            let length = to_index(length).unwrap_or(0);
            let (piece, after) = std::mem::take(&mut rest).split_at_mut(length);
            rest = after;
            let Some(place) = self.state().place(number) else {
                piece.fill(0);
                return Ok(());
            };
            let start = place + within;
            let inside = to_index(stored.saturating_sub(start)).unwrap_or(usize::MAX);
            let (inside, behind) = piece.split_at_mut(inside.min(length));
            behind.fill(0);
            match inside.is_empty() {
                true => Ok(()),
                false => self.storage.read_at(inside, ByteOffset(start)),
            }
        })
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> blockio::Result<()> {
        let range = checked_range(Operation::Write, offset, buffer_len(buf), self.size())?;
        let mut rest = buf;
        Self::pieces(range, |number, within, length| {
            let (piece, after) = rest.split_at(to_index(length).unwrap_or(0).min(rest.len()));
            rest = after;
            // A fresh cluster lies behind all that was written, so that what is not written of it
            // now reads zero.
            let place = self.state().place_or_claim(number);
            self.storage.write_at(piece, ByteOffset(place + within))
        })
    }

    fn flush(&self) -> blockio::Result<()> {
        let mut state = self.state();
        match state.is_published {
            true => self.storage.sync(),
            false => self.publish(&mut state),
        }
    }

    fn discard(&self, range: ByteRange) -> blockio::Result<()> {
        self.zero_range(Operation::Discard, range)
    }

    fn write_zeroes(&self, range: ByteRange) -> blockio::Result<()> {
        self.zero_range(Operation::Zero, range)
    }

    fn block_status(&self, range: ByteRange) -> blockio::Result<BlockStatus> {
        checked_status(range, self.size())?;
        let state = self.state();
        let (start, end) = (range.start().get(), range.end().get());
        let is_data = state.place(start / CLUSTER).is_some();
        let mut number = start / CLUSTER + 1;
        let last = end.div_ceil(CLUSTER);
        while number < last && state.place(number).is_some() == is_data {
            number += 1;
        }
        let stop = (number * CLUSTER).min(end);
        let range = checked_range(Operation::Status, range.start(), stop - start, self.size())?;
        let kind = if is_data {
            BlockKind::Data
        } else {
            BlockKind::Hole
        };
        Ok(BlockStatus { range, kind })
    }
}

impl ImageDisk for Writer {
    fn close(self: Box<Self>) -> Result<(), ImageError> {
        self.flush()?;
        Ok(())
    }

    fn info(&self) -> ImageInfo {
        let state = self.state();
        let places = state.tables.values().flatten().filter(|place| **place != 0);
        let allocated = u64::try_from(places.count()).unwrap_or(0) * CLUSTER;
        ImageInfo {
            format: ImageFormat::Qcow2,
            kind: ImageKind::Dynamic,
            virtual_size: self.size(),
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B4096,
            block_size: Some(ByteCount(CLUSTER)),
            allocated: ByteCount(allocated),
            file_length: self.storage.len().unwrap_or_default(),
            ids: Vec::new(),
            creator: "qcow2 version 3".to_owned(),
            dirty_log: false,
            parent: None,
        }
    }
}

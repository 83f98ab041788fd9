//! Commit: the one place that writes tables, shared by all who wait for a flush.
//!
//! A flush either leads a commit or waits for one that began after its call; commits run one at a
//! time. Reads and writes of present blocks go on meanwhile.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use blockio::{ByteOffset, MIB, Storage, ZeroMode};

use super::bat::{BatEntry, BlockState};
use super::bitmap::BitmapPage;
use super::format::PAGE_SIZE;
use super::geometry::{BlockIndex, EntryIndex};
use super::image::{Gate, VhdxImage, lock};
use super::log::write::{Lengths, LogWriter};
use super::session::Session;
use super::space::Run;
use crate::bitmap_pages::assign;
use crate::error::ImageError;

/// Runs that may wait for a commit before one is made for their sake.
const MAX_RELEASED: usize = 1024;

/// What changed since the last commit.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// Pages of the block allocation table.
    pages: BTreeSet<u64>,
    /// Pages of sector bitmaps, each of which is pinned once for being in here.
    bitmaps: BTreeSet<BitmapPage>,
    /// Whether a page points to space that held other data before its data were written.
    needs_data_sync: bool,
    /// Space that the pages no longer point to.
    released: Vec<Run>,
}

/// Commits are numbered; one runs at a time.
#[derive(Debug, Default)]
pub(super) struct Round {
    started: u64,
    completed: u64,
    running: bool,
}

/// How a new entry for a block came about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Publication {
    /// The block was put into space.
    Placed {
        /// Whether that space was known to be zero, so that its data need not be durable first.
        on_zero: bool,
    },
    /// The block left its space.
    Left(Run),
    /// The block has its place as before, and in it data that no entry has shown yet.
    Filled,
    /// The block has its place, or none, as before.
    Unmoved,
}

/// Sectors of a block that came into a child's file.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewSectors {
    /// First sector within the block.
    pub(super) from: u64,
    /// First sector after them.
    pub(super) to: u64,
    /// Whether the block had none before, so that whatever its bits say is to be forgotten.
    pub(super) first: bool,
}

/// A page of metadata and where it stands in the file.
pub(super) type LoggedPage = (u64, Box<[u8; PAGE_SIZE]>);

struct Work {
    /// Bitmaps first, then the table from its end: see [`VhdxImage::take_work`].
    pages: Vec<LoggedPage>,
    needs_data_sync: bool,
    released: Vec<Run>,
    bitmaps: BTreeSet<BitmapPage>,
}

impl VhdxImage {
    /// Puts a new entry in force, for readers at once and on disk with the next commit. The caller
    /// holds the block's lock exclusively and has written the data.
    pub(super) fn publish(
        &self,
        block: BlockIndex,
        entry: BatEntry,
        how: Publication,
    ) -> blockio::Result<()> {
        let index = self.geometry.entry_of(block);
        let mut transaction = lock(&self.transaction);
        self.bat.store(&self.storage, index, entry)?;
        transaction.pages.insert(index.page());
        match how {
            Publication::Placed { on_zero } => {
                transaction.needs_data_sync |= !on_zero;
                self.allocated_blocks.fetch_add(1, Ordering::Relaxed);
            }
            Publication::Left(run) => {
                transaction.released.push(run);
                self.allocated_blocks.fetch_sub(1, Ordering::Relaxed);
            }
            Publication::Filled => transaction.needs_data_sync = true,
            Publication::Unmoved => {}
        }
        Ok(())
    }

    /// Gives an entry, of a block or a bitmap, another value, its content being in the new place
    /// already, or not needed; `left` is what it occupied. Nobody else uses the image meanwhile.
    pub(super) fn replace_entry(
        &self,
        index: EntryIndex,
        entry: BatEntry,
        left: Run,
    ) -> Result<(), ImageError> {
        let mut transaction = lock(&self.transaction);
        self.bat.store(&self.storage, index, entry)?;
        transaction.pages.insert(index.page());
        // The copy must be durable before anything durable points to it.
        transaction.needs_data_sync = true;
        transaction.released.push(left);
        Ok(())
    }

    /// Puts sectors of a block in force that were written into the child's file: their bits and,
    /// where it is new, the entry of the block. The caller holds the block's lock exclusively.
    pub(super) fn publish_sectors(
        &self,
        block: BlockIndex,
        entry: BatEntry,
        new: NewSectors,
        how: Publication,
    ) -> blockio::Result<()> {
        let mut transaction = lock(&self.transaction);
        // What the parent shows there is the old content, and the space may hold anything: neither
        // zeros nor what a crash left may take the place of either.
        transaction.needs_data_sync = true;
        if new.first {
            let all = self.geometry.block_size / self.metadata.logical_sector.bytes();
            self.assign_bits(&mut transaction, block, (0, all), false)?;
        }
        self.assign_bits(&mut transaction, block, (new.from, new.to), true)?;
        drop(transaction);
        match how {
            Publication::Unmoved => Ok(()),
            how => self.publish(block, entry, how),
        }
    }

    fn assign_bits(
        &self,
        transaction: &mut Transaction,
        block: BlockIndex,
        (from, to): (u64, u64),
        value: bool,
    ) -> blockio::Result<()> {
        for bits in self.page_bits(block, from, to) {
            let pin = !transaction.bitmaps.contains(&bits.page);
            let load = || self.load_bitmap(bits.page);
            let set = |words: &_| assign(words, bits.from, bits.to, value);
            self.bitmaps.change(bits.page.0, pin, load, set)?;
            transaction.bitmaps.insert(bits.page);
        }
        Ok(())
    }

    /// Gives the chunk of a block its bitmap, all bits clear, where it has none.
    pub(super) fn ensure_bitmap(&self, block: BlockIndex) -> blockio::Result<()> {
        // One at a time: blocks of one chunk have locks of their own.
        let _growing = lock(&self.bitmap_growth);
        if self.bitmap_place(block)?.is_some() {
            return Ok(());
        }
        let claim = self.space.claim(1);
        self.prepare(claim)
            .and_then(|()| {
                let index = self.geometry.bitmap_entry_of(block);
                let entry = BatEntry::present(claim.run.offset());
                let mut transaction = lock(&self.transaction);
                self.bat.store(&self.storage, index, entry)?;
                transaction.pages.insert(index.page());
                // The zeros of the bitmap count as data.
                transaction.needs_data_sync |= !claim.zero;
                Ok(())
            })
            .inspect_err(|_| self.space.release(claim.run))
    }

    /// Whether so much space waits for a commit that one should be made.
    pub(super) fn commit_is_due(&self) -> bool {
        lock(&self.transaction).released.len() >= MAX_RELEASED
    }

    /// Makes everything durable that was done before the call.
    pub(super) fn flush_session(&self) -> Result<(), ImageError> {
        if self.gate() == Gate::Closed {
            // Nothing was changed, so nothing waits; but an image that failed to begin is lost.
            return match self.is_poisoned() {
                true => Err(ImageError::Poisoned),
                false => Ok(()),
            };
        }
        let mut round = lock(&self.round);
        // A commit that runs already may have missed what this caller did: the next one counts.
        let wanted = round.started.saturating_add(1);
        loop {
            if self.is_poisoned() {
                return Err(ImageError::Poisoned);
            }
            if round.completed >= wanted {
                return Ok(());
            }
            if !round.running {
                break;
            }
            round = self
                .round_done
                .wait(round)
                .unwrap_or_else(PoisonError::into_inner);
        }
        round.running = true;
        round.started = round.started.saturating_add(1);
        let mine = round.started;
        drop(round);

        let result = self.commit(&mut lock(&self.session));
        if result.is_err() {
            // Nothing is known of what a failed write or sync left behind, and a second try would
            // be told of success by a cache that dropped the data: the image is given up.
            self.poison();
        }
        let mut round = lock(&self.round);
        round.running = false;
        round.completed = mine;
        self.round_done.notify_all();
        result
    }

    /// What a commit has to write. The order is that of the log's entries, if it takes more than
    /// one: bits before the entry that makes them count, and a chunk's bitmap, whose entry stands
    /// behind those of its blocks, before a block that needs it. So after a crash between two
    /// entries a block has no more than what it had, and never lacks its bitmap.
    fn take_work(&self) -> Result<Work, ImageError> {
        let mut transaction = lock(&self.transaction);
        let taken = std::mem::take(&mut *transaction);
        // Under the lock: a page is a copy of one moment, in which every entry and bit that it
        // shows is accounted for in `needs_data_sync` and `released`.
        let mut pages = Vec::with_capacity(taken.bitmaps.len() + taken.pages.len());
        for page in &taken.bitmaps {
            if let Some(offset) = self.bitmap_page_offset(*page)? {
                pages.push((offset, self.bitmap_snapshot(*page)));
            }
        }
        let table = taken.pages.into_iter().rev();
        pages.extend(table.map(|page| (self.bat.file_offset(page), self.bat.snapshot(page))));
        Ok(Work {
            pages,
            needs_data_sync: taken.needs_data_sync,
            released: taken.released,
            bitmaps: taken.bitmaps,
        })
    }

    /// Changes pages of metadata, all of them or none. What they point to is durable before, and
    /// nothing else waits for a commit.
    pub(super) fn commit_pages(&self, pages: &[LoggedPage]) -> Result<(), ImageError> {
        let mut session = lock(&self.session);
        let log = session.log.as_mut().ok_or(ImageError::Poisoned)?;
        if pages.len() > log.max_pages() {
            let reason = format!(
                "{} pages change at once, and the log of the image has room for {}",
                pages.len(),
                log.max_pages()
            );
            return Err(ImageError::invalid_option("change", reason));
        }
        self.log_and_write(log, pages)
            .inspect_err(|_| self.poison())
    }

    fn log_and_write(&self, log: &mut LogWriter, pages: &[LoggedPage]) -> Result<(), ImageError> {
        let lengths = Lengths {
            flushed: self.stable_length.load(Ordering::Acquire),
            last: self.space.end_bytes(),
        };
        let entry = log.append(&self.storage, lengths, pages)?;
        // After the entry and before its pages: a page in place whose entry is not durable
        // could be torn, or point past the end of a file whose growth was lost, with nothing
        // to mend it. This is also what the flush waits for: payload, growth and entry at once.
        self.sync(log)?;
        for (offset, page) in pages {
            self.storage.write_at(&page[..], ByteOffset(*offset))?;
        }
        log.applied(entry);
        Ok(())
    }

    /// Takes the bitmap of a chunk away, of whose blocks none is partially present.
    pub(super) fn drop_bitmap(&self, first: BlockIndex) -> blockio::Result<()> {
        let Some(place) = self.bitmap_place(first)? else {
            return Ok(());
        };
        let index = self.geometry.bitmap_entry_of(first);
        let none = BatEntry {
            state: BlockState::NotPresent,
            offset: 0,
        };
        let mut transaction = lock(&self.transaction);
        self.bat.store(&self.storage, index, none)?;
        transaction.pages.insert(index.page());
        transaction.released.push(Run {
            start: place / MIB,
            length: 1,
        });
        Ok(())
    }

    fn bitmap_snapshot(&self, page: BitmapPage) -> Box<[u8; PAGE_SIZE]> {
        let mut bytes = Box::new([0; PAGE_SIZE]);
        let words = self.bitmaps.copy(page.0);
        for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn commit(&self, session: &mut Session) -> Result<(), ImageError> {
        let work = self.take_work()?;
        let Some(log) = session.log.as_mut() else {
            return Err(ImageError::Poisoned);
        };
        if work.pages.is_empty() {
            // Payload alone: written in place, durable with this sync.
            return self.sync(log);
        }
        if work.needs_data_sync {
            // Before the entry: data and filling of recycled space must be durable before anything
            // durable points there, else a crash would show what was deleted from it.
            self.sync(log)?;
        }
        for pages in work.pages.chunks(log.max_pages()) {
            self.log_and_write(log, pages)?;
        }
        for page in &work.bitmaps {
            self.bitmaps.unpin(page.0);
        }
        self.free_released(work.released);
        Ok(())
    }

    /// Nothing durable points to this space any more: it may be used again.
    pub(super) fn free_released(&self, mut released: Vec<Run>) {
        released.sort_unstable();
        let mut merged: Vec<Run> = Vec::with_capacity(released.len());
        for run in released {
            match merged.last_mut() {
                Some(last) if last.end() == run.start => last.length += run.length,
                _ => merged.push(run),
            }
        }
        for run in merged {
            // Without holes in files (Windows: Hyper-V refuses sparse ones) zeros would have to be
            // written; they are, if the space is used again.
            let punched = cfg!(unix)
                && self.punches_released
                && run
                    .bytes()
                    .is_some_and(|range| self.storage.zero(range, ZeroMode::Punch).is_ok());
            match punched {
                true => self.space.note_punched(run),
                false => self.space.release(run),
            }
        }
    }

    /// A sync, and what follows from it. Called by the holder of the session alone.
    pub(super) fn sync(&self, log: &mut LogWriter) -> Result<(), ImageError> {
        // Captured before the sync begins: what happens while it runs is not covered by it.
        let length = self.file_length.load(Ordering::Acquire);
        let punched = self.space.take_punched();
        self.storage.sync()?;
        self.stable_length.store(length, Ordering::Release);
        self.space.punches_are_durable(&punched);
        log.synced();
        Ok(())
    }
}

//! Appending entries to the log of a session.
//!
//! Invariant: an entry never overwrites what the last durable entry needs for its replay, that is
//! the entries from its own tail on. No entry is longer than a quarter of the log, and a tail
//! reaches back one entry at most, so that the last durable entry, the one before it and the new
//! one have room side by side.

use blockio::{ByteOffset, ByteRange, Storage};
use uuid::Uuid;

use super::super::format::{PAGE_SIZE, index, wide};
use super::entry::{NewEntry, pages_that_fit};
use crate::error::ImageError;

/// The log of a session that is being written.
#[derive(Debug)]
pub(in super::super) struct LogWriter {
    region: ByteRange,
    guid: Uuid,
    next_sequence: u64,
    /// Where the next entry goes, in bytes from the start of the log.
    position: u64,
    /// The entry whose pages stand in their places, but not yet durably.
    unapplied: Option<u64>,
}

/// What an entry says of the file's length.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Lengths {
    /// Bytes the file is known to have after any crash.
    pub(in super::super) flushed: u64,
    /// Bytes the file needs for all that is referenced.
    pub(in super::super) last: u64,
}

impl LogWriter {
    /// A log that begins anew at the start of its region.
    pub(in super::super) fn new(region: ByteRange, guid: Uuid) -> Self {
        Self {
            region,
            guid,
            next_sequence: 1,
            position: 0,
            unapplied: None,
        }
    }

    /// The identifier of the log.
    pub(in super::super) fn guid(&self) -> Uuid {
        self.guid
    }

    /// Most pages of one entry.
    pub(in super::super) fn max_pages(&self) -> usize {
        pages_that_fit(self.region.len().get() / 4).max(1)
    }

    /// Writes an entry and gives its place, for [`LogWriter::applied`]. It is durable, and may be
    /// applied, after the next sync only.
    pub(in super::super) fn append(
        &mut self,
        storage: &dyn Storage,
        lengths: Lengths,
        pages: &[(u64, Box<[u8; PAGE_SIZE]>)],
    ) -> Result<u64, ImageError> {
        const RULE: &str = "MS-VHDX 2.3.1";
        let too_large = || ImageError::damaged(RULE, "log entry does not fit its fields");
        let start = self.position;
        let tail = self.unapplied.unwrap_or(start);
        let entry = NewEntry {
            log_guid: self.guid,
            sequence_number: self.next_sequence,
            tail: u32::try_from(tail).map_err(|_| too_large())?,
            flushed_file_offset: lengths.flushed,
            last_file_offset: lengths.last,
            pages,
        };
        let bytes = entry.encode().ok_or_else(too_large)?;
        let log_length = self.region.len().get();
        let before_end = index(log_length - start).min(bytes.len());
        let (first, wrapped) = bytes.split_at(before_end);
        let base = self.region.start().get();
        storage.write_at(first, ByteOffset(base.saturating_add(start)))?;
        if !wrapped.is_empty() {
            storage.write_at(wrapped, ByteOffset(base))?;
        }
        self.next_sequence = self.next_sequence.saturating_add(1);
        self.position = start.saturating_add(wide(bytes.len())) % log_length;
        Ok(start)
    }

    /// The pages of the entry at `start` were written to their places.
    pub(in super::super) fn applied(&mut self, start: u64) {
        self.unapplied = Some(start);
    }

    /// A sync that began after all calls of [`LogWriter::applied`] has completed.
    pub(in super::super) fn synced(&mut self) {
        self.unapplied = None;
    }

    /// Whether pages stand in their places that are not yet durable there.
    pub(in super::super) fn has_unapplied(&self) -> bool {
        self.unapplied.is_some()
    }
}

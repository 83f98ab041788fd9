//! Finding the active sequence of a dirty log ([MS-VHDX] 2.3.3) and what its replay does.
//!
//! Invariant: the work is bounded by the length of the log, whatever its bytes are: entries that
//! overlap may cost their checksums only [`CHECKSUM_BUDGET`] times over.

use std::collections::BTreeMap;

use blockio::{ByteCount, ByteOffset, ByteRange, Storage, ZeroMode};
use uuid::Uuid;
use zerocopy::FromBytes;

use super::super::format::{
    LOG_ENTRY_SIGNATURE, LogEntryHeader, MAX_FILE_LENGTH, MAX_LOG_LENGTH, PAGE, PAGE_SIZE,
    REGION_TABLE_OFFSETS, index,
};
use super::entry::{Change, EntryHeader};
use crate::error::ImageError;

const RULE: &str = "MS-VHDX 2.3.3";
/// Bytes that may be summed while entries are looked for, in lengths of the log. In a log that a
/// writer left, entries do not overlap but for remains of the lap before: two lengths would do.
const CHECKSUM_BUDGET: u64 = 16;
/// Most changes of zero descriptors that an overlay keeps apart.
const MAX_ZERO_RANGES: usize = 4096;

/// The effect of a log on the file, in the form that a reader can look through.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Overlay {
    /// Pages by their byte offset in the file.
    pages: BTreeMap<u64, Box<[u8; PAGE_SIZE]>>,
    /// Ranges that became zero before the pages in `pages` were written; start to end.
    zeros: Vec<(u64, u64)>,
    /// Bytes the file has after the replay.
    file_length: u64,
    /// Number of entries in the active sequence.
    entries: usize,
}

struct Candidate {
    header: EntryHeader,
    changes: Vec<Change>,
}

/// Reads the log of `storage` and finds out what its replay does; changes nothing.
///
/// # Errors
/// `Damaged` where the log holds no whole sequence or the file was cut off after the log was
/// written; `Unsupported` for a log larger than any writer makes.
pub(in super::super) fn read_log(
    storage: &dyn Storage,
    log: ByteRange,
    log_guid: Uuid,
) -> Result<Overlay, ImageError> {
    let file_length = storage.len()?.get();
    read_log_for(storage, log, log_guid, file_length)
}

/// Reads a log that may be one of a closed session, after which the file was cut to what it needs:
/// what the log says of the file's length does not count.
///
/// # Errors
/// As for [`read_log`].
pub(in super::super) fn read_former_log(
    storage: &dyn Storage,
    log: ByteRange,
    log_guid: Uuid,
) -> Result<Overlay, ImageError> {
    read_log_for(storage, log, log_guid, MAX_FILE_LENGTH)
}

/// As [`read_log`]; `vouched_length` is what the file is held to have for what the log vouches for.
fn read_log_for(
    storage: &dyn Storage,
    log: ByteRange,
    log_guid: Uuid,
    vouched_length: u64,
) -> Result<Overlay, ImageError> {
    let file_length = storage.len()?.get();
    let at = log.start();
    if log.is_empty() || log.end().get() > file_length {
        let message = format!("log at {log} lies outside the file of {file_length} bytes");
        return Err(ImageError::damaged_at("MS-VHDX 2.3", at, message));
    }
    if log.len().get() > MAX_LOG_LENGTH {
        return Err(ImageError::unsupported(format!("log of {}", log.len())));
    }
    let mut bytes = vec![0; index(log.len().get())];
    storage.read_at(&mut bytes, at)?;
    let (mut entries, headers) = scan(&bytes, log_guid)
        .ok_or_else(|| ImageError::damaged_at(RULE, at, "log is full of overlapping entries"))?;
    if entries.is_empty() && headers <= 1 {
        // QEMU names the log in the header before it writes its first entry: a crash there leaves
        // a log without an entry, or with a torn one that was never applied.
        return Ok(Overlay {
            file_length,
            ..Overlay::default()
        });
    }
    let (head, sequence) = active_sequence(&entries, log.len().get()).ok_or_else(|| {
        ImageError::damaged_at(RULE, at, "log holds no whole sequence of entries")
    })?;
    if head.flushed_file_offset > vouched_length {
        let message = format!(
            "file of {file_length} bytes was cut off: its log was written for at least {}",
            head.flushed_file_offset
        );
        return Err(ImageError::damaged(RULE, message));
    }
    if head.last_file_offset > MAX_FILE_LENGTH {
        let message = format!("log asks for a file of {} bytes", head.last_file_offset);
        return Err(ImageError::damaged_at("MS-VHDX 2.3.1.1", at, message));
    }
    let mut overlay = Overlay {
        file_length: file_length.max(head.last_file_offset),
        ..Overlay::default()
    };
    for offset in sequence {
        if let Some(entry) = entries.remove(&offset) {
            overlay.entries += 1;
            for change in entry.changes {
                overlay.add(change, log)?;
            }
        }
    }
    Ok(overlay)
}

/// The identifiers that the entries of a log carry, the remains of former sessions included; at
/// most `limit` of them.
pub(in super::super) fn identifiers(
    storage: &dyn Storage,
    log: ByteRange,
    limit: usize,
) -> Result<Vec<Uuid>, ImageError> {
    let mut found: Vec<Uuid> = Vec::new();
    let mut page = [0; PAGE_SIZE];
    let mut at = log.start().get();
    while at < log.end().get() && found.len() < limit {
        storage.read_at(&mut page, ByteOffset(at))?;
        if let Ok((entry, _)) = LogEntryHeader::ref_from_prefix(&page)
            && entry.signature == LOG_ENTRY_SIGNATURE
            && !found.contains(&entry.log_guid.into())
        {
            found.push(entry.log_guid.into());
        }
        at = at.saturating_add(PAGE);
    }
    Ok(found)
}

/// All whole entries by their offset in the log, and the number of headers, also of torn entries;
/// `None` where the checksums cost too much.
fn scan(log: &[u8], log_guid: Uuid) -> Option<(BTreeMap<u64, Candidate>, u64)> {
    let length = u64::try_from(log.len()).ok()?;
    let mut budget = length.checked_mul(CHECKSUM_BUDGET)?;
    let (mut entries, mut headers) = (BTreeMap::new(), 0);
    let mut joined = Vec::new();
    for (page, offset) in log
        .chunks_exact(PAGE_SIZE)
        .zip((0..length).step_by(PAGE_SIZE))
    {
        let Some(header) = EntryHeader::decode(page, log_guid, length) else {
            continue;
        };
        headers += 1;
        budget = budget.checked_sub(header.length)?;
        let (start, end) = (index(offset), index(offset.checked_add(header.length)?));
        let entry = match log.get(start..end) {
            Some(entry) => entry,
            None => {
                // The entry runs past the end of the ring and goes on at its start.
                joined.clear();
                joined.extend_from_slice(&log[start..]);
                joined.extend_from_slice(&log[..end - log.len()]);
                &joined
            }
        };
        if let Some(changes) = header.changes(entry) {
            entries.insert(offset, Candidate { header, changes });
        }
    }
    Some((entries, headers))
}

/// The head with the highest sequence number whose tail leads to it without a gap, and the offsets
/// of its entries in order.
fn active_sequence(
    entries: &BTreeMap<u64, Candidate>,
    log_length: u64,
) -> Option<(EntryHeader, Vec<u64>)> {
    let mut heads: Vec<_> = entries.iter().collect();
    heads.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.header.sequence_number));
    heads.into_iter().find_map(|(offset, head)| {
        let sequence = walk(entries, *offset, &head.header, log_length)?;
        Some((head.header.clone(), sequence))
    })
}

/// The entries from the tail of `head` to `head` itself; `None` where one is missing.
fn walk(
    entries: &BTreeMap<u64, Candidate>,
    head_offset: u64,
    head: &EntryHeader,
    log_length: u64,
) -> Option<Vec<u64>> {
    let mut offset = head.tail;
    let mut expected = entries.get(&offset)?.header.sequence_number;
    let mut used = 0_u64;
    let mut sequence = Vec::new();
    loop {
        let entry = &entries.get(&offset)?.header;
        used = used.checked_add(entry.length)?;
        if entry.sequence_number != expected || used > log_length {
            return None;
        }
        sequence.push(offset);
        if offset == head_offset {
            return Some(sequence);
        }
        expected = expected.checked_add(1)?;
        offset = offset.checked_add(entry.length)? % log_length;
    }
}

impl Overlay {
    /// Bytes the file has after the replay.
    pub(in super::super) fn file_length(&self) -> u64 {
        self.file_length
    }

    /// Number of entries in the active sequence.
    pub(in super::super) fn entry_count(&self) -> usize {
        self.entries
    }

    /// Whether the replay changes no byte (it may still grow the file).
    pub(in super::super) fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.zeros.is_empty()
    }

    /// Whether the file holds already what a replay would write; its length does not count.
    pub(in super::super) fn is_in(&self, storage: &dyn Storage) -> Result<bool, ImageError> {
        let length = storage.len()?.get();
        if !self.zeros.is_empty() {
            return Ok(false);
        }
        let mut found = [0; PAGE_SIZE];
        for (offset, page) in &self.pages {
            if offset.saturating_add(PAGE) > length {
                return Ok(false);
            }
            storage.read_at(&mut found, ByteOffset(*offset))?;
            if found != **page {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn add(&mut self, change: Change, log: ByteRange) -> Result<(), ImageError> {
        let (offset, length) = match &change {
            Change::Page { offset, .. } => (*offset, PAGE),
            Change::Zero { offset, length } => (*offset, *length),
        };
        let end = offset.saturating_add(length);
        let inside = offset >= REGION_TABLE_OFFSETS[0] && end <= self.file_length;
        let over_log = offset < log.end().get() && end > log.start().get();
        if !inside || (over_log && length > 0) {
            let message = format!("log entry changes {length:#x} bytes at {offset:#x}");
            return Err(ImageError::damaged(RULE, message));
        }
        match change {
            Change::Page { offset, page } => {
                self.pages.insert(offset, page);
            }
            Change::Zero { length: 0, .. } => {}
            Change::Zero { .. } => {
                let covered: Vec<u64> = self.pages.range(offset..end).map(|(at, _)| *at).collect();
                for at in covered {
                    self.pages.remove(&at);
                }
                self.zeros.push((offset, end));
                if self.zeros.len() > MAX_ZERO_RANGES {
                    return Err(ImageError::unsupported(
                        "log with too many zero descriptors",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Puts what the log says over bytes that were read from `offset` of the file.
    pub(in super::super) fn apply_to_buffer(&self, buf: &mut [u8], offset: u64) {
        let end = offset.saturating_add(u64::try_from(buf.len()).unwrap_or(u64::MAX));
        for (from, to) in &self.zeros {
            let (from, to) = ((*from).max(offset), (*to).min(end));
            if from < to {
                buf[index(from - offset)..index(to - offset)].fill(0);
            }
        }
        let first = offset.saturating_sub(PAGE - 1);
        for (at, page) in self.pages.range(first..end) {
            let (from, to) = ((*at).max(offset), at.saturating_add(PAGE).min(end));
            buf[index(from - offset)..index(to - offset)]
                .copy_from_slice(&page[index(from - at)..index(to - at)]);
        }
    }

    /// Writes what the log says into the file. The caller syncs before and after.
    pub(in super::super) fn apply_to_file(&self, storage: &dyn Storage) -> Result<(), ImageError> {
        if storage.len()?.get() < self.file_length {
            storage.set_len(ByteCount(self.file_length))?;
        }
        for (from, to) in &self.zeros {
            if let Some(range) = ByteRange::between(ByteOffset(*from), ByteOffset(*to)) {
                storage.zero(range, ZeroMode::KeepAllocated)?;
            }
        }
        for (offset, page) in &self.pages {
            storage.write_at(&page[..], ByteOffset(*offset))?;
        }
        Ok(())
    }

    /// The pages and ranges that the overlay changes, as ranges of the file.
    pub(in super::super) fn changes(&self, range: ByteRange) -> bool {
        let (start, end) = (range.start().get(), range.end().get());
        self.zeros
            .iter()
            .any(|(from, to)| *from < end && *to > start)
            || self
                .pages
                .range(start.saturating_sub(PAGE - 1)..end)
                .next()
                .is_some()
    }
}

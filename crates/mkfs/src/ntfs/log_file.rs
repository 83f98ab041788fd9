//! `$LogFile`: a log with nothing to be done, as Windows leaves it where it dismounts a new volume.
//!
//! ```text
//!   page 0, 1    restart pages: the log is clean, its client NTFS, the last record is the checkpoint
//!   page 2, 3    copies of the page that was written last, which name its home
//!   page 34      its home: a record that does nothing, and the checkpoint that begins with it
//!   all others   0xFF, never used
//! ```
//! Reading at the mount begins with the checkpoint and ends behind it.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use super::format::FIXUP_STRIDE;
use super::log_format::{
    CHANGE, CHECKPOINT, Checkpoint, HOLDS_CHECKPOINT, IS_CLEAN, LogClient, LogRecord, NO_CLIENT,
    PAGE, RECORDS, RECORDS_FIXUP, RESTART_AREA, RESTART_FIXUP, RecordsPage, RestartArea,
    RestartPage,
};
use super::narrow::{to_u16, to_u32, to_usize, wide};
use super::record::protect_as;
use super::stream::Writer;
use crate::error::MkfsError;

const UNUSED: u8 = 0xFF;
const CHUNK: u64 = 64 * 1024;
/// Pages at the start of the log: two restart pages and two copies.
const HEAD_PAGES: u64 = 4;
/// The page after those that a log of version 2 keeps for copies: where Windows, which keeps its log so
/// while a volume is mounted, puts the first records.
const HOME: u64 = 34;
/// How often the log was filled, as the first records of Windows say.
const SEQUENCE: u64 = 2;
/// Bytes of the record that does nothing: a change without data.
const NOTHING: usize = 0x38;
/// The number by which it is known which transaction did it.
const TRANSACTION: u32 = 0x18;
const FIXUP_COUNT: usize = 1 + PAGE / FIXUP_STRIDE;

/// A log of so many bytes, a power of two, on a volume with such clusters.
#[derive(Clone, Copy, Debug)]
pub(super) struct CleanLog {
    pub size: u64,
    pub cluster: u64,
}

impl CleanLog {
    /// Writes the log at a position of the volume.
    pub(super) fn write(&self, writer: &mut Writer<'_>, position: u64) -> Result<(), MkfsError> {
        let chunk = vec![UNUSED; to_usize(CHUNK, "a log")?];
        let mut done = 0;
        while done < self.size {
            let mut bytes = chunk.as_slice();
            let own;
            if done <= HOME * wide(PAGE) {
                own = self.chunk(done / wide(PAGE), &chunk)?;
                bytes = &own;
            }
            let count = to_usize((self.size - done).min(CHUNK), "a log")?;
            writer.write(position + done, &bytes[..count])?;
            done += CHUNK;
        }
        Ok(())
    }

    /// The bytes from a page on.
    fn chunk(&self, first: u64, unused: &[u8]) -> Result<Vec<u8>, MkfsError> {
        let mut bytes = unused.to_vec();
        for (number, page) in (first..).zip(bytes.chunks_exact_mut(PAGE)) {
            match number {
                // The second is one update behind the first.
                0 => page.copy_from_slice(&self.restart_page(2)?),
                1 => page.copy_from_slice(&self.restart_page(1)?),
                2..HEAD_PAGES => page.copy_from_slice(&self.records(HOME * wide(PAGE))?),
                HOME => page.copy_from_slice(&self.records(self.number(self.checkpoint_at()))?),
                _ => {}
            }
        }
        Ok(bytes)
    }

    /// Bits of a record's number that are no place: places are counted in eight bytes.
    fn sequence_bits(&self) -> u32 {
        self.size.leading_zeros() + 3
    }

    /// The number of a record at a place in the log.
    fn number(&self, place: u64) -> u64 {
        SEQUENCE << (u64::BITS - self.sequence_bits()) | place >> 3
    }

    /// Where the record stands that does nothing.
    fn nothing_at(&self) -> u64 {
        HOME * wide(PAGE) + wide(RECORDS)
    }

    fn checkpoint_at(&self) -> u64 {
        self.nothing_at() + wide(size_of::<LogRecord>() + NOTHING)
    }

    fn restart_page(&self, update: u16) -> Result<Vec<u8>, MkfsError> {
        const WHAT: &str = "a log";
        let page_size = U32::new(to_u32(PAGE, WHAT)?);
        let head = RestartPage {
            magic: *b"RSTR",
            fixup_offset: U16::new(to_u16(RESTART_FIXUP, WHAT)?),
            fixup_count: U16::new(to_u16(FIXUP_COUNT, WHAT)?),
            checked: U64::ZERO,
            restart_page_size: page_size,
            record_page_size: page_size,
            area_offset: U16::new(to_u16(RESTART_AREA, WHAT)?),
            minor_version: U16::new(1),
            major_version: U16::new(1),
        };
        let name = "NTFS";
        let mut client = LogClient {
            oldest: U64::new(self.number(self.nothing_at())),
            checkpoint: U64::new(self.number(self.checkpoint_at())),
            previous: U16::new(NO_CLIENT),
            next: U16::new(NO_CLIENT),
            sequence: U16::ZERO,
            unused: [0; 6],
            name_length: U32::new(to_u32(2 * name.len(), WHAT)?),
            name: [U16::ZERO; 64],
        };
        for (place, unit) in client.name.iter_mut().zip(name.encode_utf16()) {
            *place = U16::new(unit);
        }
        let area = RestartArea {
            current: client.checkpoint,
            clients: U16::new(1),
            free_clients: U16::new(NO_CLIENT),
            clients_in_use: U16::ZERO,
            flags: U16::new(IS_CLEAN),
            sequence_bits: U32::new(self.sequence_bits()),
            length: U16::new(to_u16(size_of::<RestartArea>(), WHAT)?),
            clients_offset: U16::new(to_u16(
                size_of::<RestartArea>() - size_of::<LogClient>(),
                WHAT,
            )?),
            log_size: U64::new(self.size),
            last_data: U32::new(to_u32(size_of::<Checkpoint>(), WHAT)?),
            record_head: U16::new(to_u16(size_of::<LogRecord>(), WHAT)?),
            records_offset: U16::new(to_u16(RECORDS, WHAT)?),
            revision: U32::new(1),
            unused: U32::ZERO,
            unused2: [0; 16],
            client,
        };
        let mut bytes = vec![0; PAGE];
        bytes[..RESTART_FIXUP].copy_from_slice(head.as_bytes());
        bytes[RESTART_AREA..][..size_of::<RestartArea>()].copy_from_slice(area.as_bytes());
        protect_as(&mut bytes, RESTART_FIXUP, update);
        Ok(bytes)
    }

    /// The page of both records, with the number of the last one, or in a copy the place of its home.
    fn records(&self, last_or_home: u64) -> Result<Vec<u8>, MkfsError> {
        const WHAT: &str = "a log";
        let nothing = self.number(self.nothing_at());
        let last = self.number(self.checkpoint_at());
        let record = |number, kind, length, transaction| -> Result<LogRecord, MkfsError> {
            Ok(LogRecord {
                number: U64::new(number),
                previous: U64::ZERO,
                undo_next: U64::ZERO,
                data_length: U32::new(to_u32(length, WHAT)?),
                client: U32::ZERO,
                kind: U32::new(kind),
                transaction: U32::new(transaction),
                flags: U16::ZERO,
                unused: [0; 6],
            })
        };
        let checkpoint = Checkpoint {
            major_version: U32::new(1),
            minor_version: U32::ZERO,
            start: U64::new(nothing),
            tables: [U64::ZERO; 6],
            journal_offset: U64::ZERO,
            before: U64::new(self.number(0)),
            cluster_size: U32::new(u32::try_from(self.cluster).unwrap_or(0)),
            unused: U32::ZERO,
            journal: [U64::ZERO; 2],
            oldest: U64::new(nothing),
        };
        let length = size_of::<Checkpoint>();
        let records = [
            record(nothing, CHANGE, NOTHING, TRANSACTION)?.as_bytes(),
            &[0; NOTHING],
            record(last, CHECKPOINT, length, 0)?.as_bytes(),
            checkpoint.as_bytes(),
        ]
        .concat();
        let head = RecordsPage {
            magic: *b"RCRD",
            fixup_offset: U16::new(to_u16(RECORDS_FIXUP, WHAT)?),
            fixup_count: U16::new(to_u16(FIXUP_COUNT, WHAT)?),
            last_or_home: U64::new(last_or_home),
            flags: U32::new(HOLDS_CHECKPOINT),
            page_count: U16::new(1),
            page_position: U16::new(1),
            next_record: U16::new(to_u16(RECORDS + records.len(), WHAT)?),
            unused: [0; 6],
            last_end: U64::new(last),
        };
        let mut bytes = vec![0; PAGE];
        bytes[..RECORDS_FIXUP].copy_from_slice(head.as_bytes());
        bytes[RECORDS..][..records.len()].copy_from_slice(&records);
        protect_as(&mut bytes, RECORDS_FIXUP, 1);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::unprotect;
    use super::*;

    const LOG: CleanLog = CleanLog {
        size: 2 * 1024 * 1024,
        cluster: 4096,
    };

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn numbers_lead_to_records_as_they_do_in_logs_of_windows() {
        // Those of ntfs-parent.vhdx end with 0x184415 at 0x220a8: filled once more, else the same.
        assert_eq!(LOG.sequence_bits(), 45);
        assert_eq!(LOG.number(LOG.nothing_at()), 0x10_4408);
        assert_eq!(
            (LOG.checkpoint_at(), LOG.number(LOG.checkpoint_at())),
            (0x2_20A8, 0x10_4415)
        );
        let large = CleanLog {
            size: 4 * 1024 * 1024,
            ..LOG
        };
        assert_eq!(large.sequence_bits(), 44);
        assert_eq!(large.number(large.nothing_at()), 0x20_4408);
    }

    #[test]
    fn both_restart_pages_say_clean_and_one_is_an_update_behind() {
        let mut pages = [LOG.restart_page(2).unwrap(), LOG.restart_page(1).unwrap()];
        for page in &mut pages {
            unprotect(page, RESTART_FIXUP).unwrap();
        }
        assert_eq!(pages[0][0x20..], pages[1][0x20..]);
        assert_eq!(u64_at(&pages[0], 0x30), 0x10_4415);
        // Clients, none free, the first in use, clean; bits of the sequence.
        assert_eq!(
            pages[0][0x38..0x44],
            [1, 0, 0xFF, 0xFF, 0, 0, 2, 0, 45, 0, 0, 0]
        );
        assert_eq!(u64_at(&pages[0], 0x70), 0x10_4408);
        assert_eq!(u64_at(&pages[0], 0x78), 0x10_4415);
        assert_eq!(pages[0][0x90..0x98], *b"N\0T\0F\0S\0");
    }

    #[test]
    fn the_checkpoint_stands_where_its_number_says_and_begins_with_the_record_before_it() {
        let mut page = LOG
            .chunk(32, &[UNUSED; 16 * PAGE])
            .unwrap()
            .split_off(2 * PAGE);
        page.truncate(PAGE);
        unprotect(&mut page, RECORDS_FIXUP).unwrap();
        assert_eq!(
            (u64_at(&page, 8), u64_at(&page, 0x20)),
            (0x10_4415, 0x10_4415)
        );
        assert_eq!(page[0x18..0x1A], [0x48, 1]);
        assert_eq!(u64_at(&page, 0x40), 0x10_4408);
        assert_eq!(u64_at(&page, 0xA8), 0x10_4415);
        assert_eq!(u64_at(&page, 0xE0), 0x10_4408);
        assert_eq!(u64_at(&page, 0x120), 0x10_0000);
        assert_eq!(page[0x128..0x12C], [0, 0x10, 0, 0]);
    }
}

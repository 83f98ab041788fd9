//! What stands in `$LogFile`, byte for byte: the pages of a log that was closed cleanly. The names of the
//! fields are those of public parsers (`dfir_ntfs`, Linux-NTFS); their values those of volumes that
//! Windows dismounted.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a page.
pub(super) const PAGE: usize = 4096;
/// Where the restart area stands in its page.
pub(super) const RESTART_AREA: usize = 0x30;
/// Where the update sequence of a restart page stands.
pub(super) const RESTART_FIXUP: usize = 0x1E;
/// Where that of a page of records stands.
pub(super) const RECORDS_FIXUP: usize = 0x28;
/// Where the records of a page begin.
pub(super) const RECORDS: usize = 0x40;
/// No client, in lists of them.
pub(super) const NO_CLIENT: u16 = 0xFFFF;
/// The volume was dismounted cleanly.
pub(super) const IS_CLEAN: u16 = 2;
/// A record ends in the page, and it is a checkpoint.
pub(super) const HOLDS_CHECKPOINT: u32 = 3;
/// A record of a change.
pub(super) const CHANGE: u32 = 1;
/// A record of a checkpoint.
pub(super) const CHECKPOINT: u32 = 2;

/// Head of the first two pages.
#[derive(IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RestartPage {
    pub magic: [u8; 4],
    pub fixup_offset: U16,
    pub fixup_count: U16,
    /// What a check of the disk found last.
    pub checked: U64,
    pub restart_page_size: U32,
    pub record_page_size: U32,
    pub area_offset: U16,
    pub minor_version: U16,
    pub major_version: U16,
}
const _: () = assert!(size_of::<RestartPage>() == RESTART_FIXUP);

/// What is known of the log, with its one client.
#[derive(IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RestartArea {
    /// Number of the last record.
    pub current: U64,
    pub clients: U16,
    pub free_clients: U16,
    pub clients_in_use: U16,
    pub flags: U16,
    /// Bits of a record's number that count how often the log was filled.
    pub sequence_bits: U32,
    pub length: U16,
    pub clients_offset: U16,
    pub log_size: U64,
    /// Bytes of the last record without its head.
    pub last_data: U32,
    pub record_head: U16,
    pub records_offset: U16,
    /// Counts how often the log was opened, from any number on.
    pub revision: U32,
    pub unused: U32,
    pub unused2: [u8; 16],
    pub client: LogClient,
}
const _: () = assert!(size_of::<RestartArea>() == 0xE0);

/// Who writes records: the file system.
#[derive(IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LogClient {
    /// The first record that it still needs.
    pub oldest: U64,
    /// Its last checkpoint.
    pub checkpoint: U64,
    pub previous: U16,
    pub next: U16,
    pub sequence: U16,
    pub unused: [u8; 6],
    /// Bytes.
    pub name_length: U32,
    pub name: [U16; 64],
}
const _: () = assert!(size_of::<LogClient>() == 0xA0);

/// Head of a page of records; the update sequence follows.
#[derive(IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RecordsPage {
    pub magic: [u8; 4],
    pub fixup_offset: U16,
    pub fixup_count: U16,
    /// Number of the last record in it; in a copy, where in the log the page belongs.
    pub last_or_home: U64,
    pub flags: U32,
    pub page_count: U16,
    pub page_position: U16,
    pub next_record: U16,
    pub unused: [u8; 6],
    pub last_end: U64,
}
const _: () = assert!(size_of::<RecordsPage>() == RECORDS_FIXUP);

/// Head of a record.
#[derive(IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LogRecord {
    pub number: U64,
    pub previous: U64,
    pub undo_next: U64,
    /// Bytes after the head.
    pub data_length: U32,
    pub client: U32,
    pub kind: U32,
    pub transaction: U32,
    pub flags: U16,
    pub unused: [u8; 6],
}
const _: () = assert!(size_of::<LogRecord>() == 0x30);

/// A checkpoint without open files, dirty pages and transactions.
#[derive(IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Checkpoint {
    pub major_version: U32,
    pub minor_version: U32,
    /// Where reading begins.
    pub start: U64,
    /// Records and lengths of four tables; none.
    pub tables: [U64; 6],
    pub journal_offset: U64,
    /// The last record when the log was opened.
    pub before: U64,
    pub cluster_size: U32,
    pub unused: U32,
    pub journal: [U64; 2],
    pub oldest: U64,
}
const _: () = assert!(size_of::<Checkpoint>() == 0x70);

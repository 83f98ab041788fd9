//! The log in pieces: entries written are read back, and torn or stale ones are left out.

use blockio::{ByteCount, ByteOffset, ByteRange, MIB, MemoryStorage, SimStorage, Storage};
use uuid::Uuid;

use super::entry::{EntryHeader, NewEntry, pages_that_fit};
use super::replay::{Overlay, read_log};
use super::write::{Lengths, LogWriter};
use crate::error::{ImageError, ImageErrorKind};
use crate::vhdx::format::{PAGE_SIZE, index};

const GUID: Uuid = Uuid::from_u128(0x1234);
const FILE: u64 = 8 * MIB;

fn log() -> ByteRange {
    ByteRange::new(ByteOffset(MIB), ByteCount(MIB)).unwrap()
}

fn page(byte: u8) -> Box<[u8; PAGE_SIZE]> {
    let mut page = Box::new([byte; PAGE_SIZE]);
    page[0] = byte.wrapping_add(1);
    page[PAGE_SIZE - 1] = byte.wrapping_add(2);
    page
}

fn lengths() -> Lengths {
    Lengths {
        flushed: FILE,
        last: FILE,
    }
}

/// A file with a log in which a writer left entries of these pages.
fn written(entries: &[&[(u64, u8)]]) -> MemoryStorage {
    let storage = MemoryStorage::default();
    storage.set_len(ByteCount(FILE)).unwrap();
    let mut writer = LogWriter::new(log(), GUID);
    writer.append(&storage, lengths(), &[]).unwrap();
    for entry in entries {
        let pages: Vec<_> = entry.iter().map(|(at, byte)| (*at, page(*byte))).collect();
        let start = writer.append(&storage, lengths(), &pages).unwrap();
        writer.applied(start);
    }
    storage
}

fn read(storage: &MemoryStorage) -> Result<Overlay, ImageError> {
    read_log(storage, log(), GUID)
}

fn seen(overlay: &Overlay, offset: u64) -> Vec<u8> {
    let mut bytes = vec![0; PAGE_SIZE];
    overlay.apply_to_buffer(&mut bytes, offset);
    bytes
}

#[test]
fn an_entry_reads_back_as_it_was_written() {
    let pages = [(3 * MIB, page(7)), (4 * MIB, page(9))];
    let entry = NewEntry {
        log_guid: GUID,
        sequence_number: 0x1_0000_0002,
        tail: 4096,
        flushed_file_offset: 5,
        last_file_offset: 6,
        pages: &pages,
    };
    let bytes = entry.encode().unwrap();
    let header = EntryHeader::decode(&bytes, GUID, MIB).unwrap();
    assert_eq!((header.sequence_number, header.tail), (0x1_0000_0002, 4096));
    assert_eq!(header.changes(&bytes).unwrap().len(), 2);
    assert!(EntryHeader::decode(&bytes, Uuid::nil(), MIB).is_none());
    for at in [0, 4, 8, 70, 4096, 8191, 9000] {
        let mut torn = bytes.clone();
        torn[at] ^= 1;
        let decoded = EntryHeader::decode(&torn, GUID, MIB);
        assert!(decoded.is_none_or(|header| header.changes(&torn).is_none()));
    }
}

#[test]
fn an_entry_of_a_quarter_of_the_log_holds_as_many_pages_as_fit() {
    assert_eq!(pages_that_fit(MIB / 4), 63);
    assert_eq!(pages_that_fit(MIB), 254);
    assert_eq!(pages_that_fit(4096), 0);
}

#[test]
fn replay_gives_the_last_word_on_each_page() {
    let storage = written(&[&[(3 * MIB, 1), (4 * MIB, 2)], &[(3 * MIB, 5)]]);
    let overlay = read(&storage).unwrap();
    assert_eq!(seen(&overlay, 3 * MIB), page(5).to_vec());
    // The second entry says that the first is needed still.
    assert_eq!(seen(&overlay, 4 * MIB), page(2).to_vec());
    assert_eq!(seen(&overlay, 5 * MIB), vec![0; PAGE_SIZE]);
    let mut across = [0; 16];
    overlay.apply_to_buffer(&mut across, 3 * MIB + 4088);
    assert_eq!(across, [5, 5, 5, 5, 5, 5, 5, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
    overlay.apply_to_file(&storage).unwrap();
    let mut bytes = vec![0; PAGE_SIZE];
    storage.read_at(&mut bytes, ByteOffset(3 * MIB)).unwrap();
    assert_eq!(bytes, page(5).to_vec());
}

#[test]
fn a_torn_last_entry_leaves_the_one_before_it() {
    let storage = written(&[&[(3 * MIB, 1)], &[(3 * MIB, 5)]]);
    // The empty entry takes 4 KiB, the first one 8 KiB; this is in the data of the second.
    let torn = MIB + 4096 + 8192 + 5000;
    storage.write_at(&[0xff; 512], ByteOffset(torn)).unwrap();
    let overlay = read(&storage).unwrap();
    assert_eq!(seen(&overlay, 3 * MIB), page(1).to_vec());
}

#[test]
fn entries_of_an_older_log_are_not_replayed() {
    let storage = written(&[&[(3 * MIB, 1)], &[(3 * MIB, 5)]]);
    let other = Uuid::from_u128(99);
    let overlay = read_log(&storage, log(), other).unwrap();
    assert!(overlay.is_empty() && overlay.entry_count() == 0);
}

#[test]
fn a_log_whose_every_entry_is_torn_is_damage() {
    let storage = written(&[&[(3 * MIB, 1)], &[(3 * MIB, 5)]]);
    for at in [64, 4096 + 64, 4096 + 8192 + 64] {
        let bytes = [0xff; 64];
        storage.write_at(&bytes, ByteOffset(MIB + at)).unwrap();
    }
    let error = read(&storage).err().unwrap();
    assert_eq!(error.kind(), ImageErrorKind::Damaged);
}

#[test]
fn a_file_that_was_cut_off_after_its_log_was_written_is_refused() {
    let storage = written(&[&[(3 * MIB, 1)]]);
    storage.set_len(ByteCount(FILE - 1)).unwrap();
    let error = read(&storage).err().unwrap();
    assert!(error.to_string().contains("cut off"), "{error}");
}

#[test]
fn an_entry_that_would_change_headers_or_log_is_refused() {
    for target in [0, 64 * 1024, MIB, 2 * MIB - 4096, FILE, u64::MAX - 4095] {
        let storage = written(&[&[(target, 1)]]);
        let error = read(&storage).err();
        // What does not fit 64 bits is no entry at all; the empty one before it counts.
        let refused = error.is_some_and(|error| error.kind() == ImageErrorKind::Damaged);
        assert!(refused || target > FILE, "{target:#x}");
    }
}

#[test]
fn the_ring_wraps_and_the_last_entries_are_found_across_its_end() {
    let storage = SimStorage::new();
    storage.set_len(ByteCount(FILE)).unwrap();
    let mut writer = LogWriter::new(log(), GUID);
    for round in 0..300_u64 {
        let byte = u8::try_from(round % 250).unwrap();
        let pages = [(3 * MIB + round % 9 * 4096, page(byte))];
        let start = writer.append(&storage, lengths(), &pages).unwrap();
        writer.synced();
        writer.applied(start);
        let overlay = read_log(&storage, log(), GUID).unwrap();
        let expected = page(byte).to_vec();
        assert_eq!(seen(&overlay, pages[0].0), expected, "round {round}");
        assert!(overlay.entry_count() <= 2);
    }
    assert_eq!(writer.max_pages(), 63);
    assert_eq!(index(FILE), 8 << 20);
}

//! A cursor on a disk behaves as a file of fixed length.

use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom, Write};

use blockio::{
    ByteCount, ByteOffset, Counted, Disk, DiskCursor, Fault, FaultTarget, FileDisk, MemoryDisk,
    ReadOnly, SectorSize, SimStorage, Storage,
};

use crate::random::Random;

const SIZE: u64 = 1 << 20;

fn disk(size: u64) -> MemoryDisk {
    MemoryDisk::new(ByteCount(size), SectorSize::B512).unwrap()
}

/// Does the same at random to a cursor on a disk and to one on plain bytes.
fn check(mut cursor: DiskCursor<&MemoryDisk>) {
    let mut model = Cursor::new(vec![0; usize::try_from(SIZE).unwrap()]);
    let mut random = Random(11);
    for _ in 0..3000 {
        // Often within few pages, so that cached ones are met again.
        let reach = [SIZE, 50_000][usize::try_from(random.below(2)).unwrap()];
        let place = random.below(reach);
        let longest = [40, 5000, 40_000][usize::try_from(random.below(3)).unwrap()];
        let len = random.below(longest).min(SIZE - place);
        let to = match random.below(3) {
            0 => SeekFrom::Start(place),
            1 => SeekFrom::End(i64::try_from(place).unwrap() - i64::try_from(SIZE).unwrap()),
            _ => {
                let now = i64::try_from(model.position()).unwrap();
                SeekFrom::Current(i64::try_from(place).unwrap() - now)
            }
        };
        assert_eq!(cursor.seek(to).unwrap(), model.seek(to).unwrap());
        if random.below(3) == 0 {
            let bytes = random.bytes(len);
            cursor.write_all(&bytes).unwrap();
            model.write_all(&bytes).unwrap();
        } else {
            let mut buf = vec![0xEE; usize::try_from(len).unwrap()];
            let mut expected = buf.clone();
            cursor.read_exact(&mut buf).unwrap();
            model.read_exact(&mut expected).unwrap();
            assert!(buf == expected, "{place}+{len}");
        }
        assert_eq!(cursor.stream_position().unwrap(), model.position());
    }
    cursor.flush().unwrap();
    assert!(cursor.disk().to_bytes() == *model.get_ref());
}

#[test]
fn a_cursor_reads_what_was_written_cached_or_not() {
    check(DiskCursor::new(&disk(SIZE)));
    check(DiskCursor::uncached(&disk(SIZE)));
}

#[test]
fn many_small_reads_ask_the_disk_once_a_page() {
    let counted = Counted::new(disk(SIZE));
    let mut cursor = DiskCursor::new(&counted);
    let mut buf = [0; 64];
    for _ in 0..1000 {
        cursor.read_exact(&mut buf).unwrap();
    }
    assert_eq!(counted.counts().reads.operations, 4);
    let mut cursor = DiskCursor::uncached(&counted);
    for _ in 0..1000 {
        cursor.read_exact(&mut buf).unwrap();
    }
    assert_eq!(counted.counts().reads.operations, 1004);
}

#[test]
fn the_end_of_the_disk_is_the_end_of_the_stream() {
    let disk = disk(1536);
    let mut cursor = DiskCursor::new(&disk);
    let mut all = Vec::new();
    assert_eq!(cursor.read_to_end(&mut all).unwrap(), 1536);
    assert_eq!(cursor.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(cursor.write(b"").unwrap(), 0);
    assert_eq!(kind(cursor.write(b"x")), ErrorKind::StorageFull);
    cursor.seek(SeekFrom::End(-2)).unwrap();
    assert_eq!(cursor.write(b"abc").unwrap(), 2);
    assert_eq!(disk.to_bytes()[1534..], *b"ab");
    cursor.seek(SeekFrom::Start(u64::MAX)).unwrap();
    assert_eq!(cursor.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(
        kind(cursor.seek(SeekFrom::Current(1))),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        kind(cursor.seek(SeekFrom::End(-1537))),
        ErrorKind::InvalidInput
    );
    assert_eq!(cursor.stream_position().unwrap(), u64::MAX);
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn a_failed_read_or_write_leaves_no_wrong_bytes_in_the_cache() {
    let storage = SimStorage::new();
    storage.set_len(ByteCount(65536)).unwrap();
    let disk = FileDisk::new(Box::new(storage.clone()), SectorSize::B512).unwrap();
    let mut cursor = DiskCursor::new(&disk);
    let mut buf = [0xEE; 2];
    cursor.read_exact(&mut buf).unwrap();
    storage.inject(Fault::new(FaultTarget::Write, 0).after_bytes(1));
    cursor.rewind().unwrap();
    cursor.write(&[5, 6]).unwrap_err();
    cursor.read_exact(&mut buf).unwrap();
    assert_eq!(buf, [5, 0]);
    storage.inject(Fault::new(FaultTarget::Read, 0).after_bytes(100));
    cursor.seek(SeekFrom::Start(32768)).unwrap();
    cursor.read(&mut buf).unwrap_err();
    disk.write_at(&[7, 8], ByteOffset(32768)).unwrap();
    cursor.read_exact(&mut buf).unwrap();
    assert_eq!(buf, [7, 8]);
}

#[test]
fn the_kind_of_an_error_is_told_in_the_words_of_the_standard_library() {
    let read_only = ReadOnly::new(disk(512));
    let mut cursor = DiskCursor::new(&read_only);
    let error = cursor.write(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
    let inner = error.into_inner().unwrap();
    assert!(inner.downcast_ref::<blockio::IoError>().is_some());
}

//! The disks of this crate and the wrappers around them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use blockio::{
    BlockKind, ByteCount, ByteOffset, ByteRange, Counted, Disk, Fault, FaultTarget, FileDisk,
    IoCount, IoErrorKind, Limits, MemoryDisk, ReadOnly, SectorSize, SimStorage,
    SparseMemoryStorage, Storage, Throttled, Window,
};

fn range(start: u64, len: u64) -> ByteRange {
    ByteRange::new(ByteOffset(start), ByteCount(len)).unwrap()
}

fn disk(sectors: u64) -> MemoryDisk {
    MemoryDisk::new(ByteCount(sectors * 512), SectorSize::B512).unwrap()
}

#[test]
fn a_window_is_the_part_of_the_disk_and_reaches_nothing_else() {
    let below = Arc::new(disk(8));
    below.write_at(&[9; 8 * 512], ByteOffset(0)).unwrap();
    let window = Window::new(below.clone(), range(1024, 1024)).unwrap();
    assert_eq!(window.size(), ByteCount(1024));
    assert_eq!(window.range(), range(1024, 1024));
    window.write_at(&[1; 600], ByteOffset(0)).unwrap();
    window.write_zeroes(range(600, 100)).unwrap();
    window.discard(range(1000, 24)).unwrap();
    let mut buf = [0; 1024];
    window.read_at(&mut buf, ByteOffset(0)).unwrap();
    assert_eq!((buf[599], buf[600], buf[700], buf[1000]), (1, 0, 9, 0));
    let bytes = below.to_bytes();
    assert_eq!(bytes[1024..2048], buf);
    assert!(
        bytes[..1024]
            .iter()
            .chain(&bytes[2048..])
            .all(|byte| *byte == 9)
    );

    for (start, len) in [(1024, 1), (0, 1025), (1023, 2), (u64::MAX, 0)] {
        let Some(past) = ByteRange::new(ByteOffset(start), ByteCount(len)) else {
            continue;
        };
        let errors = [
            window.discard(past).unwrap_err(),
            window.write_zeroes(past).unwrap_err(),
            window.block_status(past).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), IoErrorKind::OutOfRange, "{past}");
        }
    }
    for offset in [1023, 1024, u64::MAX] {
        window.read_at(&mut [0; 2], ByteOffset(offset)).unwrap_err();
        window.write_at(&[0; 2], ByteOffset(offset)).unwrap_err();
    }
    assert_eq!(below.to_bytes(), bytes);
}

#[test]
fn a_window_fits_its_disk_in_whole_sectors() {
    for (start, len, kind) in [
        (0, 4097, IoErrorKind::OutOfRange),
        (4096, 512, IoErrorKind::OutOfRange),
        (100, 512, IoErrorKind::Unsupported),
        (512, 100, IoErrorKind::Unsupported),
    ] {
        let window = Window::new(Arc::new(disk(8)), range(start, len));
        assert_eq!(window.unwrap_err().kind(), kind, "{start}+{len}");
    }
    Window::new(Arc::new(disk(8)), range(0, 4096)).unwrap();
}

#[test]
fn a_window_of_a_window_of_any_disk_shows_the_holes_below() {
    let storage = SparseMemoryStorage::default();
    storage.set_len(ByteCount(1 << 40)).unwrap();
    storage.write_at(&[1; 4096], ByteOffset(8192)).unwrap();
    let whole: Arc<dyn Disk> =
        Arc::new(FileDisk::new(Box::new(storage), SectorSize::B4096).unwrap());
    let outer: Arc<dyn Disk> = Arc::new(Window::new(whole, range(4096, (1 << 40) - 4096)).unwrap());
    let window = Window::new(outer, range(4096, 1 << 30)).unwrap();
    assert_eq!(window.logical_sector_size(), SectorSize::B4096);
    let data = window.block_status(range(0, 1 << 30)).unwrap();
    assert_eq!((data.range, data.kind), (range(0, 4096), BlockKind::Data));
    let hole = window.block_status(range(5000, 1000)).unwrap();
    assert_eq!(
        (hole.range, hole.kind),
        (range(5000, 1000), BlockKind::Hole)
    );
    assert_eq!(
        window.block_status(range(0, 0)).unwrap_err().kind(),
        IoErrorKind::OutOfRange
    );
}

#[test]
fn a_read_only_disk_is_read_and_never_changed() {
    let below = disk(2);
    below.write_at(&[7; 512], ByteOffset(0)).unwrap();
    let before = below.to_bytes();
    let read_only = ReadOnly::new(&below);
    assert!(read_only.is_read_only());
    let errors = [
        read_only.write_at(&[1], ByteOffset(0)).unwrap_err(),
        read_only.discard(range(0, 512)).unwrap_err(),
        read_only.write_zeroes(range(0, 512)).unwrap_err(),
    ];
    assert!(
        errors
            .iter()
            .all(|error| error.kind() == IoErrorKind::ReadOnly)
    );
    read_only.flush().unwrap();
    let mut buf = [0; 512];
    read_only.read_at(&mut buf, ByteOffset(0)).unwrap();
    assert_eq!(buf, [7; 512]);
    assert_eq!(below.to_bytes(), before);
}

#[test]
fn a_counted_disk_counts_what_succeeded_and_what_failed() {
    let storage = SimStorage::new();
    storage.set_len(ByteCount(4096)).unwrap();
    let disk = FileDisk::new(Box::new(storage.clone()), SectorSize::B512).unwrap();
    let counted = Counted::new(disk);
    counted.read_at(&mut [0; 10], ByteOffset(0)).unwrap();
    counted.read_at(&mut [0; 20], ByteOffset(0)).unwrap();
    counted.write_at(&[0; 512], ByteOffset(0)).unwrap();
    counted.write_zeroes(range(0, 1024)).unwrap();
    counted.discard(range(0, 2048)).unwrap();
    counted.flush().unwrap();
    storage.inject(Fault::new(FaultTarget::Any, 0).sticky());
    counted.read_at(&mut [0; 10], ByteOffset(0)).unwrap_err();
    counted.write_at(&[0; 10], ByteOffset(0)).unwrap_err();
    counted.flush().unwrap_err();
    let count = |operations, bytes| IoCount {
        operations,
        bytes: ByteCount(bytes),
    };
    let counts = counted.counts();
    assert_eq!(counts.reads, count(2, 30));
    assert_eq!(counts.writes, count(1, 512));
    assert_eq!(counts.zeroes, count(1, 1024));
    assert_eq!(counts.discards, count(1, 2048));
    assert_eq!((counts.flushes, counts.errors), (1, 3));
}

#[test]
fn a_throttled_disk_takes_the_time_that_its_limits_ask_for() {
    let limits = Limits {
        bytes_per_second: Some(1 << 20),
        operations_per_second: None,
    };
    let throttled = Throttled::new(disk(2048), limits);
    let start = Instant::now();
    // 384 KiB at 1 MiB a second, less the last booking and what an idle disk has saved up.
    for number in 0..6 {
        let offset = ByteOffset(number * 65536);
        throttled.write_at(&[1; 65536], offset).unwrap();
    }
    assert!(start.elapsed() >= Duration::from_millis(200));
    let limits = Limits {
        bytes_per_second: None,
        operations_per_second: Some(20),
    };
    let throttled = Throttled::new(disk(1), limits);
    let start = Instant::now();
    for _ in 0..8 {
        throttled.read_at(&mut [0; 1], ByteOffset(0)).unwrap();
    }
    assert!(start.elapsed() >= Duration::from_millis(240));
    let start = Instant::now();
    let free = Throttled::new(disk(1), Limits::default());
    for _ in 0..1000 {
        free.read_at(&mut [0; 512], ByteOffset(0)).unwrap();
    }
    // At 20 a second they would take 50 s.
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_borrowed_boxed_or_shared_disk_is_a_disk() {
    fn size(disk: impl Disk) -> ByteCount {
        disk.flush().unwrap();
        disk.size()
    }
    let plain = disk(3);
    assert_eq!(size(&plain), ByteCount(1536));
    let dynamic: &dyn Disk = &plain;
    assert_eq!(size(dynamic), ByteCount(1536));
    let boxed: Box<dyn Disk> = Box::new(plain);
    assert_eq!(size(&boxed), ByteCount(1536));
    let shared: Arc<dyn Disk> = Arc::from(boxed);
    assert_eq!(size(Arc::clone(&shared)), ByteCount(1536));
    assert_eq!(size(ReadOnly::new(Counted::new(shared))), ByteCount(1536));
}

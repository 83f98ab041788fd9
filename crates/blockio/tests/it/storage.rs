//! One conformance suite for every storage, against a plain array of bytes.

use std::sync::Arc;

use blockio::{
    ByteCount, ByteOffset, ByteRange, ExtentKind, FileAccess, FileStorage, IoErrorKind,
    MemoryStorage, SimStorage, SparseMemoryStorage, Storage, ZeroMode,
};

use crate::random::Random;

/// The longest that the tested storages get.
const LONGEST: u64 = 3 << 20;

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::between(ByteOffset(start), ByteOffset(end)).unwrap()
}

/// A range within `len`, now and then aligned, small or up to the end.
fn some_range(random: &mut Random, len: u64) -> (u64, u64) {
    let align = [1, 512, 4096][index(random.below(3))];
    let start = random.below(len + 1) / align * align;
    let longest = [600, 9000, 300_000, len][index(random.below(4))];
    let end = (start + random.below(longest + 1) / align * align).min(len);
    (start, end)
}

fn step(storage: &dyn Storage, model: &mut Vec<u8>, random: &mut Random) {
    let len = u64::try_from(model.len()).unwrap();
    match random.below(8) {
        0..4 => {
            let (start, end) = some_range(random, LONGEST);
            let bytes = random.bytes(end - start);
            storage.write_at(&bytes, ByteOffset(start)).unwrap();
            if !bytes.is_empty() {
                model.resize(model.len().max(index(end)), 0);
                model[index(start)..index(end)].copy_from_slice(&bytes);
            }
        }
        4 => {
            let new_len = random.below(LONGEST);
            storage.set_len(ByteCount(new_len)).unwrap();
            model.resize(index(new_len), 0);
        }
        5 => storage.sync().unwrap(),
        number => {
            let mode = if number == 6 {
                ZeroMode::Punch
            } else {
                ZeroMode::KeepAllocated
            };
            let (start, end) = some_range(random, len);
            storage.zero(range(start, end), mode).unwrap();
            model[index(start)..index(end)].fill(0);
        }
    }
}

fn check_bytes(storage: &dyn Storage, model: &[u8], random: &mut Random) {
    let len = u64::try_from(model.len()).unwrap();
    assert_eq!(storage.len().unwrap(), ByteCount(len));
    let (start, end) = some_range(random, len);
    let mut buf = vec![0xEE; index(end - start)];
    storage.read_at(&mut buf, ByteOffset(start)).unwrap();
    assert!(buf == model[index(start)..index(end)], "{start}..{end}");
    let past = storage.read_at(&mut [0; 2], ByteOffset(len.saturating_sub(1)));
    assert_eq!(past.unwrap_err().kind(), IoErrorKind::OutOfRange);
}

/// Extents follow one another, stop at the range, and holes are zeros.
fn check_extents(storage: &dyn Storage, model: &[u8], random: &mut Random) {
    let len = u64::try_from(model.len()).unwrap();
    let (mut position, end) = some_range(random, len);
    while position < end {
        let extent = storage.extent_at(range(position, end)).unwrap();
        assert_eq!(extent.range.start(), ByteOffset(position));
        assert!(!extent.range.is_empty() && extent.range.end().get() <= end);
        let past = extent.range.end().get();
        if extent.kind == ExtentKind::Hole {
            let bytes = &model[index(position)..index(past)];
            assert!(bytes.iter().all(|byte| *byte == 0), "{}", extent.range);
        }
        position = past;
    }
    let empty = storage.extent_at(range(0, 0)).unwrap_err();
    assert_eq!(empty.kind(), IoErrorKind::OutOfRange);
    let beyond = storage.extent_at(range(0, len + 1)).unwrap_err();
    assert_eq!(beyond.kind(), IoErrorKind::OutOfRange);
    let beyond = storage.zero(range(len, len + 1), ZeroMode::Punch);
    assert_eq!(beyond.unwrap_err().kind(), IoErrorKind::OutOfRange);
}

fn check(name: &str, storage: &dyn Storage) {
    let seed = name.len();
    let mut random = Random(u64::try_from(seed).unwrap());
    let mut model = Vec::new();
    for _ in 0..200 {
        step(storage, &mut model, &mut random);
        check_bytes(storage, &model, &mut random);
        check_extents(storage, &model, &mut random);
    }
    let mut all = vec![0xEE; model.len()];
    storage.read_at(&mut all, ByteOffset(0)).unwrap();
    assert!(all == model, "{name}");
    assert!(!storage.is_read_only());
}

#[test]
fn every_storage_holds_what_was_written_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = FileStorage::create_new(&folder.path().join("file")).unwrap();
    let simulated = SimStorage::new();
    let cases: [(&str, Box<dyn Storage>); 5] = [
        ("memory", Box::new(MemoryStorage::default())),
        ("sparse", Box::new(SparseMemoryStorage::default())),
        ("simulated", Box::new(simulated.clone())),
        ("file", Box::new(file)),
        ("shared", Box::new(Arc::new(MemoryStorage::default()))),
    ];
    for (name, storage) in &cases {
        check(name, storage);
    }
    // The history leads to the same bytes as the changes did one by one.
    let history = simulated.history();
    let mark = simulated.mark("end");
    simulated.sync().unwrap();
    let recipe = format!("@{}", mark.0 + 1).parse().unwrap();
    let end = simulated.history().replay(&recipe).unwrap();
    assert!(end.image().same_bytes(&simulated.image()));
    assert!(history.position() < end.position());
}

#[test]
fn a_file_holds_what_was_written_to_it_by_many_threads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let file = FileStorage::create_new(&path).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let file = &file;
            scope.spawn(move || {
                for number in 0..64_u64 {
                    let offset = ByteOffset((number * 4 + u64::from(thread)) * 1000);
                    file.write_at(&[thread + 1; 1000], offset).unwrap();
                    let mut buf = [0; 1000];
                    file.read_at(&mut buf, offset).unwrap();
                    assert_eq!(buf, [thread + 1; 1000]);
                    let whole = ByteRange::new(offset, ByteCount(1000)).unwrap();
                    file.extent_at(whole).unwrap();
                }
            });
        }
    });
    drop(file);
    let file = FileStorage::open(&path, FileAccess::ReadOnly).unwrap();
    let mut all = vec![0; 256_000];
    file.read_at(&mut all, ByteOffset(0)).unwrap();
    for (number, piece) in all.chunks(1000).enumerate() {
        let thread = u8::try_from(number % 4).unwrap();
        assert_eq!(piece, [thread + 1; 1000]);
    }
}

/// A write at the last offset there is once went to the end of the file: on Windows that offset
/// means just this.
#[test]
fn offsets_that_no_file_can_have_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = FileStorage::create_new(&folder.path().join("file")).unwrap();
    let sparse = SparseMemoryStorage::default();
    let simulated = SimStorage::new();
    let storages: [&dyn Storage; 3] = [&file, &sparse, &simulated];
    for storage in storages {
        for offset in [i64::MAX.unsigned_abs(), u64::MAX - 1, u64::MAX] {
            let write = storage.write_at(&[1; 4], ByteOffset(offset));
            assert_eq!(write.unwrap_err().kind(), IoErrorKind::NoSpace);
            let read = storage.read_at(&mut [1; 4], ByteOffset(offset));
            assert_eq!(read.unwrap_err().kind(), IoErrorKind::OutOfRange);
        }
        storage.set_len(ByteCount(u64::MAX)).unwrap_err();
        assert_eq!(storage.len().unwrap(), ByteCount(0));
    }
}

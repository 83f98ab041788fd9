//! Host files: locks, lengths, holes, and what is refused.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::disk::{BlockKind, Disk};
use crate::error::{IoErrorKind, Result};
use crate::storage::{ExtentKind, Storage, ZeroMode};
use crate::units::{ByteCount, ByteOffset, ByteRange, MIB, SectorSize};

struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn range(start: u64, len: u64) -> ByteRange {
    ByteRange::new(ByteOffset(start), ByteCount(len)).unwrap()
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> IoErrorKind {
    result.unwrap_err().kind()
}

fn read(storage: &dyn Storage, offset: u64, len: usize) -> Vec<u8> {
    let mut buf = vec![0xEE; len];
    storage.read_at(&mut buf, ByteOffset(offset)).unwrap();
    buf
}

#[test]
fn reading_past_the_end_is_out_of_range() {
    let folder = Folder::new();
    let path = folder.file("a", &[1; 1000]);
    let storage = FileStorage::open(&path, FileAccess::ReadOnly).unwrap();
    assert_eq!(read(&storage, 999, 1), [1]);
    for (offset, len) in [(999, 2), (1000, 1), (1 << 40, 1)] {
        let result = storage.read_at(&mut vec![0; len], ByteOffset(offset));
        assert_eq!(kind(result), IoErrorKind::OutOfRange, "{offset}+{len}");
    }
}

#[test]
fn writing_past_the_end_grows_and_what_lies_between_reads_zero() {
    let folder = Folder::new();
    let path = folder.file("a", &[1; 10]);
    let storage = FileStorage::open(&path, FileAccess::ReadWrite).unwrap();
    storage.write_at(&[2; 5], ByteOffset(100_000)).unwrap();
    storage.sync().unwrap();
    assert_eq!(storage.len().unwrap(), ByteCount(100_005));
    assert!(read(&storage, 10, 99_990).iter().all(|byte| *byte == 0));
    storage.set_len(ByteCount(3)).unwrap();
    storage.set_len(ByteCount(20)).unwrap();
    assert_eq!(read(&storage, 2, 18)[..2], [1, 0]);
}

#[test]
fn a_writer_keeps_everybody_out_and_readers_keep_writers_out() {
    let folder = Folder::new();
    let path = folder.file("a", b"x");
    let open = |access| FileStorage::open(&path, access);
    let writer = open(FileAccess::ReadWrite).unwrap();
    assert_eq!(kind(open(FileAccess::ReadWrite)), IoErrorKind::InUse);
    assert_eq!(kind(open(FileAccess::ReadOnly)), IoErrorKind::InUse);
    drop(writer);
    let reader = open(FileAccess::ReadOnly).unwrap();
    let second = open(FileAccess::ReadOnly).unwrap();
    assert_eq!(kind(open(FileAccess::ReadWrite)), IoErrorKind::InUse);
    drop((reader, second));
    open(FileAccess::ReadWrite).unwrap();
}

#[test]
fn a_new_file_is_locked_at_once_and_never_an_old_one() {
    let folder = Folder::new();
    let path = folder.path("new");
    let storage = FileStorage::create_new(&path).unwrap();
    assert_eq!(
        kind(FileStorage::open(&path, FileAccess::ReadOnly)),
        IoErrorKind::InUse
    );
    storage.write_at(b"kept", ByteOffset(0)).unwrap();
    drop(storage);
    assert_eq!(kind(FileStorage::create_new(&path)), IoErrorKind::Host);
    assert_eq!(fs::read(&path).unwrap(), b"kept");
}

#[test]
fn an_unlocked_reader_leaves_other_readers_and_writers_alone() {
    let folder = Folder::new();
    let path = folder.file("a", b"source");
    let source = FileStorage::open_with_lock(&path, FileAccess::ReadOnly, LockMode::None).unwrap();
    let other = fs::OpenOptions::new().write(true).open(&path).unwrap();
    assert_eq!(read(&source, 0, 6), b"source");
    drop(other);
}

#[test]
fn a_file_opened_for_reading_refuses_every_change() {
    let folder = Folder::new();
    let path = folder.file("a", &[1; 1024]);
    let storage = FileStorage::open(&path, FileAccess::ReadOnly).unwrap();
    assert!(storage.is_read_only());
    let zero = storage.zero(range(0, 512), ZeroMode::Punch);
    assert_eq!(kind(zero), IoErrorKind::ReadOnly);
    let write = storage.write_at(&[2], ByteOffset(0));
    assert_eq!(kind(write), IoErrorKind::ReadOnly);
    assert_eq!(kind(storage.set_len(ByteCount(0))), IoErrorKind::ReadOnly);
    storage.sync().unwrap();
    assert_eq!(read(&storage, 0, 1024), [1; 1024]);
}

#[test]
fn a_missing_file_and_a_folder_are_refused() {
    let folder = Folder::new();
    let missing = FileStorage::open(&folder.path("none"), FileAccess::ReadOnly);
    assert_eq!(kind(missing), IoErrorKind::Host);
    for access in [FileAccess::ReadOnly, FileAccess::ReadWrite] {
        FileStorage::open(folder.folder.path(), access).unwrap_err();
    }
}

#[test]
fn zeroing_touches_its_range_alone_and_never_the_length() {
    let folder = Folder::new();
    for mode in [ZeroMode::Punch, ZeroMode::KeepAllocated] {
        // Odd borders; more than one piece where zeros have to be written.
        for (start, len) in [(1, 1), (5000, 3 * MIB + 77), (4096, 8192), (0, 5 * MIB)] {
            let whole = usize::try_from(5 * MIB).unwrap();
            let path = folder.file("a", &vec![1; whole]);
            let storage = FileStorage::open(&path, FileAccess::ReadWrite).unwrap();
            storage.zero(range(start, len), mode).unwrap();
            drop(storage);
            let bytes = fs::read(&path).unwrap();
            assert_eq!(bytes.len(), whole);
            for (offset, byte) in (0..).zip(bytes) {
                let is_zeroed = offset >= start && offset < start + len;
                assert_eq!(
                    byte,
                    u8::from(!is_zeroed),
                    "{mode:?} {start}+{len} {offset}"
                );
            }
        }
        let path = folder.file("a", &[1; 100]);
        let storage = FileStorage::open(&path, FileAccess::ReadWrite).unwrap();
        storage.zero(range(100, 0), mode).unwrap();
        let past = storage.zero(range(99, 2), mode);
        assert_eq!(kind(past), IoErrorKind::OutOfRange);
    }
}

#[test]
fn extents_cover_the_file_and_stop_at_the_range() {
    let folder = Folder::new();
    let path = folder.path("a");
    let storage = FileStorage::create_new(&path).unwrap();
    storage.set_len(ByteCount(8 * MIB)).unwrap();
    storage.write_at(&[1; 65536], ByteOffset(4 * MIB)).unwrap();
    let mut position = 0;
    while position < 8 * MIB {
        let extent = storage
            .extent_at(range(position, 8 * MIB - position))
            .unwrap();
        assert_eq!(extent.range.start(), ByteOffset(position));
        assert!(!extent.range.is_empty());
        let data = range(4 * MIB, 65536);
        if extent.range.intersect(data).is_some() {
            assert_eq!(extent.kind, ExtentKind::Data);
        }
        position = extent.range.end().get();
    }
    assert_eq!(position, 8 * MIB);
    for bad in [range(0, 0), range(8 * MIB, 1), range(1, 8 * MIB)] {
        assert_eq!(kind(storage.extent_at(bad)), IoErrorKind::OutOfRange);
    }
}

#[test]
fn a_file_is_a_raw_disk_of_fixed_size() {
    let folder = Folder::new();
    let path = folder.file("a", &[1; 8192]);
    let open = || Box::new(FileStorage::open(&path, FileAccess::ReadWrite).unwrap());
    let disk = FileDisk::new(open(), SectorSize::B4096).unwrap();
    assert_eq!(disk.size(), ByteCount(8192));
    let past = disk.write_at(&[2; 2], ByteOffset(8191));
    assert_eq!(kind(past), IoErrorKind::OutOfRange);
    disk.write_at(&[2; 2], ByteOffset(8190)).unwrap();
    disk.discard(range(0, 4096)).unwrap();
    disk.write_zeroes(range(4096, 1)).unwrap();
    disk.flush().unwrap();
    for past in [range(8192, 1), range(0, 8193)] {
        assert_eq!(kind(disk.discard(past)), IoErrorKind::OutOfRange);
        assert_eq!(kind(disk.write_zeroes(past)), IoErrorKind::OutOfRange);
        assert_eq!(kind(disk.block_status(past)), IoErrorKind::OutOfRange);
    }
    let status = disk.block_status(range(4097, 4095)).unwrap();
    assert_eq!(status.kind, BlockKind::Data);
    drop(disk);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[..4097], [0; 4097]);
    assert_eq!((bytes[4097], bytes[8190], bytes.len()), (1, 2, 8192));
}

#[test]
fn a_raw_disk_has_whole_sectors() {
    let folder = Folder::new();
    let path = folder.file("a", &[1; 4608]);
    for (sector, is_whole) in [(SectorSize::B512, true), (SectorSize::B4096, false)] {
        let storage = FileStorage::open(&path, FileAccess::ReadOnly).unwrap();
        let disk = FileDisk::new(Box::new(storage), sector);
        assert_eq!(disk.is_ok(), is_whole);
        if let Err(error) = disk {
            assert_eq!(error.kind(), IoErrorKind::Unsupported);
        }
    }
}

#[test]
fn an_atomic_write_replaces_the_whole_file_and_leaves_nothing_beside_it() {
    let folder = Folder::new();
    folder.file("record", b"the old and longer content");
    for content in [b"new".as_slice(), b"", &[7; 100_000]] {
        write_file_atomically(folder.folder.path(), OsStr::new("record"), content).unwrap();
        assert_eq!(fs::read(folder.path("record")).unwrap(), content);
        assert_eq!(fs::read_dir(folder.folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn an_atomic_write_stays_in_its_folder_and_cleans_up_when_it_fails() {
    let folder = Folder::new();
    fs::create_dir(folder.path("sub")).unwrap();
    for name in ["", ".", "..", "a/b", "../a", "/a", "a/"] {
        let result = write_file_atomically(&folder.path("sub"), OsStr::new(name), b"x");
        assert_eq!(kind(result), IoErrorKind::Host, "{name:?}");
    }
    // A folder stands where the file should go.
    write_file_atomically(folder.folder.path(), OsStr::new("sub"), b"x").unwrap_err();
    assert_eq!(fs::read_dir(folder.folder.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(folder.path("sub")).unwrap().count(), 0);
}

#[test]
fn a_finished_file_takes_the_place_of_another_or_of_none() {
    let folder = Folder::new();
    for old in [None, Some(b"the old and longer content")] {
        if let Some(old) = old {
            folder.file("target", old);
        }
        let finished = folder.file("finished", b"new");
        replace_file(&finished, &folder.path("target")).unwrap();
        assert_eq!(fs::read(folder.path("target")).unwrap(), b"new");
        assert!(!finished.exists());
    }
    let missing = replace_file(&folder.path("none"), &folder.path("target"));
    assert_eq!(kind(missing), IoErrorKind::Host);
    assert_eq!(fs::read(folder.path("target")).unwrap(), b"new");
}

/// Tests that opened images while other threads started programs found them in use for a moment after
/// they had closed them: until its program began, the new process had a handle to the same open file.
#[cfg(unix)]
#[test]
fn a_second_handle_to_the_open_file_does_not_keep_its_locks() {
    let folder = Folder::new();
    let path = folder.file("a", &[1; 1000]);
    let storage = FileStorage::open(&path, FileAccess::ReadWrite).unwrap();
    let handle = storage.as_file().try_clone().unwrap();
    drop(storage);
    FileStorage::open(&path, FileAccess::ReadWrite).unwrap();
    drop(handle);
}

/// A path may be longer than the 260 characters that Windows takes without being asked for more.
#[test]
fn a_file_at_a_path_past_260_characters_is_made_opened_and_replaced() {
    let folder = Folder::new();
    let deep = (0..5).fold(folder.folder.path().to_owned(), |at, _| {
        at.join("long".repeat(15))
    });
    fs::create_dir_all(&deep).unwrap();
    assert!(deep.as_os_str().len() > 300);
    let path = deep.join("a");
    drop(FileStorage::create_new(&path).unwrap());
    let storage = FileStorage::open(&path, FileAccess::ReadWrite).unwrap();
    storage.write_at(b"deep", ByteOffset(0)).unwrap();
    drop(storage);
    write_file_atomically(&deep, OsStr::new("b"), b"new").unwrap();
    replace_file(&deep.join("b"), &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

/// On Windows scanners open files for moments, which must not be told as use.
#[test]
fn a_file_that_is_let_go_of_within_moments_is_opened_on_windows_and_one_that_is_not_is_in_use() {
    let folder = Folder::new();
    let path = folder.file("a", b"x");
    let holder = FileStorage::open(&path, FileAccess::ReadWrite).unwrap();
    // Whoever only looks is told at once, everywhere.
    let looked = FileStorage::open_at_once(&path, FileAccess::ReadOnly);
    assert_eq!(kind(looked), IoErrorKind::InUse);
    let other = std::thread::scope(|scope| {
        let other = scope.spawn(|| FileStorage::open(&path, FileAccess::ReadWrite).map(drop));
        if cfg!(windows) {
            std::thread::sleep(Duration::from_millis(200));
            drop(holder);
            return other.join().unwrap();
        }
        let other = other.join().unwrap();
        drop(holder);
        other
    });
    match cfg!(windows) {
        true => other.unwrap(),
        false => assert_eq!(kind(other), IoErrorKind::InUse),
    }
    assert_eq!(Patience::Moments.pauses().count() + 1, 10);
    let all: Duration = Patience::Moments.pauses().sum();
    assert_eq!(all.as_millis(), 1900);
}

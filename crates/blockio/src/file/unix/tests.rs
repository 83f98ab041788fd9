//! What Linux adds: holes that come and go, pipes, modes, and the byte locks of QEMU.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::error::IoErrorKind;
use crate::file::{FileAccess, FileStorage, LockMode};
use crate::storage::{Extent, ExtentKind, Storage, ZeroMode};
use crate::units::{ByteCount, ByteOffset, ByteRange, MIB};

fn range(start: u64, end: u64) -> ByteRange {
    ByteRange::between(ByteOffset(start), ByteOffset(end)).unwrap()
}

fn extents(storage: &dyn Storage) -> Vec<Extent> {
    let len = storage.len().unwrap().get();
    let mut extents = Vec::new();
    let mut position = 0;
    while position < len {
        let extent = storage.extent_at(range(position, len)).unwrap();
        position = extent.range.end().get();
        extents.push(extent);
    }
    extents
}

#[test]
fn a_punched_range_becomes_a_hole_and_gives_its_space_back() {
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::create_new(&folder.path().join("a")).unwrap();
    let bytes = vec![1; usize::try_from(4 * MIB).unwrap()];
    storage.write_at(&bytes, ByteOffset(0)).unwrap();
    storage.sync().unwrap();
    let before = storage.as_file().metadata().unwrap().blocks();
    storage.zero(range(MIB, 3 * MIB), ZeroMode::Punch).unwrap();
    let found = extents(&storage);
    let expected = [
        (range(0, MIB), ExtentKind::Data),
        (range(MIB, 3 * MIB), ExtentKind::Hole),
        (range(3 * MIB, 4 * MIB), ExtentKind::Data),
    ];
    assert_eq!(found, expected.map(|(range, kind)| Extent { range, kind }));
    let after = storage.as_file().metadata().unwrap().blocks();
    assert!(after * 512 + 2 * MIB <= before * 512);
}

#[test]
fn zeroing_that_keeps_space_gives_none_back() {
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::create_new(&folder.path().join("a")).unwrap();
    let bytes = vec![1; usize::try_from(4 * MIB).unwrap()];
    storage.write_at(&bytes, ByteOffset(0)).unwrap();
    storage.sync().unwrap();
    let before = storage.as_file().metadata().unwrap().blocks();
    let middle = range(MIB, 3 * MIB);
    storage.zero(middle, ZeroMode::KeepAllocated).unwrap();
    storage.sync().unwrap();
    assert!(storage.as_file().metadata().unwrap().blocks() >= before);
}

#[test]
fn a_file_without_data_is_one_hole() {
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::create_new(&folder.path().join("a")).unwrap();
    storage.set_len(ByteCount(1 << 40)).unwrap();
    let hole = Extent {
        range: range(0, 1 << 40),
        kind: ExtentKind::Hole,
    };
    assert_eq!(extents(&storage), [hole]);
}

#[test]
fn a_new_file_belongs_to_its_owner_alone_and_follows_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    FileStorage::create_new(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let link = folder.path().join("link");
    symlink(folder.path().join("elsewhere"), &link).unwrap();
    FileStorage::create_new(&link).unwrap_err();
    assert!(!folder.path().join("elsewhere").exists());
}

#[test]
fn a_pipe_is_refused_without_waiting_for_its_other_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    for access in [FileAccess::ReadOnly, FileAccess::ReadWrite] {
        let error = FileStorage::open(&path, access).unwrap_err();
        assert_eq!(error.kind(), IoErrorKind::Unsupported);
    }
}

#[test]
fn a_file_that_somebody_else_opened_is_locked_when_it_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, b"x").unwrap();
    let open = || OpenOptions::new().read(true).write(true).open(&path);
    let first = FileStorage::from_file(open().unwrap(), FileAccess::ReadWrite).unwrap();
    let second = FileStorage::from_file(open().unwrap(), FileAccess::ReadOnly);
    assert_eq!(second.unwrap_err().kind(), IoErrorKind::InUse);
    drop(first);
    FileStorage::from_file(open().unwrap(), FileAccess::ReadOnly).unwrap();
}

/// The open file of a QEMU that holds these bytes locked.
fn qemu(path: &Path, bytes: &[i64]) -> File {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    for byte in bytes {
        let lock = libc::flock {
            l_type: i16::try_from(libc::F_RDLCK).unwrap(),
            l_whence: 0,
            l_start: *byte,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    }
    file
}

#[test]
fn a_running_qemu_and_cvol_exclude_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, b"x").unwrap();
    let opens = |access| match FileStorage::open(&path, access) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), IoErrorKind::InUse);
            false
        }
    };
    // What QEMU 10.0 locks for a writer and for a reader, from /proc/locks.
    let writer = qemu(&path, &[100, 101, 103, 201, 203]);
    assert!(!opens(FileAccess::ReadWrite) && !opens(FileAccess::ReadOnly));
    FileStorage::open_with_lock(&path, FileAccess::ReadOnly, LockMode::None).unwrap();
    drop(writer);
    let reader = qemu(&path, &[100, 201, 203]);
    assert!(!opens(FileAccess::ReadWrite) && opens(FileAccess::ReadOnly));
    drop(reader);
    // One that shares everything (`qemu-img info -U`) excludes nobody.
    let shared = qemu(&path, &[100]);
    assert!(opens(FileAccess::ReadWrite) && opens(FileAccess::ReadOnly));
    drop(shared);
}

#[test]
fn a_file_system_without_locks_is_told_from_a_lock_that_is_held() {
    let is_missing = |errno: Errno| super::locks_are_missing(&errno.into());
    for errno in [
        Errno::ENOLCK,
        Errno::EOPNOTSUPP,
        Errno::ENOSYS,
        Errno::EINVAL,
    ] {
        assert!(is_missing(errno), "{errno}");
    }
    for errno in [Errno::EAGAIN, Errno::EACCES, Errno::EIO, Errno::EBADF] {
        assert!(!is_missing(errno), "{errno}");
    }
    assert!(!super::locks_are_missing(&super::in_use()));
}

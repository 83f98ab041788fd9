//! The byte locks of QEMU (`block/file-posix.c`), so that a running machine and cvol exclude each
//! other as two QEMUs would.
//!
//! Each permission has two bytes in the file, which need not exist. A user takes a *shared* lock on
//! byte `100 + p` for each permission `p` that it uses and on byte `200 + p` for each that it does
//! not share with others. Then it looks whether somebody else holds the opposite byte. Since every
//! lock is shared, taking one never fails; only looking does. Locking comes before looking, so of
//! two that come at once at least one sees the other.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::super::LockMode;
use super::in_use;

/// First of the bytes that say what is used.
const USED: i64 = 100;
/// First of the bytes that say what is not shared.
const NOT_SHARED: i64 = 200;

/// Reads bytes that others do not change.
const CONSISTENT_READ: i64 = 0;
/// Writes.
const WRITE: i64 = 1;
/// Changes the length.
const RESIZE: i64 = 3;

/// Takes the locks of a reader or a writer; `ResourceBusy` where they contradict those of another.
pub(super) fn lock(file: &File, mode: LockMode) -> io::Result<()> {
    let used: &[i64] = match mode {
        LockMode::None => return Ok(()),
        LockMode::Shared => &[CONSISTENT_READ],
        LockMode::Exclusive => &[CONSISTENT_READ, WRITE, RESIZE],
    };
    let not_shared = [WRITE, RESIZE];
    for permission in used {
        take(file, USED + permission)?;
    }
    for permission in not_shared {
        take(file, NOT_SHARED + permission)?;
    }
    let opposite = used
        .iter()
        .map(|permission| NOT_SHARED + permission)
        .chain(not_shared.map(|permission| USED + permission));
    for byte in opposite {
        if is_held_by_another(file, byte)? {
            return Err(in_use());
        }
    }
    Ok(())
}

/// Gives all locks of the open file up.
pub(super) fn unlock(file: &File) -> io::Result<()> {
    let mut all = one_byte(libc::F_UNLCK, 0)?;
    all.l_len = 0;
    fcntl(file, FcntlArg::F_OFD_SETLK(&all))?;
    Ok(())
}

fn one_byte(kind: libc::c_int, byte: i64) -> io::Result<libc::flock> {
    let small = |value: libc::c_int| {
        libc::c_short::try_from(value).map_err(|_| io::Error::from(Errno::EINVAL))
    };
    Ok(libc::flock {
        l_type: small(kind)?,
        l_whence: small(libc::SEEK_SET)?,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    })
}

fn take(file: &File, byte: i64) -> io::Result<()> {
    let lock = one_byte(libc::F_RDLCK, byte)?;
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(()),
        // Somebody locked the byte alone: not QEMU, but surely in use.
        Err(Errno::EAGAIN | Errno::EACCES) => Err(in_use()),
        Err(errno) => Err(errno.into()),
    }
}

fn is_held_by_another(file: &File, byte: i64) -> io::Result<bool> {
    let mut lock = one_byte(libc::F_WRLCK, byte)?;
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(libc::c_int::from(lock.l_type) != libc::F_UNLCK)
}

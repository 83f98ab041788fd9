//! Which processes serve a disk, by record locks: the system tells who holds one, and lets go of it when
//! the process dies.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The parts of serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Starts the server, and again when it dies.
    Keeper,
    /// Serves.
    Server,
}

/// The record of this process, as long as it is kept. No other handle of the file may be opened and
/// closed by the process meanwhile: that would let go of the lock.
#[derive(Debug)]
pub(super) struct Announced {
    _file: File,
}

impl Part {
    fn lock(self, kind: libc::c_int) -> io::Result<libc::flock> {
        let narrow = |number: libc::c_int| {
            libc::c_short::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::Unsupported))
        };
        Ok(libc::flock {
            l_type: narrow(kind)?,
            l_whence: narrow(libc::SEEK_SET)?,
            l_start: match self {
                Self::Keeper => 0,
                Self::Server => 1,
            },
            l_len: 1,
            l_pid: 0,
        })
    }
}

fn open(path: &Path, make: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(make)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Lets others find out that this process has this part.
pub(super) fn announce(path: &Path, part: Part) -> io::Result<Announced> {
    let file = open(path, true)?;
    let lock = part.lock(libc::F_WRLCK)?;
    fcntl(&file, FcntlArg::F_SETLK(&lock))?;
    Ok(Announced { _file: file })
}

/// The process that has this part now.
pub(super) fn find(path: &Path, part: Part) -> io::Result<Option<Pid>> {
    let file = match open(path, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut lock = part.lock(libc::F_WRLCK)?;
    fcntl(&file, FcntlArg::F_GETLK(&mut lock))?;
    let is_held = libc::c_int::from(lock.l_type) != libc::F_UNLCK;
    // 0 and below: it cannot be seen from here.
    Ok((is_held && lock.l_pid > 0).then(|| Pid::from_raw(lock.l_pid)))
}

/// Asks a process to end, which lives as long as it holds its record.
pub(super) fn ask_to_end(process: Pid) -> io::Result<()> {
    match kill(process, Signal::SIGTERM) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn nobody_has_a_part_that_nobody_announced() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("who");
        assert_eq!(find(&path, Part::Keeper).unwrap(), None);
        // Record locks are of the process: it never finds its own.
        let _own = announce(&path, Part::Server).unwrap();
        assert_eq!(find(&path, Part::Server).unwrap(), None);
        assert_eq!(find(&path, Part::Keeper).unwrap(), None);
    }
}

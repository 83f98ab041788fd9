//! Writing a small file so that after a crash either the old or the new one stands, whole.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use super::platform;
use crate::error::{IoError, Operation, Result};
use crate::units::{ByteCount, ByteOffset};

/// How often another temporary name is tried where one is taken.
const ATTEMPTS: u32 = 16;

/// Tells apart the temporary files of one process.
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// Makes `bytes` the whole content of the file `name` in `folder`, durably and in one step: a crash
/// leaves the old file or the new one. On Unix only the owner may read and write the new file.
///
/// A crash can leave a temporary file beside it, named `.{name}.*.tmp`.
///
/// # Errors
/// `Host` or `NoSpace` where the system refuses, or where `name` is not a plain file name; the old
/// file then stands, unless it was only the last step, making the new name durable, that failed.
pub fn write_file_atomically(folder: &Path, name: &OsStr, bytes: &[u8]) -> Result<()> {
    write(folder, name, bytes).map_err(|error| {
        let len = ByteCount(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        IoError::host(Operation::Write, ByteOffset(0), len, error)
    })
}

/// Puts a finished file in the place of another (or of none) in the same folder, durably and in one
/// step. The caller has made the bytes of `finished` durable and closed it before.
///
/// # Errors
/// `Host` or `NoSpace` where the system refuses; `target` is then as it was, unless it was only
/// the last step, making the new name durable, that failed.
pub fn replace_file(finished: &Path, target: &Path) -> Result<()> {
    platform::replace(finished, target)
        .map_err(|error| IoError::host(Operation::Write, ByteOffset(0), ByteCount(0), error))
}

fn write(folder: &Path, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    let mut components = Path::new(name).components();
    if !matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(only)), None) if only == name
    ) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a plain file name",
        ));
    }
    let (file, temporary) = create_temporary(folder, name)?;
    // The bytes must be on disk before the name points to them. The file is closed before it is
    // renamed, since Windows renames no open file.
    let result = fill(file, bytes).and_then(|()| platform::replace(&temporary, &folder.join(name)));
    if result.is_err() {
        // Gone already where the rename was done; what stays is found by its name.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

fn create_temporary(folder: &Path, name: &OsStr) -> io::Result<(File, PathBuf)> {
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..ATTEMPTS {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let nanoseconds = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.subsec_nanos());
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(
            ".{}-{serial}-{nanoseconds}.tmp",
            std::process::id()
        ));
        let path = folder.join(temporary);
        match platform::create_new(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

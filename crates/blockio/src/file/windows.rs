//! What Windows is asked for: positional I/O, share modes, zeroing, allocated ranges.
//!
//! With `windows_holders.rs` the only file of this crate with `unsafe`. The sparse attribute is never set:
//! Windows refuses to attach a VHD or VHDX file that carries it.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::{
    ERROR_LOCK_VIOLATION, ERROR_MORE_DATA, ERROR_SHARING_VIOLATION,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_SPARSE_FILE, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
    MOVEFILE_REPLACE_EXISTING, MOVEFILE_WRITE_THROUGH, MoveFileExW,
};
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::Win32::System::Ioctl::{
    FILE_ALLOCATED_RANGE_BUFFER, FILE_ZERO_DATA_INFORMATION, FSCTL_QUERY_ALLOCATED_RANGES,
    FSCTL_SET_ZERO_DATA,
};

use super::holders::held_by;
use super::{FileAccess, LockMode, Patience};
use crate::storage::{ExtentKind, ZeroMode};
use crate::units::ByteRange;

/// Opens an existing file; the share mode is the lock. Scanners and indexers hold a file for moments,
/// so that whoever is refused tries again for a while before he says who holds it.
pub(super) fn open(
    path: &Path,
    access: FileAccess,
    lock: LockMode,
    patience: Patience,
) -> io::Result<File> {
    let mut pauses = patience.pauses();
    loop {
        let opened = OpenOptions::new()
            .read(true)
            .write(access == FileAccess::ReadWrite)
            .share_mode(share_mode(lock))
            .open(path);
        match opened {
            Err(error) if is_violation(&error) => match pauses.next() {
                Some(pause) => std::thread::sleep(pause),
                None => return Err(in_use(path, error, patience)),
            },
            opened => return opened,
        }
    }
}

/// That somebody holds the file, and who, where the system tells and it was waited for.
fn in_use(path: &Path, error: io::Error, patience: Patience) -> io::Error {
    let holders = match patience {
        Patience::None => Vec::new(),
        Patience::Moments => super::holders::holders(path),
    };
    match held_by(&holders) {
        None => io::Error::new(io::ErrorKind::ResourceBusy, error),
        Some(text) => io::Error::new(io::ErrorKind::ResourceBusy, text),
    }
}

/// Makes a new file that nobody else can open until it is closed.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .share_mode(share_mode(LockMode::Exclusive))
        .open(path)
        .map_err(classify)
}

const fn share_mode(lock: LockMode) -> u32 {
    match lock {
        LockMode::None => FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
        LockMode::Shared => FILE_SHARE_READ,
        LockMode::Exclusive => 0,
    }
}

fn is_violation(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    let code = code.and_then(|code| u32::try_from(code).ok());
    matches!(code, Some(ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION))
}

fn classify(error: io::Error) -> io::Error {
    if is_violation(&error) {
        return io::Error::new(io::ErrorKind::ResourceBusy, error);
    }
    error
}

/// Refuses what has no positions.
pub(super) fn check_kind(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "not a file"))
}

/// Nothing: the share mode of the open is the lock.
pub(super) fn lock(_file: &File, _mode: LockMode) -> io::Result<()> {
    Ok(())
}

/// Nothing is left to give up: share modes go with the handle.
pub(super) fn unlock(_file: &File, _mode: LockMode) {}

/// Fills `buf`, or fails with `UnexpectedEof` at the end of the file.
pub(super) fn read_exact_at(file: &File, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.seek_read(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buf = &mut buf[count..];
                offset = advance(offset, count)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `buf`.
pub(super) fn write_all_at(file: &File, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.seek_write(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                buf = &buf[count..];
                offset = advance(offset, count)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn advance(offset: u64, count: usize) -> io::Result<u64> {
    u64::try_from(count)
        .ok()
        .and_then(|count| offset.checked_add(count))
        .ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

/// The length of the file.
pub(super) fn len(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

fn is_sparse(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.file_attributes() & FILE_ATTRIBUTE_SPARSE_FILE != 0)
}

fn bounds(range: ByteRange) -> io::Result<(i64, i64)> {
    let convert =
        |value| i64::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge));
    Ok((convert(range.start().get())?, convert(range.end().get())?))
}

fn size_of_u32<T>(value: &T) -> io::Result<u32> {
    u32::try_from(size_of_val(value)).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Makes a non-empty range read zero; `false` where the system cannot, so that zeros must be
/// written. In a file that is sparse already the space is given back, so that is not used where it
/// is to be kept.
pub(super) fn zero(file: &File, range: ByteRange, mode: ZeroMode) -> io::Result<bool> {
    if mode == ZeroMode::KeepAllocated && is_sparse(file)? {
        return Ok(false);
    }
    let (start, end) = bounds(range)?;
    let input = FILE_ZERO_DATA_INFORMATION {
        FileOffset: start,
        BeyondFinalZero: end,
    };
    let mut returned = 0;
    // SAFETY: the handle is open for as long as `file` is borrowed and was not opened for
    // overlapped I/O; `input` is what this control code takes and lives across the call, as does
    // `returned`; there is no output.
    let done = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            FSCTL_SET_ZERO_DATA,
            (&raw const input).cast(),
            size_of_u32(&input)?,
            null_mut(),
            0,
            &raw mut returned,
            null_mut(),
        )
    };
    // A file system without this refuses, and writing zeros then says what is really wrong.
    Ok(done != 0)
}

/// What stands at the start of a non-empty range within the file, and where that ends (maybe past
/// the range). Only a file that is sparse already has holes.
pub(super) fn extent(file: &File, range: ByteRange) -> io::Result<(ExtentKind, u64)> {
    let whole = range.end().get();
    if !is_sparse(file)? {
        return Ok((ExtentKind::Data, whole));
    }
    let (start, end) = bounds(range)?;
    let Some(first) = first_allocated(file, start, end - start)? else {
        return Ok((ExtentKind::Hole, whole));
    };
    if first.FileOffset > start {
        return Ok((
            ExtentKind::Hole,
            u64::try_from(first.FileOffset).unwrap_or(whole),
        ));
    }
    let end = first.FileOffset.saturating_add(first.Length);
    Ok((ExtentKind::Data, u64::try_from(end).unwrap_or(whole)))
}

fn first_allocated(
    file: &File,
    start: i64,
    len: i64,
) -> io::Result<Option<FILE_ALLOCATED_RANGE_BUFFER>> {
    let input = FILE_ALLOCATED_RANGE_BUFFER {
        FileOffset: start,
        Length: len,
    };
    let mut output = FILE_ALLOCATED_RANGE_BUFFER::default();
    let mut returned = 0;
    // SAFETY: the handle is open for as long as `file` is borrowed and was not opened for
    // overlapped I/O; input and output are what this control code takes and gives, with their
    // sizes, and live across the call, as does `returned`.
    let done = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            FSCTL_QUERY_ALLOCATED_RANGES,
            (&raw const input).cast(),
            size_of_u32(&input)?,
            (&raw mut output).cast(),
            size_of_u32(&output)?,
            &raw mut returned,
            null_mut(),
        )
    };
    if done == 0 {
        let error = io::Error::last_os_error();
        let code = error
            .raw_os_error()
            .and_then(|code| u32::try_from(code).ok());
        // There are more ranges than the one that was asked for.
        if code != Some(ERROR_MORE_DATA) {
            return Err(error);
        }
    }
    Ok((returned == size_of_u32(&output)?).then_some(output))
}

/// Copies nothing by itself: how many bytes of the range were copied.
pub(super) fn copy(_file: &File, _range: ByteRange, _to: u64) -> io::Result<u64> {
    Ok(0)
}

/// Puts the finished file `from` in the place of `to` (same folder) and makes that durable.
pub(super) fn replace(from: &Path, to: &Path) -> io::Result<()> {
    let wide = |path: &Path| -> io::Result<Vec<u16>> {
        let mut units: Vec<u16> = std::path::absolute(path)?
            .as_os_str()
            .encode_wide()
            .collect();
        if units.contains(&0) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        units.push(0);
        Ok(units)
    };
    let (from, to) = (wide(from)?, wide(to)?);
    let flags = MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH;
    // SAFETY: both names end in a zero and live across the call.
    if unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), flags) } == 0 {
        return Err(classify(io::Error::last_os_error()));
    }
    Ok(())
}

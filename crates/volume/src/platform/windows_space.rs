//! How much space the disk of a store has left.
#![allow(unsafe_code)]

use std::io;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;

use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;

use crate::store::reserve::HostSpace;

/// What files take at least, as far as it matters: NTFS extends what is mapped before it is mapped.
const BLOCK: u64 = 4096;

/// What the host of a folder has left for whoever asks.
pub(crate) fn space(folder: &Path) -> io::Result<HostSpace> {
    let path = super::database_path(folder.to_owned());
    let name: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let mut left = 0;
    // SAFETY: the name ends with a zero, and the figure lives across the call.
    let told = unsafe { GetDiskFreeSpaceExW(name.as_ptr(), &raw mut left, null_mut(), null_mut()) };
    match told {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(HostSpace { left, block: BLOCK }),
    }
}

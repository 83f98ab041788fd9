//! The calls into Windows, and nothing else: texts and bytes in, texts and bytes out.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{ERROR_MORE_DATA, ERROR_NO_MORE_FILES, INVALID_HANDLE_VALUE};
use windows_sys::Win32::NetworkManagement::WNet::{
    CONNECT_REQUIRE_PRIVACY, CONNECT_TEMPORARY, NETRESOURCEW, RESOURCETYPE_DISK,
    WNetAddConnection2W, WNetCancelConnection2W,
};
use windows_sys::Win32::Storage::FileSystem::{
    DDD_REMOVE_DEFINITION, DefineDosDeviceW, DeleteVolumeMountPointW, FindFirstVolumeW,
    FindNextVolumeW, FindVolumeClose, GetDiskFreeSpaceExW, GetVolumeInformationW,
    GetVolumeNameForVolumeMountPointW, GetVolumePathNamesForVolumeNameW, QueryDosDeviceW,
    SetVolumeMountPointW,
};
use windows_sys::Win32::System::IO::DeviceIoControl;

/// The most volumes that are looked at.
const MAX_VOLUMES: usize = 4096;
/// The longest name of a volume, in units.
const VOLUME: usize = 64;
/// The longest list of mount points or target of a letter that is read, in units.
const LIST: usize = 32 << 10;

/// A text as Windows takes it.
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// A text that Windows wrote, up to its NUL.
fn narrow(units: &[u16]) -> String {
    let text = units.split(|unit| *unit == 0).next().unwrap_or_default();
    String::from_utf16_lossy(text)
}

fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn checked(outcome: i32) -> io::Result<()> {
    if outcome == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn code(outcome: u32) -> io::Result<()> {
    match outcome {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(
            i32::try_from(code).unwrap_or(i32::MAX),
        )),
    }
}

/// Asks a device; how many bytes it answered.
pub(super) fn control(
    device: &File,
    code: u32,
    input: &[u8],
    output: &mut [u8],
) -> io::Result<usize> {
    let mut written = 0;
    // SAFETY: both buffers live until the call returns, and their lengths are theirs; the handle is
    // synchronous, so that none is used later.
    checked(unsafe {
        DeviceIoControl(
            device.as_raw_handle(),
            code,
            input.as_ptr().cast(),
            size(input.len()),
            output.as_mut_ptr().cast(),
            size(output.len()),
            &raw mut written,
            null_mut(),
        )
    })?;
    Ok(usize::try_from(written).unwrap_or(0).min(output.len()))
}

/// Every volume, as `\\?\Volume{...}\`.
pub(super) fn volumes() -> io::Result<Vec<String>> {
    let mut name = [0_u16; VOLUME];
    // SAFETY: the buffer is as long as it is said to be.
    let search = unsafe { FindFirstVolumeW(name.as_mut_ptr(), size(name.len())) };
    if search == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    let mut found = vec![narrow(&name)];
    let outcome = loop {
        if found.len() == MAX_VOLUMES {
            break Ok(());
        }
        // SAFETY: the search is open until below, the buffer as long as it is said to be.
        if unsafe { FindNextVolumeW(search, name.as_mut_ptr(), size(name.len())) } != 0 {
            found.push(narrow(&name));
            continue;
        }
        let error = io::Error::last_os_error();
        let is_end = error.raw_os_error() == i32::try_from(ERROR_NO_MORE_FILES).ok();
        break if is_end { Ok(()) } else { Err(error) };
    };
    // SAFETY: the search is open and not used again.
    unsafe { FindVolumeClose(search) };
    outcome.map(|()| found)
}

/// The volume that is mounted at a place, which ends with a backslash.
pub(super) fn volume_at(place: &str) -> io::Result<String> {
    let (place, mut name) = (wide(place), [0_u16; VOLUME]);
    // SAFETY: the text ends with a NUL, the buffer is as long as it is said to be.
    checked(unsafe {
        GetVolumeNameForVolumeMountPointW(place.as_ptr(), name.as_mut_ptr(), size(name.len()))
    })?;
    Ok(narrow(&name))
}

/// Mounts a volume at a place; both end with a backslash.
pub(super) fn mount_volume(place: &str, volume: &str) -> io::Result<()> {
    let (place, volume) = (wide(place), wide(volume));
    // SAFETY: both texts end with a NUL.
    checked(unsafe { SetVolumeMountPointW(place.as_ptr(), volume.as_ptr()) })
}

/// Ends that.
pub(super) fn unmount_volume(place: &str) -> io::Result<()> {
    let place = wide(place);
    // SAFETY: the text ends with a NUL.
    checked(unsafe { DeleteVolumeMountPointW(place.as_ptr()) })
}

/// All places where a volume is mounted.
pub(super) fn places_of(volume: &str) -> io::Result<Vec<String>> {
    let (volume, mut names, mut length) = (wide(volume), vec![0_u16; LIST], 0);
    // SAFETY: the text ends with a NUL, the buffer is as long as it is said to be.
    let outcome = checked(unsafe {
        GetVolumePathNamesForVolumeNameW(
            volume.as_ptr(),
            names.as_mut_ptr(),
            size(names.len()),
            &raw mut length,
        )
    });
    match outcome {
        Err(error) if error.raw_os_error() != i32::try_from(ERROR_MORE_DATA).ok() => {
            return Err(error);
        }
        _ => {}
    }
    let parts = names.split(|unit| *unit == 0);
    Ok(parts
        .take_while(|part| !part.is_empty())
        .map(String::from_utf16_lossy)
        .collect())
}

/// What the file system of a volume calls itself, and its flags.
pub(super) fn file_system(volume: &str) -> io::Result<(String, u32)> {
    let (volume, mut name, mut flags) = (wide(volume), [0_u16; VOLUME], 0);
    // SAFETY: the text ends with a NUL, the buffer is as long as it is said to be; what is null is
    // not asked for.
    checked(unsafe {
        GetVolumeInformationW(
            volume.as_ptr(),
            null_mut(),
            0,
            null_mut(),
            null_mut(),
            &raw mut flags,
            name.as_mut_ptr(),
            size(name.len()),
        )
    })?;
    Ok((narrow(&name), flags))
}

/// How much a place holds and how much of it is free for anybody, in bytes.
pub(super) fn space(place: &str) -> io::Result<(u64, u64)> {
    let (place, mut free, mut total) = (wide(place), 0, 0);
    // SAFETY: the text ends with a NUL; what is null is not asked for.
    checked(unsafe {
        GetDiskFreeSpaceExW(place.as_ptr(), &raw mut free, &raw mut total, null_mut())
    })?;
    Ok((total, free))
}

/// What a letter, `E:`, stands for; `None` where it is free.
pub(super) fn letter(letter: &str) -> Option<String> {
    let (letter, mut target) = (wide(letter), vec![0_u16; LIST]);
    // SAFETY: the text ends with a NUL, the buffer is as long as it is said to be.
    let length =
        unsafe { QueryDosDeviceW(letter.as_ptr(), target.as_mut_ptr(), size(target.len())) };
    (length != 0).then(|| narrow(&target))
}

/// Has a letter stand for a folder.
pub(super) fn define_letter(letter: &str, folder: &str) -> io::Result<()> {
    let (letter, folder) = (wide(letter), wide(folder));
    // SAFETY: both texts end with a NUL.
    checked(unsafe { DefineDosDeviceW(0, letter.as_ptr(), folder.as_ptr()) })
}

/// Ends what a letter was last said to stand for.
pub(super) fn free_letter(letter: &str) -> io::Result<()> {
    let letter = wide(letter);
    // SAFETY: the text ends with a NUL; without a target the last is meant.
    checked(unsafe { DefineDosDeviceW(DDD_REMOVE_DEFINITION, letter.as_ptr(), null()) })
}

/// Logs in at a share for as long as the system runs, by a letter or without one.
pub(super) fn connect_share(
    local: Option<&str>,
    remote: &str,
    user: &str,
    password: &str,
    is_private: bool,
) -> io::Result<()> {
    let (mut remote, user, mut password) = (wide(remote), wide(user), wide(password));
    let mut local = local.map(wide);
    let resource = NETRESOURCEW {
        dwScope: 0,
        dwType: RESOURCETYPE_DISK,
        dwDisplayType: 0,
        dwUsage: 0,
        lpLocalName: local
            .as_mut()
            .map_or(null_mut(), |local| local.as_mut_ptr()),
        lpRemoteName: remote.as_mut_ptr(),
        lpComment: null_mut(),
        lpProvider: null_mut(),
    };
    let privacy = if is_private {
        CONNECT_REQUIRE_PRIVACY
    } else {
        0
    };
    // SAFETY: the structure is whole, and every text in it and beside it ends with a NUL and lives
    // until the call returns.
    let outcome = unsafe {
        WNetAddConnection2W(
            &raw const resource,
            password.as_ptr(),
            user.as_ptr(),
            CONNECT_TEMPORARY | privacy,
        )
    };
    // Nothing of it stays in memory that is given back.
    password.fill(0);
    std::hint::black_box(&password);
    code(outcome)
}

/// Ends that: a letter, or a share without one.
pub(super) fn disconnect_share(name: &str, force: bool) -> io::Result<()> {
    let name = wide(name);
    // SAFETY: the text ends with a NUL.
    code(unsafe { WNetCancelConnection2W(name.as_ptr(), 0, i32::from(force)) })
}

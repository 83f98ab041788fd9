//! Functions of other libraries of the system: volumes, handles, layers; and the control of the double.
#![allow(unsafe_code, non_snake_case, unreachable_pub)]

use std::ffi::c_void;
use std::ptr;

use attach::hcs::HResult;
use attach::virtdisk::HostDisks;
use attach::virtdisk::double::HostModel;
use windows_sys::Win32::Foundation::{
    ERROR_FILE_NOT_FOUND, ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_FUNCTION, ERROR_INVALID_HANDLE,
    ERROR_NO_MORE_FILES, INVALID_HANDLE_VALUE, SetLastError,
};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::Win32::System::Ioctl::{FSCTL_DISMOUNT_VOLUME, FSCTL_LOCK_VOLUME};
use windows_sys::Win32::System::Memory::{LMEM_FIXED, LocalAlloc};

use super::{Handle, Text, code, disk, double, kept, misused, pointer, read, write};

/// The control that tells the disks of a volume (ntddvol.h).
const IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS: u32 = 0x0056_0000;
/// The outcome of a function that says only whether it was met.
fn met(outcome: Result<(), u32>) -> i32 {
    match outcome {
        Ok(()) => 1,
        Err(code) => {
            // SAFETY: it only keeps a number for this thread.
            unsafe { SetLastError(code) };
            0
        }
    }
}

fn outcome(code: HResult) -> Result<(), u32> {
    match code.is_success() {
        true => Ok(()),
        false => Err(code.0),
    }
}

/// `CancelIoEx`.
#[unsafe(no_mangle)]
pub extern "system" fn DoubleCancelIoEx(handle: Handle, overlapped: *const OVERLAPPED) -> i32 {
    let work = kept(|kept| kept.work.get(&overlapped.expose_provenance()).copied());
    if let Some(work) = work {
        double().cancel(disk(handle), work);
    }
    1
}

/// `CloseHandle`, of an image or a volume.
#[unsafe(no_mangle)]
pub extern "system" fn DoubleCloseHandle(handle: Handle) -> i32 {
    let address = handle.expose_provenance();
    if kept(|kept| kept.volumes.remove(&address)).is_none() {
        double().close(disk(handle));
    }
    1
}

/// `FlushFileBuffers`, of a volume.
#[unsafe(no_mangle)]
pub extern "system" fn DoubleFlushFileBuffers(handle: Handle) -> i32 {
    let is_open = kept(|kept| kept.volumes.contains_key(&handle.expose_provenance()));
    met(is_open.then_some(()).ok_or(ERROR_INVALID_HANDLE))
}

/// `CreateFileW`, of a volume.
///
/// # Safety
/// As for kernel32.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn DoubleCreateFileW(
    name: Text,
    _access: u32,
    _share: u32,
    _security: *const c_void,
    _how: u32,
    _flags: u32,
    _template: Handle,
) -> Handle {
    // SAFETY: as the caller promises.
    let name = unsafe { read(name) };
    if !name.starts_with(r"\\?\Volume{") || name.ends_with('\\') {
        misused("CreateFileW: no name of a volume");
        met(Err(ERROR_FILE_NOT_FOUND));
        return INVALID_HANDLE_VALUE;
    }
    kept(|kept| {
        kept.next += 0x10;
        let handle = 0x564F_0000 + kept.next;
        kept.volumes.insert(handle, format!("{name}\\"));
        pointer(handle)
    })
}

/// `DeviceIoControl`, of a volume.
///
/// # Safety
/// As for kernel32.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn DoubleDeviceIoControl(
    handle: Handle,
    control: u32,
    _input: *const c_void,
    _input_length: u32,
    output: *mut c_void,
    output_length: u32,
    returned: *mut u32,
    _overlapped: *mut OVERLAPPED,
) -> i32 {
    let address = handle.expose_provenance();
    let Some(volume) = kept(|kept| kept.volumes.get(&address).cloned()) else {
        misused("DeviceIoControl: no volume is open");
        return met(Err(ERROR_INVALID_HANDLE));
    };
    if returned.is_null() {
        misused("DeviceIoControl: no place for the length");
    }
    met(match control {
        FSCTL_LOCK_VOLUME => outcome(double().dismount(&volume)),
        FSCTL_DISMOUNT_VOLUME => Ok(()),
        IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS => match double().disks_of_volume(&volume) {
            Err(told) => Err(told.0),
            Ok(disks) => {
                let words: Vec<u64> = std::iter::once(1)
                    .chain(disks.first().map(|disk| u64::from(*disk)))
                    .chain([1 << 20, 1 << 30])
                    .collect();
                let needed = u32::try_from(8 * words.len()).unwrap_or(u32::MAX);
                if output.is_null() || output_length < needed {
                    Err(ERROR_INSUFFICIENT_BUFFER)
                } else {
                    // SAFETY: there is room, as the caller says.
                    unsafe {
                        ptr::copy_nonoverlapping(words.as_ptr(), output.cast(), words.len());
                    }
                    Ok(())
                }
            }
        },
        _ => Err(ERROR_INVALID_FUNCTION),
    })
}

/// `FindFirstVolumeW`.
///
/// # Safety
/// As for kernel32.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn DoubleFindFirstVolumeW(place: *mut u16, room: u32) -> Handle {
    let mut volumes = match double().volumes() {
        Ok(volumes) => volumes,
        Err(told) => {
            met(Err(told.0));
            return INVALID_HANDLE_VALUE;
        }
    };
    volumes.reverse();
    let handle = kept(|kept| {
        kept.next += 0x10;
        let handle = 0x5345_0000 + kept.next;
        kept.searches.insert(handle, volumes);
        pointer(handle)
    });
    // SAFETY: as the caller promises.
    match unsafe { DoubleFindNextVolumeW(handle, place, room) } {
        0 => INVALID_HANDLE_VALUE,
        _ => handle,
    }
}

/// `FindNextVolumeW`.
///
/// # Safety
/// As for kernel32.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn DoubleFindNextVolumeW(
    search: Handle,
    place: *mut u16,
    room: u32,
) -> i32 {
    let address = search.expose_provenance();
    let next = kept(|kept| match kept.searches.get_mut(&address) {
        None => Err(ERROR_INVALID_HANDLE),
        Some(left) => left.pop().ok_or(ERROR_NO_MORE_FILES),
    });
    // SAFETY: as the caller promises.
    met(next.and_then(|volume| unsafe { write(&volume, place, room) }))
}

/// `FindVolumeClose`.
#[unsafe(no_mangle)]
pub extern "system" fn DoubleFindVolumeClose(search: Handle) -> i32 {
    let found = kept(|kept| kept.searches.remove(&search.expose_provenance()));
    if found.is_none() {
        misused("a search is ended twice");
    }
    met(found.map(|_| ()).ok_or(ERROR_INVALID_HANDLE))
}

/// `GetVolumeNameForVolumeMountPointW`.
///
/// # Safety
/// As for kernel32.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn DoubleGetVolumeNameForVolumeMountPointW(
    at: Text,
    place: *mut u16,
    room: u32,
) -> i32 {
    // SAFETY: as the caller promises.
    let found = double().volume_at(&unsafe { read(at) });
    // SAFETY: as the caller promises.
    met(found
        .map_err(code)
        .and_then(|volume| unsafe { write(&volume, place, room) }))
}

/// `SetVolumeMountPointW`.
///
/// # Safety
/// As for kernel32.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn DoubleSetVolumeMountPointW(at: Text, volume: Text) -> i32 {
    // SAFETY: as the caller promises.
    let (at, volume) = unsafe { (read(at), read(volume)) };
    met(outcome(double().set_mount_point(&at, &volume)))
}

/// `DeleteVolumeMountPointW`.
///
/// # Safety
/// As for kernel32.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn DoubleDeleteVolumeMountPointW(at: Text) -> i32 {
    // SAFETY: as the caller promises.
    met(outcome(double().delete_mount_point(&unsafe { read(at) })))
}

/// `HcsFormatWritableLayerVhd`.
#[unsafe(no_mangle)]
pub extern "system" fn DoubleHcsFormatWritableLayerVhd(handle: Handle) -> i32 {
    let told = double().format_layer(disk(handle)).normalised();
    i32::from_ne_bytes(told.0.to_ne_bytes())
}

/// What only the double has: the host as a document. Where one is given it is taken first; the one that
/// stands then is told, for `LocalFree`, with what is open of volumes and searches.
///
/// # Safety
/// `host` is null or ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn VirtdiskDoubleHost(host: Text) -> *mut u16 {
    // SAFETY: as the caller promises.
    let given: Option<HostModel> = serde_json::from_str(&unsafe { read(host) }).ok();
    if let Some(given) = given {
        double().change(|host| *host = given);
    }
    let open = kept(|kept| kept.volumes.len() + kept.searches.len() + kept.work.len());
    if open > 0 {
        misused("volumes, searches or work are left open");
    }
    let text = serde_json::to_string(&double().host()).unwrap_or_default();
    let units = attach::wide_text(&text);
    // SAFETY: it allocates so many bytes, or gives null.
    let memory = unsafe { LocalAlloc(LMEM_FIXED, units.len() * 2) }.cast::<u16>();
    if !memory.is_null() {
        // SAFETY: the memory has room for exactly these units.
        unsafe { ptr::copy_nonoverlapping(units.as_ptr(), memory, units.len()) };
    }
    memory
}

//! The calls as a library exports them, on one double for the process.
#![allow(unsafe_code, non_snake_case, unreachable_pub)]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

use attach::hcs::HResult;
use attach::virtdisk::double::DoubleDisks;
use attach::virtdisk::{
    AttachDisk, DiskHandle, DiskWork, HostDisks, OpenDisk, WorkHandle, WorkProgress,
};
use windows_sys::Win32::Foundation::{
    ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_PARAMETER, ERROR_IO_PENDING,
};
use windows_sys::Win32::Storage::Vhd::{
    ATTACH_VIRTUAL_DISK_PARAMETERS, COMPACT_VIRTUAL_DISK_PARAMETERS,
    EXPAND_VIRTUAL_DISK_PARAMETERS, GET_VIRTUAL_DISK_INFO, GET_VIRTUAL_DISK_INFO_IS_LOADED,
    GET_VIRTUAL_DISK_INFO_SIZE, GET_VIRTUAL_DISK_INFO_VIRTUAL_STORAGE_TYPE,
    MERGE_VIRTUAL_DISK_PARAMETERS, OPEN_VIRTUAL_DISK_PARAMETERS, RESIZE_VIRTUAL_DISK_PARAMETERS,
    VIRTUAL_DISK_PROGRESS, VIRTUAL_STORAGE_TYPE, VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT,
};
use windows_sys::Win32::System::IO::OVERLAPPED;

mod system;

type Handle = *mut c_void;
type Text = *const u16;

/// The longest text that is taken, in UTF-16 units.
const MAX_TEXT: usize = 1 << 20;
/// The flags of attaching that are known: read-only, no letter, outliving the handle.
const ATTACH_FLAGS: u32 = 1 | 2 | 4;

/// What is kept beside the model: what handles of volumes and searches stand for.
#[derive(Default)]
struct Kept {
    next: usize,
    /// Volumes that are open.
    volumes: BTreeMap<usize, String>,
    /// Searches with what is left to be told.
    searches: BTreeMap<usize, Vec<String>>,
    /// Work by the address of its structure.
    work: BTreeMap<usize, WorkHandle>,
}

fn double() -> &'static DoubleDisks {
    static DOUBLE: OnceLock<DoubleDisks> = OnceLock::new();
    DOUBLE.get_or_init(DoubleDisks::default)
}

fn kept<T>(look: impl FnOnce(&mut Kept) -> T) -> T {
    static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    look(kept.get_or_insert_default())
}

fn misused(what: &str) {
    double().change(|host| host.misuse.push(what.to_owned()));
}

fn code(code: HResult) -> u32 {
    code.0
}

fn disk(handle: Handle) -> DiskHandle {
    DiskHandle(handle.expose_provenance())
}

fn pointer(handle: usize) -> Handle {
    ptr::with_exposed_provenance_mut(handle)
}

/// Reads a text; an empty one where there is none.
///
/// # Safety
/// `text` is null or points to units that end with a zero.
unsafe fn read(text: Text) -> String {
    let mut units = Vec::new();
    // SAFETY: every unit up to the zero can be read, as the caller promises.
    while !text.is_null() && units.len() < MAX_TEXT && unsafe { *text.add(units.len()) } != 0 {
        // SAFETY: as above.
        units.push(unsafe { *text.add(units.len()) });
    }
    attach::text_of_units(&units)
}

/// Writes a text with its zero where there is room for so many units.
///
/// # Safety
/// `place` is null or has room for so many units.
unsafe fn write(text: &str, place: *mut u16, room: u32) -> Result<(), u32> {
    let units = attach::wide_text(text);
    let fits = usize::try_from(room).is_ok_and(|room| units.len() <= room);
    if place.is_null() || !fits {
        return Err(ERROR_INSUFFICIENT_BUFFER);
    }
    // SAFETY: there is room, as the caller promises.
    unsafe { ptr::copy_nonoverlapping(units.as_ptr(), place, units.len()) };
    Ok(())
}

/// `OpenVirtualDisk`.
///
/// # Safety
/// As for virtdisk.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn OpenVirtualDisk(
    kind: *const VIRTUAL_STORAGE_TYPE,
    path: Text,
    access: u32,
    flags: u32,
    parameters: *const OPEN_VIRTUAL_DISK_PARAMETERS,
    opened: *mut Handle,
) -> u32 {
    if kind.is_null() || parameters.is_null() || opened.is_null() || flags != 0 {
        misused("OpenVirtualDisk: parameters");
        return ERROR_INVALID_PARAMETER;
    }
    // SAFETY: none is null, and the caller promises that they can be read.
    let (kind, parameters, path) = unsafe { (&*kind, &*parameters, read(path)) };
    let vendor = VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT;
    let is_known = (kind.VendorId.data1, kind.VendorId.data4) == (vendor.data1, vendor.data4);
    let expected = if path.ends_with(".vhd") { 2 } else { 3 };
    if kind.DeviceId != expected || !is_known {
        misused("OpenVirtualDisk: the type is not what the name says");
    }
    // SAFETY (of both fields): the version says which one was set.
    let how = match parameters.Version {
        1 => OpenDisk::WithParents(unsafe { parameters.Anonymous.Version1.RWDepth } - 1),
        2 => {
            if access != 0 {
                misused("OpenVirtualDisk: the second version of parameters asks for no access");
                return ERROR_INVALID_PARAMETER;
            }
            // SAFETY: as above.
            let second = unsafe { parameters.Anonymous.Version2 };
            match (second.GetInfoOnly, second.ReadOnly) {
                (0, 0) => OpenDisk::ReadWrite,
                (0, _) => OpenDisk::ReadOnly,
                _ => OpenDisk::Information,
            }
        }
        _ => return ERROR_INVALID_PARAMETER,
    };
    match double().open(&path, how) {
        Ok(handle) => {
            // SAFETY: it is not null, and can be written, as the caller promises.
            unsafe { *opened = pointer(handle.0) };
            0
        }
        Err(told) => code(told),
    }
}

/// `AttachVirtualDisk`.
///
/// # Safety
/// As for virtdisk.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn AttachVirtualDisk(
    handle: Handle,
    _descriptor: *mut c_void,
    flags: u32,
    provider: u32,
    parameters: *const ATTACH_VIRTUAL_DISK_PARAMETERS,
    overlapped: *const OVERLAPPED,
) -> u32 {
    // SAFETY: where it is not null it can be read, as the caller promises.
    let version = unsafe { parameters.as_ref() }.map(|parameters| parameters.Version);
    if flags & !ATTACH_FLAGS != 0 || provider != 0 || version != Some(1) || !overlapped.is_null() {
        misused("AttachVirtualDisk: parameters");
        return ERROR_INVALID_PARAMETER;
    }
    if flags & 2 == 0 {
        misused("AttachVirtualDisk: a letter would be given");
    }
    let how = AttachDisk {
        read_only: flags & 1 != 0,
        outlives_handle: flags & 4 != 0,
    };
    code(double().attach(disk(handle), how))
}

/// `DetachVirtualDisk`.
#[unsafe(no_mangle)]
pub extern "system" fn DetachVirtualDisk(handle: Handle, flags: u32, provider: u32) -> u32 {
    match (flags, provider) {
        (0, 0) => code(double().detach(disk(handle))),
        _ => ERROR_INVALID_PARAMETER,
    }
}

/// `GetVirtualDiskPhysicalPath`.
///
/// # Safety
/// As for virtdisk.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn GetVirtualDiskPhysicalPath(
    handle: Handle,
    bytes: *mut u32,
    place: *mut u16,
) -> u32 {
    match double().physical_path(disk(handle)) {
        // SAFETY: the caller says how many bytes there are.
        Ok(path) => unsafe {
            let room = bytes.as_ref().map_or(0, |bytes| bytes / 2);
            write(&path, place, room).err().unwrap_or(0)
        },
        Err(told) => code(told),
    }
}

/// `GetVirtualDiskInformation`.
///
/// # Safety
/// As for virtdisk.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn GetVirtualDiskInformation(
    handle: Handle,
    size: *mut u32,
    place: *mut GET_VIRTUAL_DISK_INFO,
    _used: *mut u32,
) -> u32 {
    let needed = u32::try_from(size_of::<GET_VIRTUAL_DISK_INFO>()).unwrap_or(u32::MAX);
    // SAFETY: where it is not null it can be read, as the caller promises.
    if place.is_null() || unsafe { size.as_ref() }.is_none_or(|size| *size < needed) {
        misused("GetVirtualDiskInformation: no room");
        return ERROR_INSUFFICIENT_BUFFER;
    }
    let found = match double().information(disk(handle)) {
        Ok(found) => found,
        Err(told) => return code(told),
    };
    // SAFETY: there is room, as the caller promises; of the union the field is written that was asked for.
    unsafe {
        let told = &mut (*place).Anonymous;
        match (*place).Version {
            GET_VIRTUAL_DISK_INFO_SIZE => {
                told.Size.VirtualSize = found.virtual_size;
                told.Size.PhysicalSize = found.physical_size;
                told.Size.BlockSize = found.block_size;
                told.Size.SectorSize = found.sector_size;
            }
            GET_VIRTUAL_DISK_INFO_IS_LOADED => told.IsLoaded = i32::from(found.is_loaded),
            GET_VIRTUAL_DISK_INFO_VIRTUAL_STORAGE_TYPE => {
                told.VirtualStorageType.DeviceId = found.device;
            }
            // As an old Windows, which knows fewer.
            _ => return ERROR_INVALID_PARAMETER,
        }
    }
    0
}

/// Begins work, which always ends later.
fn begin(handle: Handle, work: DiskWork, overlapped: *const OVERLAPPED) -> u32 {
    if overlapped.is_null() {
        misused("work is begun without a structure for its end");
        return ERROR_INVALID_PARAMETER;
    }
    match double().begin(disk(handle), work) {
        Ok(work) => {
            kept(|kept| kept.work.insert(overlapped.expose_provenance(), work));
            ERROR_IO_PENDING
        }
        Err(told) => code(told),
    }
}

/// `ExpandVirtualDisk`.
///
/// # Safety
/// As for virtdisk.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn ExpandVirtualDisk(
    handle: Handle,
    flags: u32,
    parameters: *const EXPAND_VIRTUAL_DISK_PARAMETERS,
    overlapped: *const OVERLAPPED,
) -> u32 {
    // SAFETY: where it is not null it can be read, as the caller promises.
    match unsafe { parameters.as_ref() } {
        Some(parameters) if parameters.Version == 1 && flags == 0 => {
            // SAFETY: the version says that this one was set.
            let size = unsafe { parameters.Anonymous.Version1.NewSize };
            begin(handle, DiskWork::Expand { size }, overlapped)
        }
        _ => ERROR_INVALID_PARAMETER,
    }
}

/// `ResizeVirtualDisk`.
///
/// # Safety
/// As for virtdisk.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn ResizeVirtualDisk(
    handle: Handle,
    flags: u32,
    parameters: *const RESIZE_VIRTUAL_DISK_PARAMETERS,
    overlapped: *const OVERLAPPED,
) -> u32 {
    // SAFETY: where it is not null it can be read, as the caller promises.
    match unsafe { parameters.as_ref() } {
        Some(parameters) if parameters.Version == 1 && flags == 0 => {
            // SAFETY: the version says that this one was set.
            let size = unsafe { parameters.Anonymous.Version1.NewSize };
            begin(handle, DiskWork::Resize { size }, overlapped)
        }
        _ => ERROR_INVALID_PARAMETER,
    }
}

/// `CompactVirtualDisk`.
///
/// # Safety
/// As for virtdisk.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn CompactVirtualDisk(
    handle: Handle,
    flags: u32,
    parameters: *const COMPACT_VIRTUAL_DISK_PARAMETERS,
    overlapped: *const OVERLAPPED,
) -> u32 {
    // SAFETY: where it is not null it can be read, as the caller promises.
    match unsafe { parameters.as_ref() } {
        Some(parameters) if parameters.Version == 1 && flags == 0 => {
            begin(handle, DiskWork::Compact, overlapped)
        }
        _ => ERROR_INVALID_PARAMETER,
    }
}

/// `MergeVirtualDisk`.
///
/// # Safety
/// As for virtdisk.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn MergeVirtualDisk(
    handle: Handle,
    flags: u32,
    parameters: *const MERGE_VIRTUAL_DISK_PARAMETERS,
    overlapped: *const OVERLAPPED,
) -> u32 {
    // SAFETY: where it is not null it can be read, as the caller promises.
    match unsafe { parameters.as_ref() } {
        Some(parameters) if parameters.Version == 1 && flags == 0 => {
            // SAFETY: the version says that this one was set.
            let depth = unsafe { parameters.Anonymous.Version1.MergeDepth };
            begin(handle, DiskWork::Merge { depth }, overlapped)
        }
        _ => ERROR_INVALID_PARAMETER,
    }
}

/// `GetVirtualDiskOperationProgress`.
///
/// # Safety
/// As for virtdisk.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn GetVirtualDiskOperationProgress(
    handle: Handle,
    overlapped: *const OVERLAPPED,
    place: *mut VIRTUAL_DISK_PROGRESS,
) -> u32 {
    let address = overlapped.expose_provenance();
    let Some(work) = kept(|kept| kept.work.get(&address).copied()) else {
        misused("progress is asked of what was not begun");
        return ERROR_INVALID_PARAMETER;
    };
    let found = match double().progress(disk(handle), work) {
        WorkProgress::Running(done, all) => VIRTUAL_DISK_PROGRESS {
            OperationStatus: ERROR_IO_PENDING,
            CurrentValue: done,
            CompletionValue: all,
        },
        WorkProgress::Ended(told) => {
            kept(|kept| kept.work.remove(&address));
            double().end(disk(handle), work);
            VIRTUAL_DISK_PROGRESS {
                OperationStatus: told.0,
                CurrentValue: 1,
                CompletionValue: 1,
            }
        }
    };
    if place.is_null() {
        return ERROR_INVALID_PARAMETER;
    }
    // SAFETY: it is not null, and can be written, as the caller promises.
    unsafe { *place = found };
    0
}

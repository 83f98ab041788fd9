//! The calls as a library exports them, on one double for the process.
#![allow(unsafe_code, non_snake_case, unreachable_pub)]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

use attach::hcs::HResult;
use attach::virtdisk::double::{DoubleDisks, HostModel};
use attach::virtdisk::{
    AttachDisk, DiskHandle, DiskWork, HostDisks, OpenDisk, WorkHandle, WorkProgress,
};
use windows_sys::Win32::Foundation::{
    ERROR_FILE_NOT_FOUND, ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_FUNCTION, ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER, ERROR_IO_PENDING, ERROR_NO_MORE_FILES, INVALID_HANDLE_VALUE,
    SetLastError,
};
use windows_sys::Win32::Storage::Vhd::{
    ATTACH_VIRTUAL_DISK_PARAMETERS, COMPACT_VIRTUAL_DISK_PARAMETERS,
    EXPAND_VIRTUAL_DISK_PARAMETERS, GET_VIRTUAL_DISK_INFO, GET_VIRTUAL_DISK_INFO_IS_LOADED,
    GET_VIRTUAL_DISK_INFO_SIZE, GET_VIRTUAL_DISK_INFO_VIRTUAL_STORAGE_TYPE,
    MERGE_VIRTUAL_DISK_PARAMETERS, OPEN_VIRTUAL_DISK_PARAMETERS, RESIZE_VIRTUAL_DISK_PARAMETERS,
    VIRTUAL_DISK_PROGRESS, VIRTUAL_STORAGE_TYPE, VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT,
};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::Win32::System::Ioctl::{FSCTL_DISMOUNT_VOLUME, FSCTL_LOCK_VOLUME};
use windows_sys::Win32::System::Memory::{LMEM_FIXED, LocalAlloc};

type Handle = *mut c_void;
type Text = *const u16;

/// The control that tells the disks of a volume (ntddvol.h).
const IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS: u32 = 0x0056_0000;
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
    String::from_utf16_lossy(&units)
}

/// Writes a text with its zero where there is room for so many units.
///
/// # Safety
/// `place` is null or has room for so many units.
unsafe fn write(text: &str, place: *mut u16, room: u32) -> Result<(), u32> {
    let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
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
    let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
    // SAFETY: it allocates so many bytes, or gives null.
    let memory = unsafe { LocalAlloc(LMEM_FIXED, units.len() * 2) }.cast::<u16>();
    if !memory.is_null() {
        // SAFETY: the memory has room for exactly these units.
        unsafe { ptr::copy_nonoverlapping(units.as_ptr(), memory, units.len()) };
    }
    memory
}

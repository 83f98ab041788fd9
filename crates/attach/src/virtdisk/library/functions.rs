//! The functions by their addresses, and whether they come from the system or from a double.
#![allow(unsafe_code)]

use std::ffi::{OsString, c_void};
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::ptr;

use windows_sys::Win32::Foundation::{GetLastError, HMODULE};
use windows_sys::Win32::Storage::Vhd::{
    ATTACH_VIRTUAL_DISK_PARAMETERS, COMPACT_VIRTUAL_DISK_PARAMETERS,
    EXPAND_VIRTUAL_DISK_PARAMETERS, GET_VIRTUAL_DISK_INFO, MERGE_VIRTUAL_DISK_PARAMETERS,
    OPEN_VIRTUAL_DISK_PARAMETERS, RESIZE_VIRTUAL_DISK_PARAMETERS, VIRTUAL_DISK_PROGRESS,
    VIRTUAL_STORAGE_TYPE,
};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::Win32::System::LibraryLoader::{
    GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LOAD_WITH_ALTERED_SEARCH_PATH, LoadLibraryExW,
};
use windows_sys::Win32::System::SystemInformation::GetSystemDirectoryW;

use crate::hcs::HResult;
use crate::sides::{Fault, FaultKind};
use crate::wide_text::wide_text;

pub(super) type Handle = *mut c_void;
pub(super) type Text = *const u16;
type Flags = u32;

// The signatures of virtdisk.h, fileapi.h, ioapiset.h, handleapi.h and computestorage.h.
type OpenVirtualDisk = unsafe extern "system" fn(
    *const VIRTUAL_STORAGE_TYPE,
    Text,
    Flags,
    Flags,
    *const OPEN_VIRTUAL_DISK_PARAMETERS,
    *mut Handle,
) -> u32;
type AttachVirtualDisk = unsafe extern "system" fn(
    Handle,
    *mut c_void,
    Flags,
    Flags,
    *const ATTACH_VIRTUAL_DISK_PARAMETERS,
    *const OVERLAPPED,
) -> u32;
type DetachVirtualDisk = unsafe extern "system" fn(Handle, Flags, Flags) -> u32;
type GetPhysicalPath = unsafe extern "system" fn(Handle, *mut u32, *mut u16) -> u32;
type GetInformation =
    unsafe extern "system" fn(Handle, *mut u32, *mut GET_VIRTUAL_DISK_INFO, *mut u32) -> u32;
type GetProgress =
    unsafe extern "system" fn(Handle, *const OVERLAPPED, *mut VIRTUAL_DISK_PROGRESS) -> u32;
type Work<P> = unsafe extern "system" fn(Handle, Flags, *const P, *const OVERLAPPED) -> u32;
type FindFirstVolume = unsafe extern "system" fn(*mut u16, u32) -> Handle;
type FindNextVolume = unsafe extern "system" fn(Handle, *mut u16, u32) -> i32;
type OfHandle = unsafe extern "system" fn(Handle) -> i32;
type VolumeOfMountPoint = unsafe extern "system" fn(Text, *mut u16, u32) -> i32;
type SetMountPoint = unsafe extern "system" fn(Text, Text) -> i32;
type DeleteMountPoint = unsafe extern "system" fn(Text) -> i32;
type CreateFile =
    unsafe extern "system" fn(Text, u32, u32, *const c_void, u32, u32, Handle) -> Handle;
type Control = unsafe extern "system" fn(
    Handle,
    u32,
    *const c_void,
    u32,
    *mut c_void,
    u32,
    *mut u32,
    *mut OVERLAPPED,
) -> i32;
type CancelIo = unsafe extern "system" fn(Handle, *const OVERLAPPED) -> i32;
type FormatLayer = unsafe extern "system" fn(Handle) -> i32;

/// The functions that are always needed.
pub(super) struct Functions {
    pub(super) open_virtual_disk: OpenVirtualDisk,
    pub(super) attach_virtual_disk: AttachVirtualDisk,
    pub(super) detach_virtual_disk: DetachVirtualDisk,
    pub(super) get_physical_path: GetPhysicalPath,
    pub(super) get_information: GetInformation,
    pub(super) get_progress: GetProgress,
    pub(super) expand: Work<EXPAND_VIRTUAL_DISK_PARAMETERS>,
    pub(super) resize: Work<RESIZE_VIRTUAL_DISK_PARAMETERS>,
    pub(super) compact: Work<COMPACT_VIRTUAL_DISK_PARAMETERS>,
    pub(super) merge: Work<MERGE_VIRTUAL_DISK_PARAMETERS>,
    pub(super) find_first_volume: FindFirstVolume,
    pub(super) find_next_volume: FindNextVolume,
    pub(super) find_volume_close: OfHandle,
    pub(super) volume_of_mount_point: VolumeOfMountPoint,
    pub(super) set_mount_point: SetMountPoint,
    pub(super) delete_mount_point: DeleteMountPoint,
    pub(super) create_file: CreateFile,
    pub(super) control: Control,
    pub(super) flush: OfHandle,
    pub(super) close: OfHandle,
    pub(super) cancel: CancelIo,
    source: Source,
}

/// Where functions are looked for.
#[derive(Clone, Copy)]
struct Source {
    /// The one library of a double that has them all.
    double: Option<Module>,
}

#[derive(Clone, Copy)]
struct Module(HMODULE);

// SAFETY: a library that is never unloaded may be asked for functions from any thread.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

type AnyFunction = unsafe extern "system" fn() -> isize;

impl Source {
    /// A function of a library of the system, or the one that stands for it.
    fn find(self, library: &str, name: &str) -> Result<AnyFunction, Fault> {
        let (module, name) = match self.double {
            Some(double) if library == VIRTDISK => (double, name.to_owned()),
            Some(double) => (double, format!("Double{name}")),
            None => (load(None, library)?, name.to_owned()),
        };
        let terminated = format!("{name}\0");
        // SAFETY: the library is loaded and never unloaded, and the name ends with a zero.
        let found = unsafe { GetProcAddress(module.0, terminated.as_ptr()) };
        found.ok_or_else(|| {
            let what = format!("{library} has no {name}: a newer Windows is needed");
            Fault::new(FaultKind::Unsupported, what)
        })
    }
}

const VIRTDISK: &str = "virtdisk.dll";
const KERNEL: &str = "kernel32.dll";
const COMPUTE_STORAGE: &str = "computestorage.dll";

fn load(file: Option<&Path>, library: &str) -> Result<Module, Fault> {
    let (name, flags): (Vec<u16>, _) = match file {
        Some(file) => {
            let units = file.as_os_str().encode_wide().chain([0]);
            (units.collect(), LOAD_WITH_ALTERED_SEARCH_PATH)
        }
        None => (wide_text(library), LOAD_LIBRARY_SEARCH_SYSTEM32),
    };
    // SAFETY: the name ends with a zero, and the reserved handle is none.
    let module = unsafe { LoadLibraryExW(name.as_ptr(), ptr::null_mut(), flags) };
    if module.is_null() {
        let code = last_code();
        let what = format!(
            "{library} cannot be loaded ({}): this Windows is without it",
            code
        );
        return Err(Fault::new(FaultKind::Unsupported, what));
    }
    Ok(Module(module))
}

/// Finds a function and takes it for one of the type that is expected of it.
macro_rules! function {
    ($source:expr, $library:expr, $name:literal, $signature:ty) => {{
        let found = $source.find($library, $name)?;
        // SAFETY: a function of this name has the signature of its field; both are pointers to functions.
        unsafe { std::mem::transmute::<AnyFunction, $signature>(found) }
    }};
}

impl Functions {
    pub(super) fn bind(file: Option<&Path>) -> Result<Self, Fault> {
        let double = file.map(|file| load(Some(file), VIRTDISK)).transpose()?;
        let source = Source { double };
        Ok(Self {
            open_virtual_disk: function!(source, VIRTDISK, "OpenVirtualDisk", OpenVirtualDisk),
            attach_virtual_disk: function!(
                source,
                VIRTDISK,
                "AttachVirtualDisk",
                AttachVirtualDisk
            ),
            detach_virtual_disk: function!(
                source,
                VIRTDISK,
                "DetachVirtualDisk",
                DetachVirtualDisk
            ),
            get_physical_path: function!(
                source,
                VIRTDISK,
                "GetVirtualDiskPhysicalPath",
                GetPhysicalPath
            ),
            get_information: function!(
                source,
                VIRTDISK,
                "GetVirtualDiskInformation",
                GetInformation
            ),
            get_progress: function!(
                source,
                VIRTDISK,
                "GetVirtualDiskOperationProgress",
                GetProgress
            ),
            expand: function!(
                source,
                VIRTDISK,
                "ExpandVirtualDisk",
                Work<EXPAND_VIRTUAL_DISK_PARAMETERS>
            ),
            resize: function!(
                source,
                VIRTDISK,
                "ResizeVirtualDisk",
                Work<RESIZE_VIRTUAL_DISK_PARAMETERS>
            ),
            compact: function!(
                source,
                VIRTDISK,
                "CompactVirtualDisk",
                Work<COMPACT_VIRTUAL_DISK_PARAMETERS>
            ),
            merge: function!(
                source,
                VIRTDISK,
                "MergeVirtualDisk",
                Work<MERGE_VIRTUAL_DISK_PARAMETERS>
            ),
            find_first_volume: function!(source, KERNEL, "FindFirstVolumeW", FindFirstVolume),
            find_next_volume: function!(source, KERNEL, "FindNextVolumeW", FindNextVolume),
            find_volume_close: function!(source, KERNEL, "FindVolumeClose", OfHandle),
            volume_of_mount_point: function!(
                source,
                KERNEL,
                "GetVolumeNameForVolumeMountPointW",
                VolumeOfMountPoint
            ),
            set_mount_point: function!(source, KERNEL, "SetVolumeMountPointW", SetMountPoint),
            delete_mount_point: function!(
                source,
                KERNEL,
                "DeleteVolumeMountPointW",
                DeleteMountPoint
            ),
            create_file: function!(source, KERNEL, "CreateFileW", CreateFile),
            control: function!(source, KERNEL, "DeviceIoControl", Control),
            flush: function!(source, KERNEL, "FlushFileBuffers", OfHandle),
            close: function!(source, KERNEL, "CloseHandle", OfHandle),
            cancel: function!(source, KERNEL, "CancelIoEx", CancelIo),
            source,
        })
    }

    /// The function for layers, of a library that only hosts of containers have.
    pub(super) fn format_layer(&self) -> Result<FormatLayer, Fault> {
        Ok(function!(
            self.source,
            COMPUTE_STORAGE,
            "HcsFormatWritableLayerVhd",
            FormatLayer
        ))
    }

    /// Whether all this is a double.
    pub(super) fn is_double(&self) -> bool {
        self.source.double.is_some()
    }
}

/// What this thread was told last.
pub(super) fn last_code() -> HResult {
    // SAFETY: it only reads what the thread was told last.
    HResult(unsafe { GetLastError() })
}

/// The system's own folder, asked of the system and not of the environment.
pub(super) fn system_folder() -> Option<PathBuf> {
    let mut units = [0; 1024];
    let room = u32::try_from(units.len()).ok()?;
    // SAFETY: there is room for so many units.
    let length = unsafe { GetSystemDirectoryW(units.as_mut_ptr(), room) };
    let length = usize::try_from(length).ok()?;
    let units = units.get(..length).filter(|units| !units.is_empty())?;
    Some(PathBuf::from(OsString::from_wide(units)))
}

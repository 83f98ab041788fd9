//! The calls of Windows: virtdisk.dll, volumes, and computestorage.dll where it is needed.
//!
//! Work on an image is begun with a structure that the system writes into until it ends. It is kept here
//! till then, and where that never comes, for ever.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_IO_PENDING, GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE, WAIT_OBJECT_0,
};
use windows_sys::Win32::Storage::FileSystem::{FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING};
use windows_sys::Win32::Storage::Vhd::{
    ATTACH_VIRTUAL_DISK_FLAG_NO_DRIVE_LETTER, ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME,
    ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY, ATTACH_VIRTUAL_DISK_PARAMETERS,
    ATTACH_VIRTUAL_DISK_VERSION_1, COMPACT_VIRTUAL_DISK_PARAMETERS, COMPACT_VIRTUAL_DISK_VERSION_1,
    EXPAND_VIRTUAL_DISK_PARAMETERS, EXPAND_VIRTUAL_DISK_PARAMETERS_0,
    EXPAND_VIRTUAL_DISK_PARAMETERS_0_0, EXPAND_VIRTUAL_DISK_VERSION_1, GET_VIRTUAL_DISK_INFO,
    GET_VIRTUAL_DISK_INFO_FRAGMENTATION, GET_VIRTUAL_DISK_INFO_IS_LOADED,
    GET_VIRTUAL_DISK_INFO_PARENT_LOCATION, GET_VIRTUAL_DISK_INFO_SIZE,
    GET_VIRTUAL_DISK_INFO_VIRTUAL_STORAGE_TYPE, MERGE_VIRTUAL_DISK_PARAMETERS,
    MERGE_VIRTUAL_DISK_PARAMETERS_0, MERGE_VIRTUAL_DISK_PARAMETERS_0_0,
    MERGE_VIRTUAL_DISK_VERSION_1, OPEN_VIRTUAL_DISK_PARAMETERS, OPEN_VIRTUAL_DISK_PARAMETERS_0,
    OPEN_VIRTUAL_DISK_PARAMETERS_0_0, OPEN_VIRTUAL_DISK_PARAMETERS_0_1,
    OPEN_VIRTUAL_DISK_VERSION_1, OPEN_VIRTUAL_DISK_VERSION_2, RESIZE_VIRTUAL_DISK_PARAMETERS,
    RESIZE_VIRTUAL_DISK_PARAMETERS_0, RESIZE_VIRTUAL_DISK_PARAMETERS_0_0,
    RESIZE_VIRTUAL_DISK_VERSION_1, VIRTUAL_DISK_ACCESS_GET_INFO, VIRTUAL_DISK_ACCESS_METAOPS,
    VIRTUAL_DISK_ACCESS_NONE, VIRTUAL_DISK_PROGRESS, VIRTUAL_STORAGE_TYPE,
    VIRTUAL_STORAGE_TYPE_DEVICE_UNKNOWN, VIRTUAL_STORAGE_TYPE_DEVICE_VHD,
    VIRTUAL_STORAGE_TYPE_DEVICE_VHDX, VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT,
};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::Win32::System::Ioctl::{FSCTL_DISMOUNT_VOLUME, FSCTL_LOCK_VOLUME};
use windows_sys::Win32::System::Threading::{CreateEventW, WaitForSingleObject};

use super::functions::{Functions, Handle, last_code};
use super::storage;
use crate::hcs::HResult;
use crate::sides::{Fault, FaultKind};
use crate::virtdisk::{
    AttachDisk, DiskHandle, DiskInformation, DiskWork, FormatDisk, HostDisks, OpenDisk, WorkHandle,
    WorkProgress,
};
use crate::wide_text::{text_of_units, wide_text};

/// The control that tells the disks of a volume (ntddvol.h).
const IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS: u32 = 0x0056_0000;
/// Bytes of the most that an image says of itself: a path of the longest kind.
const MAX_INFORMATION: usize = 1 << 16;
/// Units of the name of a volume: `\\?\Volume{GUID}\` and a zero.
const VOLUME_NAME: usize = 64;
/// Volumes that are looked at.
const MAX_VOLUMES: usize = 4096;
/// Disks of one volume that are told.
const MAX_EXTENTS: usize = 64;
/// How long the end of work is waited for that was given up, in milliseconds.
const LAST_WAIT_MS: u32 = 60_000;
/// What a device says that has no such control: a CD has no extents.
const INVALID_FUNCTION: u32 = 1;
/// What looking for volumes ends with.
const NO_MORE_FILES: u32 = 18;
/// What a function is told to be missing with.
const PROCEDURE_NOT_FOUND: HResult = HResult(127);

struct WindowsDisks {
    functions: Functions,
    work: Mutex<BTreeMap<usize, Box<Pending>>>,
}

/// Work that was begun. The system has the address of the first field.
struct Pending {
    overlapped: OVERLAPPED,
    has_ended: bool,
}

// SAFETY: the pointer in it is a handle of an event, which any thread may use.
unsafe impl Send for Pending {}

pub(super) fn load(file: Option<&Path>) -> Result<Arc<dyn HostDisks>, Fault> {
    let functions = Functions::bind(file)?;
    Ok(Arc::new(WindowsDisks {
        functions,
        work: Mutex::new(BTreeMap::new()),
    }))
}

fn pointer(handle: usize) -> Handle {
    ptr::with_exposed_provenance_mut(handle)
}

fn length_of<T: ?Sized>(value: &T) -> u32 {
    u32::try_from(size_of_val(value)).unwrap_or(u32::MAX)
}

/// The outcome of a function that says only whether it was met.
fn met(done: i32) -> HResult {
    match done {
        0 => last_code(),
        _ => HResult::OK,
    }
}

/// What the image is by its name, which for images of a store is what it is: a guest that writes the
/// marks of another format into it changes nothing.
fn storage_type(image: &str) -> VIRTUAL_STORAGE_TYPE {
    let extension = image.rsplit('.').next().unwrap_or_default();
    let device = match extension.to_ascii_lowercase().as_str() {
        "vhdx" | "avhdx" => VIRTUAL_STORAGE_TYPE_DEVICE_VHDX,
        "vhd" | "avhd" => VIRTUAL_STORAGE_TYPE_DEVICE_VHD,
        _ => VIRTUAL_STORAGE_TYPE_DEVICE_UNKNOWN,
    };
    VIRTUAL_STORAGE_TYPE {
        DeviceId: device,
        VendorId: match device {
            VIRTUAL_STORAGE_TYPE_DEVICE_UNKNOWN => windows_sys::core::GUID::from_u128(0),
            _ => VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT,
        },
    }
}

impl WindowsDisks {
    fn work(&self) -> MutexGuard<'_, BTreeMap<usize, Box<Pending>>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One thing that an image says of itself.
    fn ask(&self, disk: DiskHandle, version: i32) -> Result<Vec<u64>, HResult> {
        // Words, so that it is aligned as the structure has to be.
        let mut room = vec![0_u64; MAX_INFORMATION / 8];
        let place: *mut GET_VIRTUAL_DISK_INFO = room.as_mut_ptr().cast();
        let (mut size, mut used) = (length_of(room.as_slice()), 0);
        // SAFETY: there is room for `size` bytes, whose first say what is asked; the disk is open.
        let told = unsafe {
            (*place).Version = version;
            (self.functions.get_information)(pointer(disk.0), &raw mut size, place, &raw mut used)
        };
        match told {
            0 => Ok(room),
            code => Err(HResult(code)),
        }
    }

    /// Opens a volume, whose name is told without the backslash at its end.
    fn open_volume(&self, volume: &str, access: u32) -> Result<Volume<'_>, HResult> {
        let name = wide_text(volume.trim_end_matches('\\'));
        // SAFETY: the name ends with a zero, and of the rest nothing is given.
        let handle = unsafe {
            (self.functions.create_file)(
                name.as_ptr(),
                access,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                ptr::null(),
                OPEN_EXISTING,
                0,
                ptr::null_mut(),
            )
        };
        match handle == INVALID_HANDLE_VALUE {
            true => Err(last_code()),
            false => Ok(Volume {
                functions: &self.functions,
                handle,
            }),
        }
    }

    fn start(&self, disk: Handle, work: DiskWork, overlapped: *const OVERLAPPED) -> u32 {
        let functions = &self.functions;
        // SAFETY: the disk is open, the parameters live across the call, and the structure for what is
        // done meanwhile until `end`.
        unsafe {
            match work {
                DiskWork::Expand { size } => {
                    let parameters = EXPAND_VIRTUAL_DISK_PARAMETERS {
                        Version: EXPAND_VIRTUAL_DISK_VERSION_1,
                        Anonymous: EXPAND_VIRTUAL_DISK_PARAMETERS_0 {
                            Version1: EXPAND_VIRTUAL_DISK_PARAMETERS_0_0 { NewSize: size },
                        },
                    };
                    (functions.expand)(disk, 0, &raw const parameters, overlapped)
                }
                DiskWork::Resize { size } => {
                    let parameters = RESIZE_VIRTUAL_DISK_PARAMETERS {
                        Version: RESIZE_VIRTUAL_DISK_VERSION_1,
                        Anonymous: RESIZE_VIRTUAL_DISK_PARAMETERS_0 {
                            Version1: RESIZE_VIRTUAL_DISK_PARAMETERS_0_0 { NewSize: size },
                        },
                    };
                    (functions.resize)(disk, 0, &raw const parameters, overlapped)
                }
                DiskWork::Compact => {
                    let parameters = COMPACT_VIRTUAL_DISK_PARAMETERS {
                        Version: COMPACT_VIRTUAL_DISK_VERSION_1,
                        ..Default::default()
                    };
                    (functions.compact)(disk, 0, &raw const parameters, overlapped)
                }
                DiskWork::Merge { depth } => {
                    let parameters = MERGE_VIRTUAL_DISK_PARAMETERS {
                        Version: MERGE_VIRTUAL_DISK_VERSION_1,
                        Anonymous: MERGE_VIRTUAL_DISK_PARAMETERS_0 {
                            Version1: MERGE_VIRTUAL_DISK_PARAMETERS_0_0 { MergeDepth: depth },
                        },
                    };
                    (functions.merge)(disk, 0, &raw const parameters, overlapped)
                }
            }
        }
    }
}

/// A volume that is open, closed when it is dropped.
struct Volume<'f> {
    functions: &'f Functions,
    handle: Handle,
}

impl Volume<'_> {
    /// A control without input; what it gives back goes into `room`.
    fn control(&self, code: u32, room: &mut [u64]) -> HResult {
        let mut returned = 0;
        let length = length_of(room);
        // SAFETY: the volume is open, and there is room for so many bytes.
        met(unsafe {
            (self.functions.control)(
                self.handle,
                code,
                ptr::null(),
                0,
                room.as_mut_ptr().cast(),
                length,
                &raw mut returned,
                ptr::null_mut(),
            )
        })
    }
}

impl Drop for Volume<'_> {
    fn drop(&mut self) {
        // SAFETY: it was opened by `open_volume` and is closed once.
        unsafe { (self.functions.close)(self.handle) };
    }
}

impl HostDisks for WindowsDisks {
    fn open(&self, image: &str, how: OpenDisk) -> Result<DiskHandle, HResult> {
        let second = |only_information: bool, read_only: bool| OPEN_VIRTUAL_DISK_PARAMETERS {
            Version: OPEN_VIRTUAL_DISK_VERSION_2,
            Anonymous: OPEN_VIRTUAL_DISK_PARAMETERS_0 {
                Version2: OPEN_VIRTUAL_DISK_PARAMETERS_0_1 {
                    GetInfoOnly: i32::from(only_information),
                    ReadOnly: i32::from(read_only),
                    ..Default::default()
                },
            },
        };
        // The second version of the parameters asks for no access: they say what it is for.
        let (access, parameters) = match how {
            OpenDisk::Information => (VIRTUAL_DISK_ACCESS_NONE, second(true, false)),
            OpenDisk::ReadOnly => (VIRTUAL_DISK_ACCESS_NONE, second(false, true)),
            OpenDisk::ReadWrite => (VIRTUAL_DISK_ACCESS_NONE, second(false, false)),
            OpenDisk::WithParents(depth) => (
                VIRTUAL_DISK_ACCESS_METAOPS | VIRTUAL_DISK_ACCESS_GET_INFO,
                OPEN_VIRTUAL_DISK_PARAMETERS {
                    Version: OPEN_VIRTUAL_DISK_VERSION_1,
                    Anonymous: OPEN_VIRTUAL_DISK_PARAMETERS_0 {
                        Version1: OPEN_VIRTUAL_DISK_PARAMETERS_0_0 {
                            RWDepth: depth.saturating_add(1),
                        },
                    },
                },
            ),
        };
        let (kind, name) = (storage_type(image), wide_text(image));
        let access = u32::from_ne_bytes(access.to_ne_bytes());
        let mut handle = ptr::null_mut();
        // SAFETY: the name ends with a zero, the structures live across the call, and the library writes
        // one handle or none.
        let told = unsafe {
            (self.functions.open_virtual_disk)(
                &raw const kind,
                name.as_ptr(),
                access,
                0,
                &raw const parameters,
                &raw mut handle,
            )
        };
        match (told, handle.expose_provenance()) {
            (0, 0) => Err(HResult(0x8007_0006)),
            (0, handle) => Ok(DiskHandle(handle)),
            (code, _) => Err(HResult(code)),
        }
    }

    fn close(&self, disk: DiskHandle) {
        // SAFETY: handles come from `open` and are closed once, by their owner.
        unsafe { (self.functions.close)(pointer(disk.0)) };
    }

    fn attach(&self, disk: DiskHandle, how: AttachDisk) -> HResult {
        let mut flags = ATTACH_VIRTUAL_DISK_FLAG_NO_DRIVE_LETTER;
        if how.read_only {
            flags |= ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY;
        }
        if how.outlives_handle {
            flags |= ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME;
        }
        let parameters = ATTACH_VIRTUAL_DISK_PARAMETERS {
            Version: ATTACH_VIRTUAL_DISK_VERSION_1,
            ..Default::default()
        };
        // SAFETY: the disk is open, the parameters live across the call, and of the rest none is given.
        HResult(unsafe {
            (self.functions.attach_virtual_disk)(
                pointer(disk.0),
                ptr::null_mut(),
                u32::from_ne_bytes(flags.to_ne_bytes()),
                0,
                &raw const parameters,
                ptr::null(),
            )
        })
    }

    fn detach(&self, disk: DiskHandle) -> HResult {
        // SAFETY: the disk is open.
        HResult(unsafe { (self.functions.detach_virtual_disk)(pointer(disk.0), 0, 0) })
    }

    fn physical_path(&self, disk: DiskHandle) -> Result<String, HResult> {
        let mut units = [0_u16; 260];
        let mut bytes = length_of(&units);
        // SAFETY: the disk is open, and there is room for so many bytes.
        let told = unsafe {
            (self.functions.get_physical_path)(pointer(disk.0), &raw mut bytes, units.as_mut_ptr())
        };
        match told {
            0 => Ok(text_of_units(&units)),
            code => Err(HResult(code)),
        }
    }

    fn information(&self, disk: DiskHandle) -> Result<DiskInformation, HResult> {
        let read = |room: &Vec<u64>| {
            // SAFETY: the room is larger than the structure, and aligned for it; what the system did not
            // write is zero.
            unsafe {
                room.as_ptr()
                    .cast::<GET_VIRTUAL_DISK_INFO>()
                    .read()
                    .Anonymous
            }
        };
        // SAFETY (of each field): it is the one that was asked for, and every bit pattern is one of it.
        let size = unsafe { read(&self.ask(disk, GET_VIRTUAL_DISK_INFO_SIZE)?).Size };
        // SAFETY: as above.
        let is_loaded =
            unsafe { read(&self.ask(disk, GET_VIRTUAL_DISK_INFO_IS_LOADED)?).IsLoaded } != 0;
        let kind = self.ask(disk, GET_VIRTUAL_DISK_INFO_VIRTUAL_STORAGE_TYPE);
        // SAFETY: as above.
        let kind = kind.map(|room| unsafe { read(&room).VirtualStorageType.DeviceId });
        let fragmentation = self.ask(disk, GET_VIRTUAL_DISK_INFO_FRAGMENTATION);
        // SAFETY: as above.
        let fragmentation =
            fragmentation.map(|room| unsafe { read(&room).FragmentationPercentage });
        let parent = self.ask(disk, GET_VIRTUAL_DISK_INFO_PARENT_LOCATION);
        Ok(DiskInformation {
            virtual_size: size.VirtualSize,
            physical_size: size.PhysicalSize,
            block_size: size.BlockSize,
            sector_size: size.SectorSize,
            device: kind.unwrap_or(0),
            parent: parent.ok().and_then(|room| parent_of(&room)),
            is_loaded,
            fragmentation: fragmentation.ok(),
        })
    }

    fn begin(&self, disk: DiskHandle, work: DiskWork) -> Result<WorkHandle, HResult> {
        // SAFETY: an event without a name, which is closed in `end`.
        let event = unsafe { CreateEventW(ptr::null(), 1, 0, ptr::null()) };
        if event.is_null() {
            return Err(last_code());
        }
        let mut pending = Box::new(Pending {
            overlapped: OVERLAPPED {
                hEvent: event,
                ..Default::default()
            },
            has_ended: false,
        });
        let address: *const OVERLAPPED = &raw const pending.overlapped;
        match self.start(pointer(disk.0), work, address) {
            ERROR_IO_PENDING => {}
            0 => pending.has_ended = true,
            code => {
                // SAFETY: nothing was begun, so that nobody else has the event.
                unsafe { CloseHandle(event) };
                return Err(HResult(code));
            }
        }
        let handle = address.expose_provenance();
        self.work().insert(handle, pending);
        Ok(WorkHandle(handle))
    }

    fn progress(&self, disk: DiskHandle, work: WorkHandle) -> WorkProgress {
        let mut all = self.work();
        let Some(pending) = all.get_mut(&work.0) else {
            return WorkProgress::Ended(HResult(0x8007_0006));
        };
        if pending.has_ended {
            return WorkProgress::Ended(HResult::OK);
        }
        let mut found = VIRTUAL_DISK_PROGRESS::default();
        // SAFETY: the disk is open, and the work was begun with this structure.
        let told = unsafe {
            (self.functions.get_progress)(
                pointer(disk.0),
                &raw const pending.overlapped,
                &raw mut found,
            )
        };
        match (told, found.OperationStatus) {
            (0, ERROR_IO_PENDING) => {
                WorkProgress::Running(found.CurrentValue, found.CompletionValue)
            }
            (0, status) => {
                pending.has_ended = true;
                WorkProgress::Ended(HResult(status))
            }
            // Whether it has ended is not known: `end` waits for it.
            (code, _) => WorkProgress::Ended(HResult(code)),
        }
    }

    fn cancel(&self, disk: DiskHandle, work: WorkHandle) {
        if let Some(pending) = self.work().get(&work.0) {
            // SAFETY: the disk is open, and the work was begun with this structure. That it ended by
            // itself meanwhile does no harm.
            unsafe { (self.functions.cancel)(pointer(disk.0), &raw const pending.overlapped) };
        }
    }

    fn end(&self, disk: DiskHandle, work: WorkHandle) {
        let Some(pending) = self.work().remove(&work.0) else {
            return;
        };
        let event = pending.overlapped.hEvent;
        if !pending.has_ended {
            // SAFETY: as in `cancel`; the event is open until it is closed below.
            let ended = unsafe {
                (self.functions.cancel)(pointer(disk.0), &raw const pending.overlapped);
                WaitForSingleObject(event, LAST_WAIT_MS)
            };
            if ended != WAIT_OBJECT_0 {
                // The system still writes there: memory is what that costs.
                Box::leak(pending);
                return;
            }
        }
        // SAFETY: the work has ended, so that nobody else has the event.
        unsafe { CloseHandle(event) };
    }

    fn volumes(&self) -> Result<Vec<String>, HResult> {
        let functions = &self.functions;
        let mut name = [0_u16; VOLUME_NAME];
        let room = u32::try_from(name.len()).unwrap_or(0);
        // SAFETY: there is room for so many units.
        let search = unsafe { (functions.find_first_volume)(name.as_mut_ptr(), room) };
        if search == INVALID_HANDLE_VALUE {
            return match last_code() {
                HResult(NO_MORE_FILES) => Ok(Vec::new()),
                code => Err(code),
            };
        }
        let mut volumes = vec![text_of_units(&name)];
        // SAFETY: as above, with a search that was begun and is ended below.
        while volumes.len() < MAX_VOLUMES
            && unsafe { (functions.find_next_volume)(search, name.as_mut_ptr(), room) } != 0
        {
            volumes.push(text_of_units(&name));
        }
        // SAFETY: the search was begun above and is ended once.
        unsafe { (functions.find_volume_close)(search) };
        Ok(volumes)
    }

    fn disks_of_volume(&self, volume: &str) -> Result<Vec<u32>, HResult> {
        // To ask, no access is needed.
        let volume = self.open_volume(volume, 0)?;
        // A count in a word, then disk, offset and length, a word each.
        let mut room = [0_u64; 1 + 3 * MAX_EXTENTS];
        match volume.control(IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS, &mut room) {
            HResult(INVALID_FUNCTION) => return Ok(Vec::new()),
            code if !code.is_success() => return Err(code),
            _ => {}
        }
        let low = |word: u64| u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0);
        let [count, extents @ ..] = room;
        let count = usize::try_from(low(count)).unwrap_or(MAX_EXTENTS);
        let extents = extents.chunks_exact(3).take(count);
        let mut disks: Vec<u32> = extents
            .filter_map(|extent| Some(low(*extent.first()?)))
            .collect();
        disks.sort_unstable();
        disks.dedup();
        Ok(disks)
    }

    fn volume_at(&self, place: &str) -> Result<String, HResult> {
        let place = wide_text(place);
        let mut name = [0_u16; VOLUME_NAME];
        let room = u32::try_from(name.len()).unwrap_or(0);
        // SAFETY: the place ends with a zero, and there is room for so many units.
        let code = met(unsafe {
            (self.functions.volume_of_mount_point)(place.as_ptr(), name.as_mut_ptr(), room)
        });
        match code.is_success() {
            true => Ok(text_of_units(&name)),
            false => Err(code),
        }
    }

    fn set_mount_point(&self, place: &str, volume: &str) -> HResult {
        let (place, volume) = (wide_text(place), wide_text(volume));
        // SAFETY: both texts end with a zero.
        met(unsafe { (self.functions.set_mount_point)(place.as_ptr(), volume.as_ptr()) })
    }

    fn delete_mount_point(&self, place: &str) -> HResult {
        let place = wide_text(place);
        // SAFETY: the text ends with a zero.
        met(unsafe { (self.functions.delete_mount_point)(place.as_ptr()) })
    }

    fn dismount(&self, volume: &str) -> HResult {
        let open = |access| self.open_volume(volume, access);
        // A volume of a disk that can only be read may not be opened for writing.
        let opened = match open(GENERIC_READ | GENERIC_WRITE).or_else(|_| open(GENERIC_READ)) {
            Ok(opened) => opened,
            Err(code) => return code,
        };
        // SAFETY: the volume is open. What cannot be written out is told by the lock.
        unsafe { (self.functions.flush)(opened.handle) };
        match opened.control(FSCTL_LOCK_VOLUME, &mut []) {
            code if code.is_success() => opened.control(FSCTL_DISMOUNT_VOLUME, &mut []),
            code => code,
        }
    }

    fn format_layer(&self, disk: DiskHandle) -> HResult {
        let Ok(format) = self.functions.format_layer() else {
            return PROCEDURE_NOT_FOUND;
        };
        // SAFETY: the disk is open and attached.
        let code = unsafe { format(pointer(disk.0)) };
        HResult(u32::from_ne_bytes(code.to_ne_bytes()))
    }

    fn format_disk(&self, format: &FormatDisk) -> Result<(), Fault> {
        if self.functions.is_double() {
            let what = "a double has no formatter";
            return Err(Fault::new(FaultKind::Unsupported, what));
        }
        storage::format(format)
    }
}

/// The first of the places where a parent may be.
fn parent_of(room: &[u64]) -> Option<String> {
    // After the version, the alignment and whether it was found.
    let bytes = room.iter().skip(1).flat_map(|word| word.to_le_bytes());
    let bytes: Vec<u8> = bytes.skip(4).collect();
    let units = bytes.chunks_exact(2).map(|pair| match pair {
        [low, high] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    });
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    (!units.is_empty()).then(|| String::from_utf16_lossy(&units))
}

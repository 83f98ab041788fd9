//! The calls as computecore.dll exports them, on one double for the process.
//!
//! Where the environment names a file in `HCS_DOUBLE_STATE`, the host is read from it before each call
//! and written to it after, so that several programs one after the other find the same machines.
#![allow(unsafe_code, non_snake_case, unreachable_pub)]

use std::ffi::c_void;
use std::path::PathBuf;
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use attach::hcs::{ComputeCore, CoreResult, HResult, OperationHandle, SystemHandle, WaitTime};
use windows_sys::Win32::System::Memory::{LMEM_FIXED, LocalAlloc};

use crate::double::{Control, Double, Report};
use crate::host::HostModel;

type Handle = *mut c_void;
type Text = *const u16;

const INVALID_ARGUMENT: HResult = HResult(0x8007_0057);
const OUT_OF_MEMORY: HResult = HResult(0x8007_000E);
const GENERIC_ALL: u32 = 0x1000_0000;
/// The longest text that is taken, in UTF-16 units.
const MAX_TEXT: usize = 1 << 24;

/// Answers a call on the double of this process, its host brought up to date.
fn on_double<T>(call: impl FnOnce(&Double) -> T) -> T {
    static DOUBLE: OnceLock<Double> = OnceLock::new();
    let double = DOUBLE.get_or_init(|| Double::new(HostModel::default()));
    let Some(file) = std::env::var_os("HCS_DOUBLE_STATE").map(PathBuf::from) else {
        return call(double);
    };
    let kept = std::fs::read(&file).ok();
    let host = kept.and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(host) = host {
        control(double, &Control::SetHost(host));
    }
    let answer = call(double);
    if let Some(report) = control(double, &Control::Report)
        && let Ok(text) = serde_json::to_vec_pretty(&report.host)
    {
        // A host that cannot be kept is found out by the test that reads it.
        let _ = std::fs::write(&file, text);
    }
    answer
}

fn control(double: &Double, request: &Control) -> Option<Report> {
    let request = serde_json::to_string(request).ok()?;
    serde_json::from_str(&double.control(&request).ok()?).ok()
}

fn code(code: HResult) -> i32 {
    i32::from_ne_bytes(code.0.to_ne_bytes())
}

/// Reads a text; `None` where there is none, or it is not of Unicode.
///
/// # Safety
/// `text` is null or points to units that end with a zero.
unsafe fn read(text: Text) -> Option<String> {
    if text.is_null() {
        return None;
    }
    let mut units = Vec::new();
    // SAFETY: every unit up to the zero can be read, as the caller promises.
    while units.len() < MAX_TEXT && unsafe { *text.add(units.len()) } != 0 {
        // SAFETY: as above.
        units.push(unsafe { *text.add(units.len()) });
    }
    String::from_utf16(&units).ok()
}

/// Gives a text out in memory that `LocalFree` frees.
///
/// # Safety
/// `place` is null or points to a pointer that can be written.
unsafe fn give(text: Option<String>, place: *mut *mut u16) -> HResult {
    if place.is_null() {
        return HResult::OK;
    }
    let given = match text {
        None => ptr::null_mut(),
        Some(text) => {
            let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
            // SAFETY: it allocates so many bytes, or gives null.
            let memory = unsafe { LocalAlloc(LMEM_FIXED, units.len() * 2) }.cast::<u16>();
            if memory.is_null() {
                return OUT_OF_MEMORY;
            }
            // SAFETY: the memory has room for exactly these units.
            unsafe { ptr::copy_nonoverlapping(units.as_ptr(), memory, units.len()) };
            memory
        }
    };
    // SAFETY: the place can be written, as the caller promises.
    unsafe { *place = given };
    HResult::OK
}

/// # Safety
/// As for [`give`].
unsafe fn give_result(result: CoreResult, place: *mut *mut u16) -> i32 {
    // SAFETY: as the caller promises.
    let given = unsafe { give(result.1, place) };
    code(if given.is_success() { result.0 } else { given })
}

fn operation(handle: Handle) -> OperationHandle {
    OperationHandle(handle.expose_provenance())
}

fn system(handle: Handle) -> SystemHandle {
    SystemHandle(handle.expose_provenance())
}

/// `HcsCreateOperation`; callbacks are not called by the double.
#[unsafe(no_mangle)]
pub extern "system" fn HcsCreateOperation(
    _context: *const c_void,
    callback: *const c_void,
) -> Handle {
    let created = on_double(ComputeCore::create_operation).filter(|_| callback.is_null());
    created.map_or(ptr::null_mut(), |created| {
        ptr::with_exposed_provenance_mut(created.0)
    })
}

/// `HcsCloseOperation`.
#[unsafe(no_mangle)]
pub extern "system" fn HcsCloseOperation(handle: Handle) {
    on_double(|double| double.close_operation(operation(handle)));
}

/// `HcsWaitForOperationResult`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsWaitForOperationResult(
    handle: Handle,
    timeout_ms: u32,
    document: *mut *mut u16,
) -> i32 {
    let wait = match timeout_ms {
        u32::MAX => WaitTime::Forever,
        ms => WaitTime::For(Duration::from_millis(u64::from(ms))),
    };
    let result = on_double(|double| double.wait_for_operation_result(operation(handle), wait));
    // SAFETY: as the caller promises.
    unsafe { give_result(result, document) }
}

/// `HcsOpenComputeSystem`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsOpenComputeSystem(
    id: Text,
    access: u32,
    opened: *mut Handle,
) -> i32 {
    // SAFETY: as the caller promises.
    let Some(id) = (unsafe { read(id) }) else {
        return code(INVALID_ARGUMENT);
    };
    if access != GENERIC_ALL || opened.is_null() {
        return code(INVALID_ARGUMENT);
    }
    match on_double(|double| double.open_compute_system(&id)) {
        Ok(handle) => {
            // SAFETY: it is not null, and can be written, as the caller promises.
            unsafe { *opened = ptr::with_exposed_provenance_mut(handle.0) };
            code(HResult::OK)
        }
        Err(told) => code(told),
    }
}

/// `HcsCloseComputeSystem`.
#[unsafe(no_mangle)]
pub extern "system" fn HcsCloseComputeSystem(handle: Handle) {
    on_double(|double| double.close_compute_system(system(handle)));
}

/// `HcsModifyComputeSystem`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsModifyComputeSystem(
    changed: Handle,
    handle: Handle,
    request: Text,
    identity: Handle,
) -> i32 {
    // SAFETY: as the caller promises.
    let request = unsafe { read(request) };
    let Some(request) = request.filter(|_| identity.is_null()) else {
        return code(INVALID_ARGUMENT);
    };
    code(on_double(|double| {
        double.modify_compute_system(system(changed), operation(handle), &request)
    }))
}

/// `HcsGetComputeSystemProperties`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsGetComputeSystemProperties(
    asked: Handle,
    handle: Handle,
    query: Text,
) -> i32 {
    // SAFETY: as the caller promises.
    let query = unsafe { read(query) }.unwrap_or_default();
    code(on_double(|double| {
        double.get_compute_system_properties(system(asked), operation(handle), &query)
    }))
}

/// `HcsEnumerateComputeSystems`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsEnumerateComputeSystems(query: Text, handle: Handle) -> i32 {
    // SAFETY: as the caller promises.
    let query = unsafe { read(query) }.unwrap_or_default();
    code(on_double(|double| {
        double.enumerate_compute_systems(operation(handle), &query)
    }))
}

/// `HcsGetServiceProperties`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsGetServiceProperties(query: Text, document: *mut *mut u16) -> i32 {
    // SAFETY: as the caller promises.
    let query = unsafe { read(query) }.unwrap_or_default();
    let result = on_double(|double| double.get_service_properties(&query));
    // SAFETY: as the caller promises.
    unsafe { give_result(result, document) }
}

/// `HcsGrantVmAccess`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsGrantVmAccess(id: Text, path: Text) -> i32 {
    // SAFETY: as the caller promises.
    let (Some(id), Some(path)) = (unsafe { (read(id), read(path)) }) else {
        return code(INVALID_ARGUMENT);
    };
    code(on_double(|double| double.grant_vm_access(&id, &path)))
}

/// `HcsRevokeVmAccess`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsRevokeVmAccess(id: Text, path: Text) -> i32 {
    // SAFETY: as the caller promises.
    let (Some(id), Some(path)) = (unsafe { (read(id), read(path)) }) else {
        return code(INVALID_ARGUMENT);
    };
    code(on_double(|double| double.revoke_vm_access(&id, &path)))
}

/// What only the double has: a request of [`Control`], answered with a report.
///
/// # Safety
/// `request` is null or ends with a zero, `report` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsDoubleControl(request: Text, report: *mut *mut u16) -> i32 {
    // SAFETY: as the caller promises.
    let request = unsafe { read(request) }.unwrap_or_default();
    match on_double(|double| double.control(&request)) {
        // SAFETY: as the caller promises.
        Ok(text) => unsafe { give_result((HResult::OK, Some(text)), report) },
        Err(_) => code(INVALID_ARGUMENT),
    }
}

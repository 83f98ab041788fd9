//! computecore.dll, loaded at run time and called.
//!
//! The library is never unloaded: operations may still be under way in it.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use windows_sys::Win32::Foundation::{GetLastError, HMODULE, LocalFree};
use windows_sys::Win32::System::LibraryLoader::{
    GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LOAD_WITH_ALTERED_SEARCH_PATH, LoadLibraryExW,
};

use crate::hcs::compute_core::{ComputeCore, CoreResult, OperationHandle, SystemHandle, WaitTime};
use crate::hcs::result::HResult;
use crate::sides::{Fault, FaultKind};
use crate::wide_text::{text_of_units, wide_text};

/// The only access that systems are opened with.
const GENERIC_ALL: u32 = 0x1000_0000;
/// Waiting without end.
const INFINITE: u32 = u32::MAX;
/// The longest result document that is taken, in UTF-16 units.
const MAX_DOCUMENT: usize = 32 << 20;
/// `ERROR_CALL_NOT_IMPLEMENTED`, as the library itself would say it.
const NOT_IMPLEMENTED: HResult = HResult(0x8007_0078);

type Handle = *mut c_void;
type Text = *const u16;
type Code = i32;

// The signatures of computecore.h.
type CreateOperation = unsafe extern "system" fn(*const c_void, *const c_void) -> Handle;
type CloseOperation = unsafe extern "system" fn(Handle);
type WaitForOperationResult = unsafe extern "system" fn(Handle, u32, *mut *mut u16) -> Code;
type OpenComputeSystem = unsafe extern "system" fn(Text, u32, *mut Handle) -> Code;
type CloseComputeSystem = unsafe extern "system" fn(Handle);
type ModifyComputeSystem = unsafe extern "system" fn(Handle, Handle, Text, Handle) -> Code;
type GetComputeSystemProperties = unsafe extern "system" fn(Handle, Handle, Text) -> Code;
type EnumerateComputeSystems = unsafe extern "system" fn(Text, Handle) -> Code;
type GetServiceProperties = unsafe extern "system" fn(Text, *mut *mut u16) -> Code;
type GrantVmAccess = unsafe extern "system" fn(Text, Text) -> Code;
type RevokeVmAccess = unsafe extern "system" fn(Text, Text) -> Code;

/// The functions, by their addresses.
struct Library {
    create_operation: CreateOperation,
    close_operation: CloseOperation,
    wait_for_operation_result: WaitForOperationResult,
    open_compute_system: OpenComputeSystem,
    close_compute_system: CloseComputeSystem,
    modify_compute_system: ModifyComputeSystem,
    get_compute_system_properties: GetComputeSystemProperties,
    enumerate_compute_systems: EnumerateComputeSystems,
    get_service_properties: GetServiceProperties,
    grant_vm_access: Option<GrantVmAccess>,
    revoke_vm_access: Option<RevokeVmAccess>,
}

pub(super) fn load(file: Option<&Path>) -> Result<Arc<dyn ComputeCore>, Fault> {
    let (name, flags) = match file {
        Some(file) => {
            let units = file.as_os_str().encode_wide().chain([0]);
            (units.collect(), LOAD_WITH_ALTERED_SEARCH_PATH)
        }
        None => (wide_text("computecore.dll"), LOAD_LIBRARY_SEARCH_SYSTEM32),
    };
    // SAFETY: the name ends with a zero, and the reserved handle is none.
    let module = unsafe { LoadLibraryExW(name.as_ptr(), ptr::null_mut(), flags) };
    if module.is_null() {
        // SAFETY: it only reads what the thread was told last.
        let code = unsafe { GetLastError() };
        let what = format!(
            "computecore.dll cannot be loaded ({}): the Windows feature Hyper-V or Containers has to \
             be turned on",
            HResult(code).normalised()
        );
        return Err(Fault::new(FaultKind::Unsupported, what));
    }
    Library::bind(module).map(|library| {
        let library: Arc<dyn ComputeCore> = Arc::new(library);
        library
    })
}

/// Finds a function of the module by its name and takes it for one of the type that is expected; `None`
/// where it has no such function.
macro_rules! optional {
    ($module:expr, $name:literal, $signature:ty) => {{
        // SAFETY: the module is loaded and never unloaded, and the name ends with a zero.
        let found = unsafe { GetProcAddress($module, concat!($name, "\0").as_ptr()) };
        // SAFETY: a function of this name has this signature; both are pointers to functions.
        found.map(|found| unsafe {
            std::mem::transmute::<unsafe extern "system" fn() -> isize, $signature>(found)
        })
    }};
}

/// The same of a function that has to be there.
macro_rules! function {
    ($module:expr, $name:literal, $signature:ty) => {{
        let Some(found) = optional!($module, $name, $signature) else {
            let what = concat!(
                "computecore.dll has no ",
                $name,
                ": Windows Server 2019 or a newer Windows is needed"
            );
            return Err(Fault::new(FaultKind::Unsupported, what));
        };
        found
    }};
}

impl Library {
    fn bind(module: HMODULE) -> Result<Self, Fault> {
        Ok(Self {
            create_operation: function!(module, "HcsCreateOperation", CreateOperation),
            close_operation: function!(module, "HcsCloseOperation", CloseOperation),
            wait_for_operation_result: function!(
                module,
                "HcsWaitForOperationResult",
                WaitForOperationResult
            ),
            open_compute_system: function!(module, "HcsOpenComputeSystem", OpenComputeSystem),
            close_compute_system: function!(module, "HcsCloseComputeSystem", CloseComputeSystem),
            modify_compute_system: function!(module, "HcsModifyComputeSystem", ModifyComputeSystem),
            get_compute_system_properties: function!(
                module,
                "HcsGetComputeSystemProperties",
                GetComputeSystemProperties
            ),
            enumerate_compute_systems: function!(
                module,
                "HcsEnumerateComputeSystems",
                EnumerateComputeSystems
            ),
            get_service_properties: function!(
                module,
                "HcsGetServiceProperties",
                GetServiceProperties
            ),
            grant_vm_access: optional!(module, "HcsGrantVmAccess", GrantVmAccess),
            revoke_vm_access: optional!(module, "HcsRevokeVmAccess", RevokeVmAccess),
        })
    }
}

fn code(code: Code) -> HResult {
    HResult(u32::from_ne_bytes(code.to_ne_bytes()))
}

fn pointer(handle: usize) -> Handle {
    ptr::with_exposed_provenance_mut(handle)
}

/// Takes a text that the library allocated, and frees it.
///
/// # Safety
/// `text` is null, or points to units that end with a zero, is from the heap of the process, and nobody
/// else frees it.
unsafe fn take(text: *mut u16) -> Option<String> {
    if text.is_null() {
        return None;
    }
    let mut length = 0;
    // SAFETY: every unit up to the zero can be read, as the caller promises.
    while length < MAX_DOCUMENT && unsafe { *text.add(length) } != 0 {
        length += 1;
    }
    // SAFETY: these units were just read one by one.
    let units = unsafe { std::slice::from_raw_parts(text, length) };
    let taken = text_of_units(units);
    // SAFETY: nobody else frees it, as the caller promises.
    unsafe { LocalFree(text.cast()) };
    Some(taken)
}

impl ComputeCore for Library {
    fn create_operation(&self) -> Option<OperationHandle> {
        // SAFETY: neither a context nor a callback is given.
        let handle = unsafe { (self.create_operation)(ptr::null(), ptr::null()) };
        let handle = handle.expose_provenance();
        (handle != 0).then_some(OperationHandle(handle))
    }

    fn close_operation(&self, operation: OperationHandle) {
        // SAFETY: handles come from `create_operation` and are closed once, by their owner.
        unsafe { (self.close_operation)(pointer(operation.0)) }
    }

    fn wait_for_operation_result(&self, operation: OperationHandle, wait: WaitTime) -> CoreResult {
        let wait_ms = match wait {
            WaitTime::Forever => INFINITE,
            WaitTime::For(time) => {
                u32::try_from(time.as_millis()).map_or(INFINITE - 1, |ms| ms.min(INFINITE - 1))
            }
        };
        let mut text = ptr::null_mut();
        // SAFETY: the operation is open, and the library writes one pointer or none.
        let told = unsafe {
            (self.wait_for_operation_result)(pointer(operation.0), wait_ms, &raw mut text)
        };
        // SAFETY: a document that the library gives out is ours, and ends with a zero.
        (code(told), unsafe { take(text) })
    }

    fn open_compute_system(&self, id: &str) -> Result<SystemHandle, HResult> {
        let id = wide_text(id);
        let mut handle = ptr::null_mut();
        // SAFETY: the text ends with a zero, and the library writes one handle or none.
        let told =
            code(unsafe { (self.open_compute_system)(id.as_ptr(), GENERIC_ALL, &raw mut handle) });
        match handle.expose_provenance() {
            handle if told.is_success() && handle != 0 => Ok(SystemHandle(handle)),
            _ if told.is_success() => Err(HResult(0x8007_0006)),
            _ => Err(told),
        }
    }

    fn close_compute_system(&self, system: SystemHandle) {
        // SAFETY: handles come from `open_compute_system` and are closed once, by their owner.
        unsafe { (self.close_compute_system)(pointer(system.0)) }
    }

    fn modify_compute_system(
        &self,
        system: SystemHandle,
        operation: OperationHandle,
        request: &str,
    ) -> HResult {
        let request = wide_text(request);
        // SAFETY: both handles are open, the text ends with a zero, and no identity is given.
        code(unsafe {
            (self.modify_compute_system)(
                pointer(system.0),
                pointer(operation.0),
                request.as_ptr(),
                ptr::null_mut(),
            )
        })
    }

    fn get_compute_system_properties(
        &self,
        system: SystemHandle,
        operation: OperationHandle,
        query: &str,
    ) -> HResult {
        let query = wide_text(query);
        // SAFETY: both handles are open, and the text ends with a zero.
        code(unsafe {
            (self.get_compute_system_properties)(
                pointer(system.0),
                pointer(operation.0),
                query.as_ptr(),
            )
        })
    }

    fn enumerate_compute_systems(&self, operation: OperationHandle, query: &str) -> HResult {
        let query = wide_text(query);
        // SAFETY: the operation is open, and the text ends with a zero.
        code(unsafe { (self.enumerate_compute_systems)(query.as_ptr(), pointer(operation.0)) })
    }

    fn get_service_properties(&self, query: &str) -> CoreResult {
        let query = wide_text(query);
        let mut text = ptr::null_mut();
        // SAFETY: the text ends with a zero, and the library writes one pointer or none.
        let told = unsafe { (self.get_service_properties)(query.as_ptr(), &raw mut text) };
        // SAFETY: a document that the library gives out is ours, and ends with a zero.
        (code(told), unsafe { take(text) })
    }

    fn has_access_calls(&self) -> bool {
        self.grant_vm_access.is_some() && self.revoke_vm_access.is_some()
    }

    fn grant_vm_access(&self, id: &str, path: &str) -> HResult {
        let Some(grant) = self.grant_vm_access else {
            return NOT_IMPLEMENTED;
        };
        let (id, path) = (wide_text(id), wide_text(path));
        // SAFETY: both texts end with a zero.
        code(unsafe { grant(id.as_ptr(), path.as_ptr()) })
    }

    fn revoke_vm_access(&self, id: &str, path: &str) -> HResult {
        let Some(revoke) = self.revoke_vm_access else {
            return NOT_IMPLEMENTED;
        };
        let (id, path) = (wide_text(id), wide_text(path));
        // SAFETY: both texts end with a zero.
        code(unsafe { revoke(id.as_ptr(), path.as_ptr()) })
    }
}

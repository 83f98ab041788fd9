//! The service itself, and files that machines may open.

use attach::hcs::{ComputeCore, HResult};

use crate::codes::INVALID_PARAMETER;
use crate::double::Double;

use super::{Text, code, double, give_result, read};

/// `HcsGetServiceProperties`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsGetServiceProperties(query: Text, document: *mut *mut u16) -> i32 {
    // SAFETY: as the caller promises.
    let query = unsafe { read(query) }.unwrap_or_default();
    let result = double().get_service_properties(&query);
    // SAFETY: as the caller promises.
    unsafe { give_result(result, document) }
}

/// A call with two texts, both of which have to be there.
///
/// # Safety
/// Both are null or end with a zero.
unsafe fn with_texts(
    first: Text,
    second: Text,
    call: impl FnOnce(&Double, &str, &str) -> HResult,
) -> i32 {
    // SAFETY: as the caller promises.
    let (Some(first), Some(second)) = (unsafe { (read(first), read(second)) }) else {
        return code(INVALID_PARAMETER);
    };
    code(call(double(), &first, &second))
}

/// A call with a path, which has to be there.
///
/// # Safety
/// It is null or ends with a zero.
unsafe fn with_path(path: Text, call: impl FnOnce(&Double, &str) -> HResult) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { with_texts(path, path, |double, path, _| call(double, path)) }
}

/// `HcsGrantVmAccess`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsGrantVmAccess(id: Text, path: Text) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { with_texts(id, path, Double::grant_vm_access) }
}

/// `HcsRevokeVmAccess`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsRevokeVmAccess(id: Text, path: Text) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { with_texts(id, path, Double::revoke_vm_access) }
}

/// `HcsGrantVmGroupAccess`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsGrantVmGroupAccess(path: Text) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { with_path(path, Double::grant_group_access) }
}

/// `HcsRevokeVmGroupAccess`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsRevokeVmGroupAccess(path: Text) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { with_path(path, Double::revoke_group_access) }
}

/// `HcsCreateEmptyGuestStateFile`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsCreateEmptyGuestStateFile(path: Text) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { with_path(path, Double::create_state_file) }
}

/// `HcsCreateEmptyRuntimeStateFile`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsCreateEmptyRuntimeStateFile(path: Text) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { with_path(path, Double::create_state_file) }
}

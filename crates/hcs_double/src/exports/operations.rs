//! Operations: made, asked about, waited for, closed.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use attach::hcs::{ComputeCore, HResult, OperationHandle};

use crate::events::OperationCallback;

use super::{Handle, NOT_IMPLEMENTED, code, double, give_result, operation, pointer, wait_time};

/// `HCS_OPERATION_COMPLETION`.
type Completion = unsafe extern "system" fn(Handle, *mut c_void);

/// A function of the caller, with what it wants to be told of.
fn callback(context: *const c_void, completion: Option<Completion>) -> Option<OperationCallback> {
    let context = context.expose_provenance();
    completion.map(|completion| {
        let call = move |operation: OperationHandle| {
            // SAFETY: the function has this signature, and its caller keeps it and what it is told of
            // until the operation is closed.
            unsafe { completion(pointer(operation.0), pointer(context)) }
        };
        let call: OperationCallback = Arc::new(call);
        call
    })
}

/// `HcsCreateOperation`.
#[unsafe(no_mangle)]
pub extern "system" fn HcsCreateOperation(
    context: *const c_void,
    completion: Option<Completion>,
) -> Handle {
    let Some(created) = double().create_operation() else {
        return ptr::null_mut();
    };
    double().set_operation_context(created, context.expose_provenance());
    double().set_operation_callback(created, callback(context, completion));
    pointer(created.0)
}

/// `HcsCloseOperation`.
#[unsafe(no_mangle)]
pub extern "system" fn HcsCloseOperation(handle: Handle) {
    double().close_operation(operation(handle));
}

/// `HcsGetOperationContext`.
#[unsafe(no_mangle)]
pub extern "system" fn HcsGetOperationContext(handle: Handle) -> Handle {
    let facts = double().operation_facts(operation(handle));
    pointer(facts.map_or(0, |facts| facts.context))
}

/// `HcsSetOperationContext`.
#[unsafe(no_mangle)]
pub extern "system" fn HcsSetOperationContext(handle: Handle, context: *const c_void) -> i32 {
    code(double().set_operation_context(operation(handle), context.expose_provenance()))
}

/// `HcsGetOperationType`.
#[unsafe(no_mangle)]
pub extern "system" fn HcsGetOperationType(handle: Handle) -> i32 {
    let facts = double().operation_facts(operation(handle));
    facts.map_or(-1, |facts| facts.kind.number())
}

/// `HcsGetOperationId`.
#[unsafe(no_mangle)]
pub extern "system" fn HcsGetOperationId(handle: Handle) -> u64 {
    let facts = double().operation_facts(operation(handle));
    facts.and_then(|facts| facts.id).unwrap_or(u64::MAX)
}

/// `HcsGetComputeSystemFromOperation`.
#[unsafe(no_mangle)]
pub extern "system" fn HcsGetComputeSystemFromOperation(handle: Handle) -> Handle {
    let facts = double().operation_facts(operation(handle));
    pointer(
        facts
            .and_then(|facts| facts.system)
            .map_or(0, |system| system.0),
    )
}

/// `HcsGetProcessFromOperation`: the double has no processes.
#[unsafe(no_mangle)]
pub extern "system" fn HcsGetProcessFromOperation(_handle: Handle) -> Handle {
    ptr::null_mut()
}

/// `HcsSetOperationCallback`.
#[unsafe(no_mangle)]
pub extern "system" fn HcsSetOperationCallback(
    handle: Handle,
    context: *const c_void,
    completion: Option<Completion>,
) -> i32 {
    let told = double().set_operation_callback(operation(handle), callback(context, completion));
    if told.is_success() {
        double().set_operation_context(operation(handle), context.expose_provenance());
    }
    code(told)
}

/// `HcsCancelOperation`, which Microsoft's documentation says is not implemented.
#[unsafe(no_mangle)]
pub extern "system" fn HcsCancelOperation(_handle: Handle) -> i32 {
    code(NOT_IMPLEMENTED)
}

/// `HcsGetOperationResult`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsGetOperationResult(
    handle: Handle,
    document: *mut *mut u16,
) -> i32 {
    let result = double().operation_result(operation(handle));
    // SAFETY: as the caller promises.
    unsafe { give_result(result, document) }
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
    let result = double().wait_for_operation_result(operation(handle), wait_time(timeout_ms));
    // SAFETY: as the caller promises.
    unsafe { give_result(result, document) }
}

/// `HCS_PROCESS_INFORMATION`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProcessInformation {
    process_id: u32,
    reserved: u32,
    streams: [Handle; 3],
}

/// No operation of the double is about a process.
///
/// # Safety
/// `place` is null or can be written.
unsafe fn give_no_process(place: *mut ProcessInformation) {
    if !place.is_null() {
        let nothing = ProcessInformation {
            process_id: 0,
            reserved: 0,
            streams: [ptr::null_mut(); 3],
        };
        // SAFETY: it can be written, as the caller promises.
        unsafe { *place = nothing };
    }
}

/// `HCS_E_PROCESS_INFO_NOT_AVAILABLE`, where all else went well.
fn without_process(result: i32, process: *mut ProcessInformation) -> i32 {
    match HResult::OK {
        ok if result == code(ok) && !process.is_null() => code(HResult(0x8037_011D)),
        _ => result,
    }
}

/// `HcsGetOperationResultAndProcessInfo`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsGetOperationResultAndProcessInfo(
    handle: Handle,
    process: *mut ProcessInformation,
    document: *mut *mut u16,
) -> i32 {
    // SAFETY: as the caller promises.
    unsafe {
        give_no_process(process);
        without_process(HcsGetOperationResult(handle, document), process)
    }
}

/// `HcsWaitForOperationResultAndProcessInfo`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsWaitForOperationResultAndProcessInfo(
    handle: Handle,
    timeout_ms: u32,
    process: *mut ProcessInformation,
    document: *mut *mut u16,
) -> i32 {
    // SAFETY: as the caller promises.
    unsafe {
        give_no_process(process);
        let result = HcsWaitForOperationResult(handle, timeout_ms, document);
        without_process(result, process)
    }
}

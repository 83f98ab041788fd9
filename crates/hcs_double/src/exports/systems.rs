//! Compute systems: made, opened, changed, listened to, closed.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use attach::hcs::ComputeCore;

use crate::codes::INVALID_PARAMETER;
use crate::events::{Event, SystemCallback};
use crate::handles::OperationKind;

use super::{
    Handle, Text, code, double, give_result, give_system, operation, pointer, read, system,
    wait_time,
};

const GENERIC_ALL: u32 = 0x1000_0000;
/// `HcsEventOptionEnableOperationCallbacks`.
const OPERATION_CALLBACKS: i32 = 1;

/// `HCS_EVENT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RawEvent {
    kind: i32,
    data: Text,
    operation: Handle,
}

/// `HCS_EVENT_CALLBACK`.
type EventCallback = unsafe extern "system" fn(*mut RawEvent, *mut c_void);

/// `HcsEnumerateComputeSystems`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsEnumerateComputeSystems(query: Text, handle: Handle) -> i32 {
    // SAFETY: as the caller promises.
    let query = unsafe { read(query) }.unwrap_or_default();
    code(double().enumerate_compute_systems(operation(handle), &query))
}

/// `HcsCreateComputeSystem`; who may use the system is not looked at.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsCreateComputeSystem(
    id: Text,
    configuration: Text,
    handle: Handle,
    _security: *const c_void,
    created: *mut Handle,
) -> i32 {
    // SAFETY: as the caller promises.
    let texts = unsafe { (read(id), read(configuration)) };
    let (Some(id), Some(configuration), false) = (texts.0, texts.1, created.is_null()) else {
        return code(INVALID_PARAMETER);
    };
    let told = double().create_compute_system(&id, &configuration, operation(handle));
    // SAFETY: it is not null, and can be written, as the caller promises.
    unsafe { give_system(told, created) }
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
        return code(INVALID_PARAMETER);
    };
    if access != GENERIC_ALL || opened.is_null() {
        return code(INVALID_PARAMETER);
    }
    // SAFETY: it is not null, and can be written, as the caller promises.
    unsafe { give_system(double().open_compute_system(&id), opened) }
}

/// `HcsCloseComputeSystem`.
#[unsafe(no_mangle)]
pub extern "system" fn HcsCloseComputeSystem(handle: Handle) {
    double().close_compute_system(system(handle));
}

/// One state becomes another.
///
/// # Safety
/// `options` is null or ends with a zero.
unsafe fn change_state(changed: Handle, handle: Handle, kind: OperationKind, options: Text) -> i32 {
    // SAFETY: as the caller promises.
    let options = unsafe { read(options) }.unwrap_or_default();
    code(double().change_state(system(changed), operation(handle), kind, &options))
}

/// A function of computecore.dll that changes the state of a system.
macro_rules! state_change {
    ($name:ident, $kind:ident) => {
        #[doc = concat!("`", stringify!($name), "`.\n\n# Safety\nAs for computecore.dll.")]
        #[unsafe(no_mangle)]
        pub unsafe extern "system" fn $name(changed: Handle, handle: Handle, options: Text) -> i32 {
            // SAFETY: as the caller promises.
            unsafe { change_state(changed, handle, OperationKind::$kind, options) }
        }
    };
}

state_change!(HcsStartComputeSystem, Start);
state_change!(HcsShutDownComputeSystem, Shutdown);
state_change!(HcsTerminateComputeSystem, Terminate);
state_change!(HcsPauseComputeSystem, Pause);
state_change!(HcsResumeComputeSystem, Resume);
state_change!(HcsSaveComputeSystem, Save);

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
    code(double().get_compute_system_properties(system(asked), operation(handle), &query))
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
    // Who binds the function of vmcompute.dll by this name leaves something else there.
    let Some(request) = request.filter(|_| identity.is_null()) else {
        return code(INVALID_PARAMETER);
    };
    code(double().modify_compute_system(system(changed), operation(handle), &request))
}

/// `HcsWaitForComputeSystemExit`.
///
/// # Safety
/// As for computecore.dll.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsWaitForComputeSystemExit(
    handle: Handle,
    timeout_ms: u32,
    document: *mut *mut u16,
) -> i32 {
    let result = double().wait_for_exit(system(handle), wait_time(timeout_ms));
    // SAFETY: as the caller promises.
    unsafe { give_result(result, document) }
}

/// `HcsSetComputeSystemCallback`.
#[unsafe(no_mangle)]
pub extern "system" fn HcsSetComputeSystemCallback(
    handle: Handle,
    options: i32,
    context: *const c_void,
    callback: Option<EventCallback>,
) -> i32 {
    if options & !OPERATION_CALLBACKS != 0 {
        return code(INVALID_PARAMETER);
    }
    let context = context.expose_provenance();
    let callback = callback.map(|callback| {
        let call = move |event: &Event| tell(event, callback, context);
        let call: SystemCallback = Arc::new(call);
        call
    });
    let tells_operations = options == OPERATION_CALLBACKS;
    code(double().set_system_callback(system(handle), tells_operations, callback))
}

fn tell(event: &Event, callback: EventCallback, context: usize) {
    let data = event.data.as_deref().map(attach::wide_text);
    let mut raw = RawEvent {
        kind: event.kind.number(),
        data: data.as_ref().map_or(ptr::null(), |units| units.as_ptr()),
        operation: pointer(event.operation.map_or(0, |operation| operation.0)),
    };
    // SAFETY: the function has this signature, and its caller keeps it and what it is told of until the
    // system is closed; the event lives until it returns.
    unsafe { callback(&raw mut raw, pointer(context)) }
}

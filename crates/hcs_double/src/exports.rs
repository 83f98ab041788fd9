//! The calls as computecore.dll exports them, all 56, on one double for the process.
//!
//! | variable | what it says |
//! |---|---|
//! | `HCS_DOUBLE_STATE` | the file that the host is kept in, for several programs |
//! | `HCS_DOUBLE_BROKER` | where a broker listens, as `127.0.0.1:PORT`, that changes a machine of QEMU |
//! | `HCS_DOUBLE_TROUBLE` | what goes wrong at which call of this process, as `{"3":{"Fail":2147942405}}` |
//! | `HCS_DOUBLE_DELAY_MS` | how long every operation takes |
//! | `HCS_DOUBLE_WAIT_MS` | the longest that an operation is waited for, where whoever waits sets an end |
//! | `HCS_DOUBLE_LOG` | a file for a line a call, and at the end what was broken and left open |
#![allow(unsafe_code, non_snake_case, unreachable_pub)]

mod absent;
mod operations;
mod service;
mod systems;

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::path::PathBuf;
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use attach::hcs::{CoreResult, HResult, OperationHandle, SystemHandle, WaitTime};
use windows_sys::Win32::System::Memory::{LMEM_FIXED, LocalAlloc};

use crate::codes::{INVALID_PARAMETER, OUT_OF_MEMORY};
use crate::double::{Double, Setting};
use crate::hardware::{Broker, Hardware};

type Handle = *mut c_void;
type Text = *const u16;

/// The longest text that is taken, in UTF-16 units.
const MAX_TEXT: usize = 1 << 24;
/// `E_NOTIMPL`.
const NOT_IMPLEMENTED: HResult = HResult(0x8000_4001);
/// `DLL_PROCESS_DETACH`.
const UNLOADED: u32 = 0;

static DOUBLE: OnceLock<Double> = OnceLock::new();

/// The double of this process.
fn double() -> &'static Double {
    DOUBLE.get_or_init(|| Double::with(setting()))
}

fn setting() -> Setting {
    let text = |name: &str| std::env::var(name).ok();
    let broker = text("HCS_DOUBLE_BROKER").and_then(|place| place.parse().ok());
    let broker = broker.map(|place| {
        let broker: Box<dyn Hardware> = Box::new(Broker(place));
        broker
    });
    let troubles = text("HCS_DOUBLE_TROUBLE");
    let troubles = troubles.and_then(|text| serde_json::from_str(&text).ok());
    let time = |name: &str| text(name)?.parse().ok().map(Duration::from_millis);
    Setting {
        shared_host: text("HCS_DOUBLE_STATE").map(PathBuf::from),
        hardware: broker,
        troubles: troubles.unwrap_or_else(BTreeMap::new),
        delay: time("HCS_DOUBLE_DELAY_MS").unwrap_or_default(),
        longest_wait: time("HCS_DOUBLE_WAIT_MS"),
        log: text("HCS_DOUBLE_LOG").map(PathBuf::from),
        ..Setting::default()
    }
}

/// The library is loaded and unloaded, with the process too.
#[unsafe(no_mangle)]
pub extern "system" fn DllMain(_module: Handle, reason: u32, _reserved: *mut c_void) -> i32 {
    if reason == UNLOADED
        && let Some(double) = DOUBLE.get()
    {
        double.close_log();
    }
    1
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
            let units = attach::wide_text(&text);
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

/// Gives a handle out.
///
/// # Safety
/// `place` can be written.
unsafe fn give_system(told: Result<SystemHandle, HResult>, place: *mut Handle) -> i32 {
    match told {
        Ok(handle) => {
            // SAFETY: it can be written, as the caller promises.
            unsafe { *place = pointer(handle.0) };
            code(HResult::OK)
        }
        Err(told) => code(told),
    }
}

fn operation(handle: Handle) -> OperationHandle {
    OperationHandle(handle.expose_provenance())
}

fn system(handle: Handle) -> SystemHandle {
    SystemHandle(handle.expose_provenance())
}

fn pointer(handle: usize) -> Handle {
    ptr::with_exposed_provenance_mut(handle)
}

fn wait_time(timeout_ms: u32) -> WaitTime {
    match timeout_ms {
        u32::MAX => WaitTime::Forever,
        ms => WaitTime::For(Duration::from_millis(u64::from(ms))),
    }
}

/// What only the double has: a request of [`crate::Control`], answered with a report.
///
/// # Safety
/// `request` is null or ends with a zero, `report` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcsDoubleControl(request: Text, report: *mut *mut u16) -> i32 {
    // SAFETY: as the caller promises.
    let request = unsafe { read(request) }.unwrap_or_default();
    match double().control(&request) {
        // SAFETY: as the caller promises.
        Ok(text) => unsafe { give_result((HResult::OK, Some(text)), report) },
        Err(_) => code(INVALID_PARAMETER),
    }
}

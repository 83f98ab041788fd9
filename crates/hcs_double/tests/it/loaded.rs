//! The double as the library that it is built as, loaded as the real one would be.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::windows::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use attach::hcs::{ComputeCore, load_compute_core_from};
use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};

/// A request for the double, answered with a report.
pub(crate) type Ask = Box<dyn Fn(&str) -> String>;

type Control = unsafe extern "system" fn(*const u16, *mut *mut u16) -> i32;

/// The library as cargo built it: beside the test, or in the folder above.
fn built() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folders = own.ancestors().skip(1).take(2);
    let files = folders.map(|folder| folder.join("computecore.dll"));
    let mut there = files.filter(|file| file.is_file());
    there
        .next()
        .expect("computecore.dll is built with the tests")
}

/// The library and the way to control it.
pub(crate) fn open() -> (Arc<dyn ComputeCore>, Ask) {
    let built = built();
    let core = load_compute_core_from(&built).unwrap();
    let wide: Vec<u16> = built.as_os_str().encode_wide().chain([0]).collect();
    // SAFETY: the text ends with a zero, and the library was just loaded and is never unloaded.
    let found = unsafe {
        let module = GetModuleHandleW(wide.as_ptr());
        GetProcAddress(module, c"HcsDoubleControl".as_ptr().cast())
    };
    let found = found.expect("the double has its control");
    // SAFETY: the double exports this function with this signature.
    let control: Control = unsafe { std::mem::transmute(found) };
    let ask = move |request: &str| {
        let request = attach::wide_text(request);
        let mut text: *mut u16 = std::ptr::null_mut();
        // SAFETY: the request ends with a zero, and the library writes one pointer.
        let code = unsafe { control(request.as_ptr(), &raw mut text) };
        assert!(code == 0 && !text.is_null(), "{code:#x}");
        // SAFETY: what the double gives out ends with a zero, and is ours to free.
        unsafe {
            let length = (0..).find(|&at| *text.add(at) == 0).unwrap();
            let told = String::from_utf16(std::slice::from_raw_parts(text, length)).unwrap();
            LocalFree(text.cast::<c_void>());
            told
        }
    };
    (core, Box::new(ask))
}

/// A copy of the library without two of its functions: their names are others there.
fn older() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("older.dll");
    let mut bytes = std::fs::read(built()).unwrap();
    for name in [&b"HcsGrantVmAccess\0"[..], b"HcsRevokeVmAccess\0"] {
        let mut found = 0;
        for at in 0..bytes.len() - name.len() {
            if bytes[at..].starts_with(name) {
                // The last letter alone: names stand in their order.
                bytes[at + name.len() - 2] = b'_';
                found += 1;
            }
        }
        assert!(found > 0, "the library exports it");
    }
    std::fs::write(&place, bytes).unwrap();
    (folder, place)
}

#[test]
fn a_library_without_calls_for_access_is_loaded_all_the_same() {
    let (core, _) = open();
    assert!(core.has_access_calls());
    let (_folder, place) = older();
    let core = load_compute_core_from(&place).unwrap();
    assert!(!core.has_access_calls());
    assert!(!core.grant_vm_access("web", "C:\\v\\0.vhdx").is_success());
    assert!(!core.revoke_vm_access("web", "C:\\v\\0.vhdx").is_success());
    let (code, told) = core.get_service_properties(r#"{"PropertyTypes":["Basic"]}"#);
    assert!(code.is_success() && told.is_some(), "{code:?}");
}

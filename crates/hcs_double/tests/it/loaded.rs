//! The double as the library that it is built as, loaded as the real one would be.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::windows::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use attach::hcs::{ComputeCore, load_compute_core_from};
use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};

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

/// A copy of the library, with a state of its own, and the way to control it.
pub(crate) fn open() -> (Arc<dyn ComputeCore>, Box<dyn Fn(&str) -> String>) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("computecore-{}-{number}.dll", std::process::id());
    let copy = std::env::temp_dir().join(name);
    std::fs::copy(built(), &copy).unwrap();
    let core = load_compute_core_from(&copy).unwrap();
    let wide: Vec<u16> = copy.as_os_str().encode_wide().chain([0]).collect();
    // SAFETY: the text ends with a zero, and the library was just loaded and is never unloaded.
    let found = unsafe {
        let module = GetModuleHandleW(wide.as_ptr());
        GetProcAddress(module, c"HcsDoubleControl".as_ptr().cast())
    };
    let found = found.expect("the double has its control");
    // SAFETY: the double exports this function with this signature.
    let control: Control = unsafe { std::mem::transmute(found) };
    let ask = move |request: &str| {
        let request: Vec<u16> = request.encode_utf16().chain([0]).collect();
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

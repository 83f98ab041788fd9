//! The Restart Manager, asked who has a file open. It is loaded when it is needed: a small Windows is
//! without it, and then nobody is named.
#![allow(unsafe_code)]

use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::HMODULE;
use windows_sys::Win32::System::LibraryLoader::{
    GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExW,
};
use windows_sys::Win32::System::RestartManager::{RM_PROCESS_INFO, RM_UNIQUE_PROCESS};

use super::FileHolder;

/// Processes that there is room for; of a file that more have open nobody is named.
const MAX_HOLDERS: usize = 64;
/// Units of the key of a session: `CCH_RM_SESSION_KEY` and a zero.
const SESSION_KEY: usize = 33;

// The signatures of restartmanager.h.
type StartSession = unsafe extern "system" fn(*mut u32, u32, *mut u16) -> u32;
type RegisterResources = unsafe extern "system" fn(
    u32,
    u32,
    *const *const u16,
    u32,
    *const RM_UNIQUE_PROCESS,
    u32,
    *const *const u16,
) -> u32;
type GetList =
    unsafe extern "system" fn(u32, *mut u32, *mut u32, *mut RM_PROCESS_INFO, *mut u32) -> u32;
type EndSession = unsafe extern "system" fn(u32) -> u32;

struct Library {
    start: StartSession,
    register: RegisterResources,
    list: GetList,
    end: EndSession,
}

/// Finds a function by its name and takes it for one of the type that is expected.
macro_rules! function {
    ($module:expr, $name:literal, $signature:ty) => {{
        // SAFETY: the module is loaded and never unloaded, and the name ends with a zero.
        let found = unsafe { GetProcAddress($module, concat!($name, "\0").as_ptr()) }?;
        // SAFETY: a function of this name has this signature; both are pointers to functions.
        unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, $signature>(found) }
    }};
}

impl Library {
    fn load() -> Option<Self> {
        let name: Vec<u16> = "rstrtmgr.dll\0".encode_utf16().collect();
        // SAFETY: the name ends with a zero, and the reserved handle is none.
        let module: HMODULE =
            unsafe { LoadLibraryExW(name.as_ptr(), null_mut(), LOAD_LIBRARY_SEARCH_SYSTEM32) };
        if module.is_null() {
            return None;
        }
        Some(Self {
            start: function!(module, "RmStartSession", StartSession),
            register: function!(module, "RmRegisterResources", RegisterResources),
            list: function!(module, "RmGetList", GetList),
            end: function!(module, "RmEndSession", EndSession),
        })
    }
}

/// A session of the Restart Manager, ended when it is dropped.
struct Session<'l> {
    library: &'l Library,
    id: u32,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // SAFETY: the session was started and is ended once.
        unsafe { (self.library.end)(self.id) };
    }
}

pub(super) fn holders(path: &Path) -> Vec<FileHolder> {
    ask(path).unwrap_or_default()
}

fn ask(path: &Path) -> Option<Vec<FileHolder>> {
    let library = Library::load()?;
    let path = std::path::absolute(path).ok()?;
    let path: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let mut id = 0;
    let mut key = [0; SESSION_KEY];
    // SAFETY: the key has room for the characters that a session has and a zero.
    if unsafe { (library.start)(&raw mut id, 0, key.as_mut_ptr()) } != 0 {
        return None;
    }
    let session = Session {
        library: &library,
        id,
    };
    let names = [path.as_ptr()];
    // SAFETY: one name is given, which ends with a zero and lives across the call; of the rest none.
    let told = unsafe { (library.register)(session.id, 1, names.as_ptr(), 0, null(), 0, null()) };
    if told != 0 {
        return None;
    }
    let mut found = vec![RM_PROCESS_INFO::default(); MAX_HOLDERS];
    let (mut needed, mut count, mut reasons) = (0, u32::try_from(found.len()).ok()?, 0);
    // SAFETY: there is room for `count` processes, and the other places can be written.
    let told = unsafe {
        (library.list)(
            session.id,
            &raw mut needed,
            &raw mut count,
            found.as_mut_ptr(),
            &raw mut reasons,
        )
    };
    if told != 0 {
        return None;
    }
    let count = usize::try_from(count).unwrap_or(0).min(found.len());
    let holders = found.iter().take(count).map(|process| FileHolder {
        name: text(&process.strAppName),
        process: process.Process.dwProcessId,
    });
    Some(holders.collect())
}

/// The units up to the first zero, without what a terminal would act on.
fn text(units: &[u16]) -> String {
    let length = units.iter().position(|unit| *unit == 0);
    let units = units.get(..length.unwrap_or(units.len()));
    let text = String::from_utf16_lossy(units.unwrap_or_default());
    text.chars().filter(|c| !c.is_control()).collect()
}

//! What concerns the library as a whole: its version, the last error, the callbacks, the stores.

use std::ffi::{c_char, c_int, c_void};

use crate::failure::Failure;
use crate::log::{Listener, Watcher};
use crate::manager::Manager;
use crate::types::{
    containerv_volume_code, containerv_volume_log_fn, containerv_volume_log_level as Level,
    containerv_volume_log_level_value, containerv_volume_manager, containerv_volume_progress_fn,
};
use crate::{border, handles, log, memory, text};

/// The layouts and functions of this header; the number in the name of the shared library. It grows
/// when a program that was compiled before would not run any more.
pub const CONTAINERV_VOLUME_ABI: u32 = 0;

/// The version of the library, such as "0.1.0". Never NULL, never to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn containerv_volume_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The CONTAINERV_VOLUME_ABI that the library was made with, for programs that load it at run time.
#[unsafe(no_mangle)]
pub extern "C" fn containerv_volume_abi() -> u32 {
    CONTAINERV_VOLUME_ABI
}

/// What was wrong with the last call of this thread, in English and UTF-8, in one line; "" where nothing
/// was. Never NULL, never to be freed; valid until the next call of this thread other than this one,
/// `containerv_volume_last_error_code` and the functions that give memory back.
#[unsafe(no_mangle)]
pub extern "C" fn containerv_volume_last_error() -> *const c_char {
    border::last_text()
}

/// The class of what was wrong with the last call of this thread; CV_VOLUME_OK where nothing was.
#[unsafe(no_mangle)]
pub extern "C" fn containerv_volume_last_error_code() -> containerv_volume_code {
    border::last_code()
}

/// Has `function` told what happens, on whatever thread it happens, with `user` handed on; NULL for
/// nobody. When this returns, the function before runs on no thread any more.
///
/// Fails with EBUSY in a log callback, and with EINVAL where `level` is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_set_log(
    function: containerv_volume_log_fn,
    user: *mut c_void,
    level: containerv_volume_log_level_value,
) -> c_int {
    border::call("containerv_volume_set_log", || {
        let Some(function) = function else {
            return log::set(None);
        };
        let level = match level {
            1 => Level::CV_LOG_ERROR,
            2 => Level::CV_LOG_WARNING,
            3 => Level::CV_LOG_INFO,
            4 => Level::CV_LOG_DEBUG,
            _ => return Err(Failure::argument(format!("{level} is no log level"))),
        };
        log::set(Some(Listener {
            function,
            user,
            level,
        }))
    })
}

/// Has `function` told how far the operations of this thread are; NULL for nobody. It is called now and
/// then, on this thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_set_progress(
    function: containerv_volume_progress_fn,
    user: *mut c_void,
) {
    border::quiet((), || {
        log::watch(function.map(|function| Watcher { function, user }));
    });
}

/// How many handles are open and pieces of memory are not given back, of the whole process. A program
/// that ends with another number than 0 forgot one.
#[unsafe(no_mangle)]
pub extern "C" fn containerv_volume_outstanding() -> u64 {
    border::quiet(0, || {
        let count = handles::outstanding().saturating_add(memory::outstanding());
        u64::try_from(count).unwrap_or(u64::MAX)
    })
}

/// Opens the store in the folder `root`, which is made by the first call that needs it; NULL for
/// CVOL_ROOT in the environment or else the data folder of the system. Several managers, threads and
/// processes may use one store at the same time.
///
/// Returns a handle, to be closed by `containerv_volume_manager_close`, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_manager_open(
    root: *const c_char,
) -> *mut containerv_volume_manager {
    border::pointer("containerv_volume_manager_open", || {
        // SAFETY: NULL or a text, as the header says.
        let root = unsafe { text::optional(root, "root") }?;
        refuse_empty(root.as_deref())?;
        Ok(handles::add_manager(Manager::new(root.as_deref())?))
    })
}

/// Closes a manager. Calls of other threads that use it are completed, and options made for it stay
/// usable. NULL is no error; a handle that was closed before fails with EBADF.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_manager_close(
    manager: *mut containerv_volume_manager,
) -> c_int {
    border::call("containerv_volume_manager_close", || {
        if manager.is_null() {
            return Ok(());
        }
        handles::remove_manager(manager)
    })
}

/// The store of the functions that take no manager, and of those that are given NULL for one, from now
/// on; NULL for the default one. Files that are held open of the store before are closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn containerv_volume_set_root(root: *const c_char) -> c_int {
    border::call("containerv_volume_set_root", || {
        // SAFETY: NULL or a text, as the header says.
        let root = unsafe { text::optional(root, "root") }?;
        refuse_empty(root.as_deref())?;
        Manager::set_of_process(root.as_deref())
    })
}

fn refuse_empty(root: Option<&str>) -> Result<(), Failure> {
    match root {
        Some("") => Err(Failure::argument("root is an empty path")),
        _ => Ok(()),
    }
}

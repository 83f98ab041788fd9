//! The border to C: every function of the header does its work in here.
//!
//! A panic ends at this border and becomes an error of the call. Errors are kept for the thread, in
//! words and as a code, until its next call; `errno` is set last, so that nothing of ours changes it.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use crate::failure::{Failure, Result, Told, errno_of};
use crate::types::containerv_volume_code;
use crate::types::containerv_volume_log_level as Level;
use crate::{errno, log, text};

/// The last error of a thread.
struct Last {
    code: containerv_volume_code,
    text: CString,
}

thread_local! {
    static LAST: RefCell<Last> = RefCell::new(Last {
        code: containerv_volume_code::CV_VOLUME_OK,
        text: CString::default(),
    });
}

/// A call that returns 0, or -1 and an error.
pub(crate) fn call(name: &'static str, body: impl FnOnce() -> Result<()>) -> c_int {
    match guarded(name, body) {
        Some(()) => 0,
        None => -1,
    }
}

/// A call that returns an address, or NULL and an error.
pub(crate) fn pointer<T>(name: &'static str, body: impl FnOnce() -> Result<*mut T>) -> *mut T {
    guarded(name, body).unwrap_or(ptr::null_mut())
}

/// A call that returns nothing; its error is kept all the same.
pub(crate) fn silent(name: &'static str, body: impl FnOnce() -> Result<()>) {
    let _kept = guarded(name, body);
}

/// A call that gives something back or asks something, which leaves the last error as it is.
pub(crate) fn quiet<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    // What is in the middle of being changed is behind locks whose holders leave it whole.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

fn guarded<T>(name: &'static str, body: impl FnOnce() -> Result<T>) -> Option<T> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        #[cfg(test)]
        hook::run();
        log::listening(body)
    }));
    let outcome = outcome.unwrap_or_else(|panic| Err(Failure::Panic(said(&*panic))));
    let told = match &outcome {
        Ok(_) => None,
        Err(failure) => Some(failure.told()),
    };
    // The callback is other people's code; what it calls in turn keeps its errors to itself.
    let line = match &told {
        Some(told) => (Level::CV_LOG_ERROR, format!("{name}: {}", told.text)),
        None => (Level::CV_LOG_DEBUG, format!("{name}: done")),
    };
    quiet((), || log::tell(line.0, &line.1));
    keep(told.as_ref());
    if let Some(number) = told.and_then(|told| errno_of(told.code)) {
        errno::set(number);
    }
    outcome.ok()
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

fn keep(told: Option<&Told>) {
    let last = Last {
        code: told.map_or(containerv_volume_code::CV_VOLUME_OK, |told| told.code),
        text: told.map_or_else(CString::default, |told| text::owned(&told.text)),
    };
    // A thread that is ending has no last error any more.
    let _ = LAST.try_with(|place| place.replace(last));
}

/// The code of the last call of this thread.
pub(crate) fn last_code() -> containerv_volume_code {
    let code = LAST.try_with(|last| last.borrow().code);
    code.unwrap_or(containerv_volume_code::CV_VOLUME_OK)
}

/// Its words, which stay where they are until the next call of this thread.
pub(crate) fn last_text() -> *const c_char {
    const NONE: &CStr = c"";
    LAST.try_with(|last| last.borrow().text.as_ptr())
        .unwrap_or(NONE.as_ptr())
}

#[cfg(test)]
pub(crate) mod hook {
    //! Lets tests have any call panic.

    use std::cell::Cell;

    thread_local! {
        static PANICS: Cell<bool> = const { Cell::new(false) };
    }

    /// From now on every call of this thread panics, or none does.
    pub(crate) fn set(panics: bool) {
        PANICS.set(panics);
    }

    pub(super) fn run() {
        assert!(!PANICS.get(), "the hook");
    }
}

#[cfg(test)]
mod tests;

//! Handles: numbers that look like addresses to C, and are looked up here.
//!
//! No handle is ever followed, and no number is given twice: one that was closed is told from one that
//! is open, always. Numbers are odd, and so never the address of a struct, since options of the runtime's
//! own may be told to us by their address.

use std::collections::BTreeMap;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::failure::{Failure, Result};
use crate::manager::Manager;
use crate::options::Options;
use crate::types::{containerv_options, containerv_volume_manager};

static NEXT: AtomicUsize = AtomicUsize::new(1);

static HANDLES: Mutex<Handles> = Mutex::new(Handles {
    managers: BTreeMap::new(),
    options: BTreeMap::new(),
});

struct Handles {
    managers: BTreeMap<usize, Arc<Manager>>,
    options: BTreeMap<usize, Arc<Mutex<Options>>>,
}

fn handles() -> MutexGuard<'static, Handles> {
    HANDLES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that was never given before.
pub(crate) fn next_number() -> usize {
    NEXT.fetch_add(2, Ordering::Relaxed)
}

/// A handle for a manager.
pub(crate) fn add_manager(manager: Manager) -> *mut containerv_volume_manager {
    let number = next_number();
    handles().managers.insert(number, Arc::new(manager));
    ptr::without_provenance_mut(number)
}

/// The manager of a handle; for NULL that of the whole process.
pub(crate) fn manager(handle: *const containerv_volume_manager) -> Result<Arc<Manager>> {
    if handle.is_null() {
        return Manager::of_process();
    }
    let found = handles().managers.get(&handle.addr()).cloned();
    found.ok_or(Failure::Handle("open volume manager"))
}

/// Ends a handle. What it led to goes when the last call that uses it is done.
pub(crate) fn remove_manager(handle: *const containerv_volume_manager) -> Result<()> {
    let removed = handles().managers.remove(&handle.addr());
    removed
        .map(drop)
        .ok_or(Failure::Handle("open volume manager"))
}

/// A handle for options.
pub(crate) fn add_options(options: Options) -> *mut containerv_options {
    let number = next_number();
    insert_options(number, options);
    ptr::without_provenance_mut(number)
}

/// Takes options of somebody else's under their address.
pub(crate) fn adopt_options(theirs: *const containerv_options, options: Options) -> Result<()> {
    if !theirs.addr().is_multiple_of(2) {
        return Err(Failure::argument(
            "options is no struct: it is a handle of this library, or misaligned",
        ));
    }
    let mut handles = handles();
    if handles.options.contains_key(&theirs.addr()) {
        return Err(Failure::Busy(
            "the options were adopted before, and not deleted since",
        ));
    }
    handles
        .options
        .insert(theirs.addr(), Arc::new(Mutex::new(options)));
    Ok(())
}

fn insert_options(number: usize, options: Options) {
    let options = Arc::new(Mutex::new(options));
    handles().options.insert(number, options);
}

/// The options of a handle, or of an address that was adopted.
pub(crate) fn options(handle: *const containerv_options) -> Result<Arc<Mutex<Options>>> {
    if handle.is_null() {
        return Err(Failure::argument("options is NULL"));
    }
    let found = handles().options.get(&handle.addr()).cloned();
    found.ok_or(Failure::Handle("set of options known here"))
}

/// Ends a handle.
pub(crate) fn remove_options(handle: *const containerv_options) -> Result<()> {
    let removed = handles().options.remove(&handle.addr());
    removed
        .map(drop)
        .ok_or(Failure::Handle("set of options known here"))
}

/// How many handles are open.
pub(crate) fn outstanding() -> usize {
    let handles = handles();
    handles.managers.len() + handles.options.len()
}

/// Locks options; what a panic left is whole, since they change by single assignments.
pub(crate) fn lock(options: &Mutex<Options>) -> MutexGuard<'_, Options> {
    options.lock().unwrap_or_else(PoisonError::into_inner)
}

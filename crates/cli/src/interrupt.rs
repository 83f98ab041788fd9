//! Ctrl-C: the first asks the running verb to stop and clean up, the second ends the program.
//!
//! What an ended program leaves half made, the next one that opens the store removes.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::exit;

/// Whether a second request changes nothing either.
static PATIENT: AtomicBool = AtomicBool::new(false);
static REQUESTED: AtomicBool = AtomicBool::new(false);
/// What ends a verb that waits for others instead of asking.
static ACTION: Mutex<Option<Box<dyn Fn() + Send>>> = Mutex::new(None);

/// Listens for Ctrl-C, and for the request to terminate.
pub(crate) fn listen() {
    // Where the host refuses a handler, Ctrl-C ends the program at once, as without one.
    let _ = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            if PATIENT.load(Ordering::SeqCst) {
                return;
            }
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
        if let Some(action) = &*action() {
            action();
        }
    });
}

/// Has no number of requests end the program at once: for those whose end must not be cut short.
pub(crate) fn never_at_once() {
    PATIENT.store(true, Ordering::SeqCst);
}

/// Runs `wanted` once somebody asks to stop, or now if somebody has.
pub(crate) fn when_requested(wanted: impl Fn() + Send + 'static) {
    let mut action = action();
    // With the lock held: a request is either seen here or finds the action.
    if REQUESTED.load(Ordering::SeqCst) {
        wanted();
    }
    *action = Some(Box::new(wanted));
}

fn action() -> MutexGuard<'static, Option<Box<dyn Fn() + Send>>> {
    ACTION.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `Break` once somebody asked to stop.
pub(crate) fn poll() -> ControlFlow<()> {
    if REQUESTED.load(Ordering::Relaxed) {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

//! Ctrl-C: the first asks the running verb to stop and clean up, the second ends the program.
//!
//! What an ended program leaves half made, the next one that opens the store removes.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Listens for Ctrl-C, and for the request to terminate.
pub(crate) fn listen() {
    // Where the host refuses a handler, Ctrl-C ends the program at once, as without one.
    let _ = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
    });
}

/// `Break` once somebody asked to stop.
pub(crate) fn poll() -> ControlFlow<()> {
    if REQUESTED.load(Ordering::Relaxed) {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

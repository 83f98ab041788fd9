//! Where a process may be made to die, so that tests see every state that a crash can leave: before and
//! after each time the ledger is written, which is between any two steps, and between a step and its
//! note.
//!
//! `CVOL_DIE_AT=N` kills the process, as `kill -9` does, at the boundary N, counted from 0;
//! `CVOL_PAUSE_AT=N` has it pause there until SIGCONT, so that others can die meanwhile. Builds
//! without debug assertions know nothing of it.

#[cfg(not(all(debug_assertions, unix)))]
mod armed {
    pub(super) fn pass() {}
}

#[cfg(all(debug_assertions, unix))]
mod armed {
    use std::sync::atomic::{AtomicU64, Ordering};

    use nix::sys::signal::{Signal, raise};

    static PASSED: AtomicU64 = AtomicU64::new(0);

    pub(super) fn pass() {
        let at = PASSED.fetch_add(1, Ordering::SeqCst);
        for (variable, signal) in [
            ("CVOL_DIE_AT", Signal::SIGKILL),
            ("CVOL_PAUSE_AT", Signal::SIGSTOP),
        ] {
            let wanted = std::env::var(variable).ok();
            if wanted.and_then(|wanted| wanted.parse().ok()) == Some(at) {
                // Nobody is left to hear of an error.
                let _ = raise(signal);
            }
        }
    }
}

/// The ledger is about to be written.
pub(super) fn before_write() {
    armed::pass();
}

/// The ledger was written.
pub(super) fn after_write() {
    armed::pass();
}

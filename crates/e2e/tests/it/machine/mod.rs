//! Volumes in machines that run: a real kernel boots in QEMU, mounts appear in it and go again, and
//! whoever has a part in it dies at every moment.
//!
//! A boot takes seconds, more on a busy machine, and two machines at once take more than twice that: so
//! a test asks one machine all that it can, and the tests here run one after another.
//!
//! | variable | what it says | by itself | `cargo xtask e2e` |
//! |---|---|---|---|
//! | `CVOL_ATTACH_ROUNDS` | how often five mounts come and go | 3 | 100 |
//! | `CVOL_ATTACH_DEATHS` | every which boundary a manager dies at | 6 | 1 |
//! | `CVOL_MACHINE_DEATHS` | every which boundary a machine dies at | 9 | 2 |
//! | `CVOL_ATTACH_DISKS` | disks in one machine | 8 | 64 |

mod c_api;
mod exports;
mod faults;
mod five;
mod hostile;
mod many;
mod sharing;
mod vm;

use std::sync::{Mutex, MutexGuard, PoisonError};

static TURN: Mutex<()> = Mutex::new(());

/// Waits until no other test has a machine.
fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that a variable may say.
fn number(variable: &str, usual: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect(variable),
        Err(_) => usual,
    }
}

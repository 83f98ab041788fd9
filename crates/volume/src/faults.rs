//! Points at which tests make an operation fail, or die as by `kill -9`.
//!
//! Outside tests every step succeeds and costs nothing.

#[cfg(not(test))]
pub(crate) fn step(_doing: &'static str) -> crate::error::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use armed::*;

#[cfg(test)]
mod armed {
    use std::cell::Cell;

    use crate::error::{Result, VolumeError};

    /// What happens at the chosen step.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Mode {
        /// That step fails once; the operation undoes itself.
        Fail,
        /// That step and every later one fails, undoing included: the thread is as good as dead.
        Die,
    }

    thread_local! {
        static PLAN: Cell<Option<(Mode, usize)>> = const { Cell::new(None) };
        static DEAD: Cell<bool> = const { Cell::new(false) };
    }

    /// Makes the step after `count` others fail in this thread.
    pub(crate) fn arm(mode: Mode, count: usize) {
        PLAN.set(Some((mode, count)));
        DEAD.set(false);
    }

    /// Ends all faults in this thread; whether one had happened.
    pub(crate) fn disarm() -> bool {
        DEAD.set(false);
        PLAN.replace(None).is_none()
    }

    /// One step of an operation.
    pub(crate) fn step(doing: &'static str) -> Result<()> {
        let fault = || {
            VolumeError::host(
                doing,
                "(injected)",
                std::io::Error::from(std::io::ErrorKind::StorageFull),
            )
        };
        if DEAD.get() {
            return Err(fault());
        }
        match PLAN.get() {
            Some((mode, 0)) => {
                PLAN.set(None);
                DEAD.set(mode == Mode::Die);
                Err(fault())
            }
            Some((mode, count)) => {
                PLAN.set(Some((mode, count - 1)));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

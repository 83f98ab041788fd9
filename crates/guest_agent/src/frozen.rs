//! What is frozen for the host, and thawed again whatever becomes of the host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use guest_proto::Refusal;

use crate::refused::failed;
use crate::system::System;

/// Counts freezings, so that the end of one is not taken for that of a later one.
#[derive(Default)]
pub(crate) struct Frozen {
    numbers: Mutex<HashMap<String, u64>>,
    last: Mutex<u64>,
}

impl Frozen {
    /// Freezes what is at a target; after `limit` it is thawed unless it was before.
    pub(crate) fn freeze(
        self: &Arc<Self>,
        system: &Arc<dyn System>,
        target: &str,
        limit: Duration,
    ) -> Result<(), Refusal> {
        let number = self.begin(target);
        let (frozen, system_then) = (Arc::clone(self), Arc::clone(system));
        let name = target.to_owned();
        // There before anybody waits, so that nobody waits for want of a thread.
        let spawned = std::thread::Builder::new().spawn(move || {
            std::thread::sleep(limit);
            if frozen.end(&name, Some(number)) {
                // Whoever thawed it by hand left nothing to do.
                let _ = system_then.thaw(&name);
            }
        });
        let outcome = match spawned {
            Ok(_) => system.freeze(target),
            Err(error) => Err(failed("no thread to thaw it again", error)),
        };
        if outcome.is_err() {
            self.end(target, Some(number));
        }
        outcome
    }

    /// Thaws what is at a target.
    pub(crate) fn thaw(&self, system: &Arc<dyn System>, target: &str) -> Result<(), Refusal> {
        self.end(target, None);
        system.thaw(target)
    }

    fn begin(&self, target: &str) -> u64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.insert(target.to_owned(), *last);
        *last
    }

    /// Whether it was the freezing of this number, or any, that is ended by this.
    fn end(&self, target: &str, number: Option<u64>) -> bool {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = numbers
            .get(target)
            .is_some_and(|found| number.is_none_or(|number| number == *found));
        if is_it {
            numbers.remove(target);
        }
        is_it
    }
}

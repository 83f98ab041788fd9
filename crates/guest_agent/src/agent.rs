//! What the channels of one agent have in common: the system, and what is being done to it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::frozen::Frozen;
use crate::system::System;

/// How many requests are worked at at once, of all channels together.
pub(crate) const MAX_AT_ONCE: usize = 16;

/// One agent, over however many channels it is heard.
pub struct Agent {
    pub(crate) system: Arc<dyn System>,
    pub(crate) frozen: Arc<Frozen>,
    busy: Mutex<HashSet<String>>,
    at_work: AtomicUsize,
}

impl Agent {
    /// An agent for a system.
    pub fn new(system: Arc<dyn System>) -> Self {
        Self {
            system,
            frozen: Arc::new(Frozen::default()),
            busy: Mutex::new(HashSet::new()),
            at_work: AtomicUsize::new(0),
        }
    }

    /// Counts one more request as worked at, until the value is dropped; `None` where there are too
    /// many.
    pub(crate) fn begin_work(self: &Arc<Self>) -> Option<AtWork> {
        let at_work = AtWork(Arc::clone(self));
        (self.at_work.fetch_add(1, Ordering::AcqRel) < MAX_AT_ONCE).then_some(at_work)
    }

    /// Keeps a target for one request, until the value is dropped; `None` where another has it.
    pub(crate) fn keep(self: &Arc<Self>, target: &str) -> Option<Kept> {
        locked(&self.busy).insert(target.to_owned()).then(|| Kept {
            agent: Arc::clone(self),
            target: target.to_owned(),
        })
    }
}

/// What was panicked over is still whole: each of these is changed in one step.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request that is worked at.
pub(crate) struct AtWork(Arc<Agent>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A target that is kept for one request.
pub(crate) struct Kept {
    agent: Arc<Agent>,
    target: String,
}

impl Drop for Kept {
    fn drop(&mut self) {
        locked(&self.agent.busy).remove(&self.target);
    }
}

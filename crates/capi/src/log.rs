//! The two callbacks: one is told what happens, one how far an operation is.
//!
//! A log callback runs under a lock that others share and `set` takes alone: when `set` returns, the one
//! before runs nowhere any more. What a callback calls is not logged and reports no progress, so that
//! neither calls itself.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::fmt::{self, Write as _};
use std::ops::ControlFlow;
use std::sync::{LazyLock, PoisonError, RwLock};

use engine::Progress;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber, dispatcher};

use crate::failure::{Failure, Result};
use crate::text;
use crate::types::containerv_volume_log_level as Level;

/// Who is told what happens.
pub(crate) struct Listener {
    pub(crate) function: unsafe extern "C" fn(c_int, *const std::ffi::c_char, *mut c_void),
    pub(crate) user: *mut c_void,
    pub(crate) level: Level,
}

// SAFETY: the address is the caller's and is handed on, never followed; the header says that the
// function is called on any thread.
unsafe impl Send for Listener {}
// SAFETY: as above.
unsafe impl Sync for Listener {}

/// Who is told of progress.
#[derive(Clone, Copy)]
pub(crate) struct Watcher {
    pub(crate) function: unsafe extern "C" fn(u64, u64, *mut c_void) -> c_int,
    pub(crate) user: *mut c_void,
}

static LISTENER: RwLock<Option<Listener>> = RwLock::new(None);
static DISPATCH: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Events));

thread_local! {
    static IS_TELLING: Cell<bool> = const { Cell::new(false) };
    static IS_WATCHING: Cell<bool> = const { Cell::new(false) };
    static WATCHER: Cell<Option<Watcher>> = const { Cell::new(None) };
}

/// From now on this one is told; nobody without one.
pub(crate) fn set(listener: Option<Listener>) -> Result<()> {
    if IS_TELLING.get() {
        return Err(Failure::Busy(
            "a log callback cannot put another in its place",
        ));
    }
    *LISTENER.write().unwrap_or_else(PoisonError::into_inner) = listener;
    Ok(())
}

/// From now on this one is told of what this thread does.
pub(crate) fn watch(watcher: Option<Watcher>) {
    WATCHER.set(watcher);
}

/// Tells whoever listens.
pub(crate) fn tell(level: Level, message: &str) {
    let is_telling = IS_TELLING.try_with(Cell::get).unwrap_or(true);
    if is_telling {
        return;
    }
    let listener = LISTENER.read().unwrap_or_else(PoisonError::into_inner);
    let Some(listener) = listener.as_ref().filter(|one| level <= one.level) else {
        return;
    };
    let message = text::owned(message);
    IS_TELLING.set(true);
    // SAFETY: the function is the caller's, who gave it with this address to be called so; the message
    // ends with NUL and lives until it returns.
    unsafe { (listener.function)(number(level), message.as_ptr(), listener.user) };
    IS_TELLING.set(false);
}

fn number(level: Level) -> c_int {
    match level {
        Level::CV_LOG_ERROR => 1,
        Level::CV_LOG_WARNING => 2,
        Level::CV_LOG_INFO => 3,
        Level::CV_LOG_DEBUG => 4,
    }
}

/// Runs `work`; what the crates below tell of it is told to whoever listens.
pub(crate) fn listening<T>(work: impl FnOnce() -> T) -> T {
    // In a callback this thread holds the lock already.
    if IS_TELLING.get() {
        return work();
    }
    let nobody = LISTENER
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .is_none();
    if nobody {
        return work();
    }
    dispatcher::with_default(&DISPATCH, work)
}

/// How far an operation of this thread is; a watcher may stop it.
pub(crate) fn progress(progress: Progress) -> ControlFlow<()> {
    let Some(watcher) = WATCHER.get().filter(|_| !IS_WATCHING.get()) else {
        return ControlFlow::Continue(());
    };
    IS_WATCHING.set(true);
    let total = progress.total.map_or(0, |total| total.get());
    // SAFETY: the function is the caller's, who gave it with this address to be called so.
    let answer = unsafe { (watcher.function)(progress.done.get(), total, watcher.user) };
    IS_WATCHING.set(false);
    if answer == 0 {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}

/// What the crates below tell, made into lines.
struct Events;

impl Subscriber for Events {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::CV_LOG_ERROR,
            tracing::Level::WARN => Level::CV_LOG_WARNING,
            tracing::Level::INFO => Level::CV_LOG_INFO,
            _ => Level::CV_LOG_DEBUG,
        };
        let mut line = Line::default();
        event.record(&mut line);
        tell(level, &format!("{}{}", line.message, line.fields));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

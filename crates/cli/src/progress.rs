//! Progress on standard error: only where it is a terminal, only once a verb has run for a second.

use std::cell::OnceCell;
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use engine::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use crate::interrupt;

/// How long a verb may run before a bar appears.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a bar moves while nothing is reported, so that it does not look dead.
const TICK: Duration = Duration::from_millis(200);

/// Shows the progress of one verb and passes on the wish to stop.
pub(crate) struct Reporter {
    started: Instant,
    label: &'static str,
    shown: bool,
    bar: OnceCell<ProgressBar>,
}

impl Reporter {
    /// A reporter of the work named `label`; silent where `wanted` is false or nobody looks.
    pub(crate) fn new(label: &'static str, wanted: bool) -> Self {
        Self {
            started: Instant::now(),
            label,
            shown: wanted && io::stderr().is_terminal(),
            bar: OnceCell::new(),
        }
    }

    /// Takes note of how far the work is; `Break` where the user asked to stop.
    pub(crate) fn report(&self, progress: Progress) -> ControlFlow<()> {
        if self.shown && (self.bar.get().is_some() || self.started.elapsed() >= PATIENCE) {
            let bar = self.bar.get_or_init(|| new_bar(self.label, progress));
            bar.set_position(progress.done.get());
            if let Some(files) = progress.files {
                bar.set_message(format!("{files} files"));
            }
        }
        interrupt::poll()
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(label: &'static str, progress: Progress) -> ProgressBar {
    let (bar, template) = match progress.total {
        Some(total) => (
            ProgressBar::new(total.get()),
            "{prefix} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {prefix} {binary_bytes} {binary_bytes_per_sec} {msg}",
        ),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(label);
    bar.enable_steady_tick(TICK);
    bar
}

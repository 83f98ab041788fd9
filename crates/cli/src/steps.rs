//! The steps of attaching and detaching on standard error: each with `--verbose`, and where somebody
//! looks and it takes longer than a second, the one that is being done.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal};
use std::time::Duration;

use engine::{StepNews, StepStage, Watch};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::command::Context;
use crate::output::Output;

/// How long may pass before something is shown.
const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(200);

/// Shows steps.
pub(crate) struct Steps<'s> {
    output: &'s Output,
    shown: bool,
    last: Cell<usize>,
    bar: RefCell<Option<ProgressBar>>,
}

impl<'s> Steps<'s> {
    /// Shows what the context wants to be shown.
    pub(crate) fn new(context: &'s Context) -> Self {
        Self {
            output: &context.output,
            shown: context.show_progress && io::stderr().is_terminal(),
            last: Cell::new(0),
            bar: RefCell::new(None),
        }
    }

    /// What the engine tells, shown.
    pub(crate) fn watch<'w>(&'w self, is_cancelled: &'w dyn Fn() -> bool) -> Watch<'w>
    where
        's: 'w,
    {
        Watch {
            step: Box::new(|news| self.tell(news)),
            is_cancelled,
        }
    }

    fn tell(&self, news: StepNews<'_>) {
        let action = news.action;
        let line = match news.stage {
            StepStage::Begun => {
                self.last.set(self.last.get() + 1);
                self.show(action);
                return;
            }
            StepStage::Again(fault) => format!("again, to {action}: {fault}"),
            StepStage::Failed(fault) => format!("could not {action}: {fault}"),
            _ => format!("{}: {action}", self.last.get()),
        };
        if self.output.is_verbose() {
            self.output.note(&line);
        }
    }

    /// Shows what is being done, once that has taken long.
    fn show(&self, action: &str) {
        if !self.shown {
            return;
        }
        let mut bar = self.bar.borrow_mut();
        let bar = bar.get_or_insert_with(shown_later);
        bar.set_message(action.to_owned());
    }
}

/// A line that appears when its time has come, also in the middle of a step, unless it is done by then.
fn shown_later() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    let shown = bar.clone();
    std::thread::spawn(move || {
        std::thread::sleep(PATIENCE);
        if !shown.is_finished() {
            shown.set_draw_target(ProgressDrawTarget::stderr());
            shown.enable_steady_tick(TICK);
        }
    });
    bar
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &*self.bar.borrow() {
            bar.finish_and_clear();
        }
    }
}

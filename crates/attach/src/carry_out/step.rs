//! Does one step of a plan, again where that makes sense.

use crate::ledger::EntryId;
use crate::plan::Action;
use crate::sides::{Fault, Unmounting};

use super::call::may_pass;
use super::{Operator, Stage, StepFault, Stop};

impl Operator<'_> {
    /// Does a step that is started already, but for directories, which it starts itself.
    pub(super) fn step(&self, entry: EntryId, action: &Action) -> Result<(), Stop> {
        self.tell(action, Stage::Begun);
        let failed = |fault: Fault| {
            self.tell(action, Stage::Failed(&fault));
            let action = Box::new(action.clone());
            Stop::Step(Box::new(StepFault { action, fault }))
        };
        let mut missing = None;
        if let Action::MakeDirectory(path) = action {
            // Written down before the first is made: however the making ends, those that were missing
            // before and no others are removed again.
            let count = self.again(action, || self.host.missing_directories(path));
            missing = Some(count.map_err(failed)?);
            self.write_down(|ledger| ledger.start(entry, missing))?;
        }
        self.do_once(action, missing).map_err(failed)?;
        self.tell(action, Stage::Done);
        Ok(())
    }

    /// Does what has an effect once at most. After an answer that never came, what may not be repeated
    /// is undone before it is done again.
    fn do_once(&self, action: &Action, missing: Option<u32>) -> Result<(), Fault> {
        let mut tries = self.patience.tries;
        loop {
            let Err(fault) = self.call(action, missing, Unmounting::Clean) else {
                return Ok(());
            };
            tries = tries.saturating_sub(1);
            if tries == 0 || !may_pass(fault.kind()) || (self.is_cancelled)() {
                return Err(fault);
            }
            self.tell(action, Stage::Again(&fault));
            (self.pause)(self.patience.between);
            if !action.may_be_repeated() && self.take_back(action, missing).is_err() {
                return Err(fault);
            }
        }
    }

    fn take_back(&self, action: &Action, missing: Option<u32>) -> Result<(), Fault> {
        let platform = self.change(|ledger| ledger.platform())?;
        for undo in action.undo(platform) {
            self.undo_call(&undo, missing)?;
        }
        Ok(())
    }

    /// Makes a call that may be repeated until it is met, a bounded number of times.
    pub(super) fn again<T>(
        &self,
        action: &Action,
        call: impl Fn() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut tries = self.patience.tries;
        loop {
            let fault = match call() {
                Ok(outcome) => return Ok(outcome),
                Err(fault) => fault,
            };
            tries = tries.saturating_sub(1);
            if tries == 0 || !may_pass(fault.kind()) {
                return Err(fault);
            }
            self.tell(action, Stage::Again(&fault));
            (self.pause)(self.patience.between);
        }
    }
}

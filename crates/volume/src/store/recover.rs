//! Completing what dead processes left: removals are carried on, creates are undone.
//!
//! Every step may be repeated: a process that dies here is recovered from in the same way.

use super::folder::{self, LOCKS};
use super::operation::{self, Operation};
use super::{Store, database::Unfinished};
use crate::error::Result;
use crate::faults;
use crate::state::{Trigger, VolumeState};

impl Store {
    /// Finishes what dead processes left. What cannot be finished now stays for the next time; it
    /// keeps nobody from using the other volumes.
    pub(super) fn recover(&mut self) -> Result<()> {
        // Locks are listed before rows: a lock whose row is missing then is either of an operation
        // that is just beginning or ending, or stray.
        let locks = folder::names(self.folders().locks(), LOCKS)?;
        let unfinished = self.database().unfinished()?;
        for work in &unfinished {
            if let Err(error) = self.finish(work) {
                tracing::warn!(volume = %work.id, %error, "unfinished work stays unfinished");
            }
        }
        let strays: Vec<String> = locks
            .into_iter()
            .filter(|name| {
                let of_row = |work: &Unfinished| work.operation.to_string() == *name;
                !unfinished.iter().any(of_row)
            })
            .collect();
        if strays.is_empty() {
            return Ok(());
        }
        operation::sweep(&self.folders, &mut self.database(), &strays)
    }

    fn finish(&self, work: &Unfinished) -> Result<()> {
        let taken = Operation::take_over(self.folders(), &mut self.database(), work.operation)?;
        let Some(operation) = taken else {
            return Ok(());
        };
        // It may have been finished between reading the row and taking the lock.
        if self.database().is_unfinished(work)? {
            self.clear(work)?;
            tracing::info!(volume = %work.id, state = %work.state, "finished what was left");
        }
        operation.end(self.folders());
        Ok(())
    }

    /// Removes the files and then the row of a volume that is being created or deleted.
    pub(crate) fn clear(&self, work: &Unfinished) -> Result<()> {
        faults::step("removing the folder")?;
        self.folders().remove_volume_folders(work.id)?;
        faults::step("removing the row")?;
        let trigger = match work.state {
            VolumeState::Creating => Trigger::CreateUndone,
            _ => Trigger::RemoveDone,
        };
        self.database().write("removing a volume", |transaction| {
            transaction.advance(work.id, work.state, trigger, None)
        })?;
        Ok(())
    }
}

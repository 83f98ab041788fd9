//! Completing what dead processes left: removals are carried on, creates are undone, merges end
//! where they stand.
//!
//! Every step may be repeated: a process that dies here is recovered from in the same way.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::folder::{self, DATABASE, LOCKS};
use super::operation::{self, Operation};
use super::{Store, database::Unfinished};
use crate::error::{Result, VolumeError};
use crate::faults;
use crate::layer::LayerState;
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
            match self.finish(work) {
                Ok(finished) => self.recovered.volumes += u64::from(finished),
                Err(error) => {
                    tracing::warn!(volume = %work.id, %error, "unfinished work stays unfinished");
                }
            }
        }
        let layers = self.database().unfinished_layers()?;
        for of_one in layers.chunk_by(|a, b| a.operation == b.operation) {
            let Some(operation) = of_one.first().map(|work| work.operation) else {
                continue;
            };
            match self.finish_layers(operation) {
                Ok(finished) => self.recovered.layers += finished,
                Err(error) => {
                    tracing::warn!(%operation, %error, "unfinished layers stay unfinished");
                }
            }
        }
        let stale = self.database().stale_volumes()?;
        for volume in stale {
            match self.refresh_rescue(volume) {
                Ok(()) => self.recovered.records += 1,
                Err(error) => tracing::warn!(%volume, %error, "a rescue record stays stale"),
            }
        }
        let named: BTreeSet<String> = unfinished
            .iter()
            .map(|work| work.operation)
            .chain(layers.iter().map(|work| work.operation))
            .map(|operation| operation.to_string())
            .collect();
        let strays: Vec<String> = locks
            .into_iter()
            .filter(|name| !named.contains(name))
            .collect();
        if strays.is_empty() {
            return Ok(());
        }
        operation::sweep(&self.folders, &mut self.database(), &strays)
    }

    /// Finishes the work of a dead process on a volume; `false` where the process lives, or another
    /// one was faster.
    fn finish(&self, work: &Unfinished) -> Result<bool> {
        let taken = Operation::take_over(self.folders(), &mut self.database(), work.operation)?;
        let Some(operation) = taken else {
            return Ok(false);
        };
        // It may have been finished between reading the row and taking the lock.
        let is_left = self.database().is_unfinished(work)?;
        if is_left {
            self.clear(work)?;
            tracing::info!(volume = %work.id, state = %work.state, "finished what was left");
        }
        operation.end(self.folders());
        Ok(is_left)
    }

    /// Finishes the layers of one operation: those that were being made or removed go, those that
    /// were being merged are whole and become ready. How many that were.
    fn finish_layers(&self, operation: Uuid) -> Result<u64> {
        let taken = Operation::take_over(self.folders(), &mut self.database(), operation)?;
        let Some(taken) = taken else {
            return Ok(0);
        };
        // Read again: they may have been finished between reading the rows and taking the lock.
        let mut left = self.database().unfinished_layers()?;
        left.retain(|work| work.operation == operation);
        for work in &left {
            let Some(record) = self.database().volume(work.layer.volume)? else {
                return Err(VolumeError::damaged(
                    DATABASE,
                    format!("layer {} is of no volume", work.layer.id),
                ));
            };
            match work.state {
                LayerState::Merging => self.settle_merge(&record, &work.layer)?,
                _ => {
                    self.remove_layer_files(&work.layer, record.disk()?.format())?;
                    faults::step("removing the row of the layer")?;
                    self.database().write("removing a layer", |transaction| {
                        transaction.delete_layer(work.layer.id)
                    })?;
                }
            }
            tracing::info!(layer = %work.layer.id, state = %work.state, "finished what was left");
        }
        taken.end(self.folders());
        Ok(u64::try_from(left.len()).unwrap_or(u64::MAX))
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

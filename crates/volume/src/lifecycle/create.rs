//! Making a volume: row, folder, files, rescue record, row again.
//!
//! ```text
//!   row `creating` + lock    committed, durable
//!   files of its kind        written, flushed, closed: an image with its file system, a sealed password
//!   rescue record            written, flushed
//!   folder, volumes/         entries made durable
//!   row `ready`              committed: only now the volume exists
//! ```
//!
//! On any error all of it is undone in the reverse order; where this process dies, or undoing
//! fails, the next one that opens the store does it.

use std::time::{SystemTime, UNIX_EPOCH};

use blockio::FileStorage;
use cap_std::fs::Dir;
use mkfs::BuildReport;
use uuid::Uuid;

use super::{CreateOutcome, CreateRequest, clone, fill};
use crate::driver::{self, Making};
use crate::error::{Result, VolumeError};
use crate::faults;
use crate::layer::LayerRecord;
use crate::progress::{OnProgress, Progress, Stage};
use crate::record::VolumeRecord;
use crate::state::{Trigger, VolumeState};
use crate::store::Store;
use crate::store::database::Unfinished;
use crate::store::folder::{self, RESCUE_RECORD};
use crate::store::operation::Operation;
use crate::store::rescue::Rescue;

impl Store {
    /// Makes a volume. On any error nothing is left of it.
    ///
    /// # Errors
    /// `AlreadyExists` where a volume has the name (in any case), `InvalidArgument`, `NoSpace` on
    /// the host or in the volume, `Interrupted` where `progress` stopped it, `Io` (also where the
    /// source cannot be read).
    pub fn create(
        &self,
        request: &CreateRequest,
        progress: OnProgress<'_>,
    ) -> Result<CreateOutcome> {
        request.check()?;
        let driver = driver::of(request.spec.kind());
        // Held until the row is ready: whoever changes the key finds the volume, or comes before it.
        let key = match request.password {
            Some(_) => Some(self.lock_keys()?),
            None => None,
        };
        let id = Uuid::new_v4();
        let record = VolumeRecord {
            id,
            name: request.name.clone(),
            spec: request.spec.clone(),
            labels: request.labels.clone(),
            created_unix_ms: unix_milliseconds(),
            state: VolumeState::Creating,
            head: id,
        };
        let first = record.disk().is_ok().then(|| LayerRecord::first(id, None));
        let made = record.clone();
        let (record, filled) = self.create_volume(record, first.as_ref(), |folder| {
            let filled = driver.make(&Making {
                store: self,
                record: &made,
                request,
                folder,
                progress,
                key: key.as_ref(),
            })?;
            Ok((None, filled))
        })?;
        Ok(CreateOutcome {
            record,
            report: filled.report,
            source_notes: filled.source_notes,
        })
    }

    /// Makes a volume of one layer, or none, whose files `fill` makes in the folder, durable, and says what
    /// the layer is known by until it is written.
    pub(super) fn create_volume<T>(
        &self,
        record: VolumeRecord,
        layer: Option<&LayerRecord>,
        fill: impl FnOnce(&Dir) -> Result<(Option<Uuid>, T)>,
    ) -> Result<(VolumeRecord, T)> {
        let operation = self.begin_create(&record, layer)?;
        match self.make(&record, layer, fill) {
            Ok(made) => {
                operation.end(self.folders());
                let record = VolumeRecord {
                    state: VolumeState::Ready,
                    ..record
                };
                Ok((record, made))
            }
            Err(error) => {
                self.undo(&record, operation);
                Err(error)
            }
        }
    }

    fn begin_create(
        &self,
        record: &VolumeRecord,
        layer: Option<&LayerRecord>,
    ) -> Result<Operation> {
        faults::step("adding the row")?;
        self.database().write("creating a volume", |transaction| {
            if let Some(existing) = transaction.find(&record.name)? {
                return Err(taken(&existing));
            }
            if let Some(base) = layer.and_then(|layer| layer.parent) {
                clone::check_base(transaction, base)?;
            }
            let operation = Operation::begin(self.folders())?;
            transaction.insert(record, Trigger::CreateBegins, Some(operation.id()))?;
            if let Some(layer) = layer {
                transaction.insert_layer(layer, None)?;
            }
            Ok(operation)
        })
    }

    fn make<T>(
        &self,
        record: &VolumeRecord,
        layer: Option<&LayerRecord>,
        fill: impl FnOnce(&Dir) -> Result<(Option<Uuid>, T)>,
    ) -> Result<T> {
        faults::step("making the folder")?;
        let folder = self.folders().make_volume_folder(record.id)?;
        let (born_as, made) = fill(&folder)?;
        faults::step("writing the rescue record")?;
        let rescue = Rescue {
            record: record.clone(),
            layers: layer
                .map(|layer| LayerRecord {
                    born_as,
                    ..layer.clone()
                })
                .into_iter()
                .collect(),
            snapshots: Vec::new(),
        };
        folder::write_new_file(&folder, RESCUE_RECORD, rescue.to_text()?.as_bytes())?;
        faults::step("making the folder durable")?;
        // All entries before the row says `ready`: the volume must not be listed and gone.
        crate::platform::sync_folder(&folder)
            .map_err(|error| VolumeError::host("making durable", record.id.to_string(), error))?;
        drop(folder);
        self.folders().sync_volumes()?;
        faults::step("finishing the row")?;
        let finished = self.database().write("creating a volume", |transaction| {
            if let Some(layer) = layer {
                transaction.set_born_as(layer.id, born_as)?;
            }
            let trigger = Trigger::CreateSucceeds;
            transaction.advance(record.id, VolumeState::Creating, trigger, None)
        })?;
        if !finished {
            return Err(VolumeError::damaged(
                folder::DATABASE,
                "the row of the new volume vanished",
            ));
        }
        Ok(made)
    }

    /// Undoes a create that failed. Where that fails too, the row stays, and with the operation's
    /// lock free the next process that opens the store undoes it.
    fn undo(&self, record: &VolumeRecord, operation: Operation) {
        let work = Unfinished {
            id: record.id,
            state: VolumeState::Creating,
            operation: operation.id(),
        };
        match self.clear(&work) {
            Ok(()) => operation.end(self.folders()),
            Err(error) => {
                tracing::warn!(volume = %record.id, %error, "a failed create stays to be undone");
            }
        }
    }
}

/// Makes an image in the empty `storage` that no store knows: of the volume that `request` asks for, and
/// filled as that would be. It is durable when this returns; after an error what is in `storage` is
/// nothing.
///
/// # Errors
/// As for [`Store::create`]; `InvalidArgument` also for a volume that has no image.
pub fn fill_image(
    request: &CreateRequest,
    storage: FileStorage,
    progress: OnProgress<'_>,
) -> Result<BuildReport> {
    driver::of(request.spec.kind()).check(request)?;
    let disk = request.spec.disk();
    let disk = disk.ok_or(VolumeError::Request("such a volume has no image"))?;
    let report = fill::fill(request, disk, storage, progress)?.report;
    let finishing = Progress {
        stage: Stage::Finishing,
        bytes: report.bytes.get(),
        files: report.files,
    };
    match progress(finishing).is_break() {
        true => Err(VolumeError::Interrupted),
        false => Ok(report),
    }
}

fn taken(existing: &VolumeRecord) -> VolumeError {
    match existing.state {
        VolumeState::Deleting => VolumeError::Busy {
            name: existing.name.as_str().to_owned(),
            state: existing.state,
        },
        _ => VolumeError::AlreadyExists {
            existing: existing.name.as_str().to_owned(),
        },
    }
}

pub(super) fn unix_milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

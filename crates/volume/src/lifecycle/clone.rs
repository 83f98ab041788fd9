//! Cloning: a new volume whose head stands on a snapshot of another one.
//!
//! It is made as any volume is (`create`), but that its image holds nothing: the same time whatever
//! the size of the base. The row of its layer is written first of all, so that from then on nobody
//! removes what it stands on.

use uuid::Uuid;
use vdisk::{ImageFormat, MAX_DEPTH};

use super::create::unix_milliseconds;
use super::layer::{Dated, NewLayer, check_layered};
use crate::error::{Result, VolumeError};
use crate::labels::{self, Labels};
use crate::layer::{LayerRecord, SnapshotName, SnapshotRecord, SnapshotState, VolumeRef};
use crate::name::VolumeName;
use crate::record::VolumeRecord;
use crate::spec::SpecOptions;
use crate::state::VolumeState;
use crate::store::Store;
use crate::store::database::Transaction;
use crate::store::layers::LayerRows;

/// What snapshots are called that a clone needs and nobody named.
const IMPLICIT_NAME: &str = "base";
/// How often a base is looked for again that others take snapshots of at the same moment.
const ATTEMPTS: u32 = 16;

/// A clone to be made.
#[derive(Clone, Debug)]
pub struct CloneRequest {
    /// Its name.
    pub name: VolumeName,
    /// What it stands on. Without a snapshot, one is taken, unless the volume was not written since
    /// its last one.
    pub base: VolumeRef,
    /// What it has otherwise than its base: size and persistence.
    pub options: SpecOptions,
    /// Labels to attach.
    pub labels: Labels,
    /// Seconds since 1970 (`SOURCE_DATE_EPOCH`): identifiers and times in the images that are made are
    /// then derived from the base.
    pub reproducible: Option<u64>,
}

/// A clone that was made.
#[derive(Clone, Debug)]
pub struct CloneOutcome {
    /// Its record.
    pub record: VolumeRecord,
    /// What it stands on, `VOLUME@SNAPSHOT`.
    pub base: String,
    /// Whether that snapshot was taken for it.
    pub took_snapshot: bool,
}

/// The snapshot that a clone stands on.
struct Base {
    /// The volume that the caller named, whose specification the clone has.
    record: VolumeRecord,
    snapshot: SnapshotRecord,
    took_snapshot: bool,
}

impl Store {
    /// Makes a volume that holds what its base does and shares its space.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `InUse` (the base is written), `Unsupported` (a raw image, too
    /// many layers), `InvalidArgument`, `Damaged`, `NoSpace`, `Io`. On any error nothing is left of
    /// the clone; a snapshot that was taken for it stays.
    pub fn clone_volume(&self, request: &CloneRequest) -> Result<CloneOutcome> {
        labels::check(&request.labels)?;
        let base = self.base_of(&request.base, request.reproducible)?;
        let format = base.record.disk()?.format();
        let parent = self.layer(base.snapshot.layer)?;
        // Its base may have another size by now than when the snapshot was taken.
        let size = self.layer_size(&parent, format)?;
        let spec = base.record.spec.with_size(size)?;
        let spec = request.options.build_on(&spec)?;
        let larger = spec.size().filter(|wanted| *wanted > size);
        let id = Uuid::new_v4();
        let record = VolumeRecord {
            id,
            name: request.name.clone(),
            spec,
            labels: request.labels.clone(),
            created_unix_ms: unix_milliseconds(),
            state: VolumeState::Creating,
            head: id,
        };
        let layer = LayerRecord::first(id, Some(base.snapshot.layer));
        let (record, ()) = self.create_volume(record, Some(&layer), |_| {
            let dated = Dated {
                epoch: request.reproducible,
                purpose: &format!("clone {}", request.name.as_str()),
            };
            let new = NewLayer {
                size: larger,
                ..NewLayer::new(&layer, &parent, format, dated)
            };
            Ok((self.make_layer(&new)?.data_identity, ()))
        })?;
        Ok(CloneOutcome {
            record,
            base: self.shown_layer(base.snapshot.layer),
            took_snapshot: base.took_snapshot,
        })
    }

    /// The snapshot that a reference leads to, taken now where it names none.
    fn base_of(&self, base: &VolumeRef, reproducible: Option<u64>) -> Result<Base> {
        if let Some(name) = &base.snapshot {
            let (record, snapshot) = self.usable_snapshot(&base.volume, name)?;
            return Ok(Base {
                record,
                snapshot,
                took_snapshot: false,
            });
        }
        check_layered(&self.ready(&base.volume)?)?;
        for _ in 0..ATTEMPTS {
            if let Some((record, snapshot)) = self.unwritten_since(&base.volume)? {
                return Ok(Base {
                    record,
                    snapshot,
                    took_snapshot: false,
                });
            }
            let name = self.free_name(&base.volume)?;
            match self.take_snapshot_at(&base.volume, &name, reproducible) {
                Ok(snapshot) => {
                    return Ok(Base {
                        record: self.ready(&base.volume)?,
                        snapshot,
                        took_snapshot: true,
                    });
                }
                // Another process clones the same volume: its snapshot serves as well.
                Err(VolumeError::SnapshotExists { .. } | VolumeError::Overtaken { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(VolumeError::Overtaken {
            name: base.volume.as_str().to_owned(),
        })
    }

    /// The snapshot that a volume's head stands on, if nothing was written into the head yet.
    fn unwritten_since(
        &self,
        volume: &VolumeName,
    ) -> Result<Option<(VolumeRecord, SnapshotRecord)>> {
        let (record, lock) = self.lock_head_at_rest(volume)?;
        let head = self.layer(record.head)?;
        let Some(parent) = head.parent else {
            return Ok(None);
        };
        let format = record.disk()?.format();
        let failed = |source| VolumeError::Image {
            name: record.name.as_str().to_owned(),
            source,
        };
        let is_unwritten = match format {
            // Nothing in a VHD tells that it was written but what it holds.
            ImageFormat::Vhd => {
                let info = vdisk::info(&lock, Some(format)).map_err(failed)?;
                info.allocated.get() == 0
            }
            _ => {
                let state = vdisk::link_state(&lock, format).map_err(failed)?;
                head.born_as.is_some() && state.data_identity == head.born_as
            }
        };
        if !is_unwritten {
            return Ok(None);
        }
        let found = self
            .database()
            .write("looking for a snapshot", |transaction| {
                transaction.snapshot_on(parent)
            })?;
        let usable = found.filter(|snapshot| snapshot.state == SnapshotState::Ready);
        Ok(usable.map(|snapshot| (record, snapshot)))
    }

    /// A name for a snapshot that nobody named.
    fn free_name(&self, volume: &VolumeName) -> Result<SnapshotName> {
        let taken = self.snapshots(volume)?;
        let mut number = taken.len();
        loop {
            number += 1;
            let name = SnapshotName::parse(&format!("{IMPLICIT_NAME}-{number}"))?;
            if taken
                .iter()
                .all(|snapshot| snapshot.name.key() != name.key())
            {
                return Ok(name);
            }
        }
    }
}

/// Refuses a base that is gone, going, or too deep. Called within the transaction that adds the
/// layer.
pub(super) fn check_base(transaction: &Transaction<'_>, base: Uuid) -> Result<()> {
    let gone = || VolumeError::Overtaken {
        name: base.to_string(),
    };
    let snapshot = transaction.snapshot_on(base)?.ok_or_else(gone)?;
    if snapshot.state != SnapshotState::Ready {
        return Err(VolumeError::SnapshotRemoving {
            name: snapshot.name.to_string(),
        });
    }
    let chain = transaction.chain(base)?;
    if chain.len() >= MAX_DEPTH {
        return Err(VolumeError::TooManyLayers {
            name: snapshot.name.to_string(),
            limit: MAX_DEPTH,
        });
    }
    let layer = chain.first().ok_or_else(gone)?;
    match transaction.volume(layer.volume)? {
        Some(volume) if volume.state == VolumeState::Ready => Ok(()),
        Some(volume) => Err(VolumeError::Busy {
            name: volume.name.as_str().to_owned(),
            state: volume.state,
        }),
        None => Err(gone()),
    }
}

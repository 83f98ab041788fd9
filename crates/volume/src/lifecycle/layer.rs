//! The files of layers: made, removed, and brought to rest before anything stands on them.

use blockio::{ByteCount, FileAccess, FileStorage};
use uuid::Uuid;
use vdisk::{Access, ChildOptions, IdSource, ImageFormat, LinkState};

use super::change::JOURNAL_SUFFIX;
use super::claim::Opener;
use super::create::unix_milliseconds;
use super::open::{explain, lock_file, lock_image};
use super::repair::BACKUP_SUFFIX;
use crate::error::{Result, VolumeError};
use crate::faults;
use crate::layer::{LayerRecord, SnapshotName, SnapshotRecord, SnapshotState, VolumeRef};
use crate::name::VolumeName;
use crate::platform;
use crate::record::VolumeRecord;
use crate::store::Store;
use crate::store::folder;
use crate::store::layers::LayerRows;

/// How often a volume is looked at again whose head is moving.
const ATTEMPTS: u32 = 8;

/// A layer to be made.
pub(super) struct NewLayer<'a> {
    pub(super) layer: &'a LayerRecord,
    pub(super) parent: &'a LayerRecord,
    pub(super) format: ImageFormat,
    /// Size of its disk; `None` for the parent's.
    pub(super) size: Option<ByteCount>,
    pub(super) dated: Dated<'a>,
}

/// Whether the image of a layer can be made again: its identifiers and times are then derived from the
/// parent's identifiers, the moment and what it is made for. (What it calls its parent is not: that has
/// the folders of the store in it.)
#[derive(Clone, Copy, Debug)]
pub(super) struct Dated<'a> {
    /// Seconds since 1970 (`SOURCE_DATE_EPOCH`); `None` for now, and identifiers by chance.
    pub(super) epoch: Option<u64>,
    /// What it is made for.
    pub(super) purpose: &'a str,
}

/// Keeps the seeds of layers apart from every other use of the hash.
const SEED_CONTEXT: &str = "cvol 2026-11 seed of a reproducible layer, version 1";

impl<'a> NewLayer<'a> {
    /// A layer as large as its parent.
    pub(super) fn new(
        layer: &'a LayerRecord,
        parent: &'a LayerRecord,
        format: ImageFormat,
        dated: Dated<'a>,
    ) -> Self {
        Self {
            layer,
            parent,
            format,
            size: None,
            dated,
        }
    }
}

impl Store {
    /// The ready volume of this name and the lock of its head, which stays the head while the lock
    /// is held.
    pub(super) fn lock_head(
        &self,
        name: &VolumeName,
        access: Access,
    ) -> Result<(VolumeRecord, FileStorage)> {
        self.lock_head_for(name, access, Opener::Command)
    }

    /// As [`Store::lock_head`], for one whom claims may let in.
    pub(super) fn lock_head_for(
        &self,
        name: &VolumeName,
        access: Access,
        opener: Opener<'_>,
    ) -> Result<(VolumeRecord, FileStorage)> {
        for _ in 0..ATTEMPTS {
            let record = self.ready(name)?;
            let locked = lock_image(self.folders(), &record, access);
            // Whoever moves the head or removes the volume takes the lock of the image first, then
            // changes the row, then lets go: with the lock held here, a row that says the same now
            // goes on saying it.
            let again = self.ready(name)?;
            if (again.id, again.head) == (record.id, record.head) {
                // First: whoever has claimed it is who holds the lock, as a rule, and has a name.
                self.check_claims(&record, access, opener)?;
                return Ok((record, locked?));
            }
        }
        Err(VolumeError::Overtaken {
            name: name.as_str().to_owned(),
        })
    }

    /// As [`Store::lock_head`] for reading, with what a crash or a kill left in the head completed:
    /// a layer that is frozen must not owe anything.
    pub(super) fn lock_head_at_rest(
        &self,
        name: &VolumeName,
    ) -> Result<(VolumeRecord, FileStorage)> {
        for _ in 0..ATTEMPTS {
            let (record, lock) = self.lock_head(name, Access::ReadOnly)?;
            let of_image = |source| VolumeError::Image {
                name: record.name.as_str().to_owned(),
                source,
            };
            let state = vdisk::link_state(&lock, record.disk()?.format()).map_err(of_image)?;
            if !state.dirty_log && !self.has_journal(&record)? {
                return Ok((record, lock));
            }
            drop(lock);
            self.complete_pending(name)?;
        }
        Err(VolumeError::Overtaken {
            name: name.as_str().to_owned(),
        })
    }

    /// A layer's record.
    pub(super) fn layer(&self, id: Uuid) -> Result<LayerRecord> {
        let chain = self.database().chain(id)?;
        chain.into_iter().next().ok_or_else(|| {
            VolumeError::damaged(folder::DATABASE, format!("layer {id} is not in it"))
        })
    }

    /// A snapshot that can be used, and the volume it is of.
    pub(super) fn usable_snapshot(
        &self,
        volume: &VolumeName,
        snapshot: &SnapshotName,
    ) -> Result<(VolumeRecord, SnapshotRecord)> {
        let record = self.ready(volume)?;
        record.disk()?;
        let found = self.database().find_snapshot(record.id, snapshot)?;
        let found = found.ok_or_else(|| no_snapshot(&record, snapshot))?;
        match found.state {
            SnapshotState::Ready => Ok((record, found)),
            SnapshotState::Removing => Err(VolumeError::SnapshotRemoving {
                name: shown(&record, snapshot),
            }),
        }
    }

    /// Opens and locks the file of a layer.
    pub(crate) fn lock_layer(
        &self,
        layer: &LayerRecord,
        format: ImageFormat,
        access: FileAccess,
    ) -> Result<FileStorage> {
        let file = layer.file_name(format);
        let shown = self.shown_layer(layer.id);
        lock_file(self.folders(), layer.volume, &file, access)
            .map_err(|error| explain(&shown, layer.volume, &file, error))
    }

    /// Makes the file of a layer, durable. Returns what it says of itself: how large its disk is, and
    /// what it is known by as long as nobody writes it.
    pub(super) fn make_layer(&self, new: &NewLayer<'_>) -> Result<LinkState> {
        let parent = self.open_as_parent(new.parent.id, new.format)?;
        let folder = self.folders().open_volume_folder(new.layer.volume)?;
        let folder = folder.ok_or_else(|| {
            VolumeError::damaged(format!("volumes/{}", new.layer.volume), "it is missing")
        })?;
        let file = new.layer.file_name(new.format);
        faults::step("creating the layer")?;
        let storage = folder::create_image(&folder, &file)?;
        let (ids, unix_time) = self.origin_of_layer(new)?;
        let options = ChildOptions {
            size: new.size,
            block_size: None,
            names: self.parent_names(new.layer.volume, new.parent, new.format),
            ids,
            unix_time,
        };
        let failed = |source| VolumeError::Image {
            name: file.clone(),
            source,
        };
        let made = vdisk::create_child(Box::new(storage), new.format, &options, parent);
        made.and_then(|made| made.close()).map_err(failed)?;
        faults::step("making the layer durable")?;
        platform::sync_folder(&folder)
            .map_err(|error| VolumeError::host("making durable", file.clone(), error))?;
        let storage = lock_file(
            self.folders(),
            new.layer.volume,
            &file,
            FileAccess::ReadOnly,
        )
        .map_err(|error| explain(&file, new.layer.volume, &file, error))?;
        vdisk::link_state(&storage, new.format).map_err(failed)
    }

    /// Where the identifiers of a new layer come from, and its time in seconds since 1970.
    fn origin_of_layer(&self, new: &NewLayer<'_>) -> Result<(IdSource, u64)> {
        let Some(epoch) = new.dated.epoch else {
            return Ok((IdSource::Random, unix_milliseconds() / 1000));
        };
        let storage = self.lock_layer(new.parent, new.format, FileAccess::ReadOnly)?;
        let info = vdisk::info(&storage, Some(new.format));
        let info = info.map_err(|source| VolumeError::Image {
            name: self.shown_layer(new.parent.id),
            source,
        })?;
        let mut words = vec![new.dated.purpose.to_owned(), epoch.to_string()];
        words.extend(info.ids.into_iter().map(|(_, id)| id));
        let mut hash = blake3::Hasher::new_derive_key(SEED_CONTEXT);
        for word in words {
            hash.update(&u64::try_from(word.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(word.as_bytes());
        }
        Ok((IdSource::Seeded(*hash.finalize().as_bytes()), epoch))
    }

    /// Size of the disk of a layer, which need not be that of its volume now.
    pub(super) fn layer_size(&self, layer: &LayerRecord, format: ImageFormat) -> Result<ByteCount> {
        let storage = self.lock_layer(layer, format, FileAccess::ReadOnly)?;
        let state = vdisk::link_state(&storage, format);
        let state = state.map_err(|source| VolumeError::Image {
            name: self.shown_layer(layer.id),
            source,
        })?;
        Ok(state.size)
    }

    /// Removes the files of a layer, durably, with what repairs of it kept. They may be gone already.
    pub(crate) fn remove_layer_files(
        &self,
        layer: &LayerRecord,
        format: ImageFormat,
    ) -> Result<()> {
        faults::step("removing the layer")?;
        let Some(folder) = self.folders().open_volume_folder(layer.volume)? else {
            return Ok(());
        };
        let file = layer.file_name(format);
        folder::remove_file(&folder, &format!("{file}{JOURNAL_SUFFIX}"))?;
        let backups = format!("{file}{BACKUP_SUFFIX}");
        for name in folder::names(&folder, &self.shown_layer(layer.id))? {
            if name.starts_with(&backups) {
                folder::remove_file(&folder, &name)?;
            }
        }
        folder::remove_file(&folder, &file)?;
        // Before the row goes: a file without a row would never be found again.
        platform::sync_folder(&folder)
            .map_err(|error| VolumeError::host("making durable", file, error))
    }
}

/// Refuses what has no layers.
pub(super) fn check_layered(record: &VolumeRecord) -> Result<()> {
    match record.disk()?.format() {
        ImageFormat::Vhdx | ImageFormat::Vhd => Ok(()),
        format => Err(VolumeError::NotLayered {
            name: record.name.as_str().to_owned(),
            format,
        }),
    }
}

/// `VOLUME@SNAPSHOT`.
pub(super) fn shown(record: &VolumeRecord, snapshot: &SnapshotName) -> String {
    VolumeRef {
        volume: record.name.clone(),
        snapshot: Some(snapshot.clone()),
    }
    .to_string()
}

pub(super) fn no_snapshot(record: &VolumeRecord, snapshot: &SnapshotName) -> VolumeError {
    VolumeError::SnapshotNotFound {
        volume: record.name.as_str().to_owned(),
        snapshot: snapshot.as_str().to_owned(),
    }
}

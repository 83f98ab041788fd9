//! A volume in an image of the store.

use blockio::{FileAccess, FileStorage};
use vdisk::Access;

use super::{Driver, KnownFile, Making, refuse_password};
use crate::error::{Result, VolumeError};
use crate::faults;
use crate::lifecycle::fill::{self, Filled};
use crate::lifecycle::open::{explain, lock_image, try_lock_image};
use crate::lifecycle::{BackingDetails, CreateRequest, ImageDetails, ImageUse, access};
use crate::progress::{Progress, Stage};
use crate::record::VolumeRecord;
use crate::spec::kind::FileSystemKind;
use crate::state::VolumeState;
use crate::store::Store;
use crate::store::folder::{self, ImageOpenError};

pub(super) struct Local;

impl Driver for Local {
    fn check(&self, request: &CreateRequest) -> Result<()> {
        refuse_password(request)?;
        let Some(disk) = request.spec.disk() else {
            return Ok(());
        };
        if request.from.is_some() && disk.file_system() == FileSystemKind::None {
            return Err(VolumeError::Request(
                "a volume without a file system cannot be filled",
            ));
        }
        if disk.file_system().is_made_by_system() {
            if request.from.is_some() {
                return Err(VolumeError::Request(
                    "a volume that the system formats cannot be filled when it is made",
                ));
            }
            if request.formatter.is_none() {
                let file_system = disk.file_system();
                return Err(VolumeError::NeedsSystem { file_system });
            }
        }
        access::check(request, disk)
    }

    fn make(&self, making: &Making<'_>) -> Result<Filled> {
        faults::step("creating the image")?;
        let file = making.record.image_file_name()?;
        let storage = folder::create_image(making.folder, &file)?;
        faults::step("filling the image")?;
        let disk = making.record.disk()?;
        let filled = fill::fill(making.request, disk, storage, making.progress)?;
        if let Some(formatter) = &making.request.formatter
            && disk.file_system().is_made_by_system()
        {
            faults::step("having the system format the image")?;
            let path = making
                .store
                .folders()
                .volume_file_path(making.record.id, &file);
            formatter
                .format(&path, disk.file_system(), disk.label())
                .map_err(|source| VolumeError::System {
                    name: making.request.name.as_str().to_owned(),
                    source,
                })?;
        }
        let finishing = Progress {
            stage: Stage::Finishing,
            bytes: filled.report.bytes.get(),
            files: filled.report.files,
        };
        if (making.progress)(finishing).is_break() {
            return Err(VolumeError::Interrupted);
        }
        Ok(filled)
    }

    fn lock(&self, store: &Store, record: &VolumeRecord, force: bool) -> Result<Vec<FileStorage>> {
        let mut locks = Vec::new();
        match lock_image(store.folders(), record, Access::ReadWrite) {
            Ok(lock) => locks.push(lock),
            Err(error @ VolumeError::InUse { .. }) => return Err(error),
            Err(_) if force => {}
            Err(error) => return Err(error),
        }
        let layers = store.database().layers(record.id)?;
        for layer in layers {
            if layer.id == record.head {
                continue;
            }
            match store.lock_layer(&layer, record.disk()?.format(), FileAccess::ReadWrite) {
                Ok(lock) => locks.push(lock),
                Err(error @ VolumeError::InUse { .. }) => return Err(error),
                Err(_) if force => {}
                Err(error) => return Err(error),
            }
        }
        Ok(locks)
    }

    fn used_bytes(&self, store: &Store, record: &VolumeRecord) -> Result<Option<u64>> {
        store.image_bytes(record)
    }

    fn look(&self, store: &Store, record: &VolumeRecord) -> Result<BackingDetails> {
        let file = record.image_file_name()?;
        let (allocated_bytes, file_length) = store.image_sizes(record)?;
        let mut details = ImageDetails {
            path: store.folders().volume_file_path(record.id, &file),
            image_use: ImageUse::Free,
            allocated_bytes,
            file_length,
            info: None,
            error: None,
        };
        if record.state != VolumeState::Ready {
            details.image_use = ImageUse::InUse;
            return Ok(BackingDetails::Image(details));
        }
        let format = record.disk()?.format();
        match try_lock_image(store.folders(), record.id, &file, FileAccess::ReadOnly) {
            Ok(storage) => match vdisk::info(&storage, Some(format)) {
                Ok(info) => details.info = Some(info),
                Err(error) => details.error = Some(error.to_string()),
            },
            Err(error) => {
                details.image_use = match error {
                    ImageOpenError::InUse(_) => ImageUse::InUse,
                    ImageOpenError::Missing => ImageUse::Missing,
                    _ => ImageUse::Free,
                };
                let error = explain(record.name.as_str(), record.id, &file, error);
                details.error = Some(error.to_string());
            }
        }
        Ok(BackingDetails::Image(details))
    }

    fn files(&self, store: &Store, record: &VolumeRecord) -> Result<Vec<KnownFile>> {
        let format = record.disk()?.format();
        let layers = store.database().layers(record.id)?;
        let file = |layer: &crate::layer::LayerRecord| KnownFile {
            name: layer.file_name(format),
            advice: "bring it back from a copy, or `cvol rm --force`",
        };
        Ok(layers.iter().map(file).collect())
    }
}

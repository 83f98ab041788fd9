//! The gate to the parents of a store's image: layers of the same store, below the image, and
//! nothing else.
//!
//! What an image calls its parent is compared, as text, with where the layers below it are; no path
//! is made of it. Which layers these are the rows say, so that an image cannot have another volume
//! read. Which of them is the parent the image says: a crash may leave it on its parent or already
//! on the one below.

use std::sync::Arc;

use blockio::{ByteCount, ByteOffset, FileAccess, IoError, IoErrorKind, Operation, Storage};
use cap_fs_ext::DirExt;
use cap_std::fs::Dir;
use uuid::Uuid;
use vdisk::{
    FileIdentity, ImageError, ImageFormat, OpenedParent, ParentGate, ParentInfo, ParentNames,
    ParentPath,
};

use super::Store;
use super::folder::{self, ImageOpenError, VOLUMES};
use crate::error::{Result, VolumeError};
use crate::layer::LayerRecord;
use crate::store::layers::LayerRows;

/// The gate of one layer.
pub(crate) struct StoreGate {
    below: Arc<Below>,
    child: LayerRecord,
}

/// What may be opened.
struct Below {
    volumes: Dir,
    format: ImageFormat,
    /// The layer that the caller asked for and all below it.
    chain: Vec<LayerRecord>,
}

impl Store {
    /// The gate of a layer.
    pub(crate) fn gate_of(&self, layer: Uuid, format: ImageFormat) -> Result<StoreGate> {
        let chain = self.database().chain(layer)?;
        let child = chain.first().cloned().ok_or_else(|| {
            VolumeError::damaged(folder::DATABASE, format!("layer {layer} is not in it"))
        })?;
        let volumes = self.folders().volumes().try_clone();
        Ok(StoreGate {
            below: Arc::new(Below {
                volumes: volumes
                    .map_err(|error| VolumeError::host("opening the folder", VOLUMES, error))?,
                format,
                chain,
            }),
            child,
        })
    }

    /// Opens a layer as the parent of one that is to be made.
    pub(crate) fn open_as_parent(&self, layer: Uuid, format: ImageFormat) -> Result<OpenedParent> {
        let gate = self.gate_of(layer, format)?;
        let child = gate.child.clone();
        gate.open(&child).map_err(|source| VolumeError::Image {
            name: self.shown_layer(layer),
            source,
        })
    }

    /// What a layer is called in messages.
    pub(crate) fn shown_layer(&self, layer: Uuid) -> String {
        let name = self.database().name_of_layer(layer).ok().flatten();
        name.unwrap_or_else(|| layer.to_string())
    }

    /// What a layer in the folder of `volume` is to call its parent `parent`.
    pub(crate) fn parent_names(
        &self,
        volume: Uuid,
        parent: &LayerRecord,
        format: ImageFormat,
    ) -> ParentNames {
        let file = parent.file_name(format);
        let path = self.folders().volume_file_path(parent.volume, &file);
        let path = path.to_string_lossy();
        // See `engine::parents::names`: some readers know absolute names alone.
        let absolute = if cfg!(windows) {
            path.into_owned()
        } else {
            path.replace('/', "\\")
        };
        ParentNames {
            relative: Some(relative_name(volume, parent, format)),
            volume: None,
            absolute: Some(absolute),
        }
    }
}

/// The way from the folder of `volume` to a layer, as Windows spells it.
fn relative_name(volume: Uuid, parent: &LayerRecord, format: ImageFormat) -> String {
    let file = parent.file_name(format);
    match parent.volume == volume {
        true => format!(".\\{file}"),
        false => format!("..\\{}\\{file}", parent.volume),
    }
}

impl StoreGate {
    /// The layer that an image in the folder of the child calls by these names.
    pub(crate) fn find(&self, parent: &ParentInfo) -> Option<&LayerRecord> {
        let is_relative =
            |path: &&ParentPath| matches!(path.kind, "relative_path" | "W2ru" | "Wi2r");
        let named = parent.paths.iter().filter(is_relative);
        let mut layers = named.filter_map(|named| {
            self.below.chain.iter().find(|layer| {
                let name = relative_name(self.child.volume, layer, self.below.format);
                layer.id != self.child.id && name == named.path
            })
        });
        layers.next()
    }

    fn open(&self, layer: &LayerRecord) -> std::result::Result<OpenedParent, ImageError> {
        let file = layer.file_name(self.below.format);
        let name = format!("{VOLUMES}/{}/{file}", layer.volume);
        let folder = self
            .below
            .volumes
            .open_dir_nofollow(layer.volume.to_string())
            .map_err(|error| host(error, &name))?;
        let storage = folder::open_image(&folder, &file, FileAccess::ReadOnly);
        let storage = storage.map_err(|error| refused(error, &name))?;
        let storage: Box<dyn Storage> = Box::new(storage);
        Ok(OpenedParent {
            storage,
            name,
            gate: Box::new(Self {
                below: self.below.clone(),
                child: layer.clone(),
            }),
        })
    }
}

impl ParentGate for StoreGate {
    fn identity(&self) -> Option<FileIdentity> {
        Some(identity(&self.child))
    }

    fn open_parent(
        &self,
        _format: ImageFormat,
        parent: &ParentInfo,
        descendants: &[FileIdentity],
    ) -> std::result::Result<OpenedParent, ImageError> {
        let Some(layer) = self.find(parent) else {
            return Err(ImageError::ParentDenied {
                parent: parent.display_name(),
                reason: "it is none of the layers of the store that the volume stands on",
            });
        };
        if descendants.contains(&identity(layer)) {
            return Err(ImageError::ParentLoop {
                parent: layer.id.to_string(),
            });
        }
        self.open(layer)
    }
}

fn identity(layer: &LayerRecord) -> FileIdentity {
    FileIdentity::new(layer.id.to_string())
}

fn host(error: std::io::Error, name: &str) -> ImageError {
    if error.kind() == std::io::ErrorKind::NotFound {
        return missing(name);
    }
    IoError::host(Operation::Open, ByteOffset(0), ByteCount(0), error).into()
}

fn missing(name: &str) -> ImageError {
    ImageError::ParentMissing {
        parent: name.to_owned(),
        tried: vec![name.to_owned()],
    }
}

fn refused(error: ImageOpenError, name: &str) -> ImageError {
    let failed = |kind| IoError::new(kind, Operation::Open, ByteOffset(0), ByteCount(0));
    match error {
        ImageOpenError::InUse(Some(error)) | ImageOpenError::Disk(error) => error.into(),
        ImageOpenError::InUse(None) => failed(IoErrorKind::InUse).into(),
        ImageOpenError::Missing => missing(name),
        ImageOpenError::Link => ImageError::ParentDenied {
            parent: name.to_owned(),
            reason: "it is no file but a link or a folder",
        },
        ImageOpenError::Host(error) => host(error, name),
        ImageOpenError::Folder(_) => missing(name),
    }
}

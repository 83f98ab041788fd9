//! Repair of the structure of an image, and undoing it.

use std::path::Path;

use vdisk::{ImageFormat, RepairOptions, RepairPlan, plan_repair};
use volume::RepairedImage;

use crate::Engine;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::volumes::volume_name;

/// What is to be repaired.
#[derive(Clone, Debug)]
pub struct RepairImage {
    /// The image. Its parents are never touched.
    pub image: ImageReference,
    /// Its format; `None` to find out.
    pub format: Option<ImageFormat>,
    /// Whether what cannot be read may become zeros.
    pub accept_loss: bool,
}

impl RepairImage {
    fn options(&self) -> RepairOptions {
        RepairOptions {
            accept_loss: self.accept_loss,
        }
    }
}

impl Engine {
    /// Finds out what a repair would do; changes nothing.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged` where the file is no image of the format, `Unsupported`, `Io`.
    pub fn plan_image_repair(&self, request: &RepairImage) -> Result<RepairPlan> {
        let storage = self.open_storage(&request.image)?;
        let format = self.format_of(&request.image, request.format)?;
        plan_repair(&*storage, format, request.options())
            .map_err(Error::image("check", request.image.to_string()))
    }

    /// Repairs an image that nobody uses. The replaced bytes are in a file beside it before the
    /// first of them is replaced; a repair that a crash cut short is completed.
    ///
    /// # Errors
    /// As for [`Engine::plan_image_repair`]; `NoSpace`. Damage that cannot be repaired is told in
    /// the plan.
    pub fn repair_image(&self, request: &RepairImage) -> Result<RepairedImage> {
        match &request.image {
            ImageReference::File(path) => {
                is_there(path)?;
                let repaired = volume::repair_image(path, request.format, request.options());
                repaired.map_err(of_file(path))
            }
            ImageReference::Volume(name) => {
                let name = volume_name(name)?;
                Ok(self.store()?.repair_image(&name, request.options())?)
            }
        }
    }

    /// Undoes the last repair of an image from the file beside it, which is removed then.
    ///
    /// # Errors
    /// `NotFound` where there is no such file, `InUse`, `Damaged` where the image was changed since
    /// the repair, `NoSpace`, `Io`.
    pub fn undo_image_repair(&self, image: &ImageReference) -> Result<()> {
        if let ImageReference::File(path) = image {
            is_there(path)?;
        }
        if self.repair_state(image)?.is_none() {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            let path = format!("{image}.repair-backup");
            return Err(Error::host("open the backup of a repair,", path)(missing));
        }
        match image {
            ImageReference::File(path) => volume::undo_image_repair(path).map_err(of_file(path)),
            ImageReference::Volume(name) => Ok(self.store()?.undo_repair(&volume_name(name)?)?),
        }
    }
}

/// A file that is not there is said so as by every other verb.
fn is_there(path: &Path) -> Result<()> {
    std::fs::metadata(path).map_err(Error::host("open", path))?;
    Ok(())
}

/// What went wrong with an image file, as the other verbs on image files say it.
fn of_file(path: &Path) -> impl FnOnce(volume::VolumeError) -> Error {
    let name = path.display().to_string();
    move |error| match error {
        volume::VolumeError::Image { source, .. } => Error::image("repair", name)(source),
        volume::VolumeError::Disk(source) => Error::image("open", name)(source),
        error => error.into(),
    }
}

//! Reading all that can be read of a damaged image into a new one.
//!
//! Invariant: the damaged image is not changed; the target appears whole or not at all.

use std::path::PathBuf;

use blockio::ByteCount;
use vdisk::{CreateOptions, DenyAll, Fix, ImageFormat, Salvage, SalvageOptions, SalvageReport};

use crate::Engine;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::progress::{ProgressFn, of_image};
use crate::target::Target;

/// What is to be salvaged into what.
#[derive(Clone, Debug)]
pub struct SalvageImage {
    /// The damaged image.
    pub source: ImageReference,
    /// Its format; `None` to find out.
    pub source_format: Option<ImageFormat>,
    /// What is known of it.
    pub known: SalvageOptions,
    /// The file to make.
    pub target: PathBuf,
    /// Its format.
    pub target_format: ImageFormat,
    /// Whether an existing target is replaced.
    pub replace: bool,
}

/// What was salvaged.
#[derive(Clone, Debug)]
pub struct SalvagedImage {
    /// The file made.
    pub target: PathBuf,
    /// What was copied and what was lost.
    pub report: SalvageReport,
    /// What was put right in memory to be able to read.
    pub fixes: Vec<Fix>,
    /// Why the parents of the image could not be read, where they could not.
    pub parent_error: Option<String>,
}

impl Engine {
    /// Copies all that can be read of a damaged image into a new one. What cannot be read is zeros
    /// there and is named in the report.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `InUse`, `Damaged` where nothing says where the data are,
    /// `Unsupported`, `InvalidArgument`, `NoSpace`, `Interrupted`, `Io`.
    pub fn salvage_image(
        &self,
        request: &SalvageImage,
        progress: ProgressFn<'_>,
    ) -> Result<SalvagedImage> {
        let target = Target {
            path: &request.target,
            replace: request.replace,
            source: &request.source,
        };
        target.check()?;
        let source_name = request.source.to_string();
        let storage = self.open_storage(&request.source)?;
        let format = self.format_of(&request.source, request.source_format)?;
        let gate = self.gate(&request.source).unwrap_or(Box::new(DenyAll));
        let salvage = Salvage::open(storage, format, request.known, &*gate)
            .map_err(Error::image("salvage", &source_name))?;
        let info = salvage.info();
        let mut options = CreateOptions::new(info.virtual_size);
        options.unix_time = crate::convert::now();
        if request.target_format == ImageFormat::Vhdx {
            options.logical_sector = info.logical_sector;
            options.physical_sector = info.physical_sector;
        }
        let report = target.make_image(request.target_format, &options, |disk| {
            let copied = salvage.copy_to(disk, &of_image(progress));
            copied.map_err(Error::image("salvage", &source_name))
        })?;
        Ok(SalvagedImage {
            target: request.target.clone(),
            report,
            fixes: salvage.fixes,
            parent_error: salvage.parent_error,
        })
    }
}

/// What a caller knows of an image whose own word is lost, from numbers of bytes.
pub fn known_sizes(
    size: Option<ByteCount>,
    block_size: Option<ByteCount>,
    sector: Option<blockio::SectorSize>,
) -> SalvageOptions {
    SalvageOptions {
        size,
        block_size,
        logical_sector: sector,
    }
}

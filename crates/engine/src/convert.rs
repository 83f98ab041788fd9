//! Conversion of an image into another format.
//!
//! Invariant: the target appears under its name whole and durable, or not at all.

use std::fs;
use std::path::PathBuf;

use blockio::{ByteCount, Disk, SectorSize};
use vdisk::{CreateOptions, IdSource, ImageFormat, Provisioning};

use crate::Engine;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::progress::{ProgressFn, of_image};
use crate::seed::seed_of;
use crate::target::Target;

/// What is to be converted into what.
#[derive(Clone, Debug)]
pub struct ConvertImage {
    /// The image to read.
    pub source: ImageReference,
    /// Its format; `None` to find out.
    pub source_format: Option<ImageFormat>,
    /// The file to make.
    pub target: PathBuf,
    /// Its format.
    pub target_format: ImageFormat,
    /// Whether it takes its space when needed or from the start.
    pub provisioning: Provisioning,
    /// Bytes in a block; `None` for what Windows would choose.
    pub block_size: Option<ByteCount>,
    /// Whether an existing target is replaced.
    pub replace: bool,
    /// Seconds since 1970; given, identifiers are derived from the input instead of drawn, and
    /// equal input gives equal bytes.
    pub source_date_epoch: Option<u64>,
}

/// What a conversion made.
#[derive(Clone, Debug)]
pub struct ConvertedImage {
    /// The file made.
    pub target: PathBuf,
    /// Its format.
    pub format: ImageFormat,
    /// Size of the disk in it.
    pub virtual_size: ByteCount,
    /// Bytes of data copied; the rest reads as zeros.
    pub copied: ByteCount,
    /// Length of the file.
    pub file_length: ByteCount,
    /// Logical sector size of the disk.
    pub sector_size: SectorSize,
    /// Whether the file tells that size, or has the one that is taken for granted.
    pub tells_sector_size: bool,
}

impl Engine {
    /// Converts an image. The source is not changed; the target appears whole or not at all.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `InUse`, `Damaged`, `Unsupported`,
    /// `InvalidArgument` (options that do not fit the format), `NoSpace`, `Interrupted`, `Io`.
    pub fn convert_image(
        &self,
        request: &ConvertImage,
        progress: ProgressFn<'_>,
    ) -> Result<ConvertedImage> {
        let target = Target {
            path: &request.target,
            replace: request.replace,
            source: &request.source,
        };
        target.check()?;
        let source = self.open_disk(&request.source, request.source_format)?;
        let options = create_options(request, &*source, progress)
            .map_err(Error::image("read", request.source.to_string()))?;
        // Threads that race for blocks give them out in an order that differs from run to run.
        let convert = match request.source_date_epoch {
            Some(_) => vdisk::convert_in_order,
            None => vdisk::convert,
        };
        let (summary, virtual_size) =
            target.make_image(request.target_format, &options, |disk| {
                let converted = convert(&*source, disk, &of_image(progress));
                let summary =
                    converted.map_err(Error::image("convert", request.source.to_string()))?;
                Ok((summary, disk.size()))
            })?;
        let file_length = fs::metadata(&request.target)
            .map_err(Error::host("read", &request.target))?
            .len();
        Ok(ConvertedImage {
            target: request.target.clone(),
            format: request.target_format,
            virtual_size,
            copied: summary.written,
            file_length: ByteCount(file_length),
            sector_size: source.logical_sector_size(),
            tells_sector_size: options.logical_sector == source.logical_sector_size(),
        })
    }
}

fn create_options(
    request: &ConvertImage,
    source: &dyn Disk,
    progress: ProgressFn<'_>,
) -> std::result::Result<CreateOptions, vdisk::ImageError> {
    let mut options = CreateOptions::new(source.size());
    options.provisioning = request.provisioning;
    options.block_size = request.block_size;
    // Raw and qcow2 images say nothing of sectors: whoever attaches one does.
    if !matches!(request.target_format, ImageFormat::Raw | ImageFormat::Qcow2) {
        options.logical_sector = source.logical_sector_size();
        options.physical_sector = source.physical_sector_size();
    }
    options.unix_time = now();
    if let Some(epoch) = request.source_date_epoch {
        let block_size = request.block_size.map_or(0, ByteCount::get);
        let what = format!(
            "{} {} {block_size} {epoch}",
            request.target_format, request.provisioning
        );
        options.ids = IdSource::Seeded(seed_of(source, &what, progress)?);
        options.unix_time = epoch;
    }
    Ok(options)
}

pub(crate) fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

//! Conversion of an image into another format.
//!
//! Invariant: the target appears under its name whole and durable, or not at all. It is made under
//! a temporary name beside it, `.{name}.cvol-*.tmp`, which only a killed process leaves behind.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blockio::{ByteCount, FileStorage, replace_file};
use vdisk::{CreateOptions, IdSource, ImageDisk, ImageFormat, Provisioning};

use crate::Engine;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::progress::{Progress, ProgressFn};
use crate::seed::seed_of;

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
}

impl Engine {
    /// Converts an image. The source is not changed; the target appears whole or not at all.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `InUse`, `Damaged`, `Unsupported` (a differencing source),
    /// `InvalidArgument` (options that do not fit the format), `NoSpace`, `Interrupted`, `Io`.
    pub fn convert_image(
        &self,
        request: &ConvertImage,
        progress: ProgressFn<'_>,
    ) -> Result<ConvertedImage> {
        check_target(request)?;
        let source = self.open_disk(&request.source, request.source_format)?;
        let name = request.target.display().to_string();
        let options = create_options(request, &*source, progress)
            .map_err(Error::image("read", request.source.to_string()))?;
        let (temporary, storage) = TemporaryFile::create_beside(&request.target)?;
        let target = vdisk::create(Box::new(storage), request.target_format, &options)
            .map_err(Error::image("create", &name))?;
        let report = |done: vdisk::Progress| {
            progress(Progress {
                done: done.done,
                total: Some(done.total),
                files: None,
            })
        };
        // Threads that race for blocks give them out in an order that differs from run to run.
        let convert = match request.source_date_epoch {
            Some(_) => vdisk::convert_in_order,
            None => vdisk::convert,
        };
        let summary = convert(&*source, &*target, &report)
            .map_err(Error::image("convert", request.source.to_string()))?;
        let virtual_size = target.size();
        // Closing makes the bytes durable; the file is closed before its name changes, since
        // Windows renames no open file.
        target.close().map_err(Error::image("write", &name))?;
        let file_length = fs::metadata(&temporary.path)
            .map_err(Error::host("read", &request.target))?
            .len();
        check_target(request)?;
        temporary.take_place_of(&request.target)?;
        Ok(ConvertedImage {
            target: request.target.clone(),
            format: request.target_format,
            virtual_size,
            copied: summary.written,
            file_length: ByteCount(file_length),
        })
    }
}

/// Refuses a target that exists (unless it is to be replaced), is a folder, or is the source.
fn check_target(request: &ConvertImage) -> Result<()> {
    let path = &request.target;
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::host("look at", path)(error)),
    };
    if !request.replace {
        return Err(Error::TargetExists { path: path.clone() });
    }
    if !metadata.is_file() {
        return Err(Error::InvalidRequest {
            message: format!("{} is no file that could be replaced", path.display()),
        });
    }
    if let ImageReference::File(source) = &request.source
        && let (Ok(source), Ok(target)) = (fs::canonicalize(source), fs::canonicalize(path))
        && source == target
    {
        return Err(Error::InvalidRequest {
            message: format!("{} is both source and target", path.display()),
        });
    }
    Ok(())
}

fn create_options(
    request: &ConvertImage,
    source: &dyn ImageDisk,
    progress: ProgressFn<'_>,
) -> std::result::Result<CreateOptions, vdisk::ImageError> {
    let mut options = CreateOptions::new(source.size());
    options.provisioning = request.provisioning;
    options.block_size = request.block_size;
    options.logical_sector = source.logical_sector_size();
    options.physical_sector = source.physical_sector_size();
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

fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A file that is removed on drop unless it took its place.
struct TemporaryFile {
    path: PathBuf,
    armed: bool,
}

impl TemporaryFile {
    /// A new file in the folder of `target`.
    fn create_beside(target: &Path) -> Result<(Self, FileStorage)> {
        let Some(name) = target.file_name() else {
            return Err(Error::InvalidRequest {
                message: format!("{} names no file", target.display()),
            });
        };
        let nanoseconds = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.subsec_nanos());
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".cvol-{}-{nanoseconds}.tmp", std::process::id()));
        let path = target.with_file_name(temporary);
        let storage = FileStorage::create_new(&path)
            .map_err(Error::image("create", target.display().to_string()))?;
        Ok((Self { path, armed: true }, storage))
    }

    fn take_place_of(mut self, target: &Path) -> Result<()> {
        let name = target.display().to_string();
        replace_file(&self.path, target).map_err(Error::image("write", name))?;
        self.armed = false;
        Ok(())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if self.armed {
            // Absent where it was never made; else nothing more can be done than to leave it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

//! The file system of a disk at rest as a tar archive.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blockio::{ByteCount, Disk};
use volume::browse::BrowseError;
use volume::export::{self, ExportError, ExportReport};
use volume::tar_tree::Compression;
use volume::volume_tree::{FoundVolume, VolumeTreeOptions};

use crate::Engine;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::progress::{Progress, ProgressFn};
use crate::target::Target;

/// What is to be written where.
#[derive(Debug)]
pub struct ExportVolume {
    /// The disk whose file system is read.
    pub source: ImageReference,
    /// Where the archive goes.
    pub target: ExportTarget,
    /// How it is packed.
    pub compression: Compression,
    /// Whether what cannot be read is left out and listed, instead of ending the work.
    pub keep_going: bool,
}

/// Where an archive goes.
pub enum ExportTarget {
    /// A file, which appears under its name only when it is whole.
    File {
        /// Its path.
        path: PathBuf,
        /// Whether a file that exists is replaced.
        replace: bool,
    },
    /// A stream.
    Stream(Box<dyn Write + Send>),
}

impl fmt::Debug for ExportTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => path.fmt(f),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportedVolume {
    /// Entries and bytes.
    pub report: ExportReport,
    /// Bytes of the archive, packed.
    pub archive: ByteCount,
    /// What was left out, a line each.
    pub notes: Vec<String>,
}

impl Engine {
    /// Writes the file system on a disk as a tar archive.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` (the file), `InUse`, `Damaged`, `Unsupported` (a file system, or a
    /// file in it), `NoSpace`, `Interrupted`, `Io`; [`Error::Output`] where a stream fails.
    pub fn export_volume(
        &self,
        request: ExportVolume,
        progress: ProgressFn<'_>,
    ) -> Result<ExportedVolume> {
        let ExportVolume {
            source,
            target,
            compression,
            keep_going,
        } = request;
        if let ExportTarget::File { path, replace } = &target {
            made_at(path, *replace, &source).check()?;
        }
        let disk: Box<dyn Disk> = self.open_disk(&source, None)?;
        let work = Work {
            found: FoundVolume::find(Arc::from(disk)).map_err(|error| of_browse(&source, error))?,
            source: &source,
            compression,
            options: VolumeTreeOptions { keep_going },
            progress,
        };
        let (path, replace) = match target {
            ExportTarget::Stream(out) => return work.write(out, Error::Output),
            ExportTarget::File { path, replace } => (path, replace),
        };
        let host = |error| Error::host("write", &path)(error);
        made_at(&path, replace, &source).make(|storage| {
            let file = storage.as_file().try_clone().map_err(host)?;
            let exported = work.write(Box::new(file), host)?;
            storage.as_file().sync_all().map_err(host)?;
            Ok(exported)
        })
    }
}

fn made_at<'t>(path: &'t Path, replace: bool, source: &'t ImageReference) -> Target<'t> {
    Target {
        path,
        replace,
        source,
    }
}

/// One export, but for where it goes.
struct Work<'w> {
    found: FoundVolume,
    source: &'w ImageReference,
    compression: Compression,
    options: VolumeTreeOptions,
    progress: ProgressFn<'w>,
}

impl Work<'_> {
    fn write(
        &self,
        out: Box<dyn Write + Send>,
        output_failed: impl Fn(io::Error) -> Error,
    ) -> Result<ExportedVolume> {
        let report = |bytes, files| {
            (self.progress)(Progress {
                done: ByteCount(bytes),
                total: None,
                files: Some(files),
            })
        };
        let written = Arc::new(AtomicU64::new(0));
        let out = Box::new(Counted {
            out,
            written: Arc::clone(&written),
        });
        let mut tree = self
            .found
            .tree(self.options)
            .map_err(|error| of_browse(self.source, error))?;
        let report = export::export(&mut tree, out, self.compression, &report).map_err(
            |error| match error {
                ExportError::Interrupted => Error::Interrupted,
                ExportError::Output(error) => output_failed(error),
                ExportError::Source(error) => of_browse(self.source, BrowseError::Tree(error)),
                other => output_failed(io::Error::other(other)),
            },
        )?;
        Ok(ExportedVolume {
            report,
            archive: ByteCount(written.load(Ordering::Relaxed)),
            notes: tree.notes().to_vec(),
        })
    }
}

fn of_browse(image: &ImageReference, source: BrowseError) -> Error {
    Error::Browse {
        image: image.to_string(),
        source,
    }
}

/// A writer that counts.
struct Counted {
    out: Box<dyn Write + Send>,
    written: Arc<AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        let counted = u64::try_from(count).unwrap_or(u64::MAX);
        self.written.fetch_add(counted, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

//! Copying out of a disk at rest: files, links and whole folders, onto the host.

use std::path::PathBuf;

use blockio::ByteCount;
use volume::browse::{self, CopyOptions};

use crate::Engine;
use crate::error::Result;
use crate::place::{Place, of_browse};
use crate::progress::{Progress, ProgressFn};

/// What is to be copied where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOut {
    /// The file or folder to copy; of the top, or a path that ends with `/.`, the content.
    pub source: Place,
    /// A folder that exists, to copy into; else the name of the copy.
    pub target: PathBuf,
    /// Whether links with absolute targets are made too.
    pub absolute_links: bool,
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopiedOut {
    /// Files written.
    pub files: u64,
    /// Folders made or filled.
    pub directories: u64,
    /// Symbolic links made.
    pub symlinks: u64,
    /// More names given to files that were copied.
    pub hard_links: u64,
    /// Named streams written.
    pub streams: u64,
    /// Bytes of data written, holes not counted.
    pub bytes: ByteCount,
    /// Paths of what was left out: links with absolute targets, what only Windows can read, and
    /// named streams that the host cannot hold.
    pub left_out: Vec<String>,
}

impl Engine {
    /// Copies a file or folder out of a disk. Nothing outside the target is written, whatever the
    /// disk holds. Files that exist are replaced, folders are filled, times, more names of one file and
    /// named streams kept where the host keeps them.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument`, `AlreadyExists` (a file in a folder's place), `InUse`,
    /// `Damaged`, `Unsupported` (a file system, file or name), `NoSpace`, `Interrupted`, `Io`. What
    /// was written before stays.
    pub fn copy_out(&self, request: &CopyOut, progress: ProgressFn<'_>) -> Result<CopiedOut> {
        let source = &request.source;
        let mut view = self.open_view(source)?;
        let options = CopyOptions {
            absolute_links: request.absolute_links,
            ..CopyOptions::default()
        };
        let report = |bytes, files| {
            progress(Progress {
                done: ByteCount(bytes),
                total: None,
                files: Some(files),
            })
        };
        let copied = browse::copy_out(&mut *view, &source.path, &request.target, options, &report)
            .map_err(|error| of_browse(source, error))?;
        Ok(CopiedOut {
            files: copied.files,
            directories: copied.directories,
            symlinks: copied.symlinks,
            hard_links: copied.hard_links,
            streams: copied.streams,
            bytes: ByteCount(copied.bytes),
            left_out: copied.left_out,
        })
    }
}

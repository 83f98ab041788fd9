//! What a volume is filled from: a directory of the host, read without following links, or a tar
//! stream.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use mkfs::{NtTime, TreeError, TreeErrorKind, TreeSource};

use super::CreateRequest;
use crate::error::{Result, VolumeError};
use crate::host_tree::{HostNote, HostTree, HostTreeOptions};
use crate::spec::DiskSpec;
use crate::spec::kind::FileSystemKind;
use crate::tar_tree::{TarLayout, TarTree, TarTreeOptions};
use crate::tree_ahead::TreeAhead;

/// What a new volume is filled from.
#[derive(Clone, Debug)]
pub enum FillFrom {
    /// A directory of the host.
    Directory(PathBuf),
    /// A tar archive, packed or not.
    TarFile {
        /// The file; it can be read from its start more than once.
        path: PathBuf,
        /// How it is laid out.
        layout: TarLayout,
    },
    /// A tar stream, packed or not, that can be read once.
    TarStream {
        /// The stream.
        input: TarInput,
        /// How it is laid out.
        layout: TarLayout,
    },
}

/// A stream that a volume is filled from. Copies share it; the first that reads it takes it.
#[derive(Clone)]
pub struct TarInput(Arc<Mutex<Option<Box<dyn Read + Send>>>>);

impl TarInput {
    /// The stream that `input` yields.
    pub fn new(input: Box<dyn Read + Send>) -> Self {
        Self(Arc::new(Mutex::new(Some(input))))
    }

    fn take(&self) -> Option<Box<dyn Read + Send>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for TarInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TarInput").finish_non_exhaustive()
    }
}

/// What errors call a stream that has no name.
const STREAM_NAME: &str = "the archive";

/// An open source, read in a thread of its own.
pub(super) enum Source {
    Host(TreeAhead<HostTree>),
    Tar(TreeAhead<TarTree>),
}

impl Source {
    /// The stream of entries.
    pub(super) fn tree(&mut self) -> &mut dyn TreeSource {
        match self {
            Self::Host(tree) => tree,
            Self::Tar(tree) => tree,
        }
    }

    /// What was left out or changed, one line each. Call it after the last entry.
    pub(super) fn into_notes(self) -> Vec<String> {
        match self {
            Self::Host(tree) => {
                let line = |note: &HostNote| format!("{}: {}", note.path, note.reason);
                let notes = tree.into_source().map(|tree| tree.notes());
                notes.unwrap_or_default().iter().map(line).collect()
            }
            Self::Tar(tree) => {
                let lines = tree.into_source().map(|tree| tree.note_lines());
                lines.unwrap_or_default()
            }
        }
    }
}

/// Opens the source of a request from its start; `None` where the volume stays empty.
pub(super) fn open(request: &CreateRequest) -> Result<Option<Source>> {
    let Some(from) = &request.from else {
        return Ok(None);
    };
    let latest_time = request.reproducible.map(time_of);
    let source = match from {
        FillFrom::Directory(directory) => {
            let options = HostTreeOptions {
                keep_going: request.keep_going,
                xattr_streams: request.xattr_streams,
                split_links: request.spec.disk().map(DiskSpec::file_system)
                    == Some(FileSystemKind::Fat32),
                latest_time,
            };
            HostTree::open(directory, options)
                .and_then(TreeAhead::start)
                .map(Source::Host)
        }
        FillFrom::TarFile { path, layout } => {
            let name = path.display().to_string();
            let options = TarTreeOptions {
                layout: *layout,
                latest_time,
            };
            File::open(path)
                .map_err(|error| TreeError::unreadable(name.clone(), error))
                .and_then(|file| TarTree::open(Box::new(file), name, options))
                .and_then(TreeAhead::start)
                .map(Source::Tar)
        }
        FillFrom::TarStream { input, layout } => {
            let options = TarTreeOptions {
                layout: *layout,
                latest_time,
            };
            input
                .take()
                .ok_or_else(|| {
                    let what = "it was read already";
                    TreeError::new(TreeErrorKind::Unreadable, STREAM_NAME, what)
                })
                .and_then(|input| TarTree::open(input, STREAM_NAME, options))
                .and_then(TreeAhead::start)
                .map(Source::Tar)
        }
    };
    source.map(Some).map_err(VolumeError::Source)
}

/// Opens the source of a request to derive identifiers from it; `None` where it is empty, or can be
/// read once only.
pub(super) fn open_to_hash(request: &CreateRequest) -> Result<Option<Source>> {
    match &request.from {
        Some(FillFrom::TarStream { .. }) => Ok(None),
        _ => open(request),
    }
}

/// The moment of so many seconds since 1970.
pub(super) fn time_of(unix_seconds: u64) -> NtTime {
    NtTime::from_unix(i64::try_from(unix_seconds).unwrap_or(i64::MAX), 0)
}

//! What a volume is filled from: a directory of the host, read without following links.

use mkfs::{NtTime, TreeSource};

use super::CreateRequest;
use crate::error::{Result, VolumeError};
use crate::host_tree::{HostTree, HostTreeOptions};

/// An open source.
pub(super) struct Source {
    tree: HostTree,
}

impl Source {
    /// The stream of entries.
    pub(super) fn tree(&mut self) -> &mut dyn TreeSource {
        &mut self.tree
    }

    /// What was left out or changed, one line each.
    pub(super) fn into_notes(self) -> Vec<String> {
        let line = |note: &crate::host_tree::HostNote| format!("{}: {}", note.path, note.reason);
        self.tree.notes().iter().map(line).collect()
    }
}

/// Opens the source of a request from its start; `None` where the volume stays empty.
pub(super) fn open(request: &CreateRequest) -> Result<Option<Source>> {
    let Some(directory) = &request.from else {
        return Ok(None);
    };
    let options = HostTreeOptions {
        keep_going: request.keep_going,
        xattr_streams: request.xattr_streams,
        latest_time: request.reproducible.map(time_of),
    };
    let tree = HostTree::open(directory, options).map_err(VolumeError::Source)?;
    Ok(Some(Source { tree }))
}

/// The moment of so many seconds since 1970.
pub(super) fn time_of(unix_seconds: u64) -> NtTime {
    NtTime::from_unix(i64::try_from(unix_seconds).unwrap_or(i64::MAX), 0)
}

//! One file or link of the host as a tree of one entry: what `cp FILE VOLUME:/path` reads.

use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use mkfs::{NodeName, TreeEntry, TreeError, TreeErrorKind, TreeSource};

use super::walk::Walk;
use super::{HostTree, HostTreeOptions, Notes};

/// One entry of a directory, under a name of its own.
#[derive(Debug)]
pub struct HostFile {
    tree: HostTree,
    os_name: std::ffi::OsString,
    name: Option<NodeName>,
    is_done: bool,
}

impl HostFile {
    /// The file or link at `path`, to be called `name`, or as it is.
    ///
    /// # Errors
    /// `Unreadable` where it, or its directory, cannot be opened.
    pub fn open(path: &Path, name: Option<NodeName>) -> Result<Self, TreeError> {
        let shown = path.display().to_string();
        let unreadable = |error| TreeError::unreadable(shown.clone(), error);
        let Some(os_name) = path.file_name() else {
            let what = "it is no file";
            return Err(TreeError::new(TreeErrorKind::Malformed, shown, what));
        };
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = Dir::open_ambient_dir(folder, ambient_authority()).map_err(unreadable)?;
        let options = HostTreeOptions::default();
        let root_times = super::root_times(&folder, options).map_err(unreadable)?;
        let walk = Walk::of_one(folder, os_name);
        let tree = HostTree {
            walk,
            ahead: Default::default(),
            options,
            notes: Notes::default(),
            linked: Default::default(),
            streams: Default::default(),
            next_id: 1,
            root_times,
        };
        Ok(Self {
            tree,
            os_name: os_name.to_owned(),
            name,
            is_done: false,
        })
    }
}

impl TreeSource for HostFile {
    fn next_entry(&mut self) -> Result<Option<TreeEntry>, TreeError> {
        if std::mem::replace(&mut self.is_done, true) {
            return Ok(None);
        }
        let Some(mut entry) = self.tree.next_entry()? else {
            let what = "neither a file nor a link";
            let path = self.os_name.to_string_lossy();
            return Err(TreeError::new(TreeErrorKind::Malformed, path, what));
        };
        if let Some(name) = self.name.take() {
            entry.name = name;
        }
        Ok(Some(entry))
    }
}

//! The file system of a volume at rest as a [`TreeSource`]: what `export` reads.
//!
//! ```text
//!   VolumeTree
//!     /     \
//!  ntfs     pushed        NTFS by its records; others by what `browse` shows, in a thread
//!    |        |
//!  ahead    browse        small reads are served from large ones
//! ```
//!
//! Invariants: directories are entered once and to a bounded depth; the order is that of the
//! directories, so that equal volumes are delivered the same way.

pub(crate) mod ahead;
pub(crate) mod content;
pub(crate) mod described;
mod ntfs;
mod pushed;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use blockio::Disk;
use mkfs::{
    FileSystem, SecurityDescriptor, Times, TreeEntry, TreeError, TreeErrorKind, TreeSource,
};

use crate::browse::{self, BrowseError};
use ahead::Ahead;
use ntfs::NtfsTree;
use pushed::PushedTree;

/// How a volume is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeTreeOptions {
    /// What cannot be read is left out and listed, instead of ending the work.
    pub keep_going: bool,
}

/// The file system on a disk, found and not yet read.
pub struct FoundVolume {
    partition: Arc<dyn Disk>,
    kind: FileSystem,
}

impl FoundVolume {
    /// Finds the file system on `disk`, as [`browse::open`] does.
    ///
    /// # Errors
    /// As for [`browse::open`].
    pub fn find(disk: Arc<dyn Disk>) -> browse::Result<Self> {
        let (partition, kind) = browse::locate(disk)?;
        Ok(Self {
            partition: Arc::new(Ahead::new(partition)),
            kind,
        })
    }

    /// Its tree, from the start.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn tree(&self, options: VolumeTreeOptions) -> browse::Result<VolumeTree<'_>> {
        Ok(VolumeTree(match self.kind {
            FileSystem::Ntfs => {
                let tree = NtfsTree::open(&self.partition, options).map_err(BrowseError::Tree)?;
                Inner::Ntfs(Box::new(tree))
            }
            kind => {
                let view = browse::open_located(Arc::clone(&self.partition), kind)?;
                Inner::Pushed(PushedTree::start(view).map_err(BrowseError::Tree)?)
            }
        }))
    }
}

/// The file system of a volume as a stream of entries.
pub struct VolumeTree<'d>(Inner<'d>);

enum Inner<'d> {
    Ntfs(Box<NtfsTree<'d>>),
    Pushed(PushedTree),
}

impl VolumeTree<'_> {
    /// What was left out so far, a line each.
    pub fn notes(&self) -> &[String] {
        match &self.0 {
            Inner::Ntfs(tree) => tree.notes(),
            Inner::Pushed(_) => &[],
        }
    }
}

impl TreeSource for VolumeTree<'_> {
    fn next_entry(&mut self) -> Result<Option<TreeEntry>, TreeError> {
        match &mut self.0 {
            Inner::Ntfs(tree) => tree.next_entry(),
            Inner::Pushed(tree) => tree.next_entry(),
        }
    }

    fn root_times(&self) -> Option<Times> {
        match &self.0 {
            Inner::Ntfs(tree) => tree.root_times(),
            Inner::Pushed(_) => None,
        }
    }

    fn root_security(&self) -> Option<SecurityDescriptor> {
        match &self.0 {
            Inner::Ntfs(tree) => tree.root_security(),
            Inner::Pushed(_) => None,
        }
    }
}

fn malformed(path: &str, what: impl std::fmt::Display) -> TreeError {
    TreeError::new(TreeErrorKind::Malformed, path, what.to_string())
}

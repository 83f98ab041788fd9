//! Chains of image files made shorter: merge, rebase, flatten.
//!
//! Invariant: every state on the way reads the same through the image that the caller named, so that
//! what was stopped or died can be done again.

use std::fs;
use std::path::{Path, PathBuf};

use blockio::{ByteCount, FileAccess, FileStorage};
use vdisk::{ImageFormat, MergeSummary, ParentNames, PullLevels, RebaseCheck};

use crate::Engine;
use crate::compact::child_beside;
use crate::error::{Error, Result};
use crate::parents::{self, PathGate};
use crate::progress::{ProgressFn, of_image};

/// A differencing image that is to be merged into its parent.
#[derive(Clone, Debug)]
pub struct MergeImage {
    /// The image.
    pub child: PathBuf,
    /// Whether it is kept.
    pub keep_child: bool,
    /// Whether other images that stand on the parent may be lost by it.
    pub lose_others: bool,
}

/// A differencing image that was merged into its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedImage {
    /// The parent, which now reads as the child did.
    pub parent: PathBuf,
    /// Bytes that were copied.
    pub copied: ByteCount,
}

/// A differencing image that is to get another parent.
#[derive(Clone, Debug)]
pub struct RebaseImage {
    /// The image.
    pub child: PathBuf,
    /// Its new parent.
    pub parent: PathBuf,
    /// Whether the caller vouches that the new parent shows what the child needs; else what differs
    /// is copied into the child.
    pub trust: bool,
}

impl Engine {
    /// Merges a differencing image into its parent, which then reads as the child did; the child is
    /// removed unless it is to be kept. What else stands on the parent is lost by it, so it is refused
    /// where such an image lies beside the parent, unless the caller says otherwise.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Unsupported` (another image stands on the parent), `Damaged` (also where they
    /// do not belong together), `InvalidArgument` (no differencing image; a child larger than its parent),
    /// `NoSpace`, `Interrupted`, `Io`.
    pub fn merge_image(
        &self,
        request: &MergeImage,
        progress: ProgressFn<'_>,
    ) -> Result<MergedImage> {
        let child = request.child.as_path();
        let name = child.display().to_string();
        let failed = || Error::image("merge", &name);
        let (storage, gate, format) = self.open_child(child)?;
        let state = vdisk::link_state(&storage, format).map_err(failed())?;
        let named = state.parent.ok_or_else(|| no_parent(&name))?;
        let path = gate.find(format, &named).map_err(failed())?;
        if !request.lose_others
            && let Some(other) = child_beside(&path, Some(child))?
        {
            return Err(Error::Unsupported {
                feature: format!(
                    "merging into {}, on which {} stands as well (without --force),",
                    path.display(),
                    other.display()
                ),
            });
        }
        complete_change(&path, format, &gate.of(&path))?;
        let parent = gate.open_for_writing(&path).map_err(failed())?;
        let summary =
            vdisk::merge_into_parent(Box::new(storage), parent, format, &of_image(progress))
                .map_err(failed())?;
        if !request.keep_child {
            fs::remove_file(child).map_err(Error::host("remove", child))?;
        }
        Ok(MergedImage {
            parent: path,
            copied: summary.copied,
        })
    }

    /// Gives a differencing image another parent. What it reads does not change, unless the caller
    /// vouches for the new parent and is wrong.
    ///
    /// # Errors
    /// As for [`Engine::merge_image`]; `InvalidArgument` where the new parent is the image itself,
    /// `Damaged` where it cannot be one (its sector size, its size, a circle).
    pub fn rebase_image(
        &self,
        request: &RebaseImage,
        progress: ProgressFn<'_>,
    ) -> Result<MergeSummary> {
        let name = request.child.display().to_string();
        let same = |path: &Path| fs::canonicalize(path).ok();
        if same(&request.child).is_some_and(|child| same(&request.parent) == Some(child)) {
            return Err(Error::InvalidRequest {
                message: format!("{name} cannot be its own parent"),
            });
        }
        let (storage, gate, format) = self.open_child(&request.child)?;
        let parent_name = request.parent.display().to_string();
        let parent = PathGate::parent(&request.parent, self.config().parents())
            .map_err(Error::image("open", &parent_name))?;
        let found = vdisk::info(&*parent.storage, None);
        let found = found.map_err(Error::image("open", &parent_name))?.format;
        if found != format {
            return Err(Error::InvalidRequest {
                message: format!("{name} is a {format} image and {parent_name} a {found} one"),
            });
        }
        let names = parents::names(&request.child, &request.parent)
            .map_err(Error::host("look at", &request.parent))?;
        let check = match request.trust {
            true => RebaseCheck::Trust,
            false => RebaseCheck::Compare,
        };
        vdisk::rebase(
            Box::new(storage),
            format,
            &gate,
            parent,
            &names,
            check,
            &of_image(progress),
        )
        .map_err(Error::image("rebase", &name))
    }

    /// Lets a differencing image take in all that its parents hold, so that it stands alone.
    ///
    /// # Errors
    /// As for [`Engine::merge_image`].
    pub fn flatten_image(&self, child: &Path, progress: ProgressFn<'_>) -> Result<MergeSummary> {
        let name = child.display().to_string();
        let (storage, gate, format) = self.open_child(child)?;
        vdisk::pull(
            Box::new(storage),
            format,
            &gate,
            PullLevels::All,
            &ParentNames::default(),
            &of_image(progress),
        )
        .map_err(Error::image("flatten", &name))
    }

    /// Opens a differencing image for writing, with the gate to its parents. A change of what is in
    /// it that a crash cut short is completed first.
    fn open_child(&self, child: &Path) -> Result<(FileStorage, PathGate, ImageFormat)> {
        let name = child.display().to_string();
        let opened = FileStorage::open(child, FileAccess::ReadOnly);
        let opened = opened.map_err(Error::image("open", &name))?;
        let info = vdisk::info(&opened, None).map_err(Error::image("open", &name))?;
        if info.parent.is_none() {
            return Err(no_parent(&name));
        }
        drop(opened);
        let gate = PathGate::new(child, self.config().parents());
        let gate = gate.map_err(Error::image("open", &name))?;
        complete_change(child, info.format, &gate)?;
        let storage = FileStorage::open(child, FileAccess::ReadWrite);
        let storage = storage.map_err(Error::image("open", &name))?;
        Ok((storage, gate, info.format))
    }
}

fn complete_change(image: &Path, format: ImageFormat, gate: &PathGate) -> Result<()> {
    if volume::pending_image_change(image)?.is_none() {
        return Ok(());
    }
    let disk = volume::open_image_for_writing(image, Some(format), gate)?;
    disk.close()
        .map_err(Error::image("write", image.display().to_string()))
}

fn no_parent(name: &str) -> Error {
    Error::InvalidRequest {
        message: format!("{name} is no differencing image: it stands on nothing"),
    }
}

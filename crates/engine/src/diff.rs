//! Where two disks differ: in which ranges, and in which files.

use std::ops::ControlFlow;
use std::sync::Arc;

use blockio::{ByteRange, Disk};
use volume::browse;

use crate::Engine;
use crate::error::{Error, Result};
use crate::image::ImageReference;
use crate::place::{Place, of_browse};
use crate::progress::{Progress, ProgressFn, of_image};
use crate::volumes::volume_ref;

pub use volume::browse::{ChangedEntry, EntryChange};

/// What differs between two disks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// The ranges, in order, in units of 4096 bytes.
    pub ranges: Vec<ByteRange>,
    /// The files and directories by path, where they were asked for.
    pub files: Option<Vec<ChangedEntry>>,
}

impl Engine {
    /// Compares two volumes, snapshots or image files. Of states that share layers, only what was
    /// written since is read.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged`, `Unsupported` (with `files`: a file system that cannot be
    /// read, or two kinds of them), `Interrupted`, `Io`.
    pub fn compare(
        &self,
        before: &ImageReference,
        after: &ImageReference,
        files: bool,
        progress: ProgressFn<'_>,
    ) -> Result<Differences> {
        let was = self.open_disk(before, None)?;
        let is = self.open_disk(after, None)?;
        let within = self.may_differ(before, after)?;
        let told = of_image(progress);
        let mut found = Differences::default();
        vdisk::differences(&*was, &*is, within.as_deref(), &told, &mut |range| {
            found.ranges.push(range);
            ControlFlow::Continue(())
        })
        .map_err(Error::image("compare", format!("{before} and {after}")))?;
        if files {
            found.files = Some(compare_files(before, was, after, is, progress)?);
        }
        Ok(found)
    }

    /// Where the two may differ at all, by what the store knows of their layers. A change that a crash
    /// cut short is in no layer yet, so that nothing is known then.
    fn may_differ(
        &self,
        before: &ImageReference,
        after: &ImageReference,
    ) -> Result<Option<Vec<ByteRange>>> {
        let (ImageReference::Volume(before), ImageReference::Volume(after)) = (before, after)
        else {
            return Ok(None);
        };
        if self.pending_change(before)?.is_some() || self.pending_change(after)?.is_some() {
            return Ok(None);
        }
        let (before, after) = (volume_ref(before)?, volume_ref(after)?);
        Ok(self.store()?.may_differ(&before, &after)?)
    }
}

fn compare_files(
    before: &ImageReference,
    was: Box<dyn Disk>,
    after: &ImageReference,
    is: Box<dyn Disk>,
    progress: ProgressFn<'_>,
) -> Result<Vec<ChangedEntry>> {
    let top = |image: &ImageReference| Place {
        image: image.clone(),
        path: "/".to_owned(),
    };
    let open = |disk: Box<dyn Disk>, image: &ImageReference| {
        browse::open(Arc::from(disk)).map_err(|error| of_browse(&top(image), error))
    };
    let (mut was, mut is) = (open(was, before)?, open(is, after)?);
    let mut changes = Vec::new();
    browse::compare(&mut *was, &mut *is, &mut |change| {
        changes.push(change);
        progress(Progress {
            files: u64::try_from(changes.len()).ok(),
            ..Progress::default()
        })
    })
    .map_err(|error| of_browse(&top(after), error))?;
    changes.sort_by(|a, b| (&a.path, a.change).cmp(&(&b.path, b.change)));
    Ok(changes)
}

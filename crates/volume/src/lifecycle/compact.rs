//! Compacting the image of a volume, or one that belongs to no store, under its lock: what its file
//! systems do not use and what is zero gives its space back.
//!
//! ```text
//!   pack        clusters leave blocks that are nearly empty; a change like any other, with a journal
//!   used        what the file systems use, then
//!   compact     blocks that hold nothing give up their space, and the file is cut
//! ```

use std::ops::ControlFlow;
use std::path::Path;

use blockio::{ByteCount, Disk};
use mkfs::MkfsError;
use mkfs::change::{ChangeError, ChangeOptions, forget};
use mkfs::pack::PackPlan;
use mkfs::used::UsedMap;
use vdisk::{CompactReport, CompactRequest, ImageDisk, ImageFormat, ImageKind, ParentGate};

use super::change::{Journal, journal_of, open_image_for_writing};
use crate::error::{Result, VolumeError};
use crate::name::VolumeName;
use crate::store::Store;

/// How an image is compacted.
#[derive(Clone, Copy, Debug)]
pub struct CompactOptions {
    /// Change nothing, only find out what would be won.
    pub dry_run: bool,
    /// Look for zeros also within blocks that stay, which reads all that is used.
    pub scan_zeros: bool,
    /// How clusters of NTFS and FAT32 may be moved out of blocks that are nearly empty; `None`: not at all.
    pub pack: Option<ChangeOptions>,
}

/// What a compaction found and won.
#[derive(Clone, Debug)]
pub struct Compacted {
    /// What the file systems use.
    pub used: UsedMap,
    /// What was won, or would be.
    pub report: CompactReport,
    /// Bytes of the file systems that were moved out of blocks, at most.
    pub packed: ByteCount,
}

/// Is told bytes done and to do; `Break` ends the work early, with the image whole.
pub type CompactProgress<'p> = &'p dyn Fn(u64, u64) -> ControlFlow<()>;

/// What the file systems of a disk use; `name` is what errors call it.
///
/// # Errors
/// `Io`. What is damaged is no error, but used.
pub fn used_map(disk: &dyn Disk, name: &str) -> Result<UsedMap> {
    mkfs::used::used(disk).map_err(|error| match error {
        MkfsError::Disk(error) => VolumeError::Disk(error),
        source => VolumeError::Mkfs {
            name: name.to_owned(),
            source,
        },
    })
}

struct Compaction<'c> {
    disk: Box<dyn ImageDisk>,
    journal: &'c Journal,
    name: &'c str,
    options: CompactOptions,
    progress: CompactProgress<'c>,
}

impl Compaction<'_> {
    fn run(mut self) -> Result<Compacted> {
        let name = self.name.to_owned();
        let of_image = |source| VolumeError::Image {
            name: name.clone(),
            source,
        };
        let compacted = self.compact();
        // Also after a failure: closing cuts the file to what was won so far.
        let closed = self.disk.close();
        let compacted = compacted?;
        closed.map_err(of_image)?;
        Ok(compacted)
    }

    fn compact(&mut self) -> Result<Compacted> {
        let mut used = used_map(&*self.disk, self.name)?;
        let plan = self.plan(&used)?;
        let mut packed = plan.as_ref().map_or(ByteCount(0), PackPlan::moved);
        let mut unused = match &plan {
            Some(plan) if self.options.dry_run => plan.unused_after(&used),
            _ => Vec::new(),
        };
        if let Some(plan) = plan.filter(|_| !self.options.dry_run) {
            match self.pack(&plan)? {
                true => used = used_map(&*self.disk, self.name)?,
                false => packed = ByteCount(0),
            }
        }
        if unused.is_empty() {
            unused = used.unused().to_vec();
        }
        let done_before = packed.get();
        let progress = self.progress;
        let request = CompactRequest {
            unused: &unused,
            dry_run: self.options.dry_run,
            scan_zeros: self.options.scan_zeros,
            progress: &|at| {
                let sum = |bytes: ByteCount| bytes.get().saturating_add(done_before);
                progress(sum(at.done), sum(at.total))
            },
        };
        let report = self.disk.compact(&request);
        let report = report.map_err(|source| VolumeError::Image {
            name: self.name.to_owned(),
            source,
        })?;
        Ok(Compacted {
            used,
            report,
            packed,
        })
    }

    /// What of a file system is worth moving. A child gains nothing: what moves in it would be held
    /// twice, by its parent and by it.
    fn plan(&self, used: &UsedMap) -> Result<Option<PackPlan>> {
        let info = self.disk.info();
        let is_alone = info.kind == ImageKind::Dynamic && info.parent.is_none();
        let Some(block_size) = info.block_size.filter(|_| is_alone) else {
            return Ok(None);
        };
        if self.options.pack.is_none() {
            return Ok(None);
        }
        let place_of = |at| self.disk.place_of(at);
        let plan = PackPlan::new(&*self.disk, used, block_size, &place_of);
        let plan = plan.map_err(|source| self.of_change(source))?;
        Ok(Some(plan).filter(|plan| !plan.is_empty()))
    }

    fn of_change(&self, source: ChangeError) -> VolumeError {
        VolumeError::Change {
            name: self.name.to_owned(),
            source,
        }
    }

    /// Carries the plan out; `false` where the file system stays as it lies.
    fn pack(&mut self, plan: &PackPlan) -> Result<bool> {
        let Some(options) = self.options.pack else {
            return Ok(false);
        };
        let total = plan.moved().get();
        let report = |done: u64, _| (self.progress)(done.min(total), total);
        let change = match plan.change(&*self.disk, options, &report) {
            Ok(change) => change,
            // A file system that cannot be changed is compacted as it lies: nothing has happened to it.
            Err(error) if stays_as_it_lies(&error) => {
                tracing::info!(image = self.name, %error, "clusters stay where they are");
                return Ok(false);
            }
            Err(error) => return Err(self.of_change(error)),
        };
        let storage = self.journal.create()?;
        if let Err(error) = change.begin(&*self.disk, &storage) {
            if !matches!(error, ChangeError::Recorded(_)) {
                drop(storage);
                self.journal.remove()?;
            }
            return Err(self.of_change(error));
        }
        forget(&storage).map_err(|error| self.of_change(ChangeError::Recorded(error)))?;
        drop(storage);
        self.journal.remove()?;
        Ok(true)
    }
}

/// Whether a file system only cannot be changed, or not enough.
fn stays_as_it_lies(error: &ChangeError) -> bool {
    use mkfs::change::ChangeErrorKind::{NoSpace, Unclean, Unsupported};
    matches!(error.kind(), NoSpace | Unclean | Unsupported)
}

impl Store {
    /// Gives back the space in the image of a volume that nobody uses; on a dry run it only
    /// finds out what that would be.
    ///
    /// # Errors
    /// `NotFound`, `InUse`, `Damaged`, `Unsupported` (a fixed image), `NoSpace`, `Interrupted`,
    /// `Io`. The disk in the image reads as before also after an error.
    pub fn compact(
        &self,
        name: &VolumeName,
        options: CompactOptions,
        progress: CompactProgress<'_>,
    ) -> Result<Compacted> {
        let (record, disk) = self.open_head(name)?;
        let compaction = Compaction {
            disk,
            journal: &self.journal(&record)?,
            name: record.name.as_str(),
            options,
            progress,
        };
        compaction.run()
    }
}

/// As [`Store::compact`], with an image file; `gate` leads to the parents of a differencing one,
/// which are only read.
///
/// # Errors
/// As for [`Store::compact`].
pub fn compact_image(
    image: &Path,
    format: Option<ImageFormat>,
    gate: &dyn ParentGate,
    options: CompactOptions,
    progress: CompactProgress<'_>,
) -> Result<Compacted> {
    let journal = journal_of(image)?;
    let compaction = Compaction {
        disk: open_image_for_writing(image, format, gate)?,
        journal: &journal,
        name: &image.display().to_string(),
        options,
        progress,
    };
    compaction.run()
}

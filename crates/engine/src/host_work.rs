//! Volumes that are mounted on this host, resized and compacted by Windows, which has their images open.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::Duration;

use attach::virtdisk::{DiskWork, HostDisks, WorkEnd, information_of, work_on_image};
use blockio::ByteCount;
use volume::{Claim, ClaimMode, NewSize, VolumeRecord};

use crate::Engine;
use crate::compact::CompactedImage;
use crate::error::{Error, Result};
use crate::host_mounts::{HostMountFailure, system, told_target};
use crate::progress::{Progress, ProgressFn};
use crate::resize::{ResizeImage, ResizedImage};

/// How often is looked how far the system has come.
const PAUSE: Duration = Duration::from_millis(100);
/// What sizes are a multiple of.
const SECTOR: u64 = 512;

fn refused(record: &VolumeRecord, claim: &Claim, reason: &'static str) -> Error {
    HostMountFailure::Mounted {
        volume: record.name.to_string(),
        target: told_target(claim),
        reason,
    }
    .into()
}

impl Engine {
    /// Gives the disk of a mounted volume another size, larger and without what is on it.
    pub(crate) fn resize_mounted(
        &self,
        resize: &ResizeImage,
        (record, claim): (&VolumeRecord, &Claim),
        progress: ProgressFn<'_>,
    ) -> Result<ResizedImage> {
        if !resize.image_only {
            let reason = "with `--image-only` Windows makes its disk larger, and `Resize-Partition` \
                          what is on it; or unmount it first";
            return Err(refused(record, claim, reason));
        }
        let disks = self.host_disks()?;
        let image = self.image_of(record)?;
        let old = information_of(&*disks, &image).map_err(system(record))?;
        let old = old.virtual_size;
        let new = match resize.size {
            NewSize::Exactly(size) => Some(size.get()),
            NewSize::More(more) => old.checked_add(more.get()),
            NewSize::Less(less) => old.checked_sub(less.get()),
        };
        let new = new.and_then(|new| new.checked_next_multiple_of(SECTOR));
        let Some(new) = new.filter(|new| *new >= old) else {
            let reason = "its disk can be made smaller when it is not mounted";
            return Err(refused(record, claim, reason));
        };
        if !resize.dry_run && new != old {
            let work = DiskWork::Resize { size: new };
            work_on(&*disks, (record, &image), work, progress)?;
        }
        Ok(ResizedImage {
            name: record.name.to_string(),
            dry_run: resize.dry_run,
            size: (ByteCount(old), ByteCount(new)),
            partition: None,
            minimum: None,
            by_system: true,
        })
    }

    /// Has Windows compact a volume that is mounted for reading.
    pub(crate) fn compact_mounted(
        &self,
        dry_run: bool,
        (record, claim): (&VolumeRecord, &Claim),
        progress: ProgressFn<'_>,
    ) -> Result<CompactedImage> {
        if claim.mode == ClaimMode::Writer {
            let reason = "Windows compacts an image that is mounted with `--readonly`, and `cvol \
                          compact` one that is not mounted";
            return Err(refused(record, claim, reason));
        }
        if dry_run {
            let reason = "what Windows would win is not known before; unmount it to find out";
            return Err(refused(record, claim, reason));
        }
        let disks = self.host_disks()?;
        let image = self.image_of(record)?;
        let length = || -> Result<ByteCount> {
            let found = information_of(&*disks, &image).map_err(system(record))?;
            Ok(ByteCount(found.physical_size))
        };
        let before = length()?;
        work_on(&*disks, (record, &image), DiskWork::Compact, progress)?;
        let after = length()?;
        Ok(CompactedImage {
            name: record.name.to_string(),
            dry_run: false,
            used: ByteCount(0),
            parts: Vec::new(),
            length: (before, after),
            stored: (before, after),
            blocks: (0, 0),
            moved: 0,
            kept: 0,
            packed: ByteCount(0),
            by_system: true,
        })
    }
}

/// Has the system work on the image of a volume until that ends.
fn work_on(
    disks: &dyn HostDisks,
    (record, image): (&VolumeRecord, &str),
    work: DiskWork,
    progress: ProgressFn<'_>,
) -> Result<()> {
    let was_stopped = Cell::new(false);
    let told = |done, all| {
        let flow = progress(Progress {
            done: ByteCount(done),
            total: Some(ByteCount(all)),
            files: None,
        });
        was_stopped.set(was_stopped.get() || flow == ControlFlow::Break(()));
        !was_stopped.get()
    };
    match work_on_image(disks, image, work, PAUSE, &told).map_err(system(record))? {
        WorkEnd::Done => Ok(()),
        WorkEnd::Cancelled => Err(Error::Interrupted),
    }
}

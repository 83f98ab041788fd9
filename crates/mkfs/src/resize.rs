//! A disk of another size, with its partition table, its last partition and the file system in it.
//!
//! ```text
//!   growing                        shrinking
//!     the disk has its new size      the disk has its old size
//!     ChangeSet: file system,        ChangeSet: file system, partition,
//!     partition, both tables         both tables; what lay behind moved before
//!                                    the disk is cut (`ChangeSet::final_size`)
//! ```
//! All that is written is one [`ChangeSet`], so that it happens or does not. Only the partition that
//! ends last changes; the others, and what is in them, stay.

use std::ops::ControlFlow;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk};

use crate::change::{ChangeError, ChangeOptions, ChangeSet, Meter, Overlay, State};
use crate::error::MkfsErrorKind;
use crate::fat32::Fat32Change;
use crate::gpt::resize::{GptResize, Write, mbr_write};
use crate::identify::{FileSystem, identify_range};
use crate::ntfs::NtfsChange;

/// Types of MBR entries whose partition holds NTFS or FAT.
const MBR_RESIZABLE: [u8; 8] = [0x01, 0x04, 0x06, 0x07, 0x0B, 0x0C, 0x0E, 0x27];
/// Partitions end at multiples of this many bytes, as they begin.
const ALIGNMENT: u64 = blockio::MIB;

/// What a resize does to what is on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskResize {
    /// The partition that ends last, as it was; `None` where there is no table, or no partition.
    pub partition: Option<ByteRange>,
    /// That partition, or the part of the disk that the file system fills, as it will be.
    pub new_range: Option<ByteRange>,
    /// The file system that fills it.
    pub file_system: FileSystem,
    /// Bytes of the smallest disk that what is on it fits in, where that can be told.
    pub minimum: Option<ByteCount>,
    table: TableKind,
    old_range: Option<ByteRange>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TableKind {
    Gpt,
    Mbr,
    None,
}

/// Finds out what a size of `size` means for what is on `disk`; nothing is written.
///
/// # Errors
/// `Unsupported` where the last partition holds something that cannot be resized, `InvalidArgument`
/// where what is on it does not fit, `Unclean`, `Damaged`, `Disk`.
pub fn plan(disk: &dyn Disk, size: ByteCount) -> Result<DiskResize, ChangeError> {
    let whole = ByteRange::new(ByteOffset(0), disk.size());
    let mut plan = match GptResize::new(disk, size.get()) {
        Ok(gpt) => of_gpt(disk, &gpt, size)?,
        Err(error) if error.kind() == MkfsErrorKind::NotFound => {
            let whole = whole.filter(|whole| !whole.is_empty());
            match whole {
                Some(whole) => without_gpt(disk, whole, size)?,
                None => return Err(nothing_known()),
            }
        }
        Err(error) => return Err(error.into()),
    };
    plan.minimum = minimum(disk, &plan)?;
    if let (Some(minimum), Some(old), Some(new)) = (plan.minimum, plan.old_range, plan.new_range)
        && new.len() < old.len()
        && size < minimum
    {
        return Err(ChangeError::BelowMinimum { minimum });
    }
    Ok(plan)
}

fn nothing_known() -> ChangeError {
    ChangeError::Unsupported(
        "other than with `--image-only`, resizing a disk without a partition table or a file system \
         that is known",
    )
}

fn of_gpt(disk: &dyn Disk, gpt: &GptResize, size: ByteCount) -> Result<DiskResize, ChangeError> {
    let Some(partition) = gpt.last_partition() else {
        return Ok(DiskResize {
            partition: None,
            new_range: None,
            file_system: FileSystem::Unknown,
            minimum: None,
            table: TableKind::Gpt,
            old_range: None,
        });
    };
    let file_system = identify_range(disk, partition)?;
    let end = match size >= disk.size() {
        // An end that is not aligned stays where there is no more room than that.
        true => gpt.room_end().max(partition.end().get()),
        false => partition.end().get().min(gpt.room_end()),
    };
    if end > gpt.usable_end() {
        return Err(nothing_known());
    }
    resized(
        disk,
        Some(partition),
        partition,
        end,
        file_system,
        TableKind::Gpt,
    )
}

fn without_gpt(
    disk: &dyn Disk,
    whole: ByteRange,
    size: ByteCount,
) -> Result<DiskResize, ChangeError> {
    let file_system = identify_range(disk, whole)?;
    if file_system != FileSystem::Unknown {
        return resized(disk, None, whole, size.get(), file_system, TableKind::None);
    }
    let records = crate::gpt::mbr_records(disk)?;
    let last = records.iter().max_by_key(|(_, range)| range.end());
    let Some((os_type, partition)) = last.copied() else {
        return Err(nothing_known());
    };
    if !MBR_RESIZABLE.contains(&os_type) {
        return Err(ChangeError::Unsupported(
            "other than with `--image-only`, resizing a disk whose last partition holds neither NTFS nor \
             FAT32",
        ));
    }
    let file_system = identify_range(disk, partition)?;
    let room = size.get() / ALIGNMENT * ALIGNMENT;
    let end = match size >= disk.size() {
        true => room.max(partition.end().get()),
        false => partition.end().get().min(size.get()),
    };
    resized(
        disk,
        Some(partition),
        partition,
        end,
        file_system,
        TableKind::Mbr,
    )
}

fn resized(
    disk: &dyn Disk,
    partition: Option<ByteRange>,
    old_range: ByteRange,
    end: u64,
    file_system: FileSystem,
    table: TableKind,
) -> Result<DiskResize, ChangeError> {
    let sector = disk.logical_sector_size().bytes();
    let new_range = ByteRange::between(old_range.start(), ByteOffset(end / sector * sector))
        .filter(|range| !range.is_empty());
    let Some(new_range) = new_range else {
        return Err(ChangeError::Unsupported(
            "a size before the start of the last partition",
        ));
    };
    if new_range != old_range && !matches!(file_system, FileSystem::Ntfs | FileSystem::Fat32) {
        return Err(ChangeError::Unsupported(
            "other than with `--image-only`, resizing a disk whose last partition holds neither NTFS nor \
             FAT32",
        ));
    }
    Ok(DiskResize {
        partition,
        new_range: Some(new_range),
        file_system,
        minimum: None,
        table,
        old_range: Some(old_range),
    })
}

enum Volume<'d> {
    Ntfs(Box<NtfsChange<'d>>),
    Fat32(Box<Fat32Change<'d>>),
}

impl<'d> Volume<'d> {
    fn open(
        disk: &'d dyn Disk,
        range: ByteRange,
        kind: FileSystem,
        options: ChangeOptions,
    ) -> Result<Option<Self>, ChangeError> {
        let overlay = Overlay::new(disk, range);
        Ok(match kind {
            FileSystem::Ntfs => Some(Self::Ntfs(Box::new(NtfsChange::open(
                overlay,
                options,
                State::Clean,
            )?))),
            FileSystem::Fat32 => Some(Self::Fat32(Box::new(Fat32Change::open(
                overlay,
                options,
                State::Clean,
            )?))),
            _ => None,
        })
    }

    fn minimum(&mut self) -> Result<u64, ChangeError> {
        match self {
            Self::Ntfs(volume) => volume.minimum(),
            Self::Fat32(volume) => volume.minimum(),
        }
    }

    fn resize(&mut self, bytes: u64, meter: &mut Meter<'_>) -> Result<(), ChangeError> {
        match self {
            Self::Ntfs(volume) => volume.resize(bytes, meter),
            Self::Fat32(volume) => volume.resize(bytes, meter),
        }
    }

    fn finish(self) -> Result<ChangeSet, ChangeError> {
        match self {
            Self::Ntfs(volume) => volume.finish(),
            Self::Fat32(volume) => volume.finish(),
        }
    }
}

fn look_options() -> ChangeOptions {
    ChangeOptions {
        now: crate::tree::NtTime::UNIX_EPOCH,
        name_policy: crate::names::NamePolicy::Strict,
    }
}

/// Bytes of the smallest disk: the partition, and behind it what the table needs.
fn minimum(disk: &dyn Disk, plan: &DiskResize) -> Result<Option<ByteCount>, ChangeError> {
    let Some(range) = plan.old_range else {
        return Ok(None);
    };
    let volume = Volume::open(disk, range, plan.file_system, look_options());
    let Some(mut volume) = (match (volume, plan.new_range == plan.old_range) {
        (Ok(volume), _) => volume,
        // What stays as it is may be in any state.
        (Err(_), true) => None,
        (Err(error), false) => return Err(error),
    }) else {
        return Ok(None);
    };
    let end = range.start().get().saturating_add(volume.minimum()?);
    let behind = match plan.table {
        TableKind::Gpt => 2 * ALIGNMENT,
        TableKind::Mbr => ALIGNMENT,
        TableKind::None => 0,
    };
    let sector = disk.logical_sector_size().bytes();
    let bytes = match plan.table {
        TableKind::None => end.next_multiple_of(sector),
        _ => end.next_multiple_of(ALIGNMENT).saturating_add(behind) - ALIGNMENT,
    };
    Ok(Some(ByteCount(bytes)))
}

/// All that is to be written on `disk` so that it can have `size` bytes: where it grows, it has that
/// size already. Data that must move are copied to free clusters at once, which changes nothing.
/// `progress` is told the bytes copied.
///
/// # Errors
/// As for [`plan`]; `NoSpace`, `Interrupted`.
pub fn resize(
    disk: &dyn Disk,
    size: ByteCount,
    options: ChangeOptions,
    progress: &dyn Fn(u64, u64) -> ControlFlow<()>,
) -> Result<(DiskResize, ChangeSet), ChangeError> {
    let plan = plan(disk, size)?;
    let mut pieces = ChangeSet::nothing(disk);
    // A file system without a partition is as long as it says, whatever the disk has become.
    if let (Some(old), Some(new)) = (plan.old_range, plan.new_range)
        && (old != new || plan.table == TableKind::None)
    {
        // As much of the disk as the volume has before or after.
        let range = ByteRange::between(old.start(), old.end().max(new.end())).unwrap_or(old);
        if let Some(mut volume) = Volume::open(disk, range, plan.file_system, options)? {
            let resized = volume.resize(new.len().get(), &mut Meter::new(progress));
            resized.map_err(|error| match (error, plan.minimum) {
                // Of the disk, not of the partition.
                (ChangeError::BelowMinimum { .. }, Some(minimum)) => {
                    ChangeError::BelowMinimum { minimum }
                }
                (error, _) => error,
            })?;
            pieces = volume.finish()?;
        }
    }
    let writes: Vec<Write> = match (plan.table, plan.old_range, plan.new_range) {
        (TableKind::Gpt, old, new) => GptResize::new(disk, size.get())?.writes(old, new),
        (TableKind::Mbr, Some(old), Some(new)) if old != new => vec![mbr_write(disk, old, new)?],
        _ => Vec::new(),
    };
    let whole = ByteRange::new(ByteOffset(0), disk.size());
    if let Some(whole) = whole.filter(|_| !writes.is_empty()) {
        let mut overlay = Overlay::new(disk, whole);
        for (at, bytes) in writes {
            overlay.write(&bytes, at.get())?;
        }
        pieces = pieces.joined(overlay.into_change_set(Vec::new())?);
    }
    Ok((plan, pieces.with_final_size(size)))
}

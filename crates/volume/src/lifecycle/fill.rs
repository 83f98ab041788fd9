//! Filling a new image: partition table and file system, from a directory, from a tar
//! stream, or empty.
//!
//! Where nothing random is wanted, every identifier comes from the seed and every time from the
//! epoch, so that the same request on the same tree makes the same bytes.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use blockio::{ByteOffset, ByteRange, Disk, FileStorage, SectorSize, Window};
use mkfs::fat32::Fat32Options;
use mkfs::gpt::{BASIC_DATA, PartitionSpec};
use mkfs::ntfs::NtfsOptions;
use mkfs::{BuildReport, MkfsError, MkfsErrorKind, NtTime, TreeSource, TreeTotals};
use vdisk::{CreateOptions, IdSource, ImageDisk};

use super::access;
use super::source::{self, Source};
use super::{CreateRequest, FillFrom};
use crate::error::{Result, VolumeError};
use crate::progress::{OnProgress, Progress, Stage};
use crate::seed::{self, Counted};
use crate::spec::DiskSpec;
use crate::spec::kind::{FileSystemKind, PartitionLayout};

/// The name that Windows gives such partitions.
const PARTITION_NAME: &str = "Basic data partition";

/// What was put into an image.
#[derive(Default)]
pub(crate) struct Filled {
    /// What the file system was built of.
    pub(crate) report: BuildReport,
    /// What was left out of the source, or changed.
    pub(crate) source_notes: Vec<String>,
}

/// Where identifiers and times of one image come from.
struct Origin {
    ids: IdSource,
    unix_seconds: u64,
    time: NtTime,
    /// What the tree was found to hold, where it was read before.
    totals: Option<TreeTotals>,
}

/// Makes the image in the empty `storage`, fills it and makes it durable.
pub(crate) fn fill(
    request: &CreateRequest,
    spec: &DiskSpec,
    storage: FileStorage,
    progress: OnProgress<'_>,
) -> Result<Filled> {
    let origin = origin(request, progress)?;
    let image = |source| VolumeError::Image {
        name: request.name.as_str().to_owned(),
        source,
    };
    let options = create_options(spec, &origin);
    let disk = vdisk::create(Box::new(storage), spec.format(), &options).map_err(image)?;
    let disk: Arc<Box<dyn ImageDisk>> = Arc::new(disk);
    let filled = fill_disk(request, spec, &origin, &disk, progress)?;
    // All windows are gone; closing flushes, and only then the volume may become ready.
    let disk = Arc::into_inner(disk)
        .ok_or_else(|| VolumeError::damaged(request.name.as_str(), "the image is still used"))?;
    disk.close().map_err(image)?;
    Ok(filled)
}

fn create_options(spec: &DiskSpec, origin: &Origin) -> CreateOptions {
    CreateOptions {
        size: spec.size(),
        provisioning: spec.provisioning(),
        block_size: spec.block_size(),
        logical_sector: spec.sector(),
        physical_sector: SectorSize::B4096,
        ids: origin.ids,
        unix_time: origin.unix_seconds,
    }
}

fn fill_disk(
    request: &CreateRequest,
    spec: &DiskSpec,
    origin: &Origin,
    disk: &Arc<Box<dyn ImageDisk>>,
    progress: OnProgress<'_>,
) -> Result<Filled> {
    let range = match spec.partition() {
        // A blank disk has no partition: its guest divides it.
        // And so is one that the system formats.
        _ if spec.file_system() == FileSystemKind::None
            || spec.file_system().is_made_by_system() =>
        {
            return Ok(Filled::default());
        }
        PartitionLayout::WholeDisk => ByteRange::new(ByteOffset(0), disk.size()),
        PartitionLayout::Gpt => {
            let partition = PartitionSpec {
                name: PARTITION_NAME.to_owned(),
                guid: origin.ids.guid("gpt partition guid"),
                partition_type: BASIC_DATA,
            };
            let disk_guid = origin.ids.guid("gpt disk guid");
            let range = mkfs::gpt::write(&**disk, disk_guid, &partition);
            Some(range.map_err(|error| mkfs_error(request, error))?)
        }
    };
    let range = range.ok_or(VolumeError::Request("the disk is too large"))?;
    let window = Window::new(Arc::clone(disk), range)?;
    let mut source = source::open(request)?;
    let report = access::with_tree(request, source.as_mut(), |tree| {
        let mut counted = tree.map(|tree| Counted::new(tree, origin.totals));
        let tree = counted.as_mut().map(|tree| -> &mut dyn TreeSource { tree });
        make_file_system(request, spec, origin, &window, range, tree, progress)
    })?;
    Ok(Filled {
        report,
        source_notes: source.map_or_else(Vec::new, Source::into_notes),
    })
}

fn make_file_system(
    request: &CreateRequest,
    spec: &DiskSpec,
    origin: &Origin,
    window: &dyn Disk,
    range: ByteRange,
    tree: Option<&mut dyn TreeSource>,
    progress: OnProgress<'_>,
) -> Result<BuildReport> {
    let told = |bytes: u64, files: u64| -> ControlFlow<()> {
        progress(Progress {
            stage: Stage::Writing,
            bytes,
            files,
        })
    };
    let hidden_sectors = range.start().get() / spec.sector().bytes();
    let report = match spec.file_system() {
        FileSystemKind::Ntfs => {
            let options = NtfsOptions {
                cluster_size: spec.cluster_size(),
                label: spec.label().to_owned(),
                serial: serial(&origin.ids, "ntfs serial number"),
                time: origin.time,
                name_policy: request.name_policy,
                case_policy: request.case_policy,
                dos_names: request.dos_names,
                hidden_sectors,
            };
            mkfs::ntfs::format(window, &options, tree, &told)
        }
        FileSystemKind::Fat32 => {
            let [_, _, _, _, a, b, c, d] = serial(&origin.ids, "fat volume id").to_be_bytes();
            let options = Fat32Options {
                label: spec.label().to_owned(),
                volume_id: u32::from_be_bytes([a, b, c, d]),
                time: origin.time,
                name_policy: request.name_policy,
                case_policy: request.case_policy,
                cluster_size: spec.cluster_size(),
                hidden_sectors: u32::try_from(hidden_sectors).unwrap_or(0),
            };
            mkfs::fat32::format(window, &options, tree, &told)
        }
        FileSystemKind::None | FileSystemKind::Refs | FileSystemKind::ScratchLayer => {
            Ok(BuildReport::default())
        }
    };
    report.map_err(|error| mkfs_error(request, error))
}

/// Random identifiers and the time of now, or both from the request.
fn origin(request: &CreateRequest, progress: OnProgress<'_>) -> Result<Origin> {
    let Some(epoch) = request.reproducible else {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let unix_seconds = since.map_or(0, |since| since.as_secs());
        return Ok(Origin {
            ids: IdSource::Random,
            unix_seconds,
            time: source::time_of(unix_seconds),
            totals: None,
        });
    };
    let mut source = source::open_to_hash(request)?;
    // Of a stream nothing is known beforehand.
    let is_counted = source_is_counted(request);
    let (seed, totals) = access::with_tree(request, source.as_mut(), |tree| {
        seed::seed(request, epoch, tree, progress)
    })?;
    Ok(Origin {
        ids: IdSource::Seeded(seed),
        unix_seconds: epoch,
        time: source::time_of(epoch),
        totals: is_counted.then_some(totals),
    })
}

/// Whether the first pass reads all that the second one will.
fn source_is_counted(request: &CreateRequest) -> bool {
    !matches!(request.from, Some(FillFrom::TarStream { .. }))
}

fn serial(ids: &IdSource, label: &str) -> u64 {
    let (high, low) = ids.guid(label).as_u64_pair();
    // Version and variant bits stand still in each half alone.
    high.rotate_left(32) ^ low
}

fn mkfs_error(request: &CreateRequest, error: MkfsError) -> VolumeError {
    match error {
        MkfsError::Tree(error) => VolumeError::Source(error),
        error if error.kind() == MkfsErrorKind::Interrupted => VolumeError::Interrupted,
        source => VolumeError::Mkfs {
            name: request.name.as_str().to_owned(),
            source,
        },
    }
}

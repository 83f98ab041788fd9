//! Making and opening images in memory.

use std::ops::ControlFlow;
use std::sync::Arc;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, Operation, SparseMemoryStorage, Storage};
use vdisk::{
    Access, CompactReport, CompactRequest, CreateOptions, IdSource, ImageDisk, ImageError,
    ImageFormat, Provisioning,
};

/// A file in memory that a test keeps while an image owns it, too.
pub(crate) type File = Arc<SparseMemoryStorage>;

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;

/// Options with fixed identifiers and small blocks, so that a small disk has many.
pub(crate) fn options(format: ImageFormat, provisioning: Provisioning, size: u64) -> CreateOptions {
    let block_size = match (format, provisioning) {
        (ImageFormat::Vhd, Provisioning::Dynamic) => Some(ByteCount(512 * KIB)),
        (ImageFormat::Vhdx, _) => Some(ByteCount(MIB)),
        _ => None,
    };
    CreateOptions {
        provisioning,
        block_size,
        ids: IdSource::Seeded([1; 32]),
        unix_time: 1_700_000_000,
        ..CreateOptions::new(ByteCount(size))
    }
}

pub(crate) fn create(
    file: &File,
    format: ImageFormat,
    provisioning: Provisioning,
    size: u64,
) -> Box<dyn ImageDisk> {
    let options = options(format, provisioning, size);
    vdisk::create(Box::new(file.clone()), format, &options).unwrap()
}

pub(crate) fn open(file: &File, format: ImageFormat) -> Box<dyn ImageDisk> {
    vdisk::open(Box::new(file.clone()), Some(format), Access::ReadWrite).unwrap()
}

/// Compacts, with ranges that nobody uses.
pub(crate) fn compact(
    disk: &mut dyn ImageDisk,
    unused: &[ByteRange],
) -> Result<CompactReport, ImageError> {
    disk.compact(&CompactRequest {
        unused,
        dry_run: false,
        scan_zeros: unused
            .first()
            .is_some_and(|range| range.start().get() / 512 % 2 == 0),
        progress: &|_| ControlFlow::Continue(()),
    })
}

/// As [`compact`], with the failure that a step of a history gives.
pub(crate) fn compact_step(disk: &mut dyn ImageDisk, unused: &[ByteRange]) -> blockio::Result<()> {
    let result = compact(disk, unused).map(drop);
    result.map_err(|error| error.into_io(Operation::Discard, ByteOffset(0), ByteCount(0)))
}

pub(crate) fn bytes_of(storage: &dyn Storage) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(storage.len().unwrap().get()).unwrap()];
    storage.read_at(&mut bytes, ByteOffset(0)).unwrap();
    bytes
}

pub(crate) fn range(start: u64, len: u64) -> ByteRange {
    ByteRange::new(ByteOffset(start), ByteCount(len)).unwrap()
}

/// All bytes of a disk.
pub(crate) fn read_all(disk: &dyn Disk) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(disk.size().get()).unwrap()];
    disk.read_at(&mut bytes, ByteOffset(0)).unwrap();
    bytes
}

/// All bytes of a disk, read in the runs that the disk itself names; runs that are said to be zero
/// are checked to be.
pub(crate) fn read_by_status(disk: &dyn Disk) -> Vec<u8> {
    let size = disk.size().get();
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    let mut at = 0;
    while at < size {
        let status = disk.block_status(range(at, size - at)).unwrap();
        assert_eq!(status.range.start().get(), at, "a run begins where asked");
        assert!(!status.range.is_empty(), "a run is never empty");
        let end = status.range.end().get();
        let run = &mut bytes[usize::try_from(at).unwrap()..usize::try_from(end).unwrap()];
        disk.read_at(run, ByteOffset(at)).unwrap();
        if status.kind.reads_zero() {
            assert!(run.iter().all(|b| *b == 0), "a run said to be zero is not");
        }
        at = end;
    }
    bytes
}

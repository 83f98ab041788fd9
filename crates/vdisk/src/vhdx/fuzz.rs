//! Bodies of the fuzz targets: any bytes at all are opened, described, checked, read and written,
//! in bounded time and memory. Plain tests replay inputs through the same functions.

use std::sync::{Arc, OnceLock};

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, MIB, SparseMemoryStorage, Storage};

use super::format::{
    HEADER_OFFSETS, LOG_ENTRY_SIGNATURE, PAGE, PAGE_SIZE, REGION_TABLE_OFFSETS, TABLE_SIZE,
    checksum, index,
};
use super::open::open_with;
use crate::child::{ChildOptions, ParentNames, create_child};
use crate::error::ImageError;
use crate::gate::{DenyAll, FileIdentity, OpenedParent, ParentGate};
use crate::ids::IdSource;
use crate::image::{Access, CreateOptions, ImageFormat};
use crate::info::ParentInfo;

/// Runs of one disk that are looked at.
const MAX_RUNS: u64 = 64;
/// The parts of the template that a mutation may hit: start and length in bytes.
const AREAS: [(u64, u64); 12] = [
    (0, 520),
    (HEADER_OFFSETS[0], 80),
    (HEADER_OFFSETS[1], 80),
    (REGION_TABLE_OFFSETS[0], 80),
    (REGION_TABLE_OFFSETS[1], 80),
    (MIB, 16 * PAGE),
    (MIB, 16 * PAGE),
    (2 * MIB, 256),
    (2 * MIB + TABLE_SIZE, 64),
    (3 * MIB, 256),
    // Of a child: entries of its bitmaps (a chunk is 4096 blocks of 1 MiB) and the bitmap itself.
    (3 * MIB + 4096 * 8, 16),
    (4 * MIB, 2 * PAGE),
];

/// Takes `data` for an image and does with it what users do.
pub fn fuzz_open(data: &[u8]) {
    use_image(SparseMemoryStorage::from_bytes(data));
}

/// Takes `data` for changes to a good image whose log is dirty, and corrects the checksums after
/// them, so that what lies behind the checksums is reached.
///
/// A change is three bytes (which part, and where in it) and up to 16 bytes that are put there.
pub fn fuzz_open_fixed(data: &[u8]) {
    // An image that cannot be made would be found by every other test.
    if let Some(image) = template().cloned()
        && mutate(&image, data).is_ok()
    {
        use_image(image);
    }
}

/// Takes `data` for changes to a good child with partially present blocks, a sector bitmap and a
/// locator, as [`fuzz_open_fixed`] does to an image that stands alone. Its parent is a good one.
pub fn fuzz_child(data: &[u8]) {
    if let Some((child, parent)) = child_template().clone()
        && mutate(&child, data).is_ok()
    {
        use_child(child, parent);
    }
}

/// A gate that opens the one parent there is.
struct OneParent(SparseMemoryStorage);

impl ParentGate for OneParent {
    fn identity(&self) -> Option<FileIdentity> {
        None
    }

    fn open_parent(
        &self,
        _format: ImageFormat,
        _parent: &ParentInfo,
        _descendants: &[FileIdentity],
    ) -> Result<OpenedParent, ImageError> {
        Ok(OpenedParent {
            storage: Box::new(self.0.clone()),
            name: "parent".to_owned(),
            gate: Box::new(DenyAll),
        })
    }
}

type Pair = (SparseMemoryStorage, SparseMemoryStorage);

/// A child with a log that was not cleared, and its parent.
fn child_template() -> &'static Option<Pair> {
    static TEMPLATE: OnceLock<Option<Pair>> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let parent = Arc::new(SparseMemoryStorage::default());
        make_template(&parent).ok()?;
        let parent = OneParent((*parent).clone());
        let storage = Arc::new(SparseMemoryStorage::default());
        make_child(&storage, &parent).ok()?;
        Some(((*storage).clone(), parent.0))
    })
}

fn make_child(storage: &Arc<SparseMemoryStorage>, gate: &OneParent) -> Result<(), ImageError> {
    let options = ChildOptions {
        size: None,
        block_size: Some(ByteCount(MIB)),
        names: ParentNames {
            relative: Some(".\\parent.vhdx".to_owned()),
            volume: None,
            absolute: Some("C:\\parent.vhdx".to_owned()),
        },
        ids: IdSource::Seeded([4; 32]),
        unix_time: 0,
    };
    let opened = gate.open_parent(ImageFormat::Vhdx, &ParentInfo::default(), &[])?;
    let disk = create_child(
        Box::new(storage.clone()),
        ImageFormat::Vhdx,
        &options,
        opened,
    )?;
    for block in [0, 5, 2] {
        disk.write_at(&[8; PAGE_SIZE], ByteOffset(block * MIB + PAGE))?;
        disk.flush()?;
    }
    if let Some(range) = ByteRange::new(ByteOffset(0), ByteCount(MIB)) {
        disk.discard(range)?;
    }
    Ok(disk.flush()?)
}

fn use_child(child: SparseMemoryStorage, parent: SparseMemoryStorage) {
    let _ = super::info(&child);
    let _ = super::check(&child);
    let gate = OneParent(parent);
    let child = Arc::new(child);
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let ids = IdSource::Seeded([5; 32]);
        let Ok(disk) = open_with(Box::new(child.clone()), access, ids, &gate) else {
            continue;
        };
        let _ = look_through(&*disk);
        if access == Access::ReadWrite {
            let _ = change(&*disk);
            let _ = disk.close();
            let _ = super::check(&child);
        }
    }
}

/// A small image with blocks, a discarded one, and a log that was not cleared.
fn template() -> Option<&'static SparseMemoryStorage> {
    static TEMPLATE: OnceLock<Option<SparseMemoryStorage>> = OnceLock::new();
    TEMPLATE
        .get_or_init(|| {
            let storage = Arc::new(SparseMemoryStorage::default());
            make_template(&storage).ok()?;
            Some((*storage).clone())
        })
        .as_ref()
}

fn make_template(storage: &Arc<SparseMemoryStorage>) -> Result<(), ImageError> {
    let options = CreateOptions {
        block_size: Some(ByteCount(MIB)),
        ids: IdSource::Seeded([3; 32]),
        ..CreateOptions::new(ByteCount(8 * MIB))
    };
    let disk = super::create(Box::new(storage.clone()), &options)?;
    for block in [0, 5, 2] {
        disk.write_at(&[7; PAGE_SIZE], ByteOffset(block * MIB + PAGE))?;
        disk.flush()?;
    }
    if let Some(range) = ByteRange::new(ByteOffset(0), ByteCount(MIB)) {
        disk.discard(range)?;
    }
    Ok(disk.flush()?)
}

fn mutate(image: &SparseMemoryStorage, data: &[u8]) -> Result<(), ImageError> {
    let mut rest = data;
    while let [area, high, low, after @ ..] = rest {
        let (start, length) = AREAS[usize::from(area % 16) % AREAS.len()];
        let place = u64::from(u16::from_le_bytes([*low, *high])) % length;
        // The upper bits of the first byte say how much is changed.
        let wanted = usize::from(area / 16) + 1;
        let (bytes, after) = after.split_at(wanted.min(after.len()));
        image.write_at(bytes, ByteOffset(start + place))?;
        rest = after;
    }
    for offset in HEADER_OFFSETS {
        correct(image, offset, PAGE)?;
    }
    for offset in REGION_TABLE_OFFSETS {
        correct(image, offset, TABLE_SIZE)?;
    }
    for page in 0..MIB / PAGE {
        let offset = MIB + page * PAGE;
        let mut head = [0; 12];
        image.read_at(&mut head, ByteOffset(offset))?;
        if head[..4] == LOG_ENTRY_SIGNATURE {
            let length = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
            correct(image, offset, u64::from(length).min(2 * MIB - offset))?;
        }
    }
    Ok(())
}

/// Makes the checksum at byte 4 of a structure right.
fn correct(image: &SparseMemoryStorage, offset: u64, length: u64) -> Result<(), ImageError> {
    let mut bytes = vec![0; index(length)];
    image.read_at(&mut bytes, ByteOffset(offset))?;
    let sum = checksum(&bytes).to_le_bytes();
    Ok(image.write_at(&sum, ByteOffset(offset + 4))?)
}

/// Errors are what bad bytes deserve; the claim is that there is nothing worse.
fn use_image(image: SparseMemoryStorage) {
    let _ = super::info(&image);
    let _ = super::check(&image);
    let image = Arc::new(image);
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let Ok(disk) = open_with(
            Box::new(image.clone()),
            access,
            IdSource::Seeded([5; 32]),
            &DenyAll,
        ) else {
            continue;
        };
        let _ = look_through(&*disk);
        if access == Access::ReadWrite {
            let _ = change(&*disk);
            let _ = disk.close();
            let _ = super::check(&image);
        }
    }
}

fn look_through(disk: &dyn Disk) -> blockio::Result<()> {
    let size = disk.size().get();
    let mut at = 0;
    let mut buf = [0; PAGE_SIZE];
    for _ in 0..MAX_RUNS {
        let rest = ByteRange::between(ByteOffset(at), ByteOffset(size));
        let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
            return Ok(());
        };
        let run = disk.block_status(rest)?.range;
        let length = index(run.len().get()).min(PAGE_SIZE);
        let _ = disk.read_at(&mut buf[..length], run.start());
        at = run.end().get();
    }
    Ok(())
}

fn change(disk: &dyn Disk) -> blockio::Result<()> {
    let last = disk.size().get().saturating_sub(512);
    let _ = disk.write_at(&[9; 512], ByteOffset(0));
    let _ = disk.write_at(&[9; 512], ByteOffset(last));
    disk.flush()?;
    if let Some(range) = ByteRange::new(ByteOffset(0), ByteCount(last.min(4 * MIB))) {
        let _ = disk.discard(range);
    }
    disk.flush()
}

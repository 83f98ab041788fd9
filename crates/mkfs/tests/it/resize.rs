//! Volumes that grow and shrink between other changes, against the model of [`super::change_model`]:
//! after each step, and after a crash at any write of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use blockio::{
    ByteCount, ByteOffset, ByteRange, Disk, MIB, MemoryStorage, SectorSize, SparseMemoryStorage,
    Storage, Window,
};
use mkfs::change::{ChangeError, ChangeErrorKind, ChangeSet};
use mkfs::gpt::{BASIC_DATA, PartitionSpec};
use mkfs::resize::{plan, resize};
use uuid::Uuid;

use super::change_model::{
    self, Crashes, Kind, Model, after, changed, check, go_on, histories, is_expected, new_volume,
    options, recovered, step,
};
use super::random::Random;
use super::storage_disk::StorageDisk;

/// A disk on memory whose length may change.
type GrowingDisk = StorageDisk<Arc<SparseMemoryStorage>>;

fn grown(bytes: &[u8]) -> GrowingDisk {
    let storage = SparseMemoryStorage::default();
    storage.write_at(bytes, ByteOffset(0)).unwrap();
    StorageDisk(Arc::new(storage))
}

/// The bytes of a disk that the file system on it says are its own.
fn volume_of(kind: Kind, disk: &dyn Disk) -> u64 {
    let mut boot = [0; 512];
    disk.read_at(&mut boot, ByteOffset(0)).unwrap();
    match kind {
        Kind::Ntfs => (u64::from_le_bytes(boot[40..48].try_into().unwrap()) + 1) * 512,
        Kind::Fat32 => u64::from(u32::from_le_bytes(boot[32..36].try_into().unwrap())) * 512,
    }
}

fn check_volume(
    kind: Kind,
    storage: &SparseMemoryStorage,
    model: &Model,
    what: &dyn std::fmt::Debug,
) {
    let disk = Arc::new(StorageDisk(Arc::new(storage.clone())));
    let length = volume_of(kind, &*disk);
    let range = ByteRange::new(ByteOffset(0), ByteCount(length)).unwrap();
    let disk: Arc<dyn Disk> = disk;
    check(kind, &<Window>::new(disk, range).unwrap(), model, what);
}

fn new_size(kind: Kind, random: &mut Random) -> ByteCount {
    let size = match kind {
        // From less than anything fits in to four times the first size.
        Kind::Ntfs => 900_000 + random.below(8 * MIB),
        // The least that is FAT32 has 33 MiB.
        Kind::Fat32 => 32 * MIB + random.below(12 * MIB),
    };
    ByteCount(size / 512 * 512)
}

fn resized(disk: &dyn Disk, size: ByteCount, seed: u64) -> Result<ChangeSet, ChangeError> {
    resize(disk, size, options(seed), &go_on).map(|(_, change)| change)
}

/// Resizes as a volume does, without a crash. `false` where it is refused, which leaves all as it was.
fn resize_whole(disk: &GrowingDisk, size: ByteCount, seed: u64) -> bool {
    let old = disk.size();
    if size > old {
        disk.0.set_len(size).unwrap();
    }
    let change = match resized(disk, size, seed) {
        Ok(change) => change,
        Err(error) => {
            assert!(size < old, "{size}: {error}");
            assert_eq!(error.kind(), ChangeErrorKind::InvalidArgument, "{error}");
            let minimum = plan(disk, old).unwrap().minimum.unwrap();
            assert!(size < minimum, "{size} refused although {minimum} would do");
            return false;
        }
    };
    change.commit(disk, &MemoryStorage::default()).unwrap();
    assert_eq!(change.final_size(), size);
    disk.0.set_len(size).unwrap();
    true
}

fn try_history(kind: Kind, seed: u64) {
    let disk = grown(&new_volume(kind, seed).to_bytes());
    let mut random = Random::new(seed ^ 0x51);
    let mut model = Model::new();
    let mut resizes = 0;
    for number in 0..24 {
        let id = seed * 100 + number;
        if random.below(2) == 0 {
            let size = new_size(kind, &mut random);
            resizes += u64::from(resize_whole(&disk, size, id));
            check_volume(kind, &disk.0, &model, &(seed, number, size));
            continue;
        }
        let step = step(&model, &mut random);
        match changed(&disk, &step, id) {
            Ok(change) => {
                change.commit(&disk, &MemoryStorage::default()).unwrap();
                model = after(&model, &step).unwrap();
            }
            Err(error) => {
                let full = error.kind() == ChangeErrorKind::NoSpace;
                assert!(
                    full || is_expected(kind, &model, &step, &error),
                    "{step:?}: {error}"
                );
            }
        }
        check_volume(kind, &disk.0, &model, &(seed, number, &step));
    }
    assert!(resizes > 0, "history {seed} resized nothing");
    // To the smallest size that it says there is.
    let minimum = plan(&disk, disk.size()).unwrap().minimum.unwrap();
    if minimum < disk.size() {
        let shrunk = resized(&disk, minimum, seed);
        if let Ok(change) = shrunk {
            change.commit(&disk, &MemoryStorage::default()).unwrap();
            disk.0.set_len(minimum).unwrap();
        }
        check_volume(kind, &disk.0, &model, &(seed, "minimum", minimum));
    }
    let minimum = plan(&disk, disk.size()).unwrap().minimum.unwrap();
    let below = resized(&disk, ByteCount(minimum.get() - 512), seed);
    let below = below.err().map(|error| error.kind());
    assert_eq!(
        below,
        Some(ChangeErrorKind::InvalidArgument),
        "history {seed}"
    );
}

#[test]
fn ntfs_that_grows_and_shrinks_in_a_random_history_holds_what_a_plain_model_holds() {
    (0..histories(40)).for_each(|seed| try_history(Kind::Ntfs, seed));
}

#[test]
fn fat32_that_grows_and_shrinks_in_a_random_history_holds_what_a_plain_model_holds() {
    (0..histories(60).div_ceil(20)).for_each(|seed| try_history(Kind::Fat32, seed));
}

/// What crashes of a resize could leave; the disk of one that grows has grown before.
fn crashes(before: &SparseMemoryStorage, size: ByteCount, seed: u64) -> Option<Crashes> {
    let before = before.clone();
    if size > before.len().unwrap() {
        before.set_len(size).unwrap();
    }
    let made = change_model::crashes(&before, seed, &|disk| resized(disk, size, seed));
    made.ok().map(|(crashes, _)| crashes)
}

fn try_crashes(kind: Kind, count: u64) {
    let mut tried = 0_u64;
    for seed in 0..count {
        let disk = grown(&new_volume(kind, seed).to_bytes());
        let mut random = Random::new(seed ^ 0xDEAD);
        let mut model = Model::new();
        for number in 0..6 {
            for _ in 0..3 {
                let step = step(&model, &mut random);
                if let Ok(change) = changed(&disk, &step, seed) {
                    change.commit(&disk, &MemoryStorage::default()).unwrap();
                    model = after(&model, &step).unwrap();
                }
            }
            let size = new_size(kind, &mut random);
            let Some(crashes) = crashes(&disk.0, size, seed) else {
                continue;
            };
            let mut known: Vec<SparseMemoryStorage> = Vec::new();
            let mut sizes = BTreeSet::new();
            for (at_disk, at_journal) in crashes.pairs() {
                tried += 1;
                let found = recovered(at_disk, at_journal);
                sizes.insert(volume_of(kind, &StorageDisk(Arc::new(found.clone()))));
                if known.iter().any(|known| known.same_bytes(&found)) {
                    continue;
                }
                let what = (
                    seed,
                    number,
                    size,
                    at_disk.to_string(),
                    at_journal.to_string(),
                );
                check_volume(kind, &found, &model, &what);
                known.push(found);
            }
            assert!(sizes.len() <= 2, "{sizes:?}");
            resize_whole(&disk, size, seed);
            check_volume(kind, &disk.0, &model, &(seed, number, size));
        }
    }
    assert!(tried > 100, "{tried}");
    eprintln!("{tried} crashes");
}

#[test]
fn a_crash_at_any_write_while_ntfs_changes_its_size_leaves_it_before_or_after() {
    try_crashes(Kind::Ntfs, histories(400).div_ceil(50));
}

#[test]
fn a_crash_at_any_write_while_fat32_changes_its_size_leaves_it_before_or_after() {
    try_crashes(Kind::Fat32, histories(400).div_ceil(400));
}

/// The partition, both tables and the file system go together.
#[test]
fn the_partition_table_goes_with_the_disk() {
    for sector in [SectorSize::B512] {
        let disk = grown(&[]);
        disk.0.set_len(ByteCount(40 * MIB)).unwrap();
        let spec = PartitionSpec {
            name: "data".to_owned(),
            guid: Uuid::from_u128(5),
            partition_type: BASIC_DATA,
        };
        let range = mkfs::gpt::write(&disk, Uuid::from_u128(4), &spec).unwrap();
        let volume = new_volume(Kind::Ntfs, 3).to_bytes();
        disk.0.write_at(&volume, range.start()).unwrap();
        // It was made for less than its partition: as others leave it, and not to be resized as
        // if it filled it.
        for size in [64, 30, 9, 500, 40] {
            let size = ByteCount(size * MIB);
            assert!(resize_whole(&disk, size, 1), "{size}");
            let mut stream = std::io::Cursor::new(all(&disk));
            let table = gptman::GPT::read_from(&mut stream, sector.bytes()).unwrap();
            assert!(!table.header.is_backup());
            assert_eq!(table.header.backup_lba, size.get() / sector.bytes() - 1);
            assert_eq!(table[1].starting_lba * sector.bytes(), range.start().get());
            let end = (table[1].ending_lba + 1) * sector.bytes();
            assert_eq!(end, size.get() - MIB, "{size}");
            // The second copy alone is as good.
            let damaged = grown(&all(&disk));
            damaged
                .write_at(&[0; 92], ByteOffset(sector.bytes()))
                .unwrap();
            let mut stream = std::io::Cursor::new(all(&damaged));
            let table = gptman::GPT::read_from(&mut stream, sector.bytes()).unwrap();
            assert!(table.header.is_backup());
            let found = &mkfs::gpt::partitions(&damaged).unwrap()[0];
            assert_eq!(found.range.end().get(), end);
            let held = volume_of(Kind::Ntfs, &partition(&disk, found.range));
            assert_eq!(held, found.range.len().get(), "{size}");
            check(
                Kind::Ntfs,
                &partition(&disk, found.range),
                &Model::new(),
                &size,
            );
        }
    }
}

fn all(disk: &GrowingDisk) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(disk.size().get()).unwrap()];
    disk.read_at(&mut bytes, ByteOffset(0)).unwrap();
    bytes
}

fn partition(disk: &GrowingDisk, range: ByteRange) -> Window {
    let disk: Arc<dyn Disk> = Arc::new(StorageDisk(Arc::clone(&disk.0)));
    Window::new(disk, range).unwrap()
}

/// A volume that was not unmounted cleanly is not resized.
#[test]
fn what_is_unclean_or_unknown_is_refused_and_left_as_it_was() {
    let disk = grown(&new_volume(Kind::Fat32, 0).to_bytes());
    disk.write_at(&[1], ByteOffset(65)).unwrap();
    let error = resized(&disk, ByteCount(33 * MIB), 0).unwrap_err();
    assert_eq!(error.kind(), ChangeErrorKind::Unclean, "{error}");
    let empty = grown(&[0; 1 << 20]);
    let error = resized(&empty, ByteCount(MIB / 2), 0).unwrap_err();
    assert_eq!(error.kind(), ChangeErrorKind::Unsupported, "{error}");
}

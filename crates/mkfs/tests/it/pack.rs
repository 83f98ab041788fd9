//! Volumes whose blocks are emptied between other changes, against the model of
//! [`super::change_model`]: after each step, and after a crash at any write of it.

use std::sync::Arc;

use blockio::{
    ByteCount, ByteOffset, ByteRange, Disk, KIB, MemoryStorage, SparseMemoryStorage, Storage,
};
use mkfs::change::{ChangeError, ChangeSet};
use mkfs::pack::PackPlan;
use mkfs::used::used;

use super::change_model::{
    Kind, Model, Step, after, changed, check, crashes, go_on, histories, new_volume, options,
    recovered, step,
};
use super::random::Random;
use super::storage_disk::StorageDisk;

type MemoryDisk = StorageDisk<Arc<SparseMemoryStorage>>;

fn disk_of(bytes: &[u8]) -> MemoryDisk {
    let storage = SparseMemoryStorage::default();
    storage.write_at(bytes, ByteOffset(0)).unwrap();
    StorageDisk(Arc::new(storage))
}

fn plan(disk: &dyn Disk, block: ByteCount) -> PackPlan {
    // Some in the order of the disk, and some not.
    let place = |at: ByteOffset| Ok(Some(ByteOffset(at.get() ^ 0x5_0000)));
    PackPlan::new(disk, &used(disk).unwrap(), block, &place).unwrap()
}

fn packed(disk: &dyn Disk, block: ByteCount, seed: u64) -> Result<ChangeSet, ChangeError> {
    plan(disk, block).change(disk, options(seed), &go_on)
}

fn is_within(range: ByteRange, unused: &[ByteRange]) -> bool {
    let mut around = unused.iter();
    around.any(|u| u.start() <= range.start() && range.end() <= u.end())
}

fn block_size(random: &mut Random) -> ByteCount {
    ByteCount((16 * KIB) << random.below(5))
}

/// Many files come and most of them go again, in a directory of their own: what a history makes is
/// little beside the tables of a FAT32 volume, which has to be large.
fn fill_and_thin(disk: &MemoryDisk, model: &mut Model, seed: u64) {
    let mut steps = Vec::new();
    let folder = format!("fill{seed}");
    steps.push(Step::MakeDirectory(folder.clone()));
    let names: Vec<String> = (0..24).map(|number| format!("a file {number}")).collect();
    for (number, name) in (0_u64..).zip(&names) {
        let mut random = Random::new(seed * 100 + number);
        let length = 1 + usize::try_from(random.below(20_000)).unwrap();
        steps.push(Step::Put {
            directory: folder.clone(),
            name: name.clone(),
            content: random.bytes(length),
        });
    }
    let gone = names.iter().enumerate().filter(|(at, _)| at % 4 != 0);
    steps.extend(gone.map(|(_, name)| Step::Remove(format!("{folder}/{name}"))));
    for (number, step) in (0..).zip(steps) {
        let change = changed(disk, &step, seed * 1000 + number).unwrap();
        change.commit(disk, &MemoryStorage::default()).unwrap();
        *model = after(model, &step).unwrap();
    }
}

/// Packs, and sees to it that what should be empty is.
fn pack(disk: &MemoryDisk, block: ByteCount, seed: u64) -> (u64, usize) {
    let plan = plan(disk, block);
    let change = plan.change(disk, options(seed), &go_on).unwrap();
    change.commit(disk, &MemoryStorage::default()).unwrap();
    let unused = used(disk).unwrap().unused().to_vec();
    for emptied in plan.emptied() {
        assert!(is_within(emptied, &unused), "{seed}: {emptied:?}");
    }
    (plan.blocks(), usize::try_from(plan.moved().get()).unwrap())
}

fn try_history(kind: Kind, seed: u64) -> u64 {
    let disk = disk_of(&new_volume(kind, seed).to_bytes());
    let mut random = Random::new(seed ^ 0xFACE);
    let mut model = Model::new();
    let mut blocks = 0;
    for number in 0..30 {
        let id = seed * 100 + number;
        if random.below(3) == 0 {
            if kind == Kind::Fat32 {
                fill_and_thin(&disk, &mut model, id);
            }
            let block = block_size(&mut random);
            blocks += pack(&disk, block, id).0;
            check(kind, &disk, &model, &(seed, number, block));
            continue;
        }
        let step = step(&model, &mut random);
        if let Ok(change) = changed(&disk, &step, id) {
            change.commit(&disk, &MemoryStorage::default()).unwrap();
            model = after(&model, &step).unwrap();
        }
    }
    check(kind, &disk, &model, &(seed, "end"));
    blocks
}

#[test]
fn a_volume_that_is_packed_in_a_random_history_holds_what_a_plain_model_holds() {
    let blocks: u64 = (0..histories(60))
        .map(|seed| try_history(Kind::Ntfs, seed))
        .sum();
    assert!(blocks > 20, "{blocks} blocks were emptied in all");
}

#[test]
fn a_fat32_volume_that_is_packed_in_a_random_history_holds_what_a_plain_model_holds() {
    let seeds = 0..histories(60).div_ceil(10);
    let blocks: u64 = seeds.map(|seed| try_history(Kind::Fat32, seed)).sum();
    assert!(blocks > 5, "{blocks} blocks were emptied in all");
}

#[test]
fn a_crash_at_any_write_while_a_volume_is_packed_leaves_all_that_is_in_it() {
    try_crashes(Kind::Ntfs, histories(400).div_ceil(50));
}

#[test]
fn a_crash_at_any_write_while_a_fat32_volume_is_packed_leaves_all_that_is_in_it() {
    try_crashes(Kind::Fat32, histories(400).div_ceil(200));
}

fn try_crashes(kind: Kind, seeds: u64) {
    let mut tried = 0_u64;
    for seed in 0..seeds {
        let disk = disk_of(&new_volume(kind, seed).to_bytes());
        let mut random = Random::new(seed ^ 0xBEEF);
        let mut model = Model::new();
        for number in 0..5 {
            for _ in 0..5 {
                let step = step(&model, &mut random);
                if let Ok(change) = changed(&disk, &step, seed) {
                    change.commit(&disk, &MemoryStorage::default()).unwrap();
                    model = after(&model, &step).unwrap();
                }
            }
            if kind == Kind::Fat32 {
                fill_and_thin(&disk, &mut model, seed * 100 + number);
            }
            let block = block_size(&mut random);
            if plan(&disk, block).is_empty() {
                continue;
            }
            let made = crashes(&disk.0, seed, &|disk| packed(disk, block, seed));
            let (crashes, end) = made.unwrap();
            let mut known: Vec<SparseMemoryStorage> = vec![end];
            for (at_disk, at_journal) in crashes.pairs() {
                tried += 1;
                let found = recovered(at_disk, at_journal);
                if known.iter().any(|known| known.same_bytes(&found)) {
                    continue;
                }
                let what = (seed, number, at_disk.to_string(), at_journal.to_string());
                check(kind, &disk_of_storage(&found), &model, &what);
                known.push(found);
            }
            pack(&disk, block, seed);
            check(kind, &disk, &model, &(seed, number, block));
        }
    }
    assert!(tried > 100, "{tried}");
    eprintln!("{tried} crashes");
}

fn disk_of_storage(storage: &SparseMemoryStorage) -> MemoryDisk {
    StorageDisk(Arc::new(storage.clone()))
}

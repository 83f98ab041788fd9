//! What is VHDX's own: identifiers, sessions, layouts, sizes, and many threads at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use blockio::{
    ByteCount, ByteOffset, Disk, SectorSize, SimStorage, SparseMemoryStorage, Storage, TIB,
};
use vdisk::{
    Access, CreateOptions, IdSource, ImageDisk, ImageErrorKind, ImageFormat, ImageInfo, ImageKind,
    Provisioning,
};

use crate::images::{self, File, KIB, MIB, range};
use crate::random::Random;

pub(crate) fn options(size: u64) -> CreateOptions {
    images::options(ImageFormat::Vhdx, Provisioning::Dynamic, size)
}

pub(crate) fn create(
    storage: &(impl Storage + Clone + 'static),
    options: &CreateOptions,
) -> Box<dyn ImageDisk> {
    vdisk::create(Box::new(storage.clone()), ImageFormat::Vhdx, options).unwrap()
}

pub(crate) fn open(
    storage: &(impl Storage + Clone + 'static),
    access: Access,
) -> Box<dyn ImageDisk> {
    vdisk::open(Box::new(storage.clone()), None, access).unwrap()
}

fn id(info: &ImageInfo, name: &str) -> String {
    let found = info.ids.iter().find(|(key, _)| *key == name);
    found.unwrap().1.clone()
}

fn sound(file: &impl Storage) {
    let report = vdisk::check(file, None).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings());
}

/// Without its first eight bytes an image was taken for a raw disk: a check found no errors, and its
/// tables were read as the disk.
#[test]
fn an_image_that_lost_its_signature_is_no_raw_disk() {
    let file = File::default();
    create(&file, &options(8 * MIB)).close().unwrap();
    file.write_at(&[0; 8], ByteOffset(0)).unwrap();
    let report = vdisk::check(&file, None).unwrap();
    assert_eq!(report.format, ImageFormat::Vhdx);
    assert!(!report.is_sound());
    let opened = vdisk::open(Box::new(file.clone()), None, Access::ReadOnly);
    assert_eq!(opened.err().unwrap().kind(), ImageErrorKind::NotAnImage);
    // One that a power cut left without a byte is nothing at all.
    assert!(!vdisk::check(&File::default(), None).unwrap().is_sound());
}

#[test]
fn every_geometry_holds_what_is_written_at_both_ends() {
    for (logical, physical) in [(512, 512), (512, 4096), (4096, 4096)] {
        for block in [MIB, 2 * MIB, 32 * MIB, 256 * MIB] {
            for size in [MIB, 3 * MIB + 4096, 600 * MIB, 64 * TIB] {
                let file = File::default();
                let options = CreateOptions {
                    block_size: Some(ByteCount(block)),
                    logical_sector: SectorSize::from_bytes(logical).unwrap(),
                    physical_sector: SectorSize::from_bytes(physical).unwrap(),
                    ..options(size)
                };
                let disk = create(&file, &options);
                disk.write_at(&[1; 4096], ByteOffset(0)).unwrap();
                disk.write_at(&[2; 4096], ByteOffset(size - 4096)).unwrap();
                disk.close().unwrap();
                let disk = open(&file, Access::ReadOnly);
                assert_eq!(disk.size(), ByteCount(size));
                assert_eq!(disk.logical_sector_size().bytes(), logical);
                assert_eq!(disk.physical_sector_size().bytes(), physical);
                let mut bytes = [0; 4096];
                disk.read_at(&mut bytes, ByteOffset(0)).unwrap();
                assert_eq!(bytes, [1; 4096]);
                disk.read_at(&mut bytes, ByteOffset(size - 4096)).unwrap();
                assert_eq!(bytes, [2; 4096]);
                sound(&file);
            }
        }
    }
}

#[test]
fn options_that_make_no_image_are_refused() {
    let refuse = |change: &dyn Fn(&mut CreateOptions), kind| {
        let mut options = options(8 * MIB);
        change(&mut options);
        let storage = Box::new(File::default());
        let error = vdisk::create(storage, ImageFormat::Vhdx, &options)
            .err()
            .unwrap();
        assert_eq!(error.kind(), kind);
    };
    for size in [0, 1, 511, 513, 8 * MIB + 1] {
        refuse(&|o| o.size = ByteCount(size), ImageErrorKind::InvalidOption);
    }
    for size in [64 * TIB + 512, u64::MAX, 1 << 63] {
        refuse(&|o| o.size = ByteCount(size), ImageErrorKind::TooLarge);
    }
    for block in [0, 1, MIB - 1, 3 * MIB, 512 * MIB, u64::MAX] {
        let change = |o: &mut CreateOptions| o.block_size = Some(ByteCount(block));
        refuse(&change, ImageErrorKind::InvalidOption);
    }
    let of_4096 = |o: &mut CreateOptions| {
        o.logical_sector = SectorSize::B4096;
        o.size = ByteCount(8 * MIB + 512);
    };
    refuse(&of_4096, ImageErrorKind::InvalidOption);
}

#[test]
fn an_empty_disk_of_64_tib_costs_its_table_alone_and_no_memory() {
    let file = File::default();
    let disk = create(&file, &options(64 * TIB));
    disk.write_at(&[5; 512], ByteOffset(40 * TIB)).unwrap();
    let status = disk.block_status(range(0, 40 * TIB)).unwrap();
    assert!(status.kind.reads_zero());
    disk.discard(range(0, 40 * TIB)).unwrap();
    disk.close().unwrap();
    assert!(file.allocated().get() < MIB, "{}", file.allocated());
    let disk = open(&file, Access::ReadWrite);
    assert_eq!(disk.info().allocated.get(), MIB);
    let (mut at, mut runs, mut data) = (0, 0, 0);
    while at < 64 * TIB {
        let status = disk.block_status(range(at, 64 * TIB - at)).unwrap();
        data += status.range.len().get() * u64::from(!status.kind.reads_zero());
        at = status.range.end().get();
        runs += 1;
    }
    assert!(data <= MIB && runs < 100, "{data} bytes in {runs} runs");
}

#[test]
fn one_seed_makes_one_image_byte_for_byte() {
    let make = |seed| {
        let file = File::default();
        let options = CreateOptions {
            ids: IdSource::Seeded([seed; 32]),
            ..options(16 * MIB)
        };
        let disk = create(&file, &options);
        disk.write_at(&[7; 5000], ByteOffset(3 * MIB - 100))
            .unwrap();
        disk.flush().unwrap();
        disk.close().unwrap();
        file
    };
    assert!(make(1).same_bytes(&make(1)));
    assert!(!make(1).same_bytes(&make(2)));
}

#[test]
fn opening_changes_no_byte_and_writing_changes_both_identifiers() {
    let file = File::default();
    let disk = create(&file, &options(8 * MIB));
    disk.write_at(&[1; 512], ByteOffset(0)).unwrap();
    disk.close().unwrap();
    let before = (*file).clone();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let disk = open(&file, access);
        disk.read_at(&mut [0; 512], ByteOffset(0)).unwrap();
        disk.flush().unwrap();
        disk.close().unwrap();
        assert!(file.same_bytes(&before), "{access:?}");
    }
    let old = vdisk::info(&file, None).unwrap();
    let disk = open(&file, Access::ReadWrite);
    disk.write_at(&[2; 512], ByteOffset(0)).unwrap();
    disk.close().unwrap();
    let new = vdisk::info(&file, None).unwrap();
    assert_ne!(id(&old, "file write"), id(&new, "file write"));
    assert_ne!(id(&old, "data write"), id(&new, "data write"));
    assert_eq!(id(&old, "disk"), id(&new, "disk"));
}

#[test]
fn a_dirty_log_is_looked_through_by_readers_and_replayed_by_writers() {
    let file = File::default();
    let disk = create(&file, &options(8 * MIB));
    disk.write_at(&[1; 512], ByteOffset(5 * MIB)).unwrap();
    disk.flush().unwrap();
    drop(disk);
    // As after a power cut that lost the page in its place: the log alone knows the block.
    file.write_at(&[0; 4096], ByteOffset(3 * MIB)).unwrap();
    let before = (*file).clone();
    let old = vdisk::info(&file, None).unwrap();
    assert!(old.dirty_log);
    assert_eq!(old.allocated.get(), MIB);
    let mut bytes = [0; 512];
    let disk = open(&file, Access::ReadOnly);
    disk.read_at(&mut bytes, ByteOffset(5 * MIB)).unwrap();
    assert_eq!(bytes, [1; 512]);
    assert!(disk.info().dirty_log);
    assert!(disk.write_at(&bytes, ByteOffset(0)).is_err());
    disk.close().unwrap();
    assert!(file.same_bytes(&before));
    sound(&file);

    let disk = open(&file, Access::ReadWrite);
    bytes.fill(0);
    disk.read_at(&mut bytes, ByteOffset(5 * MIB)).unwrap();
    assert_eq!(bytes, [1; 512]);
    drop(disk);
    let new = vdisk::info(&file, None).unwrap();
    assert!(!new.dirty_log);
    // The file changed; what a guest sees did not, and a child must not lose its parent over it.
    assert_ne!(id(&old, "file write"), id(&new, "file write"));
    assert_eq!(id(&old, "data write"), id(&new, "data write"));
}

#[test]
fn a_new_block_and_a_flush_cost_one_sync() {
    let storage = SimStorage::new();
    let disk = create(&storage, &options(64 * MIB));
    disk.write_at(&[1; 4096], ByteOffset(0)).unwrap();
    disk.flush().unwrap();
    let before = storage.counts();
    for block in 1..21 {
        disk.write_at(&[1; 4096], ByteOffset(block * MIB)).unwrap();
        disk.flush().unwrap();
    }
    let after = storage.counts();
    assert_eq!(after.syncs - before.syncs, 20);
    // Data, log entry, page.
    assert_eq!(after.writes - before.writes, 60);
    let before = after;
    for block in 1..21 {
        disk.write_at(&[2; 4096], ByteOffset(block * MIB)).unwrap();
    }
    disk.flush().unwrap();
    let after = storage.counts();
    assert_eq!(
        (after.syncs - before.syncs, after.writes - before.writes),
        (1, 20)
    );
    assert_eq!(after.reads, before.reads);
}

#[test]
fn a_commit_larger_than_a_log_entry_is_whole_after_a_lost_table() {
    let file = File::default();
    let disk = create(&file, &options(60 << 30));
    // 110 pages of the table in one flush.
    let places: Vec<u64> = (0..110).map(|page| page * 511 * MIB).collect();
    for place in &places {
        disk.write_at(&[3; 512], ByteOffset(*place)).unwrap();
    }
    disk.flush().unwrap();
    drop(disk);
    let disk = open(&file, Access::ReadWrite);
    let mut bytes = [0; 512];
    for place in &places {
        disk.read_at(&mut bytes, ByteOffset(*place)).unwrap();
        assert_eq!(bytes, [3; 512], "{place:#x}");
    }
    sound(&file);
}

#[test]
fn a_fixed_disk_has_all_its_blocks_and_keeps_them() {
    let file = File::default();
    let options = images::options(ImageFormat::Vhdx, Provisioning::Fixed, 9 * MIB + 512);
    let disk = create(&file, &options);
    assert_eq!(disk.info().kind, ImageKind::Fixed);
    let length = file.len().unwrap();
    disk.write_at(&[1; 8192], ByteOffset(2 * MIB)).unwrap();
    disk.discard(range(0, 9 * MIB)).unwrap();
    assert_eq!(disk.info().allocated.get(), 10 * MIB);
    disk.close().unwrap();
    assert_eq!(file.len().unwrap(), length);
    let disk = open(&file, Access::ReadOnly);
    assert_eq!(images::read_all(&*disk), vec![0; 9 * 1024 * 1024 + 512]);
    sound(&file);
}

#[test]
fn a_file_that_ends_within_its_last_block_is_read_and_written() {
    // As disk2vhd and QEMU leave them: cut off behind the last sector of the disk.
    let file = File::default();
    let disk = create(&file, &options(2 * MIB + 512));
    disk.write_at(&[1; 512], ByteOffset(2 * MIB)).unwrap();
    disk.close().unwrap();
    let length = file.len().unwrap().get();
    file.set_len(ByteCount(length - MIB + 512)).unwrap();
    sound(&file);
    let disk = open(&file, Access::ReadWrite);
    disk.write_at(&[2; 512], ByteOffset(0)).unwrap();
    disk.flush().unwrap();
    drop(disk);
    let disk = open(&file, Access::ReadWrite);
    let bytes = images::read_all(&*disk);
    assert_eq!((bytes[0], bytes[2 << 20]), (2, 1));
    sound(&file);
}

#[test]
fn space_that_is_given_back_is_used_again_and_the_file_is_trimmed_at_close() {
    let file = File::default();
    let disk = create(&file, &options(64 * MIB));
    let empty = file.len().unwrap().get();
    for round in 0..20 {
        let at = (round * 3 % 60) * MIB;
        disk.write_at(&[1; 512], ByteOffset(at)).unwrap();
        disk.flush().unwrap();
        disk.discard(range(at, MIB)).unwrap();
        disk.flush().unwrap();
        disk.flush().unwrap();
    }
    disk.write_at(&[1; 512], ByteOffset(0)).unwrap();
    disk.close().unwrap();
    assert!(file.len().unwrap().get() <= empty + 3 * MIB);
    sound(&file);
}

#[test]
fn many_threads_write_read_discard_and_flush_one_disk() {
    const THREADS: u64 = 4;
    const BLOCKS: u64 = 24;
    let file = File::default();
    let disk: Arc<dyn ImageDisk> = create(&file, &options(BLOCKS * MIB)).into();
    let stop = Arc::new(AtomicBool::new(false));
    let flusher = {
        let (disk, stop) = (disk.clone(), stop.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                disk.flush().unwrap();
            }
        })
    };
    // All threads allocate the same blocks; within each, a thread has a strip of its own.
    let workers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let disk = disk.clone();
            std::thread::spawn(move || work(&*disk, thread))
        })
        .collect();
    let strips: Vec<Vec<Vec<u8>>> = workers.into_iter().map(|w| w.join().unwrap()).collect();
    stop.store(true, Ordering::Relaxed);
    flusher.join().unwrap();
    disk.flush().unwrap();
    let check = |disk: &dyn Disk| {
        for (thread, strips) in (0..THREADS).zip(&strips) {
            for (block, strip) in (0..BLOCKS / 2).zip(strips) {
                let mut bytes = vec![0; strip.len()];
                let at = block * MIB + thread * 256 * KIB;
                disk.read_at(&mut bytes, ByteOffset(at)).unwrap();
                assert!(bytes == *strip, "thread {thread}, block {block}");
            }
        }
    };
    check(&*disk);
    drop(disk);
    check(&*open(&file, Access::ReadOnly));
    check(&*open(&file, Access::ReadWrite));
    sound(&file);

    fn work(disk: &dyn Disk, thread: u64) -> Vec<Vec<u8>> {
        let mut random = Random::new(thread + 1);
        let mut strips = vec![vec![0; 256 << 10]; 12];
        for _ in 0..1500 {
            let block = random.below(12);
            let strip = &mut strips[usize::try_from(block).unwrap()];
            let at = usize::try_from(random.below(250) * 1024).unwrap();
            let base = block * MIB + thread * 256 * KIB;
            let place = ByteOffset(base + u64::try_from(at).unwrap());
            match random.below(8) {
                0..4 => {
                    let bytes = random.bytes(3000);
                    disk.write_at(&bytes, place).unwrap();
                    strip[at..at + 3000].copy_from_slice(&bytes);
                }
                4 => {
                    disk.discard(range(place.get(), 4096)).unwrap();
                    strip[at..at + 4096].fill(0);
                }
                5 => {
                    // Blocks that belong to this thread alone come and go beside them.
                    let own = (12 + thread * 3 + random.below(3)) * MIB;
                    disk.write_at(&[9; 512], ByteOffset(own)).unwrap();
                    disk.discard(range(own, MIB)).unwrap();
                }
                6 => disk.flush().unwrap(),
                _ => {
                    let mut bytes = vec![0; 3000];
                    disk.read_at(&mut bytes, place).unwrap();
                    assert!(bytes == strip[at..at + 3000]);
                }
            }
        }
        strips
    }
}

#[test]
fn a_file_of_another_kind_is_no_image() {
    let storage = Box::new(SparseMemoryStorage::from_bytes(&[0; 4096]));
    let opened = vdisk::open(storage, Some(ImageFormat::Vhdx), Access::ReadOnly);
    assert_eq!(opened.err().unwrap().kind(), ImageErrorKind::NotAnImage);
}

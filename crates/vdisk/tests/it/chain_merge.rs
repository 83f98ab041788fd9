//! Layers that take in others: random chains against arrays, what of it is in the file when the power
//! is cut, and what is refused. `CVOL_LAYER_HISTORIES` says how many histories are tried.

use std::ops::ControlFlow;
use std::sync::Arc;

use blockio::{
    ByteCount, ByteOffset, CrashPlan, Disk, Fault, FaultTarget, SectorSize, SimStorage, Storage,
};
use vdisk::{
    Access, ChildOptions, CreateOptions, IdSource, ImageError, ImageErrorKind, ImageFormat,
    OpenedParent, ParentNames, PullLevels, RebaseCheck,
};

use crate::images::{self, File, MIB};

const DISK: u64 = 5 * MIB + 512 * 8;
const FORMATS: [ImageFormat; 2] = [ImageFormat::Vhdx, ImageFormat::Vhd];

mod world;

use world::{World, merge, names, pull, rebase};

fn histories(default: u64) -> u64 {
    let asked = std::env::var("CVOL_LAYER_HISTORIES");
    asked.map_or(default, |text| text.parse().unwrap())
}

#[test]
fn chains_read_the_same_whatever_takes_in_whatever() {
    for seed in 0..histories(24) {
        let format = FORMATS[usize::try_from(seed % 2).unwrap()];
        let mut world = World::new(format, seed + 1);
        for _ in 0..14 {
            world.step();
            world.verify();
        }
    }
}

/// A child on a parent on a grandparent, each of which holds something of its own; the child in
/// a simulated file.
fn three(format: ImageFormat, seed: u64) -> (World, SimStorage) {
    let mut world = World::new(format, seed);
    world.write("image-1");
    world.write("image-1");
    let parent = world.child("image-1");
    world.write(&parent);
    let storage = SimStorage::new();
    world.child_in(&parent, "child", Arc::new(storage.clone()));
    world.write("child");
    let storage = SimStorage::from_image(&storage.image());
    world
        .folder
        .files
        .insert("child".to_owned(), Arc::new(storage.clone()));
    (world, storage)
}

fn plan(seed: u64) -> CrashPlan {
    CrashPlan {
        exhaustive: 2,
        samples: 1,
        torn_samples: 1,
        ..CrashPlan::quick(seed)
    }
}

#[test]
fn a_child_that_takes_in_reads_the_same_after_every_crash_and_can_go_on() {
    let mut states = 0;
    for format in FORMATS {
        for (levels, below) in [
            (PullLevels::Nearest(1), Some("image-1")),
            (PullLevels::All, None),
        ] {
            let (world, storage) = three(format, 11);
            let expected = &world.images["child"].bytes;
            let called = below.map_or_else(ParentNames::default, names);
            pull(&world.folder, "child", format, levels, &called).unwrap();
            let history = storage.history();
            for state in history.crash_states(plan(3)) {
                let mut folder = world.folder.clone();
                folder
                    .files
                    .insert("child".to_owned(), Arc::new(state.image()));
                let seen = folder.open("child", format, Access::ReadWrite);
                let seen = seen.unwrap_or_else(|error| panic!("{state}: {error}"));
                assert!(images::read_all(&*seen) == *expected, "{state}");
                drop(seen);
                states += 1;
                if states % 7 == 0 {
                    match pull(&folder, "child", format, levels, &called) {
                        Ok(_) => {}
                        // It had happened: there is nothing below any more.
                        Err(error) => assert_eq!(error.kind(), ImageErrorKind::InvalidOption),
                    }
                    assert!(folder.read("child", format) == *expected, "{state}");
                    let info = vdisk::info(&folder.files["child"], Some(format)).unwrap();
                    assert!(below.is_some() || info.parent.is_none(), "{state}");
                }
            }
        }
    }
    println!("{states} crash states");
    assert!(states > 400, "{states}");
}

#[test]
fn a_child_that_gets_another_parent_reads_the_same_after_every_crash_and_can_go_on() {
    let mut states = 0;
    for format in FORMATS {
        // Onto its grandparent: what its parent has comes into it.
        let (world, storage) = three(format, 71);
        let expected = &world.images["child"].bytes;
        let check = RebaseCheck::Compare;
        rebase(&world.folder, "child", format, "image-1", check).unwrap();
        assert!(world.folder.read("child", format) == *expected);
        for state in storage.history().crash_states(plan(9)) {
            let mut folder = world.folder.clone();
            let image = Arc::new(state.image());
            folder.files.insert("child".to_owned(), image.clone());
            let seen = folder.open("child", format, Access::ReadWrite);
            let seen = seen.unwrap_or_else(|error| panic!("{state}: {error}"));
            assert!(images::read_all(&*seen) == *expected, "{state}");
            drop(seen);
            states += 1;
            if states % 7 == 0 {
                rebase(&folder, "child", format, "image-1", check).unwrap();
                assert!(folder.read("child", format) == *expected, "{state}");
                let report = vdisk::check(&image, Some(format)).unwrap();
                assert!(report.is_sound(), "{state}: {:?}", report.findings());
            }
        }
    }
    println!("{states} crash states of rebases");
    assert!(states > 100, "{states}");
}

#[test]
fn a_child_covers_its_parent_after_every_crash_of_a_merge_into_that() {
    let mut states = 0;
    for format in FORMATS {
        let (mut world, child) = three(format, 21);
        let parent = world.images["child"].parent.clone().unwrap();
        let mut image = blockio::SparseMemoryStorage::default();
        copy(&*world.folder.files[&parent], &mut image);
        let storage = SimStorage::from_image(&image);
        world
            .folder
            .files
            .insert(parent.clone(), Arc::new(storage.clone()));
        let untouched = world.folder.clone();
        let expected = world.images["child"].bytes.clone();
        merge(&world.folder, "child", &parent, format).unwrap();
        // The child is told before the parent is written: its states on the old parent, then the
        // parent's states under what the child is at the end.
        for state in child.history().crash_states(plan(5)) {
            let mut folder = untouched.clone();
            let old = Arc::new(blockio::SparseMemoryStorage::default());
            copy_into(&image, &old);
            folder.files.insert(parent.clone(), old);
            folder
                .files
                .insert("child".to_owned(), Arc::new(state.image()));
            assert!(folder.read("child", format) == expected, "{state}");
            states += 1;
        }
        for state in storage.history().crash_states(plan(6)) {
            let mut folder = world.folder.clone();
            folder.files.insert(parent.clone(), Arc::new(state.image()));
            assert!(folder.read("child", format) == expected, "{state}");
            states += 1;
            if states % 5 == 0 {
                // On a copy, since the child learns what its parent will be known by.
                let again = Arc::new(blockio::SparseMemoryStorage::default());
                copy_into(&child, &*again);
                folder.files.insert("child".to_owned(), again);
                merge(&folder, "child", &parent, format).unwrap();
                assert!(folder.read(&parent, format) == expected, "{state}");
                assert!(folder.read("child", format) == expected, "{state}");
            }
        }
    }
    println!("{states} crash states");
    assert!(states > 100, "{states}");
}

fn copy(from: &dyn Storage, to: &mut blockio::SparseMemoryStorage) {
    copy_into(from, to);
}

fn copy_into(from: &dyn Storage, to: &dyn Storage) {
    let length = from.len().unwrap();
    to.set_len(length).unwrap();
    let mut at = 0;
    let mut buf = vec![0; 1 << 20];
    while at < length.get() {
        let count = usize::try_from((length.get() - at).min(1 << 20)).unwrap();
        from.read_at(&mut buf[..count], ByteOffset(at)).unwrap();
        if buf[..count].iter().any(|byte| *byte != 0) {
            to.write_at(&buf[..count], ByteOffset(at)).unwrap();
        }
        at += 1 << 20;
    }
}

#[test]
fn a_full_host_ends_the_work_and_leaves_a_child_that_reads_the_same() {
    for format in FORMATS {
        let mut failures = 0;
        for nth in 0..6 {
            let (world, storage) = three(format, 31);
            let fault = Fault::new(FaultTarget::Change, nth * 2).no_space().sticky();
            storage.inject(fault);
            let called = ParentNames::default();
            let result = pull(&world.folder, "child", format, PullLevels::All, &called);
            storage.clear_faults();
            if let Err(error) = result {
                assert_eq!(error.kind(), ImageErrorKind::NoSpace, "{error}");
                failures += 1;
            }
            let mut folder = world.folder.clone();
            let left = Arc::new(blockio::SparseMemoryStorage::default());
            copy_into(&storage, &*left);
            folder.files.insert("child".to_owned(), left);
            assert!(folder.read("child", format) == world.images["child"].bytes);
            if vdisk::info(&folder.files["child"], Some(format))
                .unwrap()
                .parent
                .is_some()
            {
                pull(&folder, "child", format, PullLevels::All, &called).unwrap();
            }
            assert!(folder.read("child", format) == world.images["child"].bytes);
        }
        assert!(failures >= 4, "{format} {failures}");
    }
}

#[test]
fn work_that_is_stopped_changes_nothing_that_is_read() {
    for format in FORMATS {
        let (world, _) = three(format, 41);
        let stop = |_| ControlFlow::Break(());
        let storage = Box::new(world.folder.files["child"].clone());
        let gate = world.folder.gate("child");
        let called = names("image-1");
        let levels = PullLevels::Nearest(1);
        let error = vdisk::pull(storage, format, &gate, levels, &called, &stop).unwrap_err();
        assert_eq!(error.kind(), ImageErrorKind::Cancelled);
        world.verify();
    }
}

#[test]
fn a_taken_in_child_keeps_what_its_children_know_it_by() {
    for format in FORMATS {
        let (mut world, _) = three(format, 51);
        let grandchild = world.child("child");
        world.write(&grandchild);
        pull(
            &world.folder,
            "child",
            format,
            PullLevels::All,
            &ParentNames::default(),
        )
        .unwrap();
        world.images.get_mut("child").unwrap().parent = None;
        world.verify();
    }
}

#[test]
fn what_cannot_be_a_parent_is_refused_before_a_byte_is_written() {
    for format in FORMATS {
        let (mut world, storage) = three(format, 61);
        let before = storage.position();
        let kind = |result: Result<vdisk::MergeSummary, ImageError>| result.unwrap_err().kind();
        // A circle: the child would stand on what stands on it.
        let below_it = world.child("child");
        let check = RebaseCheck::Compare;
        let refused = rebase(&world.folder, "child", format, &below_it, check);
        assert_eq!(kind(refused), ImageErrorKind::ParentLoop);
        let refused = rebase(&world.folder, "child", format, "child", check);
        assert_eq!(kind(refused), ImageErrorKind::ParentLoop);
        // A larger one, and for VHDX one of other sectors.
        let mut others = vec![CreateOptions::new(ByteCount(DISK + MIB))];
        if format == ImageFormat::Vhdx {
            others.push(CreateOptions {
                logical_sector: SectorSize::B4096,
                ..CreateOptions::new(ByteCount(4 * MIB))
            });
        }
        for options in others {
            let file = File::default();
            let made = vdisk::create(Box::new(file.clone()), format, &options);
            made.unwrap().close().unwrap();
            world.folder.files.insert("other".to_owned(), file);
            for check in [RebaseCheck::Compare, RebaseCheck::Trust] {
                let refused = rebase(&world.folder, "child", format, "other", check);
                assert_eq!(kind(refused), ImageErrorKind::ParentMismatch);
            }
        }
        // An image that has no parent has nothing to take in.
        let levels = PullLevels::All;
        let refused = pull(
            &world.folder,
            "image-1",
            format,
            levels,
            &ParentNames::default(),
        );
        assert_eq!(kind(refused), ImageErrorKind::InvalidOption);
        // A parent that was written since is noticed (VHDX).
        if format == ImageFormat::Vhdx {
            let parent = world.images["child"].parent.clone().unwrap();
            let disk = world
                .folder
                .open(&parent, format, Access::ReadWrite)
                .unwrap();
            disk.write_at(&[1; 512], ByteOffset(0)).unwrap();
            disk.close().unwrap();
            let refused = merge(&world.folder, "child", &parent, format);
            assert_eq!(kind(refused), ImageErrorKind::ParentMismatch);
            let refused = pull(
                &world.folder,
                "child",
                format,
                levels,
                &ParentNames::default(),
            );
            assert_eq!(kind(refused), ImageErrorKind::ParentMismatch);
        }
        assert_eq!(storage.position(), before, "the child was written");
    }
}

/// A file that counts what is read from it and how often the host is asked.
struct Counted {
    inner: File,
    calls: std::sync::atomic::AtomicUsize,
    bytes: std::sync::atomic::AtomicUsize,
}

impl Counted {
    fn new(inner: File) -> Self {
        Self {
            inner,
            calls: std::sync::atomic::AtomicUsize::new(0),
            bytes: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    fn count(&self, bytes: usize) {
        let order = std::sync::atomic::Ordering::Relaxed;
        self.calls.fetch_add(1, order);
        self.bytes.fetch_add(bytes, order);
    }
}

impl Storage for Counted {
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> blockio::Result<()> {
        self.count(buf.len());
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> blockio::Result<()> {
        self.count(buf.len());
        self.inner.write_at(buf, offset)
    }

    fn sync(&self) -> blockio::Result<()> {
        self.inner.sync()
    }

    fn len(&self) -> blockio::Result<ByteCount> {
        self.inner.len()
    }

    fn set_len(&self, len: ByteCount) -> blockio::Result<()> {
        self.inner.set_len(len)
    }

    fn zero(&self, range: blockio::ByteRange, mode: blockio::ZeroMode) -> blockio::Result<()> {
        self.inner.zero(range, mode)
    }

    fn extent_at(&self, range: blockio::ByteRange) -> blockio::Result<blockio::Extent> {
        self.count(0);
        self.inner.extent_at(range)
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }
}

#[test]
fn a_child_of_a_large_disk_costs_what_one_of_a_small_disk_does() {
    let order = std::sync::atomic::Ordering::Relaxed;
    let costs = [1_u64 << 30, 1 << 40].map(|size| {
        let base = File::default();
        let options = CreateOptions::new(ByteCount(size));
        let made = vdisk::create(Box::new(base.clone()), ImageFormat::Vhdx, &options).unwrap();
        for at in (0..size).step_by(usize::try_from(size / 16).unwrap()) {
            made.write_at(&[1; 4096], ByteOffset(at)).unwrap();
        }
        made.close().unwrap();
        let parent = Arc::new(Counted::new(base));
        let child = Arc::new(Counted::new(File::default()));
        let options = ChildOptions {
            size: None,
            block_size: None,
            names: names("parent"),
            ids: IdSource::Random,
            unix_time: 0,
        };
        let opened = OpenedParent {
            storage: Box::new(parent.clone()),
            name: "parent".to_owned(),
            gate: Box::new(vdisk::DenyAll),
        };
        let storage = Box::new(child.clone());
        let made = vdisk::create_child(storage, ImageFormat::Vhdx, &options, opened);
        made.unwrap().close().unwrap();
        [&parent, &child].map(|file| (file.calls.load(order), file.bytes.load(order)))
    });
    assert_eq!(costs[0], costs[1]);
    println!("calls and bytes, parent and child: {:?}", costs[0]);
}

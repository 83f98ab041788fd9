//! Layers that take in others: random chains against arrays, what of it is in the file when the power
//! is cut, and what is refused. `CVOL_LAYER_HISTORIES` says how many histories are tried.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use blockio::{
    ByteCount, ByteOffset, CrashPlan, Disk, Fault, FaultTarget, SectorSize, SimStorage, Storage,
};
use vdisk::{
    Access, ChildOptions, CreateOptions, FileIdentity, IdSource, ImageDisk, ImageError,
    ImageErrorKind, ImageFormat, OpenedParent, ParentGate, ParentInfo, ParentNames, PullLevels,
    RebaseCheck,
};

use crate::images::{self, File, KIB, MIB, range};
use crate::random::Random;

const DISK: u64 = 5 * MIB + 512 * 8;
const FORMATS: [ImageFormat; 2] = [ImageFormat::Vhdx, ImageFormat::Vhd];

/// Files that are found by what their children call them.
#[derive(Clone, Default)]
struct Folder {
    files: BTreeMap<String, Arc<dyn Storage>>,
}

struct NameGate {
    folder: Folder,
    own: String,
}

impl Folder {
    fn gate(&self, own: &str) -> NameGate {
        NameGate {
            folder: self.clone(),
            own: own.to_owned(),
        }
    }

    fn opened(&self, name: &str) -> OpenedParent {
        OpenedParent {
            storage: Box::new(self.files[name].clone()),
            name: name.to_owned(),
            gate: Box::new(self.gate(name)),
        }
    }

    fn open(
        &self,
        name: &str,
        format: ImageFormat,
        access: Access,
    ) -> Result<Box<dyn ImageDisk>, ImageError> {
        let storage = Box::new(self.files[name].clone());
        vdisk::open_chain(storage, Some(format), access, &self.gate(name))
    }

    /// What an image reads; a reader and a writer see the same, and a check finds nothing.
    fn read(&self, name: &str, format: ImageFormat) -> Vec<u8> {
        let bytes = images::read_all(&*self.open(name, format, Access::ReadOnly).unwrap());
        let writer = self.open(name, format, Access::ReadWrite).unwrap();
        assert!(
            bytes == images::read_all(&*writer),
            "reader and writer differ"
        );
        drop(writer);
        let report = vdisk::check(&self.files[name], Some(format)).unwrap();
        assert!(report.is_sound(), "{name}: {:?}", report.findings());
        bytes
    }
}

impl ParentGate for NameGate {
    fn identity(&self) -> Option<FileIdentity> {
        Some(FileIdentity::new(self.own.clone()))
    }

    fn open_parent(
        &self,
        _format: ImageFormat,
        parent: &ParentInfo,
        descendants: &[FileIdentity],
    ) -> Result<OpenedParent, ImageError> {
        let mut names = parent
            .paths
            .iter()
            .filter_map(|path| path.path.strip_prefix(".\\"));
        let found = names.find(|name| self.folder.files.contains_key(*name));
        let Some(name) = found else {
            return Err(ImageError::ParentMissing {
                parent: parent.display_name(),
                tried: Vec::new(),
            });
        };
        if descendants.contains(&FileIdentity::new(name)) {
            return Err(ImageError::ParentLoop {
                parent: name.to_owned(),
            });
        }
        Ok(self.folder.opened(name))
    }
}

fn names(parent: &str) -> ParentNames {
    ParentNames {
        relative: Some(format!(".\\{parent}")),
        volume: None,
        absolute: Some(format!("C:\\a somewhat longer way\\to {parent}")),
    }
}

fn go_on(_: vdisk::Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// An image and what it must read.
#[derive(Clone)]
struct Image {
    parent: Option<String>,
    bytes: Vec<u8>,
}

struct World {
    format: ImageFormat,
    folder: Folder,
    images: BTreeMap<String, Image>,
    made: usize,
    random: Random,
}

impl World {
    fn new(format: ImageFormat, seed: u64) -> Self {
        let mut world = Self {
            format,
            folder: Folder::default(),
            images: BTreeMap::new(),
            made: 0,
            random: Random::new(seed),
        };
        world.base();
        world
    }

    fn fresh_name(&mut self) -> String {
        self.made += 1;
        format!("image-{}", self.made)
    }

    fn base(&mut self) -> String {
        let name = self.fresh_name();
        let file = File::default();
        let options = CreateOptions {
            block_size: Some(ByteCount(self.block_size())),
            ..CreateOptions::new(ByteCount(DISK))
        };
        let made = vdisk::create(Box::new(file.clone()), self.format, &options);
        made.unwrap().close().unwrap();
        self.folder.files.insert(name.clone(), file);
        let bytes = vec![0; usize::try_from(DISK).unwrap()];
        let parent = None;
        self.images.insert(name.clone(), Image { parent, bytes });
        name
    }

    fn block_size(&mut self) -> u64 {
        match (self.format, self.random.below(2)) {
            (ImageFormat::Vhd, 0) => 512 * KIB,
            (_, 0) => MIB,
            _ => 2 * MIB,
        }
    }

    fn child(&mut self, parent: &str) -> String {
        let name = self.fresh_name();
        let file: Arc<dyn Storage> = File::default();
        self.child_in(parent, &name, file);
        name
    }

    fn child_in(&mut self, parent: &str, name: &str, file: Arc<dyn Storage>) {
        let options = ChildOptions {
            size: None,
            block_size: Some(ByteCount(self.block_size())),
            names: names(parent),
            ids: IdSource::Random,
            unix_time: 0,
        };
        let opened = self.folder.opened(parent);
        let made = vdisk::create_child(Box::new(file.clone()), self.format, &options, opened);
        made.unwrap().close().unwrap();
        self.folder.files.insert(name.to_owned(), file);
        let image = Image {
            parent: Some(parent.to_owned()),
            bytes: self.images[parent].bytes.clone(),
        };
        self.images.insert(name.to_owned(), image);
    }

    fn has_children(&self, name: &str) -> bool {
        let mut images = self.images.values();
        images.any(|image| image.parent.as_deref() == Some(name))
    }

    fn any(&mut self, wanted: impl Fn(&Self, &str) -> bool) -> Option<String> {
        let names: Vec<String> = self.images.keys().cloned().collect();
        let names: Vec<String> = names
            .into_iter()
            .filter(|name| wanted(self, name))
            .collect();
        let count = u64::try_from(names.len()).unwrap();
        (count > 0).then(|| names[usize::try_from(self.random.below(count)).unwrap()].clone())
    }

    /// Writes into an image that nobody stands on.
    fn write(&mut self, name: &str) {
        let disk = self
            .folder
            .open(name, self.format, Access::ReadWrite)
            .unwrap();
        for _ in 0..=self.random.below(6) {
            let sector = self.random.below(DISK / 512);
            let most = match self.random.below(5) {
                0 => 5000,
                _ => 40,
            };
            let count = (1 + self.random.below(most)).min(DISK / 512 - sector);
            let at = usize::try_from(sector * 512).unwrap();
            let length = usize::try_from(count * 512).unwrap();
            let byte = u8::try_from(self.random.below(255)).unwrap() + 1;
            let image = self.images.get_mut(name).unwrap();
            match self.random.below(10) {
                0..7 => {
                    // Not whole sectors at its ends, so that the parent's bytes come along.
                    let (from, to) = (at + 3, at + length - 3);
                    disk.write_at(&vec![byte; to - from], ByteOffset(sector * 512 + 3))
                        .unwrap();
                    image.bytes[from..to].fill(byte);
                }
                7 => {
                    disk.discard(range(sector * 512, count * 512)).unwrap();
                    image.bytes[at..at + length].fill(0);
                }
                _ => {
                    disk.write_zeroes(range(sector * 512, count * 512)).unwrap();
                    image.bytes[at..at + length].fill(0);
                }
            }
        }
        disk.close().unwrap();
    }

    fn ancestors(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut at = self.images[name].parent.clone();
        while let Some(name) = at {
            at = self.images[&name].parent.clone();
            found.push(name);
        }
        found
    }

    fn pull(&mut self, name: &str) {
        let ancestors = self.ancestors(name);
        let count = 1 + usize::try_from(self.random.below(3)).unwrap();
        let (levels, below) = match self.random.below(3) {
            0 => (PullLevels::All, None),
            _ => (PullLevels::Nearest(count), ancestors.get(count)),
        };
        let called = below.map_or_else(ParentNames::default, |below| names(below));
        pull(&self.folder, name, self.format, levels, &called).unwrap();
        self.images.get_mut(name).unwrap().parent = below.cloned();
    }

    fn rebase(&mut self, name: &str, new: &str) {
        rebase(&self.folder, name, self.format, new, RebaseCheck::Compare).unwrap();
        self.images.get_mut(name).unwrap().parent = Some(new.to_owned());
    }

    /// Merges an image into its parent, which nobody else stands on, and puts the children of the
    /// image onto that.
    fn merge(&mut self, name: &str) {
        let parent = self.images[name].parent.clone().unwrap();
        merge(&self.folder, name, &parent, self.format).unwrap();
        let bytes = self.images[name].bytes.clone();
        self.images.get_mut(&parent).unwrap().bytes = bytes;
        let children: Vec<String> = self.images.keys().cloned().collect();
        for child in children {
            if self.images[&child].parent.as_deref() == Some(name) {
                rebase(
                    &self.folder,
                    &child,
                    self.format,
                    &parent,
                    RebaseCheck::Trust,
                )
                .unwrap();
                self.images.get_mut(&child).unwrap().parent = Some(parent.clone());
            }
        }
        self.images.remove(name);
        self.folder.files.remove(name);
    }

    fn step(&mut self) {
        let is_leaf = |world: &Self, name: &str| !world.has_children(name);
        let has_parent = |world: &Self, name: &str| world.images[name].parent.is_some();
        match self.random.below(12) {
            0..3 => {
                let parent = self.any(|_, _| true).unwrap();
                if self.images.len() < 7 {
                    let child = self.child(&parent);
                    self.write(&child);
                }
            }
            3 if self.images.len() < 7 => {
                let base = self.base();
                self.write(&base);
            }
            3..7 => {
                let leaf = self.any(is_leaf).unwrap();
                self.write(&leaf);
            }
            7..9 => {
                if let Some(child) = self.any(has_parent) {
                    self.pull(&child);
                }
            }
            9..11 => {
                let Some(child) = self.any(has_parent) else {
                    return;
                };
                let fits = |world: &Self, new: &str| {
                    new != child && !world.ancestors(new).contains(&child)
                };
                if let Some(new) = self.any(fits) {
                    self.rebase(&child, &new);
                }
            }
            _ => {
                let alone = |world: &Self, name: &str| {
                    let parent = world.images[name].parent.as_deref();
                    let on_it = world
                        .images
                        .values()
                        .filter(|it| it.parent.as_deref() == parent);
                    parent.is_some() && on_it.count() == 1
                };
                if let Some(child) = self.any(alone) {
                    self.merge(&child);
                }
            }
        }
    }

    fn verify(&self) {
        for (name, image) in &self.images {
            let seen = self.folder.read(name, self.format);
            assert!(seen == image.bytes, "{name} of {} differs", self.format);
        }
    }
}

fn pull(
    folder: &Folder,
    name: &str,
    format: ImageFormat,
    levels: PullLevels,
    called: &ParentNames,
) -> Result<vdisk::MergeSummary, ImageError> {
    let storage = Box::new(folder.files[name].clone());
    vdisk::pull(storage, format, &folder.gate(name), levels, called, &go_on)
}

fn rebase(
    folder: &Folder,
    name: &str,
    format: ImageFormat,
    new: &str,
    check: RebaseCheck,
) -> Result<vdisk::MergeSummary, ImageError> {
    let storage = Box::new(folder.files[name].clone());
    let (gate, opened) = (folder.gate(name), folder.opened(new));
    vdisk::rebase(storage, format, &gate, opened, &names(new), check, &go_on)
}

fn merge(
    folder: &Folder,
    name: &str,
    parent: &str,
    format: ImageFormat,
) -> Result<vdisk::MergeSummary, ImageError> {
    let storage = Box::new(folder.files[name].clone());
    vdisk::merge_into_parent(storage, folder.opened(parent), format, &go_on)
}

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

//! Folders of images in memory, and random chains in them beside arrays of the bytes they hold.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use blockio::{ByteCount, ByteOffset, Disk, Storage};
use vdisk::{
    Access, ChildOptions, CreateOptions, FileIdentity, IdSource, ImageDisk, ImageError,
    ImageFormat, OpenedParent, ParentGate, ParentInfo, ParentNames, PullLevels, RebaseCheck,
};

use crate::images::{self, File, KIB, MIB, range};
use crate::random::Random;

use super::DISK;

/// Files that are found by what their children call them.
#[derive(Clone, Default)]
pub(super) struct Folder {
    pub(super) files: BTreeMap<String, Arc<dyn Storage>>,
}

pub(super) struct NameGate {
    pub(super) folder: Folder,
    pub(super) own: String,
}

impl Folder {
    pub(super) fn gate(&self, own: &str) -> NameGate {
        NameGate {
            folder: self.clone(),
            own: own.to_owned(),
        }
    }

    pub(super) fn opened(&self, name: &str) -> OpenedParent {
        OpenedParent {
            storage: Box::new(self.files[name].clone()),
            name: name.to_owned(),
            gate: Box::new(self.gate(name)),
        }
    }

    pub(super) fn open(
        &self,
        name: &str,
        format: ImageFormat,
        access: Access,
    ) -> Result<Box<dyn ImageDisk>, ImageError> {
        let storage = Box::new(self.files[name].clone());
        vdisk::open_chain(storage, Some(format), access, &self.gate(name))
    }

    /// What an image reads; a reader and a writer see the same, and a check finds nothing.
    pub(super) fn read(&self, name: &str, format: ImageFormat) -> Vec<u8> {
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

pub(super) fn names(parent: &str) -> ParentNames {
    ParentNames {
        relative: Some(format!(".\\{parent}")),
        volume: None,
        absolute: Some(format!("C:\\a somewhat longer way\\to {parent}")),
    }
}

pub(super) fn go_on(_: vdisk::Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// An image and what it must read.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) parent: Option<String>,
    pub(super) bytes: Vec<u8>,
}

pub(super) struct World {
    pub(super) format: ImageFormat,
    pub(super) folder: Folder,
    pub(super) images: BTreeMap<String, Image>,
    pub(super) made: usize,
    pub(super) random: Random,
}

impl World {
    pub(super) fn new(format: ImageFormat, seed: u64) -> Self {
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

    pub(super) fn fresh_name(&mut self) -> String {
        self.made += 1;
        format!("image-{}", self.made)
    }

    pub(super) fn base(&mut self) -> String {
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

    pub(super) fn block_size(&mut self) -> u64 {
        match (self.format, self.random.below(2)) {
            (ImageFormat::Vhd, 0) => 512 * KIB,
            (_, 0) => MIB,
            _ => 2 * MIB,
        }
    }

    pub(super) fn child(&mut self, parent: &str) -> String {
        let name = self.fresh_name();
        let file: Arc<dyn Storage> = File::default();
        self.child_in(parent, &name, file);
        name
    }

    pub(super) fn child_in(&mut self, parent: &str, name: &str, file: Arc<dyn Storage>) {
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

    pub(super) fn has_children(&self, name: &str) -> bool {
        let mut images = self.images.values();
        images.any(|image| image.parent.as_deref() == Some(name))
    }

    pub(super) fn any(&mut self, wanted: impl Fn(&Self, &str) -> bool) -> Option<String> {
        let names: Vec<String> = self.images.keys().cloned().collect();
        let names: Vec<String> = names
            .into_iter()
            .filter(|name| wanted(self, name))
            .collect();
        let count = u64::try_from(names.len()).unwrap();
        (count > 0).then(|| names[usize::try_from(self.random.below(count)).unwrap()].clone())
    }

    /// Writes into an image that nobody stands on.
    pub(super) fn write(&mut self, name: &str) {
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

    pub(super) fn ancestors(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut at = self.images[name].parent.clone();
        while let Some(name) = at {
            at = self.images[&name].parent.clone();
            found.push(name);
        }
        found
    }

    pub(super) fn pull(&mut self, name: &str) {
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

    pub(super) fn rebase(&mut self, name: &str, new: &str) {
        rebase(&self.folder, name, self.format, new, RebaseCheck::Compare).unwrap();
        self.images.get_mut(name).unwrap().parent = Some(new.to_owned());
    }

    /// Merges an image into its parent, which nobody else stands on, and puts the children of the
    /// image onto that.
    pub(super) fn merge(&mut self, name: &str) {
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

    pub(super) fn step(&mut self) {
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

    pub(super) fn verify(&self) {
        for (name, image) in &self.images {
            let seen = self.folder.read(name, self.format);
            assert!(seen == image.bytes, "{name} of {} differs", self.format);
        }
    }
}

pub(super) fn pull(
    folder: &Folder,
    name: &str,
    format: ImageFormat,
    levels: PullLevels,
    called: &ParentNames,
) -> Result<vdisk::MergeSummary, ImageError> {
    let storage = Box::new(folder.files[name].clone());
    vdisk::pull(storage, format, &folder.gate(name), levels, called, &go_on)
}

pub(super) fn rebase(
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

pub(super) fn merge(
    folder: &Folder,
    name: &str,
    parent: &str,
    format: ImageFormat,
) -> Result<vdisk::MergeSummary, ImageError> {
    let storage = Box::new(folder.files[name].clone());
    vdisk::merge_into_parent(storage, folder.opened(parent), format, &go_on)
}

//! Chains of differencing images: random operations against an array, with children made on the
//! way; what is written in front of a parent never lets it through again.

use std::sync::Arc;

use blockio::{BlockKind, ByteCount, ByteOffset, Disk, SectorSize, Storage};
use vdisk::{
    Access, ChildOptions, CreateOptions, IdSource, ImageDisk, ImageError, ImageFormat,
    OpenedParent, ParentNames, Provisioning,
};

use crate::gates::{Shelf, ShelfGate};
use crate::images::{self, File, KIB, MIB, range};
use crate::random::Random;

/// Files of a chain, the oldest first; file `n` is called `n`.
#[derive(Clone)]
pub(crate) struct Files {
    format: ImageFormat,
    pub(crate) files: Vec<Arc<dyn Storage>>,
}

pub(crate) fn names() -> ParentNames {
    ParentNames {
        relative: Some(".\\parent.vhdx".to_owned()),
        volume: None,
        absolute: Some("C:\\images\\parent.vhdx".to_owned()),
    }
}

pub(crate) fn child_options(format: ImageFormat) -> ChildOptions {
    let block_size = match format {
        ImageFormat::Vhd => 512 * KIB,
        _ => MIB,
    };
    ChildOptions {
        size: None,
        block_size: Some(ByteCount(block_size)),
        names: names(),
        ids: IdSource::Random,
        unix_time: 1_700_000_000,
    }
}

impl Files {
    pub(crate) fn new(format: ImageFormat, base: Arc<dyn Storage>) -> Self {
        let files = vec![base];
        Self { format, files }
    }

    /// The gate of the youngest file, or of one that is not on the shelf yet.
    pub(crate) fn gate(&self, own: usize) -> ShelfGate {
        let named = self.files.iter().enumerate();
        let shelf = Shelf::of(
            named
                .map(|(number, file)| (number.to_string(), file.clone()))
                .collect(),
        );
        let ancestors: Vec<String> = (0..own).rev().map(|number| number.to_string()).collect();
        let ancestors: Vec<&str> = ancestors.iter().map(String::as_str).collect();
        shelf.gate_of(&own.to_string(), &ancestors)
    }

    pub(crate) fn parent(&self) -> OpenedParent {
        self.gate(self.files.len()).open().unwrap()
    }

    /// Makes a child of the youngest in `file`.
    pub(crate) fn grow(
        &mut self,
        file: Arc<dyn Storage>,
        options: &ChildOptions,
    ) -> Box<dyn ImageDisk> {
        let made = vdisk::create_child(Box::new(file.clone()), self.format, options, self.parent());
        self.files.push(file);
        made.unwrap()
    }

    pub(crate) fn open(&self, access: Access) -> Result<Box<dyn ImageDisk>, ImageError> {
        let youngest = self.files.len() - 1;
        self.open_file(self.files[youngest].clone(), access)
    }

    /// Opens `file` in the place of the youngest.
    pub(crate) fn open_file(
        &self,
        file: Arc<dyn Storage>,
        access: Access,
    ) -> Result<Box<dyn ImageDisk>, ImageError> {
        let gate = self.gate(self.files.len() - 1);
        vdisk::open_chain(Box::new(file), Some(self.format), access, &gate)
    }
}

pub(crate) fn base(
    format: ImageFormat,
    provisioning: Provisioning,
    size: u64,
) -> (Files, Box<dyn ImageDisk>) {
    let file = File::default();
    let disk = images::create(&file, format, provisioning, size);
    (Files::new(format, file), disk)
}

/// A chain under test beside the array it must agree with.
struct Pair {
    files: Files,
    disk: Option<Box<dyn ImageDisk>>,
    array: Vec<u8>,
    random: Random,
}

impl Pair {
    fn new(format: ImageFormat, provisioning: Provisioning, size: u64, seed: u64) -> Self {
        let (files, disk) = base(format, provisioning, size);
        Self {
            files,
            disk: Some(disk),
            array: vec![0; usize::try_from(size).unwrap()],
            random: Random::new(seed),
        }
    }

    fn disk(&self) -> &dyn ImageDisk {
        &**self.disk.as_ref().unwrap()
    }

    fn pick(&mut self) -> (u64, u64) {
        let size = self.disk().size().get();
        let longest = match self.random.below(12) {
            0 => 3 * MIB,
            1 | 2 => 96 * KIB,
            3 => 700,
            _ => 6000,
        };
        let (mut start, mut len) = (self.random.below(size), 1 + self.random.below(longest));
        match self.random.below(4) {
            0 | 1 => {
                start = start / 4096 * 4096;
                len = len.next_multiple_of(4096);
            }
            // A whole block, now and then.
            2 if longest == 3 * MIB => {
                start = start / MIB * MIB;
                len = MIB;
            }
            _ => {}
        }
        (start, len.min(size - start))
    }

    fn slice(&mut self, start: u64, len: u64) -> &mut [u8] {
        let start = usize::try_from(start).unwrap();
        &mut self.array[start..start + usize::try_from(len).unwrap()]
    }

    fn step(&mut self) {
        let (start, len) = self.pick();
        match self.random.below(100) {
            0..45 => {
                let seed = self.random.next();
                let mut bytes = vec![0; usize::try_from(len).unwrap()];
                if !seed.is_multiple_of(6) {
                    bytes = Random::new(seed).bytes(bytes.len());
                }
                self.disk().write_at(&bytes, ByteOffset(start)).unwrap();
                self.slice(start, len).copy_from_slice(&bytes);
            }
            45..55 => {
                self.disk().write_zeroes(range(start, len)).unwrap();
                self.slice(start, len).fill(0);
            }
            55..65 => {
                self.disk().discard(range(start, len)).unwrap();
                self.slice(start, len).fill(0);
            }
            65..93 => {
                let mut bytes = vec![1; usize::try_from(len).unwrap()];
                self.disk().read_at(&mut bytes, ByteOffset(start)).unwrap();
                assert!(bytes == self.slice(start, len), "{len} bytes at {start}");
            }
            93..97 => self.disk().flush().unwrap(),
            _ => self.reopen(),
        }
    }

    fn reopen(&mut self) {
        let disk = self.disk.take().unwrap();
        if self.random.below(2) == 0 {
            disk.close().unwrap();
        } else {
            disk.flush().unwrap();
            drop(disk);
        }
        // Readers see the same, also through a log that was not cleared.
        let reader = self.files.open(Access::ReadOnly).unwrap();
        let (start, len) = (0, reader.size().get().min(MIB + 700));
        let mut bytes = vec![1; usize::try_from(len).unwrap()];
        reader.read_at(&mut bytes, ByteOffset(start)).unwrap();
        assert!(bytes == self.slice(start, len));
        drop(reader);
        self.disk = Some(self.files.open(Access::ReadWrite).unwrap());
    }

    /// Makes a child of what there is, sometimes a larger one, and goes on with it.
    fn grow(&mut self) {
        self.disk.take().unwrap().close().unwrap();
        let mut options = child_options(self.files.format);
        if self.random.below(3) == 0 {
            let size = self.array.len() + (512 << self.random.below(12));
            options.size = Some(ByteCount(u64::try_from(size).unwrap()));
            self.array.resize(size, 0);
        }
        if self.files.format == ImageFormat::Vhdx && self.random.below(2) == 0 {
            options.block_size = Some(ByteCount(2 * MIB));
        }
        self.disk = Some(self.files.grow(File::default(), &options));
    }

    fn finish(mut self) {
        self.reopen();
        assert!(images::read_by_status(self.disk()) == self.array);
        self.disk.take().unwrap().close().unwrap();
        let reader = self.files.open(Access::ReadOnly).unwrap();
        assert!(images::read_by_status(&*reader) == self.array);
        for file in &self.files.files {
            let report = vdisk::check(file, Some(self.files.format)).unwrap();
            assert!(report.is_sound(), "{:?}", report.findings());
        }
    }
}

fn check(format: ImageFormat, provisioning: Provisioning, seed: u64) {
    let mut pair = Pair::new(format, provisioning, 7 * MIB + 512, seed);
    for generation in 0..5 {
        for _ in 0..400 {
            pair.step();
        }
        if generation < 4 {
            pair.grow();
        }
    }
    pair.finish();
}

#[test]
fn a_chain_of_vhdx_holds_what_an_array_holds() {
    check(ImageFormat::Vhdx, Provisioning::Dynamic, 1);
    check(ImageFormat::Vhdx, Provisioning::Fixed, 2);
    check(ImageFormat::Vhdx, Provisioning::Dynamic, 3);
}

#[test]
fn a_chain_of_vhd_holds_what_an_array_holds() {
    check(ImageFormat::Vhd, Provisioning::Dynamic, 4);
    check(ImageFormat::Vhd, Provisioning::Fixed, 5);
    check(ImageFormat::Vhd, Provisioning::Dynamic, 6);
}

#[test]
fn sectors_of_4096_bytes_are_the_unit_of_a_child_too() {
    let file = File::default();
    let options = CreateOptions {
        logical_sector: SectorSize::B4096,
        block_size: Some(ByteCount(MIB)),
        ..CreateOptions::new(ByteCount(6 * MIB))
    };
    let disk = vdisk::create(Box::new(file.clone()), ImageFormat::Vhdx, &options).unwrap();
    let files = Files::new(ImageFormat::Vhdx, file);
    let mut pair = Pair {
        files,
        disk: Some(disk),
        array: vec![0; 6 << 20],
        random: Random::new(9),
    };
    for _ in 0..3 {
        (0..200).for_each(|_| pair.step());
        pair.disk.take().unwrap().close().unwrap();
        let options = child_options(ImageFormat::Vhdx);
        pair.disk = Some(pair.files.grow(File::default(), &options));
    }
    pair.finish();
}

pub(crate) const FORMATS: [ImageFormat; 2] = [ImageFormat::Vhdx, ImageFormat::Vhd];

#[test]
fn nothing_that_was_discarded_or_zeroed_in_a_child_shows_its_parent_again() {
    for format in FORMATS {
        for discard in [true, false] {
            for (start, len) in [(0, 4 * MIB), (MIB, MIB), (5, 1), (1000, 3 * MIB), (511, 2)] {
                let (mut files, disk) = base(format, Provisioning::Dynamic, 4 * MIB);
                disk.write_at(&vec![7; 4 << 20], ByteOffset(0)).unwrap();
                disk.close().unwrap();
                let child = files.grow(File::default(), &child_options(format));
                let range = range(start, len);
                match discard {
                    true => child.discard(range).unwrap(),
                    false => child.write_zeroes(range).unwrap(),
                }
                let mut expected = vec![7; 4 << 20];
                let start = usize::try_from(start).unwrap();
                expected[start..start + usize::try_from(len).unwrap()].fill(0);
                assert!(
                    images::read_by_status(&*child) == expected,
                    "{format} {range}"
                );
                child.close().unwrap();
                let child = files.open(Access::ReadWrite).unwrap();
                assert!(
                    images::read_by_status(&*child) == expected,
                    "{format} {range}"
                );
            }
        }
    }
}

#[test]
fn zeros_over_a_parent_that_is_zero_there_take_no_space() {
    for format in FORMATS {
        let (mut files, disk) = base(format, Provisioning::Dynamic, 64 * MIB);
        disk.close().unwrap();
        let child = files.grow(File::default(), &child_options(format));
        child.discard(range(100, 60 * MIB)).unwrap();
        child.write_zeroes(range(100, 60 * MIB)).unwrap();
        assert_eq!(child.info().allocated.get(), 0, "{format}");
        let status = child.block_status(range(0, 64 * MIB)).unwrap();
        assert_eq!(
            (status.kind, status.range.len().get()),
            (BlockKind::Hole, 64 * MIB)
        );
    }
}

#[test]
fn a_child_of_64_tib_costs_its_table_alone() {
    let (mut files, disk) = base(ImageFormat::Vhdx, Provisioning::Dynamic, 64 << 40);
    disk.write_at(&[1; 512], ByteOffset(1 << 40)).unwrap();
    disk.close().unwrap();
    let file = File::default();
    let child = files.grow(file.clone(), &child_options(ImageFormat::Vhdx));
    child.write_at(&[2; 512], ByteOffset(9 << 40)).unwrap();
    child.close().unwrap();
    assert!(file.allocated().get() < 4 * MIB, "{}", file.allocated());
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let child = files.open(access).unwrap();
        let (mut at, mut runs, mut data) = (0, 0, 0);
        while at < 64 << 40 {
            let status = child.block_status(range(at, (64 << 40) - at)).unwrap();
            data += status.range.len().get() * u64::from(!status.kind.reads_zero());
            at = status.range.end().get();
            runs += 1;
        }
        assert!(data <= 2 * MIB && runs < 200, "{data} bytes in {runs} runs");
    }
}

#[test]
fn a_new_child_is_described_with_its_parent_as_windows_writes_it() {
    for format in FORMATS {
        let (mut files, disk) = base(format, Provisioning::Dynamic, 4 * MIB);
        let linkage = disk.info();
        disk.close().unwrap();
        let child = files.grow(File::default(), &child_options(format));
        let info = child.info();
        assert_eq!(info.kind, vdisk::ImageKind::Differencing);
        let parent = info.parent.unwrap();
        let id = parent.linkage.unwrap().to_string();
        let ids: Vec<_> = linkage.ids.iter().map(|(_, id)| id).collect();
        assert!(ids.contains(&&id), "{format}");
        assert_eq!(parent.linkage2, None);
        let named = |kind: &str| {
            let path = parent.paths.iter().find(|path| path.kind == kind);
            path.map(|path| path.path.clone())
        };
        let (relative, absolute) = match format {
            ImageFormat::Vhd => ("W2ru", "W2ku"),
            _ => ("relative_path", "absolute_win32_path"),
        };
        assert_eq!(named(relative), names().relative);
        assert_eq!(named(absolute), names().absolute);
    }
}

#[test]
fn many_threads_write_one_child() {
    for format in FORMATS {
        let (mut files, disk) = base(format, Provisioning::Dynamic, 4 * MIB);
        disk.write_at(&vec![9; 4 << 20], ByteOffset(0)).unwrap();
        disk.close().unwrap();
        let child: Arc<dyn ImageDisk> = files.grow(File::default(), &child_options(format)).into();
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let child = child.clone();
                scope.spawn(move || {
                    let mut random = Random::new(u64::from(thread) + 1);
                    for _ in 0..2000 {
                        // Each thread has every fourth sector of the disk.
                        let sector = random.below(2048) * 4 + u64::from(thread);
                        let at = ByteOffset(sector * 512);
                        match random.below(10) {
                            0 => child.flush().unwrap(),
                            1 => child.write_at(&[thread; 100], at).unwrap(),
                            _ => child.write_at(&[thread; 512], at).unwrap(),
                        }
                        let mut bytes = [8; 100];
                        child.read_at(&mut bytes, at).unwrap();
                        assert!(bytes.iter().all(|byte| *byte == thread || *byte == 9));
                    }
                });
            }
        });
        let expected = images::read_all(&*child);
        for (sector, bytes) in expected.chunks(512).enumerate() {
            let thread = u8::try_from(sector % 4).unwrap();
            assert!(bytes.iter().all(|byte| *byte == thread || *byte == 9));
        }
        child.flush().unwrap();
        drop(child);
        for access in [Access::ReadOnly, Access::ReadWrite] {
            assert!(images::read_all(&*files.open(access).unwrap()) == expected);
        }
    }
}

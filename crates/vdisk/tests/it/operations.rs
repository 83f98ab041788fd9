//! Ten thousand random operations on each format leave the bytes they leave in a plain array.

use blockio::{ByteOffset, Disk};
use vdisk::{ImageDisk, ImageFormat, Provisioning};

use crate::images::{self, File, KIB, MIB, range};
use crate::random::Random;

const OPERATIONS: usize = 10_000;

/// A disk under test beside the array it must agree with.
struct Pair {
    file: File,
    format: ImageFormat,
    disk: Box<dyn ImageDisk>,
    array: Vec<u8>,
    random: Random,
}

impl Pair {
    fn new(format: ImageFormat, provisioning: Provisioning, size: u64) -> Self {
        let file = File::default();
        Self {
            disk: images::create(&file, format, provisioning, size),
            array: vec![0; usize::try_from(size).unwrap()],
            random: Random::new(size),
            file,
            format,
        }
    }

    /// A range that is short most often, crosses blocks now and then, and is aligned half the time.
    fn pick(&mut self) -> (u64, u64) {
        let size = self.disk.size().get();
        let longest = match self.random.below(10) {
            0 => 3 * MIB,
            1 | 2 => 96 * KIB,
            _ => 6000,
        };
        let (mut start, mut len) = (self.random.below(size), 1 + self.random.below(longest));
        if self.random.below(2) == 0 {
            start = start / 4096 * 4096;
            len = len.next_multiple_of(4096);
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
                let zeros = seed.is_multiple_of(8);
                let mut bytes = vec![0; usize::try_from(len).unwrap()];
                if !zeros {
                    bytes = Random::new(seed).bytes(bytes.len());
                }
                self.disk.write_at(&bytes, ByteOffset(start)).unwrap();
                self.slice(start, len).copy_from_slice(&bytes);
            }
            45..60 => {
                self.disk.write_zeroes(range(start, len)).unwrap();
                self.slice(start, len).fill(0);
            }
            60..75 => {
                self.disk.discard(range(start, len)).unwrap();
                self.slice(start, len).fill(0);
            }
            75..95 => {
                let mut bytes = vec![1; usize::try_from(len).unwrap()];
                self.disk.read_at(&mut bytes, ByteOffset(start)).unwrap();
                assert!(bytes == self.slice(start, len), "{len} bytes at {start}");
            }
            95..99 => self.disk.flush().unwrap(),
            _ => self.reopen(),
        }
    }

    fn reopen(&mut self) {
        let placeholder = images::create(
            &File::default(),
            ImageFormat::Raw,
            Provisioning::Dynamic,
            512,
        );
        let disk = std::mem::replace(&mut self.disk, placeholder);
        if self.random.below(2) == 0 {
            disk.close().unwrap();
        } else {
            disk.flush().unwrap();
            drop(disk);
        }
        self.disk = images::open(&self.file, self.format);
    }
}

fn check(format: ImageFormat, provisioning: Provisioning, size: u64) {
    let mut pair = Pair::new(format, provisioning, size);
    for _ in 0..OPERATIONS {
        pair.step();
    }
    pair.reopen();
    assert!(images::read_by_status(&*pair.disk) == pair.array);
    pair.disk.close().unwrap();
    let report = vdisk::check(&pair.file, Some(format)).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings());
    // A VHDX has room left over where blocks were given back; a VHD never gives one back.
    let leaked = report.leaked.get();
    assert!(
        leaked == 0 || format == ImageFormat::Vhdx,
        "{:?}",
        report.findings()
    );
}

#[test]
fn a_dynamic_vhd_holds_what_an_array_holds() {
    check(ImageFormat::Vhd, Provisioning::Dynamic, 9 * MIB + 512);
}

#[test]
fn a_fixed_vhd_holds_what_an_array_holds() {
    check(ImageFormat::Vhd, Provisioning::Fixed, 5 * MIB + 512);
}

#[test]
fn a_raw_image_holds_what_an_array_holds() {
    check(ImageFormat::Raw, Provisioning::Dynamic, 5 * MIB + 512);
}

#[test]
fn a_dynamic_vhdx_holds_what_an_array_holds() {
    check(ImageFormat::Vhdx, Provisioning::Dynamic, 9 * MIB + 512);
}

#[test]
fn a_fixed_vhdx_holds_what_an_array_holds() {
    check(ImageFormat::Vhdx, Provisioning::Fixed, 5 * MIB + 512);
}

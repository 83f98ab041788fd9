//! Image files written by the library and by the command, as other programs read them.

use std::path::Path;

use blockio::{ByteCount, ByteOffset, ByteRange, Disk, FileAccess, FileStorage, SectorSize};
use vdisk::{Access, CreateOptions, IdSource, ImageDisk, ImageFormat, Provisioning};

use crate::command::Cvol;
use crate::random::Random;
use crate::tools;

const SIZE: u64 = 96 << 20;

fn create(path: &Path, format: ImageFormat, options: &CreateOptions) -> Box<dyn ImageDisk> {
    let storage = FileStorage::create_new(path).unwrap();
    vdisk::create(Box::new(storage), format, options).unwrap()
}

fn reopen(path: &Path, format: ImageFormat) -> Box<dyn ImageDisk> {
    let storage = FileStorage::open(path, FileAccess::ReadWrite).unwrap();
    vdisk::open(Box::new(storage), Some(format), Access::ReadWrite).unwrap()
}

/// One random operation on both disks.
fn step(random: &mut Random, image: &dyn Disk, model: &dyn Disk) {
    let length = match random.below(4) {
        0 => 512 * (1 + random.below(16)),
        1 => 4096 * (1 + random.below(32)),
        2 => 1 + random.below(10_000),
        _ => 65536 + random.below(3 << 20),
    };
    let start = random.below(SIZE - length);
    let range = ByteRange::new(ByteOffset(start), ByteCount(length)).unwrap();
    match random.below(10) {
        0..=4 => {
            let bytes = random.bytes(usize::try_from(length).unwrap());
            image.write_at(&bytes, range.start()).unwrap();
            model.write_at(&bytes, range.start()).unwrap();
        }
        5 | 6 => {
            image.write_zeroes(range).unwrap();
            model.write_zeroes(range).unwrap();
        }
        7 | 8 => {
            image.discard(range).unwrap();
            model.write_zeroes(range).unwrap();
        }
        _ => {
            image.flush().unwrap();
            let mut ours = vec![0; usize::try_from(length).unwrap()];
            let mut theirs = ours.clone();
            image.read_at(&mut ours, range.start()).unwrap();
            model.read_at(&mut theirs, range.start()).unwrap();
            assert!(ours == theirs, "bytes differ in {range}");
        }
    }
}

/// 10,000 operations with reopening between; at the end every byte agrees, by our reader and by
/// `qemu-img compare` where it reads the format.
fn ten_thousand_operations(format: ImageFormat, provisioning: Provisioning, sector: SectorSize) {
    let folder = tempfile::tempdir().unwrap();
    let (image_path, raw_path) = (folder.path().join("image"), folder.path().join("raw"));
    let options = CreateOptions {
        size: ByteCount(SIZE),
        provisioning,
        block_size: (format == ImageFormat::Vhdx).then_some(ByteCount(2 << 20)),
        logical_sector: sector,
        physical_sector: SectorSize::B4096,
        ids: IdSource::Seeded([7; 32]),
        unix_time: 1_700_000_000,
    };
    let mut image = create(&image_path, format, &options);
    let plain = CreateOptions {
        provisioning: Provisioning::Dynamic,
        block_size: None,
        logical_sector: SectorSize::B512,
        ..options
    };
    let model = create(&raw_path, ImageFormat::Raw, &plain);
    let mut random = Random(0x00c0_ffee ^ sector.bytes());
    for number in 0..10_000 {
        step(&mut random, &*image, &*model);
        if number % 700 == 699 {
            if random.below(2) == 0 {
                image.close().unwrap();
            } else {
                image.flush().unwrap();
                drop(image);
            }
            image = reopen(&image_path, format);
        }
    }
    image.close().unwrap();
    model.close().unwrap();
    let report = vdisk::check(
        &FileStorage::open(&image_path, FileAccess::ReadOnly).unwrap(),
        Some(format),
    )
    .unwrap();
    assert!(report.is_sound(), "{report:?}");
    compare_with_model(&image_path, &raw_path, format);
    if sector == SectorSize::B512 && tools::needs(&["qemu-img"]) {
        let name = if format == ImageFormat::Vhdx {
            "vhdx"
        } else {
            "vpc"
        };
        tools::run(
            "qemu-img",
            &[
                &"compare",
                &"-f",
                &name,
                &"-F",
                &"raw",
                &image_path,
                &raw_path,
            ],
        );
    }
}

fn compare_with_model(image_path: &Path, raw_path: &Path, format: ImageFormat) {
    let image = reopen(image_path, format);
    let model = std::fs::read(raw_path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    for (number, expected) in model.chunks(1 << 20).enumerate() {
        let offset = ByteOffset(u64::try_from(number).unwrap() << 20);
        image
            .read_at(&mut buffer[..expected.len()], offset)
            .unwrap();
        assert!(
            &buffer[..expected.len()] == expected,
            "bytes differ in the MiB at {offset}"
        );
    }
}

#[test]
fn vhdx_dynamic_gives_the_bytes_of_raw_after_10000_operations() {
    ten_thousand_operations(ImageFormat::Vhdx, Provisioning::Dynamic, SectorSize::B512);
}

#[test]
fn vhdx_dynamic_of_4096_byte_sectors_gives_the_bytes_of_raw_after_10000_operations() {
    ten_thousand_operations(ImageFormat::Vhdx, Provisioning::Dynamic, SectorSize::B4096);
}

#[test]
fn vhdx_fixed_gives_the_bytes_of_raw_after_10000_operations() {
    ten_thousand_operations(ImageFormat::Vhdx, Provisioning::Fixed, SectorSize::B512);
}

#[test]
fn vhd_dynamic_gives_the_bytes_of_raw_after_10000_operations() {
    ten_thousand_operations(ImageFormat::Vhd, Provisioning::Dynamic, SectorSize::B512);
}

#[test]
fn vhd_fixed_gives_the_bytes_of_raw_after_10000_operations() {
    ten_thousand_operations(ImageFormat::Vhd, Provisioning::Fixed, SectorSize::B512);
}

/// A raw file with data, zeros and holes.
fn mixed_raw(path: &Path) {
    let file = std::fs::File::create(path).unwrap();
    file.set_len(SIZE).unwrap();
    let mut random = Random(99);
    for at in [0, 5 << 20, (31 << 20) + 512, 64 << 20, SIZE - 4096] {
        let length = if at == SIZE - 4096 { 4096 } else { 1_300_000 };
        std::os::unix::fs::FileExt::write_all_at(&file, &random.bytes(length), at).unwrap();
    }
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 1 << 20], 80 << 20).unwrap();
}

#[test]
fn what_the_command_converts_is_what_qemu_img_reads_and_back() {
    if !tools::needs(&["qemu-img"]) {
        return;
    }
    let cvol = Cvol::new();
    let raw = cvol.work().join("in.raw");
    mixed_raw(&raw);
    let raw_text = raw.to_str().unwrap();
    for (format, qemu, kind) in [
        ("vhdx", "vhdx", "dynamic"),
        ("vhdx", "vhdx", "fixed"),
        ("vhd", "vpc", "dynamic"),
        ("vhd", "vpc", "fixed"),
    ] {
        let image = cvol.work().join(format!("{kind}.{format}"));
        let back = cvol.work().join("back.raw");
        let (image_text, back_text) = (image.to_str().unwrap(), back.to_str().unwrap());
        cvol.ok(&[
            "convert", raw_text, image_text, "-O", format, "--type", kind,
        ]);
        tools::run(
            "qemu-img",
            &[&"compare", &"-f", &"raw", &"-F", &qemu, &raw, &image],
        );
        if qemu == "vhdx" {
            tools::run("qemu-img", &[&"check", &"-f", &qemu, &image]);
        }
        cvol.ok(&["check", image_text]);
        cvol.ok(&["convert", image_text, back_text, "-O", "raw"]);
        assert_eq!(tools::sha256(&raw), tools::sha256(&back), "{kind} {format}");
        std::fs::remove_file(&back).unwrap();

        let theirs = cvol.work().join(format!("qemu-{kind}.{format}"));
        let subformat = format!("subformat={kind}");
        let options = if qemu == "vpc" {
            format!("{subformat},force_size=on")
        } else {
            subformat
        };
        tools::run(
            "qemu-img",
            &[
                &"convert", &"-f", &"raw", &"-O", &qemu, &"-o", &options, &raw, &theirs,
            ],
        );
        let theirs_text = theirs.to_str().unwrap();
        cvol.ok(&["check", theirs_text]);
        cvol.ok(&["convert", theirs_text, back_text, "-O", "raw"]);
        assert_eq!(
            tools::sha256(&raw),
            tools::sha256(&back),
            "qemu's {kind} {format}"
        );
        std::fs::remove_file(&back).unwrap();
    }
}

#[test]
fn libvhdi_reads_what_the_command_writes() {
    if !tools::needs(&["vhdiinfo", "qemu-img"]) {
        return;
    }
    let cvol = Cvol::new();
    let raw = cvol.work().join("in.raw");
    mixed_raw(&raw);
    for (format, kind) in [
        ("vhdx", "dynamic"),
        ("vhdx", "fixed"),
        ("vhd", "dynamic"),
        ("vhd", "fixed"),
    ] {
        let image = cvol.work().join(format!("{kind}.{format}"));
        let arguments = [
            "convert",
            raw.to_str().unwrap(),
            image.to_str().unwrap(),
            "-O",
            format,
            "--type",
            kind,
        ];
        cvol.ok(&arguments);
        let text = tools::run("vhdiinfo", &[&image]);
        assert!(
            text.contains("96 MiB") && text.contains("100663296"),
            "{kind} {format}: {text}"
        );
    }
}

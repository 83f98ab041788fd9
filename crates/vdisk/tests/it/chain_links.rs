//! Links between images: parents that are wrong, missing, changed or lead in circles; tables and
//! names of children that are out of their range.

use std::sync::Arc;

use blockio::{ByteCount, ByteOffset, Disk, SparseMemoryStorage, Storage};
use vdisk::{
    Access, ChildOptions, CreateOptions, ImageDisk, ImageError, ImageErrorKind, ImageFormat,
    ParentNames, Provisioning,
};

use crate::chain::{FORMATS, Files, base, child_options};
use crate::gates::{Shelf, ShelfGate};
use crate::images::{self, File, MIB};
use crate::random::Random;

fn kind_of(result: Result<Box<dyn ImageDisk>, ImageError>) -> Option<ImageErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn a_parent_that_was_written_after_its_child_is_told_with_what_was_expected() {
    let (mut files, disk) = base(ImageFormat::Vhdx, Provisioning::Dynamic, 4 * MIB);
    disk.close().unwrap();
    files
        .grow(File::default(), &child_options(ImageFormat::Vhdx))
        .close()
        .unwrap();
    files.open(Access::ReadWrite).unwrap();
    let parent = Box::new(files.files[0].clone());
    let parent = vdisk::open(parent, None, Access::ReadWrite).unwrap();
    parent.write_at(&[1; 512], ByteOffset(0)).unwrap();
    parent.close().unwrap();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let error = files.open(access).err().unwrap();
        assert_eq!(error.kind(), ImageErrorKind::ParentMismatch);
        let ImageError::ParentMismatch(mismatch) = error else {
            panic!("{error}")
        };
        assert_eq!(mismatch.what, "identifier");
        assert_ne!(mismatch.expected, mismatch.found);
    }
}

#[test]
fn another_disk_in_the_place_of_the_parent_is_told() {
    for format in FORMATS {
        let (mut files, disk) = base(format, Provisioning::Dynamic, 4 * MIB);
        disk.close().unwrap();
        let options = child_options(format);
        files.grow(File::default(), &options).close().unwrap();
        let other = File::default();
        let other_options = CreateOptions::new(ByteCount(4 * MIB));
        vdisk::create(Box::new(other.clone()), format, &other_options)
            .unwrap()
            .close()
            .unwrap();
        files.files[0] = other;
        let kind = kind_of(files.open(Access::ReadWrite));
        assert_eq!(kind, Some(ImageErrorKind::ParentMismatch), "{format}");
    }
}

#[test]
fn a_missing_parent_a_circle_and_a_chain_without_end_are_told_apart() {
    for format in FORMATS {
        let (mut files, disk) = base(format, Provisioning::Dynamic, 4 * MIB);
        disk.close().unwrap();
        let options = child_options(format);
        let child = File::default();
        files.grow(child.clone(), &options).close().unwrap();
        let shelf = Shelf::new([("child", child.clone())]);
        let open = |gate: &ShelfGate| {
            let storage = Box::new(child.clone());
            kind_of(vdisk::open_chain(storage, None, Access::ReadWrite, gate))
        };
        let missing = shelf.gate_of("child", &["gone"]);
        assert_eq!(open(&missing), Some(ImageErrorKind::ParentMissing));
        let circle = shelf.gate_of("child", &["child"]);
        assert_eq!(open(&circle), Some(ImageErrorKind::ParentLoop));
        let circle = shelf.gate_of("child", &["child"]).careless();
        assert_eq!(open(&circle), Some(ImageErrorKind::ParentLoop));
        let denied = vdisk::open(Box::new(child.clone()), None, Access::ReadOnly);
        assert_eq!(kind_of(denied), Some(ImageErrorKind::Differencing));
    }
}

#[test]
fn a_chain_is_256_parents_deep_and_no_deeper() {
    // Each child that is made opens all before it, and those of a VHD are the smaller ones.
    for format in [ImageFormat::Vhd] {
        let (mut files, disk) = base(format, Provisioning::Dynamic, 2 * MIB);
        disk.write_at(&[1; 512], ByteOffset(0)).unwrap();
        disk.close().unwrap();
        let options = child_options(format);
        for depth in 1..=vdisk::MAX_DEPTH {
            let child = files.grow(File::default(), &options);
            let at = ByteOffset(u64::try_from(depth).unwrap() * 512);
            child.write_at(&[depth.to_le_bytes()[0]; 512], at).unwrap();
            child.close().unwrap();
        }
        let child = files.open(Access::ReadOnly).unwrap();
        let bytes = images::read_all(&*child);
        for depth in 1..=vdisk::MAX_DEPTH {
            assert_eq!(
                bytes[depth * 512],
                depth.to_le_bytes()[0],
                "{format} {depth}"
            );
        }
        let file = File::default();
        let parent = files.parent();
        let storage = Box::new(file.clone());
        vdisk::create_child(storage, format, &options, parent).unwrap();
        files.files.push(file);
        let kind = kind_of(files.open(Access::ReadOnly));
        assert_eq!(kind, Some(ImageErrorKind::ParentLoop), "{format}");
    }
}

#[test]
fn a_child_is_never_smaller_than_its_parent_and_never_raw() {
    let (files, disk) = base(ImageFormat::Vhdx, Provisioning::Dynamic, 4 * MIB);
    disk.close().unwrap();
    let make = |format, options: &ChildOptions| {
        let storage = Box::new(SparseMemoryStorage::default());
        kind_of(vdisk::create_child(
            storage,
            format,
            options,
            files.parent(),
        ))
    };
    let good = child_options(ImageFormat::Vhdx);
    assert_eq!(make(ImageFormat::Vhdx, &good), None);
    let smaller = ChildOptions {
        size: Some(ByteCount(4 * MIB - 512)),
        ..good.clone()
    };
    let nameless = ChildOptions {
        names: ParentNames::default(),
        ..good.clone()
    };
    let odd = ChildOptions {
        block_size: Some(ByteCount(3 * MIB)),
        ..good.clone()
    };
    for options in [&smaller, &nameless, &odd] {
        let kind = make(ImageFormat::Vhdx, options);
        assert_eq!(kind, Some(ImageErrorKind::InvalidOption), "{options:?}");
    }
    let raw = make(ImageFormat::Raw, &good);
    assert_eq!(raw, Some(ImageErrorKind::InvalidOption));
    let vhd = make(ImageFormat::Vhd, &child_options(ImageFormat::Vhd));
    assert_eq!(vhd, Some(ImageErrorKind::NotAnImage));
}

/// A child of blocks of 1 MiB whose blocks 0 and 2 are partially present, over a full parent.
fn partial_child() -> (Files, SparseMemoryStorage) {
    let (mut files, disk) = base(ImageFormat::Vhdx, Provisioning::Dynamic, 4 * MIB);
    disk.write_at(&vec![7; 4 << 20], ByteOffset(0)).unwrap();
    disk.close().unwrap();
    let file = File::default();
    let child = files.grow(file.clone(), &child_options(ImageFormat::Vhdx));
    for block in [0, 2] {
        child
            .write_at(&[8; 512], ByteOffset(block * MIB + 512))
            .unwrap();
    }
    child.close().unwrap();
    (files, (*file).clone())
}

/// Where the entry of the only sector bitmap stands: behind those of a chunk of 4096 blocks.
const BITMAP_ENTRY: u64 = 3 * MIB + 4096 * 8;

#[test]
fn a_bitmap_that_is_not_where_the_table_says_is_damage_and_never_read() {
    let (files, good) = partial_child();
    let present = |mebibyte: u64| mebibyte << 20 | 6;
    for raw in [
        0,
        4,
        present(0),
        present(1),
        present(2),
        present(3),
        present(1 << 20),
        present((1 << 44) - 1),
        present(4) | 8,
        4 << 20 | 2,
        4 << 20 | 7,
    ] {
        let file = Arc::new(good.clone());
        file.write_at(&raw.to_le_bytes(), ByteOffset(BITMAP_ENTRY))
            .unwrap();
        let writer = files.open_file(file.clone(), Access::ReadWrite);
        assert_eq!(kind_of(writer), Some(ImageErrorKind::Damaged), "{raw:#x}");
        assert!(!vdisk::check(&file, None).unwrap().is_sound(), "{raw:#x}");
        // A reader meets it when it needs it; space shared with other things it cannot see.
        if let Ok(disk) = files.open_file(file, Access::ReadOnly) {
            let shares = (1..=3).contains(&(raw >> 20)) && raw & 0xf_ffff == 6;
            let read = disk.read_at(&mut [0; 512], ByteOffset(512));
            assert!(shares || read.is_err(), "{raw:#x}");
        }
    }
}

#[test]
fn random_damage_to_a_child_is_survived() {
    let mut random = Random::new(5);
    for length in (0..300).map(|n| n % 60) {
        vdisk::vhdx::fuzz_child(&random.bytes(length));
    }
}

#[test]
fn names_of_a_vhd_parent_that_lie_outside_the_file_are_left_out() {
    let (mut files, disk) = base(ImageFormat::Vhd, Provisioning::Dynamic, 4 * MIB);
    disk.close().unwrap();
    let file = File::default();
    let child = files.grow(file.clone(), &child_options(ImageFormat::Vhd));
    child.write_at(&[1; 512], ByteOffset(0)).unwrap();
    child.close().unwrap();
    let good = (*file).clone();
    // The first locator: room, length, offset.
    for (field, bytes) in [
        (580, vec![0xff; 4]),
        (584, vec![0xff; 4]),
        (584, vec![0, 2, 0, 0]),
        (592, vec![0xff; 8]),
        (592, vec![0, 0, 0, 1, 0, 0, 0, 0]),
    ] {
        let mut header = vec![0; 1024];
        good.read_at(&mut header, ByteOffset(512)).unwrap();
        header[field..field + bytes.len()].copy_from_slice(&bytes);
        crate::vhd::fix_checksum(&mut header, 36);
        let file = Arc::new(good.clone());
        file.write_at(&header, ByteOffset(512)).unwrap();
        let info = vdisk::info(&file, Some(ImageFormat::Vhd)).unwrap();
        let paths = info.parent.unwrap().paths;
        assert!(paths.iter().any(|path| path.kind == "W2ru"));
        let disk = files.open_file(file, Access::ReadWrite).unwrap();
        disk.write_at(&[2; 512], ByteOffset(2 * MIB)).unwrap();
        disk.close().unwrap();
    }
}

//! qcow2: what is written is read, in any order, and hostile images give typed errors.

use std::sync::Arc;

use blockio::{ByteOffset, MemoryStorage, SimStorage};
use vdisk::{Access, CreateOptions, ImageDisk, ImageErrorKind, ImageFormat, Provisioning};

use crate::images::{File, KIB, MIB, bytes_of, range, read_all, read_by_status};
use crate::interrupted::{Interrupted, Moment};
use crate::random::Random;

fn options(size: u64, provisioning: Provisioning) -> CreateOptions {
    CreateOptions {
        provisioning,
        ..CreateOptions::new(blockio::ByteCount(size))
    }
}

fn reopen(file: &File) -> Box<dyn ImageDisk> {
    let storage = Box::new(Arc::clone(file));
    vdisk::open(storage, None, Access::ReadOnly).unwrap()
}

#[test]
fn random_writes_discards_and_flushes_are_read_back() {
    for (seed, provisioning) in [(1, Provisioning::Dynamic), (2, Provisioning::Fixed)] {
        let size = 9 * MIB + 512;
        let file = File::default();
        let made = vdisk::create(
            Box::new(file.clone()),
            ImageFormat::Qcow2,
            &options(size, provisioning),
        );
        let disk = made.unwrap();
        let mut array = vec![0; usize::try_from(size).unwrap()];
        let mut random = Random::new(seed);
        for _ in 0..300 {
            let length = 1 + random.below(200 * KIB);
            let start = random.below(size - length);
            let (from, to) = (
                usize::try_from(start).unwrap(),
                usize::try_from(start + length).unwrap(),
            );
            match random.below(8) {
                0 => {
                    disk.discard(range(start, length)).unwrap();
                    array[from..to].fill(0);
                }
                1 => disk.flush().unwrap(),
                _ => {
                    let value = u8::try_from(random.below(255) + 1).unwrap();
                    array[from..to].fill(value);
                    disk.write_at(&array[from..to], ByteOffset(start)).unwrap();
                }
            }
        }
        assert!(read_all(&*disk) == array && read_by_status(&*disk) == array);
        disk.close().unwrap();
        let report = vdisk::check(&*file, None).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings());
        let disk = reopen(&file);
        assert!(read_all(&*disk) == array && read_by_status(&*disk) == array);
    }
}

#[test]
fn an_image_that_exists_is_not_written() {
    let file = File::default();
    let options = options(MIB, Provisioning::Dynamic);
    let disk = vdisk::create(Box::new(file.clone()), ImageFormat::Qcow2, &options).unwrap();
    disk.close().unwrap();
    let opened = vdisk::open(Box::new(file), None, Access::ReadWrite);
    assert_eq!(opened.err().unwrap().kind(), ImageErrorKind::Unsupported);
}

#[test]
fn fields_out_of_their_range_are_refused_and_broken_bytes_bring_nothing_down() {
    let file = File::default();
    let options = options(MIB, Provisioning::Dynamic);
    let disk = vdisk::create(Box::new(file.clone()), ImageFormat::Qcow2, &options).unwrap();
    disk.write_at(&[7; 4096], ByteOffset(300 * KIB)).unwrap();
    disk.close().unwrap();
    let good = bytes_of(&*file);
    let kind = |at: usize, bytes: &[u8]| {
        let mut image = good.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        let storage = Box::new(MemoryStorage::from_bytes(image));
        let opened = vdisk::open(storage, Some(ImageFormat::Qcow2), Access::ReadOnly);
        opened.err().map(|error| error.kind())
    };
    use ImageErrorKind::{Damaged, NotAnImage, Unsupported};
    assert_eq!(kind(0, &good[..8]), None);
    for (at, bytes, expected) in [
        (0, &[0; 4][..], NotAnImage),
        (4, &[0, 0, 0, 4], Unsupported),
        (8, &u64::MAX.to_be_bytes(), Damaged),
        (20, &[0, 0, 0, 8], Damaged),
        (20, &[0, 0, 0, 63], Damaged),
        (24, &[0; 8], Damaged),
        (24, &u64::MAX.to_be_bytes(), Damaged),
        (24, &(1_u64 << 45).to_be_bytes(), Damaged),
        (32, &[0, 0, 0, 1], Unsupported),
        (36, &[0; 4], Damaged),
        (40, &[0xff; 8], Damaged),
        (40, &513_u64.to_be_bytes(), Damaged),
        (72, &(1_u64 << 2).to_be_bytes(), Unsupported),
        (72, &(1_u64 << 4).to_be_bytes(), Unsupported),
        (72, &(1_u64 << 40).to_be_bytes(), Unsupported),
    ] {
        assert_eq!(kind(at, bytes), Some(expected), "{bytes:?} at {at}");
    }
    let mut random = Random::new(3);
    for _ in 0..3000 {
        let mut image = good.clone();
        // The header and the tables, which stand behind the one cluster of data.
        let at = match random.below(2) {
            0 => random.below(104),
            _ => 128 * KIB + random.below(128 * KIB + 64),
        };
        let at = usize::try_from(at).unwrap().min(image.len() - 1);
        image[at] = u8::try_from(random.below(256)).unwrap();
        vdisk::qcow2::fuzz_open(&image);
    }
}

/// The rest of a cluster at the end of the file is cleared while another thread writes behind it.
#[test]
fn what_is_written_while_another_cluster_is_cleared_stays() {
    let storage = Arc::new(Interrupted::new(SimStorage::new(), Moment::Length));
    let options = options(8 * MIB, Provisioning::Dynamic);
    let made = vdisk::create(Box::new(storage.clone()), ImageFormat::Qcow2, &options);
    let disk: Arc<dyn ImageDisk> = made.unwrap().into();
    disk.write_at(&[1; 4096], ByteOffset(0)).unwrap();
    let other = disk.clone();
    let second = ByteOffset(64 * KIB);
    storage.then(move || other.write_at(&[2; 65536], second).unwrap());
    disk.discard(range(32 * KIB, 32 * KIB)).unwrap();
    let bytes = read_all(&*disk);
    assert!(bytes[..4096].iter().all(|byte| *byte == 1));
    assert!(bytes[4096..65536].iter().all(|byte| *byte == 0));
    assert!(bytes[65536..131_072].iter().all(|byte| *byte == 2));
}

//! Compaction: what is won, what stays, and who else reads it.

use blockio::{ByteOffset, ByteRange, Disk, Storage};
use vdisk::{CompactReport, ImageErrorKind, ImageFormat, Provisioning};

use crate::chain::{FORMATS, Files, child_options};
use crate::images::{self, File, KIB, MIB, range};
use crate::random::Random;

/// Bytes that are nowhere zero.
fn pattern(seed: u64, len: u64) -> Vec<u8> {
    let bytes = Random::new(seed).bytes(usize::try_from(len).unwrap());
    bytes.into_iter().map(|byte| byte | 1).collect()
}

/// A disk of 16 MiB, of which each MiB holds bytes of its own.
fn full(format: ImageFormat) -> (File, Vec<u8>) {
    let file = File::default();
    let disk = images::create(&file, format, Provisioning::Dynamic, 16 * MIB);
    let mut bytes = Vec::new();
    for number in 0..16 {
        let part = pattern(number, MIB);
        disk.write_at(&part, ByteOffset(number * MIB)).unwrap();
        bytes.extend(part);
    }
    disk.close().unwrap();
    (file, bytes)
}

fn compacted(file: &File, format: ImageFormat, unused: &[ByteRange], dry: bool) -> CompactReport {
    let mut disk = images::open(file, format);
    let report = disk
        .compact(&vdisk::CompactRequest {
            unused,
            dry_run: dry,
            scan_zeros: true,
            progress: &|_| std::ops::ControlFlow::Continue(()),
        })
        .unwrap();
    disk.close().unwrap();
    report
}

fn check(file: &File, format: ImageFormat) {
    let report = vdisk::check(&**file, Some(format)).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings());
    assert_eq!(report.leaked.get(), 0, "{:?}", report.findings());
}

#[test]
fn what_is_unused_or_zero_goes_and_the_rest_stays() {
    for format in [ImageFormat::Vhdx, ImageFormat::Vhd] {
        let (file, mut bytes) = full(format);
        // Two thirds of the blocks in all places, one by being zeros.
        let gone: Vec<u64> = (0..16).filter(|number| number % 3 != 1).collect();
        let unused: Vec<_> = gone[1..].iter().map(|n| range(n * MIB, MIB)).collect();
        let disk = images::open(&file, format);
        disk.write_at(&vec![0; 1 << 20], ByteOffset(gone[0] * MIB))
            .unwrap();
        disk.close().unwrap();
        let before = images::bytes_of(&*file);
        let dry = compacted(&file, format, &unused, true);
        assert!(
            images::bytes_of(&*file) == before,
            "a dry run changes nothing"
        );
        let won = compacted(&file, format, &unused, false);
        // The log that the work leaves behind is not foreseen, nor are gaps between blocks.
        let log = won.stored_after.get().abs_diff(dry.stored_after.get());
        assert!(log < 128 * KIB, "{format}: {won:?} {dry:?}");
        let stored_after = won.stored_after;
        assert_eq!(
            won,
            CompactReport {
                stored_after,
                ..dry
            },
            "{format}"
        );
        assert_eq!(
            won.length_before.get(),
            u64::try_from(before.len()).unwrap()
        );
        assert_eq!(won.length_after, file_length(&file), "{format}");
        for number in &gone {
            let at = usize::try_from(number * MIB).unwrap();
            bytes[at..at + (1 << 20)].fill(0);
        }
        assert!(images::read_by_status(&*images::open(&file, format)) == bytes);
        check(&file, format);
        // The five blocks that are left, and what the format needs.
        let limit = 5 * MIB
            + if format == ImageFormat::Vhdx {
                4 * MIB
            } else {
                64 * KIB
            };
        assert!(won.length_after.get() <= limit, "{format}: {won:?}");
        assert!(won.blocks_moved > 0, "{format}: {won:?}");
        // Once more wins nothing, and moves nothing.
        let again = compacted(&file, format, &unused, false);
        assert_eq!(again.length_after, won.length_after, "{format}");
        assert_eq!(again.blocks_moved, 0, "{format}");
        // What was freed is there to be written again.
        let disk = images::open(&file, format);
        disk.write_at(&pattern(99, MIB), ByteOffset(0)).unwrap();
        disk.close().unwrap();
        check(&file, format);
    }
}

fn file_length(file: &File) -> blockio::ByteCount {
    file.len().unwrap()
}

#[cfg(unix)]
#[test]
fn unused_parts_of_a_block_become_holes_of_the_host() {
    for format in [ImageFormat::Vhdx, ImageFormat::Vhd, ImageFormat::Raw] {
        let (file, mut bytes) = match format {
            ImageFormat::Raw => {
                let file = File::default();
                let disk = images::create(&file, format, Provisioning::Dynamic, 16 * MIB);
                let bytes = pattern(3, 16 * MIB);
                disk.write_at(&bytes, ByteOffset(0)).unwrap();
                disk.close().unwrap();
                (file, bytes)
            }
            format => full(format),
        };
        // Half of each MiB, less than a block.
        let unused: Vec<_> = (0..16)
            .map(|n| range(n * MIB + 8 * KIB, 512 * KIB - 8 * KIB))
            .collect();
        let dry = compacted(&file, format, &unused, true);
        let won = compacted(&file, format, &unused, false);
        let log = won.stored_after.get().abs_diff(dry.stored_after.get());
        assert!(log < 128 * KIB, "{format}: {won:?} {dry:?}");
        let saved = won.stored_before.get() - won.stored_after.get();
        assert!(saved > 7 * MIB, "{format}: {won:?}");
        for part in &unused {
            let at = usize::try_from(part.start().get()).unwrap();
            bytes[at..at + usize::try_from(part.len().get()).unwrap()].fill(0);
        }
        assert!(
            images::read_all(&*images::open(&file, format)) == bytes,
            "{format}"
        );
        check(&file, format);
    }
}

#[test]
fn a_fixed_image_keeps_its_space() {
    for format in [ImageFormat::Vhdx, ImageFormat::Vhd] {
        let file = File::default();
        let mut disk = images::create(&file, format, Provisioning::Fixed, 4 * MIB);
        let error = images::compact(&mut *disk, &[]).unwrap_err();
        assert_eq!(error.kind(), ImageErrorKind::Unsupported, "{format}");
    }
}

#[test]
fn a_compaction_that_is_stopped_leaves_the_image_whole() {
    for format in [ImageFormat::Vhdx, ImageFormat::Vhd] {
        for stop_after in 0..24 {
            let (file, bytes) = full(format);
            let unused: Vec<_> = (0..8).map(|n| range(2 * n * MIB, MIB)).collect();
            let mut disk = images::open(&file, format);
            let calls = std::cell::Cell::new(0);
            let result = disk.compact(&vdisk::CompactRequest {
                unused: &unused,
                dry_run: false,
                scan_zeros: true,
                progress: &|_| {
                    calls.set(calls.get() + 1);
                    match calls.get() > stop_after {
                        true => std::ops::ControlFlow::Break(()),
                        false => std::ops::ControlFlow::Continue(()),
                    }
                },
            });
            if let Err(error) = &result {
                assert_eq!(error.kind(), ImageErrorKind::Cancelled);
            }
            disk.close().unwrap();
            let report = vdisk::check(&*file, Some(format)).unwrap();
            assert!(report.is_sound(), "{:?}", report.findings());
            let now = images::read_all(&*images::open(&file, format));
            let parts = (0_u64..).zip(now.chunks(1 << 20).zip(bytes.chunks(1 << 20)));
            for (number, (now, then)) in parts {
                let is_zero = now.iter().all(|byte| *byte == 0);
                assert!(
                    now == then || (number % 2 == 0 && is_zero),
                    "{format} {number}"
                );
            }
        }
    }
}

/// A child of a parent that is full, of which blocks were zeroed: a VHDX says that they are zeros, a
/// VHD has to keep them, and the report tells how many those are.
#[test]
fn a_vhd_child_keeps_blocks_of_zeros_over_its_parent_and_says_how_many() {
    for format in FORMATS {
        let (parent, bytes) = full(format);
        let mut files = Files::new(format, parent);
        let file = File::default();
        let disk = files.grow(file, &child_options(format));
        disk.write_at(&bytes[..3 << 20], ByteOffset(0)).unwrap();
        disk.write_at(&vec![0; 2 << 20], ByteOffset(0)).unwrap();
        disk.close().unwrap();
        let mut disk = files.open(vdisk::Access::ReadWrite).unwrap();
        let report = images::compact(&mut *disk, &[]).unwrap();
        let kept = match format {
            ImageFormat::Vhd => report.blocks_before - report.blocks_after + report.blocks_kept,
            _ => 0,
        };
        assert_eq!(report.blocks_kept, kept, "{format}: {report:?}");
        assert_eq!(report.blocks_kept > 0, format == ImageFormat::Vhd);
        let mut expected = bytes.clone();
        expected[..2 << 20].fill(0);
        assert!(images::read_all(&*disk) == expected, "{format}");
    }
}

/// A storage that counts what is read from it.
#[derive(Clone, Default)]
struct Counted(File, std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Storage for Counted {
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> blockio::Result<()> {
        self.1
            .fetch_add(buf.len(), std::sync::atomic::Ordering::Relaxed);
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> blockio::Result<()> {
        self.0.write_at(buf, offset)
    }
    fn sync(&self) -> blockio::Result<()> {
        self.0.sync()
    }
    fn len(&self) -> blockio::Result<blockio::ByteCount> {
        self.0.len()
    }
    fn set_len(&self, len: blockio::ByteCount) -> blockio::Result<()> {
        self.0.set_len(len)
    }
    fn zero(&self, range: ByteRange, mode: blockio::ZeroMode) -> blockio::Result<()> {
        self.0.zero(range, mode)
    }
    fn extent_at(&self, range: ByteRange) -> blockio::Result<blockio::Extent> {
        self.0.extent_at(range)
    }
    fn is_read_only(&self) -> bool {
        false
    }
    // What the host copies is not read by us.
    fn copy_within(&self, range: ByteRange, to: ByteOffset) -> blockio::Result<()> {
        self.0.copy_within(range, to)
    }
}

/// A compaction once read all that was used to look for zeros in it, which took most of its time.
#[test]
fn what_is_used_is_read_only_where_zeros_in_it_are_asked_for() {
    for format in FORMATS {
        for scan_zeros in [false, true] {
            let (file, mut bytes) = full(format);
            let storage = Counted(file, std::sync::Arc::default());
            let open = || {
                let storage = Box::new(storage.clone());
                vdisk::open(storage, Some(format), vdisk::Access::ReadWrite).unwrap()
            };
            // A block of zeros goes in any case; zeros in a part of one only where they are asked for.
            let disk = open();
            disk.write_at(&vec![0; 1 << 20], ByteOffset(3 * MIB))
                .unwrap();
            disk.write_at(&vec![0; 256 << 10], ByteOffset(5 * MIB + 64 * KIB))
                .unwrap();
            disk.close().unwrap();
            bytes[3 << 20..4 << 20].fill(0);
            let from = (5 << 20) + (64 << 10);
            bytes[from..from + (256 << 10)].fill(0);
            let mut disk = open();
            storage.1.store(0, std::sync::atomic::Ordering::Relaxed);
            let report = disk
                .compact(&vdisk::CompactRequest {
                    unused: &[range(8 * MIB, 4 * MIB)],
                    dry_run: false,
                    scan_zeros,
                    progress: &|_| std::ops::ControlFlow::Continue(()),
                })
                .unwrap();
            let read = storage.1.load(std::sync::atomic::Ordering::Relaxed);
            disk.close().unwrap();
            bytes[8 << 20..12 << 20].fill(0);
            assert!(images::read_all(&*open()) == bytes, "{format}");
            // Eleven blocks are used, and the zeros. Where files have no holes, nothing is looked for.
            let looks = scan_zeros && cfg!(unix);
            assert_eq!(read > 8 << 20, looks, "{format}: {read} bytes");
            assert!(read < 14 << 20, "{format}: {read} bytes");
            let blocks = report.blocks_before - report.blocks_after;
            assert!(blocks >= 5, "{format}: {report:?}");
        }
    }
}

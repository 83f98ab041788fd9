//! Copies between formats: same bytes, sparse stays sparse, stops when told to.

use std::cell::Cell;
use std::ops::ControlFlow;

use blockio::{BlockKind, ByteCount, ByteOffset, Disk, Fault, FaultTarget, SimStorage, Storage};
use vdisk::{
    Access, ConvertSummary, CreateOptions, ImageDisk, ImageErrorKind, ImageFormat, Progress,
    Provisioning, convert,
};

use crate::images::{self, File, KIB, MIB, range};
use crate::random::Random;

const SIZE: u64 = 40 * MIB + 512;

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn dynamic(format: ImageFormat, size: u64) -> Box<dyn ImageDisk> {
    images::create(&File::default(), format, Provisioning::Dynamic, size)
}

/// A disk with data of all lengths, zeros that were written, and holes.
fn source(format: ImageFormat) -> Box<dyn ImageDisk> {
    let disk = dynamic(format, SIZE);
    let mut random = Random::new(11);
    for len in [1, 511, 4096, 5000, 65536, 1_000_000, 3_000_000] {
        let at = ByteOffset(random.below(SIZE - 3_000_000));
        disk.write_at(&random.bytes(len), at).unwrap();
    }
    let zeros = vec![0; 100_000];
    disk.write_at(&zeros, ByteOffset(MIB)).unwrap();
    disk.write_at(&[9; 100], ByteOffset(SIZE - 100)).unwrap();
    disk
}

fn copy(source: &dyn Disk, target: &dyn Disk) -> ConvertSummary {
    convert(source, target, &go_on).unwrap()
}

#[test]
fn a_copy_holds_the_same_bytes_whatever_the_formats() {
    for from in [ImageFormat::Raw, ImageFormat::Vhd, ImageFormat::Vhdx] {
        let source = source(from);
        let wanted = images::read_all(&*source);
        for to in [ImageFormat::Raw, ImageFormat::Vhd, ImageFormat::Vhdx] {
            let target = dynamic(to, SIZE);
            let summary = copy(&*source, &*target);
            assert!(images::read_by_status(&*target) == wanted, "{from} to {to}");
            assert_eq!(summary.total.get(), SIZE);
            assert!(summary.written.get() < 6 * MIB);
        }
    }
}

#[test]
fn zeros_that_were_written_become_holes() {
    let source = images::create(
        &File::default(),
        ImageFormat::Raw,
        Provisioning::Dynamic,
        8 * MIB,
    );
    source.write_at(&vec![0; 8 << 20], ByteOffset(0)).unwrap();
    source.write_at(&[1; 4096], ByteOffset(5 * MIB)).unwrap();
    for to in [ImageFormat::Raw, ImageFormat::Vhd, ImageFormat::Vhdx] {
        let target = dynamic(to, 8 * MIB);
        let summary = copy(&*source, &*target);
        assert_eq!(summary.written.get(), 4096);
        let status = target.block_status(range(0, 8 * MIB)).unwrap();
        assert_eq!(
            (status.kind, status.range.end().get()),
            (BlockKind::Hole, 5 * MIB)
        );
    }
}

#[test]
fn a_target_that_held_other_bytes_holds_the_source_afterwards() {
    let source = source(ImageFormat::Vhd);
    let wanted = images::read_all(&*source);
    for to in [ImageFormat::Raw, ImageFormat::Vhd, ImageFormat::Vhdx] {
        let larger = SIZE + 3 * MIB;
        let target = dynamic(to, larger);
        let old = vec![0xaa; usize::try_from(larger).unwrap()];
        target.write_at(&old, ByteOffset(0)).unwrap();
        copy(&*source, &*target);
        let bytes = images::read_by_status(&*target);
        assert!(bytes[..wanted.len()] == wanted);
        assert!(bytes[wanted.len()..].iter().all(|b| *b == 0));
    }
}

#[test]
fn a_target_that_is_too_small_is_refused() {
    let (source, target) = (
        dynamic(ImageFormat::Raw, MIB),
        dynamic(ImageFormat::Raw, MIB - 512),
    );
    let refused = convert(&*source, &*target, &go_on).unwrap_err();
    assert_eq!(refused.kind(), ImageErrorKind::TooLarge);
}

#[test]
fn progress_rises_to_the_whole_and_may_stop_the_copy() {
    let source = source(ImageFormat::Raw);
    let last = Cell::new(0);
    let watch = |progress: Progress| {
        assert!(progress.done.get() >= last.get() && progress.done <= progress.total);
        last.set(progress.done.get());
        ControlFlow::Continue(())
    };
    convert(&*source, &*dynamic(ImageFormat::Vhd, SIZE), &watch).unwrap();
    assert_eq!(last.get(), SIZE);
    let calls = Cell::new(0);
    let stop = |_| {
        calls.set(calls.get() + 1);
        ControlFlow::Break(())
    };
    let stopped = convert(&*source, &*dynamic(ImageFormat::Vhd, SIZE), &stop).unwrap_err();
    assert_eq!(
        (stopped.kind(), calls.get()),
        (ImageErrorKind::Cancelled, 1)
    );
}

#[test]
fn a_failure_on_either_side_ends_the_copy_and_is_reported() {
    for (target_fails, kind) in [(false, FaultTarget::Read), (true, FaultTarget::Write)] {
        let (from, to) = (SimStorage::new(), SimStorage::new());
        let options = CreateOptions::new(ByteCount(SIZE));
        let create = |storage: &SimStorage| {
            vdisk::create(Box::new(storage.clone()), ImageFormat::Raw, &options).unwrap()
        };
        let (source, target) = (create(&from), create(&to));
        let bytes = Random::new(1).bytes(8 << 20);
        source.write_at(&bytes, ByteOffset(64 * KIB)).unwrap();
        let failing = if target_fails { &to } else { &from };
        failing.inject(Fault::new(kind, 3).sticky());
        let error = convert(&*source, &*target, &go_on).unwrap_err();
        assert_eq!(error.kind(), ImageErrorKind::Io);
    }
}

#[test]
fn a_raw_image_with_half_a_sector_at_its_end_is_copied_whole() {
    let file = File::default();
    file.write_at(&[5; 1000], ByteOffset(0)).unwrap();
    let open =
        |access| vdisk::open(Box::new(file.clone()), Some(ImageFormat::Raw), access).unwrap();
    let source = open(Access::ReadOnly);
    assert_eq!(source.size().get(), 1024);
    let target = dynamic(ImageFormat::Vhd, 1024);
    copy(&*source, &*target);
    let bytes = images::read_by_status(&*target);
    assert!(bytes == images::read_by_status(&*source));
    assert!(bytes[..1000] == [5; 1000] && bytes[1000..] == [0; 24]);
    // Writing behind the end makes the file whole.
    let disk = open(Access::ReadWrite);
    disk.write_at(&[6; 4], ByteOffset(1020)).unwrap();
    assert_eq!(file.len().unwrap().get(), 1024);
    assert!(images::read_all(&*disk)[1000..1020] == [0; 20]);
}

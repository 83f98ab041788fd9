//! Another size for a differencing image: in every crash state it has the old size or the new one, and
//! reads what it and its parent hold.

use std::sync::Arc;

use blockio::{
    ByteCount, ByteOffset, CrashPlan, Disk, Fault, FaultTarget, SimStorage, SparseMemoryStorage,
};
use vdisk::{Access, ChildOptions, ImageErrorKind, ImageFormat, Provisioning, Severity};

use crate::chain::{FORMATS, Files, child_options};
use crate::images::{self, File, KIB, MIB, range};
use crate::random::Random;
use crate::resize::resize_again;

const PARENT: u64 = 3 * MIB;
const CHILD: u64 = 5 * MIB + 512 * 300;

fn index(value: u64) -> usize {
    usize::try_from(value).unwrap()
}

/// A child, durable when the history begins, larger than its parent, both of which hold something;
/// and what is read through it.
fn start(format: ImageFormat) -> (Files, SimStorage, Vec<u8>) {
    let parent = File::default();
    let mut bytes = vec![0; index(CHILD)];
    let mut put = |disk: &dyn Disk, at: u64| {
        let part = Random::new(at + 1).bytes(64 * 1024);
        disk.write_at(&part, ByteOffset(at)).unwrap();
        bytes[index(at)..index(at) + part.len()].copy_from_slice(&part);
    };
    let disk = images::create(&parent, format, Provisioning::Dynamic, PARENT);
    for at in [0, MIB + 100 * KIB, 2 * MIB] {
        put(&*disk, at);
    }
    disk.close().unwrap();
    let mut files = Files::new(format, parent);
    let storage = SimStorage::new();
    let options = ChildOptions {
        size: Some(ByteCount(CHILD)),
        ..child_options(format)
    };
    let disk = files.grow(Arc::new(storage.clone()), &options);
    // Over the parent's, beside it, and behind its end.
    for at in [32 * KIB, MIB + 700 * KIB, 4 * MIB + 512, CHILD - 70 * KIB] {
        put(&*disk, at);
    }
    disk.close().unwrap();
    (files, SimStorage::from_image(&storage.image()), bytes)
}

/// What a child reads in an image that a crash left; the size that it has.
fn look(
    files: &Files,
    image: SparseMemoryStorage,
    format: ImageFormat,
    (old, new): (u64, u64),
    bytes: &[u8],
) -> u64 {
    let image = Arc::new(image);
    if new > old {
        vdisk::undo_growth(&image, Some(format), ByteCount(old)).unwrap();
    }
    let report = vdisk::check(&image, Some(format)).unwrap();
    let mut findings = report.findings().iter();
    let is_fine = |rule| rule == "VHD hard disk footer";
    assert!(
        findings.all(|f| f.severity != Severity::Error || is_fine(f.rule)),
        "{:?}",
        report.findings()
    );
    let reader = files.open_file(image.clone(), Access::ReadOnly).unwrap();
    let seen = images::read_all(&*reader);
    drop(reader);
    let open = || files.open_file(image.clone(), Access::ReadWrite).unwrap();
    let disk = open();
    let size = disk.size().get();
    assert!(size == old || size == new, "{size}");
    let found = images::read_all(&*disk);
    assert!(seen == found, "a reader sees something else than a writer");
    let kept = index(old.min(new));
    assert!(found[..kept] == bytes[..kept]);
    assert!(found[kept..].iter().all(|byte| *byte == 0) || size == old);
    resize_again(disk, new, &bytes[..kept], open);
    assert!(vdisk::check(&image, Some(format)).unwrap().is_sound());
    size
}

/// Less, more within the table, and more than the table of a VHD has room for.
fn sizes(format: ImageFormat) -> Vec<u64> {
    let mut sizes = vec![PARENT + 600 * KIB, 9 * MIB];
    if format == ImageFormat::Vhd {
        sizes.push(72 * MIB + 512);
    }
    sizes
}

#[test]
fn a_crash_leaves_a_child_the_old_size_or_the_new_one_and_all_that_it_reads() {
    let mut states = 0;
    for format in FORMATS {
        for new in sizes(format) {
            let (files, storage, mut bytes) = start(format);
            let mut disk = files
                .open_file(Arc::new(storage.clone()), Access::ReadWrite)
                .unwrap();
            if new < CHILD {
                disk.discard(range(new, CHILD - new)).unwrap();
                bytes[index(new)..].fill(0);
                disk.flush().unwrap();
            }
            let begun = storage.position();
            disk.resize(ByteCount(new)).unwrap();
            let done = storage.mark("resized").0;
            disk.close().unwrap();
            for state in storage.history().crash_states(CrashPlan::quick(new)) {
                if state.position() < begun {
                    continue;
                }
                let size = look(&files, state.image(), format, (CHILD, new), &bytes);
                assert!(state.position().0 < done || size == new, "{state}");
                states += 1;
            }
        }
    }
    println!("{states} crash states of resizes of children");
    assert!(states > 100, "{states}");
}

#[test]
fn a_full_host_leaves_a_child_the_old_size_or_the_new_one() {
    for format in FORMATS {
        for nth in 0..6 {
            let new = 72 * MIB;
            let (files, storage, bytes) = start(format);
            let mut disk = files
                .open_file(Arc::new(storage.clone()), Access::ReadWrite)
                .unwrap();
            let fault = Fault::new(FaultTarget::Change, nth).after_bytes(512);
            storage.inject(fault.no_space().sticky());
            let resized = disk.resize(ByteCount(new));
            storage.clear_faults();
            drop(disk);
            let size = look(&files, storage.image(), format, (CHILD, new), &bytes);
            assert!(resized.is_err() || size == new, "{format} {nth}");
        }
    }
}

#[test]
fn a_child_never_becomes_smaller_than_its_parent() {
    for format in FORMATS {
        let (files, storage, bytes) = start(format);
        let mut disk = files
            .open_file(Arc::new(storage.clone()), Access::ReadWrite)
            .unwrap();
        disk.discard(range(2 * MIB, CHILD - 2 * MIB)).unwrap();
        let error = disk.resize(ByteCount(2 * MIB)).unwrap_err();
        let kind = error.kind();
        assert!(
            matches!(
                kind,
                ImageErrorKind::Unsupported | ImageErrorKind::InvalidOption
            ),
            "{error}"
        );
        assert_eq!(disk.size().get(), CHILD);
        let mut found = vec![0; index(2 * MIB)];
        disk.read_at(&mut found, ByteOffset(0)).unwrap();
        assert!(found == bytes[..index(2 * MIB)]);
    }
}

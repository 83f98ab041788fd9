//! The check of NTFS volumes: nothing on a sound one, each damage by its class, and an end whatever
//! the bytes.

use std::ops::ControlFlow;

use blockio::{ByteCount, ByteOffset, Disk, KIB, MIB, MemoryDisk, SectorSize};
use mkfs::ntfs::fsck::check;
use mkfs::ntfs::parse::kind;
use mkfs::ntfs::{NtfsOptions, format};
use mkfs::tree::memory::MemoryTree;
use mkfs::{MkfsErrorKind, NodeId, NodeName, VolumeReport};

use super::damage;
use super::damage::volume::Volume;

fn checked(disk: &dyn Disk) -> VolumeReport {
    check(disk, &|_, _| ControlFlow::Continue(())).unwrap()
}

fn lines(report: &VolumeReport) -> Vec<String> {
    let findings = report.findings().iter();
    findings
        .map(|finding| {
            format!(
                "{} {} {:?} {} {:?} {:?}",
                finding.severity,
                finding.class,
                finding.path,
                finding.message,
                finding.expected,
                finding.actual
            )
        })
        .collect()
}

#[test]
fn nothing_is_found_on_a_sound_volume() {
    let report = checked(Volume::sound().disk());
    assert_eq!(lines(&report), [""; 0]);
    assert_eq!(report.directories, 5);
}

#[test]
fn nothing_is_found_on_volumes_of_every_geometry() {
    for (sector, cluster) in [
        (SectorSize::B512, 512),
        (SectorSize::B512, KIB),
        (SectorSize::B512, 4 * KIB),
        (SectorSize::B512, 64 * KIB),
        (SectorSize::B512, 2 * MIB),
        (SectorSize::B4096, 4 * KIB),
        (SectorSize::B4096, 64 * KIB),
    ] {
        let disk = MemoryDisk::new(ByteCount(64 * MIB), sector).unwrap();
        let mut tree = MemoryTree::new();
        for number in 0..200 {
            let name = NodeName::from_text(&format!("file of the number {number}")).unwrap();
            // Clusters of 2 MiB are for few files that need them.
            let length = if cluster > 64 * KIB { 7 } else { number * 11 };
            tree.add_file(NodeId::ROOT, name, &vec![7; length]);
        }
        let options = NtfsOptions {
            cluster_size: Some(ByteCount(cluster)),
            ..NtfsOptions::default()
        };
        let go_on = |_, _| ControlFlow::Continue(());
        format(&disk, &options, Some(&mut tree.source()), &go_on).unwrap();
        assert_eq!(lines(&checked(&disk)), [""; 0], "{sector:?} {cluster}");
    }
}

#[test]
fn each_damage_is_found_and_named() {
    let mut missed = Vec::new();
    let mut count = 0;
    for damage in damage::all() {
        let volume = Volume::sound();
        (damage.plant)(&volume);
        let report = checked(volume.disk());
        count += 1;
        if !report.has(damage.class) || report.is_clean() {
            let classes: Vec<_> = report.classes().collect();
            let lines: Vec<_> = lines(&report).into_iter().take(3).collect();
            missed.push(format!(
                "{} ({}): {classes:?} {lines:#?}",
                damage.name, damage.class
            ));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert!(count >= 100, "only {count} damages");
}

#[test]
fn files_that_are_encrypted_are_told_of_and_no_damage() {
    let volume = Volume::sound();
    let big = volume.find("first large file");
    // As the encrypting file system of Windows has it: the attribute of the file in its record and its
    // directory, the flag of its data. (Its keys, in $EFS, are nothing to a check.)
    let bits = u32::from_le_bytes([0x20, 0x40, 0, 0]).to_le_bytes();
    volume.in_value(big, kind::STANDARD_INFORMATION, "", 0x20, &bits);
    volume.in_entry(5, "first large file", 0x10 + 0x38, &bits);
    volume.in_attribute(big, kind::DATA, "", 12, &[0, 0x40]);
    let report = checked(volume.disk());
    let lines = lines(&report);
    assert!(report.is_clean() && lines.len() == 1, "{lines:?}");
    assert!(lines[0].starts_with("note files-encrypted"), "{lines:?}");
    assert!(lines[0].contains("/first large file"), "{lines:?}");
}

/// ntfs3 fills the log with 0xFF when it mounts, from its start on; a machine may die in the middle.
#[test]
fn a_clean_log_that_was_being_emptied_is_told_of_and_no_damage() {
    let (page, last) = (4096, 0x2_2000);
    for (at, length) in [
        (0, 512),
        (0, page),
        (page, page),
        (last, page),
        (last, 1024),
    ] {
        let volume = Volume::sound();
        let place = volume.place(2, kind::DATA, "", at);
        volume.write(place, &vec![0xFF; length.try_into().unwrap()]);
        let report = checked(volume.disk());
        let lines = lines(&report);
        assert!(report.is_clean() && lines.len() == 1, "{at}: {lines:?}");
        assert!(lines[0].starts_with("note log-emptied"), "{lines:?}");
    }
    let volume = Volume::sound();
    volume.write(volume.place(2, kind::DATA, "", 0), &[0xFF; 8192]);
    assert_eq!(lines(&checked(volume.disk())), [""; 0], "an empty log");
}

/// ntfs-3g writes such names; a check by Windows takes the files for lost.
#[test]
fn names_that_windows_does_not_take_are_told_of_and_no_damage() {
    let volume = Volume::sound();
    let small = volume.find("small file.txt");
    volume.in_value(small, kind::FILE_NAME, "", 0x42 + 2 * 13, b"*");
    volume.in_entry(5, "small file.txt", 0x52 + 2 * 13, b"*");
    let report = checked(volume.disk());
    let lines = lines(&report);
    assert!(report.is_clean() && lines.len() == 1, "{lines:?}");
    assert!(lines[0].starts_with("note names-refused"), "{lines:?}");
    assert!(lines[0].contains("/small file.tx*"), "{lines:?}");
}

/// A file of several names: all but one may lag behind in what they repeat, but not in this.
#[test]
fn every_entry_of_a_file_says_what_kind_of_file_it_is() {
    let volume = Volume::sound();
    volume.in_entry(5, "second name of a file", 0x10 + 0x30, &[9]);
    assert_eq!(lines(&checked(volume.disk())), [""; 0]);
    volume.in_entry(5, "second name of a file", 0x10 + 0x3B, &[0x10]);
    assert!(checked(volume.disk()).has("index-copy"));
}

#[test]
fn a_path_is_told_of_what_was_found() {
    let volume = Volume::sound();
    let deep = volume.find("outer/inner directory/deep.txt");
    volume.record(deep, |bytes| bytes[0x12] = 7);
    let report = checked(volume.disk());
    let finding = &report.findings()[0];
    assert_eq!(
        finding.path.as_deref(),
        Some("/outer/inner directory/deep.txt")
    );
    assert_eq!((finding.record, finding.class), (Some(deep), "link-count"));
    assert_eq!(finding.expected.as_deref(), Some("1"));
    assert_eq!(finding.actual.as_deref(), Some("7"));
}

#[test]
fn a_volume_that_leads_nowhere_is_an_error_and_the_caller_may_stop() {
    let volume = Volume::sound();
    let stopped = check(volume.disk(), &|_, _| ControlFlow::Break(())).unwrap_err();
    assert_eq!(stopped.kind(), MkfsErrorKind::Interrupted);
    volume.boot(3, b"GONE");
    let error = check(volume.disk(), &|_, _| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.kind(), MkfsErrorKind::Damaged);
}

#[test]
fn a_check_of_random_damage_ends() {
    let volume = Volume::sound();
    let size = volume.disk().size().get();
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for round in 0..150 {
        let mut saved = Vec::new();
        for _ in 0..=round % 12 {
            // Mostly where the structures are.
            let table = volume.raw_record(0);
            let at = match next() % 4 {
                0 => next() % size,
                1 => next() % 8192,
                _ => (table + next() % (400 * 1024)).min(size - 1),
            };
            saved.push((at, volume.read(at, 1)));
            volume.write(at, &[u8::try_from(next() % 256).unwrap()]);
        }
        drop(check(volume.disk(), &|_, _| ControlFlow::Continue(())));
        for (at, bytes) in saved.into_iter().rev() {
            volume.disk().write_at(&bytes, ByteOffset(at)).unwrap();
        }
    }
    assert!(checked(volume.disk()).is_clean());
}

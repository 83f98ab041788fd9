//! The check of FAT32 volumes: nothing on a sound one, each damage by its class, and an end whatever
//! the bytes.

use std::ops::ControlFlow;

use blockio::{ByteOffset, Disk};
use mkfs::VolumeReport;
use mkfs::fat32::fsck::check;

use super::fat32_damage::{DAMAGES, Volume};

fn checked(disk: &dyn Disk) -> VolumeReport {
    check(disk, &|_, _| ControlFlow::Continue(())).unwrap()
}

fn lines(report: &VolumeReport) -> Vec<String> {
    let findings = report.findings().iter();
    findings
        .map(|finding| format!("{} {:?} {}", finding.class, finding.path, finding.message))
        .collect()
}

#[test]
fn nothing_is_found_on_a_sound_volume() {
    let report = checked(Volume::sound().disk());
    assert_eq!(lines(&report), [""; 0]);
    assert_eq!((report.files, report.directories), (5, 3));
}

#[test]
fn each_damage_is_found_and_named() {
    let mut missed = Vec::new();
    for damage in DAMAGES {
        let volume = Volume::sound();
        (damage.plant)(&volume);
        let report = checked(volume.disk());
        if !report.has(damage.class) || report.is_clean() {
            missed.push(format!(
                "{} ({}): {:#?}",
                damage.name,
                damage.class,
                lines(&report)
            ));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert!(DAMAGES.len() >= 20);
}

#[test]
fn a_check_of_random_damage_ends() {
    let volume = Volume::sound();
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..200 {
        let at = match next() % 3 {
            0 => next() % 512,
            1 => 32 * 512 + next() % 400,
            _ => 660 * 1024 + next() % (64 * 1024),
        };
        let mut saved = [0];
        volume.disk().read_at(&mut saved, ByteOffset(at)).unwrap();
        let value = u8::try_from(next() % 256).unwrap();
        volume.disk().write_at(&[value], ByteOffset(at)).unwrap();
        drop(check(volume.disk(), &|_, _| ControlFlow::Continue(())));
        if next() % 4 > 0 {
            volume.disk().write_at(&saved, ByteOffset(at)).unwrap();
        }
    }
}

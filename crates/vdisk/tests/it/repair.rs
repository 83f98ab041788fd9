//! Repair: every damage of the table is found, and repaired or named; nothing that could be read is
//! lost; doing it again, undoing it and being cut short at any point end well.

use std::sync::Arc;

use blockio::sim::{CrashPlan, SimStorage};
use blockio::{ByteOffset, Disk, SparseMemoryStorage, Storage};
use vdisk::{
    Access, ImageError, ImageFormat, Provisioning, RepairBackup, RepairOptions, RepairPlan,
    RepairState, plan_repair, remedy,
};

use crate::chain::{Files, child_options};
use crate::damage::{Damage, Outcome, Sample, vhd, vhdx};
use crate::images::{self, File, MIB, range};

const KEEP: RepairOptions = RepairOptions { accept_loss: false };
const GIVE_UP: RepairOptions = RepairOptions { accept_loss: true };
/// Where the disk of a sample is looked at.
const PROBE: usize = 4096;

/// An image to be damaged, and its parent where it has one.
pub(crate) struct Subject {
    pub(crate) format: ImageFormat,
    pub(crate) file: File,
    pub(crate) files: Files,
}

fn fill(disk: &dyn Disk, start: u64, length: usize) {
    for (index, chunk) in (0..length).step_by(PROBE).enumerate() {
        let at = start + u64::try_from(chunk).unwrap();
        let value = u8::try_from((at / 4096 + 1) % 251).unwrap() ^ u8::try_from(index % 3).unwrap();
        disk.write_at(&[value.max(1); PROBE], ByteOffset(at))
            .unwrap();
    }
}

pub(crate) fn sample(format: ImageFormat, sample: Sample) -> Subject {
    let file = File::default();
    let dynamic = Provisioning::Dynamic;
    let mib = usize::try_from(MIB).unwrap();
    let alone = Files::new(format, file.clone());
    let subject = |files| Subject {
        format,
        file: file.clone(),
        files,
    };
    match sample {
        Sample::Wide => {
            let options = vdisk::CreateOptions {
                block_size: Some(blockio::ByteCount(256 * MIB)),
                ..images::options(format, dynamic, 17 * 256 * MIB)
            };
            let disk = vdisk::create(Box::new(file.clone()), format, &options).unwrap();
            fill(&*disk, 0, mib);
            fill(&*disk, 16 * 256 * MIB, mib);
            disk.close().unwrap();
            subject(alone)
        }
        Sample::Fixed => {
            let disk = images::create(&file, format, Provisioning::Fixed, 8 * MIB);
            fill(&*disk, 0, 8 * mib);
            disk.close().unwrap();
            subject(alone)
        }
        Sample::Empty => {
            let disk = images::create(&file, format, dynamic, 8 * MIB);
            disk.close().unwrap();
            subject(alone)
        }
        Sample::Child => {
            let base = File::default();
            let disk = images::create(&base, format, dynamic, 8 * MIB);
            fill(&*disk, 0, 8 * mib);
            disk.close().unwrap();
            let mut files = Files::new(format, base);
            let disk = files.grow(file.clone(), &child_options(format));
            for block in [0, 1] {
                disk.write_at(&[0xcc; 8192], ByteOffset(block * MIB + 4096))
                    .unwrap();
            }
            fill(&*disk, 2 * MIB + MIB / 2, mib);
            disk.close().unwrap();
            subject(files)
        }
        Sample::Clean | Sample::Dirty => {
            let disk = images::create(&file, format, dynamic, 8 * MIB);
            for block in [0, 1, 2, 5] {
                fill(&*disk, block * MIB, mib);
                disk.flush().unwrap();
            }
            match sample {
                Sample::Dirty => drop(disk),
                _ => disk.close().unwrap(),
            }
            subject(alone)
        }
    }
}

/// What can be read of the disk in `file`, a piece each 32 KiB (in large disks, each 64 MiB).
fn content(subject: &Subject, file: Arc<dyn Storage>) -> Result<Vec<Option<Vec<u8>>>, ImageError> {
    let disk = subject.files.open_file(file, Access::ReadOnly)?;
    let step = if disk.size().get() > 64 * MIB {
        64 * MIB
    } else {
        32 * 1024
    };
    let places = (0..disk.size().get()).step_by(usize::try_from(step).unwrap());
    let read = |at| {
        let mut bytes = vec![0; PROBE];
        disk.read_at(&mut bytes, ByteOffset(at))
            .ok()
            .map(|()| bytes)
    };
    Ok(places.map(read).collect())
}

fn plan(subject: &Subject, options: RepairOptions) -> RepairPlan {
    plan_repair(&*subject.file, Some(subject.format), options).unwrap()
}

fn sound(subject: &Subject, file: &dyn Storage) -> bool {
    vdisk::check(file, Some(subject.format)).unwrap().is_sound()
}

fn has(plan: &RepairPlan, words: &str) -> bool {
    let mut findings = plan.before.findings().iter();
    findings.any(|finding| finding.message.contains(words))
}

/// What could be read before a repair is read after it, but for what it gives up.
fn compare(
    name: &str,
    before: &[Option<Vec<u8>>],
    after: &[Option<Vec<u8>>],
    lost: &[blockio::ByteRange],
) {
    assert_eq!(before.len(), after.len(), "{name}");
    for ((index, before), after) in (0_u64..).zip(before).zip(after) {
        // What leads into the tables of the image could be read, and was no data of the disk.
        let probe = range(index * 32 * 1024, 4096);
        let given_up = lost.iter().any(|range| range.intersect(probe).is_some());
        if let Some(before) = before.as_ref().filter(|_| !given_up) {
            let after = after.as_ref();
            assert!(after == Some(before), "{name}: probe {index} changed");
        }
    }
}

fn check_repaired(row: &Damage, subject: &Subject, whole: &[Option<Vec<u8>>], plan: &RepairPlan) {
    let name = row.name;
    let damaged: SparseMemoryStorage = (*subject.file).clone();
    let backup = plan.backup.as_ref().expect(name);
    let backup = RepairBackup::decode(&backup.encode().unwrap()).unwrap();
    let file = Arc::new(damaged.clone());
    assert_eq!(
        backup.state(&*file).unwrap(),
        RepairState::NotBegun,
        "{name}"
    );
    backup.apply(&*file).unwrap();
    assert_eq!(backup.state(&*file).unwrap(), RepairState::Done, "{name}");
    assert!(
        sound(subject, &*file),
        "{name}: {:?}",
        plan.remaining().findings()
    );
    let again = plan_repair(&*file, Some(subject.format), GIVE_UP).unwrap();
    assert!(again.fixes.is_empty(), "{name}: again {:?}", again.fixes);

    let after = content(subject, file.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    if let Ok(before) = content(subject, subject.file.clone()) {
        compare(name, &before, &after, &plan.lost);
    }
    if plan.lost_bytes.get() == 0 {
        compare(name, whole, &after, &[]);
    } else {
        check_lost(name, whole, &after, plan);
    }
    let disk = subject.files.open_file(file.clone(), Access::ReadWrite);
    let disk = disk.unwrap_or_else(|error| panic!("{name}: for writing: {error}"));
    drop(disk);

    let undone = Arc::new(damaged.clone());
    backup.apply(&*undone).unwrap();
    backup.undo(&*undone).unwrap();
    assert!(
        undone.same_bytes(&damaged),
        "{name}: undone is not as before"
    );
    if row.name.contains("header") || row.name.contains("block") {
        check_crashes(row, &damaged, &file, &backup);
    }
}

/// What is not whole any more is zeros, in the ranges that the plan names.
fn check_lost(name: &str, whole: &[Option<Vec<u8>>], after: &[Option<Vec<u8>>], plan: &RepairPlan) {
    let mut lost = 0;
    for ((index, whole), after) in (0_u64..).zip(whole).zip(after) {
        let probe = range(index * 32 * 1024, 4096);
        let given_up = plan
            .lost
            .iter()
            .any(|range| range.intersect(probe).is_some());
        match given_up {
            true => lost += 1,
            false => assert!(whole == after, "{name}: probe {index} is lost in silence"),
        }
        if plan
            .lost
            .iter()
            .any(|range| range.intersect(probe) == Some(probe))
        {
            assert!(
                after.as_deref() == Some(&[0; PROBE]),
                "{name}: probe {index}"
            );
        }
    }
    assert!(lost > 0 && lost < 40, "{name}: {lost} probes lost");
}

/// Cut short anywhere, a repair is completed and undone.
fn check_crashes(
    row: &Damage,
    damaged: &SparseMemoryStorage,
    repaired: &SparseMemoryStorage,
    backup: &RepairBackup,
) {
    let image = SimStorage::from_image(damaged);
    backup.apply(&image).unwrap();
    for state in image.history().crash_states(CrashPlan::quick(11)) {
        let name = row.name;
        let completed = SimStorage::from_image(&state.image());
        backup.apply(&completed).unwrap();
        let same = completed.image().same_bytes(repaired);
        // A disk that is open for writing above has changed its headers.
        assert!(
            same || backup.state(&completed).unwrap() == RepairState::Done,
            "{name}"
        );
        let undone = SimStorage::from_image(&state.image());
        backup.undo(&undone).unwrap();
        assert!(
            undone.image().same_bytes(damaged),
            "{name}: {}",
            state.recipe()
        );
    }
}

fn check_row(format: ImageFormat, row: &Damage) {
    let name = row.name;
    let subject = sample(format, row.sample);
    let whole = content(&subject, subject.file.clone()).unwrap();
    (row.break_it)(&*subject.file);
    let damaged: SparseMemoryStorage = (*subject.file).clone();
    let kept = plan(&subject, KEEP);
    let found = kept.before.findings();
    assert!(has(&kept, row.finding), "{name}: found {found:?}");
    match row.outcome {
        Outcome::Repaired => {
            assert!(
                kept.remaining().is_sound(),
                "{name}: left {:?}",
                kept.remaining()
            );
            assert!(kept.lost.is_empty(), "{name}");
            check_repaired(row, &subject, &whole, &kept);
        }
        Outcome::GivenUp => {
            assert!(!kept.remaining().is_sound(), "{name}");
            let given_up = plan(&subject, GIVE_UP);
            let left = given_up.remaining();
            assert!(left.is_sound(), "{name}: left {:?}", left.findings());
            check_repaired(row, &subject, &whole, &given_up);
        }
        Outcome::Named => {
            let given_up = plan(&subject, GIVE_UP);
            assert!(!given_up.remaining().is_sound(), "{name}");
            let left = given_up.remaining().findings();
            let left = left
                .iter()
                .find(|finding| finding.severity == vdisk::Severity::Error);
            assert!(!remedy(left.expect(name)).is_empty());
        }
        Outcome::Harmless => {
            assert!(kept.before.is_sound(), "{name}: {found:?}");
            assert!(kept.backup.is_none(), "{name}: {:?}", kept.fixes);
        }
    }
    assert!(
        subject.file.same_bytes(&damaged),
        "{name}: planning changed the file"
    );
}

#[test]
fn every_damage_to_a_vhdx_is_found_and_repaired_or_named() {
    for row in vhdx::DAMAGES {
        check_row(ImageFormat::Vhdx, row);
    }
}

#[test]
fn every_damage_to_a_vhd_is_found_and_repaired_or_named() {
    for row in vhd::DAMAGES {
        check_row(ImageFormat::Vhd, row);
    }
}

#[test]
fn there_is_nothing_to_repair_in_a_sound_image() {
    use ImageFormat::{Vhd, Vhdx};
    for (format, kind) in [
        (Vhdx, Sample::Clean),
        (Vhdx, Sample::Wide),
        (Vhdx, Sample::Empty),
        (Vhdx, Sample::Child),
        (Vhd, Sample::Clean),
        (Vhd, Sample::Fixed),
        (Vhd, Sample::Child),
    ] {
        let subject = sample(format, kind);
        let plan = plan(&subject, GIVE_UP);
        assert!(plan.backup.is_none(), "{format} {kind:?}: {:?}", plan.fixes);
        assert!(plan.before.is_sound() && plan.lost.is_empty());
    }
}

#[test]
fn broken_bytes_anywhere_in_the_tables_bring_neither_repair_nor_salvage_down() {
    let mut random = crate::random::Random::new(8);
    for (format, tables) in [(ImageFormat::Vhdx, 4 * MIB), (ImageFormat::Vhd, 4096)] {
        let subject = sample(format, Sample::Dirty);
        let good = images::bytes_of(&*subject.file);
        for _ in 0..60 {
            let mut image = good.clone();
            for _ in 0..1 + random.below(4) {
                // Where structures stand, which is at the start of each mebibyte.
                let at = match format {
                    ImageFormat::Vhdx => random.below(tables / MIB) * MIB + random.below(300_000),
                    _ => random.below(tables),
                };
                let at = usize::try_from(at).unwrap() % image.len();
                image[at] = u8::try_from(random.below(256)).unwrap();
            }
            vdisk::fuzz_repair(&image);
        }
    }
}

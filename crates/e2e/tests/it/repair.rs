//! Repaired images, as other programs judge them; repairs killed at any moment.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use blockio::{FileAccess, FileStorage};

use crate::command::cvol_path;
use crate::damage::{Damage, Outcome, Sample, vhd, vhdx};
use crate::random::Random;
use crate::tools;

const SIZE: usize = 8 << 20;

fn output(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(cvol_path());
    command.args(arguments).current_dir(folder);
    let output = command.env("CVOL_ROOT", folder.join("store")).output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

fn cvol(folder: &Path, arguments: &[&str]) -> i32 {
    output(folder, arguments).0
}

/// The disk of the samples: blocks 3, 4, 6 and 7 are zeros.
fn disk() -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    for block in [0, 1, 2, 5] {
        for at in (block << 20..(block + 1) << 20).step_by(512) {
            bytes[at..at + 512].fill(u8::try_from(at / 512 % 250 + 1).unwrap());
        }
    }
    bytes
}

/// Makes a clean sample in `folder` as `image`; `false` for samples that need the library.
fn make(folder: &Path, format: &str, sample: Sample) -> bool {
    let kind = match sample {
        Sample::Clean => "dynamic",
        Sample::Fixed => "fixed",
        _ => return false,
    };
    std::fs::write(folder.join("disk.raw"), disk()).unwrap();
    let size = if format == "vhd" { "512K" } else { "1M" };
    let mut arguments = vec!["convert", "--force", "-O", format, "--type", kind];
    if kind == "dynamic" {
        arguments.extend(["--block-size", size]);
    }
    arguments.extend(["disk.raw", "image"]);
    // Blocks are given out in the order of the disk.
    let mut command = Command::new(cvol_path());
    command
        .args(&arguments)
        .current_dir(folder)
        .env("SOURCE_DATE_EPOCH", "1700000000");
    assert!(command.output().unwrap().status.success());
    true
}

fn check_row(folder: &Path, format: &str, row: &Damage) -> bool {
    if !make(folder, format, row.sample) {
        return false;
    }
    let name = row.name;
    let image = folder.join("image");
    let file = FileStorage::open(&image, FileAccess::ReadWrite).unwrap();
    (row.break_it)(&file);
    drop(file);
    let (code, told) = output(folder, &["check", "-f", format, "./image"]);
    assert!(code <= 1 && told.contains(row.finding), "{name}: {told}");
    if matches!(row.outcome, Outcome::Named | Outcome::Harmless) {
        return false;
    }
    let mut arguments = vec!["check", "-f", format, "--repair", "./image"];
    if row.outcome == Outcome::GivenUp {
        arguments.push("--accept-loss");
    }
    assert_eq!(cvol(folder, &arguments), 0, "{name}");
    std::fs::remove_file(folder.join("image.repair-backup")).unwrap();
    let theirs = if format == "vhd" { "vpc" } else { "vhdx" };
    if format == "vhdx" {
        tools::run("qemu-img", &[&"check", &"-f", &theirs, &image]);
    }
    let raw = folder.join("theirs.raw");
    tools::run(
        "qemu-img",
        &[&"convert", &"-f", &theirs, &"-O", &"raw", &image, &raw],
    );
    assert_eq!(
        cvol(
            folder,
            &["convert", "--force", "-f", format, "./image", "ours.raw"]
        ),
        0
    );
    let (theirs, ours) = (
        std::fs::read(&raw).unwrap(),
        std::fs::read(folder.join("ours.raw")).unwrap(),
    );
    assert!(theirs == ours, "{name}: qemu-img reads another disk");
    if row.outcome == Outcome::Repaired {
        assert!(ours == disk(), "{name}: the disk changed");
    }
    true
}

#[test]
fn qemu_img_finds_every_repaired_image_sound_and_reads_it_as_we_do() {
    if !tools::needs(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut judged = 0;
    for (format, rows) in [("vhdx", vhdx::DAMAGES), ("vhd", vhd::DAMAGES)] {
        for row in rows {
            judged += usize::from(check_row(folder.path(), format, row));
        }
    }
    assert!(judged >= 35, "only {judged} damages were judged");
}

/// A repair looks at one file: of a child whose parent had been replaced it told that no errors were left.
#[test]
fn a_repair_of_a_child_does_not_call_its_broken_link_sound() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(make(folder, "vhdx", Sample::Clean));
    std::fs::rename(folder.join("image"), folder.join("base.vhdx")).unwrap();
    assert_eq!(cvol(folder, &["diff-create", "base.vhdx", "child.vhdx"]), 0);
    let repair = ["check", "child.vhdx", "--repair"];
    assert_eq!(cvol(folder, &repair), 0);
    let words = ["convert", "--force", "disk.raw", "base.vhdx"];
    assert_eq!(cvol(folder, &words), 0);
    let (code, text) = output(folder, &repair);
    assert_eq!(code, 1, "{text}");
    for words in [
        "is not what its child was made on",
        "what is left: the parent",
    ] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_repair_that_is_killed_at_any_moment_is_completed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(make(path, "vhdx", Sample::Clean));
    let image = path.join("image");
    let file = FileStorage::open(&image, FileAccess::ReadWrite).unwrap();
    for row in vhdx::DAMAGES {
        let many = [
            "first header, checksum",
            "first region table, checksum",
            "log on the metadata",
        ];
        if many.contains(&row.name) {
            (row.break_it)(&file);
        }
    }
    drop(file);
    let damaged = std::fs::read(&image).unwrap();
    let mut random = Random(4);
    let mut killed = 0;
    for round in 0..60 {
        std::fs::write(&image, &damaged).unwrap();
        let _ = std::fs::remove_file(path.join("image.repair-backup"));
        let mut command = Command::new(cvol_path());
        command
            .args(["check", "--repair", "-f", "vhdx", "./image"])
            .current_dir(path);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(10_000)));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        if round % 2 == 0 && path.join("image.repair-backup").exists() {
            assert_eq!(
                cvol(path, &["check", "--undo-repair", "-f", "vhdx", "./image"]),
                0
            );
            assert!(std::fs::read(&image).unwrap() == damaged, "round {round}");
        }
        assert_eq!(
            cvol(path, &["check", "--repair", "-f", "vhdx", "./image"]),
            0
        );
        assert_eq!(
            cvol(
                path,
                &["convert", "--force", "-f", "vhdx", "./image", "ours.raw"]
            ),
            0
        );
        assert!(
            std::fs::read(path.join("ours.raw")).unwrap() == disk(),
            "round {round}"
        );
    }
    assert!(
        killed >= 3,
        "only {killed} of 60 were still running when killed"
    );
}

//! `check --repair` and `--undo-repair`: what is changed, what is told, and how it ends.

use std::path::Path;

use crate::{Scratch, names_in};

/// A VHDX of 4 MiB with data, made from `disk.raw`, and its bytes.
fn image(scratch: &Scratch) -> Vec<u8> {
    let disk: Vec<u8> = (0..4_u32 << 20)
        .map(|at| (at / 4096 % 250 + 1).to_le_bytes()[0])
        .collect();
    scratch.write("disk.raw", &disk);
    scratch.ok(&["convert", "--block-size", "1M", "disk.raw", "a.vhdx"]);
    std::fs::read(scratch.path("a.vhdx")).unwrap()
}

fn damage(path: &Path, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = std::fs::read(path).unwrap();
    image[at..at + bytes.len()].copy_from_slice(bytes);
    std::fs::write(path, &image).unwrap();
    image
}

fn same_disk(scratch: &Scratch, image: &str) {
    scratch.ok(&["convert", "--force", image, "back.raw"]);
    let read = |name: &str| std::fs::read(scratch.path(name)).unwrap();
    assert!(read("back.raw") == read("disk.raw"));
}

const FIRST_HEADER: usize = 64 * 1024;
const FIRST_REGION_TABLE: usize = 192 * 1024;
const TABLE: usize = 3 << 20;

#[test]
fn a_repair_mends_an_image_and_is_undone() {
    let scratch = Scratch::new();
    image(&scratch);
    let path = scratch.path("a.vhdx");
    damage(&path, FIRST_HEADER, &[0; 64]);
    let damaged = damage(&path, FIRST_REGION_TABLE, &[0; 64]);
    assert_eq!(scratch.run(&["check", "a.vhdx"]).code, 1);

    let planned = scratch.json(&["check", "a.vhdx", "--repair", "--dry-run"]);
    assert_eq!(planned["fixes"].as_array().unwrap().len(), 2);
    assert_eq!(planned["repaired"], false);
    assert_eq!(planned["check"]["sound"], true);
    assert!(
        std::fs::read(&path).unwrap() == damaged,
        "a dry run changes nothing"
    );
    assert_eq!(names_in(&scratch.path(".")), ["a.vhdx", "disk.raw"]);

    let repaired = scratch.ok(&["check", "a.vhdx", "--repair"]).stdout;
    assert!(
        repaired.contains("repaired at 0x10000: first header"),
        "{repaired}"
    );
    assert!(repaired.contains("a.vhdx.repair-backup"), "{repaired}");
    scratch.ok(&["check", "a.vhdx"]);
    same_disk(&scratch, "a.vhdx");
    let again = scratch.json(&["check", "a.vhdx", "--repair"]);
    assert_eq!(again["fixes"].as_array().unwrap().len(), 0);

    scratch.ok(&["check", "a.vhdx", "--undo-repair"]);
    assert!(std::fs::read(&path).unwrap() == damaged, "undone");
    let nothing = scratch.json_error(&["check", "a.vhdx", "--undo-repair"], 3);
    assert_eq!(nothing["error"]["kind"], "not_found");
}

#[test]
fn what_cannot_be_read_is_given_up_only_where_the_loss_is_accepted() {
    let scratch = Scratch::new();
    image(&scratch);
    let path = scratch.path("a.vhdx");
    damage(&path, TABLE + 8, &(1_u64 << 45 | 6).to_le_bytes());
    let run = scratch.run(&["check", "a.vhdx", "--repair"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("--accept-loss"), "{}", run.stdout);
    let repaired = scratch.json(&["check", "a.vhdx", "--repair", "--accept-loss"]);
    assert_eq!(repaired["lost_bytes"], 1 << 20);
    assert_eq!(repaired["lost"][0]["start"], 1 << 20);
    scratch.ok(&["convert", "a.vhdx", "back.raw"]);
    let mut expected = std::fs::read(scratch.path("disk.raw")).unwrap();
    expected[1 << 20..2 << 20].fill(0);
    assert!(std::fs::read(scratch.path("back.raw")).unwrap() == expected);
}

#[test]
fn two_blocks_in_one_place_are_named_and_left() {
    let scratch = Scratch::new();
    let good = image(&scratch);
    let entry: [u8; 8] = good[TABLE..TABLE + 8].try_into().unwrap();
    let path = scratch.path("a.vhdx");
    let damaged = damage(&path, TABLE + 8, &entry);
    let run = scratch.run(&["check", "a.vhdx", "--repair", "--accept-loss"]);
    assert_eq!(run.code, 1);
    for words in ["entry 0 of", "entry 1 of", "nothing says which is right"] {
        assert!(run.stdout.contains(words), "{}", run.stdout);
    }
    assert!(std::fs::read(&path).unwrap() == damaged);
}

#[test]
fn a_repair_that_was_cut_short_is_told_and_completed() {
    let scratch = Scratch::new();
    image(&scratch);
    let path = scratch.path("a.vhdx");
    damage(&path, FIRST_HEADER, &[0; 64]);
    let damaged = damage(&path, FIRST_REGION_TABLE, &[0; 64]);
    scratch.ok(&["check", "a.vhdx", "--repair"]);
    let repaired = std::fs::read(&path).unwrap();
    // The header was written, the region table was not.
    let mut torn = damaged.clone();
    let header = FIRST_HEADER..FIRST_HEADER + 4096;
    torn[header.clone()].copy_from_slice(&repaired[header]);
    std::fs::write(&path, &torn).unwrap();

    let run = scratch.run(&["check", "a.vhdx"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stdout.contains("a repair was cut short"),
        "{}",
        run.stdout
    );
    let completed = scratch.json(&["check", "a.vhdx", "--repair"]);
    assert_eq!(completed["completed_earlier"], true);
    assert!(std::fs::read(&path).unwrap() == repaired);
    std::fs::write(&path, &torn).unwrap();
    scratch.ok(&["check", "a.vhdx", "--undo-repair"]);
    assert!(std::fs::read(&path).unwrap() == damaged);
}

#[test]
fn an_image_that_was_written_since_is_not_undone() {
    let scratch = Scratch::new();
    image(&scratch);
    let path = scratch.path("a.vhdx");
    damage(&path, FIRST_REGION_TABLE, &[0; 64]);
    scratch.ok(&["check", "a.vhdx", "--repair"]);
    // As a writer leaves it: another header.
    let written = damage(&path, FIRST_HEADER + 16, &[7; 16]);
    let refused = scratch.json_error(&["check", "a.vhdx", "--undo-repair"], 6);
    let message = refused.to_string();
    assert!(message.contains("changed after the repair"), "{message}");
    assert!(std::fs::read(&path).unwrap() == written);
}

#[test]
fn backups_of_earlier_repairs_are_kept() {
    let scratch = Scratch::new();
    image(&scratch);
    let path = scratch.path("a.vhdx");
    for value in 0..3 {
        damage(&path, FIRST_REGION_TABLE, &[value; 64]);
        scratch.ok(&["check", "a.vhdx", "--repair"]);
    }
    let names = names_in(&scratch.path("."));
    let backups: Vec<&String> = names
        .iter()
        .filter(|name| name.contains("backup"))
        .collect();
    let expected = [
        "a.vhdx.repair-backup",
        "a.vhdx.repair-backup.1",
        "a.vhdx.repair-backup.2",
    ];
    assert_eq!(backups, expected);
}

#[test]
fn the_image_of_a_volume_is_repaired_in_the_store() {
    let scratch = Scratch::new();
    scratch.make_volume("data");
    let inspected = scratch.json(&["inspect", "data"]);
    let path = inspected[0]["image_path"].as_str().unwrap().to_owned();
    damage(Path::new(&path), FIRST_REGION_TABLE, &[0; 64]);
    assert_eq!(scratch.run(&["check", "data"]).code, 1);
    let repaired = scratch.json(&["check", "data", "--repair"]);
    assert_eq!(repaired["backup"], "image.vhdx.repair-backup");
    scratch.ok(&["check", "data"]);
    scratch.ok(&["check", "data", "--undo-repair"]);
    assert_eq!(scratch.run(&["check", "data"]).code, 1);
    scratch.ok(&["check", "data", "--repair"]);
    scratch.ok(&["rm", "data"]);
}

#[test]
fn a_parent_that_is_missing_or_another_one_is_named() {
    let scratch = Scratch::new();
    image(&scratch);
    scratch.ok(&["diff-create", "a.vhdx", "child.vhdx"]);
    scratch.ok(&["check", "child.vhdx", "--repair"]);
    std::fs::rename(scratch.path("a.vhdx"), scratch.path("elsewhere.vhdx")).unwrap();
    let run = scratch.run(&["check", "child.vhdx"]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    assert!(run.stdout.contains("is not there"), "{}", run.stdout);
    scratch.ok(&["convert", "disk.raw", "a.vhdx"]);
    let run = scratch.run(&["check", "child.vhdx"]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    assert!(
        run.stdout.contains("is not what its child was made on"),
        "{}",
        run.stdout
    );
}

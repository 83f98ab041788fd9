//! `doctor`: what is found in a store, what is mended, and what is left to people.

use std::path::PathBuf;

use crate::{Scratch, names_in};

fn folder_of(scratch: &Scratch, name: &str) -> PathBuf {
    let inspected = scratch.json(&["inspect", name]);
    let image = PathBuf::from(inspected[0]["image_path"].as_str().unwrap());
    image.parent().unwrap().to_owned()
}

fn classes(told: &serde_json::Value) -> Vec<(String, String)> {
    let findings = told["findings"].as_array().unwrap().iter();
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    findings
        .map(|finding| (word(&finding["class"]), word(&finding["cure"])))
        .collect()
}

/// Looks, insists that exactly one thing is found, of this class and cure, and on the exit code.
#[track_caller]
fn finds(scratch: &Scratch, arguments: &[&str], class: &str, cure: &str) {
    let mut all = vec!["--json", "doctor"];
    all.extend(arguments);
    let run = scratch.run(&all);
    let told: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        classes(&told),
        [(class.to_owned(), cure.to_owned())],
        "{told}"
    );
    let expected = i32::from(matches!(cure, "mendable" | "by-hand"));
    assert_eq!(run.code, expected, "{told}");
}

#[track_caller]
fn is_sound(scratch: &Scratch) {
    let told = scratch.json(&["doctor", "--deep"]);
    assert_eq!(told["sound"], true);
    assert_eq!(classes(&told), [], "{told}");
}

fn store() -> Scratch {
    let scratch = Scratch::new();
    scratch.make_volume("data");
    scratch.ok(&["create", "other", "--size", "32M"]);
    is_sound(&scratch);
    scratch
}

#[test]
fn a_rescue_record_that_is_lost_or_wrong_is_written_anew() {
    let scratch = store();
    let record = folder_of(&scratch, "data").join("volume.json");
    let good = std::fs::read(&record).unwrap();
    std::fs::remove_file(&record).unwrap();
    finds(&scratch, &[], "rescue-record", "mendable");
    finds(&scratch, &["--fix"], "rescue-record", "mended");
    assert_eq!(std::fs::read(&record).unwrap(), good);
    std::fs::write(&record, b"{}").unwrap();
    finds(&scratch, &["--fix"], "rescue-record", "mended");
    assert_eq!(std::fs::read(&record).unwrap(), good);
    is_sound(&scratch);
}

#[test]
fn a_missing_image_or_folder_is_left_to_people() {
    let scratch = store();
    let folder = folder_of(&scratch, "data");
    let image = folder.join("image.vhdx");
    std::fs::rename(&image, scratch.path("kept.vhdx")).unwrap();
    finds(&scratch, &["--fix"], "missing-file", "by-hand");
    std::fs::rename(scratch.path("kept.vhdx"), &image).unwrap();
    is_sound(&scratch);
    std::fs::rename(&folder, scratch.path("kept")).unwrap();
    finds(&scratch, &["--fix"], "missing-file", "by-hand");
}

#[test]
fn a_volume_whose_row_is_lost_is_listed_again() {
    let scratch = store();
    // A store that lost its database knows all volumes; one whose database is older, some.
    let database = std::fs::read(scratch.path("store/state.db")).unwrap();
    scratch.make_volume("late");
    for file in names_in(&scratch.path("store")) {
        if file.starts_with("state.db") {
            std::fs::remove_file(scratch.path("store").join(file)).unwrap();
        }
    }
    std::fs::write(scratch.path("store/state.db"), database).unwrap();
    finds(&scratch, &[], "unlisted-volume", "mendable");
    finds(&scratch, &["--fix"], "unlisted-volume", "mended");
    assert_eq!(
        scratch.ok(&["ls", "--quiet"]).lines(),
        ["data", "late", "other"]
    );
    is_sound(&scratch);
}

#[test]
fn strays_are_named_and_the_rest_of_a_removal_goes() {
    let scratch = store();
    let volumes = scratch.path("store/volumes");
    let rest = volumes.join("0b9ef4c4-0dbb-4a4e-8b46-0123456789ab.removed");
    std::fs::create_dir(&rest).unwrap();
    std::fs::write(rest.join("image.vhdx"), b"gone").unwrap();
    finds(&scratch, &["--fix"], "removed-volume", "mended");
    assert!(!rest.exists());
    let stray = volumes.join("0b9ef4c4-0dbb-4a4e-8b46-0123456789ab");
    std::fs::create_dir(&stray).unwrap();
    finds(&scratch, &["--fix"], "stray-folder", "by-hand");
    std::fs::remove_dir(&stray).unwrap();
    let file = folder_of(&scratch, "data").join("notes.txt");
    std::fs::write(&file, b"mine").unwrap();
    finds(&scratch, &["--fix"], "stray-file", "by-hand");
    assert!(file.exists());
}

#[test]
fn a_change_that_was_cut_short_is_completed() {
    let scratch = store();
    // As a process that died before its change was recorded leaves it: nothing has happened yet.
    let journal = folder_of(&scratch, "other").join("image.vhdx.change");
    std::fs::write(&journal, b"").unwrap();
    finds(&scratch, &[], "pending-change", "mendable");
    finds(&scratch, &["--fix"], "pending-change", "mended");
    assert!(!journal.exists());
    is_sound(&scratch);
}

#[test]
fn a_repair_that_was_cut_short_is_completed() {
    let scratch = store();
    let image = folder_of(&scratch, "data").join("image.vhdx");
    let mut bytes = std::fs::read(&image).unwrap();
    for at in [64 << 10, 192 << 10] {
        bytes[at..at + 64].fill(0);
    }
    std::fs::write(&image, &bytes).unwrap();
    scratch.ok(&["check", "data", "--repair"]);
    let repaired = std::fs::read(&image).unwrap();
    bytes[64 << 10..68 << 10].copy_from_slice(&repaired[64 << 10..68 << 10]);
    std::fs::write(&image, &bytes).unwrap();
    let told: serde_json::Value =
        serde_json::from_str(&scratch.run(&["--json", "doctor", "--fix"]).stdout).unwrap();
    assert_eq!(told["sound"], true, "{told}");
    assert_eq!(std::fs::read(&image).unwrap(), repaired);
}

#[test]
fn a_damaged_image_is_repaired_and_its_backup_told() {
    let scratch = store();
    let image = folder_of(&scratch, "data").join("image.vhdx");
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[192 * 1024..192 * 1024 + 64].fill(0);
    std::fs::write(&image, &bytes).unwrap();
    finds(&scratch, &[], "image", "mendable");
    finds(&scratch, &["--fix"], "image", "mended");
    finds(&scratch, &["--fix"], "repair-backup", "note");
    scratch.ok(&["check", "data"]);
}

/// The backup of a repair stayed when its layer went: a stray file, for people to judge, for ever.
#[test]
fn what_a_repair_kept_goes_with_its_layer() {
    let scratch = store();
    scratch.ok(&["snapshot", "create", "data@one"]);
    let folder = folder_of(&scratch, "data");
    let layers = || {
        let mut names = names_in(&folder);
        names.retain(|name| name.ends_with(".vhdx") && name != "image.vhdx");
        names
    };
    let [head] = &layers()[..] else {
        panic!("one layer above the first");
    };
    let image = folder.join(head);
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[192 * 1024..192 * 1024 + 64].fill(0);
    std::fs::write(&image, &bytes).unwrap();
    finds(&scratch, &["--fix"], "image", "mended");
    let backup = format!("{head}.repair-backup");
    std::fs::copy(folder.join(&backup), folder.join(format!("{backup}.1"))).unwrap();
    scratch.ok(&["snapshot", "restore", "data@one"]);
    assert!(!image.exists());
    is_sound(&scratch);
    assert_eq!(names_in(&folder).len(), 3, "{:?}", names_in(&folder));
    // As an older version left it.
    std::fs::write(folder.join(&backup), b"old").unwrap();
    finds(&scratch, &["--fix"], "repair-backup", "note");
    assert_eq!(scratch.json(&["doctor"])["sound"], true);
}

#[test]
fn a_damaged_file_system_is_found_by_a_deep_look_alone() {
    let scratch = store();
    scratch.write("one.txt", b"one");
    scratch.ok(&["cp", "one.txt", "other:/one.txt"]);
    let image = folder_of(&scratch, "other").join("image.vhdx");
    let mut bytes = std::fs::read(&image).unwrap();
    let mut hits = 0;
    for at in (4 << 20..bytes.len() - 48).step_by(1024) {
        // The number of a record of the master file table, from the 30th on.
        if &bytes[at..at + 4] == b"FILE" && bytes[at + 44] >= 24 {
            bytes[at + 22] ^= 1;
            hits += 1;
        }
    }
    assert!(hits > 0);
    std::fs::write(&image, &bytes).unwrap();
    assert_eq!(classes(&scratch.json(&["doctor"])), []);
    finds(&scratch, &["--deep"], "file-system", "by-hand");
}

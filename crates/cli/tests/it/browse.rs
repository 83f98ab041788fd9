//! Filled volumes: create --from, ls, cat, tree, cp.

use std::process::Stdio;

use crate::{Scratch, started};

/// A volume of each file system, filled from the same folder.
fn with_volume(file_system: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("source/readme.txt", b"hello\n");
    scratch.write("source/img/a.bin", &[7; 70_000]);
    scratch.write("source/img/deep/er/x", b"x");
    scratch.write("source/empty", b"");
    let size = ["--size", "64M", "--fs", file_system];
    let mut arguments = vec!["create", "data", "--from", "source"];
    arguments.extend(size);
    let run = scratch.ok(&arguments);
    assert_eq!(run.stdout, "data\n");
    assert_eq!(run.stderr, "");
    scratch
}

fn check_browsing(file_system: &str) {
    let scratch = with_volume(file_system);
    assert_eq!(
        scratch.ok(&["ls", "data"]).lines(),
        ["empty", "img", "readme.txt"]
    );
    assert_eq!(scratch.ok(&["ls", "data:/img"]).lines(), ["a.bin", "deep"]);
    let long = scratch.ok(&["ls", "-l", "data:/img"]);
    assert!(long.stdout.contains("68.3 KiB"), "{}", long.stdout);
    let entries = scratch.json(&["ls", "data:/readme.txt"]);
    assert_eq!(entries[0]["size"], 6);
    assert_eq!(entries[0]["type"], "file");

    assert_eq!(scratch.ok(&["cat", "data:/readme.txt"]).stdout, "hello\n");
    let twice = scratch.ok(&["cat", "data:readme.txt", "data:/img/deep/er/x"]);
    assert_eq!(twice.stdout, "hello\nx");

    let tree = scratch.ok(&["tree", "data"]);
    assert_eq!(
        tree.stdout,
        "data\n├── empty\n├── img/\n│   ├── a.bin\n│   └── deep/\n│       └── er/\n│           \
         └── x\n└── readme.txt\n\n3 directories, 4 files\n"
    );
    let shallow = scratch.json(&["tree", "data", "-L", "2"]);
    assert_eq!(shallow[1]["children"][1]["name"], "deep");
    assert_eq!(shallow[1]["children"][1]["children"], serde_json::json!([]));

    scratch.ok(&["cp", "data:/", "out"]);
    assert_eq!(
        std::fs::read(scratch.path("out/img/a.bin")).unwrap(),
        [7; 70_000]
    );
    scratch.ok(&["cp", "data:/img", "out"]);
    let copied = scratch.json(&["cp", "data:/readme.txt", "copy.txt"]);
    assert_eq!(copied["files"], 1);
    assert_eq!(std::fs::read(scratch.path("copy.txt")).unwrap(), b"hello\n");
}

#[test]
fn an_ntfs_volume_gives_back_what_was_put_into_it() {
    check_browsing("ntfs");
}

#[test]
fn a_fat32_volume_gives_back_what_was_put_into_it() {
    check_browsing("fat32");
}

#[test]
fn what_is_missing_in_a_volume_ends_with_3() {
    let scratch = with_volume("ntfs");
    for arguments in [
        &["cat", "data:/nothing"][..],
        &["ls", "data:/nothing"],
        &["tree", "data:/nothing"],
        &["cp", "data:/nothing", "out"],
        &["cat", "nowhere:/x"],
    ] {
        let run = scratch.run(arguments);
        assert_eq!(run.code, 3, "{arguments:?}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_folder_is_no_file_and_a_climbing_path_no_path() {
    let scratch = with_volume("ntfs");
    assert_eq!(scratch.run(&["cat", "data:/img"]).code, 2);
    assert_eq!(scratch.run(&["cat", "data:/../x"]).code, 2);
}

#[test]
fn a_volume_without_a_file_system_is_not_supported_to_look_into() {
    let scratch = Scratch::new();
    scratch.make_volume("blank");
    let run = scratch.run(&["tree", "blank"]);
    assert_eq!(run.code, 7, "{}", run.stderr);
}

#[test]
fn an_image_file_can_be_looked_into_without_a_store() {
    let scratch = with_volume("ntfs");
    scratch.ok(&["convert", "data", "data.vhd"]);
    let elsewhere = scratch.path("elsewhere");
    let output = started(|| {
        let mut command = scratch.command(&["cat", "--image", "data.vhd", "/readme.txt"]);
        command.env("CVOL_ROOT", &elsewhere).output()
    });
    assert_eq!(output.stdout, b"hello\n");
    assert!(!elsewhere.exists());
    let listed = scratch.ok(&["ls", "--image", "data.vhd", "/img"]);
    assert_eq!(listed.lines(), ["a.bin", "deep"]);
    let tree = scratch.ok(&["tree", "--image", "data.vhd", "-q"]);
    assert!(tree.stdout.ends_with("└── readme.txt\n"));
}

#[test]
fn a_reader_that_goes_away_is_no_error_of_a_walk_or_a_read() {
    let scratch = with_volume("ntfs");
    for arguments in [
        &["tree", "data"][..],
        &["cat", "data:/img/a.bin"],
        &["ls", "data"],
    ] {
        let mut child = started(|| {
            let mut command = scratch.command(arguments);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn()
        });
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(output.stderr, b"", "{arguments:?}");
    }
}

#[cfg(unix)]
#[test]
fn names_that_windows_cannot_hold_are_listed_and_come_back() {
    let scratch = Scratch::new();
    scratch.write("source/a:b", b"colon");
    scratch.write("source/Readme", b"upper");
    scratch.write("source/readme", b"lower");
    scratch.write("source/esc\u{1b}[31m", b"red");
    let arguments = ["create", "data", "--from", "source", "--size", "64M"];
    let run = scratch.ok(&arguments);
    assert_eq!(run.stdout, "data\n");
    assert!(run.stderr.contains("a:b: stored as"), "{}", run.stderr);
    assert!(run.stderr.contains("readme (2)"), "{}", run.stderr);
    assert!(!run.stderr.contains('\u{1b}'));

    let tree = scratch.ok(&["tree", "data"]);
    assert!(!tree.stdout.contains('\u{1b}'));
    scratch.ok(&["cp", "data:/", "out"]);
    assert_eq!(std::fs::read(scratch.path("out/a:b")).unwrap(), b"colon");

    scratch.ok(&["rm", "data"]);
    let document = scratch.json(&arguments);
    assert_eq!(document["files"], 4);
    assert_eq!(document["renamed"].as_array().unwrap().len(), 3);
    scratch.ok(&["rm", "data"]);
    let mut strict = arguments.to_vec();
    strict.extend(["--names", "strict"]);
    assert_eq!(scratch.run(&strict).code, 2);
    assert_eq!(scratch.ok(&["ls", "-q"]).stdout, "");
}

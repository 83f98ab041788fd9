//! compact, resize: what they say, what they refuse, and what they leave as it was.

use crate::Scratch;

#[test]
fn a_dry_run_says_what_would_be_done_and_changes_nothing() {
    let scratch = Scratch::new();
    scratch.ok(&["create", "data", "--size", "16M"]);
    let path = scratch.json(&["inspect", "data"])[0]["image_path"]
        .as_str()
        .unwrap()
        .to_owned();
    let before = std::fs::read(&path).unwrap();
    let compact = scratch.json(&["compact", "data", "--dry-run"]);
    assert_eq!(compact["dry_run"], true);
    assert_eq!(compact["partitions"][0]["file_system"], "NTFS");
    let resize = scratch.json(&["resize", "data", "+16M", "--dry-run"]);
    assert_eq!(resize["size_before"], 16 << 20);
    assert_eq!(resize["size_after"], 32 << 20);
    assert!(resize["minimum"].as_u64().unwrap() < 16 << 20);
    assert!(std::fs::read(&path).unwrap() == before);
    let text = scratch.ok(&["resize", "data", "32M", "--dry-run"]).stdout;
    assert!(text.contains("16 MiB -> would become 32 MiB"), "{text}");
    assert!(text.contains("smallest size"), "{text}");
}

#[test]
fn sizes_are_absolute_or_differences_and_are_listed() {
    let scratch = Scratch::new();
    scratch.ok(&["create", "data", "--size", "16M"]);
    for (size, expected) in [("40M", 40_u64), ("+8M", 48), ("-20M", 28)] {
        let resized = scratch.json(&["resize", "data", size]);
        assert_eq!(resized["size_after"], expected << 20, "{size}");
        assert_eq!(scratch.json(&["ls"])[0]["size"], expected << 20, "{size}");
        assert_eq!(
            scratch.json(&["info", "data"])["virtual_size"],
            expected << 20
        );
        scratch.ok(&["fsck", "data"]);
        scratch.ok(&["check", "--volume", "data"]);
    }
    for (size, code) in [("12", 2), ("never", 2), ("-1T", 2), ("65T", 2), ("5M", 2)] {
        let run = scratch.run(&["resize", "data", size]);
        assert_eq!(run.code, code, "{size}: {}", run.stderr);
    }
    assert_eq!(scratch.run(&["resize", "other", "1G"]).code, 3);
    assert_eq!(scratch.run(&["compact", "other"]).code, 3);
    scratch.ok(&["fsck", "data"]);
}

#[test]
fn an_image_alone_is_resized_without_what_is_in_it() {
    let scratch = Scratch::new();
    scratch.write("empty.raw", &[0; 1 << 20]);
    let run = scratch.run(&["resize", "empty.raw", "2M"]);
    assert_eq!(run.code, 7, "{}", run.stderr);
    assert!(run.stderr.contains("--image-only"), "{}", run.stderr);
    scratch.ok(&["resize", "empty.raw", "2M", "--image-only"]);
    let info = scratch.json(&["info", "empty.raw"]);
    assert_eq!(info["virtual_size"], 2 << 20);
    scratch.write("full.raw", &[1; 1 << 20]);
    let run = scratch.run(&["resize", "full.raw", "512K", "--image-only"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("data stand beyond"), "{}", run.stderr);
}

#[test]
fn a_parent_of_a_child_beside_it_is_neither_compacted_nor_resized() {
    let scratch = Scratch::new();
    scratch.write("disk.raw", &[1; 4 << 20]);
    scratch.ok(&["convert", "disk.raw", "base.vhdx"]);
    scratch.ok(&["diff-create", "base.vhdx", "child.vhdx"]);
    let base = std::fs::read(scratch.path("base.vhdx")).unwrap();
    for verb in [
        vec!["compact", "base.vhdx"],
        vec!["resize", "base.vhdx", "8M", "--image-only"],
    ] {
        let run = scratch.run(&verb);
        assert_eq!(run.code, 7, "{}", run.stderr);
        assert!(run.stderr.contains("child.vhdx"), "{}", run.stderr);
    }
    assert!(std::fs::read(scratch.path("base.vhdx")).unwrap() == base);
    scratch.ok(&["compact", "child.vhdx"]);
    scratch.ok(&["resize", "child.vhdx", "8M", "--image-only"]);
    let run = scratch.run(&["resize", "child.vhdx", "2M", "--image-only"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    scratch.ok(&["check", "child.vhdx"]);
    let raw = scratch.json(&["convert", "child.vhdx", "child.raw"]);
    assert_eq!(raw["target"], "child.raw");
    let bytes = std::fs::read(scratch.path("child.raw")).unwrap();
    assert!(bytes[..4 << 20].iter().all(|byte| *byte == 1));
    assert!(bytes[4 << 20..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_volume_with_a_snapshot_grows_and_its_snapshot_stays() {
    let scratch = Scratch::new();
    scratch.ok(&["create", "data", "--size", "16M"]);
    scratch.ok(&["snapshot", "create", "data@before"]);
    scratch.ok(&["resize", "data", "40M"]);
    scratch.ok(&["fsck", "data"]);
    // A head is not smaller than what it stands on.
    let run = scratch.run(&["resize", "data", "12M"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    scratch.ok(&["label", "data", "STILL"]);
    scratch.ok(&["compact", "data"]);
    scratch.ok(&["fsck", "data"]);
    assert_eq!(
        scratch.json(&["info", "data@before"])["virtual_size"],
        16 << 20
    );
}

//! info, check, convert: image files and the images of volumes.

use crate::{Scratch, names_in, started};

#[test]
fn a_volume_and_its_file_are_described_alike() {
    let scratch = Scratch::new();
    scratch.make_volume("data");
    let by_name = scratch.json(&["info", "data"]);
    assert_eq!(by_name["format"], "vhdx");
    assert_eq!(by_name["virtual_size"], 16 << 20);
    let inspected = scratch.json(&["inspect", "data"]);
    let path = inspected[0]["image_path"].as_str().unwrap();
    let by_path = scratch.json(&["info", path]);
    assert_eq!(by_path["ids"], by_name["ids"]);
    let text = scratch.ok(&["info", "data"]).stdout;
    assert!(text.starts_with("image:"), "{text}");
    assert!(text.contains("16 MiB (16777216 bytes)"), "{text}");
}

#[test]
fn every_format_converts_to_every_other_and_back() {
    let scratch = Scratch::new();
    let mut disk = vec![0; 4 << 20];
    disk[1_000_000..1_000_004].copy_from_slice(b"data");
    disk[0..4].copy_from_slice(b"boot");
    scratch.write("disk.raw", &disk);
    for target in ["a.vhdx", "b.vhd", "c.vhdx", "d.raw"] {
        let source = match target {
            "a.vhdx" => "disk.raw",
            "b.vhd" => "a.vhdx",
            "c.vhdx" => "b.vhd",
            _ => "c.vhdx",
        };
        let made = scratch.json(&["convert", source, target]);
        assert_eq!(made["target"], target);
        assert_eq!(scratch.run(&["check", target]).code, 0, "{target}");
    }
    let back = std::fs::read(scratch.path("d.raw")).unwrap();
    assert_eq!(back[..disk.len()], disk);
}

/// A raw or qcow2 image says nothing of sectors, so that one of 4096 bytes is told besides.
#[test]
fn a_disk_with_sectors_of_4096_bytes_becomes_a_raw_or_a_qcow2_image() {
    let scratch = Scratch::new();
    scratch.ok(&["create", "data", "--size", "16M", "--sector-size", "4096"]);
    for target in ["a.raw", "b.qcow2"] {
        let made = scratch.ok(&["convert", "--volume", "data", target]);
        assert!(made.stderr.contains("4096"), "{}", made.stderr);
        let made = scratch.json(&["convert", "--force", "--volume", "data", target]);
        assert_eq!(made["sector_size"], 4096);
    }
    let made = scratch.ok(&["convert", "--volume", "data", "c.vhdx"]);
    assert_eq!(made.stderr, "");
    for other in ["a.raw", "b.qcow2"] {
        let differs = scratch.json(&["diff", other, "c.vhdx"]);
        assert_eq!(differs["changed_bytes"], 0, "{other}");
    }
    // A VHD cannot have them, and would be another disk to Windows.
    let refused = scratch.run(&["convert", "--volume", "data", "d.vhd"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(!scratch.path("d.vhd").exists());
}

#[test]
fn an_existing_target_is_replaced_only_by_force() {
    let scratch = Scratch::new();
    scratch.write("disk.raw", &[1; 1 << 20]);
    scratch.write("target.vhdx", b"precious");
    let run = scratch.run(&["convert", "disk.raw", "target.vhdx"]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert_eq!(
        std::fs::read(scratch.path("target.vhdx")).unwrap(),
        b"precious"
    );
    scratch.ok(&["convert", "--force", "disk.raw", "target.vhdx"]);
    assert_eq!(scratch.json(&["info", "target.vhdx"])["format"], "vhdx");
    let same = scratch.run(&["convert", "--force", "target.vhdx", "./target.vhdx"]);
    assert_eq!(same.code, 2, "{}", same.stderr);
}

#[test]
fn a_failed_conversion_leaves_no_file_behind() {
    let scratch = Scratch::new();
    scratch.write("disk.raw", &[1; 1 << 20]);
    let run = scratch.run(&["convert", "--block-size", "3", "disk.raw", "out.vhdx"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert_eq!(names_in(&scratch.path(".")), ["disk.raw"]);
}

#[test]
fn with_an_epoch_two_conversions_are_byte_identical() {
    // Several blocks: they were once given out in the order in which threads came by.
    let scratch = Scratch::new();
    scratch.write("disk.raw", &[3; 9 << 20]);
    for target in ["a.vhdx", "b.vhdx", "a.vhd", "b.vhd"] {
        let output = started(|| {
            let mut command = scratch.command(&["convert", "disk.raw", target]);
            command.env("SOURCE_DATE_EPOCH", "1700000000").output()
        });
        assert!(output.status.success());
    }
    let read = |name: &str| std::fs::read(scratch.path(name)).unwrap();
    assert!(read("a.vhdx") == read("b.vhdx"));
    assert!(read("a.vhd") == read("b.vhd"));
}

#[test]
fn a_broken_image_is_found_by_check_and_refused_by_the_rest() {
    let scratch = Scratch::new();
    scratch.write("disk.raw", &[1; 1 << 20]);
    scratch.ok(&["convert", "disk.raw", "disk.vhdx"]);
    let mut bytes = std::fs::read(scratch.path("disk.vhdx")).unwrap();
    // Both region tables, at 192 and 256 KiB ([MS-VHDX] 2.1).
    bytes[0x30000..0x30010].fill(0xff);
    bytes[0x40000..0x40010].fill(0xff);
    scratch.write("broken.vhdx", &bytes);
    let run = scratch.run(&["check", "broken.vhdx"]);
    assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("error"), "{}", run.stdout);
    let quiet = scratch.run(&["check", "-q", "broken.vhdx"]);
    assert_eq!((quiet.code, quiet.stdout.as_str()), (1, ""));
    let run = scratch.run(&["--json", "check", "broken.vhdx"]);
    let document: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(document["sound"], false);
    assert!(document["errors"].as_u64().unwrap() > 0);
    let error = scratch.json_error(&["convert", "broken.vhdx", "out.raw"], 6);
    assert_eq!(error["error"]["kind"], "damaged");
    assert!(!scratch.path("out.raw").exists());
}

#[test]
fn a_missing_file_ends_with_3_and_a_folder_is_no_image() {
    let scratch = Scratch::new();
    for verb in ["info", "check"] {
        let run = scratch.run(&[verb, "missing.vhdx"]);
        assert_eq!(run.code, 3, "{verb}: {}", run.stderr);
    }
    assert_eq!(scratch.run(&["convert", "missing.vhdx", "a.raw"]).code, 3);
    let run = scratch.run(&["info", "./"]);
    assert!(matches!(run.code, 7 | 8), "{}: {}", run.code, run.stderr);
}

#[test]
fn the_target_format_must_be_known() {
    let scratch = Scratch::new();
    scratch.write("disk.raw", &[1; 1 << 20]);
    assert_eq!(scratch.run(&["convert", "disk.raw", "a.vmdk"]).code, 2);
    scratch.ok(&[
        "convert", "-O", "vhd", "--type", "fixed", "disk.raw", "a.image",
    ]);
    let info = scratch.json(&["info", "a.image"]);
    assert_eq!(info["format"], "vhd");
    assert_eq!(info["type"], "fixed");
}

#[cfg(unix)]
#[test]
fn a_file_that_is_locked_is_in_use() {
    let scratch = Scratch::new();
    scratch.write("disk.raw", &[1; 1 << 20]);
    let file = std::fs::File::open(scratch.path("disk.raw")).unwrap();
    file.lock().unwrap();
    let run = scratch.run(&["convert", "disk.raw", "a.vhdx"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
}

//! The picture in the documents is the one that the command draws.

use std::path::Path;

use crate::{Scratch, started};

/// `docs/map.svg`; with `CVOL_BLESS` set in the environment, this test writes it.
const PICTURE: &str = "../../docs/map.svg";

#[test]
fn the_picture_of_the_documents_is_what_the_command_draws() {
    let scratch = Scratch::new();
    let run = |arguments: &[&str]| {
        let output = started(|| {
            let mut command = scratch.command(arguments);
            command.env("SOURCE_DATE_EPOCH", "1700000000").output()
        });
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
    };
    let content = |length: usize| -> Vec<u8> { (1..=251).cycle().take(length).collect() };
    scratch.write("site/pages.bin", &content(24 << 20));
    scratch.write("site/drafts/old.bin", &content(5 << 20));
    scratch.write("monday.bin", &content(9 << 20));
    scratch.write("tuesday.bin", &content(3 << 20));
    run(&[
        "create", "web", "--size", "96M", "-o", "block=1M", "--from", "site",
    ]);
    run(&["snapshot", "create", "web@sunday"]);
    run(&["cp", "monday.bin", "web:/monday.bin"]);
    run(&["snapshot", "create", "web@monday"]);
    run(&["rm", "web:/drafts/old.bin"]);
    run(&["cp", "tuesday.bin", "web:/tuesday.bin"]);
    run(&["map", "web", "--used", "--svg", "map.svg"]);
    let drawn = std::fs::read_to_string(scratch.path("map.svg")).unwrap();
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join(PICTURE);
    if std::env::var_os("CVOL_BLESS").is_some() {
        std::fs::write(&picture, &drawn).unwrap();
    }
    assert!(drawn.contains("file systems use"));
    let known = std::fs::read_to_string(&picture).unwrap_or_default();
    assert!(
        drawn == known,
        "docs/map.svg is not what is drawn: CVOL_BLESS=1 writes it anew"
    );
}

/// `cvol map disk.vhdx --svg disk.vhdx` put the picture in the place of the image.
#[test]
fn a_picture_replaces_pictures_alone() {
    let scratch = Scratch::new();
    scratch.write("disk.raw", &[7; 4096]);
    scratch.ok(&["convert", "disk.raw", "disk.vhdx"]);
    let image = std::fs::read(scratch.path("disk.vhdx")).unwrap();
    scratch.write("notes.txt", b"mine");
    for (target, content) in [("disk.vhdx", &image[..]), ("notes.txt", b"mine")] {
        let refused = scratch.run(&["map", "disk.vhdx", "--svg", target]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(
            refused.stderr.contains("exists already"),
            "{}",
            refused.stderr
        );
        assert!(std::fs::read(scratch.path(target)).unwrap() == content);
    }
    scratch.write("map.svg", b"");
    for _ in 0..2 {
        scratch.ok(&["map", "disk.vhdx", "--svg", "map.svg"]);
    }
}

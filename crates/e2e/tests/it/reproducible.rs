//! With `SOURCE_DATE_EPOCH` set, the same input gives the same bytes.

use crate::command::Cvol;
use crate::{tools, tree};

fn build(source: &std::path::Path, file_system: &str, format: &str) -> String {
    let cvol = Cvol::new();
    let output = cvol
        .command(&[
            "create",
            "data",
            "--size",
            "300M",
            "--fs",
            file_system,
            "--format",
            format,
        ])
        .arg("--from")
        .arg(source)
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    tools::sha256(&cvol.image("data"))
}

#[test]
fn two_builds_of_one_input_are_byte_identical_and_another_input_is_not() {
    let folder = tempfile::tempdir().unwrap();
    tree::small(folder.path());
    for (file_system, format) in [
        ("ntfs", "vhdx"),
        ("ntfs", "vhd"),
        ("fat32", "vhdx"),
        ("ntfs", "raw"),
    ] {
        let first = build(folder.path(), file_system, format);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(
            first,
            build(folder.path(), file_system, format),
            "{file_system} {format}"
        );
    }
    let first = build(folder.path(), "ntfs", "vhdx");
    // Same size, same time, other content: only the content tells.
    tree::change_one_byte_keeping_time(&folder.path().join("hello.txt"));
    assert_ne!(first, build(folder.path(), "ntfs", "vhdx"));
}

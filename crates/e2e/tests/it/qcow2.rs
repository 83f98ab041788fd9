//! qcow2 both ways, with qemu-img as the judge.

use std::path::Path;
use std::process::Command;

use crate::command::cvol_path;
use crate::random::Random;
use crate::tools;

/// Runs `cvol` with the words of a line; its exit code, and what it complained of.
fn cvol(folder: &Path, line: &str) -> (i32, String) {
    let mut command = Command::new(cvol_path());
    command.args(line.split_whitespace()).current_dir(folder);
    let output = command
        .env("CVOL_ROOT", folder.join("store"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

/// Runs `qemu-img` with the words of a line, which must succeed.
fn qemu(folder: &Path, line: &str) -> String {
    let output = Command::new("qemu-img")
        .args(line.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A disk of 24 MiB with islands of data, compressible and not.
fn disk(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = vec![0; 24 << 20];
    for island in 0..24 {
        let length = usize::try_from(4096 + random.below(500_000)).unwrap();
        let start = usize::try_from(random.below(23 << 20)).unwrap();
        match island % 3 {
            0 => bytes[start..start + length].copy_from_slice(&random.bytes(length)),
            1 => bytes[start..start + length].fill(0x5a),
            _ => bytes[start..start + length].fill(0),
        }
    }
    bytes
}

#[test]
fn what_we_write_qemu_img_finds_sound_and_reads_back() {
    if !tools::needs(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (seed, kind) in [(1, "dynamic"), (2, "dynamic"), (3, "fixed")] {
        std::fs::write(path.join("disk.raw"), disk(seed)).unwrap();
        let line = format!("convert --force --type {kind} disk.raw ours.qcow2");
        let (code, told) = cvol(path, &line);
        assert_eq!(code, 0, "{told}");
        qemu(path, "check -f qcow2 ours.qcow2");
        let compared = qemu(path, "compare -f raw -F qcow2 disk.raw ours.qcow2");
        assert!(compared.contains("identical"), "{compared}");
    }
    // Sparse stays sparse: the file holds the islands and its tables.
    cvol(path, "convert --force disk.raw ours.qcow2");
    qemu(path, "convert -O qcow2 disk.raw theirs.qcow2");
    let length = |name: &str| std::fs::metadata(path.join(name)).unwrap().len();
    assert!(length("ours.qcow2") <= length("theirs.qcow2") + (1 << 20));
}

#[test]
fn what_qemu_img_writes_we_read() {
    if !tools::needs(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("disk.raw"), disk(7)).unwrap();
    for options in [
        "-o compat=0.10",
        "-o compat=1.1",
        "-o cluster_size=512",
        "-o cluster_size=2M",
        "-o preallocation=metadata",
        "-c",
        "-c -o compat=0.10",
        "-c -o cluster_size=4k",
        "-c -o compression_type=zstd",
    ] {
        qemu(
            path,
            &format!("convert -O qcow2 {options} disk.raw theirs.qcow2"),
        );
        let (code, told) = cvol(path, "check theirs.qcow2");
        assert_eq!(code, 0, "{options}: {told}");
        for target in ["ours.raw", "ours.vhdx"] {
            let line = format!("convert --force theirs.qcow2 {target}");
            let (code, told) = cvol(path, &line);
            assert_eq!(code, 0, "{options}: {told}");
        }
        let ours = std::fs::read(path.join("ours.raw")).unwrap();
        assert!(
            ours == std::fs::read(path.join("disk.raw")).unwrap(),
            "{options}"
        );
        qemu(path, "compare -f vhdx -F raw ours.vhdx disk.raw");
    }
}

#[test]
fn a_backing_file_is_read_where_the_gate_lets_it_through() {
    if !tools::needs(&["qemu-img", "qemu-io"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("elsewhere")).unwrap();
    std::fs::write(path.join("base.raw"), disk(9)).unwrap();
    qemu(path, "create -q -f qcow2 -b base.raw -F raw mid.qcow2 32M");
    qemu(path, "create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2");
    for (image, command) in [
        ("mid.qcow2", "write -P 0x11 1M 100k"),
        ("top.qcow2", "write -P 0x22 1050k 300k"),
        ("top.qcow2", "write -z 5M 1M"),
    ] {
        tools::run(
            "qemu-io",
            &[&"-f", &"qcow2", &"-c", &command, &path.join(image)],
        );
    }
    qemu(path, "convert -f qcow2 -O raw top.qcow2 theirs.raw");
    let (code, told) = cvol(path, "convert top.qcow2 ours.raw");
    assert_eq!(code, 0, "{told}");
    let read = |name: &str| std::fs::read(path.join(name)).unwrap();
    assert!(read("ours.raw") == read("theirs.raw"));

    // Elsewhere it is not looked for, unless it is given.
    std::fs::rename(path.join("base.raw"), path.join("elsewhere/base.raw")).unwrap();
    let (code, _) = cvol(path, "convert --force top.qcow2 ours.raw");
    assert_eq!(code, 3);
    let given = "--parent elsewhere/base.raw convert --force top.qcow2 ours.raw";
    let (code, told) = cvol(path, given);
    assert_eq!(code, 0, "{told}");
    assert!(read("ours.raw") == read("theirs.raw"));
}

#[test]
fn encryption_and_what_else_is_not_read_is_refused_by_name() {
    if !tools::needs(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // (Making one takes qemu-img a second of its processor's time, which some hosts do not tell.)
    qemu(path, "create -q -f qcow2 luks.qcow2 1M");
    for (name, method) in [("aes.qcow2", 1), ("luks.qcow2", 2)] {
        let mut image = std::fs::read(path.join("luks.qcow2")).unwrap();
        image[35] = method;
        std::fs::write(path.join(name), &image).unwrap();
    }
    let external = "-o data_file=data.raw,data_file_raw=on external.qcow2";
    let subclusters = "-o extended_l2=on,cluster_size=128k sub.qcow2";
    for image in [external, subclusters] {
        qemu(path, &format!("create -q -f qcow2 {image} 1M"));
    }
    for (image, words) in [
        ("aes.qcow2", "AES"),
        ("luks.qcow2", "LUKS"),
        ("external.qcow2", "in another file"),
        ("sub.qcow2", "subclusters"),
    ] {
        let (code, told) = cvol(path, &format!("convert {image} out.raw"));
        assert_eq!(code, 7, "{image}: {told}");
        assert!(told.contains(words), "{image}: {told}");
    }
    assert!(!path.join("out.raw").exists());
}

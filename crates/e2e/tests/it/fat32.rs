//! FAT32 volumes made by the command, judged by `fsck.fat`, mtools and the kernel's own rules.

use std::path::Path;

use crate::command::Cvol;
use crate::{tools, tree};

/// Checks the file system of a whole-disk volume.
fn fsck(cvol: &Cvol, name: &str) -> std::path::PathBuf {
    let raw = cvol.work().join(format!("{name}.raw"));
    let image = cvol.image(name);
    cvol.ok(&[
        "convert",
        image.to_str().unwrap(),
        raw.to_str().unwrap(),
        "-O",
        "raw",
        "--force",
    ]);
    let text = tools::run("fsck.fat", &[&"-n", &"-v", &raw]);
    assert!(!text.contains("rong") && !text.contains("iffer"), "{text}");
    let own = cvol.ok(&["fsck", raw.to_str().unwrap()]);
    assert!(own.ends_with(": clean\n"), "{own}");
    raw
}

#[test]
fn empty_volumes_of_many_sizes_pass_fsck() {
    if !tools::needs(&["fsck.fat"]) {
        return;
    }
    let cvol = Cvol::new();
    for (number, size) in ["40M", "260M", "1G", "9G", "33G", "100G"]
        .into_iter()
        .enumerate()
    {
        let name = format!("v{number}");
        cvol.ok(&[
            "create", &name, "--size", size, "--fs", "fat32", "--layout", "disk",
        ]);
        let raw = fsck(&cvol, &name);
        std::fs::remove_file(raw).unwrap();
    }
}

#[test]
fn a_populated_volume_passes_fsck_and_mtools_reads_it() {
    if !tools::needs(&["fsck.fat", "mcopy", "diff"]) {
        return;
    }
    let cvol = Cvol::new();
    let source = cvol.work().join("source");
    tree::small(&source);
    std::fs::create_dir(source.join("many")).unwrap();
    for number in 0..5000 {
        let name = format!("a rather long name of an entry, number {number}.text");
        std::fs::write(source.join("many").join(name), "").unwrap();
    }
    let from = source.to_str().unwrap();
    cvol.ok(&[
        "create", "fat", "--size", "600M", "--fs", "fat32", "--layout", "disk", "--from", from,
    ]);
    let raw = fsck(&cvol, "fat");
    let out = cvol.work().join("out");
    std::fs::create_dir(&out).unwrap();
    tools::run("mcopy", &[&"-s", &"-Q", &"-i", &raw, &"::docs", &out]);
    let output = tools::output("diff", &[&"-r", &source.join("docs"), &out.join("docs")]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn the_partition_table_passes_sgdisk_and_sfdisk() {
    if !tools::needs(&["sgdisk", "sfdisk"]) {
        return;
    }
    let cvol = Cvol::new();
    for (name, file_system) in [("fat", "fat32"), ("nt", "ntfs")] {
        cvol.ok(&[
            "create",
            name,
            "--size",
            "1G",
            "--fs",
            file_system,
            "--format",
            "raw",
        ]);
        let image = cvol.image(name);
        let text = tools::run("sgdisk", &[&"-v", &image]);
        assert!(text.contains("No problems found"), "{text}");
        tools::run("sfdisk", &[&"--verify", &image]);
        assert_partition_type(&image);
    }
}

fn assert_partition_type(image: &Path) {
    let text = tools::run("sgdisk", &[&"-i", &"1", &image]);
    assert!(
        text.contains("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"),
        "{text}"
    );
}

#[test]
fn a_file_too_large_for_fat32_is_refused_by_name_and_nothing_stays() {
    let cvol = Cvol::new();
    let source = cvol.work().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::File::create(source.join("five gigabytes"))
        .unwrap()
        .set_len(5 << 30)
        .unwrap();
    let from = source.to_str().unwrap();
    let output = cvol.output(&[
        "create", "fat", "--size", "20G", "--fs", "fat32", "--from", from,
    ]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() >= Some(2) && error.contains("five gigabytes"),
        "{error}"
    );
    assert_eq!(cvol.names(), [""; 0]);
    assert_eq!(cvol.volume_folders(), [""; 0]);
}

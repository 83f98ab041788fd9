//! Images that are compacted and resized, judged by the tools of others.
//!
//! `CVOL_RESIZES` says how often a volume is resized, `CVOL_COMPACT_MIB` how much is filled in,
//! `CVOL_KILLS` how many commands are killed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::command::Cvol;
use crate::random::Random;
use crate::{ntfs, tools};

fn number(name: &str, at_desk: u64) -> u64 {
    std::env::var(name).map_or(at_desk, |text| text.parse().unwrap())
}

fn json(cvol: &Cvol, arguments: &[&str]) -> serde_json::Value {
    let mut all = arguments.to_vec();
    all.push("--json");
    serde_json::from_str(&cvol.ok(&all)).unwrap()
}

/// Files of `total` bytes together, of many lengths.
fn fill(folder: &Path, total: u64, seed: u64) {
    fs::create_dir_all(folder).unwrap();
    let mut random = Random(seed);
    let mut written = 0;
    let mut name = 0;
    while written < total {
        let length = match random.below(5) {
            0 => random.below(2000),
            1 => random.below(100_000),
            _ => random.below(3_000_000),
        };
        let length = length.min(total - written).max(1);
        let bytes = random.bytes(usize::try_from(length).unwrap());
        fs::write(folder.join(format!("file {name}")), bytes).unwrap();
        written += length;
        name += 1;
    }
}

/// Removes three of four files; what is left is the same in both folders.
fn empty_to_a_quarter(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let number: u64 = name.trim_start_matches("file ").parse().unwrap();
        if !number.is_multiple_of(4) {
            fs::remove_file(path).unwrap();
        }
    }
}

fn same(left: &Path, right: &Path) {
    let output = tools::output("diff", &[&"-r", &"--no-dereference", &left, &right]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
}

/// Writes the partition back into the raw disk that it was taken from.
fn put_back(partition: &Path, disk: &Path) {
    tools::run(
        "dd",
        &[
            &format!("if={}", partition.display()),
            &format!("of={}", disk.display()),
            &"bs=1M",
            &"seek=1",
            &"conv=notrunc,sparse",
            &"status=none",
        ],
    );
}

#[test]
fn a_volume_that_ntfs_3g_filled_and_emptied_to_a_quarter_is_compacted_to_what_it_uses() {
    if !tools::needs(&ntfs::TOOLS) {
        return;
    }
    let cvol = Cvol::new();
    let total = number("CVOL_COMPACT_MIB", 120) << 20;
    let size = format!("{}M", (total >> 20) * 5 / 4 + 64);
    cvol.ok(&["create", "data", "--size", &size, "--format", "raw"]);
    let raw = cvol.work().join("disk.raw");
    let kept = cvol.work().join("kept");
    tools::run("cp", &[&"--sparse=always", &cvol.image("data"), &raw]);
    let partition = ntfs::partition_of(&cvol, &raw, "part");
    fill(&kept, total, 1);
    {
        let mount = ntfs::Mount::with(&partition, "rw");
        tools::run("cp", &[&"-r", &kept, &mount.path().join("files")]);
        empty_to_a_quarter(&mount.path().join("files"));
    }
    empty_to_a_quarter(&kept);
    put_back(&partition, &raw);
    for (format, block) in [("vhdx", "2M"), ("vhdx", "32M"), ("vhd", "2M"), ("raw", "")] {
        let image = cvol.work().join(format!("filled{block}.{format}"));
        let path = image.to_str().unwrap();
        let mut convert = vec!["convert", raw.to_str().unwrap(), path, "-f", "raw"];
        if format == "vhdx" {
            convert.extend(["--block-size", block]);
        }
        cvol.ok(&convert);
        let dry = json(&cvol, &["compact", path, "--dry-run"]);
        let won = json(&cvol, &["compact", path]);
        println!("{format} {block}: {won}");
        let bytes = |key: &str| won[key].as_u64().unwrap();
        assert_eq!(dry["length_after"], won["length_after"]);
        assert_eq!(bytes("length_after"), fs::metadata(&image).unwrap().len());
        // Nothing to speak of is stored beyond what is used.
        let stored = bytes("stored_after");
        assert!(stored < bytes("used") / 100 * 103 + (3 << 20), "{won}");
        assert!(stored < bytes("stored_before") / 2, "{won}");
        // Nor is the file longer: what was scattered over its blocks was packed.
        let block = if block == "32M" { 32 } else { 2 } << 20;
        if format != "raw" {
            assert!(bytes("packed") > 0, "{won}");
            // The blocks where the partition begins and ends stay, and one is not full.
            let longest = bytes("used") / 100 * 103 + 3 * block + (4 << 20);
            assert!(bytes("length_after") <= longest, "{won}");
        }
        cvol.ok(&["check", path]);
        if format != "raw" {
            tools::run("qemu-img", &[&"info", &path]);
        }
        let after = ntfs::partition_of(&cvol, &image, "after");
        ntfs::validate(&after);
        let mount = ntfs::Mount::with(&after, "ro");
        same(&kept, &mount.path().join("files"));
        drop(mount);
        let again = json(&cvol, &["compact", path]);
        assert_eq!(again["length_after"], won["length_after"]);
        fs::remove_file(image).unwrap();
    }
}

#[test]
fn ntfs_that_is_resized_up_and_down_at_random_passes_every_validator() {
    if !tools::needs(&ntfs::TOOLS) || !tools::needs(&["sgdisk"]) {
        return;
    }
    let cvol = Cvol::new();
    let source = cvol.work().join("source");
    fill(&source, 40 << 20, 7);
    let from = source.to_str().unwrap();
    let mut random = Random(11);
    for (format, cluster) in [("vhdx", "4K"), ("vhd", "512"), ("raw", "64K")] {
        let count = number("CVOL_RESIZES", 12) / 3 + 1;
        cvol.ok(&[
            "create",
            "data",
            "--size",
            "160M",
            "--from",
            from,
            "--format",
            format,
            "--cluster-size",
            cluster,
        ]);
        // Files come and go, so that what is left lies all over.
        for round in 0..count {
            let text = format!("{round}");
            let file = cvol.work().join("more");
            fs::write(&file, Random(round).bytes(3_000_000)).unwrap();
            let minimum = json(&cvol, &["resize", "data", "+0", "--dry-run"]);
            let minimum = minimum["minimum"].as_u64().unwrap();
            let wanted = match random.below(5) {
                0 => minimum,
                1 => minimum + random.below(20 << 20),
                _ => minimum + random.below(600 << 20),
            };
            let size = (wanted >> 20).max(minimum.div_ceil(1 << 20)).to_string() + "M";
            let resized = json(&cvol, &["resize", "data", &size]);
            println!("{format} {cluster} {size}: {resized}");
            let image = cvol.image("data");
            let info = json(&cvol, &["info", image.to_str().unwrap()]);
            assert_eq!(info["virtual_size"], resized["size_after"], "{info}");
            cvol.ok(&["check", "--volume", "data"]);
            tables(&cvol, &image);
            let partition = ntfs::partition(&cvol, "data");
            ntfs::validate(&partition);
            let mount = ntfs::Mount::with(&partition, "ro");
            for entry in fs::read_dir(&source).unwrap() {
                let entry = entry.unwrap();
                let found = fs::read(mount.path().join(entry.file_name())).unwrap();
                assert!(
                    found == fs::read(entry.path()).unwrap(),
                    "{:?}",
                    entry.path()
                );
            }
            drop(mount);
            let place = format!("data:/more{text}");
            let copied = cvol.output(&["cp", file.to_str().unwrap(), &place]);
            if copied.status.success() && round % 2 == 0 {
                cvol.ok(&["rm", &place]);
            }
        }
        let below = json(&cvol, &["resize", "data", "+0", "--dry-run"]);
        let below = below["minimum"].as_u64().unwrap() - (2 << 20);
        let error = cvol.fails(2, &["resize", "data", &below.to_string()]);
        assert!(error.contains("smallest possible size"), "{error}");
        cvol.ok(&["fsck", "data"]);
        cvol.ok(&["rm", "data"]);
    }
}

/// Both copies of the partition table, and the record before them.
fn tables(cvol: &Cvol, image: &Path) {
    let raw = cvol.work().join("tables.raw");
    let (image, target) = (image.to_str().unwrap(), raw.to_str().unwrap());
    cvol.ok(&["convert", image, target, "--force"]);
    let text = tools::run("sgdisk", &[&"-v", &raw]);
    assert!(text.contains("No problems found"), "{text}");
    fs::remove_file(raw).unwrap();
}

#[test]
fn fat32_that_is_resized_up_and_down_at_random_passes_fsck_and_mtools_reads_it() {
    if !tools::needs(&["fsck.fat", "mcopy", "diff", "sgdisk"]) {
        return;
    }
    let cvol = Cvol::new();
    let source = cvol.work().join("source");
    fill(&source.join("in a folder/and one below"), 20 << 20, 3);
    let from = source.to_str().unwrap();
    let mut random = Random(5);
    for layout in ["gpt", "disk"] {
        cvol.ok(&[
            "create", "data", "--size", "70M", "--fs", "fat32", "--layout", layout, "--from", from,
        ]);
        for _ in 0..number("CVOL_RESIZES", 12) / 4 + 1 {
            let minimum = json(&cvol, &["resize", "data", "+0", "--dry-run"]);
            let minimum = minimum["minimum"].as_u64().unwrap();
            let size = minimum + random.below(300 << 20);
            let size = (size.div_ceil(1 << 20)).to_string() + "M";
            let resized = json(&cvol, &["resize", "data", &size]);
            println!("{layout} {size}: {resized}");
            let volume = match layout {
                "gpt" => {
                    tables(&cvol, &cvol.image("data"));
                    ntfs::partition(&cvol, "data")
                }
                _ => {
                    let raw = cvol.work().join("fat.raw");
                    let image = cvol.image("data");
                    let (image, target) = (image.to_str().unwrap(), raw.to_str().unwrap());
                    cvol.ok(&["convert", image, target, "--force"]);
                    raw
                }
            };
            let text = tools::run("fsck.fat", &[&"-n", &"-v", &volume]);
            assert!(!text.contains("rong") && !text.contains("iffer"), "{text}");
            let own = cvol.ok(&["fsck", "data"]);
            assert!(own.ends_with(": clean\n"), "{own}");
            let out = cvol.work().join("out");
            fs::create_dir(&out).unwrap();
            tools::run("mcopy", &[&"-s", &"-Q", &"-i", &volume, &"::/", &out]);
            same(&source, &out);
            fs::remove_dir_all(out).unwrap();
        }
        cvol.ok(&["rm", "data"]);
    }
}

#[test]
fn free_blocks_of_ext4_and_fat_by_others_are_given_up_and_nothing_else() {
    if !tools::needs(&[
        "mkfs.ext4",
        "e2fsck",
        "debugfs",
        "mkfs.fat",
        "fsck.fat",
        "mcopy",
    ]) {
        return;
    }
    let cvol = Cvol::new();
    let source = cvol.work().join("source");
    fill(&source, 24 << 20, 9);
    let image = cvol.work().join("other.raw");
    let noise = Random(1).bytes(1 << 20);
    // What was never written by the file system holds something, so that giving it up shows.
    let fresh = |size: u64| {
        let file = fs::File::create(&image).unwrap();
        for at in 0..size >> 20 {
            std::os::unix::fs::FileExt::write_all_at(&file, &noise, at << 20).unwrap();
        }
    };
    let options: [&[&str]; 5] = [
        &["-b", "4096"],
        &["-b", "1024", "-O", "^flex_bg,^metadata_csum,uninit_bg"],
        &["-b", "2048", "-O", "64bit,sparse_super2"],
        &["-t", "ext2", "-b", "1024"],
        &["-t", "ext3"],
    ];
    for options in options {
        fresh(160 << 20);
        let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> =
            vec![&"-q", &"-F", &"-E", &"nodiscard", &"-d", &source];
        for option in options {
            arguments.push(option);
        }
        arguments.push(&image);
        tools::run("mkfs.ext4", &arguments);
        let won = json(&cvol, &["compact", image.to_str().unwrap()]);
        assert!(won["partitions"][0]["left_alone"].is_null(), "{won}");
        let used = won["used"].as_u64().unwrap();
        assert!(used > 24 << 20 && used < 70 << 20, "{options:?} {won}");
        assert!(won["stored_after"].as_u64().unwrap() < 80 << 20, "{won}");
        tools::run("e2fsck", &[&"-f", &"-n", &image]);
        let out = cvol.work().join("out");
        fs::create_dir(&out).unwrap();
        let dump = format!("rdump / {}", out.display());
        tools::run("debugfs", &[&"-R", &dump, &image]);
        let _ = fs::remove_dir(out.join("lost+found"));
        same(&source, &out);
        fs::remove_dir_all(out).unwrap();
    }
    fresh(64 << 20);
    let bigalloc: [&str; 6] = ["-q", "-F", "-E", "nodiscard", "-O", "bigalloc"];
    let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = Vec::new();
    for option in &bigalloc {
        arguments.push(option);
    }
    arguments.push(&image);
    tools::run("mkfs.ext4", &arguments);
    let won = json(&cvol, &["compact", image.to_str().unwrap()]);
    assert!(won["partitions"][0]["left_alone"].is_string(), "{won}");
    assert!(won["stored_after"].as_u64().unwrap() > 55 << 20, "{won}");
    for (bits, size) in [("12", 4_u64), ("16", 64), ("32", 64)] {
        fresh(size << 20);
        let cluster = if bits == "32" { "1" } else { "4" };
        tools::run("mkfs.fat", &[&"-F", &bits, &"-s", &cluster, &image]);
        let file = cvol.work().join("file");
        fs::write(&file, Random(2).bytes(1_500_000)).unwrap();
        tools::run("mcopy", &[&"-i", &image, &file, &"::FILE"]);
        let won = json(&cvol, &["compact", image.to_str().unwrap()]);
        assert!(won["partitions"][0]["left_alone"].is_null(), "{bits} {won}");
        assert!(
            won["stored_after"].as_u64().unwrap() < 4 << 20,
            "{bits} {won}"
        );
        tools::run("fsck.fat", &[&"-n", &image]);
        let out = cvol.work().join("file.out");
        tools::run("mcopy", &[&"-n", &"-i", &image, &"::FILE", &out]);
        assert!(
            fs::read(&file).unwrap() == fs::read(&out).unwrap(),
            "{bits}"
        );
        fs::remove_file(out).unwrap();
    }
}

#[test]
fn commands_killed_at_any_moment_leave_the_old_size_or_the_new_one_and_all_files() {
    if !tools::needs(&["diff"]) {
        return;
    }
    let cvol = Cvol::new();
    let source = cvol.work().join("source");
    fill(&source, 12 << 20, 21);
    let from = source.to_str().unwrap();
    let mut random = Random(31);
    for (format, file_system) in [("vhdx", "ntfs"), ("vhd", "fat32"), ("raw", "ntfs")] {
        cvol.ok(&[
            "create",
            "data",
            "--size",
            "90M",
            "--from",
            from,
            "--format",
            format,
            "--fs",
            file_system,
        ]);
        let mut killed = 0;
        for _ in 0..number("CVOL_KILLS", 60) / 3 {
            let size = format!("{}M", 60 + random.below(200));
            let arguments = match random.below(3) {
                0 => vec!["compact", "data"],
                _ => vec!["resize", "data", &size],
            };
            let mut child = cvol
                .command(&arguments)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_micros(random.below(60_000)));
            killed += u64::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
            // Who only reads sees it whole, at once.
            let text = cvol.ok(&["fsck", "data"]);
            assert!(text.ends_with(": clean\n"), "{arguments:?}: {text}");
            // Who writes completes or undoes what was left.
            cvol.ok(&["label", "data", "X"]);
            cvol.ok(&["check", "--volume", "data"]);
            let text = cvol.ok(&["fsck", "data"]);
            assert!(text.ends_with(": clean\n"), "{arguments:?}: {text}");
        }
        println!("{killed} commands were killed at work");
        let out = cvol.work().join("out");
        cvol.ok(&["cp", "-r", "data:/.", out.to_str().unwrap()]);
        same(&source, &out);
        fs::remove_dir_all(out).unwrap();
        let last = json(&cvol, &["resize", "data", "100M"]);
        assert_eq!(last["size_after"].as_u64(), Some(100 << 20));
        let listed = json(&cvol, &["ls"]);
        assert_eq!(listed[0]["size"].as_u64(), Some(100 << 20), "{listed}");
        cvol.ok(&["rm", "data"]);
    }
}

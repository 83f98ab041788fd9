//! Archives of GNU tar, bsdtar and Python become volumes, and volumes become archives that those
//! read.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::Cvol;
use crate::ntfs::{Mount, TOOLS, partition, validate};
use crate::ntfs_whole::xattr;
use crate::random::Random;
use crate::{tools, tree};

/// A tree of what every archive format holds.
fn source(folder: &Path) -> PathBuf {
    let root = folder.join("source");
    fs::create_dir(&root).unwrap();
    tree::small(&root);
    let long = root.join("l".repeat(100)).join("m".repeat(100));
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("n".repeat(150)), "long").unwrap();
    fs::hard_link(root.join("hello.txt"), root.join("docs/hard")).unwrap();
    std::os::unix::fs::symlink("docs/deep", root.join("link")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &Random(3).bytes(70_000), 9 << 20).unwrap();
    root
}

fn differences(one: &Path, other: &Path) -> String {
    let output = tools::output("diff", &[&"-r", &"--no-dereference", &one, &other]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Packs a tree by a command line that writes the archive `{}` of the folder it runs in.
fn pack(root: &Path, archive: &Path, line: &str) {
    let line = line.replace("{}", archive.to_str().unwrap());
    let status = Command::new("sh")
        .args(["-c", &line])
        .current_dir(root)
        .status()
        .unwrap();
    assert!(status.success(), "{line}");
}

#[test]
fn archives_of_every_writer_become_the_tree_they_were_made_of() {
    if !tools::needs(&["tar", "bsdtar", "python3", "zstd", "xz", "diff"]) {
        return;
    }
    let python = "import sys,tarfile; t=tarfile.open('{}','w:gz',format=tarfile.PAX_FORMAT); \
                  t.add('.'); t.close()";
    let lines = [
        "tar -c --format=gnu --sparse -f {} .".to_owned(),
        "tar -c --format=pax --sparse -f {} .".to_owned(),
        "tar -c --format=pax --sparse --sparse-version=0.1 -f {} .".to_owned(),
        "tar -c --format=pax --sparse --sparse-version=0.0 -f {} .".to_owned(),
        "tar -c --format=gnu --zstd -f {} .".to_owned(),
        "tar -c --format=pax --xz -f {} *".to_owned(),
        "bsdtar -c --format=pax -z -f {} .".to_owned(),
        "bsdtar -c --format=gnutar -f {} .".to_owned(),
        format!("python3 -c \"{python}\""),
    ];
    let cvol = Cvol::new();
    let root = source(cvol.work());
    for (number, line) in lines.iter().enumerate() {
        // The name says nothing of how it is packed.
        let archive = cvol.work().join(format!("archive-{number}"));
        pack(&root, &archive, line);
        let name = format!("v{number}");
        let from = archive.to_str().unwrap();
        cvol.ok(&["create", &name, "--size", "200M", "--from", from]);
        let out = cvol.work().join(format!("out-{number}"));
        cvol.ok(&["cp", &format!("{name}:/."), out.to_str().unwrap()]);
        assert_eq!(differences(&root, &out), "", "{line}");
    }
}

#[test]
fn exported_archives_are_read_by_every_reader_and_by_cvol_to_the_same_volume() {
    if !tools::needs(&["tar", "bsdtar", "python3", "diff"]) {
        return;
    }
    let cvol = Cvol::new();
    let root = source(cvol.work());
    let path = |name: &str| cvol.work().join(name);
    let given = path("given.tar");
    pack(&root, &given, "tar -c --format=pax --sparse -f {} .");
    let from = given.to_str().unwrap();
    cvol.ok(&["create", "first", "--size", "200M", "--from", from]);
    let archive = path("first.tar");
    let archive = archive.to_str().unwrap();
    cvol.ok(&["export", "first", "-o", archive]);
    let readers = [
        (
            "gnu",
            format!("tar -x --warning=no-unknown-keyword -f {archive}"),
        ),
        ("bsd", format!("bsdtar -x -f {archive}")),
        (
            "python",
            format!("python3 -c \"import tarfile; tarfile.open('{archive}').extractall()\""),
        ),
    ];
    for (name, line) in readers {
        let out = path(name);
        fs::create_dir(&out).unwrap();
        pack(&out, Path::new(archive), &line);
        assert_eq!(differences(&root, &out), "", "{line}");
        let linked = fs::metadata(out.join("docs/hard")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::nlink(&linked), 2, "{line}");
    }
    // Through a volume and back it is the same archive, packed or not.
    for (number, ending) in ["tar.zst", "tgz", "tar.xz", "tar"].iter().enumerate() {
        let packed = path(&format!("packed.{ending}"));
        let packed = packed.to_str().unwrap();
        cvol.ok(&["export", "first", "-o", packed]);
        let name = format!("again{number}");
        cvol.ok(&["create", &name, "--size", "200M", "--from", packed]);
        let second = path(&format!("second-{number}.tar"));
        cvol.ok(&["export", &name, "-o", second.to_str().unwrap()]);
        assert!(
            fs::read(archive).unwrap() == fs::read(&second).unwrap(),
            "{ending}"
        );
    }
    cvol.fails(4, &["export", "first", "-o", archive]);
    cvol.ok(&["export", "first", "-o", archive, "--force"]);
}

/// Feeds a file to the standard input of `cvol`.
fn fed(cvol: &Cvol, arguments: &[&str], input: &[u8]) -> std::process::Output {
    let mut child = cvol
        .command(arguments)
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Where the command stops early, the pipe breaks.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
}

#[test]
fn two_builds_of_one_stream_are_byte_identical() {
    if !tools::needs(&["tar"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = source(folder.path());
    let archive = folder.path().join("a.tar");
    pack(&root, &archive, "tar -c --sort=name --sparse -f {} .");
    let bytes = fs::read(&archive).unwrap();
    let build = |seed: &str| {
        let cvol = Cvol::new();
        let arguments = [
            "create", "vol", "--size", "200M", "--from", "-", "--seed", seed,
        ];
        let output = fed(&cvol, &arguments, &bytes);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        tools::sha256(&cvol.image("vol"))
    };
    let first = build("one");
    assert_eq!(first, build("one"));
    assert_ne!(first, build("two"));
}

#[test]
fn bad_archives_leave_nothing_behind() {
    if !tools::needs(&["tar", "gzip"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = source(folder.path());
    let archive = folder.path().join("a.tar");
    pack(&root, &archive, "tar -c -f {} .");
    let whole = fs::read(&archive).unwrap();
    let mut changed = whole.clone();
    changed[512] ^= 1;
    let climbs = folder.path().join("climbs.tar");
    pack(&root, &climbs, "tar -c -P -f {} ../source/hello.txt");
    // More than what the volume holds, packed into little.
    let zeros = folder.path().join("zeros.tgz");
    let line = "truncate -s 900M zeros && tar -c -z -f {} zeros && rm zeros";
    pack(&root, &zeros, line);
    let cvol = Cvol::new();
    for (what, bytes, code) in [
        ("cut", whole[..whole.len() / 2].to_vec(), 6),
        ("changed", changed, 6),
        ("no archive", b"not a tar archive at all".repeat(100), 6),
        ("climbs", fs::read(&climbs).unwrap(), 6),
        ("zeros", fs::read(&zeros).unwrap(), 8),
    ] {
        let arguments = ["create", "vol", "--size", "200M", "--from", "-"];
        let output = fed(&cvol, &arguments, &bytes);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{what}: {error}");
        assert!(cvol.names().is_empty(), "{what}");
        assert!(cvol.volume_folders().is_empty(), "{what}");
    }
}

#[test]
fn a_windows_layer_becomes_the_volume_that_its_records_tell_of() {
    if !tools::needs(&TOOLS) || !tools::needs(&["getfattr", "python3", "bsdtar"]) {
        return;
    }
    let cvol = Cvol::new();
    let archive = cvol.work().join("layer.tar");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/windows_layer.py");
    tools::run("python3", &[&"-B", &script, &archive]);
    let from = archive.to_str().unwrap();
    let output = cvol.output(&["create", "vol", "--size", "200M", "--from", from]);
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{notes}");
    assert!(notes.contains("Hives/: left out"), "{notes}");
    let partition = partition(&cvol, "vol");
    validate(&partition);
    {
        let mount = Mount::with(&partition, "ro,streams_interface=xattr");
        let at = |path: &str| mount.path().join(path);
        let library = |number: u32| at(&format!("Windows/System32/library{number}.dll"));
        for number in [0_u32, 3, 21, 105, 299] {
            let path = library(number);
            let size = usize::try_from(number * 97).unwrap();
            let byte = u8::try_from(number % 251).unwrap();
            assert_eq!(fs::read(&path).unwrap(), vec![byte; size]);
            let attributes = xattr(&path, "system.ntfs_attrib");
            let attributes = u32::from_le_bytes(attributes[..4].try_into().unwrap());
            assert_eq!(attributes & 0x27, 0x20 | number & 7, "{number}");
            let acl = xattr(&path, "system.ntfs_acl");
            let account = u32::from_le_bytes(acl[44..48].try_into().unwrap());
            assert_eq!(account, 1000 + number % 40);
        }
        assert_eq!(xattr(&library(21), "user.big"), vec![b's'; 20_000]);
        assert!(xattr(&library(3), "user.Zone.Identifier").starts_with(b"[ZoneTransfer]"));
        let ticks = |path: &Path| -> Vec<u64> {
            let bytes = xattr(path, "system.ntfs_times");
            let of = |chunk: &[u8]| u64::from_le_bytes(chunk.try_into().unwrap());
            bytes.chunks(8).map(of).collect()
        };
        let at_1970 = 116_444_736_000_000_000_u64;
        let expected = [
            at_1970 + 15_000_000_007_654_321,
            at_1970 + 16_000_000_001_234_567,
            at_1970 + 16_000_000_015_000_000,
            at_1970 + 16_000_000_020_000_001,
        ];
        assert_eq!(ticks(&library(0)), expected);
        assert_eq!(ticks(&at("Users")), expected);
        let links = std::os::unix::fs::MetadataExt::nlink(&fs::metadata(library(5)).unwrap());
        assert_eq!(links, 2);
        let plain = xattr(&at("no archive bit"), "system.ntfs_attrib");
        assert_eq!(plain[0] & 0x20, 0);
        let junction = xattr(&at("Documents and Settings"), "system.ntfs_reparse_data");
        assert_eq!(junction[..4], 0xA000_0003_u32.to_le_bytes());
        assert_eq!(fs::read(at("relative")).unwrap(), vec![1; 97]);
        assert!(!at("Hives").exists() && !at("Files").exists());
    }
    // Copied out, files keep their names and what fits into extended attributes.
    let out = cvol.work().join("out");
    let out_text = out.to_str().unwrap();
    let copied = cvol.ok(&["cp", "vol:/Windows", out_text, "--json"]);
    let copied: serde_json::Value = serde_json::from_str(&copied).unwrap();
    assert_eq!(copied["hard_links"], 60, "{copied}");
    let library = out.join("System32/library3.dll");
    assert_eq!(fs::read(&library).unwrap(), vec![3; 291]);
    assert!(xattr(&library, "user.Zone.Identifier").starts_with(b"[ZoneTransfer]"));
    let linked = fs::metadata(out.join("link5.dll")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&linked), 2);
    let listed = cvol.ok(&["ls", "-l", "vol:/Windows/System32"]);
    assert!(listed.contains("library3.dll:Zone.Identifier"), "{listed}");
    let line = listed.lines().find(|line| line.ends_with("library5.dll"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(words[..3], ["file", "ASR", "2"], "{listed}");
    // Export after import is the identity.
    let export = |name: &str, volume: &str| {
        let path = cvol.work().join(name);
        cvol.ok(&["export", volume, "-o", path.to_str().unwrap()]);
        path
    };
    let first = export("first.tar", "vol");
    cvol.ok(&[
        "create",
        "again",
        "--size",
        "200M",
        "--from",
        first.to_str().unwrap(),
    ]);
    let second = export("second.tar", "again");
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
    let listed = tools::run("bsdtar", &[&"-t", &"-f", &first]);
    assert!(listed.contains("Windows/System32/library3.dll:Zone.Identifier"));
}

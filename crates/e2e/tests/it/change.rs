//! Volumes changed at rest by the command, judged by the tools of others: volumes made by cvol, by
//! mkntfs and mkfs.fat, and by Windows.

use std::path::{Path, PathBuf};

use crate::command::Cvol;
use crate::{corpus, ntfs, tools, tree};

/// Does a little of everything to what is in an image or volume; `place` is what stands before the
/// path. What is expected afterwards lies in the folder that is returned.
fn change(cvol: &Cvol, place: &str, source: &Path) -> PathBuf {
    let at = |path: &str| format!("{place}:{path}");
    let source = source.to_str().unwrap();
    cvol.ok(&["cp", source, &at("/first")]);
    cvol.ok(&["cp", &format!("{source}/."), &at("/first")]);
    cvol.ok(&["mkdir", "-p", &at("/a/b/c")]);
    cvol.ok(&["mv", &at("/first"), &at("/a/b")]);
    cvol.ok(&["mv", &at("/a/b"), &at("/Second")]);
    cvol.ok(&["cp", source, &at("/a/gone")]);
    cvol.ok(&["rm", "-r", &at("/a")]);
    cvol.ok(&["label", place, "CHANGED"]);
    let expected = cvol.work().join("expected");
    std::fs::create_dir_all(expected.join("c")).unwrap();
    tools::run("cp", &[&"-a", &source, &expected.join("first")]);
    expected
}

fn assert_same(expected: &Path, found: &Path) {
    let output = tools::output("diff", &[&"-r", &"--no-dereference", &expected, &found]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A tree with many names in one folder, short and long files, and links.
fn source(cvol: &Cvol) -> PathBuf {
    let source = cvol.work().join("source");
    tree::small(&source);
    for number in 0..400 {
        std::fs::create_dir_all(source.join("many")).unwrap();
        let name = format!("many/file number {number} of a folder that splits.txt");
        std::fs::write(source.join(name), vec![b'x'; number * 3]).unwrap();
    }
    source
}

#[test]
fn an_ntfs_volume_of_ours_that_was_changed_passes_every_validator() {
    if !tools::needs(&ntfs::TOOLS) {
        return;
    }
    let cvol = Cvol::new();
    let source = source(&cvol);
    for (number, cluster) in ["512", "4K", "64K"].into_iter().enumerate() {
        let name = format!("data{number}");
        cvol.ok(&["create", &name, "--size", "128M", "--cluster-size", cluster]);
        let expected = change(&cvol, &name, &source);
        let partition = ntfs::partition(&cvol, &name);
        ntfs::validate(&partition);
        let mount = ntfs::Mount::with(&partition, "ro");
        assert_same(&expected, &mount.path().join("Second"));
        std::fs::remove_dir_all(&expected).unwrap();
    }
}

#[test]
fn a_volume_made_by_mkntfs_that_was_changed_passes_every_validator() {
    if !tools::needs(&ntfs::TOOLS) || !tools::needs(&["mkntfs"]) {
        return;
    }
    let cvol = Cvol::new();
    let source = source(&cvol);
    let image = cvol.work().join("other.raw");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(96 << 20)
        .unwrap();
    tools::run("mkntfs", &[&"-F", &"-Q", &"-p", &"0", &image]);
    let expected = change(&cvol, image.to_str().unwrap(), &source);
    ntfs::validate(&image);
    let mount = ntfs::Mount::with(&image, "ro");
    assert_same(&expected, &mount.path().join("Second"));
    drop(mount);
    // And what ntfs-3g writes to it afterwards is as good.
    let mount = ntfs::Mount::with(&image, "rw");
    std::fs::create_dir(mount.path().join("theirs")).unwrap();
    for number in 0..300 {
        std::fs::write(mount.path().join(format!("theirs/{number}.txt")), b"x").unwrap();
    }
    drop(mount);
    cvol.ok(&["rm", "-r", &format!("{}:/theirs", image.display())]);
    ntfs::validate(&image);
}

#[test]
fn images_made_by_windows_are_changed_and_pass_ntfsck() {
    if !tools::needs(&ntfs::TOOLS) {
        return;
    }
    let Some(corpus) = tools::corpus() else {
        return;
    };
    let cvol = Cvol::new();
    let small = cvol.work().join("small");
    std::fs::create_dir_all(&small).unwrap();
    for number in 0..40 {
        let name = format!("a file with a name of some length, number {number}");
        std::fs::write(small.join(name), vec![7; number * 100]).unwrap();
    }
    for file in [
        "dfvfs/ntfs-dynamic.vhdx",
        "dfvfs/ntfs-dynamic.vhd",
        "dfvfs/ntfs-parent.vhdx",
    ] {
        let image = corpus::unpack(&corpus, file, cvol.work());
        let place = image.to_str().unwrap().to_owned();
        let at = |path: &str| format!("{place}:{path}");
        cvol.ok(&["cp", small.to_str().unwrap(), &at("/made")]);
        cvol.ok(&["mkdir", "-p", &at("/deep/er")]);
        cvol.ok(&["mv", &at("/made"), &at("/deep/er/moved")]);
        cvol.ok(&["attrib", &at("/deep"), "+h"]);
        cvol.ok(&["acl", &at("/deep"), "--set", "container-users"]);
        for entry in cvol.ok(&["-q", "ls", &at("/")]).lines() {
            // All that Windows put there but its own goes.
            if !["System Volume Information", "deep"].contains(&entry) {
                cvol.ok(&["rm", "-r", &at(&format!("/{entry}"))]);
            }
        }
        let partition = ntfs::partition_of(&cvol, &image, "windows");
        ntfs::validate(&partition);
        let mount = ntfs::Mount::with(&partition, "ro");
        assert_same(&small, &mount.path().join("deep/er/moved"));
    }
}

#[test]
fn fat32_volumes_that_were_changed_pass_fsck_and_mtools() {
    if !tools::needs(&["fsck.fat", "mkfs.fat", "mdir", "mcopy", "diff"]) {
        return;
    }
    let cvol = Cvol::new();
    let source = source(&cvol);
    // FAT has no links.
    for entry in walk(&source) {
        if entry.is_symlink() {
            std::fs::remove_file(entry).unwrap();
        }
    }
    let theirs = cvol.work().join("theirs.raw");
    std::fs::File::create(&theirs)
        .unwrap()
        .set_len(80 << 20)
        .unwrap();
    tools::run("mkfs.fat", &[&"-F", &"32", &theirs]);
    cvol.ok(&[
        "create", "ours", "--size", "80M", "--fs", "fat32", "--layout", "disk",
    ]);
    let ours = cvol.work().join("ours.raw");
    for (place, image) in [("ours", &ours), (theirs.to_str().unwrap(), &theirs)] {
        let expected = change(&cvol, place, &source);
        if place == "ours" {
            cvol.ok(&["convert", "ours", image.to_str().unwrap(), "-O", "raw"]);
        }
        let check = tools::output("fsck.fat", &[&"-n", &"-v", image]);
        assert!(
            check.status.success(),
            "{}",
            String::from_utf8_lossy(&check.stdout)
        );
        let copy = cvol.work().join("copy");
        std::fs::create_dir(&copy).unwrap();
        tools::run("mcopy", &[&"-s", &"-n", &"-i", image, &"::/Second", &copy]);
        assert_same(&expected, &copy.join("Second"));
        std::fs::remove_dir_all(&copy).unwrap();
        std::fs::remove_dir_all(&expected).unwrap();
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found
}

#[test]
fn a_volume_that_was_not_unmounted_is_refused_and_left_as_it_is() {
    if !tools::needs(&["mkntfs", "ntfsfix"]) {
        return;
    }
    let cvol = Cvol::new();
    let image = cvol.work().join("dirty.raw");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(16 << 20)
        .unwrap();
    tools::run("mkntfs", &[&"-F", &"-Q", &"-p", &"0", &image]);
    // Marks it as dirty, besides mending what is not broken.
    tools::run("ntfsfix", &[&image]);
    let before = tools::sha256(&image);
    let said = cvol.fails(6, &["mkdir", &format!("{}:/x", image.display())]);
    assert!(
        said.contains("not unmounted cleanly") && said.contains("chkdsk"),
        "{said}"
    );
    assert_eq!(tools::sha256(&image), before);
    tools::run("ntfsfix", &[&"-d", &image]);
    cvol.ok(&["mkdir", &format!("{}:/x", image.display())]);
}

#[test]
fn volumes_at_the_end_of_random_histories_pass_the_checkers_of_others() {
    if !tools::needs(&ntfs::TOOLS) || !tools::needs(&["fsck.fat"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // The histories are those of the tests of mkfs, which leave their volumes where they are told to.
    let output = std::process::Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--package", "mkfs", "--test", "it"])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"))
        .args(["--", "change::", "change_model::a_random_history"])
        .env("CVOL_DUMP", folder.path())
        .env("CVOL_CHANGE_HISTORIES", "24")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let (mut ntfs_volumes, mut fat_volumes) = (0, 0);
    for entry in folder.path().read_dir().unwrap() {
        let volume = entry.unwrap().path();
        if volume.extension().unwrap() == "Fat32" {
            tools::run("fsck.fat", &[&"-n", &volume]);
            fat_volumes += 1;
            continue;
        }
        ntfs::validate(&volume);
        // Every byte of every file, by another implementation.
        let mount = ntfs::Mount::with(&volume, "ro");
        tools::run("diff", &[&"-r", &mount.path(), &mount.path()]);
        ntfs_volumes += 1;
    }
    assert!(
        ntfs_volumes >= 30 && fat_volumes >= 2,
        "{ntfs_volumes}, {fat_volumes}"
    );
}

/// What a volume holds: its names, in their order.
fn state(cvol: &Cvol, image: &str) -> String {
    let archive = cvol.work().join("state.tar");
    let path = archive.to_str().unwrap();
    cvol.ok(&["export", image, "-o", path, "--force"]);
    tools::run("tar", &[&"-t", &"-f", &archive])
}

#[test]
fn a_change_that_is_killed_at_any_moment_has_happened_or_has_not() {
    if !tools::needs(&["tar"]) {
        return;
    }
    let cvol = Cvol::new();
    let source = source(&cvol);
    let (mut before_count, mut after_count) = (0, 0);
    for file_system in ["ntfs", "fat32"] {
        if file_system == "fat32" {
            // FAT has no links, and the export of one volume after the other is compared.
            for entry in walk(&source) {
                if entry.is_symlink() {
                    std::fs::remove_file(entry).unwrap();
                }
            }
        }
        let image = cvol.work().join(format!("{file_system}.raw"));
        let path = image.to_str().unwrap();
        cvol.ok(&[
            "create",
            "aa",
            "--size",
            "64M",
            "--fs",
            file_system,
            "--format",
            "raw",
            "--from",
            source.to_str().unwrap(),
        ]);
        let start = std::fs::read(cvol.image("aa")).unwrap();
        cvol.ok(&["rm", "aa"]);
        let target = format!("{path}:/many");
        let begin = || std::fs::write(&image, &start).unwrap();
        begin();
        let before = state(&cvol, path);
        let change = || {
            // A large change, whose commit takes a while.
            let mut command = cvol.command(&["rm", "-r", &target]);
            command.stdout(std::process::Stdio::null());
            command.stderr(std::process::Stdio::null());
            command.spawn().unwrap()
        };
        let begun = std::time::Instant::now();
        assert!(change().wait().unwrap().success());
        let took = begun.elapsed();
        let after = state(&cvol, path);
        assert_ne!(before, after);
        for part in 0..16 {
            begin();
            let mut child = change();
            std::thread::sleep(took * part / 13);
            child.kill().unwrap();
            child.wait().unwrap();
            let found = state(&cvol, path);
            before_count += usize::from(found == before);
            after_count += usize::from(found == after);
            assert!(
                found == before || found == after,
                "{file_system}, {part}/13 of {took:?}"
            );
            // Whoever changes it next completes what was begun, and the volume is sound.
            cvol.ok(&["mkdir", &format!("{path}:/next")]);
            let text = cvol.ok(&["fsck", path, "--image"]);
            assert!(text.ends_with(": clean\n"), "{text}");
        }
    }
    println!("{before_count} times before, {after_count} times after");
    assert!(before_count > 0 && after_count > 0);
}

//! `cvol fsck` against the checkers of others: nothing on what they call sound, at least what they
//! find on what is damaged.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use mkfs::FindingSeverity;

use crate::command::Cvol;
use crate::{corpus, ntfs, tools};

#[path = "../../../mkfs/tests/it/damage/mod.rs"]
mod damage;
#[path = "../../../mkfs/tests/it/fat32_damage.rs"]
mod fat32_damage;

/// How the names of images with NTFS begin.
const WINDOWS_NTFS: [&str; 2] = ["dfvfs/ntfs-", "dissect-hypervisor/"];

#[test]
fn nothing_is_found_on_volumes_made_by_windows() {
    let Some(corpus) = tools::corpus() else {
        return;
    };
    let cvol = Cvol::new();
    let manifest = fs::read_to_string(corpus.join("manifest.tsv")).unwrap();
    let mut checked = 0;
    for line in manifest.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split('\t');
        let (file, kind) = (columns.next().unwrap(), columns.next().unwrap());
        if !WINDOWS_NTFS.iter().any(|start| file.starts_with(start)) {
            continue;
        }
        let parent = columns.nth(2).filter(|parent| !parent.is_empty());
        assert_eq!(parent.is_some(), kind.contains("differencing"), "{line}");
        let parent = parent.map(|parent| corpus::unpack(&corpus, parent, cvol.work()));
        let image = corpus::unpack(&corpus, file, cvol.work());
        let mut arguments = vec!["fsck", image.to_str().unwrap()];
        if let Some(parent) = &parent {
            arguments.extend(["--parent", parent.to_str().unwrap()]);
        }
        let text = cvol.ok(&arguments);
        assert!(
            text.ends_with(": clean\n") && text.lines().count() == 1,
            "{file}: {text}"
        );
        checked += 1;
    }
    assert!(checked >= 12, "only {checked} volumes");
}

/// Fills, deletes, renames and grows files through ntfs-3g.
fn use_as_others_do(mount: &Path) {
    let many = mount.join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..400 {
        fs::write(
            many.join(format!("file number {number}")),
            vec![7; number * 9],
        )
        .unwrap();
    }
    for number in (0..400).step_by(3) {
        fs::remove_file(many.join(format!("file number {number}"))).unwrap();
    }
    fs::rename(many.join("file number 100"), mount.join("renamed")).unwrap();
    fs::hard_link(mount.join("renamed"), many.join("hard link")).unwrap();
    std::os::unix::fs::symlink("renamed", mount.join("symbolic link")).unwrap();
    fs::write(mount.join("large"), vec![9; 3_000_000]).unwrap();
    let file = fs::File::options()
        .write(true)
        .open(mount.join("large"))
        .unwrap();
    file.set_len(20_000_000).unwrap();
    fs::create_dir_all(mount.join("a/b/c/d")).unwrap();
    fs::remove_dir(mount.join("a/b/c/d")).unwrap();
}

#[test]
fn nothing_is_found_on_volumes_that_ntfs_3g_made_and_filled() {
    if !tools::needs(&["mkntfs", "ntfs-3g", "umount"]) {
        return;
    }
    let cvol = Cvol::new();
    for cluster in ["512", "4096", "65536"] {
        let image = cvol.work().join(format!("{cluster}.img"));
        fs::File::create(&image)
            .unwrap()
            .set_len(200 << 20)
            .unwrap();
        tools::run("mkntfs", &[&"-Q", &"-F", &"-q", &"-c", &cluster, &image]);
        cvol.ok(&["fsck", image.to_str().unwrap()]);
        let mount = tempfile::tempdir().unwrap();
        tools::run("ntfs-3g", &[&image, &mount.path()]);
        use_as_others_do(mount.path());
        tools::run("umount", &[&mount.path()]);
        ntfs::wait_until_unlocked(&image);
        let text = cvol.ok(&["fsck", image.to_str().unwrap()]);
        assert!(text.ends_with(": clean\n"), "{cluster}: {text}");
    }
}

#[test]
fn every_damage_that_ntfsck_reports_is_found_and_more() {
    let Some(program) = tools::ntfsck() else {
        return;
    };
    let cvol = Cvol::new();
    let image = cvol.work().join("damaged.img");
    let (mut theirs, mut both, mut all) = (Vec::new(), 0, 0);
    for damage in damage::all() {
        let volume = damage::volume::Volume::sound();
        (damage.plant)(&volume);
        fs::write(&image, volume.disk().to_bytes()).unwrap();
        // One of the damages sends it round in circles.
        let output = Command::new("timeout")
            .arg("60")
            .arg(&program)
            .args(["-n"])
            .arg(&image)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
        let is_reported = !output.status.success() || !text.contains("no errors found");
        let go_on = |_, _| ControlFlow::Continue(());
        let report = mkfs::ntfs::fsck::check(volume.disk(), &go_on).unwrap();
        assert!(report.has(damage.class), "{}", damage.name);
        all += 1;
        let is_found = !report.is_clean();
        both += usize::from(is_reported && is_found);
        if is_reported && !is_found {
            theirs.push(damage.name);
        }
    }
    println!("of {all} damages ntfsck reports {both}");
    assert_eq!(theirs, [""; 0], "found by ntfsck alone");
}

#[test]
fn every_damage_of_fat32_that_fsck_fat_reports_is_found_and_more() {
    if !tools::needs(&["fsck.fat", "timeout"]) {
        return;
    }
    let cvol = Cvol::new();
    let image = cvol.work().join("damaged.img");
    let sound = fat32_damage::Volume::sound();
    fs::write(&image, sound.disk().to_bytes()).unwrap();
    tools::run("fsck.fat", &[&"-n", &image]);
    cvol.ok(&["fsck", image.to_str().unwrap()]);
    let (mut theirs, mut both) = (Vec::new(), 0);
    for damage in fat32_damage::DAMAGES {
        let volume = fat32_damage::Volume::sound();
        (damage.plant)(&volume);
        let report =
            mkfs::fat32::fsck::check(volume.disk(), &|_, _| ControlFlow::Continue(())).unwrap();
        assert!(report.has(damage.class), "{}", damage.name);
        fs::write(&image, volume.disk().to_bytes()).unwrap();
        let output = tools::output("timeout", &[&"60", &"fsck.fat", &"-n", &image]);
        let is_reported = !output.status.success();
        let is_found = cvol.output(&["fsck", "--quiet", image.to_str().unwrap()]);
        let is_found = is_found.status.code() == Some(1);
        both += usize::from(is_reported && is_found);
        if is_reported && !is_found {
            theirs.push(damage.name);
        }
    }
    println!(
        "of {} damages fsck.fat reports {both}",
        fat32_damage::DAMAGES.len()
    );
    assert_eq!(theirs, [""; 0], "found by fsck.fat alone");
}

#[test]
fn the_exit_code_tells_clean_from_damaged_from_beyond_walking() {
    let cvol = Cvol::new();
    cvol.ok(&["create", "data", "--size", "40M"]);
    let text = cvol.ok(&["fsck", "data"]);
    assert!(
        text.starts_with("data: NTFS, ") && text.ends_with(": clean\n"),
        "{text}"
    );
    assert_eq!(cvol.ok(&["fsck", "data", "--quiet"]), "");
    let image = cvol.work().join("damaged.img");
    let path = image.to_str().unwrap();
    let volume = damage::volume::Volume::sound();
    let deep = volume.find("outer/inner directory/deep.txt");
    volume.record(deep, |bytes| bytes[0x12] = 7);
    fs::write(&image, volume.disk().to_bytes()).unwrap();
    let output = cvol.output(&["fsck", path]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "link-count: 1 error", "{text}");
    assert!(
        lines[1].starts_with("  /outer/inner directory/deep.txt (record ")
            && lines[1].ends_with("the links are counted wrongly: 7 instead of 1"),
        "{text}"
    );
    let json = cvol.output(&["fsck", path, "--json"]);
    assert_eq!(json.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let finding = &json["volumes"][0]["findings"][0];
    assert_eq!(finding["class"], "link-count");
    assert_eq!(finding["severity"], FindingSeverity::Error.to_string());
    assert_eq!(finding["record"], deep);
    volume.boot(0x40, &[0]);
    fs::write(&image, volume.disk().to_bytes()).unwrap();
    let error = cvol.fails(6, &["fsck", path]);
    assert!(error.contains("boot sector"), "{error}");
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    cvol.fails(7, &["fsck", path]);
}

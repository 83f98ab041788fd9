//! A host that runs out of space in the middle.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::command::Cvol;
use crate::{tools, tree};

/// A memory-backed file system of a fixed size, unmounted when dropped.
pub(crate) struct SmallFileSystem(tempfile::TempDir);

impl SmallFileSystem {
    pub(crate) fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let option = format!("size={size}");
        let output = tools::output(
            "mount",
            &[&"-t", &"tmpfs", &"-o", &option, &"tmpfs", &folder.path()],
        );
        if output.status.success() {
            return Some(Self(folder));
        }
        assert!(!tools::in_ci(), "this test mounts a tmpfs and needs root");
        eprintln!("skipped: mounting a tmpfs needs root");
        None
    }

    /// An ext4 with blocks of 1 KiB in a file of the folder `beside`.
    fn of_small_blocks(beside: &Path) -> Option<Self> {
        let image = beside.join("ext4");
        let file = File::create(&image).unwrap();
        file.set_len(64 << 20).unwrap();
        drop(file);
        tools::run("mkfs.ext4", &[&"-q", &"-b", &"1024", &"-m", &"0", &image]);
        let folder = tempfile::tempdir().unwrap();
        let output = tools::output("mount", &[&"-o", &"loop", &image, &folder.path()]);
        if output.status.success() {
            return Some(Self(folder));
        }
        assert!(!tools::in_ci(), "this test mounts a file and needs root");
        eprintln!("skipped: mounting a file needs root");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no room for another such piece: the file that takes it all, and where it is.
    fn filled_by(&self, piece: &[u8]) -> (PathBuf, File) {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(piece).is_ok() {}
        (path, file)
    }
}

impl Drop for SmallFileSystem {
    fn drop(&mut self) {
        tools::output("umount", &[&self.0.path()]);
    }
}

#[test]
fn a_full_disk_undoes_the_create_and_the_store_goes_on() {
    let source = tempfile::tempdir().unwrap();
    tree::small(source.path());
    for size in ["300k", "700k", "1m", "2m", "3m", "4m", "5m"] {
        let Some(host) = SmallFileSystem::new(size) else {
            return;
        };
        let cvol = Cvol::under(host.path());
        let from = source.path().to_str().unwrap();
        let output = cvol.output(&["create", "data", "--size", "1G", "--from", from]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            cvol.ok(&["check", "--volume", "data"]);
            cvol.ok(&["rm", "data"]);
        } else {
            assert_eq!(output.status.code(), Some(8), "{size}: {error}");
            assert!(
                error.contains("space") || error.contains("full"),
                "{size}: {error}"
            );
        }
        assert_eq!(cvol.volume_folders(), [""; 0], "{size}");
        drop(cvol);
    }
}

#[test]
fn a_full_disk_leaves_no_half_made_target_of_convert() {
    let Some(host) = SmallFileSystem::new("2m") else {
        return;
    };
    let cvol = Cvol::new();
    let raw = cvol.work().join("in.raw");
    std::fs::write(&raw, crate::random::Random(3).bytes(4 << 20)).unwrap();
    let target = host.path().join("out.vhdx");
    cvol.fails(
        8,
        &[
            "convert",
            raw.to_str().unwrap(),
            target.to_str().unwrap(),
            "-O",
            "vhdx",
        ],
    );
    assert_eq!(std::fs::read_dir(host.path()).unwrap().count(), 0);
}

/// In an image without holes of its own making, the data of the copy stayed where it was written.
#[test]
fn a_copy_that_finds_no_room_on_the_host_gives_back_what_it_took() {
    let source = tempfile::tempdir().unwrap();
    let large = source.path().join("large");
    std::fs::write(&large, crate::random::Random(5).bytes(40 << 20)).unwrap();
    let small = source.path().join("small");
    std::fs::write(&small, "small").unwrap();
    for format in ["vhdx", "vhd", "raw"] {
        let Some(host) = SmallFileSystem::new("24m") else {
            return;
        };
        let cvol = Cvol::under(host.path());
        cvol.ok(&["create", "data", "--size", "256M", "--format", format]);
        cvol.fails(8, &["cp", large.to_str().unwrap(), "data:/large"]);
        cvol.ok(&["cp", small.to_str().unwrap(), "data:/small"]);
        cvol.ok(&["fsck", "data"]);
        assert_eq!(cvol.ok(&["cat", "data:/small"]), "small", "{format}");
        drop(cvol);
    }
}

#[test]
fn a_host_without_any_space_is_named_as_such() {
    let Some(host) = SmallFileSystem::new("8m") else {
        return;
    };
    let cvol = Cvol::under(host.path());
    cvol.ok(&["create", "data", "--size", "64M"]);
    let (filler, file) = host.filled_by(&[7; 512]);
    let output = cvol.output(&["ls"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(8), "{error}");
    assert!(error.contains("no storage space"), "{error}");
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    cvol.ok(&["fsck", "data"]);
}

/// On a host that its own volumes had filled, every command failed: also the one that removes volumes.
#[test]
fn a_host_that_volumes_filled_can_be_asked_and_told_to_remove_some() {
    let Some(host) = SmallFileSystem::new("40m") else {
        return;
    };
    let cvol = Cvol::under(host.path());
    cvol.ok(&["create", "one", "--size", "64M"]);
    cvol.ok(&["create", "two", "--size", "64M"]);
    cvol.ok(&["snapshot", "create", "two@old"]);
    drop(host.filled_by(&[7; 512]));
    // Twice: what the first took is there for the second.
    for _ in 0..2 {
        assert!(cvol.ok(&["ls"]).contains("two"));
    }
    cvol.ok(&["rm", "one"]);
    cvol.ok(&["snapshot", "rm", "two@old"]);
    assert!(!cvol.ok(&["ls"]).contains("one"));
    cvol.ok(&["rm", "two"]);
    assert_eq!(cvol.volume_folders(), [""; 0]);
    drop(cvol);
}

/// The memory that processes share with the database had no space where blocks are smaller than pages:
/// a host that filled up in the middle killed the command with SIGBUS.
#[test]
fn a_full_disk_of_small_blocks_is_an_error_and_no_signal() {
    if !tools::needs(&["mkfs.ext4"]) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let Some(host) = SmallFileSystem::of_small_blocks(scratch.path()) else {
        return;
    };
    let cvol = Cvol::under(host.path());
    cvol.ok(&["create", "data", "--size", "64M"]);
    // The room that a store keeps for itself would hide what is tried here.
    std::fs::remove_file(cvol.root().join("reserve")).unwrap();
    let (filler, file) = host.filled_by(&[7; 1024]);
    file.sync_all().unwrap();
    for _ in 0..120 {
        let length = file.metadata().unwrap().len();
        file.set_len(length - 2048).unwrap();
        file.sync_all().unwrap();
        let output = cvol.output(&["resize", "data", "+1M"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            matches!(output.status.code(), Some(0 | 8)),
            "{}: {error}",
            output.status
        );
    }
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    cvol.ok(&["fsck", "data"]);
    drop(cvol);
}

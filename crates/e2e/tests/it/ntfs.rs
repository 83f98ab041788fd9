//! NTFS volumes made by the command, judged by the validators that others wrote.

use std::fmt::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use blockio::{
    ByteCount, ByteOffset, ByteRange, Disk as _, FileAccess, FileDisk, FileStorage, SectorSize,
};

use crate::command::Cvol;
use crate::guest::{Guest, Pieces};
use crate::{tools, tree};

/// The longest that a guest may take.
const LIMIT: Duration = Duration::from_secs(600);

/// The only partition of a volume, as a file of its own (holes kept).
pub(crate) fn partition(cvol: &Cvol, name: &str) -> PathBuf {
    partition_of(cvol, &cvol.image(name), name)
}

/// The only partition of an image, as a file called after `name`.
pub(crate) fn partition_of(cvol: &Cvol, image: &Path, name: &str) -> PathBuf {
    let raw = cvol.work().join(format!("{name}.raw"));
    cvol.ok(&[
        "convert",
        image.to_str().unwrap(),
        raw.to_str().unwrap(),
        "-O",
        "raw",
    ]);
    let table = tools::run("sfdisk", &[&"--json", &raw]);
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    let partitions = table["partitiontable"]["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 1, "{table}");
    let start = partitions[0]["start"].as_u64().unwrap() * 512;
    let length = partitions[0]["size"].as_u64().unwrap() * 512;
    let target = cvol.work().join(format!("{name}.part"));
    copy_range(&raw, start, length, &target);
    std::fs::remove_file(&raw).unwrap();
    target
}

/// Copies a range of a file to a file of its own; holes are stepped over, not read.
fn copy_range(from: &Path, start: u64, length: u64, to: &Path) {
    let storage = FileStorage::open(from, FileAccess::ReadOnly).unwrap();
    let disk = FileDisk::new(Box::new(storage), SectorSize::B512).unwrap();
    let target = std::fs::File::create(to).unwrap();
    target.set_len(length).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let (mut at, end) = (start, start + length);
    while at < end {
        let rest = ByteRange::new(ByteOffset(at), ByteCount(end - at)).unwrap();
        let run = disk.block_status(rest).unwrap();
        let run_end = run.range.end().get();
        while at < run_end && !run.kind.reads_zero() {
            let size = usize::try_from(run_end - at).unwrap().min(buffer.len());
            disk.read_at(&mut buffer[..size], ByteOffset(at)).unwrap();
            target.write_all_at(&buffer[..size], at - start).unwrap();
            at += u64::try_from(size).unwrap();
        }
        at = run_end;
    }
}

/// Every validator that says yes or no without mounting.
pub(crate) fn validate(partition: &Path) {
    validate_very_large(partition);
    tools::run("fls", &[&"-f", &"ntfs", &"-r", &"-p", &partition]);
}

/// The same without `fls`, whose time grows with the square of the entries of a folder: hours for a
/// million.
pub(crate) fn validate_very_large(partition: &Path) {
    tools::run("ntfsfix", &[&"-n", &partition]);
    let info = tools::run("ntfsinfo", &[&"-m", &partition]);
    assert!(info.contains("Volume Version: 3.1"), "{info}");
    let resize = tools::run("ntfsresize", &[&"--info", &"--force", &partition]);
    assert!(
        !resize.contains("ERROR") && !resize.contains("inconsisten"),
        "{resize}"
    );
    tools::run("fsstat", &[&"-f", &"ntfs", &partition]);
    ntfsck(partition);
    let own = Cvol::new().ok(&["fsck", partition.to_str().unwrap(), "--image"]);
    assert!(own.ends_with(": clean\n"), "{own}");
}

/// The strictest validator (ntfsprogs-plus), which `cargo xtask setup` puts beside the system.
fn ntfsck(partition: &Path) {
    let Some(program) = tools::ntfsck() else {
        return;
    };
    let output = Command::new(program)
        .arg("-n")
        .arg(partition)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ntfsck: {}: {text}", output.status);
    assert!(text.to_lowercase().contains("clean"), "ntfsck: {text}");
}

/// Times that unmounting is tried, half a second apart.
const UNMOUNT_TRIES: u32 = 120;

/// A partition mounted by ntfs-3g through FUSE, unmounted when dropped.
pub(crate) struct Mount {
    folder: tempfile::TempDir,
    partition: PathBuf,
}

impl Mount {
    fn new(partition: &Path) -> Self {
        Self::with(partition, "rw,streams_interface=none")
    }

    /// Mounts with options of ntfs-3g.
    pub(crate) fn with(partition: &Path, options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        tools::run("ntfs-3g", &[&"-o", &options, &partition, &folder.path()]);
        Self {
            folder,
            partition: partition.to_owned(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // On a loaded machine somebody else may look at the mount just now; left as it is, nobody could
        // mount the partition again.
        for _ in 0..UNMOUNT_TRIES {
            if tools::output("umount", &[&self.folder.path()])
                .status
                .success()
            {
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        wait_until_unlocked(&self.partition);
    }
}

/// Unmounting returns before ntfs-3g has let go of the file, and nobody else of its kind opens it until
/// then.
pub(crate) fn wait_until_unlocked(partition: &Path) {
    let inode = std::fs::metadata(partition).unwrap().ino();
    let entry = format!(":{inode} ");
    for _ in 0..600 {
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        if !locks.lines().any(|line| line.contains(&entry)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) const TOOLS: [&str; 9] = [
    "ntfs-3g",
    "ntfsfix",
    "ntfsinfo",
    "ntfsresize",
    "fsstat",
    "fls",
    "sfdisk",
    "diff",
    "qemu-img",
];

/// `diff -r` of two trees; the lines it prints.
pub(crate) fn differences(left: &Path, right: &Path) -> Vec<String> {
    let output = tools::output("diff", &[&"-r", &"--no-dereference", &left, &right]);
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn an_empty_volume_passes_every_validator_at_each_cluster_size() {
    if !tools::needs(&TOOLS) {
        return;
    }
    let cvol = Cvol::new();
    for (number, cluster) in ["512", "4K", "64K"].into_iter().enumerate() {
        let name = format!("empty{number}");
        cvol.ok(&["create", &name, "--size", "200M", "--cluster-size", cluster]);
        tools::run("qemu-img", &[&"check", &cvol.image(&name)]);
        validate(&partition(&cvol, &name));
    }
}

#[test]
fn what_ntfs_3g_writes_to_a_volume_of_ours_leaves_it_whole() {
    if !tools::needs(&TOOLS) {
        return;
    }
    let cvol = Cvol::new();
    let source = cvol.work().join("source");
    tree::corner_cases(&source);
    cvol.ok(&[
        "create",
        "corners",
        "--size",
        "20G",
        "--from",
        source.to_str().unwrap(),
    ]);
    tools::run("qemu-img", &[&"check", &cvol.image("corners")]);
    let partition = partition(&cvol, "corners");
    validate(&partition);
    let mount = Mount::new(&partition);
    holes_take_no_space(mount.path());
    std::fs::write(mount.path().join("new file"), vec![7; 3_000_000]).unwrap();
    for number in 0..500 {
        std::fs::write(mount.path().join(format!("many/written-{number}")), "x").unwrap();
    }
    std::fs::remove_dir_all(mount.path().join("sizes")).unwrap();
    drop(mount);
    validate(&partition);
}

/// The log of a new volume says that it is clean: a driver that reads logs mounts it for writing without
/// a word of complaint, and so it does with what Windows left. (What a log without records is taken for is
/// said in ADR 7.)
#[test]
fn the_driver_of_a_kernel_writes_to_a_new_volume_and_to_one_that_was_changed_at_rest() {
    let (true, Some(pieces)) = (tools::needs(&TOOLS), Pieces::find()) else {
        return;
    };
    let cvol = Cvol::new();
    let mut guest = Guest::new(&pieces);
    let mut job = String::from("modprobe virtio_blk; modprobe nls_utf8; modprobe ntfs3\n");
    // Logs of each size that there is.
    let volumes = [("small", "12M"), ("usual", "64M"), ("large", "65G")];
    for (name, size) in volumes {
        cvol.ok(&["create", name, "--size", size, "--format", "raw"]);
        cvol.ok(&["mkdir", &format!("{name}:/at rest")]);
        let disk = guest.attach(&cvol.image(name), "raw");
        writeln!(
            job,
            "mount -t ntfs3 -o rw,iocharset=utf8 /dev/{disk}1 /mnt && mkdir '/mnt/at rest/of the guest' && \
             for n in 1 2 3 4 5 6 7 8; do echo $n > /mnt/file-$n || exit 1; done; ls /mnt; umount /mnt"
        )
        .unwrap();
    }
    job.push_str("dmesg | grep -i ntfs3 | grep -v 'module\\|Max link\\|Read-write' ; true\n");
    let seen = guest.run(&job, LIMIT);
    assert_eq!(seen.matches("file-8").count(), volumes.len(), "{seen}");
    for complaint in ["dirty", "replay", "corrupt", "inconsist", "fail"] {
        assert!(!seen.to_lowercase().contains(complaint), "{seen}");
    }
    for (name, _) in volumes {
        let image = cvol.image(name);
        cvol.ok(&["cat", "--image", image.to_str().unwrap(), "/file-8"]);
        tools::run("ntfsfix", &[&"-n", &partition(&cvol, name)]);
    }
}

fn holes_take_no_space(mounted: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    for name in ["islands.sparse", "hole.sparse", "comb.sparse"] {
        let space = mounted.join(name).metadata().unwrap().blocks() * 512;
        assert!(
            space < 32 << 20,
            "{name} takes {space} bytes: its holes were filled"
        );
    }
}

/// Whether a line `Only in FOLDER: NAME` tells of a name that cvol listed.
pub(crate) fn explained(line: &str, source: &Path, mounted: &Path, listed: &str) -> bool {
    let Some((folder, name)) = line
        .strip_prefix("Only in ")
        .and_then(|rest| rest.split_once(": "))
    else {
        return false;
    };
    let folder = Path::new(folder);
    let inside = folder
        .strip_prefix(source)
        .or_else(|_| folder.strip_prefix(mounted));
    let Ok(inside) = inside else { return false };
    // cvol shows what terminals have no letter for as its number.
    let shown = |letter: char| match letter {
        '\u{0}'..='\u{1f}' | '\u{f000}'..='\u{f0ff}' => format!("\\u{{{:x}}}", u32::from(letter)),
        letter => letter.to_string(),
    };
    let path: String = inside
        .join(name)
        .to_string_lossy()
        .chars()
        .map(shown)
        .collect();
    // The name as it is stored is listed alone, the name in the source with its folder.
    let stored: String = name.chars().map(shown).collect();
    listed.contains(&path) || listed.contains(&format!("stored as {stored}:"))
}

#[test]
fn files_come_back_out_of_a_volume_as_they_went_in() {
    let cvol = Cvol::new();
    let source = cvol.work().join("source");
    tree::small(&source);
    std::os::unix::fs::symlink("hello.txt", source.join("link")).unwrap();
    for file_system in ["ntfs", "fat32"] {
        if file_system == "fat32" {
            std::fs::remove_file(source.join("link")).unwrap();
        }
        let from = source.to_str().unwrap();
        cvol.ok(&[
            "create",
            file_system,
            "--size",
            "300M",
            "--fs",
            file_system,
            "--from",
            from,
        ]);
        let out = cvol.work().join(format!("out-{file_system}"));
        cvol.ok(&["cp", &format!("{file_system}:/"), out.to_str().unwrap()]);
        assert_eq!(differences(&source, &out), [""; 0], "{file_system}");
        let text = cvol.ok(&["cat", &format!("{file_system}:/hello.txt")]);
        assert_eq!(text, "hello, volume\n");
    }
}

#[test]
fn a_volume_of_64_tebibytes_takes_little_room_and_is_sound() {
    use std::os::unix::fs::MetadataExt as _;
    if !tools::needs(&TOOLS) {
        return;
    }
    // A sparse file of this length is no matter for a file system in memory.
    let memory = Path::new("/dev/shm");
    let cvol = if memory.is_dir() {
        Cvol::under(memory)
    } else {
        Cvol::new()
    };
    let source = cvol.work().join("source");
    tree::small(&source);
    let from = source.to_str().unwrap();
    cvol.ok(&[
        "create", "huge", "--size", "64T", "--layout", "disk", "--from", from,
    ]);
    let image = cvol.image("huge");
    let taken = image.metadata().unwrap().blocks() * 512;
    assert!(taken < 64 << 20, "{taken} bytes");
    let text = cvol.ok(&["fsck", "huge"]);
    assert!(text.ends_with(": clean\n"), "{text}");
    let out = cvol.work().join("out");
    cvol.ok(&["cp", "huge:/.", out.to_str().unwrap()]);
    assert_eq!(differences(&source, &out), [""; 0]);
    let raw = cvol.work().join("huge.raw");
    if !memory.is_dir() {
        return;
    }
    cvol.ok(&["convert", "huge", raw.to_str().unwrap(), "-O", "raw"]);
    tools::run("ntfsfix", &[&"-n", &raw]);
    let info = tools::run("ntfsinfo", &[&"-m", &raw]);
    assert!(info.contains("Cluster Size: 16384"), "{info}");
    let mount = Mount::with(&raw, "ro");
    assert_eq!(differences(&source, mount.path()), [""; 0]);
}

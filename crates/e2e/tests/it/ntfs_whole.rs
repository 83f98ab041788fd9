//! Hard links, streams, access control and reparse points of NTFS volumes, judged by ntfs-3g and the
//! validators.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use blockio::{ByteCount, MIB, MemoryDisk, SectorSize};
use mkfs::ntfs::{DosNames, NtfsOptions, format};
use mkfs::tree::memory::MemoryTree;
use mkfs::{Attributes, CasePolicy, NodeId, NodeName, NtTime, SecurityDescriptor, Times};

use crate::command::Cvol;
use crate::ntfs::{Mount, TOOLS, partition, validate};
use crate::tools;

/// A volume in a file of its own.
pub(crate) struct Volume {
    _folder: tempfile::TempDir,
    pub(crate) partition: PathBuf,
}

impl Volume {
    pub(crate) fn new(size: u64, options: &NtfsOptions, tree: &MemoryTree) -> Self {
        let disk = MemoryDisk::new(ByteCount(size), SectorSize::B512).unwrap();
        let go_on = |_, _| ControlFlow::Continue(());
        format(&disk, options, Some(&mut tree.source()), &go_on).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let partition = folder.path().join("partition");
        std::fs::write(&partition, disk.to_bytes()).unwrap();
        Self {
            _folder: folder,
            partition,
        }
    }
}

pub(crate) fn name(text: &str) -> NodeName {
    NodeName::from_text(text).unwrap()
}

/// A descriptor in which an account of this number may do everything.
fn descriptor(number: u32) -> SecurityDescriptor {
    let mut bytes = vec![1, 0, 4, 0x80];
    for offset in [48_u32, 64, 0, 20] {
        bytes.extend_from_slice(&offset.to_le_bytes());
    }
    bytes.extend_from_slice(&[2, 0, 28, 0, 1, 0, 0, 0, 0, 0, 20, 0, 0xFF, 1, 0x1F, 0]);
    bytes.extend_from_slice(&[1, 1, 0, 0, 0, 0, 0, 5]);
    bytes.extend_from_slice(&number.to_le_bytes());
    for _ in 0..2 {
        bytes.extend_from_slice(&[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0]);
    }
    SecurityDescriptor::from_bytes(&bytes).unwrap()
}

/// The value of an extended attribute.
pub(crate) fn xattr(path: &Path, name: &str) -> Vec<u8> {
    let output = Command::new("getfattr")
        .args(["-h", "--only-values", "--absolute-names", "-n", name])
        .arg(path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}: {name}: {}",
        path.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

pub(crate) fn tools_are_here() -> bool {
    tools::needs(&TOOLS) && tools::needs(&["getfattr"])
}

#[test]
fn hard_links_are_one_file_with_each_of_its_names() {
    use std::os::unix::fs::MetadataExt as _;
    if !tools_are_here() {
        return;
    }
    let mut tree = MemoryTree::new();
    let folder = tree.add_directory(NodeId::ROOT, name("folder"));
    let small = tree.add_file(NodeId::ROOT, name("small"), b"small");
    let large = tree.add_file(folder, name("large"), &vec![7; 300_000]);
    tree.add_stream(name("stream"), &[1; 3000]);
    let link = tree.add_symlink(NodeId::ROOT, name("link"), "small", false);
    let twice = tree.add_file(NodeId::ROOT, name("twice"), &[2; 700]);
    for number in 0..300 {
        tree.add_hard_link(folder, name(&format!("a longer name {number}")), small);
        tree.add_hard_link(NodeId::ROOT, name(&format!("l{number}")), large);
    }
    tree.add_hard_link(folder, name("link again"), link);
    tree.add_hard_link(folder, name(&"t".repeat(255)), twice);
    let volume = Volume::new(32 * MIB, &NtfsOptions::default(), &tree);
    validate(&volume.partition);
    let mount = Mount::with(&volume.partition, "rw,streams_interface=xattr");
    let at = |path: &str| mount.path().join(path);
    let inode = |path: &str| at(path).symlink_metadata().unwrap().ino();
    assert_eq!(at("small").metadata().unwrap().nlink(), 301);
    for number in 0..300 {
        assert_eq!(
            inode(&format!("folder/a longer name {number}")),
            inode("small")
        );
        assert_eq!(inode(&format!("l{number}")), inode("folder/large"));
    }
    assert_eq!(std::fs::read(at("l299")).unwrap(), vec![7; 300_000]);
    assert_eq!(xattr(&at("l299"), "user.stream"), [1; 3000]);
    assert_eq!(inode("folder/link again"), inode("link"));
    assert_eq!(
        inode(&format!("folder/{}", "t".repeat(255))),
        inode("twice")
    );
    // Written by another implementation, the volume stays whole.
    for number in 0..300 {
        std::fs::remove_file(at(&format!("l{number}"))).unwrap();
    }
    std::fs::remove_file(at("small")).unwrap();
    std::fs::hard_link(at("twice"), at("thrice")).unwrap();
    assert_eq!(std::fs::read(at("folder/large")).unwrap(), vec![7; 300_000]);
    drop(mount);
    validate(&volume.partition);
}

#[test]
fn named_streams_come_back_from_files_and_directories() {
    if !tools_are_here() {
        return;
    }
    let mebibyte: Vec<u8> = (0..1_048_576_u32).map(|at| at.to_le_bytes()[1]).collect();
    let mut tree = MemoryTree::new();
    tree.add_stream(name("root"), b"of the root");
    tree.add_file(NodeId::ROOT, name("forty"), &[5; 600]);
    for number in 0..40_u8 {
        let data = match number {
            7 => mebibyte.clone(),
            _ => vec![number; usize::from(number) * 40],
        };
        tree.add_stream(name(&format!("stream {number}")), &data);
    }
    let folder = tree.add_directory(NodeId::ROOT, name(&"f".repeat(255)));
    tree.add_stream(name("large"), &[9; 5000]);
    for number in 0..20 {
        tree.add_stream(name(&format!("s{number}")), b"small");
    }
    for number in 0..2000 {
        tree.add_file(folder, name(&format!("{number}")), b"");
    }
    let volume = Volume::new(32 * MIB, &NtfsOptions::default(), &tree);
    validate(&volume.partition);
    let mount = Mount::with(&volume.partition, "rw,streams_interface=windows");
    let stream = mount.path().join("forty:stream 7");
    assert!(std::fs::read(stream).unwrap() == mebibyte);
    drop(mount);
    let mount = Mount::with(&volume.partition, "rw,streams_interface=xattr");
    let at = |path: &str| mount.path().join(path);
    for number in 0..40_u8 {
        if number != 7 {
            let value = xattr(&at("forty"), &format!("user.stream {number}"));
            assert_eq!(value, vec![number; usize::from(number) * 40]);
        }
    }
    let folder = "f".repeat(255);
    assert_eq!(xattr(&at(&folder), "user.large"), [9; 5000]);
    assert_eq!(xattr(&at(&folder), "user.s19"), b"small");
    assert_eq!(xattr(mount.path(), "user.root"), b"of the root");
    assert_eq!(at(&folder).read_dir().unwrap().count(), 2000);
    // Written by another implementation, the volume stays whole.
    for number in 0..300 {
        std::fs::write(at(&folder).join(format!("written {number}")), "x").unwrap();
    }
    std::fs::remove_file(at("forty")).unwrap();
    drop(mount);
    validate(&volume.partition);
}

#[test]
fn descriptors_attributes_and_times_are_those_of_the_tree() {
    if !tools_are_here() {
        return;
    }
    let mut tree = MemoryTree::new();
    tree.set_root_security(descriptor(5));
    let mut moments = Vec::new();
    for number in 0..1500_u32 {
        tree.use_security(Some(descriptor(1000 + number)));
        let time = |step: u64| NtTime::from_ticks(u64::from(number) * 1_234_567_890_123 + step);
        let times = Times {
            created: time(1),
            modified: time(2),
            changed: time(3),
            accessed: time(4),
        };
        moments.push(times);
        tree.use_times(times);
        tree.use_attributes(Attributes::from_bits(number & 0x27 | 0x80));
        if number % 10 == 0 {
            tree.add_directory(NodeId::ROOT, name(&format!("{number}")));
        } else {
            tree.add_file(NodeId::ROOT, name(&format!("{number}")), b"");
        }
    }
    let volume = Volume::new(64 * MIB, &NtfsOptions::default(), &tree);
    validate(&volume.partition);
    let mount = Mount::with(&volume.partition, "ro,streams_interface=xattr");
    assert_eq!(
        xattr(mount.path(), "system.ntfs_acl"),
        descriptor(5).as_bytes()
    );
    for number in (0..1500_u32).step_by(37) {
        let path = mount.path().join(format!("{number}"));
        assert_eq!(
            xattr(&path, "system.ntfs_acl"),
            descriptor(1000 + number).as_bytes(),
            "{number}"
        );
        let attributes = xattr(&path, "system.ntfs_attrib");
        let attributes = u32::from_le_bytes(attributes[..4].try_into().unwrap());
        let directory = if number % 10 == 0 { 0x10 } else { 0 };
        assert_eq!(attributes & 0x37, number & 0x27 | directory, "{number}");
        let times = moments[usize::try_from(number).unwrap()];
        let expected: Vec<u8> = [times.created, times.modified, times.accessed, times.changed]
            .iter()
            .flat_map(|time| time.ticks().to_le_bytes())
            .collect();
        assert_eq!(xattr(&path, "system.ntfs_times"), expected, "{number}");
    }
}

#[test]
fn reparse_points_are_read_back_as_they_were_given() {
    if !tools_are_here() {
        return;
    }
    let mut guid = 0x0000_0ABC_u32.to_le_bytes().to_vec();
    guid.extend_from_slice(&[4, 0, 0, 0]);
    guid.extend_from_slice(&[0x11; 16]);
    guid.extend_from_slice(b"data");
    let mut long = 0x8000_0123_u32.to_le_bytes().to_vec();
    long.extend_from_slice(&[0, 0x30, 0, 0]);
    long.resize(8 + 0x3000, 3);
    let mut tree = MemoryTree::new();
    tree.add_directory(NodeId::ROOT, name("target"));
    let points = [
        ("guid", guid, false),
        ("long", long.clone(), false),
        ("long folder", long, true),
        ("junction", junction(r"C:\target"), true),
    ];
    for (path, data, directory) in &points {
        tree.add_reparse_point(NodeId::ROOT, name(path), data.clone(), *directory);
    }
    let volume = Volume::new(32 * MIB, &NtfsOptions::default(), &tree);
    validate(&volume.partition);
    let mount = Mount::with(&volume.partition, "rw,streams_interface=xattr");
    for (path, data, _) in &points {
        let value = xattr(&mount.path().join(path), "system.ntfs_reparse_data");
        assert_eq!(value, *data, "{path}");
    }
    drop(mount);
    validate(&volume.partition);
}

/// The data of a junction, as `mklink /j` stores it.
fn junction(target: &str) -> Vec<u8> {
    let units =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let (substitute, print) = (units(&format!(r"\??\{target}")), units(target));
    let (first, second) = (
        u16::try_from(substitute.len()).unwrap(),
        u16::try_from(print.len()).unwrap(),
    );
    let mut data = 0xA000_0003_u32.to_le_bytes().to_vec();
    for value in [first + second + 12, 0, 0, first, first + 2, second] {
        data.extend_from_slice(&value.to_le_bytes());
    }
    data.extend_from_slice(&substitute);
    data.extend_from_slice(&[0; 2]);
    data.extend_from_slice(&print);
    data.extend_from_slice(&[0; 2]);
    data
}

#[test]
fn made_up_names_of_eight_and_three_are_found_by_ntfs_3g() {
    if !tools_are_here() {
        return;
    }
    let mut tree = MemoryTree::new();
    let folder = tree.add_directory(NodeId::ROOT, name("a long folder name"));
    for number in 0..3000 {
        let text = format!("some file of many {number}.document");
        tree.add_file(folder, name(&text), text.as_bytes());
    }
    tree.add_file(folder, name("SOMEFI~2.DOC"), b"real");
    let first = tree.add_file(folder, name("ünïcödé"), b"x");
    tree.add_hard_link(NodeId::ROOT, name("one more name"), first);
    tree.add_symlink(
        NodeId::ROOT,
        name("a symbolic link"),
        "one more name",
        false,
    );
    let options = NtfsOptions {
        dos_names: DosNames::Generated,
        ..NtfsOptions::default()
    };
    let volume = Volume::new(32 * MIB, &options, &tree);
    validate(&volume.partition);
    let mount = Mount::with(&volume.partition, "rw,streams_interface=xattr");
    let at = |path: &str| mount.path().join(path);
    let dos_name =
        |path: &str| String::from_utf8(xattr(&at(path), "system.ntfs_dos_name")).unwrap();
    assert_eq!(dos_name("a long folder name"), "ALONGF~1");
    let file = |number: u32| format!("a long folder name/some file of many {number}.document");
    assert_eq!(dos_name(&file(0)), "SOMEFI~1.DOC");
    assert_ne!(dos_name(&file(1)), "SOMEFI~2.DOC");
    assert_eq!(dos_name(&file(2)), "SOMEFI~3.DOC");
    let mut made: Vec<String> = (0..3000).map(|number| dos_name(&file(number))).collect();
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), 3000);
    assert_eq!(
        std::fs::read(at("a long folder name/SOMEFI~2.DOC")).unwrap(),
        b"real"
    );
    for number in 0..3000 {
        std::fs::remove_file(at(&file(number))).unwrap();
    }
    drop(mount);
    validate(&volume.partition);
}

#[test]
fn names_that_differ_in_case_stand_beside_each_other() {
    if !tools_are_here() {
        return;
    }
    let mut tree = MemoryTree::new();
    let folder = tree.add_directory(NodeId::ROOT, name("folder"));
    for text in ["a", "A", "b", "Readme", "README", "readme"] {
        tree.add_file(folder, name(text), text.as_bytes());
    }
    let options = NtfsOptions {
        case_policy: CasePolicy::KeepBoth,
        ..NtfsOptions::default()
    };
    let volume = Volume::new(8 * MIB, &options, &tree);
    validate(&volume.partition);
    let mount = Mount::with(&volume.partition, "ro");
    for text in ["a", "A", "b", "Readme", "README", "readme"] {
        let path = mount.path().join("folder").join(text);
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    }
}

#[test]
fn a_directory_of_the_host_keeps_its_hard_links_and_user_attributes() {
    use std::os::unix::fs::MetadataExt as _;
    if !tools_are_here() || !tools::needs(&["setfattr"]) {
        return;
    }
    let cvol = Cvol::new();
    let source = cvol.work().join("source");
    std::fs::create_dir_all(source.join("folder")).unwrap();
    std::fs::write(source.join("first"), "x".repeat(5000)).unwrap();
    for number in 0..299 {
        let name = source.join(format!("folder/link {number}"));
        std::fs::hard_link(source.join("first"), name).unwrap();
    }
    tools::run(
        "setfattr",
        &[&"-n", &"user.zone", &"-v", &"3", &source.join("first")],
    );
    tools::run(
        "setfattr",
        &[&"-n", &"user.folder", &"-v", &"f", &source.join("folder")],
    );
    let from = source.to_str().unwrap();
    let shown = cvol.ok(&[
        "--json",
        "create",
        "links",
        "--size",
        "1G",
        "--from",
        from,
        "--xattr-streams",
    ]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["hard_links"], &shown["streams"]),
        (&299.into(), &2.into())
    );
    let partition = partition(&cvol, "links");
    validate(&partition);
    let mount = Mount::with(&partition, "ro,streams_interface=xattr");
    let first = mount.path().join("first");
    assert_eq!(first.metadata().unwrap().nlink(), 300);
    let other = mount.path().join("folder/link 298");
    assert_eq!(
        other.metadata().unwrap().ino(),
        first.metadata().unwrap().ino()
    );
    assert_eq!(xattr(&other, "user.zone"), b"3");
    assert_eq!(xattr(&mount.path().join("folder"), "user.folder"), b"f");
}

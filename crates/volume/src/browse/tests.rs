//! Looking into volumes that our own builders made, whole and mutated, and copying out of them.

use std::fs;
use std::ops::ControlFlow;

use super::*;
use crate::error::VolumeErrorKind;
use blockio::{ByteCount, ByteOffset, FileDisk, MIB, MemoryDisk, MemoryStorage, SectorSize};
use mkfs::tree::memory::MemoryTree;
use mkfs::{CasePolicy, NamePolicy, NodeId, NodeName, Times};

const MODIFIED: i64 = 1_600_000_000;

fn go_on(_: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|n| u8::try_from(n * 13 % 251).unwrap())
        .collect()
}

/// docs/a.txt, docs/big, docs/deep/x, docs/sparse, link -> docs/a.txt, odd:name.
fn sample(with_links: bool) -> MemoryTree {
    let name = |text: &str| NodeName::from_text(text).unwrap();
    let mut tree = MemoryTree::new();
    tree.use_times(Times::all(NtTime::from_unix(MODIFIED, 0)));
    let docs = tree.add_directory(NodeId::ROOT, name("Docs"));
    tree.add_file(docs, name("a.txt"), b"hello");
    tree.add_file(docs, name("big"), &pattern(300_000));
    tree.add_file(docs, name("empty"), b"");
    let deep = tree.add_directory(docs, name("deep"));
    tree.add_file(deep, name("x"), b"deep down");
    tree.add_sparse_file(
        docs,
        name("sparse"),
        ByteCount(4 * MIB),
        &[(ByteOffset(MIB), &pattern(100_000))],
    );
    tree.add_file(NodeId::ROOT, name("odd:name"), b"odd");
    for n in 0..300 {
        tree.add_file(deep, name(&format!("many {n:03}")), b"");
    }
    if with_links {
        tree.add_symlink(NodeId::ROOT, name("link"), "Docs/a.txt", false);
        tree.add_symlink(NodeId::ROOT, name("away"), "/etc/passwd", false);
    }
    tree
}

fn fat_bytes() -> Vec<u8> {
    let disk = MemoryDisk::new(ByteCount(40 * MIB), SectorSize::B512).unwrap();
    let options = mkfs::fat32::Fat32Options {
        label: "TEST".into(),
        volume_id: 7,
        time: NtTime::UNIX_EPOCH,
        name_policy: NamePolicy::Map,
        case_policy: CasePolicy::Rename,
        cluster_size: None,
        hidden_sectors: 0,
    };
    mkfs::fat32::format(&disk, &options, Some(&mut sample(false).source()), &go_on).unwrap();
    disk.to_bytes()
}

fn ntfs_bytes() -> Vec<u8> {
    let disk = MemoryDisk::new(ByteCount(24 * MIB), SectorSize::B512).unwrap();
    let options = mkfs::ntfs::NtfsOptions {
        cluster_size: None,
        label: "TEST".into(),
        serial: 7,
        time: NtTime::UNIX_EPOCH,
        name_policy: NamePolicy::Map,
        case_policy: CasePolicy::Rename,
        dos_names: mkfs::ntfs::DosNames::Absent,
        hidden_sectors: 0,
    };
    mkfs::ntfs::format(&disk, &options, Some(&mut sample(true).source()), &go_on).unwrap();
    disk.to_bytes()
}

fn open_bytes(bytes: Vec<u8>) -> Result<Box<dyn FileSystemView>> {
    let storage = Box::new(MemoryStorage::from_bytes(bytes));
    open(Arc::new(FileDisk::new(storage, SectorSize::B512).unwrap()))
}

fn content(view: &mut dyn FileSystemView, path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let size = view.read_file(path, &mut bytes).unwrap();
    assert_eq!(u64::try_from(bytes.len()).unwrap(), size);
    bytes
}

/// What holds for both file systems.
fn check_view(view: &mut dyn FileSystemView) {
    let names: Vec<String> = view
        .list("/")
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .filter(|name| name != "link" && name != "away")
        .collect();
    assert_eq!(names, ["Docs", "odd\u{F03A}name"]);
    let names: Vec<String> = view
        .list("\\docs\\")
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert_eq!(names, ["a.txt", "big", "deep", "empty", "sparse"]);
    assert_eq!(content(view, "/DOCS/A.TXT"), b"hello");
    assert_eq!(content(view, "docs/big"), pattern(300_000));
    assert_eq!(content(view, "docs/empty"), b"");
    assert_eq!(content(view, "docs\\deep/x"), b"deep down");
    let mut sparse = vec![0; 4 << 20];
    sparse[1 << 20..(1 << 20) + 100_000].copy_from_slice(&pattern(100_000));
    assert!(content(view, "docs/sparse") == sparse);
    assert_eq!(view.list("docs/deep").unwrap().len(), 301);

    let entry = view.stat("/docs/BIG").unwrap();
    assert_eq!(
        (entry.name.as_str(), entry.kind, entry.size),
        ("big", EntryKind::File, 300_000)
    );
    assert_eq!(entry.modified, NtTime::from_unix(MODIFIED, 0));
    assert_eq!(view.stat("/").unwrap().kind, EntryKind::Directory);

    let kind = |result: Result<Entry>| result.unwrap_err().kind();
    assert_eq!(kind(view.stat("/nowhere")), VolumeErrorKind::NotFound);
    assert_eq!(
        kind(view.stat("/docs/a.txt/x")),
        VolumeErrorKind::InvalidArgument
    );
    assert_eq!(
        kind(view.stat("/docs/../x")),
        VolumeErrorKind::InvalidArgument
    );
    let error = view.list("/docs/a.txt").unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::InvalidArgument);
    let error = view.read_file("/docs", &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::InvalidArgument);
    let error = view.read_link("/docs/a.txt").unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::InvalidArgument);

    let mut walked = Vec::new();
    view.walk("/", &mut |depth, place, _| {
        walked.push((depth, place.path().to_owned()));
        Ok(())
    })
    .unwrap();
    assert!(walked.contains(&(2, "/Docs/deep/x".into())));
    assert!(walked.len() >= 308);
}

#[test]
fn a_fat32_volume_can_be_looked_into() {
    let mut view = open_bytes(fat_bytes()).unwrap();
    assert_eq!(view.file_system(), FileSystem::Fat32);
    check_view(&mut *view);
}

#[test]
fn an_ntfs_volume_can_be_looked_into() {
    let mut view = open_bytes(ntfs_bytes()).unwrap();
    assert_eq!(view.file_system(), FileSystem::Ntfs);
    check_view(&mut *view);
    assert_eq!(view.read_link("/LINK").unwrap(), "Docs/a.txt");
    let link = view.stat("/link").unwrap();
    assert_eq!(link.kind, EntryKind::Symlink);
    assert_eq!(link.link_target.as_deref(), Some("Docs/a.txt"));
}

#[test]
fn a_partition_is_found_and_a_disk_without_file_system_named() {
    let disk = MemoryDisk::new(ByteCount(48 * MIB), SectorSize::B512).unwrap();
    let spec = mkfs::gpt::PartitionSpec {
        name: "p".into(),
        guid: uuid::Uuid::from_u128(1),
        partition_type: mkfs::gpt::BASIC_DATA,
    };
    let range = mkfs::gpt::write(&disk, uuid::Uuid::from_u128(2), &spec).unwrap();
    let disk = Arc::new(disk);
    let error = open(disk.clone()).err().unwrap();
    assert_eq!(error.kind(), VolumeErrorKind::Unsupported);
    disk.write_at(&fat_bytes(), range.start()).unwrap();
    assert_eq!(open(disk).unwrap().file_system(), FileSystem::Fat32);
}

fn check_copy(view: &mut dyn FileSystemView, with_links: bool) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let options = CopyOptions::default();
    let report = copy_out(view, "/", &out, options, &go_on).unwrap();
    assert_eq!(report.files, 306);
    assert_eq!(fs::read(out.join("Docs/big")).unwrap(), pattern(300_000));
    assert_eq!(fs::read(out.join("Docs/deep/x")).unwrap(), b"deep down");
    let sparse = fs::read(out.join("Docs/sparse")).unwrap();
    assert_eq!(sparse.len(), 4 << 20);
    assert_eq!(sparse[1 << 20..(1 << 20) + 100_000], pattern(100_000));
    for path in ["Docs/a.txt", "Docs/deep", "Docs"] {
        let modified = fs::metadata(out.join(path)).unwrap().modified().unwrap();
        assert_eq!(
            NtTime::from(modified),
            NtTime::from_unix(MODIFIED, 0),
            "{path}"
        );
    }
    let odd = if cfg!(unix) {
        "odd:name"
    } else {
        "odd\u{F03A}name"
    };
    assert_eq!(fs::read(out.join(odd)).unwrap(), b"odd");
    #[cfg(unix)]
    if with_links {
        let target = fs::read_link(out.join("link")).unwrap();
        assert_eq!(target, std::path::Path::new("Docs/a.txt"));
        assert!(!out.join("away").exists());
        assert_eq!(report.left_out, ["/away"]);
    }
    assert_eq!(report.symlinks, u64::from(with_links));

    // A file into a directory, under a new name, and over a file.
    copy_out(view, "docs/a.txt", folder.path(), options, &go_on).unwrap();
    assert_eq!(fs::read(folder.path().join("a.txt")).unwrap(), b"hello");
    let new_name = folder.path().join("new");
    copy_out(view, "docs/a.txt", &new_name, options, &go_on).unwrap();
    copy_out(view, "docs/deep/x", &new_name, options, &go_on).unwrap();
    assert_eq!(fs::read(&new_name).unwrap(), b"deep down");
    // A directory into a directory, its content alone, and over a file.
    copy_out(view, "docs/deep", folder.path(), options, &go_on).unwrap();
    assert!(folder.path().join("deep/x").exists());
    let content = copy_out(view, "docs/deep/.", folder.path(), options, &go_on).unwrap();
    assert_eq!(content.files, 301);
    assert!(folder.path().join("x").exists());
    let error = copy_out(view, "docs", &new_name, options, &go_on).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::AlreadyExists);
    let stop = |_, _| ControlFlow::Break(());
    let error = copy_out(view, "docs/big", folder.path(), options, &stop).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::Interrupted);
}

#[test]
fn trees_are_copied_out_of_fat32() {
    check_copy(&mut *open_bytes(fat_bytes()).unwrap(), false);
}

#[cfg(unix)]
#[test]
fn trees_are_copied_out_of_ntfs() {
    check_copy(&mut *open_bytes(ntfs_bytes()).unwrap(), true);
}

/// A volume whose root holds entries of any names.
struct Hostile(Vec<Entry>);

impl Hostile {
    fn of(entries: &[(&str, EntryKind)]) -> Self {
        let entries = entries.iter().map(|(name, kind)| Entry {
            name: (*name).into(),
            kind: *kind,
            ..root_entry(None)
        });
        Self(entries.collect())
    }
}

impl FileSystemView for Hostile {
    fn file_system(&self) -> FileSystem {
        FileSystem::Ntfs
    }
    fn max_entries(&self) -> u64 {
        10_000
    }
    fn stat_at(&mut self, _: &Place) -> Result<Entry> {
        Ok(root_entry(None))
    }
    fn list_at(&mut self, _: &Place) -> Result<Vec<Entry>> {
        Ok(self.0.clone())
    }
    fn read_at(&mut self, _: &Place, sink: &mut dyn ContentSink) -> Result<u64> {
        sink.data(b"evil").unwrap();
        Ok(4)
    }
    fn read_link_at(&mut self, _: &Place) -> Result<String> {
        Ok("../outside".into())
    }
}

fn copy_hostile(entries: &[(&str, EntryKind)]) -> (tempfile::TempDir, Result<CopyReport>) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("outside")).unwrap();
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    let mut view = Hostile::of(entries);
    let result = copy_out(&mut view, "/", &target, CopyOptions::default(), &go_on);
    (folder, result)
}

#[test]
fn names_that_climb_are_refused() {
    for name in [
        "..",
        ".",
        "",
        "a/b",
        "/etc",
        "..\u{F02E}/x",
        "a\0b",
        "\u{F02E}\u{F02E}/",
    ] {
        let (_folder, result) = copy_hostile(&[(name, EntryKind::File)]);
        let error = result.unwrap_err();
        assert!(
            matches!(error, BrowseError::UnsafeName { .. }),
            "{name:?}: {error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_mapped_name_that_would_climb_when_restored_stays_mapped() {
    let (folder, result) = copy_hostile(&[("\u{F02E}\u{F02E}", EntryKind::File)]);
    result.unwrap();
    assert!(folder.path().join("target/\u{F02E}\u{F02E}").is_file());
}

#[cfg(unix)]
#[test]
fn links_just_made_are_never_followed() {
    // The link is made after the files of its directory; a directory of its name cannot be either.
    let (folder, result) = copy_hostile(&[("l", EntryKind::Symlink), ("l", EntryKind::File)]);
    assert!(result.is_err());
    assert_eq!(
        fs::read_dir(folder.path().join("outside")).unwrap().count(),
        0
    );

    // A link that was there before: neither written through nor entered.
    for kind in [EntryKind::File, EntryKind::Directory] {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("f"), "kept").unwrap();
        let target = folder.path().join("target");
        fs::create_dir(&target).unwrap();
        let to = if kind == EntryKind::File {
            "../outside/f"
        } else {
            "../outside"
        };
        std::os::unix::fs::symlink(to, target.join("x")).unwrap();
        let mut view = Hostile::of(&[("x", kind)]);
        let result = copy_out(&mut view, "/", &target, CopyOptions::default(), &go_on);
        assert!(result.is_err());
        assert_eq!(fs::read(outside.join("f")).unwrap(), b"kept");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    }
}

#[test]
fn directories_that_hold_each_other_end() {
    let (_folder, result) = copy_hostile(&[("again", EntryKind::Directory)]);
    let error = result.unwrap_err();
    // Wine's GetFinalPathNameByHandleW fails with ERROR_MORE_DATA beyond 260 characters, whatever
    // the buffer, and opening beneath a handle needs that path on Windows.
    let is_of_wine = cfg!(windows) && format!("{error:?}").contains("code: 234,");
    assert!(
        is_of_wine || error.kind() == VolumeErrorKind::Damaged,
        "{error:?}"
    );
    let view: &mut dyn FileSystemView =
        &mut Hostile::of(&[("a", EntryKind::Directory), ("b", EntryKind::Directory)]);
    let error = view.walk("/", &mut |_, _, _| Ok(())).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::Damaged);
}

/// Looks at everything; only that it ends without a panic is asked for.
fn look_at_everything(bytes: Vec<u8>) -> bool {
    let Ok(mut view) = open_bytes(bytes) else {
        return false;
    };
    let mut files = Vec::new();
    let walked = view.walk("/", &mut |_, place, entry| {
        files.push((place.clone(), entry.size));
        Ok(())
    });
    for (place, size) in files.iter().take(20) {
        if *size < 1 << 30 {
            drop(view.read_at(place, &mut PlainSink(&mut io::sink())));
            drop(view.read_link_at(place));
        }
    }
    walked.is_ok()
}

fn check_mutations(bytes: &[u8], hot: &[std::ops::Range<usize>], rounds: usize) {
    let mut state = 0x1234_5678_9ABC_DEF1_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 11).unwrap() % bound
    };
    let mut survivors = 0;
    for _ in 0..rounds {
        let mut bytes = bytes.to_vec();
        for _ in 0..=next(4) {
            let range = &hot[next(hot.len())];
            let place = range.start + next(range.len());
            let values = [0, 1, 0x7F, 0x80, 0xFF];
            bytes[place] = values[next(values.len())];
        }
        survivors += usize::from(look_at_everything(bytes));
    }
    // Some mutations must leave the volume readable, or nothing was looked at.
    assert!(survivors > 0);
}

#[test]
fn mutated_fat_volumes_end_in_answers() {
    let bytes = fat_bytes();
    let data = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
    let table = usize::try_from(u32::from_le_bytes(bytes[36..40].try_into().unwrap())).unwrap();
    let root = data + 2 * table * 512;
    check_mutations(&bytes, &[0..90, data..data + 64, root..root + 512], 30);
}

#[test]
fn mutated_ntfs_volumes_end_in_answers() {
    let bytes = ntfs_bytes();
    let cluster = usize::from(bytes[13]) * 512;
    let mft = usize::try_from(u64::from_le_bytes(bytes[48..56].try_into().unwrap())).unwrap();
    let mft = mft * cluster;
    let hot = [
        0..90,
        mft..mft + 1024,
        mft + 5 * 1024..mft + 6 * 1024,
        mft + 16 * 1024..mft + 40 * 1024,
    ];
    check_mutations(&bytes, &hot, 30);
}

/// Where the `$DATA` attribute of "big" begins: both sizes of its header are known.
fn data_attribute_of_big(bytes: &[u8]) -> usize {
    let sizes = [300_000_u64.to_le_bytes(), 300_000_u64.to_le_bytes()].concat();
    let found: Vec<usize> = (48..bytes.len() - 16)
        .step_by(8)
        .filter(|at| bytes[*at..*at + 16] == sizes)
        .collect();
    let [at] = found[..] else {
        panic!("{found:?}");
    };
    at - 48
}

#[test]
fn what_lies_behind_the_valid_data_reads_as_zeros() {
    // A file that was made longer and not written to its end showed what its clusters held before.
    for valid in [0, 1, 4096, 123_457, 299_999, 300_000] {
        let mut bytes = ntfs_bytes();
        let at = data_attribute_of_big(&bytes) + 56;
        bytes[at..at + 8].copy_from_slice(&u64::try_from(valid).unwrap().to_le_bytes());
        let mut expected = pattern(300_000);
        expected[valid..].fill(0);
        let mut view = open_bytes(bytes).unwrap();
        assert!(content(&mut *view, "docs/big") == expected, "{valid}");
    }
}

#[test]
fn files_that_cannot_be_read_as_they_lie_are_refused() {
    for (flag, word) in [(0x0001_u16, "compressed"), (0x4000, "encrypted")] {
        let mut bytes = ntfs_bytes();
        let at = data_attribute_of_big(&bytes) + 12;
        bytes[at..at + 2].copy_from_slice(&flag.to_le_bytes());
        let mut view = open_bytes(bytes).unwrap();
        let error = view.read_file("docs/big", &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), VolumeErrorKind::Unsupported);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_link_is_not_read_as_an_empty_file() {
    // `cvol cat` of a link printed nothing and said that all was well.
    let mut view = open_bytes(ntfs_bytes()).unwrap();
    let error = view.read_file("link", &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), VolumeErrorKind::InvalidArgument);
    assert!(error.to_string().contains("a link"), "{error}");
}

#[test]
fn a_disk_with_a_master_boot_record_can_be_looked_into() {
    let volume = fat_bytes();
    let mut disk = vec![0; 128 * 512];
    let sectors = u32::try_from(volume.len() / 512).unwrap();
    disk[450] = 0x0C;
    disk[454..458].copy_from_slice(&128_u32.to_le_bytes());
    disk[458..462].copy_from_slice(&sectors.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    disk.extend(volume);
    check_view(&mut *open_bytes(disk).unwrap());
}

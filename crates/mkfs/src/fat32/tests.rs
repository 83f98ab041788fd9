//! FAT32 volumes, read back by the crate `fatfs`.

use std::io::Read;

use super::*;
use crate::error::MkfsErrorKind;
use crate::names::{CasePolicy, NameProblem};
use crate::report::SkipReason;
use crate::tree::memory::MemoryTree;
use crate::tree::{Attributes, NodeId, NodeName, Times};
use blockio::{BlockStatus, ByteRange, DiskCursor, MIB, MemoryDisk, SectorSize};

type Volume = fatfs::FileSystem<DiskCursor<MemoryDisk>>;

fn options() -> Fat32Options {
    Fat32Options {
        label: "cvol test".into(),
        volume_id: 0x1234_ABCD,
        time: NtTime::from_unix(1_700_000_000, 0),
        name_policy: NamePolicy::Map,
        case_policy: CasePolicy::Rename,
        cluster_size: None,
        hidden_sectors: 2048,
    }
}

fn name(text: &str) -> NodeName {
    NodeName::from_text(text).unwrap()
}

fn go_on(_: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn build_on(
    disk: &dyn Disk,
    options: &Fat32Options,
    tree: &MemoryTree,
) -> Result<BuildReport, MkfsError> {
    format(disk, options, Some(&mut tree.source()), &go_on)
}

fn disk_of(size: u64) -> MemoryDisk {
    MemoryDisk::new(ByteCount(size), SectorSize::B512).unwrap()
}

fn built(tree: &MemoryTree) -> (Volume, BuildReport) {
    let disk = disk_of(40 * MIB);
    let report = build_on(&disk, &options(), tree).unwrap();
    let volume = fatfs::FileSystem::new(DiskCursor::new(disk), fatfs::FsOptions::new()).unwrap();
    (volume, report)
}

fn content(volume: &Volume, path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = volume.root_dir().open_file(path).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn listing(directory: &fatfs::Dir<'_, DiskCursor<MemoryDisk>>) -> Vec<String> {
    directory
        .iter()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "." && name != "..")
        .collect()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|n| u8::try_from(n * 7 % 251).unwrap())
        .collect()
}

#[test]
fn an_empty_volume_has_its_label_and_all_its_space() {
    let disk = disk_of(40 * MIB);
    let report = format(&disk, &options(), None, &go_on).unwrap();
    assert_eq!(report, BuildReport::default());
    let volume = fatfs::FileSystem::new(DiskCursor::new(disk), fatfs::FsOptions::new()).unwrap();
    assert_eq!(volume.fat_type(), fatfs::FatType::Fat32);
    assert_eq!(volume.volume_label(), "CVOL TEST");
    assert_eq!(volume.volume_id(), 0x1234_ABCD);
    assert_eq!(
        volume.read_volume_label_from_root_dir().unwrap().as_deref(),
        Some("CVOL TEST")
    );
    let stats = volume.stats().unwrap();
    assert_eq!(stats.free_clusters() + 1, stats.total_clusters());
    assert!(listing(&volume.root_dir()).is_empty());
}

#[test]
fn files_of_every_size_around_clusters_come_back() {
    let mut tree = MemoryTree::new();
    let sizes = [0, 1, 511, 512, 513, 4095, 4096, 4097, 65_537, 1_500_000];
    for size in sizes {
        tree.add_file(
            NodeId::ROOT,
            name(&format!("file of {size}")),
            &pattern(size),
        );
    }
    let (volume, report) = built(&tree);
    for size in sizes {
        assert_eq!(content(&volume, &format!("file of {size}")), pattern(size));
    }
    assert_eq!(report.files, 10);
    let total: usize = sizes.iter().sum();
    assert_eq!(report.bytes, ByteCount(u64::try_from(total).unwrap()));
}

#[test]
fn directories_nest_and_keep_names_of_every_kind() {
    let mut tree = MemoryTree::new();
    let mut parent = NodeId::ROOT;
    let mut path = String::new();
    for level in 0..60 {
        parent = tree.add_directory(parent, name(&format!("level {level}")));
        path.push_str(&format!("level {level}/"));
    }
    let names = [
        "UPPER.TXT".to_string(),
        "lower.txt".into(),
        "a name of several words.html".into(),
        "\u{4E2D}\u{6587}\u{1F600}".into(),
        "x".repeat(255),
        "exactly13char".into(),
        ".hidden".into(),
    ];
    for text in &names {
        tree.add_file(parent, name(text), text.as_bytes());
    }
    let (volume, report) = built(&tree);
    assert_eq!((report.directories, report.files), (60, 7));
    let deepest = volume.root_dir().open_dir(&path).unwrap();
    assert_eq!(listing(&deepest), names);
    for text in &names {
        assert_eq!(content(&volume, &format!("{path}{text}")), text.as_bytes());
    }
    // ".." leads up again, to the root as well.
    let up = format!("{path}{}", "../".repeat(60));
    assert_eq!(
        listing(&volume.root_dir().open_dir(&up).unwrap()),
        ["level 0"]
    );
}

#[test]
fn holes_read_as_zeros_and_are_not_written() {
    let mut tree = MemoryTree::new();
    tree.add_sparse_file(
        NodeId::ROOT,
        name("sparse"),
        ByteCount(20 * MIB),
        &[
            (ByteOffset(5 * MIB + 3), b"middle"),
            (ByteOffset(20 * MIB - 1), b"e"),
        ],
    );
    tree.add_sparse_file(NodeId::ROOT, name("hole"), ByteCount(1 << 20), &[]);
    let disk = CountingDisk::new(disk_of(64 * MIB));
    build_on(&disk, &options(), &tree).unwrap();
    let written = disk.written.load(std::sync::atomic::Ordering::Relaxed);
    assert!(written < MIB, "{written}");
    let volume =
        fatfs::FileSystem::new(DiskCursor::new(disk.inner), fatfs::FsOptions::new()).unwrap();
    let bytes = content(&volume, "sparse");
    let middle = 5 * 1024 * 1024 + 3;
    assert_eq!(bytes.len(), 20 << 20);
    assert_eq!(&bytes[middle..middle + 6], b"middle");
    assert_eq!(bytes.last(), Some(&b'e'));
    assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 7);
    assert!(content(&volume, "hole").iter().all(|byte| *byte == 0));
}

#[test]
fn times_and_attributes_are_kept() {
    let mut tree = MemoryTree::new();
    let time = |seconds| NtTime::from_unix(seconds, 550_000_000);
    tree.use_times(Times {
        created: time(1_600_000_001),
        modified: time(1_650_000_000),
        changed: time(0),
        accessed: time(1_700_000_000),
    });
    tree.use_attributes(Attributes::READ_ONLY.with(Attributes::HIDDEN));
    tree.add_file(NodeId::ROOT, name("f"), b"x");
    let (volume, _) = built(&tree);
    let entry = volume.root_dir().iter().next().unwrap().unwrap();
    // fatfs compares dates by value: 2020-09-13 12:26:41.55, 2022-04-15, 2023-11-14.
    let created = entry.created();
    assert_eq!(
        (created.date.year, created.date.month, created.date.day),
        (2020, 9, 13)
    );
    assert_eq!(
        (created.time.hour, created.time.min, created.time.sec),
        (12, 26, 41)
    );
    assert_eq!(created.time.millis, 550);
    assert_eq!(entry.modified().date.year, 2022);
    assert_eq!(entry.accessed().day, 14);
    let attributes = entry.attributes();
    assert!(attributes.contains(
        fatfs::FileAttributes::READ_ONLY
            | fatfs::FileAttributes::HIDDEN
            | fatfs::FileAttributes::ARCHIVE
    ));
}

#[test]
fn names_are_mapped_and_links_skipped_with_a_note() {
    let mut tree = MemoryTree::new();
    let dir = tree.add_directory(NodeId::ROOT, name("d:1"));
    tree.add_file(dir, name("Same"), b"1");
    tree.add_file(dir, name("same"), b"2");
    tree.add_symlink(dir, name("link"), "Same", false);
    let (volume, report) = built(&tree);
    assert_eq!(content(&volume, "d\u{F03A}1/same (2)"), b"2");
    let notes: Vec<(&str, NameProblem)> = report
        .name_notes
        .iter()
        .map(|note| (note.path.as_str(), note.reason))
        .collect();
    assert_eq!(
        notes,
        [
            ("d:1", NameProblem::ForbiddenCharacter),
            ("d:1/same", NameProblem::Collision)
        ]
    );
    assert_eq!(report.skipped[0].path, "d:1/link");
    assert_eq!((report.symlinks, report.skipped.len()), (0, 1));

    let strict = Fat32Options {
        name_policy: NamePolicy::Strict,
        ..options()
    };
    let error = build_on(&disk_of(40 * MIB), &strict, &tree).unwrap_err();
    assert_eq!(error.kind(), MkfsErrorKind::InvalidName);
    assert!(error.to_string().contains("d:1"));
}

#[test]
fn a_directory_of_twenty_thousand_entries_is_made_fast() {
    let mut tree = MemoryTree::new();
    let dir = tree.add_directory(NodeId::ROOT, name("many"));
    for n in 0..19_103 {
        tree.add_file(dir, name(&format!("entry number {n}.3")), b"");
    }
    let begin = std::time::Instant::now();
    let (volume, _) = built(&tree);
    assert!(begin.elapsed().as_secs() < 5);
    let many = volume.root_dir().open_dir("many").unwrap();
    assert_eq!(many.iter().count(), 19_103 + 2);
}

#[test]
fn too_many_entries_in_a_directory_name_it() {
    let mut tree = MemoryTree::new();
    let dir = tree.add_directory(NodeId::ROOT, name("full"));
    for n in 0..22_000 {
        tree.add_file(dir, name(&format!("a name of two pieces {n}")), b"");
    }
    let error = build_on(&disk_of(40 * MIB), &options(), &tree).unwrap_err();
    assert_eq!(error.kind(), MkfsErrorKind::TooLarge);
    assert!(error.to_string().starts_with("full: "), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let mut tree = MemoryTree::new();
    tree.add_file(NodeId::ROOT, name("big"), &pattern(41 << 20));
    let disk = disk_of(40 * MIB);
    let error = build_on(&disk, &options(), &tree).unwrap_err();
    assert_eq!(error.kind(), MkfsErrorKind::NoSpace);
    assert!(disk.to_bytes().iter().all(|byte| *byte == 0));

    let mut tree = MemoryTree::new();
    tree.add_sparse_file(NodeId::ROOT, name("hole"), ByteCount(41 << 20), &[]);
    let error = build_on(&disk, &options(), &tree).unwrap_err();
    assert_eq!(error.kind(), MkfsErrorKind::NoSpace);
}

#[test]
fn a_file_of_four_gib_is_refused_by_its_path() {
    let mut tree = MemoryTree::new();
    let dir = tree.add_directory(NodeId::ROOT, name("dir"));
    tree.add_sparse_file(dir, name("huge"), ByteCount(MAX_FILE_BYTES + 1), &[]);
    let error = build_on(&disk_of(40 * MIB), &options(), &tree).unwrap_err();
    assert_eq!(error.kind(), MkfsErrorKind::TooLarge);
    assert!(error.to_string().starts_with("dir/huge: "), "{error}");
}

#[test]
fn a_source_that_breaks_its_promises_is_refused() {
    let mut orphan = MemoryTree::new();
    orphan.add_file(NodeId(7), name("f"), b"");
    let mut child_of_file = MemoryTree::new();
    let file = child_of_file.add_file(NodeId::ROOT, name("f"), b"");
    child_of_file.add_file(file, name("g"), b"");
    let mut crossed = MemoryTree::new();
    crossed.add_sparse_file(
        NodeId::ROOT,
        name("f"),
        ByteCount(10),
        &[(ByteOffset(8), b"abc")],
    );
    for tree in [orphan, child_of_file, crossed] {
        let error = build_on(&disk_of(40 * MIB), &options(), &tree).unwrap_err();
        assert_eq!(error.kind(), MkfsErrorKind::Source);
    }
}

#[test]
fn a_file_that_ends_early_is_named() {
    struct Short(bool);
    impl TreeSource for Short {
        fn next_entry(&mut self) -> Result<Option<crate::tree::TreeEntry>, crate::tree::TreeError> {
            if std::mem::replace(&mut self.0, true) {
                return Ok(None);
            }
            let reader = Box::new(std::io::Cursor::new(b"ten bytes.".to_vec()));
            Ok(Some(crate::tree::TreeEntry {
                parent: NodeId::ROOT,
                id: NodeId(1),
                name: name("cut"),
                times: Times::default(),
                attributes: Attributes::NONE,
                security: None,
                kind: crate::tree::EntryKind::File(crate::tree::FileContent::dense(
                    ByteCount(11),
                    reader,
                )),
            }))
        }
    }
    let error = format(
        &disk_of(40 * MIB),
        &options(),
        Some(&mut Short(false)),
        &go_on,
    );
    assert_eq!(error.unwrap_err().to_string(), "cut: ended before its size");
}

#[test]
fn the_caller_can_stop_a_build() {
    let mut tree = MemoryTree::new();
    tree.add_file(NodeId::ROOT, name("f"), b"x");
    let stop = |_, _| ControlFlow::Break(());
    let error = format(
        &disk_of(40 * MIB),
        &options(),
        Some(&mut tree.source()),
        &stop,
    );
    assert_eq!(error.unwrap_err().kind(), MkfsErrorKind::Interrupted);
}

#[test]
fn options_out_of_range_are_refused() {
    let refuse = |disk: &dyn Disk, options: &Fat32Options| {
        let error = format(disk, options, None, &go_on).unwrap_err();
        assert_eq!(error.kind(), MkfsErrorKind::InvalidOption, "{error}");
    };
    refuse(&disk_of(32 * MIB), &options());
    for cluster in [0, 256, 1000, 131_072] {
        let cluster_size = Some(ByteCount(cluster));
        refuse(
            &disk_of(40 * MIB),
            &Fat32Options {
                cluster_size,
                ..options()
            },
        );
    }
    let four_k = MemoryDisk::new(ByteCount(40 * MIB), SectorSize::B4096).unwrap();
    refuse(&four_k, &options());
}

#[test]
fn the_same_tree_makes_the_same_bytes() {
    let mut tree = MemoryTree::new();
    let dir = tree.add_directory(NodeId::ROOT, name("dir"));
    for n in 0..300 {
        tree.add_file(dir, name(&format!("file {n}")), &pattern(n * 31));
    }
    let bytes = || {
        let disk = disk_of(40 * MIB);
        build_on(&disk, &options(), &tree).unwrap();
        disk.to_bytes()
    };
    assert!(bytes() == bytes());
}

#[test]
fn large_sectors_work() {
    let disk = MemoryDisk::new(ByteCount(300 * MIB), SectorSize::B4096).unwrap();
    let mut tree = MemoryTree::new();
    tree.add_file(NodeId::ROOT, name("file"), &pattern(10_000));
    build_on(&disk, &options(), &tree).unwrap();
    let volume = fatfs::FileSystem::new(DiskCursor::new(disk), fatfs::FsOptions::new()).unwrap();
    assert_eq!(content(&volume, "file"), pattern(10_000));
}

#[test]
fn what_fat_cannot_hold_is_left_out_by_name() {
    let name = |text: &str| NodeName::from_text(text).unwrap();
    let mut tree = MemoryTree::new();
    tree.add_stream(name("of the root"), b"x");
    let file = tree.add_file(NodeId::ROOT, name("file"), b"data");
    tree.add_stream(name("stream"), b"x");
    tree.add_hard_link(NodeId::ROOT, name("again"), file);
    let mut data = 0xA000_0003_u32.to_le_bytes().to_vec();
    data.extend_from_slice(&[0; 4]);
    let point = tree.add_reparse_point(NodeId::ROOT, name("junction"), data, true);
    tree.add_file(point, name("inside"), b"x");
    tree.add_file(NodeId::ROOT, name("last"), b"x");
    let disk = MemoryDisk::new(ByteCount(64 * MIB), SectorSize::B512).unwrap();
    let go_on = |_, _| ControlFlow::Continue(());
    let report = format(&disk, &options(), Some(&mut tree.source()), &go_on).unwrap();
    assert_eq!(report.files, 2);
    let skipped: Vec<(&str, SkipReason)> = report
        .skipped
        .iter()
        .map(|skip| (skip.path.as_str(), skip.reason))
        .collect();
    assert_eq!(
        skipped,
        [
            ("/:of the root", SkipReason::StreamUnsupported),
            ("file:stream", SkipReason::StreamUnsupported),
            ("again", SkipReason::HardLinkUnsupported),
            ("junction", SkipReason::ReparsePointUnsupported),
            ("junction/inside", SkipReason::ParentSkipped),
        ]
    );
}

/// Counts the bytes written.
struct CountingDisk {
    inner: MemoryDisk,
    written: std::sync::atomic::AtomicU64,
}

impl CountingDisk {
    fn new(inner: MemoryDisk) -> Self {
        Self {
            inner,
            written: std::sync::atomic::AtomicU64::new(0),
        }
    }
}

impl Disk for CountingDisk {
    fn size(&self) -> ByteCount {
        self.inner.size()
    }
    fn logical_sector_size(&self) -> SectorSize {
        self.inner.logical_sector_size()
    }
    fn physical_sector_size(&self) -> SectorSize {
        self.inner.physical_sector_size()
    }
    fn is_read_only(&self) -> bool {
        false
    }
    fn read_at(&self, buf: &mut [u8], offset: ByteOffset) -> blockio::Result<()> {
        self.inner.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: ByteOffset) -> blockio::Result<()> {
        let len = u64::try_from(buf.len()).unwrap();
        self.written
            .fetch_add(len, std::sync::atomic::Ordering::Relaxed);
        self.inner.write_at(buf, offset)
    }
    fn flush(&self) -> blockio::Result<()> {
        self.inner.flush()
    }
    fn discard(&self, range: ByteRange) -> blockio::Result<()> {
        self.inner.discard(range)
    }
    fn write_zeroes(&self, range: ByteRange) -> blockio::Result<()> {
        self.inner.write_zeroes(range)
    }
    fn block_status(&self, range: ByteRange) -> blockio::Result<BlockStatus> {
        self.inner.block_status(range)
    }
}

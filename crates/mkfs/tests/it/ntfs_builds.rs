//! NTFS volumes of every shape, read back by the crate `ntfs`.

use std::io::Read;
use std::ops::ControlFlow;

use blockio::{ByteCount, ByteOffset, MIB, MemoryDisk, SectorSize};
use mkfs::ntfs::{NtfsOptions, format};
use mkfs::tree::memory::MemoryTree;
use mkfs::{Attributes, BuildReport, MkfsError, NodeId, NodeName, NtTime, Times};

use super::ntfs_reader::Reader;

const SPARSE: u32 = 0x200;
const REPARSE_POINT: u32 = 0x400;
const ARCHIVE: u32 = 0x20;

fn name(text: &str) -> NodeName {
    NodeName::from_text(text).unwrap()
}

fn options() -> NtfsOptions {
    NtfsOptions {
        label: "Volume ü".into(),
        serial: 0x1234_5678_9ABC_DEF0,
        time: NtTime::from_unix(1_700_000_000, 0),
        ..NtfsOptions::default()
    }
}

fn disk(size: u64, sector: SectorSize) -> MemoryDisk {
    MemoryDisk::new(ByteCount(size), sector).unwrap()
}

fn fill(
    disk: &MemoryDisk,
    options: &NtfsOptions,
    tree: &MemoryTree,
) -> Result<BuildReport, MkfsError> {
    let go_on = |_, _| ControlFlow::Continue(());
    format(disk, options, Some(&mut tree.source()), &go_on)
}

fn built(size: u64, tree: &MemoryTree) -> (BuildReport, Reader) {
    let disk = disk(size, SectorSize::B512);
    let report = fill(&disk, &options(), tree).unwrap();
    (report, Reader::new(disk.to_bytes()))
}

/// Bytes that differ from place to place.
fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from((at * 7 + at / 251) % 255).unwrap() ^ seed)
        .collect()
}

#[test]
fn an_empty_volume_is_read_at_every_geometry() {
    for (size, sector, cluster) in [
        (3 * MIB / 2, SectorSize::B512, None),
        (2 * MIB, SectorSize::B512, Some(512)),
        (6016 * 512, SectorSize::B512, None),
        (16 * MIB + 512, SectorSize::B512, Some(1024)),
        (32 * MIB, SectorSize::B4096, None),
        (32 * MIB, SectorSize::B512, Some(65536)),
        (96 * MIB, SectorSize::B512, Some(2 * MIB)),
    ] {
        let disk = disk(size, sector);
        let options = NtfsOptions {
            cluster_size: cluster.map(ByteCount),
            ..options()
        };
        let go_on = |_, _| ControlFlow::Continue(());
        let report = format(&disk, &options, None, &go_on).unwrap();
        assert_eq!(report, BuildReport::default());
        let bytes = disk.to_bytes();
        let sector = usize::try_from(sector.bytes()).unwrap();
        assert!(bytes[..sector] == bytes[bytes.len() - sector..]);
        let mut reader = Reader::new(bytes);
        assert_eq!(reader.label(), "Volume ü");
        assert_eq!(reader.ntfs().serial_number(), options.serial);
        assert!(reader.walk().is_empty());
    }
}

#[test]
fn files_of_every_size_come_back_byte_for_byte() {
    let sizes = [
        0, 1, 500, 600, 650, 690, 699, 700, 710, 720, 1023, 1024, 1025, 4095, 4096, 4097, 65535,
        65536, 65537, 3_000_000,
    ];
    let mut tree = MemoryTree::new();
    let folder = tree.add_directory(NodeId::ROOT, name("files"));
    for (seed, size) in (0..).zip(sizes) {
        tree.add_file(folder, name(&format!("f{size}")), &pattern(size, seed));
    }
    let (report, mut reader) = built(16 * MIB, &tree);
    assert_eq!(report.files, 20);
    assert_eq!(report.directories, 1);
    let sum: usize = sizes.iter().sum();
    assert_eq!(report.bytes, ByteCount(u64::try_from(sum).unwrap()));
    let found = reader.walk();
    assert_eq!(found.len(), 21);
    for (seed, size) in (0..).zip(sizes) {
        let entry = &found[&format!("files/f{size}")];
        assert_eq!(entry.size, u64::try_from(size).unwrap());
        assert_eq!(entry.attributes, ARCHIVE);
        assert!(
            reader.read(entry.record, 0, size) == pattern(size, seed),
            "{size}"
        );
    }
}

#[test]
fn sparse_files_stay_sparse_and_whole() {
    const GIB5: u64 = 5 << 30;
    let data = pattern(10_000, 1);
    let mut tree = MemoryTree::new();
    let islands = [0, 70_001, (3 << 30) + 5].map(|at| (ByteOffset(at), data.as_slice()));
    tree.add_sparse_file(NodeId::ROOT, name("islands"), ByteCount(GIB5), &islands);
    tree.add_sparse_file(NodeId::ROOT, name("hole"), ByteCount(GIB5), &[]);
    tree.add_sparse_file(
        NodeId::ROOT,
        name("small"),
        ByteCount(600),
        &[(ByteOffset(9), b"x")],
    );
    tree.add_sparse_file(
        NodeId::ROOT,
        name("full"),
        ByteCount(9999),
        &[(ByteOffset(5000), b"x")],
    );
    let (_, mut reader) = built(8 * MIB, &tree);
    let found = reader.walk();
    let entry = &found["islands"];
    assert_eq!((entry.size, entry.attributes), (GIB5, ARCHIVE | SPARSE));
    for (at, _) in islands {
        assert!(reader.read(entry.record, at.get(), 10_000) == data);
    }
    assert_eq!(reader.read(entry.record, 10_000, 60_001), vec![0; 60_001]);
    assert_eq!(reader.read(entry.record, GIB5 - 9, 9), [0; 9]);
    assert_eq!(found["hole"].attributes, ARCHIVE | SPARSE);
    assert_eq!(reader.read(found["hole"].record, GIB5 / 2, 5), [0; 5]);
    let mut small = vec![0; 600];
    small[9] = b'x';
    assert_eq!(reader.read(found["small"].record, 0, 600), small);
    assert_eq!(found["small"].attributes, ARCHIVE);
    assert_eq!(reader.read(found["full"].record, 4999, 3), [0, b'x', 0]);
}

#[test]
fn a_file_of_thousands_of_islands_needs_more_than_one_record() {
    let mut tree = MemoryTree::new();
    let bytes: Vec<[u8; 4]> = (0..6000_u32).map(u32::to_le_bytes).collect();
    let islands: Vec<_> = (0..)
        .zip(&bytes)
        .map(|(at, bytes)| (ByteOffset(at * 65536 + 100), bytes.as_slice()))
        .collect();
    let size = ByteCount(6000 * 65536);
    tree.add_sparse_file(NodeId::ROOT, name("comb"), size, &islands);
    tree.add_file(NodeId::ROOT, name("next"), b"next");
    let (_, mut reader) = built(48 * MIB, &tree);
    let found = reader.walk();
    let comb = &found["comb"];
    assert_eq!((comb.size, comb.attributes), (size.get(), ARCHIVE | SPARSE));
    for (at, bytes) in islands.iter().step_by(37) {
        assert_eq!(reader.read(comb.record, at.get(), 4), *bytes);
        assert_eq!(reader.read(comb.record, at.get() + 30_000, 4), [0; 4]);
    }
    assert_eq!(reader.read(found["next"].record, 0, 4), b"next");
}

#[test]
fn names_at_their_limits_are_found() {
    let names = [
        "a",
        "LONGNAME.TXT",
        "é\u{301}combining",
        "\u{5E9}\u{5DC}\u{5D5}\u{5DD}",
        "\u{1F600}\u{1F601}",
        "µ",
        "ſ",
        "ϐ",
        "β",
        "with space",
        "$MFT.txt",
    ];
    let mut tree = MemoryTree::new();
    for text in names {
        tree.add_file(NodeId::ROOT, name(text), text.as_bytes());
    }
    let long = "n".repeat(255);
    let long_folder = tree.add_directory(NodeId::ROOT, name(&long));
    for number in 0..300 {
        tree.add_file(
            long_folder,
            name(&format!("{number:0>255}")),
            &pattern(300, 3),
        );
    }
    let (report, mut reader) = built(16 * MIB, &tree);
    assert!(report.name_notes.is_empty());
    let found = reader.walk();
    assert_eq!(found.len(), names.len() + 301);
    for text in names {
        let entry = &found[text];
        let size = usize::try_from(entry.size).unwrap();
        assert_eq!(reader.read(entry.record, 0, size), text.as_bytes());
    }
}

#[test]
fn names_of_system_files_and_of_other_case_are_renamed() {
    let mut tree = MemoryTree::new();
    for text in ["$mft", "$Extend", "README", "readme", "a:b", "end."] {
        tree.add_file(NodeId::ROOT, name(text), b"");
    }
    let (report, mut reader) = built(4 * MIB, &tree);
    assert_eq!(report.name_notes.len(), 5);
    let found: Vec<String> = reader.walk().into_keys().collect();
    assert_eq!(
        found,
        [
            "$Extend (2)",
            "$mft (2)",
            "README",
            "a\u{F03A}b",
            "end\u{F02E}",
            "readme (2)"
        ]
    );
}

#[test]
fn deep_and_wide_trees_are_whole() {
    let mut tree = MemoryTree::new();
    let mut folder = NodeId::ROOT;
    for level in 0..200 {
        folder = tree.add_directory(folder, name(&format!("level {level}")));
    }
    tree.add_file(folder, name("bottom"), b"deep");
    let wide = tree.add_directory(NodeId::ROOT, name("wide"));
    for number in 0..20_000_u32 {
        // Not in the order of names.
        let text = format!("entry {:08x}", number.wrapping_mul(2_654_435_761));
        tree.add_file(wide, name(&text), &number.to_le_bytes());
    }
    let (report, mut reader) = built(64 * MIB, &tree);
    assert_eq!((report.files, report.directories), (20_001, 201));
    let found = reader.walk();
    assert_eq!(found.len(), 20_202);
    for number in (0..20_000_u32).step_by(487) {
        let entry = &found[&format!("wide/entry {:08x}", number.wrapping_mul(2_654_435_761))];
        assert_eq!(reader.read(entry.record, 0, 4), number.to_le_bytes());
    }
}

#[test]
fn times_and_attributes_are_kept() {
    let mut tree = MemoryTree::new();
    let moments = [
        NtTime::from_ticks(0),
        NtTime::UNIX_EPOCH,
        NtTime::from_unix(2_147_483_648, 123_456_700),
        NtTime::from_unix(4_294_967_296, 999_999_900),
        NtTime::from_ticks(u64::MAX),
    ];
    for (number, moment) in moments.iter().enumerate() {
        tree.use_times(Times::all(*moment));
        tree.add_file(NodeId::ROOT, name(&format!("t{number}")), b"");
    }
    let all = Attributes::READ_ONLY
        .with(Attributes::HIDDEN)
        .with(Attributes::SYSTEM);
    tree.use_attributes(all);
    tree.add_file(NodeId::ROOT, name("file"), b"");
    tree.add_directory(NodeId::ROOT, name("folder"));
    let (_, mut reader) = built(4 * MIB, &tree);
    let found = reader.walk();
    for (number, moment) in moments.iter().enumerate() {
        assert_eq!(found[&format!("t{number}")].modified, moment.ticks());
    }
    assert_eq!(found["file"].attributes, all.bits() | ARCHIVE);
    assert_eq!(found["folder"].attributes, all.bits());
}

#[test]
fn links_are_reparse_points_and_listed_as_such() {
    const WINDOWS: u32 = 0xA000_000C;
    const UNIX: u32 = 0xA000_001D;
    let mut tree = MemoryTree::new();
    let folder = tree.add_directory(NodeId::ROOT, name("folder"));
    // Links may come before what they lead to.
    for number in 0..3000 {
        let target = if number % 2 == 0 { "sub" } else { "sub/file" };
        tree.add_symlink(folder, name(&format!("l{number}")), target, false);
    }
    let sub = tree.add_directory(folder, name("sub"));
    tree.add_file(sub, name("file"), b"x");
    let links = [
        ("absolute", "/etc/passwd", UNIX, false),
        ("dangling", "none", UNIX, false),
        ("case", "sub/File", UNIX, false),
        ("out", "../../x", UNIX, false),
        ("through a file", "sub/file/x", UNIX, false),
        ("through a link", "l0/file", UNIX, false),
        ("slash", "sub/", UNIX, false),
        ("up", "../folder/./sub", WINDOWS, true),
        ("root", "..", WINDOWS, true),
        ("self", "self", WINDOWS, false),
        ("to a link", "l1", WINDOWS, false),
        ("drive", "C:/Windows", WINDOWS, false),
    ];
    for (link, target, _, _) in links {
        tree.add_symlink(folder, name(link), target, false);
    }
    tree.add_symlink(folder, name("long"), &"d/".repeat(1500), false);
    tree.add_symlink(folder, name("impossible"), "", false);
    let (report, mut reader) = built(16 * MIB, &tree);
    assert_eq!((report.symlinks, report.skipped.len()), (3013, 1));
    assert_eq!(report.skipped[0].path, "folder/impossible");
    let found = reader.walk();
    assert_eq!(found.len(), 3013 + 3);
    let tag = |path: &str| {
        let value = found[path].reparse.as_ref().unwrap();
        u32::from_le_bytes(value[..4].try_into().unwrap())
    };
    for (link, _, expected, directory) in links {
        let path = format!("folder/{link}");
        assert_eq!(tag(&path), expected, "{link}");
        assert_eq!(found[&path].is_directory, directory, "{link}");
        assert!(found[&path].attributes & REPARSE_POINT != 0);
    }
    assert_eq!(tag("folder/l0"), WINDOWS);
    assert!(found["folder/l0"].is_directory && !found["folder/l1"].is_directory);
    let long = found["folder/long"].reparse.as_ref().unwrap();
    assert_eq!(long.len(), 12 + 3000);
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let mut tree = MemoryTree::new();
    for number in 0..500 {
        let folder = tree.add_directory(NodeId::ROOT, name(&format!("d{number}")));
        tree.add_file(folder, name("file"), &pattern(number * 13, 5));
    }
    let image = || {
        let disk = disk(16 * MIB, SectorSize::B512);
        fill(&disk, &options(), &tree).unwrap();
        disk.to_bytes()
    };
    assert!(image() == image());
}

#[test]
fn the_bitmap_has_a_bit_for_each_cluster_taken() {
    let mut tree = MemoryTree::new();
    for number in 0..40 {
        tree.add_file(
            NodeId::ROOT,
            name(&format!("{number}")),
            &pattern(60_000, 0),
        );
    }
    let (_, mut reader) = built(8 * MIB + 512, &tree);
    let bits: u32 = reader
        .system_file(6)
        .iter()
        .map(|byte| byte.count_ones())
        .sum();
    // Boot 2, mirror 1, $UpCase 32, $AttrDef 1, $Secure 65, log 512, table 32, files 15 each, one
    // index block of the root and one more, and both bitmaps.
    assert_eq!(bits, 2 + 1 + 32 + 1 + 65 + 512 + 32 + 40 * 15 + 2 + 2);
}

#[test]
fn a_full_volume_uses_what_was_kept_for_records() {
    // 8 MiB less the fixed 614 clusters and the eighth for records leave about 4.6 MiB.
    for size in [4_700_000, 5_200_000, 5_500_000] {
        let mut tree = MemoryTree::new();
        let data = pattern(size, 9);
        tree.add_file(NodeId::ROOT, name("large"), &data);
        tree.add_directory(NodeId::ROOT, name("folder"));
        let (_, mut reader) = built(8 * MIB, &tree);
        let found = reader.walk();
        assert!(reader.read(found["large"].record, 0, size) == data);
    }
}

#[test]
fn what_does_not_fit_is_refused_with_a_clear_error() {
    let mut tree = MemoryTree::new();
    tree.add_file(NodeId::ROOT, name("large"), &pattern(9_000_000, 9));
    let known = disk(8 * MIB, SectorSize::B512);
    let error = fill(&known, &options(), &tree).unwrap_err();
    assert!(matches!(error, MkfsError::NoSpace { .. }), "{error}");
    assert!(known.to_bytes().iter().all(|byte| *byte == 0));

    struct Unknown<'a>(mkfs::tree::memory::MemorySource<'a>);
    impl mkfs::TreeSource for Unknown<'_> {
        fn next_entry(&mut self) -> Result<Option<mkfs::TreeEntry>, mkfs::TreeError> {
            self.0.next_entry()
        }
    }
    let unknown = disk(8 * MIB, SectorSize::B512);
    let go_on = |_, _| ControlFlow::Continue(());
    let source: &mut dyn mkfs::TreeSource = &mut Unknown(tree.source());
    let error = format(&unknown, &options(), Some(source), &go_on).unwrap_err();
    assert!(matches!(error, MkfsError::NoSpace { .. }), "{error}");
    // No boot sector: nobody takes it for a volume.
    assert!(unknown.to_bytes()[..512].iter().all(|byte| *byte == 0));
}

#[test]
fn the_caller_can_stop_the_build() {
    let mut tree = MemoryTree::new();
    for number in 0..3000 {
        tree.add_file(NodeId::ROOT, name(&format!("{number}")), b"");
    }
    let disk = disk(16 * MIB, SectorSize::B512);
    let stop = |_, entries| {
        if entries >= 2000 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let error = format(&disk, &options(), Some(&mut tree.source()), &stop).unwrap_err();
    assert!(matches!(error, MkfsError::Interrupted));
}

#[test]
fn a_file_that_ends_early_is_named() {
    struct Short(u32);
    impl mkfs::TreeSource for Short {
        fn next_entry(&mut self) -> Result<Option<mkfs::TreeEntry>, mkfs::TreeError> {
            self.0 += 1;
            let kind = match self.0 {
                1 => mkfs::EntryKind::Directory,
                2 => mkfs::EntryKind::File(mkfs::FileContent::dense(
                    ByteCount(5000),
                    Box::new(std::io::repeat(1).take(4000)),
                )),
                _ => return Ok(None),
            };
            Ok(Some(mkfs::TreeEntry {
                parent: NodeId(self.0 - 1),
                id: NodeId(self.0),
                name: name(&format!("n{}", self.0)),
                times: Times::default(),
                attributes: Attributes::NONE,
                security: None,
                kind,
            }))
        }
    }
    let disk = disk(8 * MIB, SectorSize::B512);
    let go_on = |_, _| ControlFlow::Continue(());
    let error = format(&disk, &options(), Some(&mut Short(0)), &go_on).unwrap_err();
    assert_eq!(error.to_string(), "n1/n2: it ended before the size it had");
}

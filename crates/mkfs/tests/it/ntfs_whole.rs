//! NTFS volumes with hard links, streams, security descriptors and reparse points.

use std::ops::ControlFlow;

use blockio::{ByteCount, MIB, MemoryDisk, SectorSize};
use mkfs::ntfs::{DosNames, NtfsOptions, format};
use mkfs::tree::memory::MemoryTree;
use mkfs::{Attributes, BuildReport, Change, MkfsError, NodeId, NodeName, SecurityDescriptor};
use mkfs::{CasePolicy, SkipReason, TreeErrorKind};

use super::ntfs_reader::Reader;

fn name(text: &str) -> NodeName {
    NodeName::from_text(text).unwrap()
}

fn build(size: u64, tree: &MemoryTree) -> Result<(BuildReport, Reader), MkfsError> {
    build_with(size, &NtfsOptions::default(), tree)
}

fn build_with(
    size: u64,
    options: &NtfsOptions,
    tree: &MemoryTree,
) -> Result<(BuildReport, Reader), MkfsError> {
    let disk = MemoryDisk::new(ByteCount(size), SectorSize::B512).unwrap();
    let go_on = |_, _| ControlFlow::Continue(());
    let report = format(&disk, options, Some(&mut tree.source()), &go_on)?;
    Ok((report, Reader::new(disk.to_bytes())))
}

/// A descriptor whose list names one account, the one of `number`.
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

#[test]
fn three_hundred_names_of_one_file_lead_to_it() {
    let mut tree = MemoryTree::new();
    let folder = tree.add_directory(NodeId::ROOT, name("folder"));
    let small = tree.add_file(NodeId::ROOT, name("small"), b"small");
    let large = tree.add_file(NodeId::ROOT, name("large"), &vec![7; 100_000]);
    let twice = tree.add_file(NodeId::ROOT, name("twice"), b"2");
    for number in 0..300 {
        let parent = if number % 2 == 0 {
            folder
        } else {
            NodeId::ROOT
        };
        tree.add_hard_link(parent, name(&format!("s{number}")), small);
        tree.add_hard_link(parent, name(&format!("large {number}")), large);
    }
    tree.add_hard_link(folder, name("TWICE"), twice);
    let (report, mut reader) = build(16 * MIB, &tree).unwrap();
    assert_eq!((report.files, report.hard_links), (3, 601));
    let found = reader.walk();
    assert_eq!(found.len(), 1 + 3 + 601);
    let records: Vec<u64> = ["small", "large", "twice"]
        .iter()
        .map(|path| found[*path].record)
        .collect();
    for number in 0..300 {
        let folder = if number % 2 == 0 { "folder/" } else { "" };
        assert_eq!(found[&format!("{folder}s{number}")].record, records[0]);
        let large = &found[&format!("{folder}large {number}")];
        assert_eq!((large.record, large.size), (records[1], 100_000));
    }
    assert_eq!(found["folder/TWICE"].record, records[2]);
    assert_eq!(reader.read(records[0], 0, 5), b"small");
    assert_eq!(reader.read(records[1], 99_999, 1), [7]);
    assert_eq!(reader.links(records[0]), (301, 301));
    assert_eq!(reader.links(records[1]), (301, 301));
    assert_eq!(reader.links(records[2]), (2, 2));
}

#[test]
fn a_link_may_be_named_twice_and_a_directory_may_not() {
    let mut tree = MemoryTree::new();
    let folder = tree.add_directory(NodeId::ROOT, name("folder"));
    let link = tree.add_symlink(NodeId::ROOT, name("link"), "folder", true);
    tree.add_hard_link(folder, name("again"), link);
    let (_, mut reader) = build(8 * MIB, &tree).unwrap();
    let found = reader.walk();
    assert_eq!(found["link"].record, found["folder/again"].record);
    assert!(!found["link"].is_directory);
    assert_eq!(reader.links(found["link"].record), (2, 2));

    for target in [folder, NodeId::ROOT, NodeId(4), NodeId(99)] {
        let mut tree = tree.clone();
        tree.add_hard_link(NodeId::ROOT, name("x"), target);
        let error = build(8 * MIB, &tree).map(|_| ()).unwrap_err();
        let MkfsError::Tree(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.kind(), TreeErrorKind::Malformed);
        assert_eq!(error.path(), "x");
    }
}

#[test]
fn names_beyond_what_windows_allows_are_left_out_by_name() {
    let mut tree = MemoryTree::new();
    let file = tree.add_file(NodeId::ROOT, name("file"), b"x");
    for number in 0..1030 {
        tree.add_hard_link(NodeId::ROOT, name(&format!("n{number}")), file);
    }
    let (report, mut reader) = build(16 * MIB, &tree).unwrap();
    assert_eq!(report.hard_links, 1023);
    assert_eq!(report.skipped.len(), 7);
    assert_eq!(report.skipped[0].path, "n1023");
    assert_eq!(report.skipped[0].reason, SkipReason::TooManyNames);
    let record = reader.walk()["file"].record;
    assert_eq!(reader.links(record), (1024, 1024));
}

#[test]
fn streams_of_files_directories_links_and_the_root_come_back() {
    let mut tree = MemoryTree::new();
    let mebibyte: Vec<u8> = (0..1_048_576_u32).map(|at| at.to_le_bytes()[1]).collect();
    tree.add_stream(name("of the root"), b"root");
    tree.add_file(NodeId::ROOT, name("forty"), &[5; 600]);
    for number in 0..40 {
        let data = if number == 7 {
            mebibyte.clone()
        } else {
            vec![number; usize::from(number) * 40]
        };
        tree.add_stream(name(&format!("stream {number}")), &data);
    }
    tree.add_directory(NodeId::ROOT, name("folder"));
    tree.add_stream(name("zone"), b"[ZoneTransfer]");
    tree.add_stream(name("large"), &[9; 5000]);
    tree.add_symlink(NodeId::ROOT, name("link"), "forty", false);
    tree.add_stream(name("of a link"), b"link");
    let (report, mut reader) = build(16 * MIB, &tree).unwrap();
    assert_eq!(report.streams, 44);
    let found = reader.walk();
    let forty = found["forty"].record;
    assert_eq!(reader.read(forty, 0, 600), [5; 600]);
    let streams = reader.streams(forty);
    assert_eq!(streams.len(), 40);
    for number in 0..40_u8 {
        let stream = &streams[&format!("stream {number}")];
        if number == 7 {
            assert!(*stream == mebibyte);
        } else {
            assert_eq!(*stream, vec![number; usize::from(number) * 40]);
        }
    }
    let folder = reader.streams(found["folder"].record);
    assert_eq!(folder["zone"], b"[ZoneTransfer]");
    assert_eq!(folder["large"], [9; 5000]);
    assert_eq!(reader.streams(found["link"].record)["of a link"], b"link");
    assert_eq!(reader.streams(5)["of the root"], b"root");
}

#[test]
fn a_file_of_many_streams_gets_many_names_afterwards() {
    let mut tree = MemoryTree::new();
    let file = tree.add_file(NodeId::ROOT, name("file"), &[1; 700]);
    for number in 0..200 {
        tree.add_stream(name(&format!("{number}")), &[2; 50]);
    }
    for number in 0..200 {
        tree.add_hard_link(NodeId::ROOT, name(&format!("again {number}")), file);
    }
    let (_, mut reader) = build(16 * MIB, &tree).unwrap();
    let found = reader.walk();
    let record = found["file"].record;
    assert_eq!(found["again 199"].record, record);
    assert_eq!(reader.links(record), (201, 201));
    assert_eq!(reader.streams(record).len(), 200);
    assert_eq!(reader.read(record, 0, 700), [1; 700]);
}

#[test]
fn streams_that_cannot_be_are_left_out_or_refused() {
    let mut tree = MemoryTree::new();
    let file = tree.add_file(NodeId::ROOT, name("file"), b"");
    tree.add_stream(name("a:b"), b"1");
    tree.add_stream(name("same"), b"2");
    tree.add_stream(name("SAME"), b"3");
    tree.add_symlink(NodeId::ROOT, name("impossible"), "", false);
    tree.add_stream(name("lost"), b"4");
    let (report, mut reader) = build(8 * MIB, &tree).unwrap();
    let reasons: Vec<SkipReason> = report.skipped.iter().map(|skip| skip.reason).collect();
    assert_eq!(
        reasons,
        [
            SkipReason::StreamExists,
            SkipReason::SymlinkTarget,
            SkipReason::StreamOfSkipped
        ]
    );
    assert_eq!(report.skipped[0].path, "file:SAME");
    assert_eq!(report.name_notes[0].path, "file:a:b");
    let record = reader.walk()["file"].record;
    let streams = reader.streams(record);
    assert_eq!(streams["a\u{F03A}b"], b"1");
    assert_eq!(streams["same"], b"2");
    tree.add_hard_link(NodeId::ROOT, name("again"), file);
    tree.add_stream(name("s"), b"5");
    assert!(build(8 * MIB, &tree).is_err());
}

#[test]
fn fifteen_hundred_descriptors_are_stored_once_each() {
    let mut tree = MemoryTree::new();
    tree.set_root_security(descriptor(7));
    for round in 0..2 {
        for number in 0..1500 {
            tree.use_security(Some(descriptor(1000 + number)));
            tree.add_file(NodeId::ROOT, name(&format!("{round} {number}")), b"");
        }
    }
    tree.use_security(None);
    tree.add_file(NodeId::ROOT, name("plain"), b"");
    let (_, mut reader) = build(64 * MIB, &tree).unwrap();
    let found = reader.walk();
    let stream = reader.streams(9).remove("$SDS").unwrap();
    let check = |id: u32, descriptor: &[u8]| {
        let (at, length) = find_descriptor(&stream, id).unwrap();
        assert_eq!(&stream[at + 20..at + length], descriptor);
        // And its copy.
        assert_eq!(stream[at..at + length], stream[at + 0x4_0000..][..length]);
    };
    for number in (0..1500).step_by(61) {
        let ids = [0, 1].map(|round| {
            let record = found[&format!("{round} {number}")].record;
            reader.security_id(record)
        });
        assert_eq!(ids[0], ids[1]);
        check(ids[0], descriptor(1000 + number).as_bytes());
    }
    assert_eq!(reader.security_id(found["plain"].record), 0x103);
    check(reader.security_id(5), descriptor(7).as_bytes());
    assert_eq!(stream.len() % 0x4_0000, {
        let (at, length) = find_descriptor(&stream, 0x100 + 4 + 1500).unwrap();
        (at + length) % 0x4_0000
    });
}

/// Where an entry of `$SDS` stands and how long it is.
fn find_descriptor(stream: &[u8], id: u32) -> Option<(usize, usize)> {
    let word = |at: usize| Some(u32::from_le_bytes(stream.get(at..at + 4)?.try_into().ok()?));
    let mut at = 0;
    loop {
        let length = usize::try_from(word(at + 16)?).ok()?;
        if length == 0 || at % 0x8_0000 >= 0x4_0000 {
            at = (at / 0x8_0000 + 1) * 0x8_0000;
            continue;
        }
        if word(at + 4)? == id {
            return Some((at, length));
        }
        at = (at + length).next_multiple_of(16);
    }
}

#[test]
fn raw_reparse_points_are_kept_as_they_are() {
    let junction = |target: &str| {
        let substitute: Vec<u8> = format!(r"\??\{target}")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let length = u16::try_from(substitute.len()).unwrap();
        let mut data = 0xA000_0003_u32.to_le_bytes().to_vec();
        data.extend_from_slice(&(length + 12).to_le_bytes());
        for value in [0, 0, length, length + 2, 0] {
            data.extend_from_slice(&value.to_le_bytes());
        }
        data.extend_from_slice(&substitute);
        data.extend_from_slice(&[0; 4]);
        data
    };
    let mut guid = 0x0000_0ABC_u32.to_le_bytes().to_vec();
    guid.extend_from_slice(&[4, 0, 0, 0]);
    guid.extend_from_slice(&[0x11; 16]);
    guid.extend_from_slice(b"data");
    let mut long = 0x8000_0123_u32.to_le_bytes().to_vec();
    long.extend_from_slice(&[0, 0x30, 0, 0]);
    long.resize(8 + 0x3000, 3);
    let mut tree = MemoryTree::new();
    let folder = tree.add_reparse_point(NodeId::ROOT, name("junction"), junction(r"C:\x"), true);
    tree.add_file(folder, name("inside"), b"in");
    tree.add_reparse_point(NodeId::ROOT, name("guid"), guid.clone(), false);
    tree.add_reparse_point(NodeId::ROOT, name("long"), long.clone(), false);
    tree.add_reparse_point(NodeId::ROOT, name("long folder"), long.clone(), true);
    tree.add_symlink(NodeId::ROOT, name("through"), "junction/inside", false);
    tree.add_symlink(NodeId::ROOT, name("to"), "junction", true);
    let (report, mut reader) = build(8 * MIB, &tree).unwrap();
    assert_eq!(report.reparse_points, 4);
    let found = reader.walk();
    assert_eq!(found["junction"].reparse.as_ref(), Some(&junction(r"C:\x")));
    assert!(found["junction"].is_directory);
    assert_eq!(found["guid"].reparse.as_ref(), Some(&guid));
    assert_eq!(found["long"].reparse.as_ref(), Some(&long));
    assert_eq!(found["long folder"].reparse.as_ref(), Some(&long));
    assert_eq!(found["junction"].attributes, 0x400);
    assert_eq!(found["guid"].attributes, 0x420);
    assert!(found["to"].is_directory);
    // What lies behind a link is not the volume's to say.
    assert_eq!(found["through"].reparse.as_ref().unwrap()[0], 0x1D);
    tree.add_reparse_point(NodeId::ROOT, name("bad"), vec![1; 9], false);
    assert!(build(8 * MIB, &tree).is_err());
}

#[test]
fn attributes_that_a_source_knows_are_kept_exactly() {
    let mut tree = MemoryTree::new();
    let all = 0x1A_31A7;
    tree.use_attributes(Attributes::from_bits(all));
    tree.add_file(NodeId::ROOT, name("all"), b"");
    tree.add_directory(NodeId::ROOT, name("folder"));
    tree.use_attributes(Attributes::NORMAL);
    tree.add_file(NodeId::ROOT, name("none"), b"");
    tree.use_attributes(Attributes::COMPRESSED);
    tree.add_file(NodeId::ROOT, name("compressed"), b"");
    let (report, mut reader) = build(8 * MIB, &tree).unwrap();
    let found = reader.walk();
    // Of the bits the crate `ntfs` shows those it knows.
    let shown = 0x3127;
    assert_eq!(found["all"].attributes, all & shown);
    assert_eq!(found["folder"].attributes, all & shown);
    assert_eq!(found["none"].attributes, 0);
    assert_eq!(found["compressed"].attributes, 0x20);
    assert_eq!(report.changed.len(), 1);
    assert_eq!(report.changed[0].path, "compressed");
    assert_eq!(report.changed[0].change, Change::Decompressed);
}

#[test]
fn names_have_partners_of_eight_and_three_where_they_are_asked_for() {
    let mut tree = MemoryTree::new();
    let folder = tree.add_directory(NodeId::ROOT, name("a long folder"));
    let first = tree.add_file(folder, name("some file.text"), b"1");
    tree.add_file(folder, name("readme.txt"), b"2");
    tree.add_symlink(folder, name("a link to it"), "some file.text", false);
    tree.add_hard_link(folder, name("one more name"), first);
    // Three names that were made up as partners of others: those get new ones.
    tree.add_file(folder, name("SOMEFI~1.TEX"), b"3");
    tree.add_file(folder, name("alinkt~1"), b"4");
    tree.add_file(NodeId::ROOT, name("ALONGF~1"), b"5");
    let options = NtfsOptions {
        dos_names: DosNames::Generated,
        ..NtfsOptions::default()
    };
    let (report, mut reader) = build_with(8 * MIB, &options, &tree).unwrap();
    assert!(report.name_notes.is_empty());
    let found = reader.names();
    let of = |path: &str| {
        let (record, space) = found[path];
        let mut all: Vec<(&str, u8)> = found
            .iter()
            .filter(|(_, (number, _))| *number == record)
            .map(|(path, (_, space))| (path.as_str(), *space))
            .collect();
        all.sort_unstable();
        (space, all)
    };
    assert_eq!(
        of("a long folder"),
        (1, vec![("ALONGF~2", 2), ("a long folder", 1)])
    );
    assert_eq!(
        of("a long folder/some file.text").1,
        [
            ("a long folder/SOMEFI~2.TEX", 2),
            ("a long folder/one more name", 0),
            ("a long folder/some file.text", 1)
        ]
    );
    assert_eq!(of("a long folder/readme.txt").0, 3);
    assert_eq!(of("a long folder/SOMEFI~1.TEX").0, 3);
    assert_eq!(of("a long folder/alinkt~1").0, 3);
    assert_eq!(
        of("a long folder/a link to it").1,
        [
            ("a long folder/ALINKT~2", 2),
            ("a long folder/a link to it", 1)
        ]
    );
    let records = ["a long folder", "a long folder/some file.text"].map(|path| found[path].0);
    assert_eq!(reader.links(records[0]), (2, 2));
    assert_eq!(reader.links(records[1]), (3, 3));
    assert_eq!(reader.read(records[1], 0, 1), b"1");
}

#[test]
fn names_that_differ_in_case_make_their_directory_tell_them_apart() {
    let mut tree = MemoryTree::new();
    let folder = tree.add_directory(NodeId::ROOT, name("folder"));
    let plain = tree.add_directory(NodeId::ROOT, name("plain"));
    for (parent, text) in [(folder, "README"), (folder, "readme"), (plain, "x")] {
        tree.add_file(parent, name(text), text.as_bytes());
    }
    let with = |case_policy| NtfsOptions {
        case_policy,
        ..NtfsOptions::default()
    };
    let (report, mut reader) = build_with(8 * MIB, &with(CasePolicy::KeepBoth), &tree).unwrap();
    assert_eq!(report.name_notes.len(), 1);
    let found = reader.names();
    assert_eq!(found.len(), 5);
    // The flag stands in the version of $STANDARD_INFORMATION.
    assert_eq!(reader.version(found["folder"].0), 1);
    assert_eq!(reader.version(found["plain"].0), 0);
    let refused = build_with(8 * MIB, &with(CasePolicy::Refuse), &tree);
    let error = refused.map(|_| ()).unwrap_err();
    assert!(matches!(error, MkfsError::Name(_)), "{error}");
    let (report, _) = build_with(8 * MIB, &with(CasePolicy::Rename), &tree).unwrap();
    assert_eq!(report.name_notes[0].stored_as, "readme (2)");
}

#[test]
fn a_hundred_thousand_descriptors_are_stored_and_found() {
    const COUNT: u32 = 100_000;
    let mut tree = MemoryTree::new();
    for number in 0..COUNT {
        tree.use_security(Some(descriptor(1000 + number)));
        tree.add_file(NodeId::ROOT, name(&format!("{number}")), b"");
    }
    let disk = MemoryDisk::new(ByteCount(256 * MIB), SectorSize::B512).unwrap();
    let go_on = |_, _| ControlFlow::Continue(());
    format(
        &disk,
        &NtfsOptions::default(),
        Some(&mut tree.source()),
        &go_on,
    )
    .unwrap();
    // Every hash, place, copy and index entry is compared there.
    let report = mkfs::ntfs::fsck::check(&disk, &go_on).unwrap();
    assert!(report.findings().is_empty(), "{:?}", report.findings());
    let volume = mkfs::ntfs::parse::NtfsVolume::open(&disk).unwrap();
    let store = mkfs::ntfs::parse::SecurityStore::open(&volume).unwrap();
    let mut stored = std::collections::BTreeSet::new();
    for id in 0x100..0x100 + COUNT + 10 {
        if let Some(bytes) = store.descriptor(&volume, id).unwrap() {
            stored.insert(bytes);
        }
    }
    for number in 0..COUNT {
        assert!(
            stored.contains(descriptor(1000 + number).as_bytes()),
            "{number}"
        );
    }
}

//! Volumes changed at rest, against a plain model of files and directories.

use std::ops::ControlFlow;

use blockio::{ByteCount, Disk, MIB, MemoryDisk, MemoryStorage, SectorSize};
use mkfs::change::{ChangeError, ChangeOptions, PathNames, VolumeChange};
use mkfs::ntfs::NtfsOptions;
use mkfs::ntfs::parse::{NtfsVolume, kind};
use mkfs::tree::memory::MemoryTree;
use mkfs::{NamePolicy, NodeId, NodeName, NtTime};

use super::ntfs_reader::Reader;
use super::random::Random;

fn go_on(_: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn options() -> ChangeOptions {
    ChangeOptions {
        now: NtTime::from_unix(1_800_000_000, 0),
        name_policy: NamePolicy::Map,
    }
}

fn path(text: &str) -> PathNames {
    PathNames::new(text).unwrap()
}

fn ntfs(size: u64, cluster: Option<u64>) -> MemoryDisk {
    let disk = MemoryDisk::new(ByteCount(size), SectorSize::B512).unwrap();
    let options = NtfsOptions {
        cluster_size: cluster.map(ByteCount),
        time: NtTime::from_unix(1_700_000_000, 0),
        ..NtfsOptions::default()
    };
    mkfs::ntfs::format(&disk, &options, None, &go_on).unwrap();
    disk
}

/// Does one change, all of it or nothing.
fn change<T>(
    disk: &dyn Disk,
    work: impl FnOnce(&mut VolumeChange<'_>) -> Result<T, ChangeError>,
) -> Result<T, ChangeError> {
    let mut volume = VolumeChange::open(disk, options())?;
    let result = work(&mut volume)?;
    volume.finish()?.commit(disk, &MemoryStorage::default())?;
    Ok(result)
}

/// Puts the volume where the tools can look at it.
fn dump(disk: &MemoryDisk, name: &str) {
    if let Some(folder) = std::env::var_os("CVOL_DUMP") {
        std::fs::write(std::path::Path::new(&folder).join(name), disk.to_bytes()).unwrap();
    }
}

#[test]
fn a_directory_of_ten_thousand_names_grows_and_shrinks_in_any_order() {
    for (number, order) in ["ascending", "descending", "random"]
        .into_iter()
        .enumerate()
    {
        let disk = ntfs(64 * MIB, None);
        let mut names: Vec<String> = (0..10_000).map(|n| format!("name-{n:05}.txt")).collect();
        match order {
            "descending" => names.reverse(),
            "random" => shuffle(&mut names, &mut Random::new(7)),
            _ => {}
        }
        let mut tree = MemoryTree::new();
        for name in &names {
            tree.add_file(
                NodeId::ROOT,
                NodeName::from_text(name).unwrap(),
                name.as_bytes(),
            );
        }
        change(&disk, |volume| {
            volume.make_directory(&path("/d"), false)?;
            volume.add_tree(&path("/d"), &mut tree.source(), &go_on)
        })
        .unwrap();
        dump(&disk, &format!("grown-{order}.ntfs"));
        let mut reader = Reader::new(disk.to_bytes());
        assert_eq!(reader.walk().len(), 10_001, "{order}");
        shuffle(&mut names, &mut Random::new(u64::try_from(number).unwrap()));
        for (part, names) in names.chunks(2_500).enumerate() {
            change(&disk, |volume| {
                for name in names {
                    volume.remove(&path(&format!("/d/{name}")), false)?;
                }
                Ok(())
            })
            .unwrap();
            let mut reader = Reader::new(disk.to_bytes());
            assert_eq!(reader.walk().len(), 10_001 - 2_500 * (part + 1), "{order}");
            dump(&disk, &format!("shrunk-{order}-{part}.ntfs"));
        }
    }
}

fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for at in (1..items.len()).rev() {
        let other = random.below(u64::try_from(at).unwrap() + 1);
        items.swap(at, usize::try_from(other).unwrap());
    }
}

/// A volume made of a tree.
fn built(size: u64, options: &NtfsOptions, tree: &MemoryTree) -> MemoryDisk {
    let disk = MemoryDisk::new(ByteCount(size), SectorSize::B512).unwrap();
    mkfs::ntfs::format(&disk, options, Some(&mut tree.source()), &go_on).unwrap();
    disk
}

fn node(text: &str) -> NodeName {
    NodeName::from_text(text).unwrap()
}

/// Adds empty files to a directory of the volume.
fn add(disk: &dyn Disk, directory: &str, names: &[&str]) {
    let mut tree = MemoryTree::new();
    for name in names {
        tree.add_file(NodeId::ROOT, node(name), name.as_bytes());
    }
    change(disk, |volume| {
        volume.add_tree(&path(directory), &mut tree.source(), &go_on)
    })
    .unwrap();
}

fn assert_clean(disk: &dyn Disk) {
    let report = mkfs::ntfs::fsck::check(disk, &go_on).unwrap();
    assert!(report.findings().is_empty(), "{:?}", report.findings());
}

#[test]
fn names_that_differ_in_case_only_are_different_files_where_their_directory_says_so() {
    let mut tree = MemoryTree::new();
    let folder = tree.add_directory(NodeId::ROOT, node("folder"));
    for name in ["readme", "README", "b"] {
        tree.add_file(folder, node(name), name.as_bytes());
    }
    tree.add_directory(NodeId::ROOT, node("usual"));
    let options = NtfsOptions {
        case_policy: mkfs::CasePolicy::KeepBoth,
        ..NtfsOptions::default()
    };
    let disk = built(8 * MIB, &options, &tree);
    // Those that are there are replaced, those that only look so come beside them.
    add(&disk, "/folder", &["Readme", "ReadMe", "README", "B"]);
    add(&disk, "/usual", &["Name", "NAME"]);
    assert_clean(&disk);
    change(&disk, |volume| {
        volume.remove(&path("/folder/readme"), false)?;
        volume.rename(&path("/folder/Readme"), &path("/folder/readme"), false)?;
        volume.rename(&path("/folder/ReadMe"), &path("/usual/name (3)"), false)
    })
    .unwrap();
    assert_clean(&disk);
    for name in ["Readme", "ReadMe"] {
        let gone = change(&disk, |volume| {
            volume.remove(&path(&format!("/folder/{name}")), false)
        });
        let kind = gone.err().map(|error| error.kind());
        assert_eq!(
            kind,
            Some(mkfs::change::ChangeErrorKind::NotFound),
            "{name}"
        );
    }
    let names = Reader::new(disk.to_bytes()).names();
    let names: Vec<&str> = names.keys().map(String::as_str).collect();
    let expected = [
        "folder",
        "folder/B",
        "folder/README",
        "folder/b",
        "folder/readme",
        "usual",
        "usual/NAME (2)",
        "usual/Name",
        "usual/name (3)",
    ];
    assert_eq!(names, expected);
    dump(&disk, "case.ntfs");
}

#[test]
fn new_names_get_short_partners_where_the_volume_has_such_names() {
    let mut tree = MemoryTree::new();
    let folder = tree.add_directory(NodeId::ROOT, node("a long folder name"));
    tree.add_file(folder, node("some file of many.document"), b"first");
    let options = NtfsOptions {
        dos_names: mkfs::ntfs::DosNames::Generated,
        ..NtfsOptions::default()
    };
    let disk = built(8 * MIB, &options, &tree);
    let names: Vec<String> = (0..300)
        .map(|number| format!("some file of many {number}.document"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    add(&disk, "/a long folder name", &names);
    add(&disk, "/", &["short.txt", "one more long name"]);
    assert_clean(&disk);
    let found = Reader::new(disk.to_bytes()).names();
    let in_folder = |name: &str| found[&format!("a long folder name/{name}")];
    assert_eq!(found["short.txt"].1, 3);
    assert_eq!(found["one more long name"].1, 1);
    assert_eq!(found["ONEMOR~1"].1, 2);
    for (name, short) in [(0, "SOMEFI~2.DOC"), (2, "SOMEFI~4.DOC")] {
        let long = in_folder(&format!("some file of many {name}.document"));
        assert_eq!((long.1, in_folder(short)), (1, (long.0, 2)));
    }
    assert_eq!(found.len(), 2 + 1 + 2 * (1 + 300) + 2);
    // Found by either name; both go, and a new name makes a new partner.
    change(&disk, |volume| {
        volume.remove(&path("/a long folder name/SOMEFI~2.DOC"), false)?;
        volume.rename(
            &path("/a long folder name/some file of many 1.document"),
            &path("/another long name.text"),
            false,
        )?;
        volume.rename(&path("/ONEMOR~1"), &path("/plain"), false)
    })
    .unwrap();
    assert_clean(&disk);
    let found = Reader::new(disk.to_bytes()).names();
    for gone in [
        "SOMEFI~2.DOC",
        "some file of many 0.document",
        "SOMEFI~3.DOC",
    ] {
        assert!(
            !found.contains_key(&format!("a long folder name/{gone}")),
            "{gone}"
        );
    }
    assert_eq!(found["ANOTHE~1.TEX"].0, found["another long name.text"].0);
    assert_eq!(found["plain"].1, 3);
    assert!(!found.contains_key("ONEMOR~1"));
    dump(&disk, "short.ntfs");
}

/// Adds files of a size until the volume has no room for another; how many.
fn fill(disk: &dyn Disk, directory: &str, name: &str, size: usize) -> usize {
    let mut count = 0;
    loop {
        let mut tree = MemoryTree::new();
        let content = vec![b'x'; size];
        tree.add_file(NodeId::ROOT, node(&format!("{name} {count}")), &content);
        let outcome = change(disk, |volume| {
            volume.add_tree(&path(directory), &mut tree.source(), &go_on)
        });
        match outcome {
            Ok(_) => count += 1,
            Err(error) => {
                assert_eq!(
                    error.kind(),
                    mkfs::change::ChangeErrorKind::NoSpace,
                    "{error}"
                );
                return count;
            }
        }
    }
}

#[test]
fn a_full_volume_refuses_more_stays_as_it_is_and_takes_more_after_something_goes() {
    let disk = ntfs(4 * MIB, Some(512));
    change(&disk, |volume| volume.make_directory(&path("/d"), false)).unwrap();
    let count = fill(&disk, "/d", "filler", 20_000);
    assert!(count > 20, "{count}");
    let more = fill(&disk, "/", "small", 600);
    assert!(more > 0);
    let before = disk.to_bytes();
    let mut tree = MemoryTree::new();
    tree.add_file(NodeId::ROOT, node(&format!("small {more}")), &[b'x'; 600]);
    let refused = change(&disk, |volume| {
        volume.add_tree(&path("/"), &mut tree.source(), &go_on)
    });
    let kind = refused.err().map(|error| error.kind());
    assert_eq!(kind, Some(mkfs::change::ChangeErrorKind::NoSpace));
    assert!(
        before == disk.to_bytes(),
        "a change that was refused left something"
    );
    assert_clean(&disk);
    // What a change frees is there for the next one, not for itself.
    let mut tree = MemoryTree::new();
    tree.add_file(NodeId::ROOT, node("filler 0"), &vec![b'y'; 20_000]);
    let replaced = change(&disk, |volume| {
        volume.remove(&path("/d/filler 0"), false)?;
        volume.add_tree(&path("/d"), &mut tree.source(), &go_on)
    });
    let kind = replaced.err().map(|error| error.kind());
    assert_eq!(kind, Some(mkfs::change::ChangeErrorKind::NoSpace));
    assert!(before == disk.to_bytes());
    change(&disk, |volume| volume.remove(&path("/d/filler 0"), false)).unwrap();
    change(&disk, |volume| {
        volume.add_tree(&path("/d"), &mut tree.source(), &go_on)
    })
    .unwrap();
    assert_clean(&disk);
    dump(&disk, "full.ntfs");
}

/// A host that had no more space for the copy must not stay without.
#[test]
fn data_of_a_change_that_never_happens_is_given_back() {
    let fat32 = MemoryDisk::new(ByteCount(64 * MIB), SectorSize::B512).unwrap();
    let fat_options = mkfs::fat32::Fat32Options {
        label: String::new(),
        volume_id: 0x1234_5678,
        time: NtTime::from_unix(1_700_000_000, 0),
        name_policy: NamePolicy::Map,
        case_policy: mkfs::CasePolicy::Rename,
        cluster_size: Some(ByteCount(512)),
        hidden_sectors: 0,
    };
    mkfs::fat32::format(&fat32, &fat_options, None, &go_on).unwrap();
    for disk in [ntfs(64 * MIB, None), fat32] {
        let before = disk.to_bytes();
        let mut tree = MemoryTree::new();
        tree.add_file(NodeId::ROOT, node("large"), &vec![0x77; 8 << 20]);
        let stop = |bytes, _| match bytes < 5 << 20 {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        };
        let stopped = change(&disk, |volume| {
            volume.add_tree(&path("/"), &mut tree.source(), &stop)
        });
        assert!(matches!(stopped, Err(ChangeError::Interrupted)));
        assert!(disk.to_bytes() == before);
        // One that happens keeps its data.
        change(&disk, |volume| {
            volume.add_tree(&path("/"), &mut tree.source(), &go_on)
        })
        .unwrap();
        let data = [0x77; 4096];
        let kept = disk
            .to_bytes()
            .windows(4096)
            .step_by(512)
            .filter(|bytes| *bytes == data)
            .count();
        assert!(kept > 10_000, "{kept}");
    }
}

#[test]
fn a_file_in_thousands_of_pieces_is_spread_over_records_and_goes_again() {
    let disk = ntfs(24 * MIB, Some(512));
    let mut tree = MemoryTree::new();
    for number in 0..6000 {
        tree.add_file(NodeId::ROOT, node(&format!("{number:05}")), &[b'x'; 1500]);
    }
    change(&disk, |volume| {
        volume.make_directory(&path("/d"), false)?;
        volume.add_tree(&path("/d"), &mut tree.source(), &go_on)
    })
    .unwrap();
    fill(&disk, "/", "large", 200_000);
    change(&disk, |volume| {
        for number in (0..6000).step_by(2) {
            volume.remove(&path(&format!("/d/{number:05}")), false)?;
        }
        Ok(())
    })
    .unwrap();
    // Only gaps of three clusters are left: 2,500 pieces.
    let content: Vec<u8> = (0..2500 * 1536_u32).map(|at| at.to_le_bytes()[1]).collect();
    let mut tree = MemoryTree::new();
    tree.add_file(NodeId::ROOT, node("in pieces"), &content);
    change(&disk, |volume| {
        volume.add_tree(&path("/"), &mut tree.source(), &go_on)
    })
    .unwrap();
    assert_clean(&disk);
    dump(&disk, "pieces.ntfs");
    let mut reader = Reader::new(disk.to_bytes());
    let record = reader.walk()["in pieces"].record;
    // The crate reads the first pieces alone.
    let volume = NtfsVolume::open(&disk).unwrap();
    let file = volume.read_file(record).unwrap();
    let value = file.value(&volume, kind::DATA, "").unwrap().unwrap();
    assert!(value.read_all(&volume, 1 << 23).unwrap() == content);
    // What was spread is put together again, changed, and spread anew.
    change(&disk, |volume| {
        volume.rename(&path("/in pieces"), &path("/d/moved"), false)?;
        volume.set_attributes(
            &path("/d/moved"),
            mkfs::Attributes::HIDDEN,
            mkfs::Attributes::NONE,
        )
    })
    .unwrap();
    assert_clean(&disk);
    change(&disk, |volume| volume.remove(&path("/d/moved"), false)).unwrap();
    assert_clean(&disk);
}

#[test]
fn a_table_of_files_in_very_many_pieces_is_described_by_more_records() {
    let disk = ntfs(24 * MIB, Some(512));
    let numbered = |range: std::ops::Range<u32>, size: usize| {
        let mut tree = MemoryTree::new();
        for number in range {
            tree.add_file(
                NodeId::ROOT,
                node(&format!("{number:05}")),
                &vec![b'x'; size],
            );
        }
        tree
    };
    let add_numbered = |directory: &str, range: std::ops::Range<u32>, size: usize| {
        let tree = numbered(range, size);
        change(&disk, |volume| {
            volume.add_tree(&path(directory), &mut tree.source(), &go_on)
        })
    };
    change(&disk, |volume| {
        volume.make_directory(&path("/d"), false)?;
        volume.make_directory(&path("/e"), false)
    })
    .unwrap();
    add_numbered("/d", 0..6000, 1500).unwrap();
    fill(&disk, "/", "large", 200_000);
    fill(&disk, "/", "small", 2000);
    change(&disk, |volume| {
        for number in (0..6000).step_by(2) {
            volume.remove(&path(&format!("/d/{number:05}")), false)?;
        }
        Ok(())
    })
    .unwrap();
    // Their records are used again, then the table grows into gaps of three clusters.
    let pieces = |disk: &MemoryDisk| {
        let volume = NtfsVolume::open(disk).unwrap();
        let table = volume.read_file(0).unwrap();
        let has_list = table.attributes().unwrap().iter().any(|(_, attribute)| {
            attribute.kind == kind::DATA && matches!(&attribute.body, mkfs::ntfs::parse::BodyView::NonResident(body) if body.first_vcn > 0)
        });
        let data = table.value(&volume, kind::DATA, "").unwrap().unwrap();
        (data.map().unwrap().extents().len(), has_list)
    };
    add_numbered("/e", 0..3300, 8).unwrap();
    assert_clean(&disk);
    let (first, is_spread) = pieces(&disk);
    assert!(first > 100 && is_spread, "{first}");
    dump(&disk, "table.ntfs");
    // It goes on growing after it was read again, until it is told in words that it cannot.
    let mut last = first;
    let mut refused = None;
    for round in 0..40_u32 {
        match add_numbered("/e", 10_000 + round * 100..10_100 + round * 100, 8) {
            Ok(_) => {
                assert_clean(&disk);
                last = pieces(&disk).0;
            }
            Err(error) => {
                refused = Some(error.kind());
                break;
            }
        }
    }
    assert!(last > 3 * first, "{last} after {first}");
    let refused = refused.unwrap();
    let kinds = [
        mkfs::change::ChangeErrorKind::NoSpace,
        mkfs::change::ChangeErrorKind::Unsupported,
    ];
    assert!(kinds.contains(&refused), "{refused:?}");
    assert_clean(&disk);
    dump(&disk, "table-grown.ntfs");
    change(&disk, |volume| volume.remove(&path("/e"), true)).unwrap();
    assert_clean(&disk);
}

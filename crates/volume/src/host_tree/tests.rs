//! Host directories as trees: order, links, holes, what cannot be read, what changes.

use std::fs;
use std::io::Write;

use super::*;
use mkfs::FileContent;
use std::io::{Seek, SeekFrom};

fn tree(directory: &Path, keep_going: bool) -> HostTree {
    let options = HostTreeOptions {
        keep_going,
        xattr_streams: false,
        split_links: false,
        latest_time: None,
    };
    HostTree::open(directory, options).unwrap()
}

fn read_all(content: &mut FileContent) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.reader.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn drain(tree: &mut HostTree) -> Vec<(u32, u32, String, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(mut entry) = tree.next_entry().unwrap() {
        let bytes = match &mut entry.kind {
            EntryKind::File(content) => read_all(content).unwrap(),
            _ => Vec::new(),
        };
        all.push((entry.parent.0, entry.id.0, entry.name.to_string(), bytes));
    }
    all
}

#[test]
fn entries_come_sorted_and_parents_first() {
    let folder = tempfile::tempdir().unwrap();
    for directory in ["b", "a/deep"] {
        fs::create_dir_all(folder.path().join(directory)).unwrap();
    }
    for (file, text) in [("a/2", "two"), ("a/1", "one"), ("a/deep/x", "x"), ("c", "")] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let mut tree = tree(folder.path(), false);
    assert_eq!(tree.totals().unwrap().entries, 7);
    let found: Vec<(u32, String)> = drain(&mut tree)
        .into_iter()
        .map(|(parent, _, name, bytes)| (parent, name + &String::from_utf8(bytes).unwrap()))
        .collect();
    let expected = [
        (0, "a"),
        (1, "1one"),
        (1, "2two"),
        (1, "deep"),
        (4, "xx"),
        (0, "b"),
        (0, "c"),
    ];
    let expected: Vec<(u32, String)> = expected
        .iter()
        .map(|(p, n)| (*p, (*n).to_string()))
        .collect();
    assert_eq!(found, expected);
    assert!(tree.notes().is_empty());
}

#[test]
fn large_files_and_holes_are_delivered_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    let mut file = fs::File::create(&path).unwrap();
    file.set_len(8 << 20).unwrap();
    file.seek(SeekFrom::Start(4 << 20)).unwrap();
    file.write_all(&[7; 200_000]).unwrap();
    drop(file);
    let mut tree = tree(folder.path(), false);
    let entry = tree.next_entry().unwrap().unwrap();
    let EntryKind::File(mut content) = entry.kind else {
        panic!("a file was made");
    };
    assert!(content.is_well_formed());
    let islands = content.islands.clone();
    let data = read_all(&mut content).unwrap();
    let mut whole = vec![0; 8 << 20];
    let mut at = 0;
    for island in islands {
        let start = usize::try_from(island.start().get()).unwrap();
        let len = usize::try_from(island.len().get()).unwrap();
        whole[start..start + len].copy_from_slice(&data[at..at + len]);
        at += len;
    }
    assert_eq!(at, data.len());
    assert!(whole == fs::read(&path).unwrap());
}

fn large_file(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("large");
    fs::write(&path, vec![9; 300_000]).unwrap();
    path
}

/// Opens the one file of a tree and does something to it before it is read.
fn read_after(tree: &mut HostTree, act: impl FnOnce()) -> io::Result<Vec<u8>> {
    let entry = tree.next_entry().unwrap().unwrap();
    act();
    let EntryKind::File(mut content) = entry.kind else {
        panic!("a file was made");
    };
    let size = usize::try_from(content.size.get()).unwrap();
    let mut bytes = vec![0; size];
    content.reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_file_that_changes_while_it_is_read_is_named() {
    let cases: [fn(&Path); 3] = [
        |path| {
            fs::OpenOptions::new()
                .append(true)
                .open(path)
                .unwrap()
                .write_all(b"more")
                .unwrap();
        },
        |path| {
            fs::OpenOptions::new()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(1000)
                .unwrap();
        },
        |path| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        },
    ];
    for act in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = large_file(folder.path());
        let mut strict = tree(folder.path(), false);
        let error = read_after(&mut strict, || act(&path)).unwrap_err();
        let error = TreeError::from_read(error, || "not this".into());
        assert_eq!(
            (error.kind(), error.path()),
            (TreeErrorKind::Changed, "large")
        );

        let path = large_file(folder.path());
        let mut forgiving = tree(folder.path(), true);
        let bytes = read_after(&mut forgiving, || act(&path)).unwrap();
        assert_eq!(bytes.len(), 300_000);
        let notes = forgiving.notes();
        assert_eq!(notes.len(), 1);
        assert!(matches!(notes[0].reason, HostNoteReason::Incomplete(_)));
    }
}

#[test]
fn later_times_are_cut_for_reproducible_builds() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f"), "x").unwrap();
    let epoch = NtTime::from_unix(1_000_000_000, 0);
    let options = HostTreeOptions {
        keep_going: false,
        xattr_streams: false,
        split_links: false,
        latest_time: Some(epoch),
    };
    let mut tree = HostTree::open(folder.path(), options).unwrap();
    assert_eq!(tree.root_times(), Some(Times::all(epoch)));
    let entry = tree.next_entry().unwrap().unwrap();
    assert_eq!(entry.times, Times::all(epoch));
}

#[test]
fn a_directory_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = HostTree::open(&missing, HostTreeOptions::default()).unwrap_err();
    assert_eq!(error.kind(), TreeErrorKind::Unreadable);
    assert!(error.to_string().contains("missing"));
}

#[cfg(unix)]
mod on_unix {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_delivered_and_never_followed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("dir")).unwrap();
        fs::write(folder.path().join("dir/f"), "x").unwrap();
        for (target, link) in [
            ("dir", "1"),
            ("nowhere", "2"),
            ("/etc", "3"),
            ("4", "4"),
            ("..", "5"),
        ] {
            symlink(target, folder.path().join(link)).unwrap();
        }
        let mut tree = tree(folder.path(), false);
        let mut links = Vec::new();
        let mut count = 0;
        while let Some(entry) = tree.next_entry().unwrap() {
            count += 1;
            if let EntryKind::Symlink { target, directory } = entry.kind {
                links.push((String::from_utf16(&target).unwrap(), directory));
            }
        }
        assert_eq!(count, 7);
        let expected = [
            ("dir", true),
            ("nowhere", false),
            ("/etc", false),
            ("4", false),
            ("..", false),
        ];
        let expected: Vec<(String, bool)> = expected
            .iter()
            .map(|(t, d)| ((*t).to_string(), *d))
            .collect();
        assert_eq!(links, expected);
    }

    #[test]
    fn special_files_are_left_out_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        fs::write(folder.path().join("z"), "").unwrap();
        let mut tree = tree(folder.path(), false);
        let entries = drain(&mut tree);
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].1, 1);
        let expected = HostNote {
            path: "socket".into(),
            reason: HostNoteReason::SpecialFile,
        };
        assert_eq!(tree.notes(), [expected]);
        drop(socket);
    }

    #[test]
    fn bytes_that_are_not_unicode_are_mapped_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let name = OsStr::from_bytes(b"a\xFF\xC3\xA4");
        fs::write(folder.path().join(name), "x").unwrap();
        let mut tree = tree(folder.path(), false);
        let entries = drain(&mut tree);
        assert_eq!(entries[0].2, "a\u{F0FF}\u{E4}");
        assert_eq!(entries[0].3, b"x");
        assert_eq!(tree.notes()[0].reason, HostNoteReason::NameNotUnicode);
    }

    #[test]
    fn names_are_in_the_order_of_their_code_units() {
        let names: [&[u8]; 13] = [
            b"a",
            b"ab",
            b"a\xC3",
            b"a\xC3\xA4",
            b"a\xC3b",
            b"\xF0\x9F\x98\x80",
            b"\xEE\x80\x80",
            b"\xEF\xBF\xBD",
            b"\xEF\x83\xBF",
            b"\xFF",
            b"B",
            b"b",
            b"-",
        ];
        let names = names.map(OsStr::from_bytes);
        for a in names {
            for b in names {
                let units = |name| platform::units_of(name).0;
                let expected = units(a).cmp(&units(b)).then_with(|| a.cmp(b));
                assert_eq!(platform::order(a, b), expected, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_file_is_delivered_as_it_is_when_its_turn_comes() {
        for size in [5, 300_000] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("f");
            fs::write(&path, "seen").unwrap();
            let mut tree = tree(folder.path(), false);
            fs::write(&path, vec![7; size]).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            let later = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
            file.set_modified(later).unwrap();
            let entry = tree.next_entry().unwrap().unwrap();
            assert_eq!(entry.times, Times::all(NtTime::from_unix(1_000_000, 0)));
            let EntryKind::File(mut content) = entry.kind else {
                panic!("a file was made");
            };
            assert!(read_all(&mut content).unwrap() == vec![7; size]);
        }
    }

    #[test]
    fn what_takes_the_place_of_a_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let acts: [fn(&Path); 3] = [
            |path| symlink("/etc/passwd", path).unwrap(),
            |path| fs::create_dir(path).unwrap(),
            |path| {
                let mode = rustix::fs::Mode::RWXU;
                let kind = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
            },
        ];
        for (number, act) in acts.into_iter().enumerate() {
            let path = folder.path().join(number.to_string());
            fs::create_dir(&path).unwrap();
            fs::write(path.join("f"), "x").unwrap();
            let mut tree = tree(&path, false);
            fs::remove_file(path.join("f")).unwrap();
            act(&path.join("f"));
            assert_eq!(tree.next_entry().unwrap_err().path(), "f");
        }
    }

    #[test]
    fn a_file_that_vanishes_is_named_or_left_out() {
        for keep_going in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            for name in ["a", "b"] {
                fs::write(folder.path().join(name), "x").unwrap();
            }
            let mut tree = tree(folder.path(), keep_going);
            fs::remove_file(folder.path().join("a")).unwrap();
            if keep_going {
                let entries = drain(&mut tree);
                assert_eq!((entries.len(), entries[0].1), (1, 1));
                assert_eq!(tree.notes()[0].path, "a");
                assert!(tree.notes()[0].reason.is_left_out());
            } else {
                let error = tree.next_entry().unwrap_err();
                assert_eq!(
                    (error.kind(), error.path()),
                    (TreeErrorKind::Unreadable, "a")
                );
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn further_names_of_a_file_lead_to_the_first_and_count_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("b"), "data").unwrap();
    fs::create_dir(at("sub")).unwrap();
    fs::hard_link(at("b"), at("a")).unwrap();
    fs::hard_link(at("b"), at("sub/c")).unwrap();
    fs::write(at("lone"), "x").unwrap();
    let mut tree = tree(folder.path(), false);
    let totals = tree.totals().unwrap();
    assert_eq!((totals.entries, totals.data.get()), (3, 5));
    let mut kinds = Vec::new();
    while let Some(entry) = tree.next_entry().unwrap() {
        let target = match entry.kind {
            EntryKind::HardLink { target } => Some(target),
            _ => None,
        };
        kinds.push((entry.name.to_string(), target));
    }
    let expected = [
        ("a", None),
        ("b", Some(NodeId(1))),
        ("lone", None),
        ("sub", None),
        ("c", Some(NodeId(1))),
    ];
    assert_eq!(
        kinds,
        expected.map(|(name, target)| (name.to_owned(), target))
    );
}

#[cfg(unix)]
#[test]
fn user_attributes_are_streams_where_they_are_asked_for() {
    use std::io::Read as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "data").unwrap();
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty())
    };
    if set(&file, "user.zone", b"3").is_err() {
        // The host's file system has none.
        return;
    }
    set(&file, "user.b:c", b"").unwrap();
    set(folder.path(), "user.root", b"of the root").unwrap();
    let options = HostTreeOptions {
        xattr_streams: true,
        ..HostTreeOptions::default()
    };
    let mut tree = HostTree::open(folder.path(), options).unwrap();
    let mut found = Vec::new();
    while let Some(entry) = tree.next_entry().unwrap() {
        let mut text = String::new();
        let is_stream = matches!(entry.kind, EntryKind::Stream(_));
        if let EntryKind::Stream(mut content) | EntryKind::File(mut content) = entry.kind {
            content.reader.read_to_string(&mut text).unwrap();
        }
        found.push((entry.id.0, entry.name.to_string(), is_stream, text));
    }
    let expected = [
        (1, "root", true, "of the root"),
        (2, "file", false, "data"),
        (3, "b:c", true, ""),
        (4, "zone", true, "3"),
    ];
    assert_eq!(
        found,
        expected.map(|(id, name, is_stream, text)| (
            id,
            name.to_owned(),
            is_stream,
            text.to_owned()
        ))
    );
}

#[test]
fn many_small_files_come_in_order_each_with_its_own_content() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut expected = Vec::new();
    // Enough for several rounds of the thread that reads ahead, and what it leaves to others between them:
    // empty and large files, files of two names, directories with files of the same names.
    for number in 0..2000_u32 {
        let name = format!("file-{number:05}");
        let length = match number % 500 {
            7 => 0,
            8 => 70_000,
            _ => number % 300 + 1,
        };
        let bytes = vec![u8::try_from(number % 251).unwrap(); length.try_into().unwrap()];
        fs::write(at(&name), &bytes).unwrap();
        expected.push((name, bytes));
    }
    for number in [5, 333, 1700] {
        let link = format!("file-{number:05}-again");
        fs::hard_link(at(&format!("file-{number:05}")), at(&link)).unwrap();
        // Windows' names are not known to be of one file, so each has the content.
        let bytes = match cfg!(windows) {
            true => fs::read(at(&link)).unwrap(),
            false => Vec::new(),
        };
        expected.push((link, bytes));
        let below = format!("file-{number:05}.d");
        fs::create_dir(at(&below)).unwrap();
        expected.push((below.clone(), Vec::new()));
        for file in 0..400 {
            fs::write(at(&below).join(format!("file-{file:05}")), "below").unwrap();
            expected.push((format!("{below}/file-{file:05}"), b"below".to_vec()));
        }
    }
    expected.sort();
    let mut tree = tree(folder.path(), false);
    let mut names: Vec<String> = vec![String::new()];
    let mut found = Vec::new();
    for (parent, id, name, bytes) in drain(&mut tree) {
        let above = &names[usize::try_from(parent).unwrap()];
        let path = if above.is_empty() {
            name
        } else {
            format!("{above}/{name}")
        };
        assert_eq!(names.len(), usize::try_from(id).unwrap());
        names.push(path.clone());
        found.push((path, bytes));
    }
    found.sort();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found == expected, "{} and {}", found.0, expected.0);
    }
    // A second name of a file is no entry, where it is known to be one.
    let names = if cfg!(windows) { 3 } else { 0 };
    assert_eq!(tree.totals().unwrap().entries, 2000 + 3 + 3 * 400 + names);
}

#[test]
fn a_small_file_that_changes_before_its_turn_comes_as_it_is_then() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..600 {
        fs::write(folder.path().join(format!("{number:04}")), "as it was").unwrap();
    }
    let mut tree = tree(folder.path(), false);
    // Those that are read ahead too: files that grew, or are of another time, since they were seen.
    for number in [0, 100, 150, 400, 599] {
        fs::write(
            folder.path().join(format!("{number:04}")),
            "it is longer now",
        )
        .unwrap();
    }
    fs::remove_file(folder.path().join("0200")).unwrap();
    let mut seen = Vec::new();
    let error = loop {
        match tree.next_entry() {
            Ok(Some(mut entry)) => {
                let EntryKind::File(content) = &mut entry.kind else {
                    panic!("{}", entry.name);
                };
                seen.push((entry.name.to_string(), read_all(content).unwrap()));
            }
            Ok(None) => panic!("a file is gone"),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (error.kind(), error.path()),
        (TreeErrorKind::Unreadable, "0200")
    );
    assert_eq!(seen.len(), 200);
    for (name, bytes) in seen {
        let expected: &[u8] = match name.as_str() {
            "0000" | "0100" | "0150" => b"it is longer now",
            _ => b"as it was",
        };
        assert!(bytes == expected, "{name}: {bytes:?}");
    }
}

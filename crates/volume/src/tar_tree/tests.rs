//! Tests of reading tar streams, made by hand and by the crate `tar`. What GNU tar, bsdtar and
//! Python write is read in the end-to-end tests.

use std::io::{Cursor, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mkfs::{Attributes, EntryKind, NtTime, TreeEntry, TreeErrorKind, TreeSource};

use super::*;

mod hostile;

/// A head with a right checksum.
fn head(path: &[u8], kind: u8, size: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..path.len()].copy_from_slice(path);
    block[100..107].copy_from_slice(b"0000644");
    block[124..124 + size.len()].copy_from_slice(size);
    block[136..147].copy_from_slice(b"00000000012");
    block[156] = kind;
    block[257..263].copy_from_slice(b"ustar\0");
    block[263..265].copy_from_slice(b"00");
    seal(&mut block);
    block
}

fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A member with its content, padded.
fn member(path: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = head(path, kind, format!("{:011o}", content.len()).as_bytes());
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn link(path: &[u8], kind: u8, target: &[u8]) -> Vec<u8> {
    let mut bytes = head(path, kind, b"00000000000");
    bytes[157..157 + target.len()].copy_from_slice(target);
    seal(&mut bytes);
    bytes
}

/// PAX records for the next member.
fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    member(b"PaxHeaders/x", b'x', &lines(records))
}

fn lines(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        let rest = 3 + key.len() + value.len();
        let mut len = rest + 1;
        while len != rest + len.to_string().len() {
            len = rest + len.to_string().len();
        }
        bytes.extend(format!("{len} {key}=").as_bytes());
        bytes.extend(*value);
        bytes.push(b'\n');
    }
    bytes
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.extend([0; 1024]);
    bytes
}

fn open(bytes: &[u8]) -> Result<TarTree, TreeError> {
    let input = Box::new(Cursor::new(bytes.to_vec()));
    TarTree::open(input, "a.tar", TarTreeOptions::default())
}

fn read(content: mkfs::FileContent) -> Result<Vec<u8>, TreeError> {
    let mut bytes = Vec::new();
    let mut reader = content.reader;
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| TreeError::from_read(error, String::new))?;
    Ok(bytes)
}

/// A line for each entry: parent, number, name, and what it is.
fn listed(bytes: &[u8]) -> Result<Vec<String>, TreeError> {
    let mut tree = open(bytes)?;
    let mut lines = Vec::new();
    while let Some(entry) = tree.next_entry()? {
        lines.push(line(entry)?);
    }
    Ok(lines)
}

fn line(entry: TreeEntry) -> Result<String, TreeError> {
    let what = match entry.kind {
        EntryKind::Directory => "directory".to_owned(),
        EntryKind::File(content) => {
            assert!(content.is_well_formed());
            format!("file {}", String::from_utf8_lossy(&read(content)?))
        }
        EntryKind::Stream(content) => {
            format!("stream {}", String::from_utf8_lossy(&read(content)?))
        }
        EntryKind::Symlink { target, .. } => {
            format!("symlink {}", String::from_utf16_lossy(&target))
        }
        EntryKind::HardLink { target } => format!("link {}", target.0),
        EntryKind::ReparsePoint { data, directory } => {
            format!("reparse {} {directory}", data.len())
        }
        _ => "unknown".to_owned(),
    };
    Ok(format!(
        "{} {} {}: {what}",
        entry.parent.0, entry.id.0, entry.name
    ))
}

/// The error that an archive ends in.
fn error_of(bytes: &[u8]) -> TreeError {
    listed(bytes).unwrap_err()
}

#[test]
fn members_become_entries_and_missing_directories_are_made() {
    let bytes = archive(&[
        member(b"./", b'5', b""),
        member(b"./a/b/c", b'0', b"one"),
        member(b"a/d", 0, b"two"),
        member(b"e/", 0, b""),
        link(b"e/s", b'2', b"../a/d"),
        link(b"e/h", b'1', b"./a/d"),
        link(b"e/hh", b'1', b"e/h"),
    ]);
    let expected = [
        "0 1 a: directory",
        "1 2 b: directory",
        "2 3 c: file one",
        "1 4 d: file two",
        "0 5 e: directory",
        "5 6 s: symlink ../a/d",
        "5 7 h: link 4",
        "5 8 hh: link 4",
    ];
    assert_eq!(listed(&bytes).unwrap(), expected);
    let tree = open(&bytes).unwrap();
    let ten = Times::all(NtTime::from_unix(10, 0));
    assert_eq!(tree.root_times(), Some(ten));
}

#[test]
fn contents_that_nobody_reads_are_passed_over() {
    let bytes = archive(&[
        member(b"a", b'0', &[1; 100_000]),
        member(b"b", b'0', b"two"),
    ]);
    let mut tree = open(&bytes).unwrap();
    let first = tree.next_entry().unwrap().unwrap();
    let EntryKind::File(content) = first.kind else {
        panic!("a file was made");
    };
    let second = tree.next_entry().unwrap().unwrap();
    assert_eq!(line(second).unwrap(), "0 2 b: file two");
    // What is read too late is an error, never the bytes of another member.
    assert_eq!(read(content).unwrap_err().path(), "a");
    assert!(tree.next_entry().unwrap().is_none());
    assert!(tree.next_entry().unwrap().is_none());
}

#[test]
fn long_names_come_from_pax_and_gnu_heads() {
    let long = [b"d/".to_vec(), vec![b'n'; 200]].concat();
    let name = "n".repeat(200);
    let with_gnu = archive(&[
        member(b"././@LongLink", b'L', &[&long[..], b"\0"].concat()),
        member(b"d/nnn", b'0', b"x"),
        member(b"././@LongLink", b'K', &[&long[..], b"\0"].concat()),
        link(b"s", b'2', b"d/nnn"),
    ]);
    let with_pax = archive(&[
        pax(&[("path", &long)]),
        member(b"d/nnn", b'0', b"x"),
        pax(&[("linkpath", &long)]),
        link(b"s", b'2', b"d/nnn"),
    ]);
    for bytes in [with_gnu, with_pax] {
        let expected = [
            "0 1 d: directory".to_owned(),
            format!("1 2 {name}: file x"),
            format!("0 3 s: symlink d/{name}"),
        ];
        assert_eq!(listed(&bytes).unwrap(), expected);
    }
}

#[test]
fn sizes_and_times_of_records_go_before_those_of_the_head() {
    let mut file = head(b"f", b'0', b"00000000000");
    file.extend(b"hello");
    file.resize(1024, 0);
    let records: [(&str, &[u8]); 6] = [
        ("size", b"5"),
        ("mtime", b"1700000000.123456789"),
        ("atime", b"-1.5"),
        ("ctime", b"3"),
        ("LIBARCHIVE.creationtime", b"4.0000001"),
        ("comment", b"\n=\n"),
    ];
    let bytes = archive(&[pax(&records), file]);
    let mut tree = open(&bytes).unwrap();
    let entry = tree.next_entry().unwrap().unwrap();
    let expected = Times {
        created: NtTime::from_unix(4, 100),
        modified: NtTime::from_unix(1_700_000_000, 123_456_700),
        changed: NtTime::from_unix(3, 0),
        accessed: NtTime::from_unix(-2, 500_000_000),
    };
    assert_eq!(entry.times, expected);
    assert_eq!(line(entry).unwrap(), "0 1 f: file hello");

    let options = TarTreeOptions {
        latest_time: Some(NtTime::from_unix(100, 0)),
        ..TarTreeOptions::default()
    };
    let mut tree = TarTree::open(Box::new(Cursor::new(bytes)), "a", options).unwrap();
    let times = tree.next_entry().unwrap().unwrap().times;
    assert_eq!(times.modified, NtTime::from_unix(100, 0));
    assert_eq!(times.changed, NtTime::from_unix(3, 0));
}

#[test]
fn what_windows_knows_is_kept() {
    let descriptor = [
        1, 0, 4, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let security = STANDARD.encode(descriptor);
    let file: [(&str, &[u8]); 2] = [
        ("MSWINDOWS.fileattr", b"16419"),
        ("MSWINDOWS.rawsd", security.as_bytes()),
    ];
    let junction: [(&str, &[u8]); 2] = [
        ("MSWINDOWS.fileattr", b"1040"),
        ("MSWINDOWS.mountpoint", b"1"),
    ];
    let bytes = archive(&[
        pax(&file),
        member(b"f", b'0', b"data"),
        member(b"f:one", b'0', b"first"),
        member(b"f:two:$DATA", b'0', b"second"),
        member(b"g:no", b'0', b"a file"),
        pax(&junction),
        link(b"j", b'2', b"C:\\x"),
        pax(&[("MSWINDOWS.fileattr", b"1056")]),
        link(b"s", b'2', b"a\\b"),
    ]);
    let mut tree = open(&bytes).unwrap();
    let entry = tree.next_entry().unwrap().unwrap();
    assert_eq!(entry.attributes, Attributes::from_bits(0x40A3));
    assert_eq!(entry.security.as_ref().unwrap().as_bytes(), descriptor);
    let expected = [
        "0 1 f: file data",
        "0 2 one: stream first",
        "0 3 two: stream second",
        "0 4 g:no: file a file",
        "0 5 j: reparse 44 true",
        "0 6 s: reparse 36 false",
    ];
    assert_eq!(listed(&bytes).unwrap(), expected);
    // It was encrypted, and is stored plain.
    assert_eq!(tree.notes()[0].reason, TarNoteReason::StoredPlain);
}

#[test]
fn colons_of_other_systems_are_parts_of_names() {
    let bytes = archive(&[member(b"f", b'0', b""), member(b"f:x", b'0', b"")]);
    assert_eq!(listed(&bytes).unwrap()[1], "0 2 f:x: file ");
}

#[test]
fn a_windows_layer_gives_its_files() {
    let windows: [(&str, &[u8]); 1] = [("MSWINDOWS.fileattr", b"16")];
    let members = [
        pax(&windows),
        member(b"Hives", b'5', b""),
        member(b"Hives/SAM_Base", b'0', b"hive"),
        pax(&windows),
        member(b"Files", b'5', b""),
        pax(&windows),
        member(b"Files/Windows", b'5', b""),
        member(b"Files/Windows/a", b'0', b"x"),
        link(b"Files/b", b'1', b"Files/Windows/a"),
        member(b"UtilityVM/Files/c", b'0', b"y"),
    ];
    let bytes = archive(&members);
    let expected = ["0 1 Windows: directory", "1 2 a: file x", "0 3 b: link 2"];
    assert_eq!(listed(&bytes).unwrap(), expected);
    let mut tree = open(&bytes).unwrap();
    while tree.next_entry().unwrap().is_some() {}
    assert_eq!(
        tree.note_lines(),
        ["Hives: left out: no part of the volume, but of the layer (and 2 more)"]
    );
    // The same names that Windows did not write, or below a root, are plain.
    let plain = archive(&[member(b"Files/a", b'0', b"")]);
    assert_eq!(listed(&plain).unwrap().len(), 2);
    let root = [pax(&windows), member(b"./", b'5', b"")].concat();
    let rooted = archive(&[root, members[3..6].concat()]);
    assert_eq!(listed(&rooted).unwrap(), ["0 1 Files: directory"]);
    let link = archive(&[
        members[..3].concat(),
        link(b"Files/b", b'1', b"Hives/SAM_Base"),
    ]);
    assert!(error_of(&link).to_string().contains("left out"));
}

#[test]
fn holes_are_found_in_all_four_forms() {
    let data = [b"abcde".to_vec(), vec![0; 1019]].concat();
    let mut old = head(b"s", b'S', b"00000000005");
    let numbers = [(1000, 2), (3000, 3), (5000, 0)];
    for (slot, (offset, size)) in numbers.iter().enumerate() {
        let at = 386 + 24 * slot;
        old[at..at + 11].copy_from_slice(format!("{offset:011o}").as_bytes());
        old[at + 12..at + 23].copy_from_slice(format!("{size:011o}").as_bytes());
    }
    old[483..494].copy_from_slice(b"00000011610");
    seal(&mut old);
    old.extend(&data[..512]);
    let in_records: [(&str, &[u8]); 8] = [
        ("GNU.sparse.size", b"5000"),
        ("GNU.sparse.numblocks", b"2"),
        ("GNU.sparse.offset", b"1000"),
        ("GNU.sparse.numbytes", b"2"),
        ("GNU.sparse.offset", b"3000"),
        ("GNU.sparse.numbytes", b"3"),
        ("GNU.sparse.offset", b"5000"),
        ("GNU.sparse.numbytes", b"0"),
    ];
    let in_map: [(&str, &[u8]); 3] = [
        ("GNU.sparse.size", b"5000"),
        ("GNU.sparse.map", b"1000,2,3000,3"),
        ("GNU.sparse.name", b"s"),
    ];
    let in_content: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"s"),
        ("GNU.sparse.realsize", b"5000"),
    ];
    let mut content = b"2\n1000\n2\n3000\n3\n".to_vec();
    content.resize(512, 0);
    content.extend(b"abcde");
    let archives = [
        archive(&[old]),
        archive(&[pax(&in_records), member(b"s", b'0', b"abcde")]),
        archive(&[pax(&in_map), member(b"GNUSparseFile.1/s", b'0', b"abcde")]),
        archive(&[
            pax(&in_content),
            member(b"GNUSparseFile.1/s", b'0', &content),
        ]),
    ];
    for (number, bytes) in archives.iter().enumerate() {
        let mut tree = open(bytes).unwrap();
        let entry = tree.next_entry().unwrap().unwrap();
        assert_eq!(entry.name.to_string(), "s", "{number}");
        let EntryKind::File(content) = entry.kind else {
            panic!("a file was made");
        };
        assert_eq!(content.size.get(), 5000, "{number}");
        let islands: Vec<(u64, u64)> = content
            .islands
            .iter()
            .map(|island| (island.start().get(), island.len().get()))
            .collect();
        assert_eq!(islands, [(1000, 2), (3000, 3)], "{number}");
        assert_eq!(read(content).unwrap(), b"abcde", "{number}");
        assert!(tree.next_entry().unwrap().is_none(), "{number}");
    }
}

#[test]
fn devices_and_pipes_are_left_out_and_listed() {
    let bytes = archive(&[
        head(b"null", b'3', b"00000000000"),
        head(b"fifo", b'6', b"00000000000"),
        member(b"f", b'0', b""),
    ]);
    let mut tree = open(&bytes).unwrap();
    assert_eq!(
        line(tree.next_entry().unwrap().unwrap()).unwrap(),
        "0 1 f: file "
    );
    let notes: Vec<&str> = tree.notes().iter().map(|note| &*note.path).collect();
    assert_eq!(notes, ["null", "fifo"]);
}

#[test]
fn a_directory_may_come_again_and_nothing_else() {
    let twice = archive(&[member(b"d/", b'5', b""), member(b"d/", b'5', b"")]);
    assert_eq!(listed(&twice).unwrap(), ["0 1 d: directory"]);
    // What it says last counts, of the root too.
    let mut again = member(b"d/", b'5', b"");
    again[136..148].copy_from_slice(b"00000000017\0");
    seal(&mut again);
    let twice = archive(&[member(b"d/", b'5', b""), again.clone(), again]);
    let mut tree = open(&twice).unwrap();
    while tree.next_entry().unwrap().is_some() {}
    let amendments = tree.amendments();
    assert_eq!(amendments.len(), 1);
    assert_eq!(amendments[0].directory, NodeId(1));
    assert_eq!(amendments[0].times.modified, NtTime::from_unix(15, 0));
    assert!(tree.amendments().is_empty());
    for (first, second) in [(b'0', b'0'), (b'5', b'0'), (b'0', b'5')] {
        let bytes = archive(&[member(b"x", first, b""), member(b"./x", second, b"")]);
        let error = error_of(&bytes);
        assert_eq!(
            (error.kind(), error.path()),
            (TreeErrorKind::Malformed, "./x")
        );
    }
}

#[test]
fn packed_archives_are_told_by_their_first_bytes() {
    use std::io::Write;
    let plain = archive(&[member(b"f", b'0', &[b'x'; 700_000])]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&plain).unwrap();
    let packed = [
        gzip.finish().unwrap(),
        zstd::encode_all(&plain[..], 1).unwrap(),
        xz.finish().unwrap(),
    ];
    for bytes in packed {
        let lines = listed(&bytes).unwrap();
        assert_eq!(lines[0].len(), "0 1 f: file ".len() + 700_000);
        // Cut short, or with a byte changed, it is not taken for whole.
        assert!(listed(&bytes[..bytes.len() / 2]).is_err());
        let mut changed = bytes.clone();
        let place = changed.len() - 6;
        changed[place] ^= 0x55;
        assert!(listed(&changed).is_err());
    }
    let bzip2 = [b"BZh91AY&SY".to_vec(), vec![0; 100]].concat();
    assert_eq!(error_of(&bzip2).kind(), TreeErrorKind::Unsupported);
}

#[test]
fn what_is_packed_small_and_endless_is_read_no_further_than_asked() {
    // A gigabyte of zeros, packed: only the first bytes of it are unpacked.
    let big = head(b"zeros", b'0', b"77777777777");
    let input = Cursor::new(big).chain(io::repeat(0));
    let tree = TarTree::open(Box::new(input), "bomb", TarTreeOptions::default());
    let mut tree = tree.unwrap();
    let entry = tree.next_entry().unwrap().unwrap();
    let EntryKind::File(content) = entry.kind else {
        panic!("a file was made");
    };
    assert_eq!(content.size.get(), 0o77_777_777_777);
    let mut some = [1; 1000];
    let mut reader = content.reader;
    reader.read_exact(&mut some).unwrap();
    assert_eq!(some, [0; 1000]);
}

#[test]
fn archives_of_the_crate_tar_are_read() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    let long = format!("{}/file", "deep/".repeat(60));
    builder
        .append_data(&mut header, &long, &b"hello"[..])
        .unwrap();
    let bytes = builder.into_inner().unwrap();
    let lines = listed(&bytes).unwrap();
    assert_eq!(lines.len(), 61);
    assert_eq!(lines[60], "60 61 file: file hello");
}

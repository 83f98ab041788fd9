//! Tests of writing archives: what was written is read back, by us and by the crate `tar`.

use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::{Arc, Mutex};

use blockio::{ByteOffset, ByteRange};
use mkfs::{Attributes, NodeName, NtTime, SecurityDescriptor, Times};

use super::*;
use crate::tar_tree::{TarTree, TarTreeOptions};

/// A tree of given entries.
struct Given {
    entries: VecDeque<TreeEntry>,
    times: Times,
    security: Option<SecurityDescriptor>,
}

impl TreeSource for Given {
    fn next_entry(&mut self) -> std::result::Result<Option<TreeEntry>, TreeError> {
        Ok(self.entries.pop_front())
    }

    fn root_times(&self) -> Option<Times> {
        Some(self.times)
    }

    fn root_security(&self) -> Option<SecurityDescriptor> {
        self.security.clone()
    }
}

fn times(seconds: i64) -> Times {
    Times {
        created: NtTime::from_unix(seconds, 100),
        modified: NtTime::from_unix(seconds + 1, 999_999_900),
        changed: NtTime::from_unix(-seconds - 1, 500_000_000),
        accessed: NtTime::from_ticks(0),
    }
}

fn descriptor(tail: u8) -> SecurityDescriptor {
    let mut bytes = [0; 24];
    bytes[..4].copy_from_slice(&[1, 0, 4, 0x80]);
    bytes[23] = tail;
    SecurityDescriptor::from_bytes(&bytes).unwrap()
}

fn dense(bytes: &[u8]) -> FileContent {
    let size = ByteCount(u64::try_from(bytes.len()).unwrap());
    FileContent::dense(size, Box::new(Cursor::new(bytes.to_vec())))
}

fn sparse(size: u64, islands: &[(u64, &[u8])]) -> FileContent {
    let mut bytes = Vec::new();
    let mut ranges = Vec::new();
    for (start, data) in islands {
        let len = ByteCount(u64::try_from(data.len()).unwrap());
        ranges.push(ByteRange::new(ByteOffset(*start), len).unwrap());
        bytes.extend_from_slice(data);
    }
    FileContent {
        size: ByteCount(size),
        islands: ranges,
        reader: Box::new(Cursor::new(bytes)),
    }
}

/// Every kind of entry that a volume has.
fn sample() -> Given {
    let mut entries = VecDeque::new();
    let mut add = |parent: u32, name: &[u16], attributes: u32, security, kind| {
        let id = u32::try_from(entries.len()).unwrap() + 1;
        entries.push_back(TreeEntry {
            parent: NodeId(parent),
            id: NodeId(id),
            name: NodeName::new(name.to_vec()).unwrap(),
            times: times(i64::from(id)),
            attributes: Attributes::from_bits(attributes).with(Attributes::NORMAL),
            security,
            kind,
        });
        id
    };
    let text = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
    let link = |target: &str, junction| windows::link_data(&text(target), junction).unwrap();
    let plain = Some(descriptor(1));
    let d = add(0, &text("dir"), 0x2, plain.clone(), EntryKind::Directory);
    let stream = EntryKind::Stream(dense(b"of a directory"));
    add(0, &text("of"), 0, None, stream);
    let f = add(
        d,
        &text("f"),
        0x21,
        plain,
        EntryKind::File(dense(b"content")),
    );
    add(0, &text("one"), 0, None, EntryKind::Stream(dense(b"first")));
    let holes = sparse(100_000, &[(70_000, b"x")]);
    add(0, &text("two words"), 0, None, EntryKind::Stream(holes));
    let target = NodeId(f);
    add(0, &text("hard"), 0x21, None, EntryKind::HardLink { target });
    let holes = sparse(1 << 40, &[(0, &[7; 1000]), (1 << 39, &[8; 5])]);
    add(
        d,
        &text("sparse"),
        0x20,
        Some(descriptor(2)),
        EntryKind::File(holes),
    );
    add(
        d,
        &text("hole"),
        0x20,
        None,
        EntryKind::File(sparse(5_000, &[])),
    );
    add(
        d,
        &[0xD800, 0x61, 0xF0FF],
        0x20,
        None,
        EntryKind::File(dense(b"")),
    );
    add(
        d,
        &text(&"n".repeat(255)),
        0,
        None,
        EntryKind::File(dense(&[9; 512])),
    );
    let mut other = link("..\\dir\\f", false);
    add(
        0,
        &text("relative"),
        0x20,
        None,
        EntryKind::ReparsePoint {
            data: other.clone(),
            directory: false,
        },
    );
    other.extend([0, 0]);
    other[4] += 2;
    add(
        0,
        &text("other"),
        0x20,
        None,
        EntryKind::ReparsePoint {
            data: other,
            directory: true,
        },
    );
    add(
        0,
        &text("junction"),
        0,
        None,
        EntryKind::ReparsePoint {
            data: link("C:\\dir", true),
            directory: true,
        },
    );
    let mut lx = 0xA000_001D_u32.to_le_bytes().to_vec();
    lx.extend([8, 0, 0, 0, 2, 0, 0, 0]);
    lx.extend(b"/etc");
    add(
        0,
        &text("lx"),
        0x20,
        None,
        EntryKind::ReparsePoint {
            data: lx,
            directory: false,
        },
    );
    let mut unknown = 0x8000_0023_u32.to_le_bytes().to_vec();
    unknown.extend([0, 0, 0, 0]);
    add(
        0,
        &text("unknown"),
        0x20,
        None,
        EntryKind::ReparsePoint {
            data: unknown,
            directory: false,
        },
    );
    Given {
        entries,
        times: times(77),
        security: Some(descriptor(3)),
    }
}

/// A place that bytes are written to.
#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn exported(tree: &mut dyn TreeSource, compression: Compression) -> (Vec<u8>, ExportReport) {
    let bytes = Bytes::default();
    let go_on = |_, _| ControlFlow::Continue(());
    let report = export(tree, Box::new(bytes.clone()), compression, &go_on).unwrap();
    let bytes = bytes.0.lock().unwrap().clone();
    (bytes, report)
}

fn imported(bytes: Vec<u8>) -> TarTree {
    TarTree::open(
        Box::new(Cursor::new(bytes)),
        "a.tar",
        TarTreeOptions::default(),
    )
    .unwrap()
}

fn read(content: FileContent) -> (u64, Vec<ByteRange>, Vec<u8>) {
    let mut bytes = Vec::new();
    let FileContent {
        size,
        islands,
        mut reader,
    } = content;
    reader.read_to_end(&mut bytes).unwrap();
    (size.get(), islands, bytes)
}

#[test]
fn what_is_written_is_read_back_as_it_was() {
    let (bytes, report) = exported(&mut sample(), Compression::None);
    assert_eq!((report.files, report.streams, report.hard_links), (5, 3, 1));
    assert_eq!((report.directories, report.links), (1, 5));
    let mut tree = imported(bytes);
    let mut expected = sample();
    assert_eq!(tree.root_times(), expected.root_times());
    assert_eq!(tree.root_security(), expected.root_security());
    while let Some(entry) = expected.next_entry().unwrap() {
        let found = tree.next_entry().unwrap().unwrap();
        assert_eq!(found.id, entry.id);
        assert_eq!(found.name, entry.name);
        let is_stream = matches!(entry.kind, EntryKind::Stream(_));
        let is_link = matches!(entry.kind, EntryKind::HardLink { .. });
        if !is_stream {
            assert_eq!(found.parent, entry.parent);
            assert_eq!(found.times, entry.times, "{}", entry.name);
        }
        if !is_stream && !is_link {
            assert_eq!(found.attributes, entry.attributes, "{}", entry.name);
            assert_eq!(found.security, entry.security);
        }
        match (found.kind, entry.kind) {
            (EntryKind::File(found), EntryKind::File(content))
            | (EntryKind::Stream(found), EntryKind::Stream(content)) => {
                assert_eq!(read(found), read(content), "{}", entry.name);
            }
            (found, kind) => assert_eq!(format!("{found:?}"), format!("{kind:?}")),
        }
    }
    assert!(tree.next_entry().unwrap().is_none());
    assert!(tree.notes().is_empty());
}

#[test]
fn what_is_read_back_is_written_as_it_was() {
    let (first, _) = exported(&mut sample(), Compression::None);
    let (second, _) = exported(&mut imported(first.clone()), Compression::None);
    assert!(first == second);
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Xz] {
        let (packed, _) = exported(&mut sample(), compression);
        assert!(packed.len() < first.len());
        let (again, _) = exported(&mut sample(), compression);
        assert!(packed == again);
        let (unpacked, _) = exported(&mut imported(packed), Compression::None);
        assert!(unpacked == first);
    }
}

#[test]
fn the_crate_tar_reads_paths_and_contents() {
    let (bytes, _) = exported(&mut sample(), Compression::None);
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.push((path, content.len()));
    }
    assert_eq!(found[0], ("./".to_owned(), 0));
    assert_eq!(found[1], ("dir/".to_owned(), 0));
    assert_eq!(found[2], ("dir:of".to_owned(), 14));
    assert_eq!(found[3], ("dir/f".to_owned(), 7));
    assert!(found.contains(&(format!("dir/{}", "n".repeat(255)), 512)));
    assert!(found.contains(&("junction".to_owned(), 0)));
}

#[test]
fn an_output_that_fails_ends_the_work_with_its_error() {
    struct Full(u64);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(u64::try_from(bytes.len()).unwrap())
                .ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for room in [0, 3 << 20] {
        let mut tree = sample();
        if let Some(last) = tree.entries.back_mut() {
            last.kind = EntryKind::File(FileContent::dense(
                ByteCount(20 << 20),
                Box::new(io::repeat(1)),
            ));
        }
        let go_on = |_, _| ControlFlow::Continue(());
        let error = export(&mut tree, Box::new(Full(room)), Compression::None, &go_on);
        let Err(ExportError::Output(error)) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}

#[test]
fn a_content_that_is_shorter_than_its_size_is_an_error() {
    let mut tree = sample();
    if let Some(last) = tree.entries.back_mut() {
        last.kind = EntryKind::File(FileContent::dense(ByteCount(20), Box::new(io::empty())));
    }
    let go_on = |_, _| ControlFlow::Continue(());
    let error = export(&mut tree, Box::new(io::sink()), Compression::None, &go_on);
    assert!(error.unwrap_err().to_string().contains("unknown"));
}

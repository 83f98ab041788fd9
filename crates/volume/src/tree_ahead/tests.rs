//! What is read ahead is what the source delivers, in its order, failures in their places.

use std::io::Cursor;
use std::sync::atomic::{AtomicU32, Ordering};

use blockio::ByteCount;
use mkfs::{Attributes, FileContent, NodeId, NodeName};

use super::*;

/// What a source does at one entry.
#[derive(Clone, Copy)]
enum Step {
    /// A file of so many bytes.
    File(usize),
    /// A file that says so many bytes and has only so many.
    Short(usize, usize),
    /// A file of so many bytes that fails after so many.
    Fails(usize, usize),
    Directory,
    Error,
}

struct Steps {
    steps: std::vec::IntoIter<Step>,
    next_id: u32,
    delivered: Arc<AtomicU32>,
}

/// Bytes, then an error.
struct Failing(Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.0.read(out)? {
            0 => Err(TreeError::new(TreeErrorKind::Changed, "here", "changed").into()),
            count => Ok(count),
        }
    }
}

fn bytes(id: u32, count: usize) -> Vec<u8> {
    let numbers = (id..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes());
    numbers.take(count).collect()
}

impl TreeSource for Steps {
    fn next_entry(&mut self) -> Result<Option<TreeEntry>, TreeError> {
        let Some(step) = self.steps.next() else {
            return Ok(None);
        };
        let id = self.next_id;
        let dense = |size, reader| {
            let size = ByteCount(u64::try_from(size).unwrap());
            EntryKind::File(FileContent::dense(size, reader))
        };
        let kind = match step {
            Step::File(count) => dense(count, Box::new(Cursor::new(bytes(id, count)))),
            Step::Short(size, count) => dense(size, Box::new(Cursor::new(bytes(id, count)))),
            Step::Fails(size, count) => {
                dense(size, Box::new(Failing(Cursor::new(bytes(id, count)))))
            }
            Step::Directory => EntryKind::Directory,
            Step::Error => {
                let what = "cannot be read";
                return Err(TreeError::new(TreeErrorKind::Unreadable, "there", what));
            }
        };
        self.next_id += 1;
        self.delivered.fetch_add(1, Ordering::SeqCst);
        Ok(Some(TreeEntry {
            parent: NodeId::ROOT,
            id: NodeId(id),
            name: NodeName::from_text(&format!("n{id}")).unwrap(),
            times: Times::default(),
            attributes: Attributes::NONE,
            security: None,
            kind,
        }))
    }

    fn totals(&self) -> Option<TreeTotals> {
        Some(TreeTotals {
            entries: 77,
            data: ByteCount(7),
        })
    }
}

fn ahead(steps: Vec<Step>) -> (TreeAhead<Steps>, Arc<AtomicU32>) {
    let delivered = Arc::new(AtomicU32::new(0));
    let source = Steps {
        steps: steps.into_iter(),
        next_id: 1,
        delivered: Arc::clone(&delivered),
    };
    (TreeAhead::start(source).unwrap(), delivered)
}

/// The content of an entry, read in pieces of odd sizes.
fn content(entry: TreeEntry) -> io::Result<Vec<u8>> {
    let EntryKind::File(mut content) = entry.kind else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    let mut piece = vec![0; 10_007];
    loop {
        match content.reader.read(&mut piece)? {
            0 => return Ok(all),
            count => all.extend_from_slice(&piece[..count]),
        }
    }
}

#[test]
fn entries_and_contents_come_as_they_are() {
    let mut steps = vec![
        Step::File(0),
        Step::Directory,
        Step::File(BATCH_BYTES * (BATCHES + 5) + 3),
        Step::File(1),
        Step::File(BATCH_BYTES),
        Step::File(BATCH_BYTES - 1),
    ];
    steps.extend((0..3000).map(|number| Step::File(number % 977)));
    let (mut tree, _) = ahead(steps.clone());
    assert_eq!(tree.totals().unwrap().entries, 77);
    for (id, step) in (1..).zip(&steps) {
        let entry = tree.next_entry().unwrap().unwrap();
        assert_eq!(entry.id, NodeId(id));
        match step {
            Step::File(count) => assert!(content(entry).unwrap() == bytes(id, *count), "{id}"),
            _ => assert!(matches!(entry.kind, EntryKind::Directory)),
        }
    }
    for _ in 0..2 {
        assert!(tree.next_entry().unwrap().is_none());
    }
    assert_eq!(tree.into_source().unwrap().next_id, 3007);
}

#[test]
fn contents_that_are_not_read_are_passed_over() {
    let large = BATCH_BYTES * 3 + 5;
    let (mut tree, _) = ahead(vec![
        Step::File(large),
        Step::File(9),
        Step::File(large),
        Step::File(5),
    ]);
    let first = tree.next_entry().unwrap().unwrap();
    let EntryKind::File(mut first) = first.kind else {
        panic!("a file was made");
    };
    first.reader.read_exact(&mut [0; 100]).unwrap();
    let second = tree.next_entry().unwrap().unwrap();
    // Its turn is over.
    assert!(first.reader.read(&mut [0; 1]).is_err());
    assert_eq!(content(second).unwrap(), bytes(2, 9));
    tree.next_entry().unwrap().unwrap();
    let last = tree.next_entry().unwrap().unwrap();
    assert_eq!(content(last).unwrap(), bytes(4, 5));
    assert!(tree.next_entry().unwrap().is_none());
}

#[test]
fn failures_have_their_places() {
    let (mut tree, _) = ahead(vec![Step::File(3), Step::Error]);
    let first = tree.next_entry().unwrap().unwrap();
    assert_eq!(content(first).unwrap(), bytes(1, 3));
    assert_eq!(tree.next_entry().unwrap_err().path(), "there");

    let large = BATCH_BYTES + 10;
    for wanted in [10, large] {
        let fails = Step::Fails(2 * wanted, wanted);
        let (mut tree, _) = ahead(vec![Step::Directory, fails, Step::File(1)]);
        tree.next_entry().unwrap().unwrap();
        let entry = tree.next_entry().unwrap().unwrap();
        let error = TreeError::from_read(content(entry).unwrap_err(), || "not this".into());
        assert_eq!(
            (error.kind(), error.path()),
            (TreeErrorKind::Changed, "here")
        );

        let short = Step::Short(2 * wanted, wanted);
        let (mut tree, _) = ahead(vec![short, Step::File(1)]);
        let entry = tree.next_entry().unwrap().unwrap();
        assert!(content(entry).unwrap() == bytes(1, wanted));
        // What comes behind a content that failed cannot be known.
        assert!(tree.next_entry().is_err());
    }
}

#[test]
fn no_more_is_read_than_may_wait() {
    let steps = vec![Step::File(BATCH_BYTES); 1000];
    let (tree, delivered) = ahead(steps);
    thread::sleep(std::time::Duration::from_millis(50));
    let most = u32::try_from(BATCHES + 2).unwrap();
    assert!(delivered.load(Ordering::SeqCst) <= most);
    // Dropped, the thread ends at its next batch.
    let source = tree.into_source().unwrap();
    assert!(source.delivered.load(Ordering::SeqCst) <= most + 1);
}

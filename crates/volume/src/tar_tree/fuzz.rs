//! The body of the fuzz target `tar_import`.

use std::io::{self, Cursor, Read};

use mkfs::{EntryKind, FileContent, NodeId, TreeSource};

use super::{TarTree, TarTreeOptions};

/// What is read of one input: inputs that unpack to more are left there.
const MAX_BYTES: u64 = 8 << 20;
/// Entries that are looked at.
const MAX_ENTRIES: u32 = 20_000;

/// Reads an arbitrary stream as a tree and holds it to the promises of the tree model.
///
/// # Panics
/// Where a promise is broken.
pub fn fuzz_import(data: &[u8]) {
    let input = Box::new(Cursor::new(data.to_vec()));
    let Ok(mut tree) = TarTree::open(input, "input", TarTreeOptions::default()) else {
        return;
    };
    let mut kinds = vec!['d'];
    let mut left = MAX_BYTES;
    for expected in 1..=MAX_ENTRIES {
        let Ok(Some(entry)) = tree.next_entry() else {
            break;
        };
        assert_eq!(entry.id, NodeId(expected), "numbers follow each other");
        let of = |id: NodeId| usize::try_from(id.0).ok().and_then(|at| kinds.get(at));
        assert_eq!(of(entry.parent), Some(&'d'), "parents come first");
        let kind = match entry.kind {
            EntryKind::Directory => 'd',
            EntryKind::File(content) => {
                if !drain(content, &mut left) {
                    break;
                }
                'f'
            }
            EntryKind::Stream(content) => {
                if !drain(content, &mut left) {
                    break;
                }
                's'
            }
            EntryKind::HardLink { target } => {
                assert_eq!(of(target), Some(&'f'), "links lead to what came before");
                'h'
            }
            EntryKind::Symlink { target, .. } => {
                assert!(!target.is_empty(), "links lead somewhere");
                'f'
            }
            _ => 'f',
        };
        kinds.push(kind);
    }
    drop(tree.note_lines());
}

/// Reads a content; `false` where that failed, or enough was read.
fn drain(content: FileContent, left: &mut u64) -> bool {
    assert!(content.is_well_formed(), "islands are in order");
    let size = content.data_size().get();
    let limit = size.saturating_add(1).min(*left);
    let read = io::copy(&mut content.reader.take(limit), &mut io::sink());
    let Ok(read) = read else {
        return false;
    };
    *left -= read;
    assert!(read == size || *left == 0, "contents are as long as said");
    *left > 0
}

//! Index trees of every depth, walked back.

use super::*;
use std::collections::HashMap;

#[derive(Default)]
struct Blocks(Vec<Vec<u8>>);

impl BlockSink for Blocks {
    fn store(&mut self, block: &[u8]) -> Result<(), MkfsError> {
        self.0.push(block.to_vec());
        Ok(())
    }
}

/// Keys of a node's entries in order, children visited; panics on a node that is not well formed.
fn walk(
    node: &[u8],
    blocks: &HashMap<u64, Vec<u8>>,
    depth: usize,
    leaf_depths: &mut Vec<usize>,
    keys: &mut Vec<u32>,
) {
    let word = |at: usize| u32::from_le_bytes(node[at..at + 4].try_into().unwrap());
    let place = |at: usize| usize::try_from(word(at)).unwrap();
    let (mut at, used) = (place(0), place(4));
    assert!(used <= place(8));
    let has_children = node[12] & INDEX_NODE_HAS_CHILDREN != 0;
    if !has_children {
        leaf_depths.push(depth);
    }
    loop {
        let length = usize::from(u16::from_le_bytes([node[at + 8], node[at + 9]]));
        let flags = u16::from_le_bytes([node[at + 12], node[at + 13]]);
        assert!(length.is_multiple_of(8) && length >= 16);
        assert_eq!(flags & ENTRY_HAS_CHILD != 0, has_children);
        if has_children {
            let child = u64::from_le_bytes(node[at + length - 8..at + length].try_into().unwrap());
            walk(&blocks[&child], blocks, depth + 1, leaf_depths, keys);
        }
        if flags & ENTRY_IS_LAST != 0 {
            assert_eq!(at + length, used);
            return;
        }
        keys.push(word(at + 16));
        at += length;
    }
}

fn unprotected(block: &[u8]) -> (u64, Vec<u8>) {
    assert_eq!(block.len(), INDEX_BLOCK_SIZE);
    assert_eq!(block[..8], *b"INDX\x28\0\x09\0");
    let mut bytes = block.to_vec();
    for stride in 0..8 {
        let end = (stride + 1) * 512;
        assert_eq!(bytes[end - 2..end], [1, 0]);
        let slot = 0x2A + 2 * stride;
        let word = [bytes[slot], bytes[slot + 1]];
        bytes[end - 2..end].copy_from_slice(&word);
    }
    let number = u64::from_le_bytes(bytes[16..24].try_into().unwrap());
    (number, bytes[24..].to_vec())
}

fn check(count: u32, key_length: usize, units: u64) -> usize {
    let mut blocks = Blocks::default();
    let room = RootRoom {
        alone: 600,
        with_blocks: 100,
    };
    let mut builder = IndexBuilder::new(SECURITY_IDS, units, room, &mut blocks);
    for number in 0..count {
        let mut key = vec![0; key_length];
        key[..4].copy_from_slice(&number.to_le_bytes());
        builder.push(&IndexEntry::view(&key, &[]).unwrap()).unwrap();
    }
    let built = builder.finish().unwrap();
    assert_eq!(usize::try_from(built.blocks).unwrap(), blocks.0.len());
    let by_number: HashMap<u64, Vec<u8>> = blocks.0.iter().map(|b| unprotected(b)).collect();
    for number in 0..built.blocks {
        assert!(by_number.contains_key(&(number * units)));
    }
    let (mut depths, mut keys) = (Vec::new(), Vec::new());
    walk(&built.root[16..], &by_number, 0, &mut depths, &mut keys);
    assert_eq!(keys, (0..count).collect::<Vec<_>>());
    assert!(depths.iter().all(|depth| *depth == depths[0]));
    assert!(built.root.len() <= 32 + room.alone);
    depths[0]
}

#[test]
fn every_entry_is_found_in_order_at_every_size() {
    let mut deepest = 0;
    for count in (0..400).chain([1000, 3000, 7001]) {
        deepest = deepest.max(check(count, 560, 1));
    }
    assert_eq!(deepest, 5);
    for count in [0, 1, 20, 24, 25, 100, 4000] {
        check(count, 4, 8);
    }
}

#[test]
fn a_small_index_is_the_root_alone() {
    assert_eq!(check(10, 4, 1), 0);
    assert_eq!(check(30, 4, 1), 1);
}

#[test]
fn an_empty_index_is_that_of_windows() {
    let mut blocks = Blocks::default();
    let room = RootRoom {
        alone: 64,
        with_blocks: 24,
    };
    let built = IndexBuilder::new(OBJECT_IDS, 1, room, &mut blocks)
        .finish()
        .unwrap();
    // `$ObjId:$O` of a Windows 10 volume.
    let mut windows = vec![0, 0, 0, 0, 0x13, 0, 0, 0, 0, 0x10, 0, 0, 1, 0, 0, 0];
    windows.extend([0x10, 0, 0, 0, 0x20, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0]);
    windows.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(built.root, windows);
}

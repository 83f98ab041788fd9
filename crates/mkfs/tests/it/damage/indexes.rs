//! Indexes: roots, blocks, order, bitmaps.

use mkfs::ntfs::parse::kind;

use super::volume::{CLUSTER, Volume};

super::damages! {
    entries_out_of_order => "index-order",
    block_without_magic => "index-block",
    block_torn => "index-block",
    block_with_another_number => "index-vcn",
    block_with_the_mark_of_children => "index-leaf",
    block_with_more_bytes_in_use => "index-block",
    block_with_less_bytes_in_use => "index-entry",
    block_with_another_room => "index-node",
    block_free_in_the_bitmap => "index-bitmap",
    block_of_nobody_in_the_bitmap => "index-bitmap",
    block_outside_the_index => "index-child",
    block_in_two_places => "index-loop",
    entry_with_a_length_of_none => "index-entry",
    entry_with_a_key_past_its_end => "index-entry",
    entries_without_a_last_one => "index-entry",
    root_with_another_order => "index-root",
    root_of_another_type => "index-root",
    root_with_another_size_of_blocks => "index-root",
    root_with_other_units_of_blocks => "index-root",
    root_with_less_room => "index-node",
    root_without_the_mark_of_children => "index-leaf",
    entry_with_unknown_flags => "index-entry",
    entry_with_the_tag_of_another => "index-copy",
    entry_with_a_time_after_the_last => "time",
    node_with_unknown_flags => "index-node",
    end_of_a_node_with_a_key => "index-entry",
}

fn many(volume: &Volume) -> u64 {
    volume.find("many")
}

/// Where the node of the root begins in the record.
fn root(volume: &Volume) -> usize {
    volume.value(many(volume), kind::INDEX_ROOT, "$I30") + 0x10
}

/// Names of the same length, next to each other in one block.
fn entries_out_of_order(volume: &Volume) {
    volume.entry(many(volume), "a file of the number 150", |node, range| {
        let next = range.end..range.end + range.len();
        let swapped = [&node[next.clone()], &node[range.clone()]].concat();
        node[range.start..next.end].copy_from_slice(&swapped);
    });
}

fn raw_block(volume: &Volume) -> u64 {
    volume.place(many(volume), kind::INDEX_ALLOCATION, "$I30", CLUSTER)
}

fn block_without_magic(volume: &Volume) {
    volume.write(raw_block(volume), b"GONE");
}

fn block_torn(volume: &Volume) {
    volume.write(raw_block(volume) + 1534, &[0x77, 0x77]);
}

fn block_with_another_number(volume: &Volume) {
    volume.block(many(volume), 1, |block| block[0x10] = 9);
}

fn block_with_the_mark_of_children(volume: &Volume) {
    volume.block(many(volume), 1, |block| block[0x24] = 1);
}

fn block_with_more_bytes_in_use(volume: &Volume) {
    volume.block(many(volume), 1, |block| block[0x1D] = 0x20);
}

fn block_with_less_bytes_in_use(volume: &Volume) {
    volume.block(many(volume), 1, |block| {
        block[0x1C..0x20].copy_from_slice(&[0x80, 0, 0, 0])
    });
}

fn block_with_another_room(volume: &Volume) {
    volume.block(many(volume), 1, |block| {
        block[0x20..0x24].copy_from_slice(&[0, 0x20, 0, 0])
    });
}

fn block_free_in_the_bitmap(volume: &Volume) {
    volume.in_value(many(volume), kind::BITMAP, "$I30", 0, &[0xFE]);
}

fn block_of_nobody_in_the_bitmap(volume: &Volume) {
    volume.in_value(many(volume), kind::BITMAP, "$I30", 7, &[0x80]);
}

/// Where the child of the last entry of a node stands.
fn last_child(node: &[u8]) -> std::ops::Range<usize> {
    let used = usize::from(u16::from_le_bytes([node[4], node[5]]));
    used - 8..used
}

fn block_outside_the_index(volume: &Volume) {
    let start = root(volume);
    volume.record(many(volume), |record| {
        let child = last_child(&record[start..]);
        record[start..][child].copy_from_slice(&1000_u64.to_le_bytes());
    });
}

/// The root has one child, which has all others; its last one becomes its first.
fn block_in_two_places(volume: &Volume) {
    let start = root(volume);
    let mut inner = 0;
    volume.record(many(volume), |record| {
        let child = last_child(&record[start..]);
        inner = u64::from(record[start..][child][0]);
    });
    volume.block(many(volume), inner, |block| {
        let child = last_child(&block[0x18..]);
        block[0x18..][child].copy_from_slice(&0_u64.to_le_bytes());
    });
}

fn entry_with_a_length_of_none(volume: &Volume) {
    volume.in_entry(many(volume), "a file of the number 11", 8, &[3, 0]);
}

fn entry_with_a_key_past_its_end(volume: &Volume) {
    volume.in_entry(many(volume), "a file of the number 11", 10, &[0xFF, 0]);
}

fn entries_without_a_last_one(volume: &Volume) {
    volume.block(many(volume), 1, |block| {
        let used = usize::from(u16::from_le_bytes([block[0x1C], block[0x1D]]));
        block[0x18 + used - 4] = 0;
    });
}

fn in_root(volume: &Volume, at: usize, value: u8) {
    volume.in_value(many(volume), kind::INDEX_ROOT, "$I30", at, &[value]);
}

fn root_with_another_order(volume: &Volume) {
    in_root(volume, 4, 0);
}

fn root_of_another_type(volume: &Volume) {
    in_root(volume, 0, 0);
}

fn root_with_another_size_of_blocks(volume: &Volume) {
    in_root(volume, 9, 8);
}

fn root_with_other_units_of_blocks(volume: &Volume) {
    in_root(volume, 12, 3);
}

fn root_with_less_room(volume: &Volume) {
    in_root(volume, 0x18, 16);
}

fn root_without_the_mark_of_children(volume: &Volume) {
    in_root(volume, 0x1C, 0);
}

fn entry_with_unknown_flags(volume: &Volume) {
    volume.in_entry(5, "small file.txt", 12, &[0x10]);
}

/// A file that is no reparse point, and has no extended attributes.
fn entry_with_the_tag_of_another(volume: &Volume) {
    volume.in_entry(5, "small file.txt", 0x10 + 0x3C, &[0xC, 0, 0, 0xA0]);
}

fn entry_with_a_time_after_the_last(volume: &Volume) {
    volume.in_entry(5, "small file.txt", 0x10 + 15, &[0x80]);
}

fn node_with_unknown_flags(volume: &Volume) {
    volume.block(many(volume), 1, |block| block[0x18 + 12] |= 0x40);
}

/// The directory holds one name, and then ends.
fn end_of_a_node_with_a_key(volume: &Volume) {
    let directory = volume.find("outer/inner directory");
    volume.entry(directory, "deep.txt", |node, range| {
        node[range.end + 10] = 8
    });
}

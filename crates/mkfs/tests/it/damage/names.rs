//! Names, links and parents.

use mkfs::ntfs::parse::kind;

use super::volume::{ROOT, Volume};

super::damages! {
    links_counted_wrongly => "link-count",
    name_with_another_parent => "name-parent",
    name_in_another_directory => "index-missing",
    name_with_an_older_parent => "name-parent",
    name_space_that_differs_in_the_record => "name-space",
    name_space_that_differs_in_the_directory => "name-space",
    name_space_of_dos_for_a_long_name => "name-space",
    name_space_of_none => "name-space",
    name_of_windows_without_one_of_dos => "name-pair",
    name_with_a_slash => "name-character",
    name_spelt_otherwise_in_the_record => "index-missing",
    name_spelt_otherwise_in_the_directory => "index-stranger",
    name_longer_than_its_attribute => "name",
    name_of_no_letters => "name",
    file_missing_from_its_directory => "orphan",
    entry_of_a_file_in_two_directories => "index-stranger",
    directories_that_hold_each_other => "directory-loop",
    security_of_no_descriptor => "security-id",
    entry_of_another_parent => "index-parent",
    entry_of_an_older_file => "index-sequence",
    entry_of_a_free_record => "index-target",
    entry_of_an_extension_record => "index-target",
    entry_with_another_size => "index-copy",
    entry_with_another_space => "index-copy",
    entry_with_other_attributes => "index-copy",
    entry_with_another_reparse_tag => "index-copy",
}

const SMALL: &str = "small file.txt";

/// Bytes of an entry before its key; and in the key to the attributes, tag, name space and name.
const KEY: usize = 0x10;
const SPACE: usize = 0x41;
const NAME: usize = 0x42;

fn small(volume: &Volume) -> u64 {
    volume.find(SMALL)
}

fn in_name(volume: &Volume, at: usize, bytes: &[u8]) {
    volume.in_value(small(volume), kind::FILE_NAME, "", at, bytes);
}

fn links_counted_wrongly(volume: &Volume) {
    volume.record(small(volume), |bytes| bytes[0x12] = 2);
}

fn name_with_another_parent(volume: &Volume) {
    // A file, which holds no names.
    let parent = volume.find("first large file") | 1 << 48;
    in_name(volume, 0, &parent.to_le_bytes());
}

fn name_in_another_directory(volume: &Volume) {
    let parent = volume.find("outer") | 1 << 48;
    in_name(volume, 0, &parent.to_le_bytes());
}

fn name_with_an_older_parent(volume: &Volume) {
    in_name(volume, 6, &[4]);
}

fn name_space_that_differs_in_the_record(volume: &Volume) {
    in_name(volume, SPACE, &[1]);
}

fn name_space_that_differs_in_the_directory(volume: &Volume) {
    volume.in_entry(ROOT, SMALL, KEY + SPACE, &[1]);
}

fn both_spaces(volume: &Volume, space: u8) {
    in_name(volume, SPACE, &[space]);
    volume.in_entry(ROOT, SMALL, KEY + SPACE, &[space]);
}

fn name_space_of_dos_for_a_long_name(volume: &Volume) {
    both_spaces(volume, 3);
}

fn name_space_of_none(volume: &Volume) {
    both_spaces(volume, 9);
}

fn name_of_windows_without_one_of_dos(volume: &Volume) {
    both_spaces(volume, 1);
}

fn name_with_a_slash(volume: &Volume) {
    // "small/file.txt" comes where "small file.txt" came.
    in_name(volume, NAME + 10, b"/");
    volume.in_entry(ROOT, SMALL, KEY + NAME + 10, b"/");
}

fn name_spelt_otherwise_in_the_record(volume: &Volume) {
    in_name(volume, NAME + 2, b"n");
}

fn name_spelt_otherwise_in_the_directory(volume: &Volume) {
    volume.in_entry(ROOT, SMALL, KEY + NAME + 2, b"n");
}

fn name_longer_than_its_attribute(volume: &Volume) {
    in_name(volume, 0x40, &[200]);
}

fn name_of_no_letters(volume: &Volume) {
    in_name(volume, 0x40, &[0]);
}

fn file_missing_from_its_directory(volume: &Volume) {
    volume.entry(
        volume.find("many"),
        "a file of the number 7",
        |node, range| {
            let used = usize::from(u16::from_le_bytes([node[4], node[5]]));
            node.copy_within(range.end..used, range.start);
            let used = u16::try_from(used - range.len()).unwrap();
            node[4..6].copy_from_slice(&used.to_le_bytes());
        },
    );
}

fn entry_of_a_file_in_two_directories(volume: &Volume) {
    // The name of one file leads to another, which has its own.
    let other = volume.find("first large file") | 1 << 48;
    volume.in_entry(ROOT, SMALL, 0, &other.to_le_bytes());
}

fn directories_that_hold_each_other(volume: &Volume) {
    let (outer, inner) = (volume.find("outer"), volume.find("outer/inner directory"));
    let parent = inner | 1 << 48;
    volume.in_value(outer, kind::FILE_NAME, "", 0, &parent.to_le_bytes());
}

fn security_of_no_descriptor(volume: &Volume) {
    let id = 0x999_u32.to_le_bytes();
    volume.in_value(small(volume), kind::STANDARD_INFORMATION, "", 0x34, &id);
}

fn entry_of_another_parent(volume: &Volume) {
    let parent = volume.find("outer") | 1 << 48;
    volume.in_entry(ROOT, SMALL, KEY, &parent.to_le_bytes());
}

fn entry_of_an_older_file(volume: &Volume) {
    volume.in_entry(ROOT, SMALL, 6, &[9]);
}

fn entry_of_a_free_record(volume: &Volume) {
    volume.in_entry(ROOT, SMALL, 0, &(20_u64 | 1 << 48).to_le_bytes());
}

fn entry_of_an_extension_record(volume: &Volume) {
    let extension = super::streams::extension(volume);
    volume.in_entry(ROOT, SMALL, 0, &(extension | 1 << 48).to_le_bytes());
}

fn entry_with_another_size(volume: &Volume) {
    volume.in_entry(ROOT, SMALL, KEY + 0x30, &[200]);
}

fn entry_with_another_space(volume: &Volume) {
    volume.in_entry(ROOT, "first large file", KEY + 0x28, &[0, 0x10]);
}

fn entry_with_other_attributes(volume: &Volume) {
    volume.in_entry(ROOT, SMALL, KEY + 0x38, &[0x23]);
}

fn entry_with_another_reparse_tag(volume: &Volume) {
    volume.in_entry(ROOT, "symbolic link", KEY + 0x3C, &[0x03]);
}

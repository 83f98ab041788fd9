//! Streams, their clusters, `$Bitmap`, and files of several records.

use mkfs::ntfs::parse::kind;

use super::volume::{CLUSTER, Volume};

super::damages! {
    cluster_of_a_file_free_in_the_bitmap => "bitmap-unmarked",
    cluster_of_nobody_taken_in_the_bitmap => "bitmap-lost",
    clusters_of_two_files => "cluster-double",
    clusters_outside_the_volume => "runs",
    runs_without_an_end => "runs",
    runs_with_a_length_of_none => "runs",
    last_cluster_that_is_not_the_last => "attribute-vcn",
    first_cluster_that_is_not_the_first => "attribute-vcn",
    space_that_is_not_that_of_the_runs => "size-allocated",
    size_larger_than_the_space => "size-allocated",
    more_valid_bytes_than_there_are => "size-initialized",
    holes_counted_as_space => "size-total",
    holes_in_a_file_that_is_not_sparse => "runs-hole",
    bits_behind_the_last_cluster => "bitmap-tail",
    bitmap_that_is_too_short => "bitmap-size",
    list_with_an_attribute_that_is_not_there => "list-entry",
    list_that_names_a_record_of_another_time => "list-entry",
    stream_compressed_by_units_of_another_size => "attribute-flags",
    stream_compressed_by_an_unknown_method => "attribute-flags",
    stream_that_is_sparse_without_saying_its_space => "attribute-flags",
    list_out_of_order => "list-order",
    list_of_another_record => "list",
    list_that_lacks_an_attribute => "list-missing",
    extension_of_another_file => "list",
    extension_that_nobody_lists => "record-extension",
    part_that_begins_elsewhere => "attribute-vcn",
    stream_that_is_encrypted_alone => "attribute-flags",
    stream_with_units_that_is_plain => "attribute-flags",
    extension_with_the_mark_of_a_directory => "record-flags",
}

const COMB: &str = "comb of holes";

/// The first extension record of the file with an attribute list.
pub(super) fn extension(volume: &Volume) -> u64 {
    let entry = extension_entry(volume);
    entry.1
}

/// Where the first entry of another record stands in the list, and that record.
fn extension_entry(volume: &Volume) -> (usize, u64) {
    let comb = volume.find(COMB);
    let mut found = None;
    for (at, bytes) in list(volume) {
        let record = u64::from_le_bytes(bytes[0x10..0x18].try_into().unwrap()) & 0xFFFF_FFFF_FFFF;
        if record != comb && found.is_none() {
            found = Some((at, record));
        }
    }
    found.unwrap()
}

/// The entries of the list, each with its place in the value.
fn list(volume: &Volume) -> Vec<(usize, Vec<u8>)> {
    let comb = volume.find(COMB);
    let start = volume.value(comb, kind::ATTRIBUTE_LIST, "");
    let attribute = volume.attribute(comb, kind::ATTRIBUTE_LIST, "");
    let mut entries = Vec::new();
    volume.record(comb, |bytes| {
        let length = u32::from_le_bytes(
            bytes[attribute.start + 0x10..attribute.start + 0x14]
                .try_into()
                .unwrap(),
        );
        let value = &bytes[start..start + usize::try_from(length).unwrap()];
        let mut at = 0;
        while at < value.len() {
            let length = usize::from(value[at + 4]);
            entries.push((at, value[at..at + length].to_vec()));
            at += length;
        }
    });
    entries
}

fn large(volume: &Volume) -> u64 {
    volume.find("first large file")
}

fn in_data(volume: &Volume, at: usize, bytes: &[u8]) {
    volume.in_attribute(large(volume), kind::DATA, "", at, bytes);
}

fn cluster_of_a_file_free_in_the_bitmap(volume: &Volume) {
    volume.bit(6, kind::DATA, "", volume.cluster(large(volume)) + 1, false);
}

fn cluster_of_nobody_taken_in_the_bitmap(volume: &Volume) {
    volume.bit(6, kind::DATA, "", 16 * 256 - 3, true);
}

/// The runs of the second file become those of the first.
fn clusters_of_two_files(volume: &Volume) {
    let second = volume.find("second large file");
    let from = volume.attribute(large(volume), kind::DATA, "");
    let mut attribute = Vec::new();
    volume.record(large(volume), |bytes| {
        attribute = bytes[from.clone()].to_vec()
    });
    volume.in_attribute(second, kind::DATA, "", 0x40, &attribute[0x40..]);
}

fn clusters_outside_the_volume(volume: &Volume) {
    // One byte of length, three of a start beyond the end.
    in_data(volume, 0x40, &[0x31, 5, 0xFF, 0xFF, 0x7F, 0, 0, 0]);
}

fn runs_without_an_end(volume: &Volume) {
    in_data(volume, 0x40, &[0x44, 5, 0, 0, 0, 0xFF, 0xFF, 0xFF]);
}

fn runs_with_a_length_of_none(volume: &Volume) {
    in_data(volume, 0x41, &[0]);
}

fn last_cluster_that_is_not_the_last(volume: &Volume) {
    in_data(volume, 0x18, &[6]);
}

fn first_cluster_that_is_not_the_first(volume: &Volume) {
    in_data(volume, 0x10, &[1]);
    in_data(volume, 0x18, &[5]);
}

fn space_that_is_not_that_of_the_runs(volume: &Volume) {
    in_data(volume, 0x28, &(9 * CLUSTER).to_le_bytes());
}

fn size_larger_than_the_space(volume: &Volume) {
    in_data(volume, 0x30, &(9 * CLUSTER).to_le_bytes());
}

fn more_valid_bytes_than_there_are(volume: &Volume) {
    in_data(volume, 0x38, &(5 * CLUSTER + 1).to_le_bytes());
}

fn holes_counted_as_space(volume: &Volume) {
    let sparse = volume.find("sparse file");
    volume.in_attribute(sparse, kind::DATA, "", 0x40, &(1_u64 << 20).to_le_bytes());
}

fn holes_in_a_file_that_is_not_sparse(volume: &Volume) {
    volume.in_attribute(volume.find("sparse file"), kind::DATA, "", 0x0C, &[0, 0]);
}

fn bits_behind_the_last_cluster(volume: &Volume) {
    let clusters = (volume.boot_copy() / 512) / 8;
    volume.bit(6, kind::DATA, "", clusters, false);
}

fn bitmap_that_is_too_short(volume: &Volume) {
    volume.in_attribute(6, kind::DATA, "", 0x30, &256_u64.to_le_bytes());
    volume.in_attribute(6, kind::DATA, "", 0x38, &256_u64.to_le_bytes());
}

fn list_with_an_attribute_that_is_not_there(volume: &Volume) {
    let (at, _) = extension_entry(volume);
    volume.in_value(
        volume.find(COMB),
        kind::ATTRIBUTE_LIST,
        "",
        at + 0x18,
        &[0x77],
    );
}

fn list_that_names_a_record_of_another_time(volume: &Volume) {
    // Its own record, which the first attribute stands in.
    let comb = volume.find(COMB);
    volume.in_value(comb, kind::ATTRIBUTE_LIST, "", 0x16, &[7, 0]);
}

fn stream_compressed_by_units_of_another_size(volume: &Volume) {
    in_data(volume, 0x22, &[9, 0]);
}

fn stream_compressed_by_an_unknown_method(volume: &Volume) {
    in_data(volume, 0x0C, &[2, 0]);
    in_data(volume, 0x22, &[4, 0]);
}

fn stream_that_is_sparse_without_saying_its_space(volume: &Volume) {
    in_data(volume, 0x0C, &[0, 0x80]);
}

fn list_out_of_order(volume: &Volume) {
    let entries = list(volume);
    let swapped = [entries[1].1.as_slice(), &entries[0].1].concat();
    let comb = volume.find(COMB);
    volume.in_value(comb, kind::ATTRIBUTE_LIST, "", entries[0].0, &swapped);
}

fn list_of_another_record(volume: &Volume) {
    let (at, _) = extension_entry(volume);
    let record = (large(volume) | 1 << 48).to_le_bytes();
    volume.in_value(
        volume.find(COMB),
        kind::ATTRIBUTE_LIST,
        "",
        at + 0x10,
        &record,
    );
}

/// The entry of the name becomes a second one of the standard information.
fn list_that_lacks_an_attribute(volume: &Volume) {
    let entries = list(volume);
    let comb = volume.find(COMB);
    let first = entries[0].1.clone();
    volume.in_value(comb, kind::ATTRIBUTE_LIST, "", entries[1].0, &first);
}

fn extension_of_another_file(volume: &Volume) {
    let base = (large(volume) | 1 << 48).to_le_bytes();
    volume.record(extension(volume), |bytes| {
        bytes[0x20..0x28].copy_from_slice(&base)
    });
}

/// A record of its own becomes one that holds attributes of another.
fn extension_that_nobody_lists(volume: &Volume) {
    let base = (large(volume) | 1 << 48).to_le_bytes();
    let file = volume.find("many/a file of the number 9");
    volume.record(file, |bytes| bytes[0x20..0x28].copy_from_slice(&base));
}

fn part_that_begins_elsewhere(volume: &Volume) {
    let record = extension(volume);
    let start = volume.attribute(record, kind::DATA, "").start;
    let (at, _) = extension_entry(volume);
    let mut first = 0;
    volume.record(record, |bytes| {
        first = u64::from_le_bytes(bytes[start + 0x10..start + 0x18].try_into().unwrap()) + 3;
        bytes[start + 0x10..start + 0x18].copy_from_slice(&first.to_le_bytes());
        let last = u64::from_le_bytes(bytes[start + 0x18..start + 0x20].try_into().unwrap()) + 3;
        bytes[start + 0x18..start + 0x20].copy_from_slice(&last.to_le_bytes());
    });
    let comb = volume.find(COMB);
    volume.in_value(comb, kind::ATTRIBUTE_LIST, "", at + 8, &first.to_le_bytes());
}

fn stream_that_is_encrypted_alone(volume: &Volume) {
    in_data(volume, 12, &[0, 0x40]);
}

fn stream_with_units_that_is_plain(volume: &Volume) {
    in_data(volume, 0x22, &[4]);
}

fn extension_with_the_mark_of_a_directory(volume: &Volume) {
    volume.record(extension(volume), |bytes| bytes[0x16] |= 2);
}

//! Heads of records and attributes, and the bitmap of records.

use mkfs::ntfs::parse::kind;

use super::volume::Volume;

super::damages! {
    record_without_magic => "record-signature",
    record_torn => "record-fixup",
    record_with_a_wrong_update_sequence => "record-fixup",
    record_with_another_number => "record-number",
    record_with_four_bytes_less => "record-used",
    record_with_eight_bytes_more => "record-used",
    record_with_more_bytes_than_it_has => "record-head",
    record_of_another_size => "record-size",
    record_with_attributes_nowhere => "record-head",
    record_of_the_system_used_again => "record-sequence",
    record_with_a_low_next_number => "record-next-instance",
    record_without_the_mark_of_a_directory => "record-flags",
    file_with_the_mark_of_a_directory => "record-flags",
    secure_without_the_mark_of_a_view => "record-flags",
    file_with_the_mark_of_a_view => "record-flags",
    record_with_unknown_flags => "record-flags",
    record_free_in_itself_alone => "mft-bitmap",
    record_free_in_the_bitmap_alone => "mft-bitmap",
    record_taken_in_the_bitmap_alone => "record-signature",
    record_without_information => "record-information",
    file_with_the_attribute_of_a_directory => "record-information",
    attributes_with_one_number => "attribute-instance",
    attributes_without_an_end => "attribute",
    attributes_out_of_order => "attribute-order",
    attribute_there_twice => "attribute-duplicate",
    attribute_of_no_type => "attribute-type",
    attribute_past_the_end => "attribute",
    attribute_with_its_value_outside => "attribute",
    attribute_too_short_for_its_type => "attribute-size",
    name_not_marked_as_indexed => "attribute-indexed",
    data_marked_as_indexed => "attribute-indexed",
    file_marked_as_one_of_extend => "record-flags",
    file_named_as_a_directory => "record-information",
    file_named_as_a_view => "record-information",
    file_with_the_attribute_of_a_label => "record-information",
    file_with_a_time_after_the_last => "time",
    file_without_data => "attribute-missing",
    directory_with_data => "attribute-type",
    file_without_a_descriptor => "security-id",
    file_whose_name_is_of_a_directory => "name",
    file_with_a_name_of_a_time_after_the_last => "time",
    data_in_a_record_that_is_encrypted => "attribute-flags",
    data_in_a_record_compressed_by_an_unknown_method => "attribute-flags",
    file_with_half_of_its_extended_attributes => "extended-attributes",
    root_with_a_descriptor_that_is_none => "secure-descriptor",
}

fn small(volume: &Volume) -> u64 {
    volume.find("small file.txt")
}

/// Adds to a 32-bit number of the head.
fn add(volume: &Volume, record: u64, at: usize, amount: i32) {
    volume.record(record, |bytes| {
        let old = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        bytes[at..at + 4].copy_from_slice(&old.wrapping_add_signed(amount).to_le_bytes());
    });
}

/// Changes the flags of a record.
fn flip(volume: &Volume, record: u64, flag: u8) {
    volume.record(record, |bytes| bytes[0x16] ^= flag);
}

fn record_without_magic(volume: &Volume) {
    volume.write(volume.raw_record(small(volume)), b"GONE");
}

fn record_torn(volume: &Volume) {
    volume.write(volume.raw_record(small(volume)) + 1022, &[0x77, 0x77]);
}

fn record_with_a_wrong_update_sequence(volume: &Volume) {
    volume.write(volume.raw_record(small(volume)) + 6, &[9]);
}

fn record_with_another_number(volume: &Volume) {
    add(volume, small(volume), 0x2C, 1);
}

fn record_with_four_bytes_less(volume: &Volume) {
    add(volume, small(volume), 0x18, -4);
}

fn record_with_eight_bytes_more(volume: &Volume) {
    add(volume, small(volume), 0x18, 8);
}

fn record_with_more_bytes_than_it_has(volume: &Volume) {
    add(volume, small(volume), 0x18, 4096);
}

fn record_of_another_size(volume: &Volume) {
    add(volume, small(volume), 0x1C, 1024);
}

fn record_with_attributes_nowhere(volume: &Volume) {
    volume.record(small(volume), |bytes| bytes[0x14] = 0xF1);
}

fn record_of_the_system_used_again(volume: &Volume) {
    volume.record(12, |bytes| bytes[0x10] = 1);
}

fn record_with_a_low_next_number(volume: &Volume) {
    volume.record(small(volume), |bytes| bytes[0x28] = 0);
}

fn record_without_the_mark_of_a_directory(volume: &Volume) {
    flip(volume, volume.find("outer"), 2);
}

fn file_with_the_mark_of_a_directory(volume: &Volume) {
    flip(volume, small(volume), 2);
}

fn secure_without_the_mark_of_a_view(volume: &Volume) {
    flip(volume, 9, 8);
}

fn file_with_the_mark_of_a_view(volume: &Volume) {
    flip(volume, small(volume), 8);
}

fn record_with_unknown_flags(volume: &Volume) {
    flip(volume, small(volume), 0x40);
}

fn record_free_in_itself_alone(volume: &Volume) {
    flip(volume, small(volume), 1);
}

fn record_free_in_the_bitmap_alone(volume: &Volume) {
    volume.bit(0, kind::BITMAP, "", small(volume), false);
}

fn record_taken_in_the_bitmap_alone(volume: &Volume) {
    volume.bit(0, kind::BITMAP, "", 17, true);
}

fn file_with_the_attribute_of_a_directory(volume: &Volume) {
    let file = small(volume);
    volume.in_value(file, kind::STANDARD_INFORMATION, "", 0x20, &[0x30]);
}

fn record_without_information(volume: &Volume) {
    let record = small(volume);
    let gone = volume.attribute(record, kind::STANDARD_INFORMATION, "");
    volume.record(record, |bytes| {
        bytes.copy_within(gone.end.., gone.start);
    });
    add(volume, record, 0x18, -i32::try_from(gone.len()).unwrap());
}

fn attributes_with_one_number(volume: &Volume) {
    let record = small(volume);
    let first = volume
        .attribute(record, kind::STANDARD_INFORMATION, "")
        .start;
    let second = volume.attribute(record, kind::FILE_NAME, "").start;
    volume.record(record, |bytes| bytes[second + 0x0E] = bytes[first + 0x0E]);
}

fn attributes_without_an_end(volume: &Volume) {
    let record = small(volume);
    let end = volume.attribute(record, kind::DATA, "").end;
    volume.record(record, |bytes| bytes[end..end + 4].fill(0));
}

fn attributes_out_of_order(volume: &Volume) {
    let record = small(volume);
    let first = volume.attribute(record, kind::STANDARD_INFORMATION, "");
    let second = volume.attribute(record, kind::FILE_NAME, "");
    volume.record(record, |bytes| {
        let swapped = [&bytes[second.clone()], &bytes[first.clone()]].concat();
        bytes[first.start..second.end].copy_from_slice(&swapped);
    });
}

fn attribute_there_twice(volume: &Volume) {
    let record = small(volume);
    let data = volume.attribute(record, kind::DATA, "");
    volume.record(record, |bytes| {
        let next = bytes[0x28];
        bytes.copy_within(data.start..data.end + 8, data.end);
        bytes[data.end + 0x0E] = next;
        bytes[0x28] = next + 1;
    });
    add(volume, record, 0x18, i32::try_from(data.len()).unwrap());
}

fn attribute_of_no_type(volume: &Volume) {
    volume.in_attribute(small(volume), kind::DATA, "", 0, &[0x88]);
}

fn attribute_past_the_end(volume: &Volume) {
    volume.in_attribute(small(volume), kind::DATA, "", 4, &[0, 8]);
}

fn attribute_with_its_value_outside(volume: &Volume) {
    volume.in_attribute(small(volume), kind::DATA, "", 0x10, &[0xFF, 0xFF]);
}

fn attribute_too_short_for_its_type(volume: &Volume) {
    volume.in_attribute(small(volume), kind::STANDARD_INFORMATION, "", 0x10, &[40]);
}

fn name_not_marked_as_indexed(volume: &Volume) {
    volume.in_attribute(small(volume), kind::FILE_NAME, "", 0x16, &[0]);
}

fn data_marked_as_indexed(volume: &Volume) {
    volume.in_attribute(small(volume), kind::DATA, "", 0x16, &[1]);
}

fn file_marked_as_one_of_extend(volume: &Volume) {
    flip(volume, small(volume), 4);
}

fn in_information(volume: &Volume, at: usize, bytes: &[u8]) {
    volume.in_value(small(volume), kind::STANDARD_INFORMATION, "", at, bytes);
}

fn file_named_as_a_directory(volume: &Volume) {
    in_information(volume, 0x23, &[0x10]);
}

fn file_named_as_a_view(volume: &Volume) {
    in_information(volume, 0x23, &[0x20]);
}

fn file_with_the_attribute_of_a_label(volume: &Volume) {
    in_information(volume, 0x20, &[0x28]);
}

fn file_with_a_time_after_the_last(volume: &Volume) {
    in_information(volume, 15, &[0x80]);
}

/// Its data becomes an attribute of a type that is left to users.
fn file_without_data(volume: &Volume) {
    volume.in_attribute(small(volume), kind::DATA, "", 0, &[0, 0x10, 0, 0]);
}

/// An empty stream stands before the index.
fn directory_with_data(volume: &Volume) {
    let directory = volume.find("outer/inner directory");
    let start = volume.attribute(directory, kind::INDEX_ROOT, "$I30").start;
    volume.record(directory, |record| {
        let used = usize::from(record[0x18]) | usize::from(record[0x19]) << 8;
        record.copy_within(start..used, start + 24);
        let (next, more) = (record[0x28], used + 24);
        record[start..start + 24].fill(0);
        record[start] = 0x80;
        record[start + 4] = 24;
        record[start + 14] = next;
        record[start + 0x14] = 24;
        record[0x18..0x1A].copy_from_slice(&u16::try_from(more).unwrap().to_le_bytes());
        record[0x28] += 1;
    });
}

fn file_without_a_descriptor(volume: &Volume) {
    in_information(volume, 0x34, &[0; 4]);
}

fn root_with_a_descriptor_that_is_none(volume: &Volume) {
    volume.in_value(5, kind::SECURITY_DESCRIPTOR, "", 5, &[0x70]);
}

fn file_whose_name_is_of_a_directory(volume: &Volume) {
    volume.in_value(small(volume), kind::FILE_NAME, "", 0x3B, &[0x10]);
}

fn file_with_a_name_of_a_time_after_the_last(volume: &Volume) {
    volume.in_value(small(volume), kind::FILE_NAME, "", 15, &[0x80]);
}

fn data_in_a_record_that_is_encrypted(volume: &Volume) {
    volume.in_attribute(small(volume), kind::DATA, "", 12, &[0, 0x40]);
}

fn data_in_a_record_compressed_by_an_unknown_method(volume: &Volume) {
    volume.in_attribute(small(volume), kind::DATA, "", 12, &[3]);
}

/// Its data becomes what tells of extended attributes.
fn file_with_half_of_its_extended_attributes(volume: &Volume) {
    volume.in_attribute(small(volume), kind::DATA, "", 0, &[0xD0]);
}

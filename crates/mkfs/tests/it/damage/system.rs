//! The files of the volume itself.

use mkfs::ntfs::parse::kind;

use super::volume::Volume;

super::damages! {
    mirror_that_differs => "mirror",
    log_of_garbage => "log",
    log_that_is_not_clean => "log-dirty",
    log_that_is_clean_in_its_copy_alone => "log-dirty",
    log_whose_restart_pages_differ => "log",
    log_with_one_restart_page => "log",
    log_without_its_last_record => "log",
    log_with_a_torn_last_page => "log",
    log_longer_than_its_file => "log",
    volume_marked_as_dirty => "volume-dirty",
    volume_of_another_version => "volume",
    volume_with_unknown_flags => "volume",
    table_of_attributes_that_differs => "attrdef",
    letters_that_differ => "upcase",
    checksum_of_letters_that_differs => "upcase-info",
    bad_clusters_of_another_length => "bad-clusters",
    system_file_of_another_name => "system-file",
    extend_without_reparse => "system-file",
    descriptor_that_differs_from_its_hash => "secure-hash",
    descriptor_that_is_none => "secure-descriptor",
    descriptor_with_another_copy => "secure-mirror",
    descriptor_elsewhere => "secure-offset",
    descriptors_in_one_index_alone => "secure-index",
    descriptors_of_another_hash_in_one_index => "secure-index",
    descriptors_out_of_order => "index-order",
    descriptors_cut_short => "secure-size",
    reparse_point_that_is_not_listed => "reparse-index",
    reparse_point_listed_with_another_tag => "reparse-index",
    reparse_point_of_another_length => "reparse",
    reparse_point_that_attributes_hide => "reparse-flag",
    reparse_point_that_attributes_invent => "reparse-flag",
    boot_file_of_another_length => "system-file",
    reparse_point_with_names_outside => "reparse",
    log_with_pages_of_another_size => "log",
    log_whose_numbers_do_not_fit_its_size => "log",
    volume_with_a_check_cut_short => "volume-dirty",
    letters_of_another_length => "upcase-info",
    descriptor_with_more_entries_than_room => "secure-descriptor",
    descriptor_with_bytes_behind => "secure",
    quota_of_another_version => "quota",
    quota_with_unknown_flags => "quota",
    quota_of_another_account => "quota",
    owner_without_a_quota => "quota",
    file_of_an_owner_without_a_quota => "quota",
}

const SECURE: u64 = 9;
const UPCASE: u64 = 10;
/// Distance of a descriptor from its copy.
const COPY: u64 = 0x4_0000;

fn link(volume: &Volume) -> u64 {
    volume.find("symbolic link")
}

fn mirror_that_differs(volume: &Volume) {
    volume.write(volume.place(1, kind::DATA, "", 1024 + 0x18), &[0x77]);
}

fn log_of_garbage(volume: &Volume) {
    volume.write(volume.place(2, kind::DATA, "", 0), &[0x77; 4096]);
}

/// A restart page of Windows, in use.
fn log_that_is_not_clean(volume: &Volume) {
    let mut page = vec![0; 4096];
    page[..8].copy_from_slice(b"RSTR\x1E\0\x09\0");
    page[0x10..0x18].copy_from_slice(&[0, 0x10, 0, 0, 0, 0x10, 0, 0]);
    page[0x18] = 0x30;
    page[0x1E] = 7;
    // Later than what the other page says.
    page[0x33] = 1;
    // Where the area stands: log clients 1, none free, the first in use, no flags.
    page[0x30 + 8..0x30 + 16].copy_from_slice(&[1, 0, 0xFF, 0xFF, 0, 0, 0, 0]);
    for stride in 1..=8 {
        page[stride * 512 - 2] = 7;
    }
    volume.write(volume.place(2, kind::DATA, "", 0), &page);
}

fn in_log(volume: &Volume, at: u64, bytes: &[u8]) {
    volume.write(volume.place(2, kind::DATA, "", at), bytes);
}

fn log_that_is_clean_in_its_copy_alone(volume: &Volume) {
    in_log(volume, 0x3E, &[0, 0]);
}

fn log_whose_restart_pages_differ(volume: &Volume) {
    in_log(volume, 0x103E, &[0, 0]);
}

fn log_with_one_restart_page(volume: &Volume) {
    in_log(volume, 0x1000, b"BAAD");
}

fn log_without_its_last_record(volume: &Volume) {
    in_log(volume, 0x2_20A8, &[0x16]);
}

fn log_with_a_torn_last_page(volume: &Volume) {
    in_log(volume, 0x2_23FE, &[9, 9]);
}

fn log_longer_than_its_file(volume: &Volume) {
    for page in [0, 0x1000] {
        in_log(volume, page + 0x48, &[0, 0, 0, 1]);
    }
}

fn volume_marked_as_dirty(volume: &Volume) {
    volume.in_value(3, kind::VOLUME_INFORMATION, "", 10, &[0x81]);
}

fn volume_of_another_version(volume: &Volume) {
    volume.in_value(3, kind::VOLUME_INFORMATION, "", 8, &[7]);
}

fn volume_with_unknown_flags(volume: &Volume) {
    volume.in_value(3, kind::VOLUME_INFORMATION, "", 11, &[0x20]);
}

fn table_of_attributes_that_differs(volume: &Volume) {
    volume.write(volume.place(4, kind::DATA, "", 160 + 0x80), &[0x21]);
}

/// The checksum is put right: "q" has no upper case.
fn letters_that_differ(volume: &Volume) {
    let place = volume.place(UPCASE, kind::DATA, "", 2 * u64::from(b'q'));
    volume.write(place, b"q");
    let mut bytes = Vec::new();
    for offset in (0..0x2_0000).step_by(4096) {
        bytes.extend(volume.read(volume.place(UPCASE, kind::DATA, "", offset), 4096));
    }
    volume.in_value(UPCASE, kind::DATA, "$Info", 8, &crc64(&bytes).to_le_bytes());
}

/// CRC-64/NVME, bit by bit.
fn crc64(bytes: &[u8]) -> u64 {
    let mut crc = !0_u64;
    for byte in bytes {
        crc ^= u64::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1 == 1;
            crc >>= 1;
            if carry {
                crc ^= 0x9A6C_9329_AC4B_C9B5;
            }
        }
    }
    !crc
}

fn checksum_of_letters_that_differs(volume: &Volume) {
    volume.in_value(UPCASE, kind::DATA, "$Info", 8, &[0x77; 8]);
}

fn bad_clusters_of_another_length(volume: &Volume) {
    volume.in_attribute(8, kind::DATA, "$Bad", 0x31, &[0]);
}

/// In the record alone.
fn system_file_of_another_name(volume: &Volume) {
    volume.in_value(UPCASE, kind::FILE_NAME, "", 0x42, b"_");
}

/// In the record and in the index.
fn extend_without_reparse(volume: &Volume) {
    let reparse = volume.find("$Extend/$Reparse");
    volume.in_value(reparse, kind::FILE_NAME, "", 0x42 + 14, b"z");
    volume.in_entry(11, "$Reparse", 0x52 + 14, b"z");
}

/// Where a byte of the descriptors stands, and of their copies.
fn descriptors(volume: &Volume, offset: u64) -> [u64; 2] {
    [offset, offset + COPY].map(|offset| volume.place(SECURE, kind::DATA, "$SDS", offset))
}

fn descriptor_that_differs_from_its_hash(volume: &Volume) {
    // Within an access right of the first descriptor.
    for place in descriptors(volume, 0x14 + 0x14 + 12) {
        volume.write(place, &[0x99]);
    }
}

/// Its owner stands outside; the hash is right, also in both indexes.
fn descriptor_that_is_none(volume: &Volume) {
    in_descriptor(volume, 0, 9);
}

/// Changes a byte of the first descriptor, and all hashes of it.
fn in_descriptor(volume: &Volume, at: u64, byte: u8) {
    for place in descriptors(volume, 0x14 + at) {
        volume.write(place, &[byte]);
    }
    let [place, _] = descriptors(volume, 0);
    let descriptor = volume.read(place + 0x14, 0x64);
    let hash = descriptor
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .fold(0_u32, |hash, word| hash.rotate_left(3).wrapping_add(word));
    for place in descriptors(volume, 0) {
        volume.write(place, &hash.to_le_bytes());
    }
    in_view(volume, "$SII", 0x100, |entry| {
        entry[0x14..0x18].copy_from_slice(&hash.to_le_bytes())
    });
    in_view(volume, "$SDH", 0x100, |entry| {
        entry[0x10..0x14].copy_from_slice(&hash.to_le_bytes());
        entry[0x18..0x1C].copy_from_slice(&hash.to_le_bytes());
    });
}

/// Changes the entry of a descriptor in one of the indexes of `$Secure`.
fn in_view(volume: &Volume, name: &str, id: u32, change: impl FnOnce(&mut [u8])) {
    let start = volume.value(SECURE, kind::INDEX_ROOT, name) + 0x10;
    let place = if name == "$SII" { 0x18 } else { 0x1C };
    volume.record(SECURE, |record| {
        let mut at = start + usize::from(record[start]);
        loop {
            let length = usize::from(record[at + 8]);
            let own = record[at + place..at + place + 4].to_vec();
            if own == id.to_le_bytes() {
                return change(&mut record[at..at + length]);
            }
            at += length;
        }
    });
}

fn descriptor_with_another_copy(volume: &Volume) {
    let [_, copy] = descriptors(volume, 0x14 + 0x14 + 12);
    volume.write(copy, &[0x99]);
}

fn descriptor_elsewhere(volume: &Volume) {
    in_view(volume, "$SII", 0x101, |entry| entry[0x1C] ^= 0x10);
    in_view(volume, "$SDH", 0x101, |entry| entry[0x20] ^= 0x10);
}

fn descriptors_in_one_index_alone(volume: &Volume) {
    in_view(volume, "$SDH", 0x101, |entry| {
        entry[0x14..0x18].copy_from_slice(&0x109_u32.to_le_bytes());
        entry[0x1C..0x20].copy_from_slice(&0x109_u32.to_le_bytes());
    });
}

fn descriptors_of_another_hash_in_one_index(volume: &Volume) {
    in_view(volume, "$SII", 0x101, |entry| entry[0x14] ^= 1);
}

fn descriptors_out_of_order(volume: &Volume) {
    let start = volume.value(SECURE, kind::INDEX_ROOT, "$SII") + 0x10;
    volume.record(SECURE, |record| {
        let first = start + usize::from(record[start]);
        let swapped = [
            &record[first + 0x28..first + 0x50],
            &record[first..first + 0x28],
        ]
        .concat();
        record[first..first + 0x50].copy_from_slice(&swapped);
    });
}

fn descriptors_cut_short(volume: &Volume) {
    let size = COPY.to_le_bytes();
    volume.in_attribute(SECURE, kind::DATA, "$SDS", 0x30, &size);
    volume.in_attribute(SECURE, kind::DATA, "$SDS", 0x38, &size);
}

/// The only entry of `$R` goes; the last one moves up.
fn reparse_point_that_is_not_listed(volume: &Volume) {
    let reparse = volume.find("$Extend/$Reparse");
    let start = volume.value(reparse, kind::INDEX_ROOT, "$R") + 0x10;
    let attribute = volume.attribute(reparse, kind::INDEX_ROOT, "$R").start;
    volume.record(reparse, |record| {
        let first = start + usize::from(record[start]);
        let gone = usize::from(record[first + 8]);
        record.copy_within(first + gone.., first);
        let shrink = |record: &mut [u8], at: usize| {
            let old = u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
            let new = old - u32::try_from(gone).unwrap();
            record[at..at + 4].copy_from_slice(&new.to_le_bytes());
        };
        for at in [start + 4, start + 8, attribute + 4, attribute + 0x10, 0x18] {
            shrink(record, at);
        }
    });
}

fn reparse_point_listed_with_another_tag(volume: &Volume) {
    let reparse = volume.find("$Extend/$Reparse");
    let start = volume.value(reparse, kind::INDEX_ROOT, "$R") + 0x10;
    volume.record(reparse, |record| {
        record[start + usize::from(record[start]) + 0x10] ^= 1
    });
}

fn reparse_point_of_another_length(volume: &Volume) {
    volume.in_value(link(volume), kind::REPARSE_POINT, "", 4, &[1]);
}

fn reparse_point_that_attributes_hide(volume: &Volume) {
    volume.in_value(link(volume), kind::STANDARD_INFORMATION, "", 0x21, &[0]);
    volume.in_entry(5, "symbolic link", 0x10 + 0x39, &[0]);
}

fn reparse_point_that_attributes_invent(volume: &Volume) {
    let small = volume.find("small file.txt");
    volume.in_value(small, kind::STANDARD_INFORMATION, "", 0x21, &[4]);
    volume.in_entry(5, "small file.txt", 0x10 + 0x39, &[4]);
}

fn reparse_point_with_names_outside(volume: &Volume) {
    volume.in_value(link(volume), kind::REPARSE_POINT, "", 10, &[0xFE, 0x7F]);
}

fn log_with_pages_of_another_size(volume: &Volume) {
    for page in [0, 0x1000] {
        in_log(volume, page + 0x10, &[0, 2]);
    }
}

/// Half as long as before, with numbers divided as before.
fn log_whose_numbers_do_not_fit_its_size(volume: &Volume) {
    for page in [0, 0x1000] {
        in_log(volume, page + 0x48, &[0, 0, 0x10, 0]);
    }
}

fn volume_with_a_check_cut_short(volume: &Volume) {
    volume.in_value(3, kind::VOLUME_INFORMATION, "", 11, &[0x40]);
}

fn letters_of_another_length(volume: &Volume) {
    volume.in_value(UPCASE, kind::DATA, "$Info", 0, &[0x24]);
}

/// The list of access control entries stands behind the head.
fn descriptor_with_more_entries_than_room(volume: &Volume) {
    in_descriptor(volume, 0x14 + 4, 50);
}

/// The first has 0x78 bytes.
fn descriptor_with_bytes_behind(volume: &Volume) {
    for place in descriptors(volume, 0x78) {
        volume.write(place, &[0x55]);
    }
}

/// Changes the entry of `$Quota` with this number in one of its indexes.
fn in_quota(volume: &Volume, index: &str, number: usize, at: usize, bytes: &[u8]) {
    let quota = volume.find("$Extend/$Quota");
    let start = volume.value(quota, kind::INDEX_ROOT, index) + 0x10;
    volume.record(quota, |record| {
        let mut entry = start + usize::from(record[start]);
        for _ in 0..number {
            entry += usize::from(record[entry + 8]);
        }
        let data = entry + usize::from(record[entry]);
        record[data + at..data + at + bytes.len()].copy_from_slice(bytes);
    });
}

fn quota_of_another_version(volume: &Volume) {
    in_quota(volume, "$Q", 0, 0, &[9]);
}

fn quota_with_unknown_flags(volume: &Volume) {
    in_quota(volume, "$Q", 0, 6, &[1]);
}

/// The account stands behind the quota.
fn quota_of_another_account(volume: &Volume) {
    in_quota(volume, "$Q", 1, 48 + 8, &[0x99]);
}

fn owner_without_a_quota(volume: &Volume) {
    in_quota(volume, "$O", 0, 0, &[0x50]);
}

fn file_of_an_owner_without_a_quota(volume: &Volume) {
    let small = volume.find("small file.txt");
    volume.in_value(small, kind::STANDARD_INFORMATION, "", 0x30, &[0x77, 7]);
}

fn boot_file_of_another_length(volume: &Volume) {
    volume.in_attribute(7, kind::DATA, "", 0x31, &[0x1E]);
    volume.in_attribute(7, kind::DATA, "", 0x39, &[0x1E]);
}

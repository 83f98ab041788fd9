//! Boot sectors.

use super::volume::Volume;

super::damages! {
    boot_without_end_mark => "boot-sector",
    boot_without_jump => "boot-sector",
    boot_with_a_media_type => "boot-sector",
    boot_with_reserved_fields => "boot-sector",
    boot_of_no_file_system => "boot-sector",
    boot_with_a_cluster_size_of_none => "boot-sector",
    boot_with_a_record_size_of_none => "boot-sector",
    boot_with_the_table_outside => "boot-sector",
    boot_with_the_mirror_elsewhere => "mirror",
    boot_copy_that_differs => "boot-copy",
    boot_copy_of_zeros => "boot-copy",
    boot_longer_than_the_partition => "boot-size",
}

fn boot_without_end_mark(volume: &Volume) {
    volume.boot(510, &[0, 0]);
}

fn boot_without_jump(volume: &Volume) {
    volume.boot(0, &[0, 0, 0]);
}

fn boot_with_a_media_type(volume: &Volume) {
    volume.boot(0x15, &[0x01]);
}

fn boot_with_reserved_fields(volume: &Volume) {
    volume.boot(0x0E, &[0x20]);
}

fn boot_of_no_file_system(volume: &Volume) {
    volume.write(3, b"ZTFS");
}

fn boot_with_a_cluster_size_of_none(volume: &Volume) {
    volume.write(0x0D, &[3]);
}

fn boot_with_a_record_size_of_none(volume: &Volume) {
    volume.write(0x40, &[0]);
}

fn boot_with_the_table_outside(volume: &Volume) {
    volume.write(0x30, &u64::from(u32::MAX).to_le_bytes());
}

fn boot_with_the_mirror_elsewhere(volume: &Volume) {
    volume.boot(0x38, &100_u64.to_le_bytes());
}

fn boot_copy_that_differs(volume: &Volume) {
    volume.write(volume.boot_copy() + 0x48, &[0xFF]);
}

fn boot_copy_of_zeros(volume: &Volume) {
    volume.write(volume.boot_copy(), &[0; 512]);
}

fn boot_longer_than_the_partition(volume: &Volume) {
    let sectors = volume.boot_copy() / 512;
    volume.write(0x28, &(sectors + 4096).to_le_bytes());
}

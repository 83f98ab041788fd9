//! A qcow2 image of arbitrary bytes is opened, checked and read.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vdisk::qcow2::fuzz_open(data));

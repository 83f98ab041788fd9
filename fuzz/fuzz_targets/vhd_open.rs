//! A VHD image of arbitrary bytes is opened, checked and read.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vdisk::vhd::fuzz_open(data));

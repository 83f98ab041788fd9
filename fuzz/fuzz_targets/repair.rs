//! A damaged image of arbitrary bytes is repaired, put back as it was, and salvaged.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vdisk::fuzz_repair(data));
